//! Shows records to a plugin in native tests, and tells what it made of them.
//!
//! ```
//! use sluice::{testing, Error, Guest, Manifest, Plugin, Records};
//! # struct Hello;
//! # impl Plugin for Hello {
//! #     fn on_produce(&mut self, records: &mut Records) -> Result<(), Error> {
//! #         records.iter().for_each(|r| r.add_header("hello", None));
//! #         Ok(())
//! #     }
//! # }
//! let mut guest = Guest::new("hello", Hello, Manifest::new().produce());
//! let got = testing::produce(&mut guest, &[testing::record("orders", b"value")]).unwrap();
//! assert_eq!(got[0].headers, [("hello".into(), None)]);
//! ```

use crate::block::{field, piece, u16, u32};
use crate::host::memory::{with, Answer, Memory};
use crate::{abi, Error, Guest};

/// A record that a plugin is shown, and what becomes of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The topic.
    pub topic: String,
    /// The number of the partition.
    pub partition: i32,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Option<Vec<u8>>,
    /// The headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// What the plugin said if it refused the record.
    pub rejected: Option<Error>,
}

/// A record of a topic with a value.
pub fn record(topic: &str, value: &[u8]) -> Record {
    Record {
        topic: topic.into(),
        value: Some(value.into()),
        ..Record::default()
    }
}

/// Shows records as those of a Produce request, and returns those that are not dropped, or the refusal.
pub fn produce(guest: &mut Guest, records: &[Record]) -> Result<Vec<Record>, Error> {
    run(guest, abi::KIND_PRODUCE, records)
}

/// Shows records as those of a Fetch response, and returns those that are not dropped, or the refusal.
pub fn fetch(guest: &mut Guest, records: &[Record]) -> Result<Vec<Record>, Error> {
    run(guest, abi::KIND_FETCH, records)
}

/// Forgets what this thread's host functions were told so far.
pub fn reset() {
    with(|m| *m = Memory::default());
}

/// The lines logged so far.
pub fn lines() -> Vec<String> {
    with(|m| m.lines.clone())
}

/// The sum of what was added to the series of a name.
pub fn metric(name: &str) -> f64 {
    let name = format!("{{\"name\": {},", crate::config::quote(name));
    with(|m| {
        m.series
            .iter()
            .filter(|s| s.0.starts_with(&name))
            .map(|s| s.1)
            .sum()
    })
}

/// Sets the traceparent of the calls that follow.
pub fn set_trace_parent(parent: &str) {
    with(|m| m.trace_parent = parent.into());
}

/// An attribute of the span.
pub fn attribute(key: &str) -> Option<String> {
    with(|m| m.attributes.get(key).cloned())
}

/// Gives a topic an id.
pub fn set_topic(id: [u8; 16], name: &str) {
    with(|m| m.topics.insert(id, name.into()));
}

/// Answers requests of the plugin's own; without it they are denied.
pub fn answer_requests(answer: Answer) {
    with(|m| m.send = Some(answer));
}

/// Answers HTTP calls; without it they are denied.
pub fn answer_calls(answer: Answer) {
    with(|m| m.call = Some(answer));
}

/// A block of one group per record, from the client "test".
pub fn block(kind: i64, records: &[Record]) -> Vec<u8> {
    let groups = abi::HEAD_SIZE as usize;
    let first = groups + records.len() * abi::GROUP_SIZE as usize;
    let mut b = vec![0; first + records.len() * abi::RECORD_SIZE as usize];
    put(&mut b, abi::HEAD_LEN as usize, abi::HEAD_SIZE as u32);
    put(&mut b, abi::HEAD_KIND as usize, kind as u32);
    let n = records.len() as u32;
    let tables = [
        abi::GROUP_SIZE as u32,
        n,
        groups as u32,
        abi::RECORD_SIZE as u32,
        n,
        first as u32,
    ];
    for (i, v) in tables.iter().enumerate() {
        put(&mut b, abi::HEAD_GROUPS as usize + 4 * i, *v);
    }
    add(&mut b, abi::HEAD_CLIENT as usize, Some(b"test"));
    for (i, r) in records.iter().enumerate() {
        let at = groups + i * abi::GROUP_SIZE as usize;
        add(
            &mut b,
            at + abi::GROUP_TOPIC as usize,
            Some(r.topic.as_bytes()),
        );
        put(
            &mut b,
            at + abi::GROUP_PARTITION as usize,
            r.partition as u32,
        );
        put(&mut b, at + abi::GROUP_FIRST as usize, i as u32);
        put(&mut b, at + abi::GROUP_COUNT as usize, 1);
        let at = first + i * abi::RECORD_SIZE as usize;
        b[at..at + 8].copy_from_slice(&r.timestamp.to_le_bytes());
        add(&mut b, at + abi::RECORD_KEY as usize, r.key.as_deref());
        add(&mut b, at + abi::RECORD_VALUE as usize, r.value.as_deref());
        let headers = b.len() as u32;
        put(&mut b, at + abi::RECORD_HEADERS as usize, headers);
        put(
            &mut b,
            at + abi::RECORD_HEADERS as usize + 4,
            r.headers.len() as u32,
        );
        for (key, value) in &r.headers {
            b.extend_from_slice(&(key.len() as u32).to_le_bytes());
            b.extend_from_slice(&length(value.as_deref()).to_le_bytes());
            b.extend_from_slice(key.as_bytes());
            b.extend_from_slice(value.as_deref().unwrap_or_default());
        }
    }
    b
}

