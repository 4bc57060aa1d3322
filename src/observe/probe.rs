//! The page of an app that says who is signed in: the surest witness, asked right after a sign-in.

use std::time::Duration;

use regex::bytes::Regex;
use serde_json::Value;

use super::answer::Answer;
use super::asked::captured;
use super::fields::text;
use super::{ObserveError, strict_json};
use crate::config::schema;
use crate::session::Claims;

/// Where to ask, and how to read the answer. Immutable.
#[derive(Debug)]
pub struct Probe {
    path: Box<str>,
    user: Witness,
    name: Option<Box<str>>,
    email: Option<Box<str>>,
    groups: Option<Box<str>>,
    timeout: Duration,
}

#[derive(Debug)]
enum Witness {
    Json(Box<str>),
    Regex(Regex),
    /// That it answers at all: whoever has signed in named themselves before.
    Status,
}

impl Probe {
    /// Compiles what the configuration says.
    ///
    /// # Errors
    /// [`ObserveError::Regex`].
    pub fn compile(probe: &schema::Probe) -> Result<Self, ObserveError> {
        let boxed = |text: &Option<String>| text.as_deref().map(Into::into);
        let user = match (&probe.json, &probe.regex) {
            (Some(pointer), _) => Witness::Json(pointer.as_str().into()),
            (None, Some(regex)) => Witness::Regex(Regex::new(regex)?),
            (None, None) => Witness::Status,
        };
        Ok(Self {
            path: probe.path.as_str().into(),
            user,
            name: boxed(&probe.name),
            email: boxed(&probe.email),
            groups: boxed(&probe.groups),
            timeout: probe.timeout.get(),
        })
    }

    /// Asked with GET.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// How long the app may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Who is signed in by what the page says; `typed` is the name that was typed, for pages that say only whether.
    #[must_use]
    pub fn read(&self, answer: &Answer<'_>, typed: Option<Claims>) -> Option<Claims> {
        if !answer.status.is_success() {
            return None;
        }
        let body = answer.body?;
        let json = || strict_json::parse(body);
        match &self.user {
            Witness::Status => typed,
            Witness::Regex(regex) if regex.captures_len() == 1 => typed.filter(|_| regex.is_match(body)),
            Witness::Regex(regex) => captured(regex, body).filter(|name| !name.is_empty()).map(Claims::of),
            Witness::Json(pointer) => {
                let json = json()?;
                let at = |pointer: &Option<Box<str>>| json.pointer(pointer.as_deref()?);
                let user = text(json.pointer(pointer)?).filter(|name| !name.is_empty())?;
                let groups = at(&self.groups).map(list).unwrap_or_default();
                Some(Claims {
                    user,
                    name: at(&self.name).and_then(text),
                    email: at(&self.email).and_then(text),
                    groups,
                })
            }
        }
    }
}

/// A list of names, or a text with commas.
fn list(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().filter_map(text).collect(),
        other => {
            let joined = text(other).unwrap_or_default();
            joined.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
        }
    }
}
