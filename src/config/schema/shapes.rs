//! Fields that take one of several shapes: a word or a mapping, a boolean or a word.
//!
//! Written by hand where serde's untagged enums would lose the path and the reason of an error.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer, StrDeserializer};
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::listener::Workers;
use super::route::{Access, HeaderPreset, HostHeader, IdentityHeaders, Upstream};
use super::session::Secure;
use super::sign_on::{Credentials, KeptCredentials};
use super::{Duration, Size};

/// Reads a field that takes either a word or a mapping, keeping the path of errors inside the mapping.
struct WordOrMap<T, W, M> {
    expecting: &'static str,
    word: W,
    map: PhantomData<M>,
    value: PhantomData<T>,
}

impl<'de, T, W, M> Visitor<'de> for WordOrMap<T, W, M>
where
    W: FnOnce(&str) -> Result<T, String>,
    M: Deserialize<'de> + Into<T>,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<T, E> {
        (self.word)(word).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        M::deserialize(MapAccessDeserializer::new(map)).map(Into::into)
    }
}

fn word_or_map<'de, T, M, D>(
    deserializer: D,
    expecting: &'static str,
    word: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, D::Error>
where
    M: Deserialize<'de> + Into<T>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(WordOrMap { expecting, word, map: PhantomData::<M>, value: PhantomData })
}

/// Reads one value, or a list of them; nothing is an empty list.
pub(super) fn one_or_many<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct OneOrMany<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMany<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("one value or a list of them")
        }

        fn visit_unit<E: de::Error>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<T>, E> {
            T::deserialize(StrDeserializer::new(text)).map(|one| vec![one])
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<Vec<T>, E> {
            self.visit_str(&number.to_string())
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<Vec<T>, E> {
            self.visit_str(&number.to_string())
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<T>, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map)).map(|one| vec![one])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Vec<T>, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(list))
        }
    }
    deserializer.deserialize_any(OneOrMany(PhantomData))
}

pub(super) fn one_or_many_schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let (one, many) = (generator.subschema_for::<T>(), generator.subschema_for::<Vec<T>>());
    json_schema!({ "oneOf": [one, many] })
}

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Groups {
    /// Groups of which the user must be in at least one.
    groups: Vec<String>,
}

impl From<Groups> for Access {
    fn from(map: Groups) -> Self {
        Self::Groups(map.groups)
    }
}

const ACCESS_HINT: &str = "`public`, `user` or `{ groups: [NAME, …] }`";

impl<'de> Deserialize<'de> for Access {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word_or_map::<_, Groups, _>(deserializer, ACCESS_HINT, |word| match word {
            "public" => Ok(Self::Public),
            "user" => Ok(Self::User),
            _ => Err(format!("expected {ACCESS_HINT}, found `{word}`")),
        })
    }
}

impl Serialize for Access {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Public => serializer.serialize_str("public"),
            Self::User => serializer.serialize_str("user"),
            Self::Groups(groups) => Groups { groups: groups.clone() }.serialize(serializer),
        }
    }
}

impl JsonSchema for Access {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Access".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let groups = generator.subschema_for::<Groups>();
        json_schema!({ "oneOf": [{ "enum": ["public", "user"] }, groups] })
    }
}

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct UpstreamMap {
    /// `http://HOST:PORT`, without path.
    url: Option<String>,
    /// The `Host` header the app sees: `preserve`, `upstream`, or a name.
    host: HostHeader,
    /// Time to open a connection.
    connect_timeout: Duration,
    /// Time from the last byte of the request to the first of the response.
    first_byte_timeout: Duration,
    /// Time between two pieces of a response body, or of silence on a WebSocket.
    idle_timeout: Duration,
    /// Largest request body; more is 413. null = no bound.
    max_body_size: Option<Size>,
}

impl Default for UpstreamMap {
    fn default() -> Self {
        Upstream::default().into()
    }
}

impl From<UpstreamMap> for Upstream {
    fn from(map: UpstreamMap) -> Self {
        let UpstreamMap { url, host, connect_timeout, first_byte_timeout, idle_timeout, max_body_size } = map;
        Self { url, host, connect_timeout, first_byte_timeout, idle_timeout, max_body_size }
    }
}

impl From<Upstream> for UpstreamMap {
    fn from(upstream: Upstream) -> Self {
        let Upstream { url, host, connect_timeout, first_byte_timeout, idle_timeout, max_body_size } = upstream;
        Self { url, host, connect_timeout, first_byte_timeout, idle_timeout, max_body_size }
    }
}

