//! The way through: each request goes to the app as the gateway would send it, and is noted with its answer.
//!
//! `survey` serves with [`pass`]. Changed is only what a browser on this machine could not live with: cookies lose
//! `Secure` and `Domain`, redirects lead back here, and nothing comes compressed or from a cache. What people at a
//! terminal want to know is told as [`News`].

mod asking;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode, Uri};
use hyper::body::Incoming;

use super::sighting::{Journal, Said, Sighting};
use super::tee::Tee;
use super::{Hearer, leaving};
use crate::clock::Timestamp;
use crate::config::schema;
use crate::http::body::{Capture, RequestBody};
use crate::http::client_addr::{Client, TrustedProxies};
use crate::http::cookies;
use crate::http::headers::strip_request;
use crate::http::lines::HeaderLines;
use crate::http::peer::Peer;
use crate::http::target::{Host, normalise_path, without_port};
use crate::jar;
use crate::places::{Links, Places};
use crate::policy;
use crate::proxy::{self, Handshake, Pools, Upstream};
use crate::telemetry::lasting::Lasting;
use crate::timers::Timers;

/// How much is kept of a form.
const LONGEST_FORM: usize = 64 * 1024;
/// A form on this machine comes at once.
const BODY_PATIENCE: Duration = Duration::from_secs(60);
/// Cookies have no time here: all that is said of them is seen at once.
const NOW: Timestamp = Timestamp(1_767_225_600_000);

/// What a person at the terminal wants to know at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// A password was sent to this path, and answered with this status.
    Attempt(String, u16),
    /// The browser asked this path to sign out.
    SignOut(String),
    /// The app does not answer; why.
    Silent(String),
}

/// The app, the way there, and what was seen on it.
pub struct Passage {
    upstream: Upstream,
    places: Places,
    pools: Pools,
    timers: Timers,
    news: Hearer,
    journal: RefCell<Journal>,
    questions: RefCell<Vec<Repeat>>,
    repeated: Cell<usize>,
    /// Who asked last.
    asker: RefCell<Option<Asker>>,
}

/// Who asks, for requests of our own.
#[derive(Clone)]
struct Asker {
    host: HeaderValue,
    client: Client,
    peer: Rc<Peer>,
    headers: HeaderMap,
}

/// A page that is to be asked once more, with the cookies that it was asked with, and without.
struct Repeat {
    place: usize,
    target: PathAndQuery,
    asker: Asker,
}

/// Answers one request.
pub async fn pass(passage: Rc<Passage>, peer: Rc<Peer>, request: Request<Incoming>) -> Response<Tee> {
    // Before this request, which may be the sign-out.
    passage.settle_questions().await;
    let (parts, incoming) = request.into_parts();
    match passage.forward(peer, parts, incoming).await {
        Ok(response) => response,
        Err(Refused(status, why)) => {
            let page = Bytes::from(format!("{why}\n"));
            let mut response = Response::new(Tee::page(page));
            *response.status_mut() = status;
            response
        }
    }
}

struct Refused(StatusCode, String);

impl Passage {
    pub fn new(upstream: Upstream, pools: Pools, timers: Timers, news: Hearer) -> Self {
        let rewrite = schema::Rewrite { links: true, ..schema::Rewrite::default() };
        let places = Places::from_config(&schema::Route { rewrite, ..schema::Route::default() }, upstream.authority());
        let (journal, questions, repeated, asker) = Default::default();
        Self { upstream, places, pools, timers, news, journal, questions, repeated, asker }
    }

    /// All that was seen.
    pub fn take_journal(&self) -> Journal {
        self.journal.take()
    }

