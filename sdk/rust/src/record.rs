use crate::abi;
use crate::block::{field, u32, u64};
use crate::edits::Edits;
use std::cell::RefCell;

/// A view of one record, and what may be done to it. Nothing is copied until it is asked for.
#[derive(Clone, Copy)]
pub struct Record<'r> {
    pub(crate) block: &'r [u8],
    pub(crate) edits: &'r RefCell<Edits>,
    pub(crate) index: u32,
    pub(crate) at: usize,
}

impl<'r> Record<'r> {
    /// The record's number in the call: see [`Records::change_value`](crate::Records::change_value).
    pub fn index(&self) -> usize {
        self.index as usize
    }

    /// The record's key, `None` for null.
    pub fn key(&self) -> Option<&'r [u8]> {
        field(self.block, self.at + abi::RECORD_KEY as usize)
    }

    /// The record's value, `None` for null.
    pub fn value(&self) -> Option<&'r [u8]> {
        field(self.block, self.at + abi::RECORD_VALUE as usize)
    }

    /// The record's time, milliseconds since 1970.
    pub fn timestamp(&self) -> i64 {
        u64(self.block, self.at + abi::RECORD_TIMESTAMP as usize) as i64
    }

    /// The record's offset; on produce, its number in the batch.
    pub fn offset(&self) -> i64 {
        u64(self.block, self.at + abi::RECORD_OFFSET as usize) as i64
    }

    /// The headers.
    pub fn headers(&self) -> Headers<'r> {
        let at = self.at + abi::RECORD_HEADERS as usize;
        Headers {
            block: self.block,
            at: u32(self.block, at) as usize,
            left: u32(self.block, at + 4),
        }
    }

    /// The value of the first header with a key; `Some(None)` is a header whose value is null.
    pub fn header(&self, key: &str) -> Option<Option<&'r [u8]>> {
        self.headers().find(|h| h.0 == key.as_bytes()).map(|h| h.1)
    }

    /// Adds a header; a value of `None` is null.
    pub fn add_header(&self, key: &str, value: Option<&[u8]>) {
        self.edit(abi::OP_ADD_HEADER, 0, key, value);
    }

    /// Removes the headers with a key.
    pub fn remove_headers(&self, key: &str) {
        self.edit(abi::OP_REMOVE_HEADERS, 0, key, None);
    }

    /// Replaces the value; `None` is null.
    pub fn set_value(&self, value: Option<&[u8]>) {
        self.edit(abi::OP_SET_VALUE, 0, "", value);
    }

    /// Replaces the key; `None` is null.
    pub fn set_key(&self, key: Option<&[u8]>) {
        self.edit(abi::OP_SET_KEY, 0, "", key);
    }

    /// Replaces the timestamp, milliseconds since 1970.
    pub fn set_timestamp(&self, ms: i64) {
        self.edit(abi::OP_SET_TIMESTAMP, 0, "", Some(&ms.to_le_bytes()));
    }

    /// Leaves the record out. On produce, what becomes of a batch of an idempotent producer is the operator's to say:
    /// see `produce_drop`.
    pub fn drop(&self) {
        self.edit(abi::OP_DROP, 0, "", Some(b""));
    }

    /// Refuses the record, and with it its batch.
    pub fn reject(&self, code: i16, message: &str) {
        self.edit(abi::OP_REJECT, code, message, Some(b""));
    }

    fn edit(&self, op: i64, argument: i16, name: &str, value: Option<&[u8]>) {
        self.edits
            .borrow_mut()
            .push(self.index, op, argument, name.as_bytes(), value);
    }
}

/// The headers of a record: keys and values, `None` for null.
#[derive(Clone)]
pub struct Headers<'r> {
    block: &'r [u8],
    at: usize,
    left: u32,
}

impl<'r> Iterator for Headers<'r> {
    type Item = (&'r [u8], Option<&'r [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (key, value) = (
            u32(self.block, self.at) as usize,
            u32(self.block, self.at + 4) as i32,
        );
        let from = self.at + 8;
        let to = from + key;
        self.at = to + value.max(0) as usize;
        Some((
            &self.block[from..to],
            (value >= 0).then(|| &self.block[to..self.at]),
        ))
    }
}
