//! The sign-in form: shows it, and judges what comes back.
//!
//! The order of the checks is a matter of security: cookie, origin and token before anything is looked up;
//! regulation before the password; one answer for every way in which name and password do not fit.

use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use zeroize::Zeroizing;

use super::endpoints::{Call, Error};
use super::logins::Outcome;
use super::regulation::Banned;
use super::return_to::ReturnTo;
use super::users::{Account, canonical_name};
use super::{Auth, csrf};
use crate::http::respond::{self, Page};
use crate::identity::Identity;
use crate::pages::{LoginError, LoginPage, NoCookiesPage, Work};
use crate::session::Typed;

/// What of a form is shown again.
#[derive(Default)]
struct Again {
    user: String,
    remember: bool,
    error: Option<LoginError>,
}

/// `GET /login`.
pub(super) fn show(auth: &Auth, call: &mut Call<'_>) -> Result<Page, Error> {
    let rd = call.return_to(auth, call.parameter("rd"));
    page(auth, call, rd.as_ref(), StatusCode::OK, Again::default())
}

/// `POST /login`.
pub(super) async fn submit(auth: &Auth, call: &mut Call<'_>) -> Result<Page, Error> {
    let form = call.form().await?;
    let rd = Some(form.field("rd")).filter(|rd| !rd.is_empty()).or_else(|| call.parameter("rd"));
    let rd = call.return_to(auth, rd);
    let remember = call.sessions.offers_to_remember() && form.field("remember") == "on";
    let refuse =
        |error, user: &str| (StatusCode::FORBIDDEN, Again { user: user.to_owned(), remember, error: Some(error) });
    if !call.sessions.was_presented(call.headers) {
        return Ok(no_cookies(call, rd.as_ref()));
    }
    let user = form.field("username");
    // SECURITY: against login CSRF: a page of our own made this form, for this browser.
    if !csrf::same_origin(call.headers, call.host) {
        let (status, again) = refuse(LoginError::CrossSite, "");
        return page(auth, call, rd.as_ref(), status, again);
    }
    let token_fits = call.session.csrf().is_some_and(|secret| csrf::verify(secret, &form.field("csrf")));
    if !token_fits {
        let (status, again) = refuse(LoginError::Expired, &user);
        return page(auth, call, rd.as_ref(), status, again);
    }
    let password = Zeroizing::new(form.field("password"));
    let name = Zeroizing::new(user.trim().to_owned());
    let typed = call.keeps_typed.then(|| Typed { user: name, password: password.clone() });
    let tried = try_password(auth, call, &user, password).await;
    auth.logins.count(tried.as_ref().map_or_else(Refusal::outcome, |_| Outcome::Succeeded));
    match tried {
        Ok(identity) => {
            let sealed = typed.map(|typed| call.sessions.seal_typed(&identity, &typed)).transpose()?;
            call.session.sign_in(identity, remember);
            if let Some(sealed) = sealed {
                call.session.keep_credentials(sealed);
            }
            // SECURITY: 303, so that no browser posts the password on (RFC 9700 §4.12).
            Ok(respond::redirect(StatusCode::SEE_OTHER, rd.as_ref().map_or("/", ReturnTo::as_str)))
        }
        Err(refusal) => refusal.answer(auth, call, rd.as_ref(), Again { user, remember, error: None }),
    }
}

/// Why name and password were not accepted.
enum Refusal {
    Wrong,
    Banned(Duration),
    Busy,
}

impl From<Banned> for Refusal {
    fn from(banned: Banned) -> Self {
        Self::Banned(banned.retry_after)
    }
}

