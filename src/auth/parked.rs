//! The page that asks about forms that met the end of the session, and the end of those that nobody wants any more.
//!
//! People come here after signing in. To send a form is not this page's business: that button posts to where the form was
//! going, and `pipeline` puts the kept form in its place there, so that path, cookies and answer are those of the app.

use http::{HeaderMap, HeaderValue, StatusCode, header};
use percent_encoding::utf8_percent_encode;

use super::endpoints::{Call, Error};
use super::return_to::ReturnTo;
use super::{Auth, QUERY_VALUE, csrf, login_url};
use crate::http::respond::{self, Page};
use crate::pages::{ParkedForm, ParkedPage};
use crate::session::{State, Ticket, TicketChange};

/// Where it is below the prefix.
const PLACE: &str = "/parked";

/// The field that tells a form of this page from the app's own; the first of each.
const FIELD: &str = "cloakroom-form";

/// The address of the page, which leads on to `rd` when there is nothing left to ask.
#[must_use]
pub fn url(prefix: &str, rd: Option<&str>) -> String {
    match rd {
        Some(rd) => format!("{prefix}{PLACE}?rd={}", utf8_percent_encode(rd, QUERY_VALUE)),
        None => format!("{prefix}{PLACE}"),
    }
}

/// `GET /parked`.
pub(super) fn show(auth: &Auth, call: &mut Call<'_>) -> Result<Page, Error> {
    let rd = call.return_to(auth, call.parameter("rd"));
    let Some(user) = call.session.identity().map(|identity| identity.user.clone()) else {
        let login = login_url(call.prefix, Some(&call.url(PLACE)));
        return Ok(respond::redirect(StatusCode::SEE_OTHER, &login));
    };
    let waiting = waiting(call, &user);
    for ticket in waiting.iter().filter(|ticket| ticket.state == State::Waiting) {
        call.session.record_ticket(TicketChange::Mark(ticket.handle(), State::Asked));
    }
    let token = csrf::token(&call.session.csrf_or_begin(call.now)?);
    let forms = waiting.iter().map(|ticket| ParkedForm {
        number: ticket.handle().to_string(),
        target: &ticket.errand.target,
        path: ticket.errand.target.split('?').next().unwrap_or_default(),
        minutes: ticket.ends.0.saturating_sub(call.now.0).div_ceil(60_000),
    });
    let body = call.pages.parked(&ParkedPage {
        forms: forms.collect(),
        csrf: &token,
        discard: &call.url(PLACE),
        rd: rd.as_ref().map(ReturnTo::as_str),
        user: Some(&user),
        unreached: call.parameter("unreached").is_some(),
        refused: call.parameter("refused").is_some(),
    });
    Ok(call.html(StatusCode::OK, body))
}

/// `POST /parked`: discards one, and goes back to where it was filled in.
pub(super) async fn discard(auth: &Auth, call: &mut Call<'_>) -> Result<Page, Error> {
    let form = call.form().await?;
    let here = call.url(PLACE);
    let again = || respond::redirect(StatusCode::SEE_OTHER, &here);
    // SECURITY: a page of our own made this form, for this browser.
    let token_fits = call.session.csrf().is_some_and(|secret| csrf::verify(secret, &form.field("csrf")));
    let Some(user) = call.session.identity().map(|identity| identity.user.clone()) else { return Ok(again()) };
    if !token_fits || !csrf::same_origin(call.headers, call.host) {
        return Ok(again());
    }
    let (unwanted, others): (Vec<_>, Vec<_>) =
        waiting(call, &user).into_iter().partition(|ticket| ticket.handle().to_string() == form.field(FIELD));
    for ticket in &unwanted {
        call.session.record_ticket(TicketChange::Mark(ticket.handle(), State::Gone));
        call.sessions.discard_parked(ticket).await;
    }
    if !others.is_empty() {
        return Ok(again());
    }
    let rd = call.return_to(auth, Some(form.field("rd")));
    let back = || call.return_to(auth, unwanted.first().and_then(local));
    let to = rd.or_else(back).unwrap_or_else(ReturnTo::root);
    Ok(respond::redirect(StatusCode::SEE_OTHER, to.as_str()))
}

/// What the user may send from here.
fn waiting(call: &Call<'_>, user: &str) -> Vec<Ticket> {
    call.session.tickets().iter().filter(|ticket| ticket.is_open_to(user, call.host, call.now)).cloned().collect()
}

/// The page where it was filled in, as a path of this host: only such a page's form was kept.
fn local(ticket: &Ticket) -> Option<String> {
    let (_, rest) = ticket.errand.from.as_deref()?.split_once("://")?;
    Some(rest[rest.find('/')?..].to_owned())
}

/// Whether the headers say that a form of ours may be inside.
#[must_use]
pub fn may_be_an_answer(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let media_type = content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    media_type.eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}

/// An answer to the question, as this page's form says it.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// Which form is meant.
    pub number: String,
    /// The token of the page.
    pub csrf: String,
}

impl Answer {
    /// Reads a body; `None` when it is a form of the app's own.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        let mut fields = form_urlencoded::parse(body);
        let (_, number) = fields.next().filter(|(name, _)| name == FIELD)?;
        let csrf = fields.find(|(name, _)| name == "csrf").map(|(_, value)| value.into_owned());
        Some(Self { number: number.into_owned(), csrf: csrf.unwrap_or_default() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_a_form_that_begins_with_our_field_is_an_answer() {
        let answer = Answer { number: "a1".into(), csrf: "t".into() };
        assert_eq!(Answer::read(b"cloakroom-form=a1&csrf=t&rd=%2F"), Some(answer));
        for other in ["", "a=b", "a=b&cloakroom-form=a1&csrf=t", "cloakroom-forms=a1"] {
            assert_eq!(Answer::read(other.as_bytes()), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_body_can_be_read(body in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Answer::read(&body);
            let ours = [b"cloakroom-form=".as_slice(), &body].concat();
            prop_assert!(Answer::read(&ours).is_some());
        }
    }
}
