//! The app's own login: which form it is, what is sent and where to, and what an answer means.
//!
//! Part of [`SignOn`](super::SignOn) for routes whose app has a form, or takes JSON. SECURITY: a page of the app decides
//! neither about the host nor, where `action` is given, about the path; what is sent is wiped after use.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Uri};

use super::destination;
use super::fields::{Fields, render};
use super::form::{LoginForm, Page};
use crate::config::schema::{self, StatusPattern};
use crate::identity::Identity;
use crate::observe::{self, Answer, Expired, ObserveError, Probe, Success};
use crate::session::{Claims, Typed};

/// The app's own login.
#[derive(Debug)]
pub struct Login {
    page: Option<Box<str>>,
    form: Option<Box<str>>,
    action: Option<Box<str>>,
    fields: BTreeMap<String, String>,
    json: bool,
    /// Header → cookie.
    cookie_headers: Vec<(HeaderName, Box<str>)>,
    success: Success,
    probe: Option<Probe>,
    expired: Vec<Expired>,
    timeout: Duration,
}

/// What is posted.
#[derive(Debug)]
pub struct Posted {
    /// Path and query, as a browser has them.
    pub target: String,
    /// What kind of body.
    pub content_type: HeaderValue,
    /// The body, wiped after use.
    pub body: Bytes,
}

/// Why there is nothing to post.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoLogin {
    /// Perhaps because somebody is signed in.
    #[error("the login page has no form with a password field, or none of that name (sign_on.form)")]
    Form,
    /// The form is for another host.
    #[error("the login form leads to another host")]
    Elsewhere,
    /// It is not known what to fill in.
    #[error("the login form has no field for a name before that for the password: name them in sign_on.fields")]
    Fields,
}

impl Login {
    pub(super) fn compile(sign_on: &schema::SignOn) -> Result<Self, ObserveError> {
        // Without a page, no redirect leads there.
        let place = observe::Page::parse(sign_on.login_page.as_deref().unwrap_or_default());
        let boxed = |text: &Option<String>| text.as_deref().map(Into::into);
        Ok(Self {
            page: boxed(&sign_on.login_page),
            form: boxed(&sign_on.form),
            action: boxed(&sign_on.action),
            fields: sign_on.fields.clone(),
            json: sign_on.json,
            cookie_headers: sign_on.cookie_headers.iter().map(header).collect::<Result<_, _>>()?,
            success: Success::compile(&success(sign_on))?,
            probe: probe(sign_on).as_ref().map(Probe::compile).transpose()?,
            expired: expired(sign_on).iter().filter_map(|expired| Expired::compile(expired, &place)).collect(),
            timeout: sign_on.timeout.get(),
        })
    }

    /// The page to ask for first, path and query.
    #[must_use]
    pub fn page(&self) -> Option<&str> {
        self.page.as_deref()
    }

    /// How long each answer may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Headers of what is posted that repeat a cookie: the header, and the cookie as the configuration names it.
    #[must_use]
    pub fn cookie_headers(&self) -> &[(HeaderName, Box<str>)] {
        &self.cookie_headers
    }

    /// Asked after the login.
    #[must_use]
    pub fn probe(&self) -> Option<&Probe> {
        self.probe.as_ref()
    }

