//! From raw parts to a settled request: one host, one path, one client, no header it may not have.
//!
//! The first step of `pipeline::handle`. SECURITY: routing, policy and the app all see what stands here,
//! and nothing else; a request that could be read in two ways ends here.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Uri, Version};
use hyper::body::Incoming;

use crate::clock::Timestamp;
use crate::gateway::{Gateway, Route};
use crate::http::client_addr::Client;
use crate::http::headers;
use crate::http::peer::Peer;
use crate::http::target::{Host, TargetError, lax_reading, normalise_path, without_port};
use crate::proxy::Handshake;
use crate::reject::{Reader, Reject};
use crate::routing::{Found, covers};

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// A request whose host, path and client are settled.
pub(super) struct Settled {
    /// The host in its one spelling, with the port if the client wrote one.
    pub host: HeaderValue,
    pub port: Option<u16>,
    pub place: Place,
    pub client: Client,
    /// A WebSocket is asked for.
    pub handshake: Option<Handshake>,
    /// As announced; zero when nothing is.
    pub content_length: u64,
    pub now: Timestamp,
}

/// Where a request is going.
pub(super) enum Place {
    /// One of our own pages: the path below the prefix.
    Own(Box<str>),
    /// An app, by its place in the configuration.
    Route(usize),
}

impl Settled {
    /// The app's route, unless one of our own pages is meant.
    pub(super) fn route<'a>(&self, gateway: &'a Gateway) -> Option<&'a Route> {
        match self.place {
            Place::Route(id) => gateway.routes.get(id),
            Place::Own(_) => None,
        }
    }

    /// The route's place in the configuration.
    pub(super) fn route_number(&self) -> Option<usize> {
        match self.place {
            Place::Route(id) => Some(id),
            Place::Own(_) => None,
        }
    }

    /// The host without its port.
    pub(super) fn host_name(&self) -> &str {
        without_port(self.host.to_str().unwrap_or_default())
    }
}

/// Settles the request; `parts` is then clean, in origin form, with the path that was decided about.
pub(super) fn settle(
    gateway: &Gateway,
    peer: &Peer,
    parts: &mut Parts,
    body: &Incoming,
    now: Timestamp,
) -> Result<Settled, Reject> {
    if matches!(parts.method, Method::CONNECT | Method::TRACE) {
        return Err(Reject::Method);
    }
    if parts.version == Version::HTTP_2 {
        check_blanks(&parts.headers)?;
    }
    check_expectation(&parts.headers)?;
    let authority = authority(parts)?;
    let host = Host::parse(authority.to_str().map_err(|_| TargetError::Host)?)?;
    normalise(&mut parts.uri)?;
    let handshake = Handshake::parse(&parts.method, parts.version, &parts.headers, body).transpose()?;
    let client = Client::settle(&parts.headers, peer, &gateway.trusted_proxies);
    // SECURITY: hop-by-hop first, so that `Connection: Remote-User` cannot take away what we add later.
    headers::strip_request(&mut parts.headers);
    gateway.protected.strip(&mut parts.headers)?;
    let content_length = content_length(&parts.headers);
    let place = place(gateway, host.name(), parts.uri.path())?;
    let port = host.port();
    // PERF: most clients write the host as it is compared, and then the header is it.
    let host = match host.is_written_so(authority.as_bytes()) {
        true => authority,
        false => HeaderValue::try_from(host.to_string()).map_err(|_| TargetError::Host)?,
    };
    Ok(Settled { host, port, place, client, handshake, content_length, now })
}

/// Who reads the answer: a browser window that navigates, or anything else.
pub(super) fn reader(headers: &HeaderMap) -> Reader {
    let navigates = match headers.get(SEC_FETCH_MODE) {
        Some(mode) => mode == "navigate",
        None => headers.get_all(header::ACCEPT).iter().any(|accept| contains_html(accept.as_bytes())),
    };
    if navigates { Reader::Person } else { Reader::Program }
}

/// The host as the client wrote it, for the access log only.
pub(super) fn host_for_log(parts: &Parts) -> &str {
    let host = parts.uri.authority().map(|authority| authority.as_str());
    host.or_else(|| parts.headers.get(header::HOST)?.to_str().ok()).unwrap_or_default()
}

fn contains_html(accept: &[u8]) -> bool {
    accept.split(|b| *b == b',').any(|range| {
        let media_type = range.split(|b| *b == b';').next().unwrap_or_default();
        media_type.trim_ascii().eq_ignore_ascii_case(b"text/html")
    })
}

