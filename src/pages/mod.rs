//! The gateway's own pages: rendering only, from compiled templates to a `String` of HTML.
//!
//! Built once from the configuration; called by whoever answers a browser itself. It knows no requests, sessions
//! or headers, apart from the `Content-Security-Policy` that its pages need.

mod content_security_policy;
mod context;
mod samples;
mod templates;
mod wording;

pub use context::{
    CookieCheckPage, ErrorPage, LoginError, LoginPage, LogoutPage, NoCookiesPage, ParkedForm, ParkedPage,
    SignedOutPage, Work,
};
pub use templates::Error;

use http::HeaderValue;
use minijinja::Environment;
use minijinja::value::Serde;
use serde::Serialize;

use crate::config::schema;
use templates::Page;
use wording::Wording;

/// All pages, ready to render.
#[derive(Debug)]
pub struct Pages {
    templates: Environment<'static>,
    policy: HeaderValue,
}

impl Pages {
    /// Compiles the built-in templates and those in `templates_dir` that replace them, and renders each once, so
    /// that a mistake is found now and not by a visitor. `hosts` are those of the routes, where sign-in may lead.
    ///
    /// # Errors
    /// When a template cannot be read, compiled or rendered; names file, line and problem.
    pub fn from_config<'a>(login: &schema::Login, hosts: impl IntoIterator<Item = &'a str>) -> Result<Self, Error> {
        let templates = templates::load(&login.title, login.templates_dir.as_deref())?;
        let rendered = samples::all()
            .into_iter()
            .map(|(page, context)| templates::render(&templates, page, context))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Error::template(login.templates_dir.as_deref(), &error))?;
        let own_files = login.templates_dir.is_some();
        let policy = content_security_policy::compile(rendered.iter().map(String::as_str), hosts, own_files);
        Ok(Self { templates, policy })
    }

    /// The sign-in form.
    #[must_use]
    pub fn login(&self, page: &LoginPage<'_>) -> String {
        self.render(Page::Login, page)
    }

    /// The question before signing out.
    #[must_use]
    pub fn logout(&self, page: &LogoutPage<'_>) -> String {
        self.render(Page::Logout, page)
    }

    /// The question about forms that met the end of the session.
    #[must_use]
    pub fn parked(&self, page: &ParkedPage<'_>) -> String {
        self.render(Page::Parked, page)
    }

    /// The farewell after signing out.
    #[must_use]
    pub fn signed_out(&self, page: &SignedOutPage<'_>) -> String {
        self.render(Page::SignedOut, page)
    }

    /// For a sign-in form that came without our cookie.
    #[must_use]
    pub fn no_cookies(&self, page: &NoCookiesPage<'_>) -> String {
        self.render(Page::NoCookies, page)
    }

    /// The outcome of the cookie test.
    #[must_use]
    pub fn cookie_check(&self, page: &CookieCheckPage<'_>) -> String {
        self.render(Page::CookieCheck, page)
    }

    /// For a request that could not be served.
    #[must_use]
    pub fn error(&self, page: &ErrorPage<'_>) -> String {
        self.render(Page::Error, &worded(page))
    }

    /// For the `Content-Security-Policy` header of every page.
    #[must_use]
    pub fn content_security_policy(&self) -> &HeaderValue {
        &self.policy
    }

    fn render(&self, page: Page, context: &impl Serialize) -> String {
        templates::render(&self.templates, page, Serde(context).into()).unwrap_or_else(|error| {
            tracing::error!(%error, template = page.file_name(), "a page could not be rendered");
            LAST_RESORT.to_owned()
        })
    }
}

/// For a replaced template that fails with values it was not tried with.
const LAST_RESORT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Error</title>\
                           <p>This page could not be shown. The reason is in the log of this site.</p></html>";

/// The error page with the words for its status.
#[derive(Serialize)]
struct Worded<'a> {
    #[serde(flatten)]
    page: &'a ErrorPage<'a>,
    #[serde(flatten)]
    wording: Wording,
}

