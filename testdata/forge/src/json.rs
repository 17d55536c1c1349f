//! Just enough JSON to write, and to read symbol files.

use std::fmt;

/// A JSON value; objects keep their order.
#[derive(Clone, Debug)]
pub enum Value {
    /// null
    Null,
    /// true, false
    Bool(bool),
    /// A number without a fraction.
    Number(u64),
    /// A string.
    Text(String),
    /// An array.
    Array(Vec<Value>),
    /// An object.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// A string.
    #[must_use]
    pub fn text(s: &str) -> Self {
        Self::Text(s.to_owned())
    }
}

/// An object of names and values.
pub fn object<'a>(pairs: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::Object(pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
}

fn quoted(f: &mut fmt::Formatter<'_>, s: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in s.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            c if (c as u32) < 0x20 => write!(f, "\\u{:04x}", c as u32)?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(b) => write!(f, "{b}"),
            Self::Number(n) => write!(f, "{n}"),
            Self::Text(s) => quoted(f, s),
            Self::Array(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str("]")
            }
            Self::Object(pairs) => {
                f.write_str("{")?;
                for (i, (name, value)) in pairs.iter().enumerate() {
                    f.write_str(if i > 0 { ",\n" } else { "" })?;
                    quoted(f, name)?;
                    write!(f, ": {value}")?;
                }
                f.write_str("}")
            }
        }
    }
}

impl Value {
    /// Reads a document. A negative number is kept as its two's complement; fractions are not read.
    ///
    /// # Panics
    /// When it is no JSON.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value();
        assert_eq!(reader.peek(), None, "something behind the JSON");
        value
    }

    /// The member of an object with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.members().iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The members of an object; of anything else none.
    #[must_use]
    pub fn members(&self) -> &[(String, Self)] {
        if let Self::Object(pairs) = self { pairs } else { &[] }
    }

    /// A number.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        if let Self::Number(n) = self { Some(*n) } else { None }
    }

    /// A string.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    /// The next byte that is no blank.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn take(&mut self, word: &str) -> bool {
        self.peek();
        let found = self.text[self.at..].starts_with(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn expect(&mut self, word: &str) {
        assert!(self.take(word), "no {word} at byte {} of the JSON", self.at);
    }

    /// Items up to a closing bracket.
    fn list(&mut self, close: &str, mut item: impl FnMut(&mut Self)) {
        while !self.take(close) {
            item(self);
            if !self.take(",") {
                self.expect(close);
                break;
            }
        }
    }

    fn value(&mut self) -> Value {
        match self.peek() {
            Some(b'"') => Value::Text(self.string()),
            Some(b'{') => {
                self.at += 1;
                let mut pairs = Vec::new();
                self.list("}", |reader| {
                    reader.peek();
                    let key = reader.string();
                    reader.expect(":");
                    pairs.push((key, reader.value()));
                });
                Value::Object(pairs)
            }
            Some(b'[') => {
                self.at += 1;
                let mut items = Vec::new();
                self.list("]", |reader| items.push(reader.value()));
                Value::Array(items)
            }
            Some(b'-' | b'0'..=b'9') => {
                let rest = &self.text[self.at..];
                let digits = rest[1..].bytes().take_while(u8::is_ascii_digit).count() + 1;
                self.at += digits;
                let number: i128 = rest[..digits].parse().expect("a number");
                Value::Number(number as u64)
            }
            _ if self.take("null") => Value::Null,
            _ if self.take("true") => Value::Bool(true),
            _ => {
                self.expect("false");
                Value::Bool(false)
            }
        }
    }

    fn string(&mut self) -> String {
        self.expect("\"");
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let end = rest.find(['"', '\\']).expect("a string ends");
            out.push_str(&rest[..end]);
            self.at += end + 1;
            if rest.as_bytes()[end] == b'"' {
                return out;
            }
            let escape = rest[end + 1..].chars().next().expect("an escape");
            self.at += escape.len_utf8();
            out.push(match escape {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'u' => {
                    let code = &self.text[self.at..self.at + 4];
                    self.at += 4;
                    char::from_u32(u32::from_str_radix(code, 16).expect("hex digits")).unwrap_or('\u{fffd}')
                }
                other => other,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let text = r#" {"a\"\\b": [1, -1, null, true, "\u0041\n"], "c": {}, "d": [], "e": false} "#;
        let value = Value::parse(text);
        let Some(Value::Array(items)) = value.get("a\"\\b") else { panic!("no array") };
        assert_eq!(items.iter().map(Value::number).collect::<Vec<_>>(), [Some(1), Some(u64::MAX), None, None, None]);
        assert_eq!(items[4].as_text(), Some("A\n"));
        assert!(value.get("c").is_some_and(|c| c.members().is_empty()) && value.get("f").is_none());
        assert_eq!(Value::parse(&value.to_string()).to_string(), value.to_string());
    }

    #[test]
    #[should_panic(expected = "no } at byte")]
    fn half_a_document_is_none() {
        let _ = Value::parse(r#"{"a": 1"#);
    }
}
