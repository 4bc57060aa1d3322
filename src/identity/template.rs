//! Templates for header values: `{user} {name} {email} {groups} {groups:SEP}` and, of the session,
//! `{session.KEY} {session_handle}`, in fixed text.
//!
//! SECURITY: what is rendered is visible ASCII. Anything else is encoded as RFC 8187 does
//! (`UTF-8''…`), so that no value can end a header line or be trimmed into another name.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use serde_json::{Map, Value};

use super::Identity;
use crate::store::Handle;

/// A compiled template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    User,
    Name,
    Email,
    Groups {
        separator: Box<str>,
    },
    /// A value of the session's data: the keys on the way to it.
    Session(Vec<Box<str>>),
    SessionHandle,
}

/// What a template is filled from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Values<'a> {
    /// Who is signed in.
    pub identity: Option<&'a Identity>,
    /// The session's public name.
    pub handle: Option<Handle>,
    /// The session's data.
    pub data: Option<&'a Map<String, Value>>,
}

/// Why a template cannot be compiled; its writer is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `{` without `}`.
    #[error("`{{` without `}}`")]
    Unclosed,
    /// A name that means nothing.
    #[error(
        "`{{{0}}}` is unknown; use {{user}}, {{name}}, {{email}}, {{groups}}, {{groups:SEPARATOR}}, {{session.KEY}} or {{session_handle}}"
    )]
    Unknown(String),
    /// Fixed text that cannot stand in a header.
    #[error("the text has characters that cannot stand in a header")]
    Text,
}

/// Header values beyond this are left out: most apps refuse heads of more than 8 KiB.
const LONGEST: usize = 4096;

/// What RFC 8187 §3.2.1 does not count as `attr-char`, and so is percent-encoded.
const NOT_ATTR_CHAR: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'%')
    .add(b'\'')
    .add(b'(')
    .add(b')')
    .add(b'*')
    .add(b',')
    .add(b'/')
    .add(b':')
    .add(b';')
    .add(b'<')
    .add(b'=')
    .add(b'>')
    .add(b'?')
    .add(b'@')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'{')
    .add(b'}');

impl Template {
    /// Compiles `text`.
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub fn compile(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            push_text(&mut pieces, before)?;
            let (name, after) = after.split_once('}').ok_or(TemplateError::Unclosed)?;
            pieces.push(Piece::parse(name)?);
            rest = after;
        }
        push_text(&mut pieces, rest)?;
        Ok(Self(pieces))
    }

    /// Whether it says something of the session: it is then for visitors who are not signed in, too.
    #[must_use]
    pub fn reads_session(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Session(_) | Piece::SessionHandle))
    }

    /// Whether it needs the session's data.
    #[must_use]
    pub fn reads_data(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Session(_)))
    }

    /// The value, or `None` when one of its parts is absent or it is too long.
    #[must_use]
    pub fn render(&self, values: &Values<'_>) -> Option<String> {
        // PERF: the common template is one name of plain text.
        if let [piece] = self.0.as_slice() {
            return piece.render(values).map(encode).filter(|value| value.len() <= LONGEST);
        }
        let mut value = String::new();
        for piece in &self.0 {
            value.push_str(&piece.render(values)?);
        }
        Some(encode(value)).filter(|value| value.len() <= LONGEST)
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) -> Result<(), TemplateError> {
    if !text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Err(TemplateError::Text);
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text.into()));
    }
    Ok(())
}

impl Piece {
    fn parse(name: &str) -> Result<Self, TemplateError> {
        match name {
            "user" => Ok(Self::User),
            "name" => Ok(Self::Name),
            "email" => Ok(Self::Email),
            "groups" => Ok(Self::Groups { separator: ",".into() }),
            "session_handle" => Ok(Self::SessionHandle),
            _ => Self::parse_argument(name).ok_or_else(|| TemplateError::Unknown(name.into())),
        }
    }

    fn parse_argument(name: &str) -> Option<Self> {
        if let Some(separator) = name.strip_prefix("groups:") {
            return (!separator.is_empty()).then(|| Self::Groups { separator: separator.into() });
        }
        let keys: Vec<Box<str>> = name.strip_prefix("session.")?.split('.').map(Into::into).collect();
        keys.iter().all(|key| !key.is_empty()).then_some(Self::Session(keys))
    }

    fn render(&self, values: &Values<'_>) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.to_string()),
            Self::Session(keys) => scalar(values.data?, keys),
            Self::SessionHandle => values.handle.map(|handle| handle.to_string()),
            _ => self.render_identity(values.identity?),
        }
    }

    fn render_identity(&self, identity: &Identity) -> Option<String> {
        match self {
            Self::Text(_) | Self::Session(_) | Self::SessionHandle => None,
            Self::User => Some(identity.user.to_string()),
            Self::Name => identity.name.as_deref().map(str::to_owned),
            Self::Email => identity.email.as_deref().map(str::to_owned),
            Self::Groups { .. } if identity.groups.is_empty() => None,
            Self::Groups { separator } => {
                let groups: Vec<String> = identity.groups.iter().map(|group| escape(group, separator)).collect();
                Some(groups.join(separator))
            }
        }
    }
}

