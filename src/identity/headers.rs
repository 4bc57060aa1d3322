//! Identity headers: which names no client may send, and what an app is told of the user.
//!
//! `pipeline` strips on every route, anonymous ones too, before anything else reads the headers, and
//! injects only what a `Permit` carries. SECURITY: both halves use one list of names, built at load.

use std::collections::{BTreeMap, HashSet};
use std::sync::OnceLock;

use aws_lc_rs::digest::{SHA256, digest};
use http::header::{HeaderMap, HeaderName};

use super::Identity;
use super::template::{Template, TemplateError, Values};
use crate::config::schema::{HeaderPreset, IdentityHeaders};
use crate::http::headers::{fold, is_folded};
use crate::http::lines::HeaderLines;
use crate::store::Handle;

/// Families of names that only the gateway may write.
const PROTECTED_PREFIXES: [&str; 7] =
    ["session-", "x-forwarded-", "x-original-", "x-accel-", "x-auth-request-", "x-remote-", "x-authentik-"];

/// Names that apps take for an identity or a routing decision, whether or not this gateway sets them.
const PROTECTED: [&str; 22] = [
    "forwarded",
    "x-real-ip",
    "x-rewrite-url",
    "x-http-method-override",
    "x-method-override",
    "proxy",
    "cloakroom-assertion",
    "remote-user",
    "remote-name",
    "remote-email",
    "remote-groups",
    "remote-addr",
    "remote-host",
    "auth-user",
    "auth-type",
    "x-auth-user",
    "x-webauth-user",
    "x-webauth-name",
    "x-webauth-email",
    "x-webauth-groups",
    "x-user",
    "x-proxy-user",
];

/// Fields whose alias spelling would be a second opinion on framing, host or credentials.
const NEVER_ALIASED: [&str; 5] = ["content-length", "transfer-encoding", "host", "cookie", "authorization"];

const REMOTE: [(&str, &str); 4] =
    [("Remote-User", "{user}"), ("Remote-Name", "{name}"), ("Remote-Email", "{email}"), ("Remote-Groups", "{groups}")];

const FORWARDED: [(&str, &str); 4] = [
    ("X-Forwarded-User", "{user}"),
    ("X-Forwarded-Preferred-Username", "{name}"),
    ("X-Forwarded-Email", "{email}"),
    ("X-Forwarded-Groups", "{groups}"),
];

/// A header that spells a framing or credential field in a way some apps take for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a header is an alias spelling of `{0}`")]
pub struct Alias(&'static str);

/// The names no client may send, on any route.
#[derive(Debug, Clone)]
pub struct Protected {
    names: HashSet<Box<str>>,
    /// PERF: whether any protected name begins with this byte; most headers end their check here.
    first: [bool; 256],
}

impl Protected {
    /// The built-in names and those that any of `injectors` writes.
    #[must_use]
    pub fn new<'a>(injectors: impl IntoIterator<Item = &'a Injector>) -> Self {
        let configured =
            injectors.into_iter().flat_map(|injector| &injector.fields).map(|(name, _)| fold(name.as_str()));
        let names: HashSet<Box<str>> =
            PROTECTED.iter().map(|name| (*name).into()).chain(configured.map(String::into_boxed_str)).collect();
        let mut first = [false; 256];
        let prefixes = PROTECTED_PREFIXES.iter().copied();
        for name in names.iter().map(AsRef::as_ref).chain(prefixes) {
            first[usize::from(name.as_bytes().first().copied().unwrap_or_default())] = true;
        }
        Self { names, first }
    }

    /// Removes every protected field and every alias of one.
    ///
    /// # Errors
    /// [`Alias`] when a field is a disguised `Content-Length`, `Transfer-Encoding`, `Host`, `Cookie` or
    /// `Authorization`: the request is refused.
    pub fn strip(&self, headers: &mut HeaderMap) -> Result<(), Alias> {
        let mut doomed = Vec::new();
        for name in headers.keys() {
            let text = name.as_str();
            if is_folded(text) {
                if self.first[usize::from(text.as_bytes()[0])] && self.covers(text) {
                    doomed.push(name.clone());
                }
                continue;
            }
            let folded = fold(text);
            if let Some(real) = NEVER_ALIASED.iter().find(|real| **real == folded) {
                return Err(Alias(real));
            }
            if self.covers(&folded) {
                doomed.push(name.clone());
            }
        }
        for name in doomed {
            headers.remove(name);
        }
        Ok(())
    }

    fn covers(&self, folded: &str) -> bool {
        self.names.contains(folded) || PROTECTED_PREFIXES.iter().any(|prefix| folded.starts_with(prefix))
    }
}

