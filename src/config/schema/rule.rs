//! Rules: what is done to a session when an app that knows nothing of it answers so and so.
//!
//! Words with a grammar of their own (statuses, expiries, templates) are read here, so that a mistake is
//! reported at its place; `session::rules` compiles the rest.

use std::collections::BTreeMap;

use cookie::time::OffsetDateTime;
use cookie::time::format_description::well_known::Rfc3339;
use http::HeaderName;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use super::{Duration, shapes};
use crate::clock::Timestamp;

/// When the app answers so, then this is done to the session.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// Which requests and answers; all that is given must fit.
    pub when: When,
    /// What is done, in a fixed order: flush, clear, user, merge, set, unset, increment, flash, expiry, rotate,
    /// revoke_others.
    pub then: Then,
}

/// Which requests and answers a rule is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// A method or a list of them; none = any.
    #[serde(deserialize_with = "shapes::one_or_many")]
    #[schemars(schema_with = "shapes::one_or_many_schema::<String>")]
    pub method: Vec<String>,
    /// A path, or the beginning of paths if it ends in `*`; null = any path of the route.
    pub path: Option<String>,
    /// `200`, `2xx` or a list of such; none = 2xx and 3xx.
    #[serde(deserialize_with = "shapes::one_or_many")]
    #[schemars(schema_with = "shapes::one_or_many_schema::<StatusPattern>")]
    pub status: Vec<StatusPattern>,
}

/// What a rule does; at least one thing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Then {
    /// Values to keep.
    pub set: Map<String, Value>,
    /// A key or a list of keys to forget.
    #[serde(deserialize_with = "shapes::one_or_many")]
    #[schemars(schema_with = "shapes::one_or_many_schema::<String>")]
    pub unset: Vec<String>,
    /// A JSON merge patch (RFC 7396).
    pub merge: Map<String, Value>,
    /// Numbers to add.
    pub increment: BTreeMap<String, Number>,
    /// Values that the app is told once, with the next request.
    pub flash: Map<String, Value>,
    /// Empties the data; id and user stay.
    pub clear: bool,
    /// Ends the session.
    pub flush: bool,
    /// Gives the browser a new id.
    pub rotate: bool,
    /// Ends the user's other sessions, and gives this one a new id.
    pub revoke_others: bool,
    /// When the session ends, instead of the policy's times.
    pub expiry: Option<Expiry>,
    /// Who is signed in: text, in which `{header.NAME}` is a header of the app's answer.
    pub user: Option<HeaderTemplate>,
    /// Name for people, with `user`.
    pub name: Option<HeaderTemplate>,
    /// E-mail address, with `user`.
    pub email: Option<HeaderTemplate>,
    /// Groups, with `user`: a list, or text with commas.
    #[serde(deserialize_with = "shapes::one_or_many")]
    #[schemars(schema_with = "shapes::one_or_many_schema::<HeaderTemplate>")]
    pub groups: Vec<HeaderTemplate>,
}

/// `200`, or `2xx`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum StatusPattern {
    /// This status.
    Code(u16),
    /// All that begin with this digit.
    Class(u16),
}

impl StatusPattern {
    /// Whether `status` is meant.
    #[must_use]
    pub const fn fits(self, status: u16) -> bool {
        match self {
            Self::Code(code) => status == code,
            Self::Class(digit) => status / 100 == digit,
        }
    }
}

const STATUS_HINT: &str = "a status such as 200 or 2xx";

impl TryFrom<String> for StatusPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let class = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX"));
        let pattern = match class.map(str::as_bytes) {
            Some([digit @ b'1'..=b'5']) => Some(Self::Class(u16::from(digit - b'0'))),
            Some(_) => None,
            None => text.parse().ok().filter(|code| (100..=599).contains(code)).map(Self::Code),
        };
        pattern.ok_or_else(|| format!("expected {STATUS_HINT}, found `{text}`"))
    }
}

impl From<StatusPattern> for String {
    fn from(pattern: StatusPattern) -> Self {
        match pattern {
            StatusPattern::Code(code) => code.to_string(),
            StatusPattern::Class(digit) => format!("{digit}xx"),
        }
    }
}

impl JsonSchema for StatusPattern {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StatusPattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "oneOf": [
            { "type": "integer", "minimum": 100, "maximum": 599 },
            { "type": "string", "pattern": "^[1-5]xx$" },
        ] })
    }
}

/// When a session ends: `30m`, `browser`, `default` or a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Expiry {
    /// So long after the last activity.
    Sliding(Duration),
    /// When the browser closes, besides the policy's times.
    Browser,
    /// At the policy's times.
    Default,
    /// At this moment.
    At(Timestamp),
}

/// No session is to be kept longer: the same bound holds for what apps ask for.
const LONGEST: Duration = Duration::days(3650);

impl TryFrom<String> for Expiry {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "browser" => return Ok(Self::Browser),
            "default" => return Ok(Self::Default),
            _ => {}
        }
        if let Some(moment) = moment(&text) {
            return Ok(Self::At(moment));
        }
        match Duration::try_from(text.as_str()) {
            Ok(duration) if duration.get().is_zero() => {
                Err("must be more than 0; `browser` and `default` are words".into())
            }
            Ok(duration) if duration > LONGEST => Err(format!("is more than {LONGEST}")),
            Ok(duration) => Ok(Self::Sliding(duration)),
            Err(_) => Err(format!(
                "expected a duration such as 30m, `browser`, `default`, or a time with offset such as 2030-01-31T12:00:00Z, found `{text}`"
            )),
        }
    }
}

