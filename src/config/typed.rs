//! A serde deserializer over the marked tree, with messages for people.
//!
//! `recover` calls it once per round. It differs from serde_json's in that text fields take a plain
//! `123` as written, null stands for an empty mapping or list, and every error knows its path.

use std::fmt::{self, Display};

use serde::de::value::{StrDeserializer, StringDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::problem::shorten;
use super::tree::{Entry, Item, Kind, Node, Scalar, Step};

/// Keys whose values a message must not repeat, wherever they stand.
const SECRET_KEYS: [&str; 4] = ["keys", "password", "token", "client_secret"];

/// Why a value could not be read, and the way to it, innermost step first.
#[derive(Debug)]
pub(super) struct ReadError {
    pub(super) cause: Cause,
    pub(super) way: Vec<Step>,
}

#[derive(Debug)]
pub(super) enum Cause {
    /// A whole message.
    Message(String),
    /// A mapping has a key that is none of these.
    UnknownKey(&'static [&'static str]),
    /// A word that is none of these.
    UnknownWord(String, &'static [&'static str]),
}

impl ReadError {
    fn message(text: impl Into<String>) -> Self {
        Self { cause: Cause::Message(text.into()), way: Vec::new() }
    }

    fn below(mut self, step: Step) -> Self {
        self.way.push(step);
        self
    }
}

impl Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.cause)
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: Display>(message: T) -> Self {
        Self::message(message.to_string())
    }

    fn invalid_type(unexpected: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        match unexpected {
            de::Unexpected::Unit => Self::message(format!("expected {expected}, found nothing")),
            de::Unexpected::Map => Self::message(format!("expected {expected}, found a mapping")),
            de::Unexpected::Seq => Self::message(format!("expected {expected}, found a list")),
            de::Unexpected::Unsigned(n) => Self::message(format!("expected {expected}, found `{n}`")),
            de::Unexpected::Signed(n) => Self::message(format!("expected {expected}, found `{n}`")),
            de::Unexpected::Float(n) => Self::message(format!("expected {expected}, found `{n}`")),
            de::Unexpected::Bool(on) => Self::message(format!("expected {expected}, found `{on}`")),
            other => Self::message(format!("expected {expected}, found {other}")),
        }
    }

    fn invalid_value(unexpected: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self { cause: Cause::UnknownKey(expected), way: Vec::new() }
    }

    fn unknown_variant(word: &str, expected: &'static [&'static str]) -> Self {
        Self { cause: Cause::UnknownWord(word.into(), expected), way: Vec::new() }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::message(format!("`{field}` is missing"))
    }
}

/// One node, ready to be read as whatever type is asked for.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    node: &'a Node,
    secret: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(node: &'a Node) -> Self {
        Self { node, secret: false }
    }

    fn is_null(&self) -> bool {
        matches!(&self.node.kind, Kind::Scalar(scalar) if scalar.is_null())
    }

    fn scalar(&self, expected: &dyn Display) -> Result<&'a Scalar, ReadError> {
        match &self.node.kind {
            Kind::Scalar(scalar) => Ok(scalar),
            _ => Err(self.mismatch(expected)),
        }
    }

    fn mismatch(&self, expected: &dyn Display) -> ReadError {
        ReadError::message(format!("expected {expected}, found {}", self.found()))
    }

    fn found(&self) -> String {
        match &self.node.kind {
            Kind::List(_) => "a list".into(),
            Kind::Map(_) => "a mapping".into(),
            Kind::Scalar(scalar) if scalar.is_null() => "nothing".into(),
            Kind::Scalar(_) if self.secret => "text".into(),
            Kind::Scalar(scalar) if scalar.plain => format!("`{}`", shorten(&scalar.text)),
            Kind::Scalar(scalar) => format!("the text \"{}\"", shorten(&scalar.text)),
        }
    }

    /// SECURITY: the text is not repeated here: a file of the wrong kind may be all secret.
    fn not_a(&self, expected: &str) -> ReadError {
        match &self.node.kind {
            Kind::Scalar(_) => ReadError::message(format!("expected {expected}, found text")),
            _ => self.mismatch(&expected),
        }
    }

    fn whole_number(&self, min: i128, max: i128) -> Result<i128, ReadError> {
        let expected = format!("a whole number from {min} to {max}");
        let scalar = self.scalar(&expected)?;
        match scalar.integer() {
            Some(n) if (min..=max).contains(&n) => Ok(n),
            Some(_) => Err(self.mismatch(&expected)),
            None => Err(self.mismatch(&format!("{expected}{}", remedy_for_number(scalar)))),
        }
    }
}

/// What to write instead of `on`, `012` or `"true"`, which other YAML readers take for something else.
fn remedy_for_number(scalar: &Scalar) -> String {
    let digits: String = scalar.text.chars().filter(|c| !matches!(c, '_' | ',' | '\'' | ' ')).collect();
    let plain = Scalar { text: digits.trim_start_matches('0').to_owned(), plain: true };
    match plain.integer() {
        Some(n) => format!(" (write {n})"),
        None => String::new(),
    }
}

