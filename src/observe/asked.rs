//! The request of a sign-in or sign-out: which it is, and whom it names.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, Method, header};
use regex::bytes::Regex;

use super::answer::Answer;
use super::fields::{self, Sent, text};
use super::{ObserveError, strict_json};
use crate::config::schema;
use crate::http::path_pattern::PathPattern;

/// The value of a field that may hold anything but nothing.
const ANY: &str = "*";

/// Method, path, query and fields that make a request the one that is meant.
#[derive(Debug)]
pub(super) struct Asked {
    /// Empty: any.
    methods: Vec<Method>,
    path: PathPattern,
    query: BTreeMap<String, String>,
    form: BTreeMap<String, String>,
}

/// Where the user's name stands.
#[derive(Debug)]
pub(super) enum UserSource {
    Form(Box<str>),
    Basic,
    Header(HeaderName),
    Json(Box<str>),
    Regex(Regex),
    /// The app has one password and no names.
    Fixed(Box<str>),
}

/// `Authorization: Basic` (RFC 7617).
#[derive(Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Up to the first colon.
    pub user: String,
    /// The rest.
    pub password: String,
}

impl Asked {
    pub fn compile(
        methods: &[String],
        path: &str,
        query: &BTreeMap<String, String>,
        form: &BTreeMap<String, String>,
    ) -> Result<Self, ObserveError> {
        let compile =
            |name: &String| Method::from_bytes(name.as_bytes()).map_err(|_| ObserveError::Method(name.clone()));
        let methods = methods.iter().map(compile).collect::<Result<_, _>>()?;
        Ok(Self { methods, path: PathPattern::parse(path), query: query.clone(), form: form.clone() })
    }

    /// As far as the head of the request says.
    pub fn fits(&self, method: &Method, path: &str, query: Option<&str>) -> bool {
        let sent = |name: &str, value: &str| {
            let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
            pairs.any(|(sent, with)| sent == name && with == value)
        };
        (self.methods.is_empty() || self.methods.contains(method))
            && self.path.fits(path)
            && self.query.iter().all(|(name, value)| sent(name, value))
    }

    /// The same, and no app could read the query in another way.
    pub fn surely_fits(&self, method: &Method, path: &str, query: Option<&str>) -> bool {
        let sole = |(name, value): (&String, &String)| fields::in_query(query, name).as_ref() == Some(value);
        self.fits(method, path, query) && self.query.iter().all(sole)
    }

    /// Whether nothing but this has the path.
    pub fn has_its_own(&self, path: &str) -> bool {
        self.query.is_empty() && self.form.is_empty() && self.path.fits(path)
    }

    pub fn reads_form(&self) -> bool {
        !self.form.is_empty()
    }

    /// Whether the query tells it, which a body may overrule.
    pub fn reads_query(&self) -> bool {
        !self.query.is_empty()
    }

    /// Whether what the query says holds after that body; `None`: a body of which not all is known.
    pub fn is_left_by(&self, body: Option<&Sent<'_>>) -> bool {
        self.query.is_empty()
            || body.is_some_and(|sent| self.query.iter().all(|(name, value)| sent.leaves(name, value)))
    }

    pub fn fits_form(&self, sent: &Sent<'_>) -> bool {
        let fits = |said: &String, value: &str| if value == ANY { !said.is_empty() } else { said == value };
        self.form.iter().all(|(name, value)| sent.field(name).is_some_and(|said| fits(&said, value)))
    }
}

impl UserSource {
    pub fn compile(source: &schema::UserSource) -> Result<Self, ObserveError> {
        let schema::UserSource { form, basic: _, header, json, regex, fixed } = source;
        Ok(match (form, header, json, regex, fixed) {
            (Some(field), ..) => Self::Form(field.as_str().into()),
            (_, Some(name), ..) => Self::Header(name.parse().map_err(|_| ObserveError::Header(name.clone()))?),
            (_, _, Some(pointer), ..) => Self::Json(pointer.as_str().into()),
            (.., Some(regex), _) => Self::Regex(Regex::new(regex)?),
            (.., Some(name)) => Self::Fixed(name.as_str().into()),
            _ => Self::Basic,
        })
    }

    pub fn reads_answer(&self) -> bool {
        matches!(self, Self::Json(_) | Self::Regex(_))
    }

    /// Where the name is looked for on a page, if it is.
    pub fn mark(&self) -> Option<&Regex> {
        match self {
            Self::Regex(regex) => Some(regex),
            Self::Form(_) | Self::Basic | Self::Header(_) | Self::Json(_) | Self::Fixed(_) => None,
        }
    }

    /// The name as it was typed, if it was.
    pub fn typed(&self, sent: &Sent<'_>) -> Option<String> {
        let name = match self {
            Self::Form(field) => sent.field(field),
            Self::Basic => Credentials::read(sent.headers).map(|credentials| credentials.user),
            Self::Header(_) | Self::Json(_) | Self::Regex(_) | Self::Fixed(_) => None,
        };
        name.filter(|name| !name.is_empty())
    }

    /// The name, if there is one and only one.
    pub fn name(&self, sent: &Sent<'_>, answer: &Answer<'_>) -> Option<String> {
        let name = match self {
            Self::Form(_) | Self::Basic => self.typed(sent),
            Self::Header(name) => only_line(answer.headers, name),
            Self::Json(pointer) => text(strict_json::parse(answer.body?)?.pointer(pointer)?),
            Self::Regex(regex) => captured(regex, answer.body?),
            Self::Fixed(name) => Some(name.to_string()),
        };
        name.filter(|name| !name.is_empty())
    }
}

impl Credentials {
    /// From a request's headers.
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let line = only_line(headers, &header::AUTHORIZATION)?;
        let (scheme, token) = line.split_once(' ')?;
        let token = scheme.eq_ignore_ascii_case("basic").then(|| token.trim())?;
        let text = String::from_utf8(STANDARD.decode(token).ok()?).ok()?;
        let (user, password) = text.split_once(':')?;
        Some(Self { user: user.into(), password: password.into() })
    }
}

/// The first group of a match; SECURITY: two matches that differ name nobody.
pub(super) fn captured(regex: &Regex, body: &[u8]) -> Option<String> {
    let mut found = regex.captures_iter(body).filter_map(|groups| groups.get(1)).map(|group| group.as_bytes());
    let first = found.next()?;
    found.all(|other| other == first).then(|| String::from_utf8(first.to_vec()).ok()).flatten()
}

fn only_line(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut lines = headers.get_all(name).iter();
    let (line, another) = (lines.next()?, lines.next());
    another.is_none().then(|| String::from_utf8(line.as_bytes().to_vec()).ok()).flatten()
}
