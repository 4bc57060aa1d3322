//! The data of an app in a session: a JSON object, kept as the text that goes into `Session-Data`.
//!
//! Text takes a quarter of the memory of a tree, and most requests hand it on unread. It is ASCII on one line
//! (other characters as `\uXXXX`), so it can stand in a header and in Django's own format.

use std::io;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

/// A JSON object.
pub type Map = serde_json::Map<String, Value>;

/// A JSON object as text; the empty one takes no memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data(Option<Box<str>>);

impl Data {
    /// The text, `{}` at least.
    #[must_use]
    pub fn text(&self) -> &str {
        self.0.as_deref().unwrap_or("{}")
    }

    /// Bytes of the text; none when there is no value.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.as_deref().map_or(0, str::len)
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The values.
    #[must_use]
    pub fn map(&self) -> Map {
        // The text was written by `replace`; what a damaged store hands us reads as empty.
        self.0.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// For a record: the text as it is, nothing when there is none.
    #[must_use]
    pub(super) fn encoded(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default().as_bytes()
    }

    /// What was [encoded](Self::encoded).
    #[must_use]
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        Some(Self((!text.is_empty()).then(|| text.into())))
    }

    /// Removes every value.
    pub fn clear(&mut self) {
        self.0 = None;
    }

    pub(super) fn edit(&mut self, change: impl FnOnce(&mut Map)) {
        let mut map = self.map();
        change(&mut map);
        self.0 = (!map.is_empty()).then(|| ascii(&map).into());
    }
}

/// Applies a merge patch to an object (RFC 7396 §2).
pub fn merge(target: &mut Map, patch: &Map) {
    for (key, value) in patch {
        match value {
            Value::Null => drop(target.shift_remove(key)),
            Value::Object(inner) => {
                let slot = target.entry(key.as_str()).or_insert(Value::Null);
                if !slot.is_object() {
                    *slot = Value::Object(Map::new());
                }
                if let Value::Object(object) = slot {
                    merge(object, inner);
                }
            }
            other => drop(target.insert(key.clone(), other.clone())),
        }
    }
}

/// JSON on one line, in ASCII.
fn ascii(map: &Map) -> String {
    let mut bytes = Vec::new();
    // Maps with string keys always serialise, and a `Vec` takes every write.
    let _ = map.serialize(&mut Serializer::with_formatter(&mut bytes, Ascii));
    String::from_utf8(bytes).unwrap_or_default()
}

struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: io::Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        for character in fragment.chars() {
            match u8::try_from(character) {
                Ok(byte @ ..0x7f) => writer.write_all(&[byte])?,
                _ => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        write!(writer, "\\u{unit:04x}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn data(value: &Value) -> Data {
        let mut data = Data::default();
        data.edit(|map| *map = value.as_object().cloned().unwrap());
        data
    }

    /// Any JSON value, a few levels deep.
    pub fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::hash_map(".{0,5}", inner, 0..4).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    #[test]
    fn text_is_ascii_and_reads_back() {
        let value = json!({"ä": "🧥\u{7f}\n\"\\", "n": [1.5, null]});
        let data = data(&value);
        assert_eq!(data.text(), r#"{"\u00e4":"\ud83e\udde5\u007f\n\"\\","n":[1.5,null]}"#);
        assert_eq!(Value::Object(data.map()), value);
        assert_eq!(Data::default().text(), "{}");
    }

    /// The examples of RFC 7396, appendix A, whose target is an object.
    #[test]
    fn merging_follows_the_rfc() {
        for (target, patch, result) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ] {
            let mut map = target.as_object().cloned().unwrap();
            merge(&mut map, patch.as_object().unwrap());
            assert_eq!(Value::Object(map), result, "{target} + {patch}");
        }
    }

    proptest! {
        #[test]
        fn every_value_survives_as_visible_ascii(value in values()) {
            let data = data(&json!({ "value": value }));
            prop_assert!(data.text().bytes().all(|b| (b' '..=b'~').contains(&b)), "{}", data.text());
            prop_assert_eq!(&data.map()["value"], &value);
        }
    }
}
