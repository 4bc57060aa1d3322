//! What a browser and an app see of each other's cookies: all of them, hardened ones, or none but a chosen few.
//!
//! One [`Cookies`] for each route; the pipeline asks it for the `Cookie` line of a request, and gives it the head of
//! each answer. With the vault it is the session that keeps an app's cookies, as RFC 6265bis tells browsers to.
//! SECURITY: whatever the status, no `Set-Cookie` line of such an answer is left but those of exposed names, and no
//! cookie that a client makes up reaches such an app under any other name.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::clock::Timestamp;
use crate::config::schema::{self, CookieHandling};
use crate::http::cookies;
use crate::http::lines::HeaderLines;
use crate::jar::{self, Cookie, Hardening, Jar, Place};
use crate::session::{CookieChanges, VaultId};

const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// How a route deals with the cookies of its app. Immutable.
#[derive(Debug)]
pub enum Cookies {
    /// They pass.
    Pass,
    /// They pass, with the attributes they lack.
    Harden(Exposed),
    /// They stay here.
    Vault(VaultId, Exposed),
}

/// Names of cookies that the browser's JavaScript must read, or their beginnings with `*`.
#[derive(Debug)]
pub struct Exposed(Box<[Box<str>]>);

/// The cookies that are kept of an app, and where and when it is asked.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'a> {
    /// None yet, mostly.
    pub jar: Option<&'a Jar>,
    /// As the app was told, and as the browser asked.
    pub place: Place<'a>,
    /// When.
    pub now: Timestamp,
}

impl Cookies {
    /// Compiles what `route` says; routes to one upstream share a vault unless they name one.
    #[must_use]
    pub fn from_config(route: &schema::Route) -> Self {
        let exposed = Exposed(route.expose_cookies.iter().map(|name| name.as_str().into()).collect());
        match route.cookies {
            CookieHandling::Pass => Self::Pass,
            CookieHandling::Harden => Self::Harden(exposed),
            CookieHandling::Vault => Self::Vault(Self::name_of(route), exposed),
        }
    }

    /// What `route`'s vault is called, whether or not it has one.
    #[must_use]
    pub fn name_of(route: &schema::Route) -> VaultId {
        VaultId::of(route.vault.as_deref().or(route.upstream.url.as_deref()).unwrap_or_default())
    }

    /// Where the cookies lie, if the browser does not see them.
    #[must_use]
    pub fn vault(&self) -> Option<VaultId> {
        match self {
            Self::Pass | Self::Harden(_) => None,
            Self::Vault(vault, _) => Some(*vault),
        }
    }

    /// Whether a `Set-Cookie` line is for the browser, though others are kept here.
    #[must_use]
    pub fn exposes(&self, line: &HeaderValue) -> bool {
        matches!(self, Self::Vault(_, exposed) if exposed.has(line))
    }

    /// Writes the `Cookie` line for the app: the client's cookies but for `ours`; or those that are kept, and of the
    /// client's only the exposed ones.
    pub fn write(&self, from_client: &HeaderMap, ours: &[Box<str>], kept: &Kept<'_>, lines: &mut HeaderLines) {
        let Self::Vault(_, Exposed(exposed)) = self else {
            return cookies::write_others(from_client, ours, lines);
        };
        let kept = kept.jar.into_iter().flat_map(|jar| jar.matching(&kept.place, kept.now));
        cookies::write_kept(kept.map(Cookie::pair), from_client, exposed, lines);
    }

    /// Takes out of an answer's head what is not for the browser, and mends the rest; returns what is to be done to
    /// the cookies that are kept.
    pub fn absorb(&self, answer: &mut HeaderMap, https: bool, kept: &Kept<'_>) -> Option<CookieChanges> {
        match self {
            Self::Pass => None,
            Self::Harden(exposed) => {
                exposed.harden(answer, https);
                None
            }
            Self::Vault(vault, exposed) => {
                let empties = clears_cookies(answer) && kept.jar.is_some();
                let jar = kept.jar.filter(|_| !empties);
                let is_news = |operation: &jar::Operation| match (jar, operation) {
                    (Some(jar), operation) => !jar.changes_nothing(operation, kept.now),
                    (None, operation) => matches!(operation, jar::Operation::Set(_)),
                };
                let lines = exposed.take_others(answer, https);
                let operations: Vec<_> = lines.iter().filter_map(|line| kept.read(line)).collect();
                // All or none: of two lines for one cookie the last one counts, whatever lies here by now.
                let is_news = empties || operations.iter().any(is_news);
                is_news.then_some(CookieChanges { vault: *vault, empties, operations })
            }
        }
    }
}

impl Kept<'_> {
    fn read(&self, line: &HeaderValue) -> Option<jar::Operation> {
        jar::read(line.as_bytes(), &self.place, self.now)
            .inspect_err(|refused| tracing::debug!(%refused, "a cookie of the app is not kept, as no browser would"))
            .ok()
    }
}

impl Exposed {
    fn has(&self, line: &HeaderValue) -> bool {
        self.0.iter().any(|name| cookies::sets_one_of(line, name))
    }

    /// Gives each `Set-Cookie` line what it lacks.
    fn harden(&self, answer: &mut HeaderMap, https: bool) {
        if let header::Entry::Occupied(mut lines) = answer.entry(header::SET_COOKIE) {
            lines.iter_mut().for_each(|line| *line = jar::harden(line, &Hardening { https, readable: self.has(line) }));
        }
    }

    /// Leaves the lines of exposed names, hardened, and returns the others.
    fn take_others(&self, answer: &mut HeaderMap, https: bool) -> Vec<HeaderValue> {
        let header::Entry::Occupied(lines) = answer.entry(header::SET_COOKIE) else { return Vec::new() };
        let lines: Vec<HeaderValue> = lines.remove_entry_mult().1.collect();
        let (exposed, others): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| self.has(line));
        for line in exposed {
            answer.append(header::SET_COOKIE, jar::harden(&line, &Hardening { https, readable: true }));
        }
        others
    }
}

/// Whether the app wants its cookies forgotten (W3C Clear Site Data §3.1). They lie here: the browser is told of the
/// rest only, since what it holds is ours.
fn clears_cookies(answer: &mut HeaderMap) -> bool {
    let Some(wanted) = answer.get(CLEAR_SITE_DATA).and_then(|value| value.to_str().ok()) else { return false };
    let types: Vec<&str> = wanted.split(',').map(str::trim).collect();
    if !types.iter().any(|kind| matches!(*kind, "\"cookies\"" | "\"*\"")) {
        return false;
    }
    let rest = match types.contains(&"\"*\"") {
        true => "\"cache\", \"storage\"".to_owned(),
        false => types.into_iter().filter(|kind| *kind != "\"cookies\"").collect::<Vec<_>>().join(", "),
    };
    match HeaderValue::try_from(rest) {
        Ok(rest) if !rest.is_empty() => drop(answer.insert(CLEAR_SITE_DATA, rest)),
        _ => drop(answer.remove(CLEAR_SITE_DATA)),
    }
    true
}
