//! Configurations of a few settings, for plugins that want no dependencies. What is deeper than a flat object wants a
//! real parser: `configure` gets JSON.

/// The settings of a flat object: names and values, in their order. Numbers, `true`, `false` and `null` come as they
/// are written.
///
/// ```
/// let settings = sluice::config::flat(br#"{"key": "via", "times": 3}"#).unwrap();
/// assert_eq!(settings, [("key".into(), "via".into()), ("times".into(), "3".into())]);
/// ```
pub fn flat(json: &[u8]) -> Result<Vec<(String, String)>, String> {
    let text = std::str::from_utf8(json).map_err(|_| "the configuration is not UTF-8")?;
    let mut p = Parser { rest: text.trim() };
    let mut out = Vec::new();
    p.expect('{')?;
    if p.take('}') {
        return p.end(out);
    }
    loop {
        let name = p.string()?;
        p.expect(':')?;
        let value = if p.rest.starts_with('"') {
            p.string()
        } else {
            p.word()
        };
        let value =
            value.map_err(|_| format!("{} must be a text, a number, true or false", name))?;
        out.push((name, value));
        if p.take('}') {
            return p.end(out);
        }
        p.expect(',')?;
    }
}

/// Calls `set` with every setting of a flat object; it says whether there is one of that name.
pub fn each(json: &[u8], mut set: impl FnMut(&str, String) -> bool) -> Result<(), String> {
    for (name, value) in flat(json)? {
        if !set(&name, value) {
            return Err(format!("config.{} is not a setting of this plugin", name));
        }
    }
    Ok(())
}

/// What is left of a JSON text.
pub(crate) struct Parser<'a> {
    pub(crate) rest: &'a str,
}

impl<'a> Parser<'a> {
    pub(crate) fn take(&mut self, c: char) -> bool {
        let found = self.rest.strip_prefix(c);
        self.rest = found.map_or(self.rest, str::trim_start);
        found.is_some()
    }

    pub(crate) fn expect(&mut self, c: char) -> Result<(), String> {
        if self.take(c) {
            return Ok(());
        }
        Err(format!("the configuration has no {} where it must", c))
    }

    pub(crate) fn end<T>(&self, out: T) -> Result<T, String> {
        if self.rest.is_empty() {
            return Ok(out);
        }
        Err("there is more behind the configuration".into())
    }

    pub(crate) fn word(&mut self) -> Result<String, String> {
        let n = self
            .rest
            .find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(n);
        self.rest = rest.trim_start();
        if word.is_empty() {
            return Err("no value".into());
        }
        Ok(word.into())
    }

    pub(crate) fn string(&mut self) -> Result<String, String> {
        const BAD: &str = "the configuration has a broken text";
        let mut chars = self.rest.strip_prefix('"').ok_or(BAD)?.chars();
        let mut out: Vec<u16> = Vec::new(); // escapes are UTF-16, with pairs
        loop {
            let c = match chars.next().ok_or(BAD)? {
                '"' => break,
                '\\' => match chars.next().ok_or(BAD)? {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'u' => {
                        let digits: String = chars.by_ref().take(4).collect();
                        out.push(u16::from_str_radix(&digits, 16).map_err(|_| BAD)?);
                        continue;
                    }
                    c => c,
                },
                c => c,
            };
            out.extend_from_slice(c.encode_utf16(&mut [0; 2]));
        }
        self.rest = chars.as_str().trim_start();
        String::from_utf16(&out).map_err(|_| BAD.into())
    }
}

/// A text as JSON.
pub(crate) fn quote(s: &str) -> String {
    let mut out = String::from('"');
    for c in s.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