async fn try_password(
    auth: &Auth,
    call: &Call<'_>,
    typed: &str,
    password: Zeroizing<String>,
) -> Result<Identity, Refusal> {
    let Some(users) = &auth.users else { return Err(Refusal::Wrong) };
    let name = canonical_name(typed).into_owned();
    let logged = in_the_log(&name);
    auth.regulation.check(&*name, call.address, call.now).inspect_err(|banned| {
        tracing::warn!(event = "login_banned", user = logged, address = %call.address, retry_after_s = banned.retry_after.as_secs(), "sign-in refused: too many failures");
    })?;
    let account = users.find(&name);
    let right = auth.hasher.verify(users, account.as_deref(), password).await.map_err(|_| Refusal::Busy)?;
    match account.filter(|_| right) {
        Some(account) => {
            auth.regulation.succeeded(&*name, call.address, call.now)?;
            Ok(identity(&account, call))
        }
        None => {
            tracing::warn!(event = "login_failed", user = logged, address = %call.address, "sign-in failed");
            auth.regulation.failed(&*name, call.address, call.now)?;
            Err(Refusal::Wrong)
        }
    }
}

/// As much of a typed name as a log line should hold.
pub(super) fn in_the_log(name: &str) -> &str {
    let end = name.char_indices().nth(100).map_or(name.len(), |(at, _)| at);
    &name[..end]
}

impl Refusal {
    fn outcome(&self) -> Outcome {
        match self {
            Self::Wrong => Outcome::Failed,
            Self::Banned(_) => Outcome::Banned,
            Self::Busy => Outcome::Busy,
        }
    }

    fn answer(self, auth: &Auth, call: &mut Call<'_>, rd: Option<&ReturnTo>, again: Again) -> Result<Page, Error> {
        let (status, error, retry_after) = match self {
            Self::Wrong => (StatusCode::UNAUTHORIZED, LoginError::BadCredentials, None),
            Self::Banned(left) => {
                let minutes = left.as_secs().div_ceil(60);
                (StatusCode::TOO_MANY_REQUESTS, LoginError::Banned { minutes }, Some(left.as_secs().max(1)))
            }
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, LoginError::Busy, Some(1)),
        };
        let mut page = page(auth, call, rd, status, Again { error: Some(error), ..again })?;
        if let Some(seconds) = retry_after {
            page.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        Ok(page)
    }
}

fn identity(account: &Account, call: &Call<'_>) -> Identity {
    Identity {
        name: account.display_name.as_deref().map(Into::into),
        email: account.email.as_deref().map(Into::into),
        groups: account.groups.iter().map(|group| group.as_str().into()).collect(),
        since: call.now,
        proof: account.proof(),
        ..Identity::named(&account.name)
    }
}

fn page(
    auth: &Auth,
    call: &mut Call<'_>,
    rd: Option<&ReturnTo>,
    status: StatusCode,
    again: Again,
) -> Result<Page, Error> {
    let token = csrf::token(&call.session.csrf_or_begin(call.now)?);
    let body = call.pages.login(&LoginPage {
        action: &call.url("/login"),
        csrf: &token,
        rd: rd.map(ReturnTo::as_str),
        user: &again.user,
        error: again.error,
        form: auth.users.is_some(),
        remember: call.sessions.offers_to_remember().then_some(again.remember),
        work: work(call),
    });
    Ok(call.html(status, body))
}

/// What became of a form that met the end of the session.
fn work(call: &Call<'_>) -> Option<Work> {
    let is_kept = call.session.tickets().iter().any(|ticket| ticket.is_open(call.host, call.now));
    let is_lost = || call.parameter("form").is_some_and(|what| what == "lost");
    if is_kept { Some(Work::Kept) } else { is_lost().then_some(Work::Lost) }
}

fn no_cookies(call: &Call<'_>, rd: Option<&ReturnTo>) -> Page {
    let body = call.pages.no_cookies(&NoCookiesPage {
        cookie: &call.sessions.cookie_names()[0],
        cookie_check: &call.url("/cookie-check"),
        login: &super::login_url(call.prefix, rd.map(ReturnTo::as_str)),
        insecure: !call.https && call.sessions.cookie_needs_https(),
    });
    call.html(StatusCode::BAD_REQUEST, body)
}
