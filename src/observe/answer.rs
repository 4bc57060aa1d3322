//! An app's answer to a sign-in: what tells success from failure.

use std::collections::BTreeMap;

use http::{HeaderMap, StatusCode, Uri, header};
use regex::bytes::Regex;
use serde_json::Value;

use super::page::Page;
use super::{ObserveError, fits_any, or_success, strict_json};
use crate::config::schema::{self, StatusPattern};
use crate::http::target::normalise_path;
use crate::jar;

/// The head of an answer, and its body if it was read.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, cookies among them.
    pub headers: &'a HeaderMap,
    /// What its `Set-Cookie` lines do.
    pub cookies: &'a [jar::Operation],
    /// All of its body.
    pub body: Option<&'a [u8]>,
}

/// What must hold, all of it.
#[derive(Debug)]
pub struct Success {
    statuses: Vec<StatusPattern>,
    location: Option<Page>,
    location_not: Option<Page>,
    set_cookie: Option<Box<str>>,
    json: BTreeMap<String, Value>,
    body: Option<Regex>,
    body_not: Option<Regex>,
}

impl Answer<'_> {
    /// The path to which it redirects, from a page at `asked_for`; the host is the app's business.
    #[must_use]
    pub fn location(&self, asked_for: &str) -> Option<String> {
        let reference = self.reference()?.split(['#', '?']).next().unwrap_or_default();
        let path = match reference {
            "" => asked_for.to_owned(),
            absolute if absolute.contains("://") => absolute.parse::<Uri>().ok()?.path().to_owned(),
            host if host.starts_with("//") => format!("http:{host}").parse::<Uri>().ok()?.path().to_owned(),
            path if path.starts_with('/') => path.to_owned(),
            relative => format!("{}/{relative}", asked_for.rsplit_once('/').map_or("", |(folder, _)| folder)),
        };
        normalise_path(&path).ok().map(std::borrow::Cow::into_owned)
    }

    /// Whether it redirects there, from a page at `asked_for`.
    pub(super) fn leads_to(&self, page: &Page, asked_for: &str) -> bool {
        self.location(asked_for).is_some_and(|path| page.fits(&path, self.query()))
    }

    /// Whether it surely redirects elsewhere or nowhere.
    fn leads_elsewhere(&self, page: &Page, asked_for: &str) -> bool {
        match self.location(asked_for) {
            Some(path) => !self.leads_to_itself() && !page.may_be(&path, self.query()),
            // A redirect of which it cannot be said where it leads does not lead elsewhere for sure.
            None => !self.status.is_redirection() && !self.headers.contains_key(header::LOCATION),
        }
    }

    /// Whether its last word on such a cookie is that it is deleted.
    pub(super) fn deletes(&self, is_meant: impl Fn(&[u8]) -> bool) -> bool {
        let mut named = self.cookies.iter().filter(|operation| is_meant(operation.name()));
        named.any(|operation| {
            let last = self.cookies.iter().rev().find(|later| later.name() == operation.name());
            matches!(last, Some(jar::Operation::Delete(_)))
        })
    }

    /// Whether it repeats the address, whose query is not known here.
    fn leads_to_itself(&self) -> bool {
        self.reference().is_some_and(|text| text.is_empty() || text.starts_with('#'))
    }

    /// The query of the place to which it redirects.
    fn query(&self) -> Option<&str> {
        self.reference()?.split('#').next()?.split_once('?').map(|(_, query)| query)
    }

    /// The only `Location`.
    fn reference(&self) -> Option<&str> {
        let mut lines = self.headers.get_all(header::LOCATION).iter();
        let (line, another) = (lines.next()?, lines.next());
        line.to_str().ok().filter(|_| another.is_none()).map(str::trim)
    }
}

impl Success {
    /// Compiles what must hold; nothing else of `login` is looked at.
    ///
    /// # Errors
    /// [`ObserveError::Regex`].
    pub fn compile(login: &schema::ObservedLogin) -> Result<Self, ObserveError> {
        let redirects = login.location.is_some() || login.location_not.is_some();
        let statuses = match login.status.is_empty() && redirects {
            true => vec![StatusPattern::Class(3)],
            false => or_success(&login.status),
        };
        let regex = |text: &Option<String>| text.as_deref().map(Regex::new).transpose();
        Ok(Self {
            statuses,
            location: login.location.as_deref().map(Page::parse),
            location_not: login.location_not.as_deref().map(Page::parse),
            set_cookie: login.set_cookie.as_deref().map(Into::into),
            json: login.json.clone(),
            body: regex(&login.body)?,
            body_not: regex(&login.body_not)?,
        })
    }

    /// Whether the body must be read.
    #[must_use]
    pub fn reads_body(&self) -> bool {
        !self.json.is_empty() || self.body.is_some() || self.body_not.is_some()
    }

    /// What the page must say, if that is asked for.
    pub(super) fn mark(&self) -> Option<&Regex> {
        self.body.as_ref()
    }

    /// Whether all holds that the head says.
    #[must_use]
    pub fn fits_head(&self, asked_for: &str, answer: &Answer<'_>) -> bool {
        fits_any(&self.statuses, answer.status)
            && self.location.as_ref().is_none_or(|page| answer.leads_to(page, asked_for))
            && self.location_not.as_ref().is_none_or(|page| answer.leads_elsewhere(page, asked_for))
            && self.set_cookie.as_deref().is_none_or(|name| sets_last(answer.cookies, name))
    }

    /// Whether all holds that the body says.
    #[must_use]
    pub fn fits_body(&self, answer: &Answer<'_>) -> bool {
        if !self.reads_body() {
            return true;
        }
        // A body that is too long, or compressed after all, says nothing for sure.
        let Some(body) = answer.body else { return false };
        let has = |regex: &Regex| regex.is_match(body);
        let says = |json: &Value| self.json.iter().all(|(pointer, value)| json.pointer(pointer) == Some(value));
        (self.json.is_empty() || strict_json::parse(body).is_some_and(|json| says(&json)))
            && self.body.as_ref().is_none_or(has)
            && !self.body_not.as_ref().is_some_and(has)
    }
}

/// Whether the answer's last word on a cookie is that it is set.
fn sets_last(cookies: &[jar::Operation], name: &str) -> bool {
    let last = cookies.iter().rev().find(|operation| operation.name() == name.as_bytes());
    matches!(last, Some(jar::Operation::Set(_)))
}