    async fn forward(
        self: Rc<Self>,
        peer: Rc<Peer>,
        mut parts: Parts,
        incoming: Incoming,
    ) -> Result<Response<Tee>, Refused> {
        let bad = |why: &str| Refused(StatusCode::BAD_REQUEST, why.to_owned());
        let handshake = Handshake::parse(&parts.method, parts.version, &parts.headers, &incoming).transpose();
        let handshake = handshake.map_err(|error| bad(&error.to_string()))?;
        let host = parts.headers.get(header::HOST).cloned().ok_or_else(|| bad("no Host"))?;
        plain(&mut parts.uri).ok_or_else(|| bad("a path that can be read in two ways"))?;
        let client = Client::settle(&parts.headers, &peer, &TrustedProxies::default());
        strip_request(&mut parts.headers);
        for name in [header::ACCEPT_ENCODING, header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE] {
            parts.headers.remove(name);
        }
        let asker = Asker::of(&host, client, &peer, &parts.headers);
        *self.asker.borrow_mut() = Some(asker.clone());
        let place = self.journal.borrow_mut().reserve();
        let capture = Capture::of(LONGEST_FORM);
        let is_websocket = handshake.is_some();
        let asked = copy_of(&parts);
        let lines = self.lines(&asker, true);
        let mut body = RequestBody::new(incoming, None, BODY_PATIENCE, &self.timers);
        body.capture(capture.clone());
        let permit = policy::to_the_sign_in();
        let answered = match handshake {
            Some(handshake) => {
                // Nobody is signed in here, so nobody's session ends it.
                let opening = proxy::Opening { handshake, tether: None, counted: Lasting::default().websocket() };
                proxy::forward_upgrade(permit, &lines, &self.pools, &self.upstream, opening, parts, body).await
            }
            None => proxy::forward(permit, &lines, &self.pools, &self.upstream, &parts, body).await,
        };
        let (mut head, body) = answered.map_err(|error| self.silent(&error))?.into_parts();
        let mut said = self.said(&asker, asked.uri.path(), head.status, &head.headers);
        let links = self.mend(&asker, head.status, &mut head.headers);
        let report = move |body: Option<Bytes>| {
            said.body = body;
            self.note(place, asker, &asked, is_websocket, &capture, said);
        };
        Ok(Response::from_parts(head, Tee::of(body, links, Box::new(report))))
    }

    fn silent(&self, error: &proxy::Error) -> Refused {
        let why = error.to_string();
        self.tell(News::Silent(why.clone()));
        Refused(StatusCode::BAD_GATEWAY, why)
    }

    fn tell(&self, news: News) {
        // Nobody listens any more: then nobody wants to know.
        let _ = self.news.send(news);
    }

    fn lines(&self, asker: &Asker, with_cookies: bool) -> HeaderLines {
        let mut lines = HeaderLines::with_capacity(512);
        lines.push(&header::HOST, &self.upstream.host_header(&asker.host));
        let port = asker.host.to_str().ok().and_then(|host| Host::parse(host).ok()).and_then(|host| host.port());
        asker.client.write(&mut lines, &asker.peer, &asker.host, port);
        if with_cookies {
            cookies::write_others(&asker.headers, &[], &mut lines);
        }
        lines
    }

    fn said(&self, asker: &Asker, path: &str, status: StatusCode, headers: &HeaderMap) -> Said {
        let host = asker.host.to_str().unwrap_or_default();
        let place = jar::Place { hosts: &[without_port(host)], paths: &[path] };
        let lines = headers.get_all(header::SET_COOKIE).iter();
        let cookies = lines.filter_map(|line| jar::read(relaxed(line).as_bytes(), &place, NOW).ok()).collect();
        Said { status, headers: headers.clone(), cookies, body: None }
    }

    /// What a browser on this machine could not live with.
    fn mend(&self, asker: &Asker, status: StatusCode, headers: &mut HeaderMap) -> Option<Links> {
        let told = self.upstream.host_header(&asker.host);
        let mapping = self.places.mapping(&asker.client, &asker.host, &told);
        let wanted = self.places.wanted(status, headers);
        Places::put_head_right(wanted, &mapping, status, headers);
        headers.remove(header::STRICT_TRANSPORT_SECURITY);
        if let header::Entry::Occupied(mut lines) = headers.entry(header::SET_COOKIE) {
            lines.iter_mut().for_each(|line| *line = relaxed(line));
        }
        wanted.links().then(|| Links::new(mapping))
    }

