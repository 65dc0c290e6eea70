//! The result block. Edits are written right where they stand in it, behind room for its head, in one buffer that is
//! used again for every call.

use crate::abi;

/// A result block in the making.
#[derive(Default)]
pub(crate) struct Edits {
    out: Vec<u8>,
    state: Vec<u8>,
    last: u32,
    unsorted: bool,
}

const HEAD: usize = abi::RESULT_SIZE as usize;

impl Edits {
    /// Begins a call.
    pub(crate) fn clear(&mut self) {
        self.out.clear();
        self.out.resize(HEAD, 0);
        self.state.clear();
        self.last = 0;
        self.unsorted = false;
    }

    /// Adds an edit; a value of `None` is null.
    pub(crate) fn push(
        &mut self,
        record: u32,
        op: i64,
        argument: i16,
        name: &[u8],
        value: Option<&[u8]>,
    ) {
        self.unsorted |= record < self.last;
        self.last = record;
        let n2 = value.map_or(abi::NULL as u32, |v| v.len() as u32);
        let mut head = [0; abi::EDIT_HEAD as usize];
        head[0..4].copy_from_slice(&record.to_le_bytes());
        head[4] = op as u8;
        head[6..8].copy_from_slice(&argument.to_le_bytes());
        head[8..12].copy_from_slice(&(name.len() as u32).to_le_bytes());
        head[12..16].copy_from_slice(&n2.to_le_bytes());
        self.out.extend_from_slice(&head);
        self.out.extend_from_slice(name);
        self.out.extend_from_slice(value.unwrap_or_default());
    }

    /// What comes back with the response.
    pub(crate) fn set_state(&mut self, state: &[u8]) {
        self.state.clear();
        self.state.extend_from_slice(state);
    }

    /// The result of a call of records, `None` for "unchanged".
    pub(crate) fn finish(&mut self) -> Option<&[u8]> {
        if self.out.len() == HEAD {
            return None;
        }
        if self.unsorted {
            self.sort();
        }
        let n = self.out.len() - HEAD;
        self.place(abi::RESULT_EDITS, HEAD, n);
        Some(self.seal(abi::ACTION_FORWARD, 0, "", None))
    }

    /// The result of a call that refuses, or of one with a body.
    pub(crate) fn answer(
        &mut self,
        action: i64,
        code: i16,
        message: &str,
        body: Option<&[u8]>,
    ) -> &[u8] {
        self.out.truncate(HEAD);
        self.seal(action, code, message, body)
    }

    fn seal(&mut self, action: i64, code: i16, message: &str, body: Option<&[u8]>) -> &[u8] {
        self.out[0..4].copy_from_slice(&(HEAD as u32).to_le_bytes());
        self.out[abi::RESULT_ACTION as usize..][..2]
            .copy_from_slice(&(action as u16).to_le_bytes());
        self.out[abi::RESULT_CODE as usize..][..2].copy_from_slice(&code.to_le_bytes());
        let state = std::mem::take(&mut self.state);
        for (at, bytes) in [
            (
                abi::RESULT_MESSAGE,
                Some(message.as_bytes()).filter(|m| !m.is_empty()),
            ),
            (abi::RESULT_BODY, body),
            (
                abi::RESULT_STATE,
                Some(&state[..]).filter(|s| !s.is_empty()),
            ),
        ] {
            if let Some(b) = bytes {
                let from = self.out.len();
                self.out.extend_from_slice(b);
                self.place(at, from, b.len());
            }
        }
        self.state = state;
        &self.out
    }

    fn place(&mut self, at: i64, from: usize, n: usize) {
        self.out[at as usize..][..4].copy_from_slice(&(from as u32).to_le_bytes());
        self.out[at as usize + 4..][..4].copy_from_slice(&(n as u32).to_le_bytes());
    }

    /// Edits stand by ascending record. Who goes back pays for it here.
    fn sort(&mut self) {
        let mut edits = Vec::new();
        let mut rest = &self.out[HEAD..];
        while !rest.is_empty() {
            let word = |at| crate::block::u32(rest, at);
            let n2 = if word(12) == abi::NULL as u32 {
                0
            } else {
                word(12)
            };
            let (edit, more) = rest.split_at(abi::EDIT_HEAD as usize + (word(8) + n2) as usize);
            edits.push((word(0), edit));
            rest = more;
        }
        edits.sort_by_key(|e| e.0); // is stable: edits of one record stay in their order
        let sorted: Vec<u8> = edits.iter().flat_map(|e| e.1).copied().collect();
        self.out.truncate(HEAD);
        self.out.extend_from_slice(&sorted);
    }
}
