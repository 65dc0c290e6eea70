//! A plugin that masks the digits of all values that consumers get.

use sluice::{Error, Manifest, Plugin, Records};

struct Mask;

impl Plugin for Mask {
    fn on_fetch(&mut self, records: &mut Records) -> Result<(), Error> {
        for i in 0..records.len() {
            records.change_value(i, mask);
        }
        Ok(())
    }
}

/// Masks digits where they stand and returns whether there were any: what has none is not encoded again.
fn mask(value: &mut [u8]) -> bool {
    let mut found = false;
    for c in value.iter_mut().filter(|c| c.is_ascii_digit()) {
        *c = b'*';
        found = true;
    }
    found
}

// What this plugin can't see must not get by.
sluice::register!(
    "rust-mask",
    Mask,
    Manifest::new().version("1.0.0").fetch().fail_closed_only()
);

#[cfg(test)]
mod tests {
    use sluice::testing::{fetch, record};

    #[test]
    fn digits_are_masked() {
        let got = fetch(
            &mut super::sluice_guest(),
            &[
                record("cards", b"card 4711, cvc 99"),
                record("cards", b"none"),
            ],
        )
        .unwrap();
        assert_eq!(got[0].value.as_deref(), Some(&b"card ****, cvc **"[..]));
        assert_eq!(got[1], record("cards", b"none"));
    }
}