    /// Writes down what went by.
    fn note(&self, place: usize, asker: Asker, asked: &Parts, is_websocket: bool, capture: &Capture, said: Said) {
        let mut journal = self.journal.borrow_mut();
        let asked = capture.with(|body| journal.read(asked, is_websocket, body.unwrap_or_default()));
        let sighting = Sighting { asked, said };
        let has_tried = journal.all().any(|(_, sighting)| sighting.offers_a_password());
        if sighting.is_attempt() || (sighting.asked.basic_user.is_some() && !has_tried) {
            self.tell(News::Attempt(sighting.asked.path.clone(), sighting.said.status.as_u16()));
        } else if has_tried && leaving::signs_out(&sighting) {
            self.tell(News::SignOut(sighting.asked.path.clone()));
        } else if self.may_name_the_user(&journal, &sighting) {
            let target = sighting.asked.target();
            if let Ok(target) = target.parse() {
                self.repeated.set(self.repeated.get() + 1);
                self.questions.borrow_mut().push(Repeat { place, target, asker });
            }
        }
        journal.fill(place, sighting);
    }
}

impl Asker {
    fn of(host: &HeaderValue, client: Client, peer: &Rc<Peer>, headers: &HeaderMap) -> Self {
        let of_interest = [header::COOKIE, header::USER_AGENT, header::ACCEPT_LANGUAGE];
        let kept = headers.iter().filter(|(name, _)| of_interest.contains(name));
        let mut headers = HeaderMap::new();
        for (name, value) in kept {
            headers.append(name, value.clone());
        }
        Self { host: host.clone(), client, peer: Rc::clone(peer), headers }
    }
}

/// The head, for later.
fn copy_of(parts: &Parts) -> Parts {
    let (mut copy, ()) = Request::new(()).into_parts();
    copy.method = parts.method.clone();
    copy.uri = parts.uri.clone();
    copy.headers = parts.headers.clone();
    copy
}

/// Origin form, with the one path that the gateway would decide about.
fn plain(uri: &mut Uri) -> Option<()> {
    let path = normalise_path(uri.path()).ok()?;
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.into_owned(),
    };
    *uri = Uri::from(target.parse::<PathAndQuery>().ok()?);
    Some(())
}

/// A `Set-Cookie` line that a browser takes from this machine in clear.
fn relaxed(line: &HeaderValue) -> HeaderValue {
    let text = line.as_bytes();
    let prefixed = text.get(..2).is_some_and(|start| start == b"__");
    let stays = |part: &&[u8]| {
        let part = part.trim_ascii().to_ascii_lowercase();
        let name = part.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        match name {
            b"domain" => false,
            // Browsers insist on it for such names, and believe this machine.
            b"secure" => prefixed,
            b"samesite" => !part.ends_with(b"none"),
            b"partitioned" => false,
            _ => true,
        }
    };
    let mut parts = text.split(|byte| *byte == b';');
    let pair = parts.next().unwrap_or_default();
    let kept: Vec<&[u8]> = std::iter::once(pair).chain(parts.filter(stays)).collect();
    HeaderValue::from_bytes(&kept.join(&b';')).unwrap_or_else(|_| line.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_made_fit_for_this_machine() {
        for (from, to) in [
            ("a=b; Path=/; Secure; HttpOnly; Domain=x.example; SameSite=None", "a=b; Path=/; HttpOnly"),
            ("a=b; samesite=LAX;secure", "a=b; samesite=LAX"),
            ("__Host-a=b; Secure; Path=/", "__Host-a=b; Secure; Path=/"),
            ("secure=domain", "secure=domain"),
        ] {
            assert_eq!(relaxed(&HeaderValue::from_static(from)), to);
        }
    }
}