fn worded<'a>(page: &'a ErrorPage<'a>) -> Worded<'a> {
    let wording = match (page.status, page.user) {
        (502, Some(_)) => wording::NOT_LET_IN,
        (status, _) => wording::for_status(status),
    };
    Worded { page, wording }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::config::schema::Login;

    const HOSTILE: &str = "\"><script>alert('x')</script>";

    fn pages() -> Pages {
        Pages::from_config(&Login::default(), []).unwrap()
    }

    /// Every page, with `text` in every place that takes text.
    fn all_with(pages: &Pages, text: &str) -> Vec<String> {
        let login = |error, form| LoginPage {
            action: text,
            csrf: text,
            rd: Some(text),
            user: text,
            error,
            form,
            remember: None,
            work: Some(Work::Lost),
        };
        let parked = |count| ParkedPage {
            forms: vec![ParkedForm { number: text.into(), target: text, path: text, minutes: 1 }; count],
            csrf: text,
            discard: text,
            rd: Some(text),
            user: Some(text),
            unreached: true,
            refused: true,
        };
        let logout = |user| LogoutPage { action: text, csrf: text, user, rd: Some(text) };
        let no_cookies = |insecure| NoCookiesPage { cookie: text, cookie_check: text, login: text, insecure };
        let check = |kept| CookieCheckPage { kept, again: text, login: text, insecure: false };
        let some = Some(text);
        let error = |status| ErrorPage { status, detail: some, request_id: some, user: some, logout: some };
        vec![
            pages.login(&login(None, true)),
            pages.login(&login(Some(LoginError::BadCredentials), true)),
            pages.login(&login(None, false)),
            pages.logout(&logout(some)),
            pages.logout(&logout(None)),
            pages.parked(&parked(0)),
            pages.parked(&parked(1)),
            pages.parked(&parked(2)),
            pages.signed_out(&SignedOutPage { login: text }),
            pages.no_cookies(&no_cookies(true)),
            pages.no_cookies(&no_cookies(false)),
            pages.cookie_check(&check(true)),
            pages.cookie_check(&check(false)),
            pages.error(&error(403)),
            pages.error(&error(404)),
            pages.error(&error(502)),
        ]
    }

    #[test]
    fn what_a_visitor_typed_is_escaped_on_every_page() {
        let pages = pages();
        for page in all_with(&pages, HOSTILE) {
            assert!(!page.contains("<script") && !page.contains("alert('x')"), "{page}");
        }
        let titled = Login { title: HOSTILE.into(), ..Login::default() };
        let page = Pages::from_config(&titled, []).unwrap().login(&LoginPage::default());
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "{page}");
    }

    #[test]
    fn the_typed_name_is_filled_in_again_and_the_password_never() {
        let page = pages().login(&LoginPage { user: "alice", form: true, ..LoginPage::default() });
        assert!(page.contains(r#"name="username" type="text" value="alice""#), "{page}");
        assert!(page.contains(r#"name="password" type="password" autocomplete="current-password""#), "{page}");
    }

    #[test]
    fn an_error_is_announced_and_linked_to_the_fields() {
        let errors = [
            LoginError::BadCredentials,
            LoginError::Banned { minutes: 5 },
            LoginError::Expired,
            LoginError::Busy,
            LoginError::CrossSite,
        ];
        for error in errors {
            let page = pages().login(&LoginPage { error: Some(error), form: true, ..LoginPage::default() });
            assert!(page.contains(r#"role="alert" id="login-error""#) && page.contains("<strong>"), "{error:?}");
            assert_eq!(page.matches(r#" aria-describedby="login-error""#).count(), 2, "{error:?}");
            assert_eq!(page.contains(" aria-invalid"), error == LoginError::BadCredentials, "{error:?}");
        }
        let calm = pages().login(&LoginPage { form: true, ..LoginPage::default() });
        assert!(
            !calm.contains("role=\"alert\"") && !calm.contains(" aria-describedby") && !calm.contains(" aria-invalid")
        );
    }

    #[test]
    fn every_status_has_words_and_its_number() {
        for status in 400..600 {
            let page = pages().error(&ErrorPage { status, ..ErrorPage::default() });
            assert!(page.contains(&format!("Error {status}<")), "{status}");
        }
    }

    #[test]
    fn no_page_holds_a_script_an_inline_style_or_a_foreign_address() {
        for page in all_with(&pages(), "x") {
            for forbidden in ["<script", " style=", " onclick", "http://www", "//fonts", "<link", "<img", "@import"] {
                assert!(!page.contains(forbidden), "{forbidden} in {page}");
            }
        }
    }

    #[test]
    fn the_policy_allows_the_one_style_that_all_pages_share() {
        let policy = pages().content_security_policy().to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert_eq!(policy.matches("sha256-").count(), 1, "{policy}");
    }

    fn with_templates(files: &[(&str, &str)]) -> Result<Pages, Error> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        Pages::from_config(&Login { templates_dir: Some(dir.path().into()), ..Login::default() }, [])
    }

    #[test]
    fn a_template_replaces_the_built_in_one_and_is_escaped_like_it() {
        let mine = "<style>p{}</style><p>{{ login_title }}: {{ user }} {% include '_part.html' %}</p>";
        let pages = with_templates(&[("login.html", mine), ("_part.html", "part"), ("logo.txt", "ignored")]).unwrap();
        let page = pages.login(&LoginPage { user: "<b>", ..LoginPage::default() });
        assert_eq!(page, "<style>p{}</style><p>Sign in: &lt;b&gt; part</p>");
        assert!(pages.logout(&LogoutPage::default()).contains("Sign out?"), "the others stay");
        let policy = pages.content_security_policy().to_str().unwrap();
        assert_eq!(policy.matches("sha256-").count(), 2, "{policy}");
    }

    #[test]
    fn the_style_sheet_alone_can_be_replaced() {
        let pages = with_templates(&[("style.css", "body { color: red }")]).unwrap();
        assert!(pages.login(&LoginPage::default()).contains("<style>body { color: red }</style>"));
    }

    #[test]
    fn a_broken_template_is_reported_with_file_and_line() {
        let cases = [
            ("login.html", "a\n{% if %}", "login.html:2: "),
            ("login.html", "a\nb\n{{ usr }}", "login.html:3: "),
            ("login.html", "{% if error %}\n{{ error.minute }}{% endif %}", "login.html:2: "),
            ("error.html", "{% extends 'layuot.html' %}", "error.html:1: "),
            ("logn.html", "x", "logn.html: "),
        ];
        for (name, text, place) in cases {
            let message = with_templates(&[(name, text)]).unwrap_err().to_string();
            assert!(message.contains(place), "{message}");
        }
        let missing = Login { templates_dir: Some("/nonexistent".into()), ..Login::default() };
        let message = Pages::from_config(&missing, []).unwrap_err().to_string();
        assert!(message.contains("/nonexistent"), "{message}");
    }

    proptest! {
        #[test]
        fn no_text_opens_an_element_or_leaves_its_attribute(text in "[\"'<>&a-z =/{}%]{0,30}") {
            let pages = pages_once();
            let page = pages.login(&LoginPage { user: &text, form: true, ..LoginPage::default() });
            let plain = pages.login(&LoginPage { user: "x", form: true, ..LoginPage::default() });
            prop_assert_eq!(page.matches('<').count(), plain.matches('<').count());
            if !text.is_empty() {
                prop_assert_eq!(page.matches('"').count(), plain.matches('"').count());
            }
        }
    }

    fn pages_once() -> &'static Pages {
        static PAGES: std::sync::OnceLock<Pages> = std::sync::OnceLock::new();
        PAGES.get_or_init(pages)
    }
}
