//! Host functions in tests, messages, sessions, and what a guest says of itself.

use sluice::host::{self, HostError};
use sluice::{
    abi, testing, Error, Event, Guest, Level, Manifest, Metric, Plugin, Request, Response, Session,
};
use std::time::Duration;

#[test]
fn the_store_is_kept_in_memory() {
    assert_eq!(host::get(b"name"), Ok(None));
    assert_eq!(
        host::compare_and_set(b"name", None, &[7; 500], None),
        Ok(true)
    );
    assert_eq!(host::compare_and_set(b"name", None, b"x", None), Ok(false));
    assert_eq!(host::get(b"name").unwrap().map(|v| v.len()), Some(500));
    assert_eq!(
        host::set(b"other", b"x", Some(Duration::from_secs(9))),
        Ok(())
    );
    assert_eq!(host::get(b"other"), Ok(Some(b"x".to_vec())));
    assert_eq!(host::add(b"count", 2, None), Ok(2));
    assert_eq!(host::add(b"count", 3, None), Ok(5));
    assert_eq!(host::add(b"count", -6, None), Err(HostError::Argument));
    testing::reset();
    assert_eq!(host::get(b"count"), Ok(None));
}

#[test]
fn what_is_said_is_kept() {
    sluice::log(Level::Info, format_args!("{} records", 3));
    let masked = Metric::counter("masked_total", &[("field", "card")]);
    masked.add(2.0);
    masked.add(1.0);
    assert_eq!(host::trace_parent(), None);
    testing::set_trace_parent("00-0102-03-01");
    assert_eq!(host::trace_parent().as_deref(), Some("00-0102-03-01"));
    host::set_attribute("who", "me");
    assert_eq!(testing::lines(), ["3 records"]);
    assert_eq!(testing::metric("masked_total"), 3.0);
    assert_eq!(testing::attribute("who").as_deref(), Some("me"));
    testing::set_topic([7; 16], "orders");
    assert_eq!(host::topic_name(&[7; 16]).as_deref(), Some("orders"));
    assert_eq!(host::topic_name(&[8; 16]), None);
    let mut b = [0; 8];
    host::random(&mut b);
    assert!(b != [0; 8] && host::now_ns() > 0);
}

#[test]
fn requests_of_its_own_are_answered_by_the_test() {
    assert_eq!(host::send_request(3, 7, b""), Err(HostError::Denied));
    testing::answer_requests(Box::new(|b| Ok(b.to_vec())));
    assert_eq!(
        host::send_request(3, 7, b"body"),
        Ok(b"\x03\0\x07\0\0\0\0\0body".to_vec())
    );
    testing::answer_calls(Box::new(|_| Err(HostError::Timeout)));
    assert_eq!(host::http_call(b""), Err(HostError::Timeout));
}

#[derive(Default)]
struct Messages {
    events: Vec<Event>,
}

impl Plugin for Messages {
    fn configure(&mut self, json: &[u8]) -> Result<(), String> {
        sluice::config::each(json, |name, _| name == "known")
    }

    fn on_request(&mut self, r: &mut Request) -> Result<(), Error> {
        match r.body() {
            b"refuse" => return Err(Error::new(29, "no")),
            b"respond" => r.respond(b"answer".to_vec()),
            b"close" => r.close(),
            b"change" => {
                r.forward(b"changed".to_vec());
                r.set_state(b"state");
            }
            _ => {}
        }
        Ok(())
    }

    fn on_response(&mut self, r: &mut Response) -> Result<(), Error> {
        if r.call().state() == b"change" {
            r.forward(b"changed".to_vec());
        }
        if r.call().state() == b"close" {
            r.close();
        }
        Ok(())
    }

    fn on_session(&mut self, s: &Session) -> Result<(), String> {
        self.events.push(s.event());
        Err("denied".into())
    }
}

/// A message block with a body and a state.
fn block(kind: i64, event: i64, body: &[u8], state: &[u8]) -> Vec<u8> {
    let mut b = vec![0; abi::HEAD_SIZE as usize];
    b[abi::HEAD_KIND as usize] = kind as u8;
    b[abi::HEAD_FLAGS as usize] = event as u8;
    for (at, bytes) in [(abi::HEAD_BODY, body), (abi::HEAD_STATE, state)] {
        let from = b.len() as u32;
        b[at as usize..][..4].copy_from_slice(&from.to_le_bytes());
        b[at as usize + 4..][..4].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
        b.extend_from_slice(bytes);
    }
    b
}

/// The action and the code of a result, and its bytes behind the head.
fn answer(result: Option<&[u8]>) -> Option<(i64, i16, String)> {
    result.map(|b| {
        let number = |at: i64| i16::from_le_bytes([b[at as usize], b[at as usize + 1]]);
        let rest = String::from_utf8_lossy(&b[abi::RESULT_SIZE as usize..]).into_owned();
        (
            number(abi::RESULT_ACTION).into(),
            number(abi::RESULT_CODE),
            rest,
        )
    })
}

