//! Rules: operations on the session of an app that knows nothing of it, by what it was asked and answered.
//!
//! Compiled by `gateway` for each route, asked by `pipeline` once per answer. It only says what is to be
//! recorded: `changes` applies it, and drops what a failed app (5xx) may not have done.

use http::{HeaderMap, HeaderName, Method, StatusCode};

use super::changes::{Change, Expiry, Step};
use super::claims::{self, Claims, Flaw};
use super::data::Map;
use crate::clock::Timestamp;
use crate::config::schema::{self, HeaderTemplate, Piece, StatusPattern};
use crate::http::path_pattern::PathPattern;

/// The rules of one route.
#[derive(Debug, Clone, Default)]
pub struct Rules(Box<[Rule]>);

/// What the app was asked.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path, in the one form that was decided about.
    pub path: &'a str,
}

/// Why rules cannot be compiled; `config::check` finds all of it with its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Not a method.
    #[error("`{0}` is not a method")]
    Method(String),
    /// A rule that does nothing.
    #[error("rule {0} does nothing")]
    Empty(usize),
}

#[derive(Debug, Clone)]
struct Rule {
    /// Empty: any.
    methods: Vec<Method>,
    path: Option<PathPattern>,
    statuses: Vec<StatusPattern>,
    effects: Vec<Effect>,
}

#[derive(Debug, Clone)]
enum Effect {
    Record(Change),
    SignIn(Box<SignIn>),
    /// An [`Expiry::At`], which is a flush once it has passed.
    EndAt(Timestamp),
}

#[derive(Debug, Clone)]
struct SignIn {
    user: HeaderTemplate,
    name: Option<HeaderTemplate>,
    email: Option<HeaderTemplate>,
    groups: Vec<HeaderTemplate>,
}

impl Rules {
    /// Compiles the rules of a route.
    ///
    /// # Errors
    /// See [`RuleError`].
    pub fn from_config(rules: &[schema::Rule]) -> Result<Self, RuleError> {
        rules.iter().enumerate().map(|(index, rule)| Rule::compile(index, rule)).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is to be recorded, now that the app has answered `asked` with `status` and the headers `response`.
    #[must_use]
    pub fn changes(&self, asked: &Asked<'_>, status: StatusCode, response: &HeaderMap, now: Timestamp) -> Vec<Change> {
        let fitting = self.0.iter().filter(|rule| rule.fits(asked, status));
        fitting.flat_map(|rule| &rule.effects).filter_map(|effect| effect.change(response, now)).collect()
    }
}

impl Rule {
    fn compile(index: usize, rule: &schema::Rule) -> Result<Self, RuleError> {
        let schema::When { method, path, status } = &rule.when;
        let compile = |name: &String| Method::from_bytes(name.as_bytes()).map_err(|_| RuleError::Method(name.clone()));
        let methods = method.iter().map(compile).collect::<Result<_, _>>()?;
        let path = path.as_deref().map(PathPattern::parse);
        let statuses = match status.is_empty() {
            true => vec![StatusPattern::Class(2), StatusPattern::Class(3)],
            false => status.clone(),
        };
        let effects = effects(&rule.then);
        if effects.is_empty() {
            return Err(RuleError::Empty(index));
        }
        Ok(Self { methods, path, statuses, effects })
    }

