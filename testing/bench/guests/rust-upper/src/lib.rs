//! A guest that changes every value: it makes letters upper case where they stand.

use sluice::{Error, Manifest, Plugin, Records};

struct Upper;

impl Plugin for Upper {
    fn on_produce(&mut self, records: &mut Records) -> Result<(), Error> {
        all(records)
    }

    fn on_fetch(&mut self, records: &mut Records) -> Result<(), Error> {
        all(records)
    }
}

fn all(records: &mut Records) -> Result<(), Error> {
    for i in 0..records.len() {
        records.change_value(i, change);
    }
    Ok(())
}

/// A byte in each place.
const EACH: u64 = 0x0101_0101_0101_0101;

/// Eight bytes at a time, as in the Go guest.
fn change(value: &mut [u8]) -> bool {
    let mut words = value.chunks_exact_mut(8);
    for place in &mut words {
        let w = u64::from_le_bytes((&*place).try_into().unwrap());
        let low = w & (0x7f * EACH);
        let lower = (low + 0x1f * EACH) & !(low + 0x05 * EACH) & !w & (0x80 * EACH);
        place.copy_from_slice(&(w ^ (lower >> 2)).to_le_bytes());
    }
    words.into_remainder().make_ascii_uppercase();
    true
}

sluice::register!("rust-upper", Upper, Manifest::new().produce().fetch());
