//! What the gateway does for its guests.

use crate::abi;
use std::fmt;
use std::time::Duration;

mod metric;
pub use metric::Metric;

#[cfg(target_arch = "wasm32")]
mod gateway;
#[cfg(target_arch = "wasm32")]
use gateway as raw;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod memory;
#[cfg(not(target_arch = "wasm32"))]
use memory as raw;

/// What host functions fail with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostError {
    /// There is no such thing, or no answer.
    None,
    /// The operator has not granted it.
    Denied,
    /// Past a limit.
    TooLarge,
    /// The call's time is over.
    Timeout,
    /// What was asked for makes no sense.
    Argument,
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            HostError::None => "there is none",
            HostError::Denied => "not granted by the operator",
            HostError::TooLarge => "too large",
            HostError::Timeout => "timed out",
            HostError::Argument => "bad argument",
        })
    }
}

impl std::error::Error for HostError {}

/// A number that is an error below 0.
fn check(n: i64) -> Result<i64, HostError> {
    match n {
        0.. => Ok(n),
        abi::ERR_NONE => Err(HostError::None),
        abi::ERR_DENIED => Err(HostError::Denied),
        abi::ERR_TOO_LARGE => Err(HostError::TooLarge),
        abi::ERR_TIMEOUT => Err(HostError::Timeout),
        _ => Err(HostError::Argument),
    }
}

/// Calls a function that fills a buffer if all fits and returns the length that is needed.
fn fill(mut f: impl FnMut(&mut [u8]) -> i32) -> Result<Vec<u8>, HostError> {
    let mut buffer = vec![0; 256];
    loop {
        let n = check(f(&mut buffer).into())? as usize;
        let fits = n <= buffer.len();
        buffer.resize(n, 0);
        if fits {
            return Ok(buffer);
        }
    }
}

/// The level of a line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For who looks for a fault.
    Debug = abi::LOG_DEBUG as isize,
    /// What happens.
    Info = abi::LOG_INFO as isize,
    /// What should not happen.
    Warn = abi::LOG_WARN as isize,
    /// What must not happen.
    Error = abi::LOG_ERROR as isize,
}

/// Writes a line into the gateway's log, if lines of the level are kept:
/// `sluice::log(Level::Info, format_args!("{} records", n))`.
pub fn log(level: Level, line: fmt::Arguments) {
    if raw::log_enabled(level as i32) {
        match line.as_str() {
            Some(s) => raw::log(level as i32, s.as_bytes()),
            None => raw::log(level as i32, line.to_string().as_bytes()),
        }
    }
}

/// Sets an attribute of the call's span.
pub fn set_attribute(key: &str, value: &str) {
    raw::attr_set(key.as_bytes(), value.as_bytes());
}

/// The call's span as a W3C traceparent, to be sent along; `None` if the request is not traced.
pub fn trace_parent() -> Option<String> {
    fill(|b| raw::trace_parent(b))
        .ok()
        .and_then(|b| String::from_utf8(b).ok())
        .filter(|s| !s.is_empty())
}

/// The value of a key of the plugin's store.
pub fn get(key: &[u8]) -> Result<Option<Vec<u8>>, HostError> {
    match fill(|b| raw::kv_get(key, b)) {
        Err(HostError::None) => Ok(None),
        other => other.map(Some),
    }
}

fn ms(ttl: Option<Duration>) -> i64 {
    ttl.map_or(0, |d| d.as_millis().clamp(1, i64::MAX as u128) as i64)
}

/// Sets a key; it is forgotten after `ttl`.
pub fn set(key: &[u8], value: &[u8], ttl: Option<Duration>) -> Result<(), HostError> {
    check(raw::kv_set(key, value, ms(ttl)).into()).map(drop)
}

/// Adds to a counter and returns the sum, which must not be below 0. A new one begins at 0 and is forgotten after `ttl`.
pub fn add(key: &[u8], delta: i64, ttl: Option<Duration>) -> Result<i64, HostError> {
    check(raw::kv_add(key, delta, ms(ttl)))
}

/// Sets a key if its value is `old`, `None` for "there is none", and returns whether it was. A store that is not granted
/// has no value that is `old`.
pub fn compare_and_set(
    key: &[u8],
    old: Option<&[u8]>,
    new: &[u8],
    ttl: Option<Duration>,
) -> Result<bool, HostError> {
    match check(raw::kv_cas(key, old, new, ms(ttl)).into()) {
        Err(HostError::Denied) => Ok(false),
        other => other.map(|_| true),
    }
}

/// The name of the topic with an id.
pub fn topic_name(id: &[u8; 16]) -> Option<String> {
    fill(|b| raw::topic_name(id, b))
        .ok()
        .and_then(|b| String::from_utf8(b).ok())
}

/// Nanoseconds since 1970.
pub fn now_ns() -> i64 {
    raw::now_ns()
}

/// Fills a buffer with random bytes.
pub fn random(b: &mut [u8]) {
    raw::random(b);
}

/// Sends a request of the plugin's own through the chain below, and returns the body of the response. The deadline of the call
/// ends both.
pub fn send_request(api: i16, version: i16, body: &[u8]) -> Result<Vec<u8>, HostError> {
    send_request_within(api, version, body, 0)
}

/// `send_request` that takes so many milliseconds at most; then it fails, and the plugin goes on.
pub fn send_request_within(
    api: i16,
    version: i16,
    body: &[u8],
    millis: u32,
) -> Result<Vec<u8>, HostError> {
    let mut block = Vec::with_capacity(abi::SEND_HEAD as usize + body.len());
    block.extend_from_slice(&api.to_le_bytes());
    block.extend_from_slice(&version.to_le_bytes());
    block.extend_from_slice(&millis.to_le_bytes());
    block.extend_from_slice(body);
    raw::send_request(&block)
}

/// Makes an HTTP call to a host that the operator allows. Both blocks are those of "Blocks of http_call" in sdk/ABI.md.
pub fn http_call(block: &[u8]) -> Result<Vec<u8>, HostError> {
    raw::http_call(block)
}

fn metric_define(kind: i64, series: &str) -> i32 {
    raw::metric_define(kind as i32, series.as_bytes())
}

fn metric_add(id: i32, value: f64) {
    raw::metric_add(id, value);
}