    fn fits(&self, asked: &Asked<'_>, status: StatusCode) -> bool {
        let path = self.path.as_ref().is_none_or(|path| path.fits(asked.path));
        let method = self.methods.is_empty() || self.methods.contains(asked.method);
        path && method && self.statuses.iter().any(|pattern| pattern.fits(status.as_u16()))
    }
}

/// In the order in which they apply.
fn effects(then: &schema::Then) -> Vec<Effect> {
    let flag = |on: bool, change: Change| on.then_some(Effect::Record(change));
    let each = |map: &Map, change: fn(Box<str>, serde_json::Value) -> Change| {
        let changes = map.iter().map(|(key, value)| Effect::Record(change(key.as_str().into(), value.clone())));
        changes.collect::<Vec<_>>()
    };
    let mut effects = Vec::new();
    effects.extend(flag(then.flush, Change::Flush));
    effects.extend(flag(then.clear, Change::Clear));
    effects.extend(SignIn::compile(then).map(Box::new).map(Effect::SignIn));
    effects.extend(flag(!then.merge.is_empty(), Change::Merge(then.merge.clone())));
    effects.extend(each(&then.set, Change::Set));
    effects.extend(then.unset.iter().map(|key| Effect::Record(Change::Unset(key.as_str().into()))));
    let increment = |(key, by): (&String, _)| Effect::Record(Change::Increment(key.as_str().into(), step(by)));
    effects.extend(then.increment.iter().map(increment));
    effects.extend(each(&then.flash, Change::Flash));
    effects.extend(then.expiry.map(expiry));
    effects.extend(flag(then.rotate, Change::Rotate));
    effects.extend(flag(then.revoke_others, Change::RevokeOthers));
    effects
}

/// A JSON number as a step; beyond 64 bits it is a real one.
pub(super) fn step(number: &serde_json::Number) -> Step {
    // Without arbitrary precision every number has an `f64`.
    number.as_i64().map_or_else(|| Step::Real(number.as_f64().unwrap_or_default()), Step::Whole)
}

fn expiry(expiry: schema::Expiry) -> Effect {
    match expiry {
        schema::Expiry::Sliding(duration) => Effect::Record(Change::Expiry(Expiry::Sliding(duration.get()))),
        schema::Expiry::Browser => Effect::Record(Change::Expiry(Expiry::Browser)),
        schema::Expiry::Default => Effect::Record(Change::Expiry(Expiry::Policy)),
        schema::Expiry::At(moment) => Effect::EndAt(moment),
    }
}

impl Effect {
    fn change(&self, response: &HeaderMap, now: Timestamp) -> Option<Change> {
        match self {
            Self::Record(change) => Some(change.clone()),
            Self::SignIn(sign_in) => sign_in.change(response, now),
            Self::EndAt(moment) if *moment <= now => Some(Change::Flush),
            Self::EndAt(moment) => Some(Change::Expiry(Expiry::At(*moment))),
        }
    }
}

impl SignIn {
    fn compile(then: &schema::Then) -> Option<Self> {
        let user = then.user.clone()?;
        Some(Self { user, name: then.name.clone(), email: then.email.clone(), groups: then.groups.clone() })
    }

    /// Nothing when the app does not name anybody, or nobody who could be named.
    fn change(&self, response: &HeaderMap, now: Timestamp) -> Option<Change> {
        let read = |template: &HeaderTemplate, field: &'static str| {
            let text = render(template, response)?;
            text.inspect_err(|reason| {
                tracing::warn!(event = "rule_ignored", field, %reason, "what the app says of the user cannot be used");
            })
            .ok()
        };
        let user = read(&self.user, "user").filter(|user| !user.is_empty())?;
        let optional = |template: &Option<HeaderTemplate>, field| template.as_ref().and_then(|t| read(t, field));
        let claims = Claims {
            user,
            name: optional(&self.name, "name"),
            email: optional(&self.email, "email"),
            groups: self.groups(response),
        };
        Some(Change::AppSignIn { identity: claims.identity(now), vault: None })
    }

    fn groups(&self, response: &HeaderMap) -> Vec<String> {
        let lists = self.groups.iter().filter_map(|template| raw(template, response));
        let judged = lists.map(|list| claims::list(&list)).collect::<Result<Vec<_>, _>>();
        judged.map(|lists| lists.concat()).unwrap_or_else(|reason| {
            tracing::warn!(event = "rule_ignored", field = "groups", %reason, "what the app says of the user cannot be used");
            Vec::new()
        })
    }
}

/// The text of a template; `None` when one of its headers is absent.
fn render(template: &HeaderTemplate, response: &HeaderMap) -> Option<Result<String, Flaw>> {
    let pieces = template.0.iter().map(|piece| match piece {
        Piece::Text(text) => Some(Ok(text.clone())),
        Piece::Header(name) => one(response, name).map(claims::text),
    });
    let text: Option<Result<String, Flaw>> = pieces.collect();
    text.map(|text| text.and_then(claims::judge))
}

/// The same for a list, whose members are decoded one by one.
fn raw(template: &HeaderTemplate, response: &HeaderMap) -> Option<Vec<u8>> {
    let pieces = template.0.iter().map(|piece| match piece {
        Piece::Text(text) => Some(text.as_bytes()),
        Piece::Header(name) => one(response, name),
    });
    pieces.collect::<Option<Vec<_>>>().map(|pieces| pieces.concat())
}

/// SECURITY: an app that names two users at once names nobody.
fn one<'a>(response: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut lines = response.get_all(name).iter();
    let first = lines.next()?;
    lines.all(|line| line == first).then(|| first.as_bytes())
}

#[cfg(test)]
mod tests;