fn remedy_for_boolean(scalar: &Scalar) -> &'static str {
    match scalar.text.to_ascii_lowercase().as_str() {
        "on" | "yes" | "y" | "1" | "true" => " (write true, without quotes)",
        "off" | "no" | "n" | "0" | "false" => " (write false, without quotes)",
        _ => "",
    }
}

macro_rules! whole_numbers {
    ($($method:ident $visit:ident $type:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            let number = self.whole_number($type::MIN.into(), $type::MAX.into())?;
            let number = <$type>::try_from(number).map_err(de::Error::custom)?;
            visitor.$visit(number)
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let scalar = match &self.node.kind {
            Kind::Map(_) => return self.deserialize_map(visitor),
            Kind::List(_) => return self.deserialize_seq(visitor),
            Kind::Scalar(scalar) => scalar,
        };
        if scalar.is_null() {
            return visitor.visit_unit();
        }
        if let Some(on) = scalar.boolean() {
            return visitor.visit_bool(on);
        }
        match (scalar.integer().map(i64::try_from), scalar.real()) {
            (Some(Ok(number)), _) => visitor.visit_i64(number),
            (_, Some(number)) => visitor.visit_f64(number),
            _ => visitor.visit_str(&scalar.text),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let scalar = self.scalar(&"true or false")?;
        match scalar.boolean() {
            Some(on) => visitor.visit_bool(on),
            None => Err(self.mismatch(&format!("true or false{}", remedy_for_boolean(scalar)))),
        }
    }

    whole_numbers! {
        deserialize_u8 visit_u8 u8
        deserialize_u16 visit_u16 u16
        deserialize_u32 visit_u32 u32
        deserialize_u64 visit_u64 u64
        deserialize_i32 visit_i32 i32
        deserialize_i64 visit_i64 i64
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let expected = (&visitor as &dyn de::Expected).to_string();
        let expected = if expected == "a string" { "text" } else { &expected };
        let scalar = self.scalar(&expected)?;
        if scalar.is_null() {
            return Err(self.mismatch(&expected));
        }
        visitor.visit_str(&scalar.text)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.kind {
            Kind::List(items) => visitor.visit_seq(Elements { items, next: 0, secret: self.secret }),
            _ if self.is_null() => visitor.visit_seq(Elements { items: &[], next: 0, secret: false }),
            _ => Err(self.not_a("a list")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.kind {
            Kind::Map(entries) => visitor.visit_map(Entries { entries, next: 0, secret: self.secret }),
            _ if self.is_null() => visitor.visit_map(Entries { entries: &[], next: 0, secret: false }),
            _ => Err(self.not_a("a mapping (`key: value` lines)")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let expected = one_of(words);
        let scalar = self.scalar(&expected)?;
        if scalar.is_null() {
            return Err(self.mismatch(&expected));
        }
        visitor.visit_enum(Word(&scalar.text))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

/// `a`, `b` or `c`.
pub(super) fn one_of(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

struct Elements<'a> {
    items: &'a [Item],
    next: usize,
    secret: bool,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = ReadError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, ReadError> {
        let Some(item) = self.items.get(self.next) else { return Ok(None) };
        let position = self.next;
        self.next += 1;
        let reader = Reader { node: &item.node, secret: self.secret };
        seed.deserialize(reader).map(Some).map_err(|error| error.below(Step::Position(position)))
    }
}

struct Entries<'a> {
    entries: &'a [Entry],
    next: usize,
    secret: bool,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = ReadError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, ReadError> {
        let Some(entry) = self.entries.get(self.next) else { return Ok(None) };
        seed.deserialize(StrDeserializer::new(&entry.key)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, ReadError> {
        let Some(entry) = self.entries.get(self.next) else { return Err(ReadError::message("a value is missing")) };
        self.next += 1;
        let secret = self.secret || SECRET_KEYS.contains(&entry.key.as_str());
        let reader = Reader { node: &entry.node, secret };
        seed.deserialize(reader).map_err(|error| error.below(Step::Key(entry.key.clone())))
    }
}

/// The name of an enum's variant.
struct Word<'a>(&'a str);

impl<'de> EnumAccess<'de> for Word<'_> {
    type Error = ReadError;
    type Variant = NoContent;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, NoContent), ReadError> {
        let name: StringDeserializer<ReadError> = self.0.to_owned().into_deserializer();
        seed.deserialize(name).map(|value| (value, NoContent))
    }
}

/// The variants of the schema's enums carry nothing.
struct NoContent;

impl<'de> de::VariantAccess<'de> for NoContent {
    type Error = ReadError;

    fn unit_variant(self) -> Result<(), ReadError> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _: S) -> Result<S::Value, ReadError> {
        Err(ReadError::message("expected a word"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, ReadError> {
        Err(ReadError::message("expected a word"))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, ReadError> {
        Err(ReadError::message("expected a word"))
    }
}