impl<'de> Deserialize<'de> for Upstream {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word_or_map::<_, UpstreamMap, _>(
            deserializer,
            "a URL such as http://wiki:8080, or a mapping with `url`",
            |url| Ok(Self { url: Some(url.into()), ..Self::default() }),
        )
    }
}

impl Serialize for Upstream {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        UpstreamMap::from(self.clone()).serialize(serializer)
    }
}

impl JsonSchema for Upstream {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Upstream".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let map = generator.subschema_for::<UpstreamMap>();
        json_schema!({ "oneOf": [{ "type": "string", "description": "http://HOST:PORT" }, map] })
    }
}

impl From<BTreeMap<String, String>> for IdentityHeaders {
    fn from(templates: BTreeMap<String, String>) -> Self {
        Self::Templates(templates)
    }
}

const HEADERS_HINT: &str = "`remote`, `forwarded`, or a mapping of header names to templates";

impl<'de> Deserialize<'de> for IdentityHeaders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word_or_map::<_, BTreeMap<String, String>, _>(deserializer, HEADERS_HINT, |word| {
            let preset: Result<_, de::value::Error> = HeaderPreset::deserialize(StrDeserializer::new(word));
            preset.map(Self::Preset).map_err(|_| format!("expected {HEADERS_HINT}, found `{word}`"))
        })
    }
}

impl Serialize for IdentityHeaders {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Preset(preset) => preset.serialize(serializer),
            Self::Templates(map) => map.serialize(serializer),
        }
    }
}

impl JsonSchema for IdentityHeaders {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "IdentityHeaders".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let preset = generator.subschema_for::<HeaderPreset>();
        let templates = generator.subschema_for::<BTreeMap<String, String>>();
        json_schema!({ "oneOf": [preset, templates] })
    }
}

impl From<KeptCredentials> for Credentials {
    fn from(kept: KeptCredentials) -> Self {
        Self::Kept(kept)
    }
}

const CREDENTIALS_HINT: &str = "`typed`, or a mapping with `file`, or with `username` and `password`";

impl<'de> Deserialize<'de> for Credentials {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word_or_map::<_, KeptCredentials, _>(deserializer, CREDENTIALS_HINT, |word| match word {
            "typed" => Ok(Self::Typed),
            _ => Err(format!("expected {CREDENTIALS_HINT}")),
        })
    }
}

impl Serialize for Credentials {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Typed => serializer.serialize_str("typed"),
            Self::Kept(kept) => kept.serialize(serializer),
        }
    }
}

impl JsonSchema for Credentials {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Credentials".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let kept = generator.subschema_for::<KeptCredentials>();
        json_schema!({ "oneOf": [{ "enum": ["typed"] }, kept] })
    }
}

const WORKERS_HINT: &str = "`auto` or a whole number from 1 to 1024";

impl<'de> Deserialize<'de> for Workers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountOrAuto;
        impl Visitor<'_> for CountOrAuto {
            type Value = Workers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(WORKERS_HINT)
            }

            fn visit_i64<E: de::Error>(self, count: i64) -> Result<Workers, E> {
                match u16::try_from(count) {
                    Ok(count @ 1..=1024) => Ok(Workers::Count(count)),
                    _ => Err(E::custom(format!("expected {WORKERS_HINT}, found `{count}`"))),
                }
            }

            fn visit_u64<E: de::Error>(self, count: u64) -> Result<Workers, E> {
                self.visit_i64(i64::try_from(count).unwrap_or(i64::MAX))
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Workers, E> {
                match word {
                    "auto" => Ok(Workers::Auto),
                    _ => Err(E::custom(format!("expected {WORKERS_HINT}, found `{word}`"))),
                }
            }
        }
        deserializer.deserialize_any(CountOrAuto)
    }
}

const SECURE_HINT: &str = "true, false or `auto`";

impl<'de> Deserialize<'de> for Secure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BoolOrAuto;
        impl Visitor<'_> for BoolOrAuto {
            type Value = Secure;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(SECURE_HINT)
            }

            fn visit_bool<E: de::Error>(self, on: bool) -> Result<Secure, E> {
                Ok(if on { Secure::Always } else { Secure::Never })
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Secure, E> {
                match word {
                    "auto" => Ok(Secure::Auto),
                    _ => Err(E::custom(format!("expected {SECURE_HINT}, found `{word}`"))),
                }
            }
        }
        deserializer.deserialize_any(BoolOrAuto)
    }
}

impl Serialize for Secure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Always => serializer.serialize_bool(true),
            Self::Never => serializer.serialize_bool(false),
            Self::Auto => serializer.serialize_str("auto"),
        }
    }
}

impl JsonSchema for Secure {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secure".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": [true, false, "auto"] })
    }
}
