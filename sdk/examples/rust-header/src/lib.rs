//! A plugin that adds a header to every record that has none of that name.

use sluice::{config, Error, Manifest, Plugin, Records};

#[derive(Default)]
struct Header {
    key: String,
    value: String,
}

impl Plugin for Header {
    fn configure(&mut self, json: &[u8]) -> Result<(), String> {
        config::each(json, |name, value| {
            match name {
                "key" => self.key = value,
                "value" => self.value = value,
                _ => return false,
            }
            true
        })?;
        if self.key.is_empty() {
            return Err("config.key is missing: the name of the header".into());
        }
        Ok(())
    }

    fn on_produce(&mut self, records: &mut Records) -> Result<(), Error> {
        for record in records.iter() {
            if record.header(&self.key).is_none() {
                record.add_header(&self.key, Some(self.value.as_bytes()));
            }
        }
        Ok(())
    }
}

sluice::register!(
    "rust-header",
    Header::default(),
    Manifest::new().version("1.0.0").produce()
);

#[cfg(test)]
mod tests {
    use sluice::testing::{produce, record};

    #[test]
    fn headers_are_added_where_there_is_none() {
        let mut guest = super::sluice_guest();
        assert!(guest.configure(b"{\"value\": \"x\"}").is_err());
        guest
            .configure(b"{\"key\": \"via\", \"value\": \"sluice\"}")
            .unwrap();
        let mut has = record("orders", b"b");
        has.headers = vec![("via".into(), None)];
        let got = produce(&mut guest, &[record("orders", b"a"), has.clone()]).unwrap();
        assert_eq!(got[0].headers, [("via".into(), Some(b"sluice".to_vec()))]);
        assert_eq!(got[1], has);
    }
}
