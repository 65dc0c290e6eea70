use crate::abi;
use crate::config::quote;
use std::cell::Cell;

/// A series. It is defined when it is first used.
pub struct Metric {
    kind: i64,
    series: String,
    id: Cell<i32>,
}

impl Metric {
    fn new(kind: i64, name: &str, labels: &[(&str, &str)]) -> Metric {
        let labels: Vec<_> = labels
            .iter()
            .map(|(k, v)| format!("{}: {}", quote(k), quote(v)))
            .collect();
        Metric {
            kind,
            series: format!(
                "{{\"name\": {}, \"labels\": {{{}}}}}",
                quote(name),
                labels.join(", ")
            ),
            id: Cell::new(-1),
        }
    }

    /// A counter; `add` counts.
    pub fn counter(name: &str, labels: &[(&str, &str)]) -> Metric {
        Metric::new(abi::METRIC_COUNTER, name, labels)
    }

    /// A gauge; `add` sets it.
    pub fn gauge(name: &str, labels: &[(&str, &str)]) -> Metric {
        Metric::new(abi::METRIC_GAUGE, name, labels)
    }

    /// A histogram; `add` records a value.
    pub fn histogram(name: &str, labels: &[(&str, &str)]) -> Metric {
        Metric::new(abi::METRIC_HISTOGRAM, name, labels)
    }

    /// Counts, sets or records. Past the gateway's limit of series it does nothing.
    pub fn add(&self, value: f64) {
        if self.id.get() < 0 {
            self.id.set(super::metric_define(self.kind, &self.series));
        }
        if self.id.get() >= 0 {
            super::metric_add(self.id.get(), value);
        }
    }
}
