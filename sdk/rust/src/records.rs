use crate::abi;
use crate::block::{piece, span, u16, u32, u64};
use crate::edits::Edits;
use crate::{Call, Record};
use std::cell::RefCell;

/// The records of one request or response, over its partitions.
pub struct Records<'a> {
    pub(crate) block: &'a mut [u8],
    pub(crate) edits: RefCell<Edits>,
}

impl<'a> Records<'a> {
    /// What is known of the call.
    pub fn call(&self) -> Call<'_> {
        Call { block: self.block }
    }

    /// The number of records.
    pub fn len(&self) -> usize {
        u32(self.block, abi::HEAD_RECORDS as usize + 4) as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where a record is described.
    fn description(&self, i: usize) -> usize {
        assert!(i < self.len(), "record {} of {}", i, self.len());
        u32(self.block, abi::HEAD_RECORDS as usize + 8) as usize
            + i * u32(self.block, abi::HEAD_RECORDS as usize) as usize
    }

    /// A record by its number.
    pub fn get(&self, i: usize) -> Record<'_> {
        Record {
            block: self.block,
            edits: &self.edits,
            index: i as u32,
            at: self.description(i),
        }
    }

    /// All records.
    pub fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        (0..self.len()).map(move |i| self.get(i))
    }

    /// The batches.
    pub fn groups(&self) -> impl Iterator<Item = Group<'_>> {
        let [size, n, first] =
            [0, 4, 8].map(|i| u32(self.block, abi::HEAD_GROUPS as usize + i) as usize);
        (0..n).map(move |i| Group {
            records: self,
            at: first + i * size,
        })
    }

    /// Changes the value of a record where it stands: the cheapest edit there is. `change` says whether it has
    /// changed anything; it is not called for null. Returns what it said.
    pub fn change_value(&mut self, i: usize, change: impl FnOnce(&mut [u8]) -> bool) -> bool {
        self.change(i, abi::RECORD_VALUE, abi::OP_VALUE_IN_PLACE, change)
    }

    /// Changes the key of a record where it stands.
    pub fn change_key(&mut self, i: usize, change: impl FnOnce(&mut [u8]) -> bool) -> bool {
        self.change(i, abi::RECORD_KEY, abi::OP_KEY_IN_PLACE, change)
    }

    fn change(
        &mut self,
        i: usize,
        field: i64,
        op: i64,
        change: impl FnOnce(&mut [u8]) -> bool,
    ) -> bool {
        let place = span(self.block, self.description(i) + field as usize);
        let changed = place.map_or(false, |s| change(&mut self.block[s]));
        if changed {
            self.edits.get_mut().push(i as u32, op, 0, b"", Some(b""));
        }
        changed
    }
}

/// The records of one batch.
#[derive(Clone, Copy)]
pub struct Group<'r> {
    records: &'r Records<'r>,
    at: usize,
}

impl<'r> Group<'r> {
    fn block(&self) -> &'r [u8] {
        self.records.block
    }

    /// The topic's name.
    pub fn topic(&self) -> &'r [u8] {
        piece(self.block(), self.at as i64 + abi::GROUP_TOPIC)
    }

    /// The topic's id, zero where the version of the request has none.
    pub fn topic_id(&self) -> [u8; 16] {
        let mut id = [0; 16];
        id.copy_from_slice(&self.block()[self.at + abi::GROUP_ID as usize..][..16]);
        id
    }

    /// The number of the partition.
    pub fn partition(&self) -> i32 {
        u32(self.block(), self.at + abi::GROUP_PARTITION as usize) as i32
    }

    /// The id of an idempotent producer, -1 for none.
    pub fn producer_id(&self) -> i64 {
        u64(self.block(), self.at + abi::GROUP_PRODUCER_ID as usize) as i64
    }

    /// Whether the batch belongs to a transaction.
    pub fn transactional(&self) -> bool {
        u16(self.block(), self.at + abi::GROUP_ATTRIBUTES as usize) & 16 != 0
    }

    /// The numbers of the batch's records.
    pub fn range(&self) -> std::ops::Range<usize> {
        let first = u32(self.block(), self.at + abi::GROUP_FIRST as usize) as usize;
        first..first + u32(self.block(), self.at + abi::GROUP_COUNT as usize) as usize
    }

    /// The batch's records.
    pub fn iter(&self) -> impl Iterator<Item = Record<'r>> {
        let records = self.records;
        self.range().map(move |i| records.get(i))
    }
}
