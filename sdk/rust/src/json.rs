//! JSON, as messages are shown that a manifest asks for with [`Manifest::as_json`](crate::Manifest::as_json).

use crate::config::{quote, Parser};
use std::fmt;

/// A value. Numbers are kept as they are written.
///
/// ```
/// use sluice::json::Value;
/// let mut v = Value::parse(br#"{"Topics": [{"Topic": "orders", "NumPartitions": 3}]}"#).unwrap();
/// let topic = v.get_mut("Topics").unwrap().items_mut().first_mut().unwrap();
/// assert_eq!(topic.get("Topic").and_then(Value::text), Some("orders"));
/// assert_eq!(topic.get("NumPartitions").and_then(Value::number), Some(3));
/// topic.set("NumPartitions", 6);
/// assert_eq!(v.to_string(), r#"{"Topics":[{"Topic":"orders","NumPartitions":6}]}"#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// null
    Null,
    /// true or false
    Bool(bool),
    /// A number.
    Number(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// An object: names and values, in their order.
    Object(Vec<(String, Value)>),
}

/// How deep values may stand in each other: far deeper than any message.
const DEEPEST: usize = 100;

impl Value {
    /// Reads a text.
    pub fn parse(json: &[u8]) -> Result<Value, String> {
        let text = std::str::from_utf8(json).map_err(|_| "not UTF-8")?;
        let mut p = Parser { rest: text.trim() };
        let v = value(&mut p, 0)?;
        p.end(v)
    }

    /// A field of an object.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Object(fields) => fields.iter().find(|f| f.0 == name).map(|f| &f.1),
            _ => None,
        }
    }

    /// A field of an object, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        match self {
            Value::Object(fields) => fields.iter_mut().find(|f| f.0 == name).map(|f| &mut f.1),
            _ => None,
        }
    }

    /// Sets a field of an object; of anything else it makes an object.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        let value = value.into();
        if let Some(old) = self.get_mut(name) {
            *old = value;
            return;
        }
        match self {
            Value::Object(fields) => fields.push((name.into(), value)),
            _ => *self = Value::Object(vec![(name.into(), value)]),
        }
    }

    /// The elements of a list; none of anything else.
    pub fn items(&self) -> &[Value] {
        match self {
            Value::List(list) => list,
            _ => &[],
        }
    }

    /// The elements of a list, to be changed, and of anything else the list that it becomes.
    pub fn items_mut(&mut self) -> &mut Vec<Value> {
        if !matches!(self, Value::List(_)) {
            *self = Value::List(Vec::new());
        }
        match self {
            Value::List(list) => list,
            _ => unreachable!(),
        }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(s) => Some(s),
            _ => None,
        }
    }

    /// The whole number, if it is one.
    pub fn number(&self) -> Option<i64> {
        match self {
            Value::Number(s) => s.parse().ok(),
            _ => None,
        }
    }

    /// The truth, if it is one.
    pub fn truth(&self) -> Option<bool> {
        match self {
            Value::Bool(b) => Some(*b),
            _ => None,
        }
    }
}

fn value(p: &mut Parser, deep: usize) -> Result<Value, String> {
    if deep > DEEPEST {
        return Err("too deep".into());
    }
    if p.rest.starts_with('"') {
        return p.string().map(Value::Text);
    }
    if p.take('[') {
        let mut list = Vec::new();
        if p.take(']') {
            return Ok(Value::List(list));
        }
        loop {
            list.push(value(p, deep + 1)?);
            if p.take(']') {
                return Ok(Value::List(list));
            }
            p.expect(',')?;
        }
    }
    if p.take('{') {
        let mut fields = Vec::new();
        if p.take('}') {
            return Ok(Value::Object(fields));
        }
        loop {
            let name = p.string()?;
            p.expect(':')?;
            fields.push((name, value(p, deep + 1)?));
            if p.take('}') {
                return Ok(Value::Object(fields));
            }
            p.expect(',')?;
        }
    }
    Ok(match p.word()?.as_str() {
        "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        n if n.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => Value::Number(n.into()),
        other => return Err(format!("{} is no value", other)),
    })
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(b) => write!(f, "{}", b),
            Value::Number(n) => f.write_str(n),
            Value::Text(s) => f.write_str(&quote(s)),
            Value::List(list) => {
                for (i, v) in list.iter().enumerate() {
                    write!(f, "{}{}", if i == 0 { "[" } else { "," }, v)?;
                }
                f.write_str(if list.is_empty() { "[]" } else { "]" })
            }
            Value::Object(fields) => {
                for (i, (name, v)) in fields.iter().enumerate() {
                    write!(f, "{}{}:{}", if i == 0 { "{" } else { "," }, quote(name), v)?;
                }
                f.write_str(if fields.is_empty() { "{}" } else { "}" })
            }
        }
    }
}

impl From<&str> for Value {
    fn from(s: &str) -> Value {
        Value::Text(s.into())
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Value {
        Value::Number(n.to_string())
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Value {
        Value::Bool(b)
    }
}

impl From<Vec<Value>> for Value {
    fn from(list: Vec<Value>) -> Value {
        Value::List(list)
    }
}