/// The value at the end of `keys`; lists, objects, null and empty text count as absent.
fn scalar(data: &Map<String, Value>, keys: &[Box<str>]) -> Option<String> {
    let (last, way) = keys.split_last()?;
    let parent = way.iter().try_fold(data, |map, key| map.get(&**key)?.as_object())?;
    match parent.get(&**last)? {
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// SECURITY: a group whose name holds the separator must not read as two groups.
fn escape(group: &str, separator: &str) -> String {
    match group.contains(separator) || group.contains('%') {
        true => utf8_percent_encode(group, NOT_ATTR_CHAR).to_string().replace(separator, &all_encoded(separator)),
        false => group.to_owned(),
    }
}

fn all_encoded(text: &str) -> String {
    utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn encode(value: String) -> String {
    let visible = value.bytes().all(|b| (0x20..0x7f).contains(&b));
    let trimmed = value.starts_with(' ') || value.ends_with(' ') || value.is_empty();
    match visible && !trimmed {
        true => value,
        false => format!("UTF-8''{}", utf8_percent_encode(&value, NOT_ATTR_CHAR)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Timestamp;

    fn identity(user: &str, groups: &[&str]) -> Identity {
        let groups = groups.iter().map(|g| (*g).into()).collect();
        Identity {
            user: user.into(),
            name: None,
            email: None,
            groups,
            since: Timestamp(0),
            proof: [0; 8],
            source: Default::default(),
            rendered: Default::default(),
            vouched: Default::default(),
        }
    }

    fn render(template: &str, identity: &Identity) -> Option<String> {
        Template::compile(template).unwrap().render(&Values { identity: Some(identity), ..Values::default() })
    }

    fn render_session(template: &str, data: &Value) -> Option<String> {
        let values = Values { data: data.as_object(), handle: Some(Handle([0x1f; 8])), ..Values::default() };
        Template::compile(template).unwrap().render(&values)
    }

    #[test]
    fn session_values_are_found_by_their_way() {
        let data = serde_json::json!({ "theme": "dark", "n": 2.5, "on": false, "a": { "b": { "c": "deep" } }, "none": null, "": 1, "empty": "" });
        for (template, expected) in [
            ("{session.theme}", Some("dark")),
            ("t={session.theme};n={session.n};{session.on}", Some("t=dark;n=2.5;false")),
            ("{session.a.b.c}", Some("deep")),
            ("{session_handle}", Some("1f1f1f1f1f1f1f1f")),
            ("{session.a.b}", None),
            ("{session.theme.x}", None),
            ("{session.none}", None),
            ("{session.empty}", None),
            ("{session.theme} {session.absent}", None),
            ("{user} {session.theme}", None),
        ] {
            assert_eq!(render_session(template, &data).as_deref(), expected, "{template}");
        }
        for bad in ["{session}", "{session.}", "{session..a}", "{session.a.}", "{session_data}"] {
            assert!(matches!(Template::compile(bad), Err(TemplateError::Unknown(_))), "{bad}");
        }
    }

    #[test]
    fn values_stand_in_the_text_around_them() {
        let ann = identity("ann", &["staff", "wiki"]);
        assert_eq!(render("{user}", &ann).as_deref(), Some("ann"));
        assert_eq!(render("uid={user},ou=people", &ann).as_deref(), Some("uid=ann,ou=people"));
        assert_eq!(render("{groups}", &ann).as_deref(), Some("staff,wiki"));
        assert_eq!(render("{groups:;}", &ann).as_deref(), Some("staff;wiki"));
    }

    #[test]
    fn an_absent_value_means_no_header() {
        assert_eq!(render("{email}", &identity("ann", &[])), None);
        assert_eq!(render("Groups {groups}", &identity("ann", &[])), None);
    }

    #[test]
    fn what_is_not_visible_ascii_is_encoded() {
        assert_eq!(render("{user}", &identity("jürgen", &[])).as_deref(), Some("UTF-8''j%C3%BCrgen"));
        assert_eq!(render("{user}", &identity(" admin", &[])).as_deref(), Some("UTF-8''%20admin"));
        assert_eq!(render("{user}", &identity("a\r\nX: y", &[])).as_deref(), Some("UTF-8''a%0D%0AX%3A%20y"));
    }

    #[test]
    fn a_group_with_the_separator_in_it_stays_one_group() {
        assert_eq!(render("{groups}", &identity("a", &["x,admin", "y"])).as_deref(), Some("x%2Cadmin,y"));
        assert_eq!(render("{groups:-}", &identity("a", &["x-admin"])).as_deref(), Some("x%2Dadmin"));
    }

    #[test]
    fn a_value_too_long_for_a_header_is_left_out_never_cut() {
        assert_eq!(render("{user}", &identity(&"x".repeat(5000), &[])), None);
    }

    #[test]
    fn faulty_templates_say_what_is_allowed() {
        assert_eq!(Template::compile("{user"), Err(TemplateError::Unclosed));
        assert!(Template::compile("{usr}").unwrap_err().to_string().contains("{groups:SEPARATOR}"));
        assert_eq!(Template::compile("a\nb"), Err(TemplateError::Text));
    }

    proptest! {
        #[test]
        fn whatever_a_session_value_is_the_header_is_one_line_of_visible_ascii(text in any::<String>()) {
            if let Some(value) = render_session("{session.a}", &serde_json::json!({ "a": text })) {
                prop_assert!(http::HeaderValue::from_str(&value).unwrap().to_str().is_ok());
            }
        }

        #[test]
        fn arbitrary_templates_never_panic(template in any::<String>()) {
            let _ = Template::compile(&template);
        }

        #[test]
        fn whatever_the_user_is_called_the_value_is_one_header_value(user in "\\PC{1,40}|[\\x00-\\x7f]{1,40}", group in ".{0,20}") {
            if let Some(value) = render("{user} {groups}", &identity(&user, &[&group])) {
                prop_assert!(http::HeaderValue::from_str(&value).unwrap().to_str().is_ok());
            }
        }
    }
}
