//! What may stay open, and in whose session: WebSockets, which pages may open them, and answers that go on for long.
//!
//! The steps of `pipeline` that concern it. What is tied here is watched over in `ties`.

use http::Response;
use http::request::Parts;

use super::{Body, Exchange};
use crate::auth::origin;
use crate::config::schema::Access;
use crate::gateway::Route;
use crate::http::headers;
use crate::proxy::{self, Tether};
use crate::reject::Reject;
use crate::session::Session;
use crate::telemetry::lasting::Kind;

impl Exchange<'_> {
    /// SECURITY: before the app hears of it, for most apps do not look (cross-site WebSocket hijacking).
    pub(super) fn check_origin(&self, route: &Route, parts: &Parts, session: &Session) -> Result<(), Reject> {
        let has_ticket = session.identity().is_some() || self.gateway.sessions.was_presented(&parts.headers);
        let (headers, https) = (&parts.headers, self.settled.client.https);
        let host = self.settled.host.to_str().unwrap_or_default();
        let handshake = origin::Handshake { headers, host, https, has_ticket };
        handshake.check(&route.websocket_origins).map_err(|refused| {
            route.report_foreign_origin();
            refused.into()
        })
    }

    /// A WebSocket, tied to the session of whoever opens it.
    pub(super) fn opening(&self, handshake: &proxy::Handshake, route: &Route, session: &Session) -> proxy::Opening {
        let tether = session
            .held(self.settled.client.address)
            .map(|held| self.worker.ties.tie(held, Kind::WebSocket, route.activity));
        let counted = self.gateway.traffic.lasting.websocket();
        proxy::Opening { handshake: handshake.clone(), tether, counted }
    }

    /// What an app goes on sending to somebody who is signed in ends with their session.
    ///
    /// PERF: most answers are whole by now, and end here at the first question.
    pub(super) fn tie(&self, route: Option<&Route>, session: &Session, response: &Response<Body>) -> Option<Tether> {
        let route = route.filter(|_| response.body().goes_on())?;
        let kind = match headers::is_event_stream(response.headers()) {
            true => Kind::EventStream,
            // Everybody may have it.
            false if route.access == Access::Public => return None,
            false => Kind::Download,
        };
        let held = session.held(self.settled.client.address).filter(|_| !session.changes_hands())?;
        Some(self.worker.ties.tie(held, kind, route.activity))
    }
}
