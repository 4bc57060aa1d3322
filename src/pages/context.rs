//! What each page is told. The field names are the variables of the templates, so they are part of the surface.
//!
//! Filled by the modules that answer a request; every text is escaped when it is rendered.

use serde::Serialize;

/// The sign-in page; its form posts `csrf`, `rd`, `username`, `password` and, if ticked, `remember=on`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LoginPage<'a> {
    /// Where the form is posted.
    pub action: &'a str,
    /// The form's token.
    pub csrf: &'a str,
    /// Where to go after sign-in.
    pub rd: Option<&'a str>,
    /// The name as it was typed, to fill in again; empty at first.
    pub user: &'a str,
    /// Why the page is shown again.
    pub error: Option<LoginError>,
    /// Whether there is a form for name and password.
    pub form: bool,
    /// Whether it has the box "keep me signed in" (`session.remember_me`), and whether that is ticked.
    pub remember: Option<bool>,
    /// What became of a form that met the end of the session.
    pub work: Option<Work>,
}

/// What became of a form that met the end of the session. In templates its name in snake case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// After signing in its sender will be asked about it.
    Kept,
    /// It was not delivered, and is not kept.
    Lost,
}

/// Why a sign-in did not succeed. In templates `error.kind` is the name in snake case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LoginError {
    /// Unknown name, wrong password, disabled account: the page must not tell which.
    BadCredentials,
    /// Too many failures.
    Banned {
        /// How long to wait, rounded up.
        minutes: u64,
    },
    /// The form's token belongs to no session, or to another one.
    Expired,
    /// Too many sign-ins at once.
    Busy,
    /// The form was sent by another site's page.
    CrossSite,
}

/// The page that asks before signing out; its form posts `csrf` and `rd`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LogoutPage<'a> {
    /// Where the form is posted.
    pub action: &'a str,
    /// The form's token.
    pub csrf: &'a str,
    /// Who is signed in.
    pub user: Option<&'a str>,
    /// Where to go after, and by the link that stays signed in.
    ///
    /// SECURITY: it becomes a link, and escaping does not disarm `javascript:`. Only the text of a
    /// `auth::return_to::ReturnTo` belongs here.
    pub rd: Option<&'a str>,
}

/// The page that asks about forms that met the end of the session. Each form on it posts `cloakroom-form` (its number)
/// and `csrf` to where it was going, in this order, to send it; or the same and `rd` to `discard`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ParkedPage<'a> {
    /// Those that wait; perhaps none any more.
    pub forms: Vec<ParkedForm<'a>>,
    /// The token of all of them.
    pub csrf: &'a str,
    /// Where a form is posted that is not wanted any more.
    pub discard: &'a str,
    /// Where to go after that.
    ///
    /// SECURITY: as in [`LogoutPage::rd`].
    pub rd: Option<&'a str>,
    /// Who is signed in.
    pub user: Option<&'a str>,
    /// The application could not be reached a moment ago.
    pub unreached: bool,
    /// It has not let the user in.
    pub refused: bool,
}

/// One of them.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ParkedForm<'a> {
    /// Its name.
    pub number: String,
    /// Where it was going: path and query, and so where the browser sends the answer.
    pub target: &'a str,
    /// The same for people to read.
    pub path: &'a str,
    /// So long it is kept, rounded up.
    pub minutes: u64,
}

/// The page after signing out.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SignedOutPage<'a> {
    /// Address of the sign-in page.
    pub login: &'a str,
}

/// The page for a form that came without our cookie.
#[derive(Debug, Clone, Default, Serialize)]
pub struct NoCookiesPage<'a> {
    /// Name of the cookie.
    pub cookie: &'a str,
    /// Address of the cookie test.
    pub cookie_check: &'a str,
    /// Address of the sign-in page, with `rd` where it is known.
    pub login: &'a str,
    /// The cookie is `Secure` and the request came over plain HTTP: the most likely cause, and named as such.
    pub insecure: bool,
}

/// The outcome of the cookie test.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CookieCheckPage<'a> {
    /// Whether the test cookie came back.
    pub kept: bool,
    /// Address of the test, to try again.
    pub again: &'a str,
    /// Address of the sign-in page.
    pub login: &'a str,
    /// As in [`NoCookiesPage::insecure`].
    pub insecure: bool,
}

/// A request that could not be served. Title and explanation follow from the status.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ErrorPage<'a> {
    /// HTTP status, 400 to 599.
    pub status: u16,
    /// One more sentence for the reader; no versions, addresses or other internals.
    pub detail: Option<&'a str>,
    /// The request's name in our log, for those who ask for help.
    pub request_id: Option<&'a str>,
    /// Who is signed in, where it matters (403).
    pub user: Option<&'a str>,
    /// Address of the page that signs out, to come back as somebody else (403).
    pub logout: Option<&'a str>,
}
