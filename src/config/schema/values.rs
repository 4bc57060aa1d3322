//! Scalars that people write as text: time spans, sizes, networks, addresses.
//!
//! Each reads from and prints in one form; errors say what to write.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A time span such as `30s`, `5m`, `2h`, `14d`; whole units, at most 100 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(std::time::Duration);

impl Duration {
    /// So many milliseconds.
    #[must_use]
    pub const fn millis(n: u64) -> Self {
        Self(std::time::Duration::from_millis(n))
    }

    /// So many seconds.
    #[must_use]
    pub const fn seconds(n: u64) -> Self {
        Self(std::time::Duration::from_secs(n))
    }

    /// So many minutes.
    #[must_use]
    pub const fn minutes(n: u64) -> Self {
        Self::seconds(n * 60)
    }

    /// So many days.
    #[must_use]
    pub const fn days(n: u64) -> Self {
        Self::seconds(n * 86_400)
    }

    /// As the standard library's type.
    #[must_use]
    pub const fn get(self) -> std::time::Duration {
        self.0
    }
}

const DURATION_HINT: &str = "expected a duration such as 500ms, 30s, 5m, 2h or 14d";
const HUNDRED_YEARS_MS: u64 = 100 * 365 * 86_400 * 1000;
const DURATION_UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl TryFrom<&str> for Duration {
    type Error = String;

    fn try_from(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text);
        let factor = DURATION_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
        let millis = number.zip(factor).and_then(|(n, factor)| n.checked_mul(factor));
        match millis {
            Some(ms) if ms <= HUNDRED_YEARS_MS => Ok(Self(std::time::Duration::from_millis(ms))),
            Some(_) => Err(format!("`{text}` is more than 100 years")),
            None => Err(format!("{DURATION_HINT}, found `{text}`")),
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let fits = |(_, factor): &&(&str, u64)| millis.is_multiple_of(*factor) && (millis > 0 || *factor == 1000);
        let (unit, factor) = DURATION_UNITS.iter().rev().find(fits).unwrap_or(&DURATION_UNITS[0]);
        write!(f, "{}{unit}", millis / factor)
    }
}

/// A size in bytes such as `512B`, `64KiB`, `10MiB`, `1GiB`; decimal `kB`, `MB`, `GB` too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    /// So many KiB.
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n * 1024)
    }

    /// So many MiB.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self::kib(n * 1024)
    }

    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

const SIZE_HINT: &str = "expected a size such as 512B, 64KiB, 10MiB or 1GiB";
const SIZE_UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("kB", 1000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
];

impl TryFrom<&str> for Size {
    type Error = String;

    fn try_from(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text);
        let factor = SIZE_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
        let bytes = number.zip(factor).and_then(|(n, factor)| n.checked_mul(factor));
        bytes.map(Self).ok_or_else(|| format!("{SIZE_HINT}, found `{text}`"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(unit, factor): &&(&str, u64)| {
            (unit.ends_with("iB") || *unit == "B") && self.0.is_multiple_of(*factor) && (self.0 > 0 || *factor == 1)
        };
        let (unit, factor) = SIZE_UNITS.iter().rev().find(fits).unwrap_or(&SIZE_UNITS[0]);
        write!(f, "{}{unit}", self.0 / factor)
    }
}

fn split_unit(text: &str) -> (Option<u64>, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    (number.parse().ok(), unit)
}

/// Implements serde and schema for a scalar with `TryFrom<&str>` and `Display`.
macro_rules! scalar {
    ($type:ident, $hint:expr, $pattern:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($hint.trim_start_matches("expected "))
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        $type::try_from(text).map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "description": $hint })
            }
        }
    };
}

scalar!(Duration, DURATION_HINT, "^[0-9]+(ms|s|m|h|d)$");
scalar!(Size, SIZE_HINT, "^[0-9]+(B|kB|KiB|MB|MiB|GB|GiB)$");

/// A network, or one address that stands for itself.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Network(IpNet);

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let hint = "expected a network such as 10.0.0.0/8 or an IP address";
        network.map(Self).map_err(|_| format!("{hint}, found `{text}`"))
    }
}

/// Reads `trusted_proxies`.
pub(super) fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    Ok(Vec::<Network>::deserialize(deserializer)?.into_iter().map(|network| network.0).collect())
}

/// Reads `admin.address`.
pub(super) fn socket_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let hint = "expected IP:PORT such as 127.0.0.1:9600, or null";
    text.parse().map(Some).map_err(|_| de::Error::custom(format!("{hint}, found `{text}`")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_printed_duration_reads_back_as_itself(millis in 0..=HUNDRED_YEARS_MS) {
            let duration = Duration(std::time::Duration::from_millis(millis));
            prop_assert_eq!(Duration::try_from(duration.to_string().as_str()), Ok(duration));
        }

        #[test]
        fn a_printed_size_reads_back_as_itself(bytes: u64, shift in 0..40_u32) {
            let size = Size(bytes >> shift << shift);
            prop_assert_eq!(Size::try_from(size.to_string().as_str()), Ok(size));
        }

        #[test]
        fn arbitrary_text_is_a_span_a_size_or_an_error(text in "[0-9]{0,22}[a-zA-Z]{0,4}|.{0,12}") {
            let _ = (Duration::try_from(text.as_str()), Size::try_from(text.as_str()));
        }
    }

    #[test]
    fn spans_and_sizes_print_in_their_largest_whole_unit() {
        assert_eq!(Duration::seconds(7200).to_string(), "2h");
        assert_eq!(Duration::seconds(0).to_string(), "0s");
        assert_eq!(Size::kib(64).to_string(), "64KiB");
        assert_eq!(Size(0).to_string(), "0B");
    }
}
