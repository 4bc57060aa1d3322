//! Every page in every state, with plain values: rendered when templates are loaded, so that a mistake in one
//! shows at start, and so that every style the pages can hold is known.

use minijinja::Value;
use minijinja::value::Serde;
use serde::Serialize;

use super::context::{
    CookieCheckPage, ErrorPage, LoginError, LoginPage, LogoutPage, NoCookiesPage, ParkedForm, ParkedPage,
    SignedOutPage, Work,
};
use super::templates::Page;

pub(super) fn all() -> Vec<(Page, Value)> {
    let mut samples = vec![(Page::SignedOut, value(SignedOutPage { login: "/login" }))];
    samples.extend(login().map(|page| (Page::Login, value(page))));
    samples.extend(logout().map(|page| (Page::Logout, value(page))));
    samples.extend(parked().map(|page| (Page::Parked, value(page))));
    samples.extend(no_cookies().map(|page| (Page::NoCookies, value(page))));
    samples.extend(cookie_check().map(|page| (Page::CookieCheck, value(page))));
    samples.extend(errors().map(|page| (Page::Error, value(super::worded(&page)))));
    samples
}

fn value(page: impl Serialize) -> Value {
    Serde(page).into()
}

fn login() -> impl Iterator<Item = LoginPage<'static>> {
    let errors = [
        None,
        Some(LoginError::BadCredentials),
        Some(LoginError::Banned { minutes: 1 }),
        Some(LoginError::Expired),
        Some(LoginError::Busy),
        Some(LoginError::CrossSite),
    ];
    let first = LoginPage { action: "/login", csrf: "token", form: true, ..LoginPage::default() };
    let again = LoginPage { user: "alice", rd: Some("/"), ..first.clone() };
    let remembers = LoginPage { remember: Some(true), ..first.clone() };
    let without_form = LoginPage { form: false, ..first.clone() };
    let with_errors = errors.into_iter().map(move |error| LoginPage { error, ..again.clone() });
    let [kept, lost] = [Work::Kept, Work::Lost].map(|work| LoginPage { work: Some(work), ..first.clone() });
    [first, remembers, without_form, kept, lost].into_iter().chain(with_errors)
}

fn logout() -> impl Iterator<Item = LogoutPage<'static>> {
    let plain = LogoutPage { action: "/logout", csrf: "token", ..LogoutPage::default() };
    let full = LogoutPage { user: Some("alice"), rd: Some("/"), ..plain.clone() };
    [plain, full].into_iter()
}

fn parked() -> impl Iterator<Item = ParkedPage<'static>> {
    let form = ParkedForm { number: "1".into(), target: "/x?y", path: "/x", minutes: 1 };
    let page = move |(count, rd, user, unreached)| {
        let forms = vec![form.clone(); count];
        ParkedPage { forms, csrf: "token", discard: "/parked", rd, user, unreached, refused: !unreached }
    };
    [(0, None, None, false), (1, Some("/"), Some("alice"), true), (2, None, None, false)].into_iter().map(page)
}

fn no_cookies() -> impl Iterator<Item = NoCookiesPage<'static>> {
    let page = |insecure| NoCookiesPage { cookie: "id", cookie_check: "/cookie-check", login: "/login", insecure };
    [false, true].into_iter().map(page)
}

fn cookie_check() -> impl Iterator<Item = CookieCheckPage<'static>> {
    let page = |(kept, insecure)| CookieCheckPage { kept, again: "/cookie-check", login: "/login", insecure };
    [(true, false), (false, false), (false, true)].into_iter().map(page)
}

fn errors() -> impl Iterator<Item = ErrorPage<'static>> {
    [400, 403, 404, 413, 414, 421, 429, 431, 500, 502, 503, 504].into_iter().flat_map(|status| {
        let plain = ErrorPage { status, ..ErrorPage::default() };
        let full = ErrorPage {
            detail: Some("More."),
            request_id: Some("1"),
            user: Some("alice"),
            logout: Some("/logout"),
            ..plain.clone()
        };
        [plain, full]
    })
}