/// What one route tells its app: header names and compiled templates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injector {
    fields: Vec<(HeaderName, Template)>,
    /// The same for every injector that writes the same, and for no other.
    fingerprint: [u8; 16],
    /// Any template says something of the session.
    reads_session: bool,
    /// Any template needs its data.
    reads_data: bool,
}

/// What headers may say of the session.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Its public name; `None` when there is none.
    pub handle: Option<Handle>,
    /// Its data: a JSON object.
    pub data: &'a str,
}

/// The headers of one identity as one kind of injector writes them, kept for its next request.
///
/// Only the first kind is kept: routes that tell their apps different things are rare. It says nothing about the
/// identity that the identity does not say itself, so it takes no part in comparisons and is not copied.
#[derive(Debug, Default)]
pub struct Rendered(OnceLock<([u8; 16], HeaderLines)>);

impl Clone for Rendered {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Rendered {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Rendered {}

/// Why identity headers cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InjectorError {
    /// Not a header name.
    #[error("`{0}` is not a header name")]
    Name(String),
    /// A faulty template.
    #[error("{name}: {source}")]
    Template {
        /// The header it is for.
        name: String,
        /// What is wrong.
        source: TemplateError,
    },
}

impl Injector {
    /// Compiles a preset or a map of templates.
    ///
    /// # Errors
    /// See [`InjectorError`].
    pub fn from_config(headers: &IdentityHeaders) -> Result<Self, InjectorError> {
        let preset = |pairs: &[(&str, &str)]| pairs.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect();
        let templates: BTreeMap<String, String> = match headers {
            IdentityHeaders::Preset(HeaderPreset::Remote) => preset(&REMOTE),
            IdentityHeaders::Preset(HeaderPreset::Forwarded) => preset(&FORWARDED),
            IdentityHeaders::Templates(map) => map.clone(),
        };
        let compile = |(name, template): (String, String)| {
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| InjectorError::Name(name.clone()))?;
            let template = Template::compile(&template).map_err(|source| InjectorError::Template { name, source })?;
            Ok((header, template))
        };
        let mut fingerprint = [0; 16];
        let text = serde_json::to_vec(&templates).unwrap_or_default();
        fingerprint.copy_from_slice(&digest(&SHA256, &text).as_ref()[..16]);
        let fields = templates.into_iter().map(compile).collect::<Result<Vec<_>, _>>()?;
        let reads_session = fields.iter().any(|(_, template)| template.reads_session());
        let reads_data = fields.iter().any(|(_, template)| template.reads_data());
        Ok(Self { fields, fingerprint, reads_session, reads_data })
    }

    /// Whether a header depends on the session, not on who is signed in alone.
    #[must_use]
    pub fn reads_session(&self) -> bool {
        self.reads_session
    }

    /// Writes the headers, at most one line each: of whoever is signed in, and of the session.
    pub fn inject(&self, identity: Option<&Identity>, facts: &Facts<'_>, lines: &mut HeaderLines) {
        match identity {
            _ if self.reads_session => self.render_session(identity, facts, lines),
            Some(identity) => self.inject_identity(identity, lines),
            None => {}
        }
    }

    /// PERF: what follows from the identity alone is rendered once.
    fn inject_identity(&self, identity: &Identity, lines: &mut HeaderLines) {
        let render = || {
            let mut rendered = HeaderLines::default();
            self.render(&Values { identity: Some(identity), ..Values::default() }, &mut rendered);
            rendered
        };
        let (kind, rendered) = identity.rendered.0.get_or_init(|| (self.fingerprint, render()));
        match *kind == self.fingerprint {
            true => lines.append(rendered),
            false => lines.append(&render()),
        }
    }

    fn render_session(&self, identity: Option<&Identity>, facts: &Facts<'_>, lines: &mut HeaderLines) {
        let data = self.reads_data.then(|| serde_json::from_str(facts.data).ok()).flatten();
        self.render(&Values { identity, handle: facts.handle, data: data.as_ref() }, lines);
    }