/// SECURITY: HTTP/1.1 trims a value and HTTP/2 does not, so what was decided about would not be what the app
/// reads (RFC 9113 §8.2.1 calls such a request malformed).
fn check_blanks(headers: &HeaderMap) -> Result<(), Reject> {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let around = |value: &HeaderValue| blank(value.as_bytes().first()) || blank(value.as_bytes().last());
    if headers.values().any(around) { Err(Reject::Blank) } else { Ok(()) }
}

/// `100-continue` is answered when the body is first read, after all decisions; the app never sees it.
fn check_expectation(headers: &HeaderMap) -> Result<(), Reject> {
    let mut expectations = headers.get_all(header::EXPECT).iter();
    match expectations.all(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        true => Ok(()),
        false => Err(Reject::Expectation),
    }
}

/// The one host of the request: RFC 9112 §3.2 for HTTP/1, RFC 9113 §8.3.1 for HTTP/2.
fn authority(parts: &Parts) -> Result<HeaderValue, Reject> {
    let mut lines = parts.headers.get_all(header::HOST).iter();
    let (line, another) = (lines.next(), lines.next());
    if another.is_some() {
        return Err(Reject::Host);
    }
    match (parts.uri.authority(), line) {
        (None, Some(line)) => Ok(line.clone()),
        (None, None) => Err(Reject::Host),
        // SECURITY: two names in one request are two answers to "whose page is this" (RFC 9113 §8.3.1).
        (Some(target), Some(line))
            if parts.version == Version::HTTP_2 && target.as_str().as_bytes() != line.as_bytes() =>
        {
            Err(Reject::Host)
        }
        // In HTTP/1 the target wins over `Host`, which is written anew (RFC 9112 §3.2.2).
        (Some(target), _) => HeaderValue::from_str(target.as_str()).map_err(|_| Reject::Host),
    }
}

/// Puts the target into origin form with the normalised path.
fn normalise(uri: &mut Uri) -> Result<(), Reject> {
    let path = normalise_path(uri.path())?;
    let unchanged = matches!(path, std::borrow::Cow::Borrowed(_));
    if unchanged && uri.authority().is_none() {
        return Ok(());
    }
    let target = match (unchanged, uri.query()) {
        (true, _) => uri.path_and_query().cloned(),
        (false, None) => PathAndQuery::try_from(path.as_ref()).ok(),
        (false, Some(query)) => PathAndQuery::try_from(format!("{path}?{query}")).ok(),
    };
    *uri = Uri::from(target.ok_or(TargetError::Form)?);
    Ok(())
}

pub(super) fn place(gateway: &Gateway, host: &str, path: &str) -> Result<Place, Reject> {
    if covers(&gateway.prefix, path) {
        // Our pages answer for every host that is served, and for no other.
        return match gateway.router.find(host, path) {
            Found::NoHost => Err(Reject::NoHost),
            _ => Ok(Place::Own(path[gateway.prefix.len()..].into())),
        };
    }
    let found = gateway.router.find(host, path);
    // SECURITY: an app that ignores case, path parameters or trailing dots must not be reached by a spelling
    // that falls on another route than the plain one, nor may one of our own pages.
    if let Some(lax) = lax_reading(path) {
        if covers(&gateway.prefix.to_ascii_lowercase(), &lax) {
            return Err(Reject::NoPath);
        }
        if gateway.router.splits_by_path() && gateway.router.find(host, &lax) != found {
            return Err(Reject::Ambiguous);
        }
    }
    match found {
        Found::Route(id) => Ok(Place::Route(id)),
        Found::NoPath => Err(Reject::NoPath),
        Found::NoHost => Err(Reject::NoHost),
    }
}

/// Checked by `server::guard` and hyper; a length that is no number cannot get here.
fn content_length(headers: &HeaderMap) -> u64 {
    let value = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader_of(name: &'static str, value: &'static str) -> Reader {
        reader(&HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))]))
    }

    #[test]
    fn a_navigation_is_told_from_everything_else() {
        assert_eq!(reader_of("sec-fetch-mode", "navigate"), Reader::Person);
        assert_eq!(reader_of("sec-fetch-mode", "cors"), Reader::Program);
        assert_eq!(reader_of("accept", "application/xhtml+xml, text/html;q=0.9"), Reader::Person);
        assert_eq!(reader_of("accept", "*/*"), Reader::Program);
        assert_eq!(reader_of("accept", "application/json, text/plain"), Reader::Program);
        assert_eq!(reader(&HeaderMap::new()), Reader::Program);
    }
}
