//! Signing out: a page with the button for GET, the deed for POST.

use http::{HeaderName, HeaderValue, StatusCode};

use super::endpoints::{Call, Error};
use super::return_to::ReturnTo;
use super::{Auth, csrf};
use crate::http::respond::{self, Page};
use crate::pages::{LogoutPage, SignedOutPage};

/// `GET /logout`: asks, and ends nothing; an image on another site's page may point here.
pub(super) fn show(auth: &Auth, call: &mut Call<'_>) -> Result<Page, Error> {
    if call.session.identity().is_none() {
        return Ok(signed_out(call));
    }
    let rd = call.return_to(auth, call.parameter("rd"));
    let token = csrf::token(&call.session.csrf_or_begin(call.now)?);
    let body = call.pages.logout(&LogoutPage {
        action: &call.url("/logout"),
        csrf: &token,
        user: call.session.identity().map(|identity| &*identity.user),
        rd: rd.as_ref().map(ReturnTo::as_str),
    });
    Ok(call.html(StatusCode::OK, body))
}

/// `POST /logout`: ends the session.
pub(super) async fn submit(auth: &Auth, call: &mut Call<'_>) -> Result<Page, Error> {
    let form = call.form().await?;
    let rd = Some(form.field("rd")).filter(|rd| !rd.is_empty()).or_else(|| call.parameter("rd"));
    let rd = call.return_to(auth, rd);
    if let Some(secret) = call.session.csrf().copied() {
        // SECURITY: our own form, or a page of this very origin (an app's own "sign out" button).
        let ours = csrf::verify(&secret, &form.field("csrf")) && csrf::same_origin(call.headers, call.host);
        if !ours && !csrf::proven_same_origin(call.headers, call.host) {
            let mut page = show(auth, call)?;
            *page.status_mut() = StatusCode::FORBIDDEN;
            return Ok(page);
        }
        call.session.end();
    }
    let mut page = match rd {
        Some(rd) => respond::redirect(StatusCode::SEE_OTHER, rd.as_str()),
        None => signed_out(call),
    };
    // What the browser kept of the app's pages must not be seen by the next person at it (OWASP ASVS 14.3.1).
    page.headers_mut().insert(HeaderName::from_static("clear-site-data"), HeaderValue::from_static("\"cache\""));
    Ok(page)
}

fn signed_out(call: &Call<'_>) -> Page {
    call.html(StatusCode::OK, call.pages.signed_out(&SignedOutPage { login: &call.url("/login") }))
}
