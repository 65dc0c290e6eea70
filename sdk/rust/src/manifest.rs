use crate::config::quote;
use std::time::Duration;

/// What a plugin says of itself; see "Manifest" in sdk/ABI.md.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    version: String,
    records: Vec<&'static str>,
    requests: Vec<String>,
    responses: Vec<String>,
    session: bool,
    tick_ms: u128,
    host: Vec<&'static str>,
    fail_closed_only: bool,
}

impl Manifest {
    /// One that asks for nothing.
    pub fn new() -> Manifest {
        Manifest::default()
    }

    /// The plugin's version.
    pub fn version(mut self, version: &str) -> Manifest {
        self.version = version.into();
        self
    }

    /// Asks for the records of Produce requests.
    pub fn produce(mut self) -> Manifest {
        self.records.push("produce");
        self
    }

    /// Asks for the records of Fetch responses.
    pub fn fetch(mut self) -> Manifest {
        self.records.push("fetch");
        self
    }

    /// Asks for requests of an API by its number, in the versions that the plugin understands: clients are offered no
    /// others.
    pub fn requests(mut self, api: i16, min: i16, max: i16) -> Manifest {
        self.requests.push(subscription(api, min, max));
        self
    }

    /// Asks for responses of an API.
    pub fn responses(mut self, api: i16, min: i16, max: i16) -> Manifest {
        self.responses.push(subscription(api, min, max));
        self
    }

    /// Shows the messages of an API, which [`requests`](Manifest::requests) or [`responses`](Manifest::responses) asks for before, as JSON with
    /// Kafka's fields: see [`Request::json`](crate::Request::json).
    pub fn as_json(mut self, api: i16) -> Manifest {
        let this = format!("{{\"api\": {},", api);
        for s in self.requests.iter_mut().chain(&mut self.responses) {
            if s.starts_with(&this) {
                s.truncate(s.len() - 1);
                s.push_str(", \"format\": \"json\"}");
            }
        }
        self
    }

    /// Asks for clients that connect and disconnect.
    pub fn session(mut self) -> Manifest {
        self.session = true;
        self
    }

    /// Asks for `on_tick` in this period, at least 10 ms.
    pub fn every(mut self, period: Duration) -> Manifest {
        self.tick_ms = period.as_millis();
        self
    }

    /// Asks for a capability: [`CAP_KV`](crate::abi::CAP_KV) and so on. The operator must grant it.
    pub fn needs(mut self, capability: &'static str) -> Manifest {
        self.host.push(capability);
        self
    }

    /// Forbids `on_error: pass`: what this plugin can't see must not get by.
    pub fn fail_closed_only(mut self) -> Manifest {
        self.fail_closed_only = true;
        self
    }

    /// The manifest of a plugin with this name.
    pub(crate) fn json(&self, name: &str) -> String {
        let mut fields = vec![format!("\"name\": {}", quote(name))];
        if !self.version.is_empty() {
            fields.push(format!("\"version\": {}", quote(&self.version)));
        }
        let names = |list: &[&str]| list.iter().map(|s| quote(s)).collect::<Vec<_>>().join(", ");
        for (key, list) in [
            ("records", names(&self.records)),
            ("host", names(&self.host)),
            ("requests", self.requests.join(", ")),
            ("responses", self.responses.join(", ")),
        ] {
            if !list.is_empty() {
                fields.push(format!("\"{}\": [{}]", key, list));
            }
        }
        if self.tick_ms > 0 {
            fields.push(format!("\"tick_ms\": {}", self.tick_ms));
        }
        for (key, value) in [
            ("session", self.session),
            ("fail_closed_only", self.fail_closed_only),
        ] {
            if value {
                fields.push(format!("\"{}\": true", key));
            }
        }
        format!("{{{}}}", fields.join(", "))
    }
}

fn subscription(api: i16, min: i16, max: i16) -> String {
    format!("{{\"api\": {}, \"min\": {}, \"max\": {}}}", api, min, max)
}
