//! Observed login: who signed in to an app, learnt from the app's own form and answers.
//!
//! One [`Observer`] for each route that asks for it. The pipeline asks it to [`watch`](Observer::watch) a request, gives
//! it the answer, and records what it says; nothing of either is changed. SECURITY: whoever is not surely signed in is
//! not: each condition that is given must hold, and a name that could be read in two ways is none.

mod answer;
mod asked;
pub mod fields;
mod page;
mod probe;
mod strict_json;
mod watch;

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use regex::bytes::Regex;

use crate::config::schema::{self, StatusPattern};
use crate::http::body::Capture;
use crate::http::path_pattern::PathPattern;
use crate::session::{Claims, VaultId};

pub use answer::{Answer, Success};
pub use asked::Credentials;
use asked::{Asked, UserSource};
pub use page::Page;
pub use probe::Probe;
pub use watch::{Attempt, Verdict, Watch};

/// How much is kept of a request that may sign in; more is no sign-in form.
const LONGEST_FORM: usize = 64 * 1024;

/// Headers of a request that are needed to read it, or to ask the app who is signed in.
const OF_INTEREST: [HeaderName; 5] =
    [header::CONTENT_TYPE, header::AUTHORIZATION, header::COOKIE, header::USER_AGENT, header::ACCEPT_LANGUAGE];

/// How the sign-in of one app looks. Immutable.
#[derive(Debug)]
pub struct Observer {
    logins: Box<[Login]>,
    logouts: Box<[Logout]>,
    /// Open to strangers, as the sign-in is.
    public: Box<[PathPattern]>,
    page: Page,
    login_page: Box<str>,
    expired: Option<Expired>,
    probe: Option<Probe>,
    regulates: bool,
    voucher: VaultId,
}

#[derive(Debug)]
struct Login {
    asked: Asked,
    success: Success,
    user: Option<UserSource>,
}

#[derive(Debug)]
struct Logout {
    asked: Asked,
    statuses: Vec<StatusPattern>,
}

/// Answers that mean that an app has forgotten somebody.
#[derive(Debug)]
pub struct Expired {
    /// None: any.
    statuses: Vec<StatusPattern>,
    location: Option<Page>,
    delete_cookie: Option<CookieName>,
}

/// A cookie's name, or its beginning.
#[derive(Debug)]
struct CookieName {
    text: Box<str>,
    is_beginning: bool,
}

/// Why an `observe` cannot be compiled; `config::check` finds all of it with its place.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// Not a method.
    #[error("`{0}` is not a method")]
    Method(String),
    /// Not a header name.
    #[error("`{0}` is not the name of a header")]
    Header(String),
    /// Not a regular expression.
    #[error(transparent)]
    Regex(#[from] regex::Error),
}

impl Observer {
    /// Compiles `observe` of a route whose cookies lie in `voucher`.
    ///
    /// # Errors
    /// [`ObserveError`].
    pub fn from_config(observe: &schema::Observe, voucher: VaultId) -> Result<Self, ObserveError> {
        let login_page = match (&observe.login_page, observe.login.first()) {
            (Some(page), _) => page.as_str(),
            (None, Some(login)) => login.path.trim_end_matches('*'),
            (None, None) => "/",
        };
        let page = Page::parse(login_page);
        let expired = match &observe.expired {
            Some(expired) => Expired::compile(expired, &page),
            None => Expired::compile(&schema::Expired::default(), &page),
        };
        Ok(Self {
            logins: observe.login.iter().map(Login::compile).collect::<Result<_, _>>()?,
            logouts: observe.logout.iter().map(Logout::compile).collect::<Result<_, _>>()?,
            public: observe.public_paths.iter().map(|path| PathPattern::parse(path)).collect(),
            page,
            login_page: login_page.into(),
            expired,
            probe: observe.probe.as_ref().map(Probe::compile).transpose()?,
            regulates: observe.regulation,
            voucher,
        })
    }

    /// Looks for nothing but these requests, and opens nothing to strangers.
    ///
    /// # Errors
    /// [`ObserveError`].
    pub fn of_logouts(logouts: &[schema::ObservedLogout]) -> Result<Self, ObserveError> {
        Ok(Self {
            logins: Box::default(),
            logouts: logouts.iter().map(Logout::compile).collect::<Result<_, _>>()?,
            public: Box::default(),
            page: Page::parse(""),
            login_page: "".into(),
            expired: None,
            probe: None,
            regulates: false,
            voucher: VaultId::of(""),
        })
    }

