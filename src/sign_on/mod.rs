//! Sign-on: what it takes to sign a user on to an app that has a login of its own. Immutable but for [`Flights`].
//!
//! One [`SignOn`] for each route that asks for it. `pipeline` speaks to the app; here is known which form it is, what is
//! sent, where to, and what an answer means. SECURITY: credentials are put into a request here and nowhere else, and a
//! page of the app decides neither about the host nor, where `action` is given, about the path.

mod destination;
mod flights;
mod form;
mod html;
mod json;

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use zeroize::{Zeroize as _, Zeroizing};

use crate::config::schema::{self, AppAccount, StatusPattern};
use crate::identity::Identity;
use crate::observe::{self, Answer, Expired, ObserveError, Probe, Success};
use crate::session::{Claims, Typed};

pub use flights::{Flight, Flights};
use form::{LoginForm, Page};

/// How the users of one route are signed on.
#[derive(Debug)]
pub struct SignOn {
    way: Way,
    credentials: Source,
    flights: Flights,
}

/// By which way.
#[derive(Debug)]
pub enum Way {
    /// The app's own login, whose cookies are kept.
    Login(Box<Login>),
    /// `Authorization: Basic` with each request.
    Basic,
}

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

#[derive(Debug)]
enum Source {
    Typed,
    One(AppAccount),
    Each(BTreeMap<String, AppAccount>),
}

/// Whose credentials there are for a user.
#[derive(Debug)]
pub enum Found {
    /// These.
    Credentials(Typed),
    /// Those that are typed at sign-in, and the session has none.
    NotTyped,
    /// None: nobody has entered any.
    None,
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

impl SignOn {
    /// Compiles `sign_on` of a route.
    ///
    /// # Errors
    /// [`ObserveError`].
    pub fn from_config(sign_on: &schema::SignOn) -> Result<Self, ObserveError> {
        let credentials = match &sign_on.credentials {
            schema::Credentials::Typed => Source::Typed,
            schema::Credentials::Kept(kept) => match &kept.username {
                Some(username) => {
                    Source::One(AppAccount { username: username.clone(), password: kept.password.clone() })
                }
                None => Source::Each(kept.accounts.clone()),
            },
        };
        let way = if sign_on.basic { Way::Basic } else { Way::Login(Box::new(Login::compile(sign_on)?)) };
        Ok(Self { way, credentials, flights: Flights::default() })
    }

    /// By which way.
    #[must_use]
    pub fn way(&self) -> &Way {
        &self.way
    }

    /// Who is on their way.
    #[must_use]
    pub fn flights(&self) -> &Flights {
        &self.flights
    }

    /// Whether it needs what is typed at the gateway's own form.
    #[must_use]
    pub fn needs_typed(&self) -> bool {
        matches!(self.credentials, Source::Typed)
    }

