//! Forms that meet an app which has forgotten who sends them: its own session has run out before ours.
//!
//! Steps of `pipeline` for routes with `observe`. The app redirects such a form to its sign-in page and drops it; so a copy
//! of it goes along, and is parked when the answer says so. The rest is as for any parked form. SECURITY: as there, only
//! forms of this very origin, only of somebody who was signed in, and only for that user.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::request::Parts;

use super::Exchange;
use super::observing::vouched_for_by;
use crate::auth::parked::Answer;
use crate::gateway::Route;
use crate::http::body::{Capture, RequestBody};
use crate::observe::Watch;
use crate::session::{Change, Errand, Form, Session, TicketChange};

/// A form on its way to an app that may not know its sender any more.
pub(super) struct Underway {
    errand: Errand,
    content_type: Option<HeaderValue>,
    copy: Capture,
}

impl Exchange<'_> {
    /// What to copy of this request, if it is a form that may have to be kept.
    ///
    /// PERF: boxed, as hardly any request is one.
    pub(super) fn form_underway(
        &self,
        route: &Route,
        parts: &Parts,
        session: &Session,
        watch: Option<&Watch<'_>>,
        body: &mut RequestBody,
    ) -> Option<Box<Underway>> {
        let (observer, park) = (route.observer.as_ref()?, route.park.filter(|_| watch.is_none())?);
        let user = vouched_for_by(observer, session)?.user.clone();
        let largest = park.max_size.bytes().min(route.upstream.max_body_size().unwrap_or(u64::MAX));
        if self.settled.content_length > largest || !self.is_a_persons_form(parts) {
            return None;
        }
        let errand = Errand { user: Some(user), ..self.errand(parts, session)? };
        let content_type = parts.headers.get(header::CONTENT_TYPE).cloned();
        let copy = Capture::of(usize::try_from(largest).unwrap_or(usize::MAX));
        body.capture(copy.clone());
        Some(Box::new(Underway { errand, content_type, copy }))
    }

    /// The app has forgotten who sent it: it is kept for the session that begins now.
    pub(super) async fn park_forgotten(&self, route: &Route, underway: Underway) -> Option<Change> {
        let Underway { errand, content_type, copy } = underway;
        let body = copy.with(|body| body.map(Bytes::copy_from_slice));
        // An app may answer before it has read all of it; and an answer to our own question is no form.
        let body = body.filter(|body| Answer::read(body).is_none())?;
        let (sessions, now, ttl) = (&self.gateway.sessions, self.settled.now, route.park?.ttl);
        let times = (now, now.plus(ttl.get()));
        let parking = sessions.find_parking(errand, body.len() as u64, self.settled.client.address, times).ok()??;
        match sessions.park(parking, &Form { content_type, body }, now).await {
            Ok(ticket) => {
                tracing::info!(event = "form_parked", route = &*route.name, bytes = ticket.size, "a form waits");
                Some(Change::Ticket(Box::new(TicketChange::Keep(ticket))))
            }
            Err(reason) => {
                tracing::info!(event = "form_lost", route = &*route.name, %reason, "a form could not be kept");
                None
            }
        }
    }
}