#[test]
fn messages_are_refused_answered_changed_and_closed() {
    let mut guest = Guest::new("messages", Messages::default(), Manifest::new());
    for (body, want) in [
        ("refuse", Some((abi::ACTION_ERROR, 29, "no"))),
        ("respond", Some((abi::ACTION_RESPOND, 0, "answer"))),
        ("close", Some((abi::ACTION_CLOSE, 0, ""))),
        ("change", Some((abi::ACTION_FORWARD, 0, "changedstate"))),
        ("leave", None),
    ] {
        let got = answer(guest.call(&mut block(abi::KIND_REQUEST, 0, body.as_bytes(), b"")));
        assert_eq!(got, want.map(|(a, c, s)| (a, c, s.into())), "{}", body);
    }
    for (state, want) in [
        ("change", Some((abi::ACTION_FORWARD, 0, "changed"))),
        ("close", Some((abi::ACTION_RESPOND_CLOSE, 0, "body"))),
        ("", None),
    ] {
        let mut b = block(abi::KIND_RESPONSE, 0, b"body", state.as_bytes());
        let got = answer(guest.call(&mut b));
        assert_eq!(got, want.map(|(a, c, s)| (a, c, s.into())), "{}", state);
    }
    let got = answer(guest.call(&mut block(
        abi::KIND_SESSION,
        abi::SESSION_CONNECT,
        b"",
        b"",
    )));
    assert_eq!(got, Some((abi::ACTION_CLOSE, 0, "denied".into())));
}

#[test]
fn the_manifest_says_what_was_asked_for() {
    let m = Manifest::new()
        .version("2 \"x\"")
        .produce()
        .fetch()
        .requests(19, 0, 7)
        .responses(3, 1, 2)
        .session();
    let m = m
        .every(Duration::from_secs(1))
        .needs(abi::CAP_KV)
        .fail_closed_only();
    let json = Guest::new("m", Messages::default(), m).manifest();
    let want = r#"{"name": "m", "version": "2 \"x\"", "records": ["produce", "fetch"], "host": ["kv"], "requests": [{"api": 19, "min": 0, "max": 7}], "responses": [{"api": 3, "min": 1, "max": 2}], "tick_ms": 1000, "session": true, "fail_closed_only": true}"#;
    assert_eq!(json, want);
}

#[test]
fn configurations_are_flat() {
    let mut guest = Guest::new("m", Messages::default(), Manifest::new());
    assert_eq!(guest.configure(b"{\"known\": 1}"), Ok(()));
    assert!(guest
        .configure(b"{\"other\": 1}")
        .unwrap_err()
        .contains("config.other"));
    let got =
        sluice::config::flat(br#" { "a" : "\u003c\ud83d\ude00\"\n", "b":true , "c": -1.5e+3 } "#)
            .unwrap();
    let want = [("a", "<\u{1f600}\"\n"), ("b", "true"), ("c", "-1.5e+3")];
    assert_eq!(got, want.map(|(k, v)| (k.to_string(), v.to_string())));
    assert_eq!(sluice::config::flat(b"{}"), Ok(vec![]));
    for bad in [
        "",
        "[]",
        "{",
        "{\"a\"",
        "{\"a\":}",
        "{\"a\":{}}",
        "{\"a\":1",
        "{\"a\":1}x",
        "{\"a\":\"",
        "{\"a\":\"\\u12\"}",
        "{\"a\":1 \"b\":2}",
    ] {
        assert!(sluice::config::flat(bad.as_bytes()).is_err(), "{}", bad);
    }
}

#[test]
fn heads_are_read() {
    struct Heads;
    impl Plugin for Heads {
        fn on_request(&mut self, r: &mut Request) -> Result<(), Error> {
            let c = r.call();
            assert_eq!((c.key(), c.version(), c.correlation_id()), (3, 7, -1));
            assert_eq!(
                (c.session_id(), c.request_id(), c.deadline_ns()),
                (9, 1 << 40, 5)
            );
            assert!(c.principal().is_empty() && c.address().is_empty() && c.cluster().is_empty());
            Ok(())
        }
    }
    let mut b = block(abi::KIND_REQUEST, 0, b"", b"");
    b[abi::HEAD_KEY as usize] = 3;
    b[abi::HEAD_VERSION as usize] = 7;
    b[abi::HEAD_CORRELATION as usize..][..4].fill(255);
    b[abi::HEAD_SESSION as usize] = 9;
    b[abi::HEAD_REQUEST as usize + 5] = 1;
    b[abi::HEAD_DEADLINE as usize] = 5;
    assert_eq!(
        Guest::new("heads", Heads, Manifest::new()).call(&mut b),
        None
    );
}
