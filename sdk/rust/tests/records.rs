//! What plugins see, and what becomes of their edits.

use sluice::testing::{self, record, Record};
use sluice::{code, Error, Guest, Manifest, Plugin, Records};

/// A plugin that a test writes.
struct Scripted<F>(F);

impl<F: FnMut(&mut Records) -> Result<(), Error>> Plugin for Scripted<F> {
    fn on_produce(&mut self, records: &mut Records) -> Result<(), Error> {
        (self.0)(records)
    }
}

fn produce(
    records: &[Record],
    script: impl FnMut(&mut Records) -> Result<(), Error> + 'static,
) -> Result<Vec<Record>, Error> {
    testing::produce(
        &mut Guest::new("scripted", Scripted(script), Manifest::new()),
        records,
    )
}

#[test]
fn views_show_what_the_block_has() {
    let mut with_headers = record("a", b"value");
    with_headers.timestamp = 1234;
    with_headers.headers = vec![("g".into(), Some(b"1".to_vec())), ("h".into(), None)];
    let null = Record {
        topic: "b".into(),
        partition: 3,
        ..Record::default()
    };
    produce(&[with_headers, null], |r| {
        assert_eq!(
            (r.len(), r.is_empty(), &r.call().client_id()[..]),
            (2, false, "test")
        );
        let first = r.get(0);
        assert_eq!(
            (first.key(), first.value(), first.timestamp()),
            (None, Some(&b"value"[..]), 1234)
        );
        assert_eq!(first.header("g"), Some(Some(&b"1"[..])));
        assert_eq!((first.header("h"), first.header("i")), (Some(None), None));
        assert_eq!(first.headers().count(), 2);
        let groups: Vec<_> = r
            .groups()
            .map(|g| (g.topic().to_vec(), g.partition(), g.range()))
            .collect();
        assert_eq!(groups, [(b"a".to_vec(), 0, 0..1), (b"b".to_vec(), 3, 1..2)]);
        assert_eq!(
            r.groups()
                .flat_map(|g| g.iter())
                .map(|rec| rec.index())
                .sum::<usize>(),
            1
        );
        assert_eq!(r.get(1).value(), None);
        Ok(())
    })
    .unwrap();
}

#[test]
fn edits_change_records_as_they_say() {
    let records: Vec<_> = ["v", "drop", "abc", "k"]
        .iter()
        .map(|v| record("t", v.as_bytes()))
        .collect();
    let got = produce(&records, |r| {
        // They need not ascend here.
        r.get(3).set_key(Some(b"key"));
        r.get(3).set_value(None);
        r.get(3).reject(code::INVALID_RECORD, "no");
        assert!(r.change_value(2, |v| {
            v.make_ascii_uppercase();
            true
        }));
        assert!(!r.change_value(2, |_| false) && !r.change_key(2, |_| true));
        r.get(1).drop();
        r.get(0).set_value(Some(b"new"));
        r.get(0).add_header("x", Some(b"1"));
        r.get(0).add_header("y", None);
        r.get(0).remove_headers("x");
        r.get(0).set_timestamp(7);
        Ok(())
    })
    .unwrap();
    let want = |value: Option<&[u8]>| Record {
        value: value.map(Into::into),
        ..record("t", b"")
    };
    let mut first = want(Some(b"new"));
    first.timestamp = 7;
    first.headers = vec![("y".into(), None)];
    let mut last = want(None);
    last.key = Some(b"key".to_vec());
    last.rejected = Some(Error::new(87, "no"));
    assert_eq!(got, [first, want(Some(b"ABC")), last]);
}

#[test]
fn errors_refuse_with_their_code() {
    let refused = |e: Error| {
        produce(&[record("t", b"v")], move |r| {
            r.get(0).drop(); // counts for nothing
            Err(e.clone())
        })
    };
    assert_eq!(refused("plain".into()), Err(Error::new(44, "plain")));
    assert_eq!(
        refused(Error::new(29, "coded")),
        Err(Error::new(29, "coded"))
    );
}

#[test]
fn what_is_not_edited_has_no_result() {
    let mut guest = Guest::new(
        "scripted",
        Scripted(|_: &mut Records| Ok(())),
        Manifest::new(),
    );
    let mut block = testing::block(sluice::abi::KIND_PRODUCE, &[record("t", b"v")]);
    assert_eq!(guest.call(&mut block), None);
}
