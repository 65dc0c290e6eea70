//! The host functions of native tests: a store in memory, and a log that is kept. Every test has its own, as it has a
//! thread.

use super::HostError;
use crate::abi;
use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Answers blocks of requests or calls.
pub type Answer = Box<dyn FnMut(&[u8]) -> Result<Vec<u8>, HostError>>;

#[derive(Default)]
pub struct Memory {
    pub lines: Vec<String>,
    pub series: Vec<(String, f64)>,
    pub attributes: HashMap<String, String>,
    pub trace_parent: String,
    pub values: HashMap<Vec<u8>, (Vec<u8>, Option<Instant>)>,
    pub topics: HashMap<[u8; 16], String>,
    pub send: Option<Answer>,
    pub call: Option<Answer>,
    seed: u64,
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::new(Memory::default());
}

pub fn with<T>(f: impl FnOnce(&mut Memory) -> T) -> T {
    MEMORY.with(|m| f(&mut m.borrow_mut()))
}

fn text(b: &[u8]) -> String {
    String::from_utf8_lossy(b).into_owned()
}

pub fn log(_level: i32, line: &[u8]) {
    with(|m| m.lines.push(text(line)));
}

pub fn log_enabled(_level: i32) -> bool {
    true
}

pub fn metric_define(_kind: i32, series: &[u8]) -> i32 {
    with(|m| {
        let name = text(series);
        let known = m.series.iter().position(|s| s.0 == name);
        known.unwrap_or_else(|| {
            m.series.push((name, 0.0));
            m.series.len() - 1
        }) as i32
    })
}

pub fn metric_add(id: i32, value: f64) {
    with(|m| m.series[id as usize].1 += value);
}

pub fn attr_set(key: &[u8], value: &[u8]) {
    with(|m| m.attributes.insert(text(key), text(value)));
}

/// Copies into a buffer if all fits, as the gateway does.
fn fill(value: Option<&[u8]>, b: &mut [u8]) -> i32 {
    match value {
        None => abi::ERR_NONE as i32,
        Some(v) => {
            if v.len() <= b.len() {
                b[..v.len()].copy_from_slice(v);
            }
            v.len() as i32
        }
    }
}

pub fn trace_parent(b: &mut [u8]) -> i32 {
    with(|m| fill(Some(m.trace_parent.as_bytes()), b))
}

impl Memory {
    fn live(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        if self
            .values
            .get(key)?
            .1
            .map_or(false, |end| Instant::now() >= end)
        {
            self.values.remove(key);
        }
        self.values.get(key).map(|v| v.0.clone())
    }

    fn set(&mut self, key: &[u8], value: &[u8], ttl_ms: i64) {
        let end = (ttl_ms > 0).then(|| Instant::now() + Duration::from_millis(ttl_ms as u64));
        self.values.insert(key.into(), (value.into(), end));
    }
}

pub fn kv_get(key: &[u8], b: &mut [u8]) -> i32 {
    with(|m| fill(m.live(key).as_deref(), b))
}

pub fn kv_set(key: &[u8], value: &[u8], ttl_ms: i64) -> i32 {
    with(|m| m.set(key, value, ttl_ms));
    0
}

pub fn kv_add(key: &[u8], delta: i64, ttl_ms: i64) -> i64 {
    with(|m| {
        let old = m.live(key);
        let now = match old.as_deref().map(<[u8; 8]>::try_from) {
            None => 0,
            Some(Ok(b)) => i64::from_le_bytes(b),
            Some(Err(_)) => return abi::ERR_ARGUMENT,
        };
        let sum = now + delta;
        if sum < 0 {
            return abi::ERR_ARGUMENT;
        }
        match m.values.get_mut(key) {
            Some(v) => v.0 = sum.to_le_bytes().into(), // it ends when it would have ended
            None => m.set(key, &sum.to_le_bytes(), ttl_ms),
        }
        sum
    })
}

pub fn kv_cas(key: &[u8], old: Option<&[u8]>, new: &[u8], ttl_ms: i64) -> i32 {
    with(|m| {
        if m.live(key).as_deref() != old {
            return abi::ERR_DENIED as i32;
        }
        m.set(key, new, ttl_ms);
        0
    })
}

pub fn topic_name(id: &[u8; 16], b: &mut [u8]) -> i32 {
    with(|m| fill(m.topics.get(id).map(String::as_bytes), b))
}

pub fn now_ns() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos() as i64)
}

/// The same bytes in every run of a test.
pub fn random(b: &mut [u8]) {
    with(|m| {
        for x in b {
            m.seed = m
                .seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            *x = (m.seed >> 33) as u8;
        }
    });
}

pub fn send_request(block: &[u8]) -> Result<Vec<u8>, HostError> {
    with(|m| m.send.as_mut().map_or(Err(HostError::Denied), |f| f(block)))
}

pub fn http_call(block: &[u8]) -> Result<Vec<u8>, HostError> {
    with(|m| m.call.as_mut().map_or(Err(HostError::Denied), |f| f(block)))
}
