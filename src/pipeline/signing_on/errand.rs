//! One way through an app's login, as a browser would go it: the requests of our own, and the cookies on the way.
//!
//! Called by `signing_on`, one at a time for each session. SECURITY: only the route's own upstream is ever asked, and
//! what is posted goes where `sign_on` says.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::response::Parts as Head;
use http::{Method, Request, Uri};
use http_body_util::{BodyExt as _, Collected, Full, Limited};

use super::super::Exchange;
use crate::gateway::Route;
use crate::http::body::BodyError;
use crate::http::cookies;
use crate::http::lines::HeaderLines;
use crate::identity::Identity;
use crate::jar::{self, Jar};
use crate::observe::{Answer, Probe};
use crate::places::Places;
use crate::policy;
use crate::proxy;
use crate::session::{Session, Typed, VaultId};
use crate::sign_on::{Login, NoAnswer, NoLogin, Posted};
use crate::vault::Kept;

/// How much is read of each page on the way.
const LONGEST_PAGE: usize = 256 * 1024;
/// A login page may lead on to another, a few times.
const MOST_REDIRECTS: usize = 5;

/// Why the app has not let the user in.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    NoLogin(#[from] NoLogin),
    #[error("the app has refused the credentials, or answers as if it had (sign_on.success)")]
    Refused,
    #[error("the app answers 401 to the credentials")]
    Unauthorised,
    #[error("the app's answer cannot be read: compressed, or more than 256 KiB")]
    Unreadable,
    #[error("the app's login page leads to another host, or nowhere")]
    Astray,
    #[error("the app has not answered within sign_on.timeout")]
    Late,
    #[error(transparent)]
    Upstream(#[from] proxy::Error),
    #[error("the request cannot be written")]
    Request,
    #[error("the app asks for no Digest that is known here (WWW-Authenticate): perhaps `basic` fits")]
    NoDigest,
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
}

/// What a browser would have in hand on the way through a login.
#[derive(Default)]
pub(super) struct Errand {
    pub jar: Jar,
    /// What has become of the jar since it was empty, or since it was the session's.
    pub operations: Vec<jar::Operation>,
    /// Whether it began with an empty jar.
    pub afresh: bool,
    /// `Set-Cookie` lines that are for the browser itself.
    pub exposed: Vec<HeaderValue>,
}

/// What came of one request on the way.
struct Told {
    head: Head,
    body: Option<Bytes>,
    cookies: Vec<jar::Operation>,
}

/// One request of our own.
pub(super) struct Errands<'r> {
    pub route: &'r Route,
    pub login: &'r Login,
    pub vault: VaultId,
    /// The user's request: apps bind their sessions to what browsers say of themselves.
    pub asked_with: &'r HeaderMap,
}