    /// Whether strangers may ask for this even where somebody must be signed in; what [`Watch::needs_form`] says of it
    /// comes on top.
    #[must_use]
    pub fn is_way_in(&self, method: &Method, path: &str, query: Option<&str>) -> bool {
        let signs_in = |login: &Login| login.asked.surely_fits(method, path, query);
        self.is_open(method, path, query) || self.logins.iter().any(signs_in)
    }

    /// Whatever is sent.
    fn is_open(&self, method: &Method, path: &str, query: Option<&str>) -> bool {
        // SECURITY: what is posted may overrule the query.
        let may_look = matches!(*method, Method::GET | Method::HEAD) || !self.page.is_one_of_many();
        may_look && self.page.fits(path, query)
            || self.logins.iter().any(|login| login.asked.has_its_own(path))
            || self.public.iter().any(|public| public.fits(path))
    }

    /// Where the app asks people to sign in, on their way to `here`.
    #[must_use]
    pub fn login_page(&self, here: &str) -> String {
        let here: String = form_urlencoded::byte_serialize(here.as_bytes()).collect();
        self.login_page.replace("{path}", &here)
    }

    /// The page that says who is signed in.
    #[must_use]
    pub fn probe(&self) -> Option<&Probe> {
        self.probe.as_ref()
    }

    /// Marks identities that this app vouches for.
    #[must_use]
    pub fn voucher(&self) -> VaultId {
        self.voucher
    }

    /// Whether `parts` may sign in or out.
    #[must_use]
    pub fn watch(&self, parts: &Parts) -> Option<Watch<'_>> {
        let (path, query) = (parts.uri.path(), parts.uri.query());
        let method = &parts.method;
        let logins: Vec<_> = self.logins.iter().filter(|login| login.asked.surely_fits(method, path, query)).collect();
        let logouts: Vec<_> = self.logouts.iter().filter(|logout| logout.asked.fits(method, path, query)).collect();
        if logins.is_empty() && logouts.is_empty() {
            return None;
        }
        let headers = parts.headers.iter().filter(|(name, _)| OF_INTEREST.contains(name));
        let mut kept = HeaderMap::new();
        for (name, value) in headers {
            kept.append(name, value.clone());
        }
        let reads_body =
            logins.iter().any(|login| login.reads_form()) || logouts.iter().any(|one| one.asked.reads_form());
        let needs_body = |login: &&Login| login.asked.reads_form() || login.asked.reads_query();
        Some(Watch {
            observer: self,
            needs_form: !self.is_open(method, path, query) && logins.iter().all(needs_body),
            brings_body: !matches!(*method, Method::GET | Method::HEAD),
            logins,
            logouts,
            path: path.into(),
            query: query.map(Into::into),
            headers: kept,
            body: Capture::of(if reads_body { LONGEST_FORM } else { 0 }),
        })
    }

    /// Whether this answer to a password that was sent to `path` shows that it was right.
    #[must_use]
    pub fn is_success(&self, path: &str, answer: &Answer<'_>) -> bool {
        self.logins.iter().any(|login| login.success.fits_head(path, answer) && login.success.fits_body(answer))
    }

    /// Whether this answer to somebody whom the app has signed in means that it has forgotten them.
    #[must_use]
    pub fn has_expired(&self, asked_for: &PathAndQuery, answer: &Answer<'_>) -> bool {
        let (path, query) = (asked_for.path(), asked_for.query());
        // The sign-in page itself may redirect to itself.
        self.expired.as_ref().is_some_and(|expired| expired.fits(path, answer))
            && !self.is_way_in(&Method::GET, path, query)
    }
}

impl Login {
    fn compile(login: &schema::ObservedLogin) -> Result<Self, ObserveError> {
        Ok(Self {
            asked: Asked::compile(&login.method, &login.path, &login.query, &login.form)?,
            success: Success::compile(login)?,
            user: login.user.as_ref().map(UserSource::compile).transpose()?,
        })
    }

    fn reads_form(&self) -> bool {
        let of_user = self.user.as_ref().is_some_and(|user| matches!(user, UserSource::Form(_)));
        of_user || self.asked.reads_form() || self.asked.reads_query() || self.marks().next().is_some()
    }