    /// Where a redirect on the way to the login page leads: see [`Self::post`].
    #[must_use]
    pub fn follow(&self, location: &str, at: &str, own: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Option<String> {
        destination::resolve(location, at, own)
    }

    /// What to post, by the page that was found `at` (path and query). `own` gives the path of a URL that is the app's.
    ///
    /// # Errors
    /// [`NoLogin`].
    pub fn post(
        &self,
        page: Option<(&str, &str)>,
        credentials: &Typed,
        identity: &Identity,
        own: impl Fn(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<Posted, NoLogin> {
        let Some((at, html)) = page else {
            let target = self.action.as_deref().ok_or(NoLogin::Elsewhere)?.to_owned();
            return Ok(self.posted(target, &self.filled(&LoginForm::default(), credentials, identity)?));
        };
        let page = Page::read(html);
        let form = match page.login_form(self.form.as_deref()) {
            Some(form) => form,
            // Scripts draw the form: its place and its fields are the configuration's word.
            None if self.action.is_some() && self.form.is_none() && !self.fields.is_empty() => &LoginForm::default(),
            None => return Err(NoLogin::Form),
        };
        let target = match &self.action {
            Some(action) => action.to_string(),
            None => target_of(form, &page, at, own).ok_or(NoLogin::Elsewhere)?,
        };
        Ok(self.posted(target, &self.filled(form, credentials, identity)?))
    }

    /// The form's fields, with those filled in that the configuration names, or that take name and password.
    fn filled(&self, form: &LoginForm, credentials: &Typed, identity: &Identity) -> Result<Fields, NoLogin> {
        let mut fields = Fields::of(form);
        if !self.fields.is_empty() {
            for (name, template) in &self.fields {
                fields.put(name, render(template, credentials, identity));
            }
            return Ok(fields);
        }
        let names = match (&form.user_field, &form.password_field) {
            (Some(user), Some(password)) => (user.as_str(), password.as_str()),
            (None, None) => ("username", "password"),
            _ => return Err(NoLogin::Fields),
        };
        fields.put(names.0, credentials.user.to_string());
        fields.put(names.1, credentials.password.to_string());
        Ok(fields)
    }

    fn posted(&self, target: String, fields: &Fields) -> Posted {
        let (kind, body) = match self.json {
            true => ("application/json", fields.as_json()),
            false => ("application/x-www-form-urlencoded", fields.as_form()),
        };
        Posted { target, content_type: HeaderValue::from_static(kind), body: Bytes::from_owner(body) }
    }

    /// Whether the head of the answer leaves it open, and the body must be read.
    #[must_use]
    pub fn reads_answer(&self) -> bool {
        self.success.reads_body()
    }

    /// Whether the app has let the user in; what `probe` says comes after that.
    #[must_use]
    pub fn has_succeeded(&self, asked_for: &str, answer: &Answer<'_>) -> bool {
        self.success.fits_head(asked_for, answer) && self.success.fits_body(answer)
    }

    /// Whether the page that was asked after the login shows that it has worked.
    #[must_use]
    pub fn probe_agrees(probe: &Probe, answer: &Answer<'_>, user: &str) -> bool {
        probe.read(answer, Some(Claims::of(user.to_owned()))).is_some()
    }

    /// Whether this answer means that the app's own session has run out.
    #[must_use]
    pub fn has_expired(&self, asked_for: &Uri, answer: &Answer<'_>) -> bool {
        let (path, query) = (asked_for.path(), asked_for.query());
        // The login page itself may redirect to itself; the same path with another query may be any page.
        let is_page = self.page().is_some_and(|page| observe::Page::parse(page).fits(path, query));
        self.expired.iter().any(|expired| expired.fits(path, answer)) && !is_page
    }
}

fn header((header, cookie): (&String, &String)) -> Result<(HeaderName, Box<str>), ObserveError> {
    Ok((header.parse().map_err(|_| ObserveError::Header(header.clone()))?, cookie.as_str().into()))
}

/// Where a form that stands `at` leads.
fn target_of(form: &LoginForm, page: &Page, at: &str, own: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Option<String> {
    let action = form.action.as_deref().unwrap_or_default();
    // An empty action is the page itself, whatever its base.
    match page.base.as_deref().filter(|_| !action.trim().is_empty()) {
        Some(base) => destination::resolve(action, &destination::resolve(base, at, &own)?, &own),
        None => destination::resolve(action, at, &own),
    }
}

/// What tells a success: what is said, or else what is usual.
fn success(sign_on: &schema::SignOn) -> schema::ObservedLogin {
    let usual = schema::ObservedLogin::default();
    match sign_on.success.clone() {
        Some(schema::SignOnSuccess { status, location, location_not, set_cookie, json, body, body_not, .. }) => {
            schema::ObservedLogin { status, location, location_not, set_cookie, json, body, body_not, ..usual }
        }
        None if sign_on.json => schema::ObservedLogin { status: vec![StatusPattern::Class(2)], ..usual },
        None => schema::ObservedLogin { location_not: sign_on.login_page.clone(), ..usual },
    }
}

/// What tells that the app has forgotten the user.
fn expired(sign_on: &schema::SignOn) -> Vec<schema::Expired> {
    let unauthorised = schema::Expired { status: vec![StatusPattern::Code(401)], ..Default::default() };
    sign_on.expired.clone().map_or_else(|| vec![schema::Expired::default(), unauthorised], |expired| vec![expired])
}

/// The page that shows whether it has worked.
fn probe(sign_on: &schema::SignOn) -> Option<schema::Probe> {
    let schema::SignOnProbe { path, json, regex } = sign_on.success.as_ref()?.probe.clone()?;
    Some(schema::Probe { path, json, regex, ..schema::Probe::default() })
}