    fn render(&self, values: &Values<'_>, lines: &mut HeaderLines) {
        for (name, template) in &self.fields {
            // SECURITY: a fixed text may be an app's sign that somebody is signed in.
            if values.identity.is_none() && !template.reads_session() {
                continue;
            }
            if let Some(text) = template.render(values) {
                lines.push_text(name, &text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::clock::Timestamp;
    use crate::http::lines::parsed;

    fn injector() -> Injector {
        let map =
            [("X-Shop-Customer".to_owned(), "{user}".to_owned()), ("X-Shop-Mail".to_owned(), "{email}".to_owned())];
        Injector::from_config(&IdentityHeaders::Templates(map.into_iter().collect())).unwrap()
    }

    fn survives(name: &str) -> Result<bool, Alias> {
        let injector = injector();
        let mut headers = HeaderMap::new();
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("admin"));
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("root"));
        Protected::new([&injector]).strip(&mut headers)?;
        Ok(!headers.is_empty())
    }

    #[test]
    fn identity_headers_of_a_client_are_removed_in_every_spelling() {
        for name in ["Remote-User", "remote_user", "REMOTE_USER", "Remote.User", "X-Remote_User", "HTTP_X_REMOTE_USER"]
        {
            assert_eq!(survives(name), Ok(false), "{name}");
        }
        for separator in "!#$%&'*+-.^_`|~".chars() {
            let name = format!("X{separator}Shop{separator}Customer");
            assert_eq!(survives(&name), Ok(false), "{name}");
        }
    }

    #[test]
    fn forwarding_and_session_headers_of_a_client_are_removed() {
        for name in [
            "X-Forwarded-Prefix",
            "X-Forwarded-Uri",
            "X_Forwarded_For",
            "Forwarded",
            "X-Real-IP",
            "X-Original-URL",
            "X-Rewrite-URL",
            "Proxy",
            "Session-User",
            "Session-Data",
            "session_set",
            "Cloakroom-Assertion",
            "X-Auth-Request-User",
            "X-WEBAUTH-USER",
            "X-Accel-Redirect",
            "X-HTTP-Method-Override",
        ] {
            assert_eq!(survives(name), Ok(false), "{name}");
        }
    }

    #[test]
    fn other_headers_pass() {
        for name in
            ["Accept", "Sec-Fetch-Mode", "X-Requested-With", "X-CSRFToken", "Authorization", "x_custom", "Referer"]
        {
            assert_eq!(survives(name), Ok(true), "{name}");
        }
    }

    #[test]
    fn a_disguised_framing_or_credential_header_refuses_the_request() {
        for name in ["Content_Length", "transfer.encoding", "Cookie_", "HTTP_HOST", "HTTP_COOKIE", "HTTP-Authorization"]
        {
            let refused = survives(name).is_err();
            assert_eq!(refused, !name.ends_with('_'), "{name}");
        }
    }

    #[test]
    fn an_absent_attribute_means_an_absent_header() {
        let ann = Identity {
            user: "ann".into(),
            name: None,
            email: None,
            groups: vec![],
            since: Timestamp(0),
            proof: [0; 8],
            source: Default::default(),
            rendered: Default::default(),
            vouched: Default::default(),
        };
        let headers = injected(&injector(), Some(&ann), "{}");
        assert_eq!(headers.len(), 1);
        assert_eq!(headers["x-shop-customer"], "ann");
    }

    fn injected(injector: &Injector, identity: Option<&Identity>, data: &str) -> HeaderMap {
        let mut lines = HeaderLines::default();
        injector.inject(identity, &Facts { handle: Some(Handle([1; 8])), data }, &mut lines);
        parsed(&lines)
    }

    #[test]
    fn session_values_are_told_of_visitors_too_and_fixed_texts_are_not() {
        let templates = [
            ("X-Fixed", "yes"),
            ("X-User", "{user}"),
            ("X-Theme", "{session.theme}"),
            ("X-Both", "{user}/{session.theme}"),
            ("X-Handle", "{session_handle}"),
        ];
        let map = templates.map(|(name, template)| (name.to_owned(), template.to_owned()));
        let injector = Injector::from_config(&IdentityHeaders::Templates(map.into_iter().collect())).unwrap();
        let names = |headers: &HeaderMap| {
            let mut names: Vec<_> = headers.keys().map(|name| name.as_str().to_owned()).collect();
            names.sort();
            names
        };
        let visitor = injected(&injector, None, r#"{"theme":"dark"}"#);
        assert_eq!(names(&visitor), ["x-handle", "x-theme"]);
        let ann = Identity::named("ann");
        assert_eq!(injected(&injector, Some(&ann), r#"{"theme":"dark"}"#)["x-both"], "ann/dark");
        // Not what was rendered before: the data has changed.
        assert_eq!(injected(&injector, Some(&ann), r#"{"theme":"light"}"#)["x-both"], "ann/light");
        assert_eq!(names(&injected(&injector, Some(&ann), "{}")), ["x-fixed", "x-handle", "x-user"]);
    }

    #[test]
    fn without_session_values_a_visitor_is_not_told_of() {
        assert!(injected(&injector(), None, "{}").is_empty());
    }
}
