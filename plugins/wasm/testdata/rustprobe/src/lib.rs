//! The probe in Rust: does what the records' values say.

use sluice::json::Value;
use sluice::{abi, code, host, Error, Level, Manifest, Metric, Plugin, Records, Request, Response};

struct Probe {
    hog: Vec<Vec<u8>>,
    seen: Metric,
}

#[inline(never)]
fn recurse(n: u64) -> u64 {
    let deep = [n; 64]; // takes stack, if it is looked at
    let at = unsafe { std::ptr::read_volatile(&deep[n as usize % 64]) };
    if n == u64::MAX {
        return at;
    }
    recurse(n + 1) + deep[at as usize % 64]
}

impl Probe {
    /// Does what breaks a guest, or refuses, if told to.
    fn hostile(&mut self, what: &[u8]) -> Result<(), Error> {
        match what {
            b"loop" => loop {
                self.hog.clear();
            },
            b"panic" => panic!("boom"),
            b"recurse" => self.hog.push(vec![recurse(0) as u8]),
            b"memory" => loop {
                self.hog.push(vec![1; 1 << 20]);
            },
            b"refuse" => return Err("not like this".into()),
            b"code" => return Err(Error::new(code::INVALID_RECORD, "wrong")),
            _ => {}
        }
        Ok(())
    }

    fn records(&mut self, r: &mut Records) -> Result<(), Error> {
        self.hostile(&r.get(0).value().unwrap_or_default().to_vec())?;
        for i in 0..r.len() {
            if r.get(i).value().map_or(false, |v| v.starts_with(b"upper")) {
                r.change_value(i, |v| {
                    v.iter_mut().for_each(|c| *c &= !0x20);
                    true
                });
            }
            self.record(r, i);
        }
        Ok(())
    }

    fn record(&self, r: &Records, i: usize) {
        let (c, rec) = (r.call(), r.get(i));
        match rec.value().unwrap_or_default() {
            b"drop" => rec.drop(),
            b"reject" => rec.reject(code::INVALID_RECORD, "no good"),
            b"null" => rec.set_value(None),
            b"key" => rec.set_key(Some(b"another")),
            b"time" => rec.set_timestamp(77),
            b"headers" => {
                rec.remove_headers("old");
                rec.add_header("new", Some(b"n"));
                rec.add_header("null", None);
            }
            b"where" => {
                for g in r.groups() {
                    let topic = String::from_utf8_lossy(g.topic());
                    let s = format!(
                        "{}/{} {} {} {}",
                        topic,
                        g.partition(),
                        g.range().len(),
                        g.producer_id(),
                        g.transactional()
                    );
                    rec.add_header("group", Some(s.as_bytes()));
                }
                let state = String::from_utf8_lossy(c.state());
                let s = format!(
                    "{} {} {} {} {:?}",
                    c.client_id(),
                    c.virtual_cluster(),
                    c.key(),
                    i,
                    state
                );
                rec.add_header("call", Some(s.as_bytes()));
            }
            b"log" => {
                sluice::log(Level::Warn, format_args!("{} of {}", i, r.len()));
                self.seen.add(2.0);
            }
            b"kv" => rec.set_value(Some(kv().unwrap_or_else(|e| e.to_string()).as_bytes())),
            b"send" => rec.set_value(Some(send().unwrap_or_else(|e| e.to_string()).as_bytes())),
            b"http" => {
                let e = host::http_call(&[0; abi::HTTP_SIZE as usize]).unwrap_err();
                rec.set_value(Some(e.to_string().as_bytes()));
            }
            b"trace" => rec.set_value(Some(host::trace_parent().unwrap_or_default().as_bytes())),
            b"clock" => {
                let mut b = [0; 16];
                host::random(&mut b);
                host::set_attribute("random", &format!("{:?}", b));
                let s = format!(
                    "{} {} {:?}",
                    host::now_ns(),
                    b != [0; 16],
                    host::topic_name(&[7; 16])
                );
                rec.set_value(Some(s.as_bytes()));
            }
            _ => {}
        }
    }
}

fn kv() -> Result<String, host::HostError> {
    let n = host::add(b"count", 2, None)?;
    host::set(b"name", b"value", None)?;
    let set = host::compare_and_set(b"name", Some(b"value"), &[b'x'; 500], None)?;
    let changed = host::compare_and_set(b"name", None, b"x", None)?;
    let (long, missing) = (
        host::get(b"name")?.unwrap_or_default().len(),
        host::get(b"missing")?,
    );
    Ok(format!(
        "{} {} {} {} {}",
        n,
        set,
        changed,
        long,
        missing.is_none()
    ))
}

/// Asks for Metadata 7 and returns its first bytes: the time it was throttled.
fn send() -> Result<String, host::HostError> {
    let answer = host::send_request(3, 7, &[0, 0, 0, 0, 0])?;
    Ok(format!("{:?}", &answer[..4]))
}

/// CreatePartitions as JSON: twice as many partitions of the second topic.
fn more(r: &mut Request) -> Result<(), Error> {
    let mut message = r.json()?;
    let topics = message.get_mut("Topics").map(|t| t.items_mut());
    let topic = match topics.map(|t| t.as_mut_slice()) {
        Some([first, second]) if first.get("Assignment").is_some() => second,
        _ => return Err(Error::new(42, "not two topics")),
    };
    match topic.get("Topic").and_then(Value::text) {
        Some("bad json") => topic.set("Count", "many"),
        Some("t\"ü") => {
            let n = topic.get("Count").and_then(Value::number).unwrap_or(0);
            topic.set("Count", 2 * n);
        }
        _ => return Ok(()),
    }
    r.forward(message.to_string().into_bytes());
    Ok(())
}

impl Plugin for Probe {
    fn configure(&mut self, json: &[u8]) -> Result<(), String> {
        sluice::config::each(json, |name, _| name == "known")
    }

    fn on_produce(&mut self, records: &mut Records) -> Result<(), Error> {
        self.records(records)
    }

    fn on_fetch(&mut self, records: &mut Records) -> Result<(), Error> {
        self.records(records)
    }

    fn on_request(&mut self, r: &mut Request) -> Result<(), Error> {
        if r.call().key() == 37 {
            return more(r);
        }
        let find = |word: &[u8]| r.body().windows(word.len()).position(|w| w == word);
        if find(b"refuse").is_some() {
            return Err("not by that name".into());
        } else if find(b"close").is_some() {
            r.close();
        } else if let Some(at) = find(b"rename") {
            let mut body = r.body().to_vec();
            body[at..at + 6].copy_from_slice(b"newone");
            r.forward(body);
            r.set_state(b"*");
        }
        Ok(())
    }

    fn on_response(&mut self, r: &mut Response) -> Result<(), Error> {
        if let Some(c) = r.call().state().first() {
            let mut body = r.body().to_vec();
            body[3] = *c; // the time it was throttled
            r.forward(body);
        }
        Ok(())
    }
}

sluice::register!(
    "rustprobe",
    Probe {
        hog: Vec::new(),
        seen: Metric::counter("seen_total", &[("language", "rust")]),
    },
    Manifest::new()
        .requests(19, 5, 5)
        .requests(37, 0, 3)
        .as_json(37)
        .responses(19, 5, 5)
        .produce()
        .fetch()
        .needs(abi::CAP_KV)
        .needs(abi::CAP_HTTP)
        .needs(abi::CAP_SEND_REQUEST)
);
