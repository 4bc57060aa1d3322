//! `GET /cookie-check`: sets a test cookie, comes back, and says whether the browser kept it.

use http::{StatusCode, header};

use super::endpoints::Call;
use crate::http::cookies;
use crate::http::respond::{self, Page};
use crate::pages::CookieCheckPage;

/// First call: set and redirect. Second call: look.
pub(super) fn show(call: &Call<'_>) -> Page {
    let name = call.sessions.probe_name();
    if call.parameter("returned").is_none() {
        let mut page = respond::redirect(StatusCode::FOUND, &call.url("/cookie-check?returned=1"));
        if let Some(line) = call.sessions.set_probe(call.https) {
            page.headers_mut().append(header::SET_COOKIE, line);
        }
        return page;
    }
    let body = call.pages.cookie_check(&CookieCheckPage {
        kept: cookies::values(call.headers, &name).next().is_some(),
        again: &call.url("/cookie-check"),
        login: &call.url("/login"),
        insecure: !call.https && call.sessions.cookie_needs_https(),
    });
    let mut page = call.html(StatusCode::OK, body);
    if let Some(line) = call.sessions.delete_probe(call.https) {
        page.headers_mut().append(header::SET_COOKIE, line);
    }
    page
}
