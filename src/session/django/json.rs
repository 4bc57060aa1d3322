//! JSON as Python's `json` writes it, which is a little more than JSON.
//!
//! Called by `row`. `NaN` and the infinities become null, half a surrogate pair becomes U+FFFD, and integers beyond
//! 64 bits lose digits; the caller is told that something changed. Django decodes as Latin-1, so we do.

use serde_json::{Map, Value};

/// The object in `bytes`, and whether it holds other values than Python would read.
pub(super) fn object(bytes: &[u8]) -> Option<(Map<String, Value>, bool)> {
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    let mut plain = Plain { rest: &text, text: String::with_capacity(text.len()), changed: false };
    plain.take_all();
    Some((serde_json::from_str(&plain.text).ok()?, plain.changed))
}

/// Words that Python writes for numbers that JSON does not have.
const NO_NUMBERS: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

/// A text on its way to plain JSON. What is no JSON at all passes, for the parser to refuse.
struct Plain<'t> {
    rest: &'t str,
    text: String,
    changed: bool,
}

impl<'t> Plain<'t> {
    fn take_all(&mut self) {
        while let Some(first) = self.rest.chars().next() {
            if first == '"' {
                self.take_string();
            } else if let Some(word) = NO_NUMBERS.iter().find(|word| self.rest.starts_with(**word)) {
                self.replace(word.len(), "null");
            } else if first == '-' || first.is_ascii_digit() {
                self.take_number();
            } else {
                self.keep(first.len_utf8());
            }
        }
    }

    fn take_number(&mut self) {
        let end = self.rest.find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'));
        let number = self.keep(end.unwrap_or(self.rest.len()));
        let is_whole = !number.contains(['.', 'e', 'E']);
        self.changed |= is_whole && number.parse::<i64>().is_err() && number.parse::<u64>().is_err();
    }

    fn take_string(&mut self) {
        self.keep(1);
        while let Some(at) = self.rest.find(['"', '\\']) {
            self.keep(at);
            if self.rest.starts_with('"') {
                self.keep(1);
                return;
            }
            self.take_escape();
        }
        self.keep(self.rest.len());
    }

    fn take_escape(&mut self) {
        match unit(self.rest) {
            Some(0xd800..0xdc00) if matches!(self.rest.get(6..).and_then(unit), Some(0xdc00..0xe000)) => {
                self.keep(12);
            }
            Some(0xd800..0xe000) => self.replace(6, "\\ufffd"),
            Some(_) => drop(self.keep(6)),
            // The backslash and what it escapes; at the end of a text there may be no such thing.
            None => {
                let length = self.rest.chars().take(2).map(char::len_utf8).sum();
                self.keep(length);
            }
        }
    }

    fn keep(&mut self, length: usize) -> &'t str {
        let (part, rest) = self.rest.split_at(length);
        self.text.push_str(part);
        self.rest = rest;
        part
    }

    fn replace(&mut self, length: usize, by: &str) {
        self.text.push_str(by);
        self.rest = &self.rest[length..];
        self.changed = true;
    }
}

/// The number in `\uXXXX`.
fn unit(escape: &str) -> Option<u16> {
    let digits = escape.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Option<(Value, bool)> {
        object(text.as_bytes()).map(|(map, changed)| (Value::Object(map), changed))
    }

    #[test]
    fn what_json_does_not_know_is_replaced_and_reported() {
        for (text, value) in [
            (r#"{"a":NaN,"b":[Infinity,-Infinity,-1]}"#, json!({"a": null, "b": [null, null, -1]})),
            (r#"{"a":"\ud83e","b":"\udde5\ud83e"}"#, json!({"a": "\u{fffd}", "b": "\u{fffd}\u{fffd}"})),
            (r#"{"a":"\ud83e\ud83e\udde5"}"#, json!({"a": "\u{fffd}🧥"})),
            (r#"{"a":36893488147419103232}"#, json!({"a": 36_893_488_147_419_103_232.0_f64})),
        ] {
            assert_eq!(read(text), Some((value, true)), "{text}");
        }
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        for text in [
            r#"{"a":"NaN \\\" Infinity","b":[-1,18446744073709551615,1.5,1e3],"c":{}}"#,
            r#"{"a":"\ud83e\udde5\u00e4\n\/","NaN":null}"#,
            "{}",
        ] {
            assert_eq!(read(text), Some((serde_json::from_str(text).unwrap(), false)), "{text}");
        }
    }

    #[test]
    fn bytes_are_latin_1_as_django_has_it() {
        assert_eq!(object(b"{\"a\":\"\xe4\"}").unwrap().0["a"], json!("ä"));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["", "[]", "null", "NaN", "{", r#"{"a":"#, r#"{"a":"\"#, r#"{"a":"\u12"#, "{} {}", "(dp0\n."] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in any::<Vec<u8>>()) {
            let _ = object(&bytes);
        }

        #[test]
        fn broken_strings_never_panic(text in r#"\{"(\\u?[d8D0-9a-f]{0,5}|"|\\|é){0,9}"#) {
            let _ = object(text.as_bytes());
        }
    }
}