/// Reads a time of RFC 3339; `None` for anything else and for times before 1970.
#[must_use]
pub fn moment(text: &str) -> Option<Timestamp> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(moment.unix_timestamp_nanos() / 1_000_000).ok().map(Timestamp)
}

impl From<Expiry> for String {
    fn from(expiry: Expiry) -> Self {
        match expiry {
            Expiry::Sliding(duration) => duration.to_string(),
            Expiry::Browser => "browser".into(),
            Expiry::Default => "default".into(),
            Expiry::At(moment) => {
                let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(moment.0) * 1_000_000);
                moment.ok().and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_default()
            }
        }
    }
}

impl JsonSchema for Expiry {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Expiry".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "30m, `browser`, `default`, or 2030-01-31T12:00:00Z" })
    }
}

/// Text in which `{header.NAME}` stands for a header of the app's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct HeaderTemplate(pub Vec<Piece>);

/// A part of a [`HeaderTemplate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// As it stands.
    Text(String),
    /// The header of this name.
    Header(HeaderName),
}

impl TryFrom<String> for HeaderTemplate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.trim().is_empty() || text.chars().any(char::is_control) {
            return Err("expected one line of text, such as \"{header.X-App-User}\"".into());
        }
        let mut pieces = Vec::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (value, after) = after.split_once('}').ok_or("`{` without `}`")?;
            push_text(&mut pieces, before)?;
            pieces.push(Piece::Header(header(value)?));
            rest = after;
        }
        push_text(&mut pieces, rest)?;
        Ok(Self(pieces))
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) -> Result<(), String> {
    if text.contains('}') {
        return Err("`}` without `{`".into());
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
    Ok(())
}

fn header(value: &str) -> Result<HeaderName, String> {
    let name = value.strip_prefix("header.").and_then(|name| HeaderName::try_from(name).ok());
    match name {
        None => Err(format!("`{{{value}}}` is not known; allowed is {{header.NAME}}, a header of the app's answer")),
        Some(name) if name.as_str().starts_with("session-") => {
            Err(format!("`{name}` is read with `session_headers: read_write`, and by no rule"))
        }
        Some(name) => Ok(name),
    }
}

impl From<HeaderTemplate> for String {
    fn from(template: HeaderTemplate) -> Self {
        let text = |piece| match piece {
            Piece::Text(text) => text,
            Piece::Header(name) => format!("{{header.{name}}}"),
        };
        template.0.into_iter().map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn expiry(text: &str) -> Result<Expiry, String> {
        Expiry::try_from(text.to_owned())
    }

    fn template(text: &str) -> Result<HeaderTemplate, String> {
        HeaderTemplate::try_from(text.to_owned())
    }

    #[test]
    fn statuses_are_codes_or_classes() {
        let fits = |pattern: &str, status| StatusPattern::try_from(pattern.to_owned()).unwrap().fits(status);
        assert!(fits("200", 200) && !fits("200", 201) && fits("2xx", 299) && fits("3XX", 300) && !fits("2xx", 300));
        for bad in ["", "xx", "6xx", "20x", "99", "600", "2xxx", "-200", "ok"] {
            assert!(StatusPattern::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_expiry_is_a_span_a_word_or_a_moment_with_offset() {
        assert_eq!(expiry("30m"), Ok(Expiry::Sliding(Duration::minutes(30))));
        assert_eq!((expiry("browser"), expiry("default")), (Ok(Expiry::Browser), Ok(Expiry::Default)));
        assert_eq!(expiry("1970-01-01T01:00:01+01:00"), Ok(Expiry::At(Timestamp(1000))));
        for bad in ["0s", "3651d", "2030-01-31", "2030-01-31T12:00:00", "1969-01-01T00:00:00Z", "soon", "", "-5m"] {
            assert!(expiry(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn templates_name_headers_of_the_answer() {
        let pieces = template("u:{header.X-App-User}!").unwrap().0;
        assert_eq!(
            pieces,
            [Piece::Text("u:".into()), Piece::Header(HeaderName::from_static("x-app-user")), Piece::Text("!".into())]
        );
        for (bad, words) in [
            ("", "expected one line"),
            ("{user}", "`{user}` is not known; allowed is {header.NAME}"),
            ("{header.}", "is not known"),
            ("{header.a b}", "is not known"),
            ("{header.x", "`{` without `}`"),
            ("x}", "`}` without `{`"),
            ("{header.Session-User}", "session_headers: read_write"),
        ] {
            assert!(template(bad).is_err_and(|message| message.contains(words)), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back_as_itself(text in "[a-z0-9:.TZ+-]{0,25}|[a-z ]{0,3}(\\{(header\\.)?[a-zA-Z-]{0,6}\\}){0,2}[a-z}]{0,3}") {
            if let Ok(value) = expiry(&text) {
                prop_assert_eq!(expiry(&String::from(value)), Ok(value));
            }
            if let Ok(value) = template(&text) {
                prop_assert_eq!(template(&String::from(value.clone())), Ok(value));
            }
        }

        #[test]
        fn arbitrary_text_never_panics(text in any::<String>()) {
            let _ = (expiry(&text), template(&text), StatusPattern::try_from(text));
        }
    }
}