    /// What tells by the words of a page.
    fn marks(&self) -> impl Iterator<Item = &Regex> {
        self.success.mark().into_iter().chain(self.user.as_ref().and_then(UserSource::mark))
    }

    /// Whether a page could say what it must without the app's doing. SECURITY: of a body that `is_whole` not, nobody knows.
    fn may_be_repeated(&self, sent: &fields::Sent<'_>, is_whole: bool) -> bool {
        self.marks().any(|mark| !is_whole || sent.matches(mark))
    }

    fn reads_answer(&self) -> bool {
        self.success.reads_body() || self.user.as_ref().is_some_and(UserSource::reads_answer)
    }

    /// Whether what was sent makes it this sign-in. SECURITY: of a body that `is_whole` not, nobody knows.
    fn is_meant(&self, sent: &fields::Sent<'_>, is_whole: bool) -> bool {
        self.asked.fits_form(sent) && self.asked.is_left_by(is_whole.then_some(sent))
    }

    fn has_succeeded(&self, path: &str, answer: &Answer<'_>) -> bool {
        self.success.fits_head(path, answer) && self.success.fits_body(answer)
    }

    fn verdict(&self, sent: &fields::Sent<'_>, answer: &Answer<'_>, is_probed: bool) -> Verdict {
        let claims = self.user.as_ref().and_then(|source| source.name(sent, answer)).map(Claims::of);
        if claims.is_none() && !is_probed {
            tracing::warn!(
                event = "observed_login_ignored",
                "an app has signed somebody in, and nothing says whom: no session is theirs"
            );
            return Verdict::Unnamed;
        }
        Verdict::SignedIn { claims, repeats: matches!(self.user, Some(UserSource::Basic)) }
    }
}

impl CookieName {
    fn parse(text: &str) -> Self {
        let begins = text.strip_suffix('*');
        Self { text: begins.unwrap_or(text).into(), is_beginning: begins.is_some() }
    }

    fn fits(&self, name: &[u8]) -> bool {
        if self.is_beginning { name.starts_with(self.text.as_bytes()) } else { name == self.text.as_bytes() }
    }
}

impl Logout {
    fn compile(logout: &schema::ObservedLogout) -> Result<Self, ObserveError> {
        Ok(Self {
            asked: Asked::compile(&logout.method, &logout.path, &logout.query, &logout.form)?,
            statuses: or_success(&logout.status),
        })
    }
}

impl Expired {
    /// Compiles what the configuration says; redirects that name no place mean the login page.
    #[must_use]
    pub fn compile(expired: &schema::Expired, login_page: &Page) -> Option<Self> {
        let delete_cookie = expired.delete_cookie.as_deref().map(CookieName::parse);
        let statuses = match expired.status.is_empty() && delete_cookie.is_none() {
            true => vec![StatusPattern::Class(3)],
            false => expired.status.clone(),
        };
        let redirects =
            statuses.iter().any(|status| matches!(status, StatusPattern::Class(3) | StatusPattern::Code(300..400)));
        let to_the_page = redirects && delete_cookie.is_none();
        let location = expired.location.as_deref().map(Page::parse);
        let location = location.or_else(|| to_the_page.then(|| login_page.clone()));
        Some(Self { statuses, location, delete_cookie })
    }

    /// Whether this answer to a request for `asked_for` is one of them.
    #[must_use]
    pub fn fits(&self, asked_for: &str, answer: &Answer<'_>) -> bool {
        let says_so = self.statuses.is_empty() || fits_any(&self.statuses, answer.status);
        says_so
            && self.location.as_ref().is_none_or(|page| answer.leads_to(page, asked_for))
            && self.delete_cookie.as_ref().is_none_or(|name| answer.deletes(|cookie| name.fits(cookie)))
    }
}

fn or_success(statuses: &[StatusPattern]) -> Vec<StatusPattern> {
    match statuses.is_empty() {
        true => vec![StatusPattern::Class(2), StatusPattern::Class(3)],
        false => statuses.to_vec(),
    }
}

fn fits_any(statuses: &[StatusPattern], status: StatusCode) -> bool {
    statuses.iter().any(|pattern| pattern.fits(status.as_u16()))
}

#[cfg(test)]
mod tests;