fn length(b: Option<&[u8]>) -> u32 {
    b.map_or(abi::NULL as u32, |b| b.len() as u32)
}

fn put(b: &mut [u8], at: usize, v: u32) {
    b[at..at + 4].copy_from_slice(&v.to_le_bytes());
}

fn add(b: &mut Vec<u8>, at: usize, bytes: Option<&[u8]>) {
    let from = b.len() as u32;
    put(b, at, from);
    put(b, at + 4, length(bytes));
    b.extend_from_slice(bytes.unwrap_or_default());
}

fn run(guest: &mut Guest, kind: i64, records: &[Record]) -> Result<Vec<Record>, Error> {
    let mut b = block(kind, records);
    let result = guest.call(&mut b).map(<[u8]>::to_vec);
    let mut all: Vec<Option<Record>> = records.iter().cloned().map(Some).collect();
    if let Some(result) = result {
        if i64::from(u16(&result, abi::RESULT_ACTION as usize)) == abi::ACTION_ERROR {
            let message = String::from_utf8_lossy(piece(&result, abi::RESULT_MESSAGE));
            return Err(Error::new(
                u16(&result, abi::RESULT_CODE as usize) as i16,
                message,
            ));
        }
        let first = u32(&b, abi::HEAD_RECORDS as usize + 8) as usize;
        let mut edits = piece(&result, abi::RESULT_EDITS);
        let mut last = 0;
        while !edits.is_empty() {
            let i = u32(edits, 0) as usize;
            assert!(i >= last, "edits do not ascend");
            last = i;
            let (head, rest) = edits.split_at(abi::EDIT_HEAD as usize);
            let (name, rest) = rest.split_at(u32(head, 8) as usize);
            let n = if length(None) == u32(head, 12) {
                None
            } else {
                Some(u32(head, 12) as usize)
            };
            let (value, rest) = rest.split_at(n.unwrap_or(0));
            edits = rest;
            let at = first + i * abi::RECORD_SIZE as usize;
            change(&mut all[i], head, name, n.map(|_| value), |f: i64| {
                field(&b, at + f as usize).map(<[u8]>::to_vec)
            });
        }
    }
    Ok(all.into_iter().flatten().collect())
}

/// Applies one edit.
fn change(
    slot: &mut Option<Record>,
    head: &[u8],
    name: &[u8],
    value: Option<&[u8]>,
    now: impl Fn(i64) -> Option<Vec<u8>>,
) {
    let text = || String::from_utf8_lossy(name).into_owned();
    let r = match slot {
        Some(r) => r,
        None => return, // it was dropped
    };
    match i64::from(head[4]) {
        abi::OP_ADD_HEADER => r.headers.push((text(), value.map(Into::into))),
        abi::OP_REMOVE_HEADERS => r.headers.retain(|h| h.0.as_bytes() != name),
        abi::OP_SET_VALUE => r.value = value.map(Into::into),
        abi::OP_SET_KEY => r.key = value.map(Into::into),
        abi::OP_SET_TIMESTAMP => {
            r.timestamp = crate::block::u64(value.unwrap_or_default(), 0) as i64
        }
        abi::OP_VALUE_IN_PLACE => r.value = now(abi::RECORD_VALUE),
        abi::OP_KEY_IN_PLACE => r.key = now(abi::RECORD_KEY),
        abi::OP_REJECT => r.rejected = Some(Error::new(u16(head, 6) as i16, text())),
        abi::OP_DROP => *slot = None,
        op => panic!("unknown edit {}", op),
    }
}