impl Exchange<'_> {
    /// Through the app's login, with the cookies that it knows; or without them, where somebody else is signed in by
    /// them, so that the page shows no form.
    pub(super) async fn log_in(
        &self,
        errands: &Errands<'_>,
        session: &Session,
        credentials: &Typed,
        identity: &Identity,
    ) -> Result<Errand, Failure> {
        let jar = session.jar(errands.vault).cloned().unwrap_or_default();
        let had_cookies = !jar.is_empty();
        let first = self.try_to_log_in(errands, Errand { jar, ..Errand::default() }, credentials, identity).await;
        match first {
            Err(Failure::NoLogin(NoLogin::Form)) if had_cookies => {
                let errand = Errand { afresh: true, ..Errand::default() };
                self.try_to_log_in(errands, errand, credentials, identity).await
            }
            other => other,
        }
    }

    async fn try_to_log_in(
        &self,
        errands: &Errands<'_>,
        mut errand: Errand,
        credentials: &Typed,
        identity: &Identity,
    ) -> Result<Errand, Failure> {
        let login = errands.login;
        let page = match login.page() {
            Some(page) => Some(self.fetch_page(errands, &mut errand, page).await?),
            None => None,
        };
        let page = page.as_ref().map(|(at, html)| (at.as_str(), html.as_str()));
        let posted = login.post(page, credentials, identity, |url| self.path_of_own(errands.route, url))?;
        self.post(errands, &mut errand, &posted, page.map(|(at, _)| at)).await?;
        if let Some(probe) = login.probe() {
            self.ask_probe(errands, &mut errand, probe, &credentials.user).await?;
        }
        Ok(errand)
    }

    /// Posts the login, from the page that was found `at`.
    async fn post(
        &self,
        errands: &Errands<'_>,
        errand: &mut Errand,
        posted: &Posted,
        at: Option<&str>,
    ) -> Result<(), Failure> {
        let login = errands.login;
        let sent = Some((posted.content_type.clone(), posted.body.clone(), at.unwrap_or(&posted.target)));
        let told = self.ask_for(errands, errand, &posted.target, sent).await?;
        let path = posted.target.split('?').next().unwrap_or_default();
        let Head { status, headers, .. } = &told.head;
        let answer = Answer { status: *status, headers, cookies: &told.cookies, body: told.body.as_deref() };
        if login.reads_answer() && told.body.is_none() {
            return Err(Failure::Unreadable);
        }
        login.has_succeeded(path, &answer).then_some(()).ok_or(Failure::Refused)
    }

    /// Asks the page that shows whether it has worked.
    async fn ask_probe(
        &self,
        errands: &Errands<'_>,
        errand: &mut Errand,
        probe: &Probe,
        user: &str,
    ) -> Result<(), Failure> {
        let told = self.ask_for(errands, errand, probe.path(), None).await?;
        let Head { status, headers, .. } = &told.head;
        let answer = Answer { status: *status, headers, cookies: &[], body: told.body.as_deref() };
        Login::probe_agrees(probe, &answer, user).then_some(()).ok_or(Failure::Refused)
    }

    /// The login page, and where it was found in the end.
    async fn fetch_page(
        &self,
        errands: &Errands<'_>,
        errand: &mut Errand,
        page: &str,
    ) -> Result<(String, String), Failure> {
        let mut at = page.to_owned();
        for _ in 0..=MOST_REDIRECTS {
            let told = self.ask_for(errands, errand, &at, None).await?;
            if !told.head.status.is_redirection() {
                let body = told.body.ok_or(Failure::Unreadable)?;
                return Ok((at, String::from_utf8_lossy(&body).into_owned()));
            }
            let mut lines = told.head.headers.get_all(header::LOCATION).iter();
            let location = lines.next().and_then(|line| line.to_str().ok()).filter(|_| lines.next().is_none());
            let own = |url: &[u8]| self.path_of_own(errands.route, url);
            at = location.and_then(|location| errands.login.follow(location, &at, own)).ok_or(Failure::Astray)?;
        }
        Err(Failure::Astray)
    }

    fn path_of_own(&self, route: &Route, url: &[u8]) -> Option<Vec<u8>> {
        self.mapping(route, &route.upstream.host_header(&self.settled.host)).path_of_own(url)
    }

    /// Asks the app as the browser would: `target` is path and query as the browser has them; `sent` is posted.
    async fn ask_for(
        &self,
        errands: &Errands<'_>,
        errand: &mut Errand,
        target: &str,
        sent: Option<(HeaderValue, Bytes, &str)>,
    ) -> Result<Told, Failure> {
        let Errands { route, login, .. } = errands;
        let outside: Uri = target.parse().map_err(|_| Failure::Request)?;
        let (lines, request) = self.write(errands, errand, &outside, sent).ok_or(Failure::Request)?;
        let pools = &self.generation.pools;
        let (parts, body) = request.into_parts();
        let asked = proxy::forward(policy::to_the_sign_in(), &lines, pools, &route.upstream, &parts, body);
        let answered = tokio::time::timeout(login.timeout(), async {
            let (head, body) = asked.await?.into_parts();
            let body = Limited::new(body, LONGEST_PAGE).collect().await;
            Ok::<_, proxy::Error>((head, body.ok().map(Collected::to_bytes)))
        });
        let (mut head, body) = answered.await.map_err(|_| Failure::Late)??;
        let mapping = self.mapping(route, &route.upstream.host_header(&self.settled.host));
        let wanted = route.places.wanted(head.status, &head.headers);
        Places::put_head_right(wanted, &mapping, head.status, &mut head.headers);
        let cookies = self.take_cookies(route, errand, outside.path(), &head.headers);
        let readable = !head.headers.contains_key(header::CONTENT_ENCODING);
        Ok(Told { head, body: body.filter(|_| readable), cookies })
    }

    fn write(
        &self,
        errands: &Errands<'_>,
        errand: &Errand,
        outside: &Uri,
        sent: Option<(HeaderValue, Bytes, &str)>,
    ) -> Option<(HeaderLines, Request<OwnBody>)> {
        let (route, settled) = (errands.route, &self.settled);
        let mut uri = outside.clone();
        route.places.strip(&mut uri).ok()?;
        let mut headers = HeaderMap::new();
        for name in [header::USER_AGENT, header::ACCEPT_LANGUAGE] {
            headers.extend(errands.asked_with.get(&name).map(|value| (name, value.clone())));
        }
        let accept = HeaderValue::from_static("text/html, application/json;q=0.9, */*;q=0.5");
        headers.insert(header::ACCEPT, accept);
        let mut method = Method::GET;
        let mut body = Bytes::new();
        if sent.is_some() {
            headers.extend(self.repeated(errands, errand, outside.path()));
        }
        if let Some((kind, content, referer)) = sent {
            let scheme = if settled.client.https { "https" } else { "http" };
            let origin = format!("{scheme}://{}", settled.host.to_str().ok()?);
            // As a browser would: apps compare them with their own name (Django does over TLS).
            headers.insert(header::REFERER, HeaderValue::try_from(format!("{origin}{referer}")).ok()?);
            headers.insert(header::ORIGIN, HeaderValue::try_from(origin).ok()?);
            headers.insert(header::CONTENT_TYPE, kind);
            (method, body) = (Method::POST, content);
        }
        let mut lines = HeaderLines::with_capacity(512);
        lines.push(&header::HOST, &route.upstream.host_header(&settled.host));
        settled.client.write(&mut lines, self.peer, &settled.host, settled.port);
        route.places.write(&mut lines);
        self.with_place(route, outside.path(), |place| {
            let kept = Kept { jar: Some(&errand.jar), place, now: settled.now };
            // Not the browser's own: an exposed cookie on the way is the one that this very login has set.
            route.cookies.write(&HeaderMap::new(), self.gateway.sessions.cookie_names(), &kept, &mut lines);
        });
        let mut request = Request::new(Full::new(body).map_err(never as fn(_) -> _));
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, headers);
        Some((lines, request))
    }

    /// Cookies that the app's own scripts would send back as headers.
    fn repeated(&self, errands: &Errands<'_>, errand: &Errand, path: &str) -> Vec<(HeaderName, HeaderValue)> {
        let now = self.settled.now;
        self.with_place(errands.route, path, |place| {
            let value = |name: &str| {
                let cookie = errand.jar.matching(&place, now).find(|cookie| cookies::means(name, cookie.name()))?;
                // As scripts read them, who decode what is encoded.
                let plain: Vec<u8> = percent_encoding::percent_decode(cookie.value()).collect();
                HeaderValue::from_bytes(&plain).ok()
            };
            let headers = errands.login.cookie_headers().iter();
            headers.filter_map(|(header, name)| Some((header.clone(), value(name)?))).collect()
        })
    }

    /// Keeps what an answer on the way sets.
    fn take_cookies(&self, route: &Route, errand: &mut Errand, path: &str, headers: &HeaderMap) -> Vec<jar::Operation> {
        let now = self.settled.now;
        let mut all = Vec::new();
        for line in headers.get_all(header::SET_COOKIE) {
            let read = self.with_place(route, path, |place| jar::read(line.as_bytes(), &place, now));
            let Ok(operation) = read else { continue };
            errand.jar.apply(&operation, now);
            match route.cookies.exposes(line) {
                true => errand.exposed.push(line.clone()),
                false => errand.operations.push(operation.clone()),
            }
            all.push(operation);
        }
        all
    }
}

/// A request's body of our own.
type OwnBody = http_body_util::combinators::MapErr<Full<Bytes>, fn(std::convert::Infallible) -> BodyError>;

fn never(never: std::convert::Infallible) -> BodyError {
    match never {}
}
