//! The way through: each request goes to the app as the gateway would send it, and is noted with its answer.
//!
//! `survey` serves with [`pass`]. Changed is only what a browser on this machine could not live with: cookies lose
//! `Secure` and `Domain`, redirects lead back here, and nothing comes compressed or from a cache. What people at a
//! terminal want to know is told as [`News`].

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::MapErr;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;

use super::sighting::{Check, Journal, Said, Sighting};
use super::tee::Tee;
use super::{Hearer, leaving, words};
use crate::clock::Timestamp;
use crate::config::schema;
use crate::http::body::{BodyError, Capture, RequestBody};
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
/// How much is read of an answer that we asked for ourselves.
const LONGEST_ANSWER: usize = 256 * 1024;
/// How long the app may take for it.
const PATIENCE: Duration = Duration::from_secs(5);
/// A form on this machine comes at once.
const BODY_PATIENCE: Duration = Duration::from_secs(60);
/// So many pages are asked again at most.
const MOST_CHECKS: usize = 8;
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
        let body = RequestBody::new(incoming, None, BODY_PATIENCE, &self.timers).captured(Some(capture.clone()));
        let request = Request::from_parts(parts, body);
        let permit = policy::to_the_sign_in();
        let answered = match handshake {
            Some(handshake) => {
                // Nobody is signed in here, so nobody's session ends it.
                let opening = proxy::Opening { handshake, tether: None, counted: Lasting::default().websocket() };
                proxy::forward_upgrade(permit, &lines, &self.pools, &self.upstream, opening, request).await
            }
            None => proxy::forward(permit, &lines, &self.pools, &self.upstream, request).await,
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
            let target = sighting
                .asked
                .query
                .as_ref()
                .map_or(sighting.asked.path.clone(), |query| format!("{}?{query}", sighting.asked.path));
            if let Ok(target) = target.parse() {
                self.repeated.set(self.repeated.get() + 1);
                self.questions.borrow_mut().push(Repeat { place, target, asker });
            }
        }
        journal.fill(place, sighting);
    }

    /// Whether a page may be one that says who is signed in.
    fn may_name_the_user(&self, journal: &Journal, sighting: &Sighting) -> bool {
        let (asked, said) = (&sighting.asked, &sighting.said);
        let Some(user) = journal.all().rev().find_map(|(_, sighting)| sighting.asked.user.clone()) else {
            return false;
        };
        let is_same = |before: &Sighting| before.asked.path == asked.path && before.asked.query == asked.query;
        let repeated = self.questions.borrow().iter().any(|repeat| repeat.target.path() == asked.path)
            || journal.checks.iter().filter_map(|check| journal.at(check.place)).any(is_same);
        let is_plain = asked.query.is_none() || sighting.query_words().len() == pairs(asked.query.as_deref());
        asked.method == Method::GET
            && said.status == StatusCode::OK
            && !asked.has_authorization
            && !asked.cookie_names.is_empty()
            && is_plain
            && !words::is_way_out(&asked.path)
            && (said.is_html() || said.json().is_some())
            && said.text().to_lowercase().contains(&user.to_lowercase())
            && !repeated
            && self.repeated.get() < MOST_CHECKS
    }

    /// Asks for pages once more that may say who is signed in: as the gateway would, and as a stranger.
    pub async fn settle_questions(&self) {
        let questions = self.questions.take();
        for Repeat { place, target, asker } in questions {
            let with = self.ask(&asker, &target, true, "application/json, */*;q=0.5").await;
            let without = self.ask(&asker, &target, false, "application/json, */*;q=0.5").await;
            if let (Some(with), Some(without)) = (with, without) {
                self.journal.borrow_mut().checks.push(Check { place, with, without });
            }
        }
    }

    /// What a stranger sees where the user was last.
    pub async fn ask_as_stranger_for_the_last_page(&self) -> Option<(String, Said)> {
        let target = leaving::last_page(&self.journal.borrow())?;
        let asker = self.asker.borrow().clone()?;
        let said = self.ask(&asker, &target.parse().ok()?, false, "text/html,*/*;q=0.8").await?;
        Some((target, said))
    }

    async fn ask(
        &self,
        asker: &Asker,
        target: &PathAndQuery,
        with_cookies: bool,
        accept: &'static str,
    ) -> Option<Said> {
        let mut request = Request::new(Empty::new().map_err(never as fn(_) -> _));
        *request.uri_mut() = Uri::from(target.clone());
        for name in [header::USER_AGENT, header::ACCEPT_LANGUAGE] {
            if let Some(value) = asker.headers.get(&name) {
                request.headers_mut().insert(name, value.clone());
            }
        }
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static(accept));
        let lines = self.lines(asker, with_cookies);
        let asked = proxy::forward::<NoBody>(policy::to_the_sign_in(), &lines, &self.pools, &self.upstream, request);
        let answered = self.timers.timeout(PATIENCE, async {
            let (head, body) = asked.await.ok()?.into_parts();
            let body = Limited::new(body, LONGEST_ANSWER).collect().await.ok().map(http_body_util::Collected::to_bytes);
            Some(Said { body, ..self.said(asker, target.path(), head.status, &head.headers) })
        });
        answered.await.ok().flatten()
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

/// A request without a body.
type NoBody = MapErr<Empty<Bytes>, fn(Infallible) -> BodyError>;

fn never(never: Infallible) -> BodyError {
    match never {}
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

fn pairs(query: Option<&str>) -> usize {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes()).count()
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
