//! The host functions of a gateway.

use super::{check, HostError};
use crate::abi;

mod import {
    #[link(wasm_import_module = "sluice_v1")]
    extern "C" {
        pub fn log(level: i32, p: *const u8, n: usize);
        pub fn log_enabled(level: i32) -> i32;
        pub fn metric_define(kind: i32, p: *const u8, n: usize) -> i32;
        pub fn metric_add(id: i32, value: f64);
        pub fn attr_set(k: *const u8, kn: usize, v: *const u8, vn: usize);
        pub fn trace_parent(b: *mut u8, c: usize) -> i32;
        pub fn kv_get(k: *const u8, kn: usize, b: *mut u8, c: usize) -> i32;
        pub fn kv_set(k: *const u8, kn: usize, v: *const u8, vn: usize, ttl_ms: i64) -> i32;
        pub fn kv_add(k: *const u8, kn: usize, delta: i64, ttl_ms: i64) -> i64;
        pub fn kv_cas(
            k: *const u8,
            kn: usize,
            old: *const u8,
            on: i32,
            new: *const u8,
            nn: usize,
            ttl_ms: i64,
        ) -> i32;
        pub fn topic_name(id: *const u8, b: *mut u8, c: usize) -> i32;
        pub fn now_ns() -> i64;
        pub fn random(p: *mut u8, n: usize);
        pub fn send_request(p: *const u8, n: usize) -> i64;
        pub fn http_call(p: *const u8, n: usize) -> i64;
        pub fn result_read(handle: i32, off: usize, b: *mut u8, c: usize) -> i32;
        pub fn result_free(handle: i32);
    }
}

// All of them are given memory that lives during the call, and none keeps it.

pub fn log(level: i32, line: &[u8]) {
    unsafe { import::log(level, line.as_ptr(), line.len()) }
}

pub fn log_enabled(level: i32) -> bool {
    unsafe { import::log_enabled(level) != 0 }
}

pub fn metric_define(kind: i32, series: &[u8]) -> i32 {
    unsafe { import::metric_define(kind, series.as_ptr(), series.len()) }
}

pub fn metric_add(id: i32, value: f64) {
    unsafe { import::metric_add(id, value) }
}

pub fn attr_set(key: &[u8], value: &[u8]) {
    unsafe { import::attr_set(key.as_ptr(), key.len(), value.as_ptr(), value.len()) }
}

pub fn trace_parent(b: &mut [u8]) -> i32 {
    unsafe { import::trace_parent(b.as_mut_ptr(), b.len()) }
}

pub fn kv_get(key: &[u8], b: &mut [u8]) -> i32 {
    unsafe { import::kv_get(key.as_ptr(), key.len(), b.as_mut_ptr(), b.len()) }
}

pub fn kv_set(key: &[u8], value: &[u8], ttl_ms: i64) -> i32 {
    unsafe { import::kv_set(key.as_ptr(), key.len(), value.as_ptr(), value.len(), ttl_ms) }
}

pub fn kv_add(key: &[u8], delta: i64, ttl_ms: i64) -> i64 {
    unsafe { import::kv_add(key.as_ptr(), key.len(), delta, ttl_ms) }
}

pub fn kv_cas(key: &[u8], old: Option<&[u8]>, new: &[u8], ttl_ms: i64) -> i32 {
    let (o, on) = old.map_or((std::ptr::null(), -1), |b| (b.as_ptr(), b.len() as i32));
    unsafe {
        import::kv_cas(
            key.as_ptr(),
            key.len(),
            o,
            on,
            new.as_ptr(),
            new.len(),
            ttl_ms,
        )
    }
}

pub fn topic_name(id: &[u8; 16], b: &mut [u8]) -> i32 {
    unsafe { import::topic_name(id.as_ptr(), b.as_mut_ptr(), b.len()) }
}

pub fn now_ns() -> i64 {
    unsafe { import::now_ns() }
}

pub fn random(b: &mut [u8]) {
    unsafe { import::random(b.as_mut_ptr(), b.len()) }
}

pub fn send_request(block: &[u8]) -> Result<Vec<u8>, HostError> {
    result(unsafe { import::send_request(block.as_ptr(), block.len()) })
}

pub fn http_call(block: &[u8]) -> Result<Vec<u8>, HostError> {
    result(unsafe { import::http_call(block.as_ptr(), block.len()) })
}

/// Reads a result: its handle and length.
fn result(packed: i64) -> Result<Vec<u8>, HostError> {
    let packed = check(packed)?;
    let (handle, mut b) = ((packed >> 32) as i32, vec![0; packed as u32 as usize]);
    let n = unsafe { import::result_read(handle, 0, b.as_mut_ptr(), b.len()) };
    unsafe { import::result_free(handle) };
    check(if n as usize == b.len() {
        0
    } else {
        abi::ERR_ARGUMENT
    })?;
    Ok(b)
}
