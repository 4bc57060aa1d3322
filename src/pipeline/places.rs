//! The request in the app's own terms, and its answer in the browser's: what a route says of names and paths.
//!
//! Called by `pipeline`, after the policy has decided on the whole path and before anything is sent.

use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response};

use super::settle::{self, Place};
use super::{Body, Exchange};
use crate::gateway::Route;
use crate::identity::Identity;
use crate::places::{BadDestination, Destination, Links, Mapping, Places, Wanted};
use crate::policy::{self, Decision};
use crate::reject::Reject;

const DESTINATION: HeaderName = HeaderName::from_static("destination");

impl Exchange<'_> {
    /// Strips the prefix, and asks for what can be put right.
    pub(super) fn move_inside(
        &self,
        route: &Route,
        sent: &HeaderValue,
        identity: Option<&Identity>,
        parts: &mut Parts,
    ) -> Result<(), Reject> {
        // PERF: a method of its own name is one comparison for all others.
        if names_two_places(&parts.method) {
            self.move_destination_inside(route, sent, identity, parts)?;
        }
        route.places.strip(&mut parts.uri)?;
        route.places.ask(&mut parts.headers);
        Ok(())
    }

    /// SECURITY: COPY and MOVE write at a second path, so the policy decides about that too; and where the prefix is
    /// stripped, only a path of this very route means the same inside.
    fn move_destination_inside(
        &self,
        route: &Route,
        sent: &HeaderValue,
        identity: Option<&Identity>,
        parts: &mut Parts,
    ) -> Result<(), Reject> {
        let mut lines = parts.headers.get_all(&DESTINATION).iter();
        let Some(line) = lines.next() else { return Ok(()) };
        if lines.next().is_some() {
            return Err(BadDestination::Form.into());
        }
        let destination = Destination::read(line.as_bytes(), &self.mapping(route, sent))?;
        let other = match settle::place(self.gateway, self.settled.host_name(), &destination.path) {
            Ok(Place::Route(other)) => other,
            Ok(Place::Own(_)) | Err(Reject::NoPath | Reject::NoHost) => return Err(BadDestination::Elsewhere.into()),
            Err(reject) => return Err(reject),
        };
        let is_same = Some(other) == self.settled.route_number();
        if !is_same && route.places.strips() {
            return Err(BadDestination::Elsewhere.into());
        }
        let access = &self.gateway.routes[other].access;
        if !is_same && !matches!(policy::decide(access, identity), Decision::Allow(_)) {
            return Err(Reject::forbidden(identity));
        }
        let (sent, asked) = (sent.to_str().unwrap_or_default(), self.settled.host.to_str().unwrap_or_default());
        if let Some(inside) = route.places.destination_inside(&destination, sent, asked)? {
            let inside = HeaderValue::try_from(inside).map_err(|_| BadDestination::Form)?;
            parts.headers.insert(DESTINATION, inside);
        }
        Ok(())
    }

    /// What the app says of its own name and place, as the browser must see it; cookies and links are put right when
    /// they have been looked at.
    pub(super) fn put_head_right(&self, route: &Route, sent: &HeaderValue, answer: &mut Response<Body>) -> Wanted {
        let status = answer.status();
        let wanted = route.places.wanted(status, answer.headers());
        if wanted.any() {
            Places::put_head_right(wanted, &self.mapping(route, sent), status, answer.headers_mut());
        }
        wanted
    }

    /// The rest of it: what goes to the browser, after all others have taken their part.
    pub(super) fn put_rest_right(&self, route: &Route, wanted: Wanted, mut answer: Response<Body>) -> Response<Body> {
        if !wanted.any() {
            return answer;
        }
        let mapping = self.mapping(route, &route.upstream.host_header(&self.settled.host));
        Places::put_cookies_right(wanted, &mapping, answer.headers_mut());
        match wanted.links() {
            true => answer.map(|body| body.with_links(Links::new(mapping))),
            false => answer,
        }
    }

    pub(super) fn mapping(&self, route: &Route, sent: &HeaderValue) -> Mapping {
        route.places.mapping(&self.settled.client, &self.settled.host, sent)
    }
}

fn names_two_places(method: &Method) -> bool {
    matches!(method.as_str(), "COPY" | "MOVE")
}
