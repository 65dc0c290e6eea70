//! JSON is read and written as it is, and what is none is refused.

use sluice::json::Value;

#[test]
fn what_is_read_is_written() {
    for text in [
        "null",
        "true",
        "[]",
        "{}",
        "[1,-2.5e3,\"a\\u0001\\\"\\\\ü😀\",null,[{}]]",
        "{\"a\":{\"b\":[false]},\"c\":9223372036854775807}",
    ] {
        let v = Value::parse(text.as_bytes()).unwrap();
        assert_eq!(v.to_string(), text);
        assert_eq!(Value::parse(v.to_string().as_bytes()), Ok(v));
    }
    let spaced = Value::parse(b" { \"a\" : [ 1 , 2 ] } \n").unwrap();
    assert_eq!(spaced.to_string(), "{\"a\":[1,2]}");
}

#[test]
fn what_is_none_is_refused() {
    let deep = "[".repeat(100_000);
    for text in [
        "", "{", "[1", "[1,]", "{\"a\"}", "{\"a\":}", "{a:1}", "tru", "1 2", "\"a", "[}", "nan",
        &deep,
    ] {
        assert!(Value::parse(text.as_bytes()).is_err(), "{}", text);
    }
    assert!(Value::parse(b"\"\xff\"").is_err());
}

#[test]
fn values_are_what_they_are() {
    let mut v = Value::Null;
    v.set("n", 7);
    v.set("t", "x");
    v.set("b", true);
    v.set("l", vec![Value::Null]);
    v.set("n", 8);
    assert_eq!(
        v.to_string(),
        "{\"n\":8,\"t\":\"x\",\"b\":true,\"l\":[null]}"
    );
    assert_eq!(v.get("n").and_then(Value::number), Some(8));
    assert_eq!(v.get("t").and_then(Value::text), Some("x"));
    assert_eq!(v.get("b").and_then(Value::truth), Some(true));
    assert_eq!(v.get("l").unwrap().items().len(), 1);
    assert_eq!(v.get("none"), None);
    assert_eq!(v.get("t").unwrap().number(), None);
    assert!(v.get("n").unwrap().items().is_empty());
}