    /// What the app is given for `identity`; `typed` opens what the session keeps.
    #[must_use]
    pub fn credentials(&self, identity: &Identity, typed: impl FnOnce() -> Option<Typed>) -> Found {
        let account = match &self.credentials {
            Source::Typed => return typed().map_or(Found::NotTyped, Found::Credentials),
            Source::One(account) => Some(account),
            Source::Each(accounts) => accounts.get(&identity.user.trim().to_lowercase()),
        };
        let read = |account: &AppAccount| {
            let password = account.password.as_ref()?.reveal().to_owned();
            Some(Typed { user: account.username.clone().into(), password: password.into() })
        };
        account.and_then(read).map_or(Found::None, Found::Credentials)
    }
}

/// `Authorization: Basic` (RFC 7617 §2); `None` for a name with a colon, which it cannot say.
#[must_use]
pub fn basic(credentials: &Typed) -> Option<HeaderValue> {
    if credentials.user.contains(':') {
        return None;
    }
    let pair = Zeroizing::new(format!("{}:{}", *credentials.user, *credentials.password));
    let line = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    let mut value = HeaderValue::from_str(&line).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl Login {
    fn compile(sign_on: &schema::SignOn) -> Result<Self, ObserveError> {
        let page = sign_on.login_page.as_deref();
        let success = match &sign_on.success {
            Some(success) => observed(success),
            None if sign_on.json => {
                schema::ObservedLogin { status: vec![StatusPattern::Class(2)], ..Default::default() }
            }
            None => schema::ObservedLogin { location_not: page.map(str::to_owned), ..Default::default() },
        };
        // Without a page, no redirect leads there.
        let place = observe::Page::parse(page.unwrap_or_default());
        let expired = match &sign_on.expired {
            Some(expired) => vec![expired.clone()],
            None => {
                let unauthorised = schema::Expired { status: vec![StatusPattern::Code(401)], location: None };
                vec![schema::Expired::default(), unauthorised]
            }
        };
        let expired = expired.iter().filter_map(|expired| Expired::compile(expired, &place)).collect();
        let probe = sign_on.success.as_ref().and_then(|success| success.probe.as_ref()).map(|probe| schema::Probe {
            path: probe.path.clone(),
            json: probe.json.clone(),
            regex: probe.regex.clone(),
            ..schema::Probe::default()
        });
        let boxed = |text: &Option<String>| text.as_deref().map(Into::into);
        Ok(Self {
            page: boxed(&sign_on.login_page),
            form: boxed(&sign_on.form),
            action: boxed(&sign_on.action),
            fields: sign_on.fields.clone(),
            json: sign_on.json,
            cookie_headers: sign_on.cookie_headers.iter().map(header).collect::<Result<_, _>>()?,
            success: Success::compile(&success)?,
            probe: probe.as_ref().map(Probe::compile).transpose()?,
            expired,
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
            return Ok(self.posted(target, self.filled(&LoginForm::default(), credentials, identity)?));
        };
        let page = Page::read(html);
        let form = match page.login_form(self.form.as_deref()) {
            Some(form) => Some(form),
            // Scripts draw the form: its place and its fields are the configuration's word.
            None if self.action.is_some() && self.form.is_none() && !self.fields.is_empty() => None,
            None => return Err(NoLogin::Form),
        };
        let found = form.cloned().unwrap_or_default();
        let target = match &self.action {
            Some(action) => action.to_string(),
            None => {
                let base =
                    page.base.as_deref().map_or(Some(at.to_owned()), |base| destination::resolve(base, at, &own));
                let action = found.action.as_deref().unwrap_or_default();
                // An empty action is the page itself, whatever its base.
                let from = if action.trim().is_empty() { Some(at.to_owned()) } else { base };
                from.and_then(|from| destination::resolve(action, &from, &own)).ok_or(NoLogin::Elsewhere)?
            }
        };
        Ok(self.posted(target, self.filled(&found, credentials, identity)?))
    }

    /// The form's fields, with those filled in that the configuration names, or that take name and password.
    fn filled(&self, form: &LoginForm, credentials: &Typed, identity: &Identity) -> Result<Fields, NoLogin> {
        let mut fields = Fields(form.fields.clone());
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

    fn posted(&self, target: String, fields: Fields) -> Posted {
        let (kind, body) = match self.json {
            // Texts always serialise.
            true => ("application/json", serde_json::to_string(&json::Node::of(&fields.0)).unwrap_or_default()),
            false => {
                let pairs = fields.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
                ("application/x-www-form-urlencoded", body)
            }
        };
        let body = Bytes::from_owner(Zeroizing::new(body.into_bytes()));
        Posted { target, content_type: HeaderValue::from_static(kind), body }
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
    pub fn has_expired(&self, asked_for: &str, answer: &Answer<'_>) -> bool {
        let is_page = self.page().is_some_and(|page| page.split('?').next() == Some(asked_for));
        // The login page itself may redirect to itself.
        !is_page && self.expired.iter().any(|expired| expired.fits(asked_for, answer))
    }
}

/// What is sent, wiped when it is dropped.
struct Fields(Vec<(String, String)>);

impl Fields {
    /// In the place of the form's own field of that name, or after all.
    fn put(&mut self, name: &str, value: String) {
        match self.0.iter().position(|(known, _)| known == name) {
            Some(at) => {
                self.0[at].1 = value;
                let mut place = 0;
                self.0.retain(|(known, _)| {
                    place += 1;
                    place <= at + 1 || known != name
                });
            }
            None => self.0.push((name.to_owned(), value)),
        }
    }
}

impl Drop for Fields {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|(_, value)| value.zeroize());
    }
}

/// One pass: what a value brings is no placeholder.
fn render(template: &str, credentials: &Typed, identity: &Identity) -> String {
    let values = [
        ("{user}", credentials.user.as_str()),
        ("{password}", credentials.password.as_str()),
        ("{email}", identity.email.as_deref().unwrap_or_default()),
        ("{name}", identity.name.as_deref().unwrap_or_default()),
    ];
    let (mut out, mut rest) = (String::new(), template);
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        match values.iter().find(|(name, _)| from.starts_with(name)) {
            Some((name, value)) => {
                out.push_str(value);
                rest = &from[name.len()..];
            }
            None => {
                out.push('{');
                rest = &from[1..];
            }
        }
    }
    out + rest
}

fn header((header, cookie): (&String, &String)) -> Result<(HeaderName, Box<str>), ObserveError> {
    Ok((header.parse().map_err(|_| ObserveError::Header(header.clone()))?, cookie.as_str().into()))
}

fn observed(success: &schema::SignOnSuccess) -> schema::ObservedLogin {
    let schema::SignOnSuccess { status, location, location_not, set_cookie, json, body, body_not, .. } =
        success.clone();
    schema::ObservedLogin { status, location, location_not, set_cookie, json, body, body_not, ..Default::default() }
}

#[cfg(test)]
mod tests;
