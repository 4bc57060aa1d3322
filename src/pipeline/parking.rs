//! Forms that meet the end of the session: kept, asked about, and sent once.
//!
//! Steps of `pipeline`. A form whose sender has to sign in is parked; after the sign-in their next page view leads to the
//! page that asks (`auth::parked`); its button posts to where the form was going, with the browser's cookies for that
//! path, and here the kept form takes the place of the button's. From there on it is a request like any other.
//!
//! SECURITY: only forms of this very origin are kept, so that no other site can have something sent in the name of
//! who signs in next; only for browsers that had a session; and the question names the place and the user.

use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;

use super::signing_on::Unsent;
use super::{Body, Exchange};
use crate::auth::csrf;
use crate::auth::parked::{self, Answer, may_be_an_answer};
use crate::gateway::Route;
use crate::http::body::RequestBody;
use crate::http::respond;
use crate::proxy;
use crate::reject::{Reader, Reject};
use crate::session::{Errand, Form, Session, State, Ticket, TicketChange};

const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// The button's form is a few fields; a larger one is the app's own.
const LONGEST_ANSWER: u64 = 2048;

/// Of a target and of a page's address; they lie in the session.
const LONGEST_ADDRESS: usize = 2048;

/// What becomes of a request in whose session forms wait.
pub(super) enum Next {
    /// It goes to the app with this body; the form, if it is a kept one.
    Forward(RequestBody, Option<Box<Parked>>),
    /// It is answered here.
    Page(Response<Body>),
}

/// A form on its way to the app, out of the store already.
pub(super) struct Parked {
    ticket: Ticket,
    form: Form,
}

/// Why a form is not kept. The sign-in page says that it was not; these words are for the log.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("the route keeps none, or the browser came without a session")]
    Stranger,
    #[error("it is too large, or its address is")]
    TooLarge,
    #[error("no more room")]
    NoRoom,
    #[error("it answers the question about another one")]
    Answer,
    #[error(transparent)]
    Body(#[from] crate::http::body::BodyError),
    #[error(transparent)]
    Session(#[from] crate::session::Error),
}

impl Exchange<'_> {
    /// Whether a person sends a form from a page of ours, in a window.
    pub(super) fn is_a_persons_form(&self, parts: &Parts) -> bool {
        parts.method == Method::POST
            && self.is_for_a_window(parts)
            && csrf::proven_same_origin(&parts.headers, self.host())
    }

    /// Keeps the form of somebody who has to sign in first, if it can be kept, and sends them there.
    pub(super) async fn park(
        &self,
        route: &Route,
        parts: &Parts,
        body: RequestBody,
        session: &mut Session,
    ) -> Response<Body> {
        match self.keep(route, parts, body, session).await {
            Ok(ticket) => {
                tracing::info!(event = "form_parked", route = &*route.name, bytes = ticket.size, "a form waits");
                session.record_ticket(TicketChange::Keep(ticket));
                self.send_to(&self.gateway.login_page(route, Some(&self.question_page())))
            }
            Err(reason) => {
                tracing::info!(event = "form_lost", route = &*route.name, %reason, "a form could not be kept");
                let here = parts.uri.path_and_query().map(|here| here.as_str());
                self.send_to(&self.gateway.login_page_after_a_loss(route, here))
            }
        }
    }

    async fn keep(&self, route: &Route, parts: &Parts, body: RequestBody, session: &Session) -> Result<Ticket, Lost> {
        let park = route.park.filter(|_| session.may_park()).ok_or(Lost::Stranger)?;
        let largest = park.max_size.bytes().min(route.upstream.max_body_size().unwrap_or(u64::MAX));
        let announced = Some(self.settled.content_length).filter(|length| *length > 0);
        if announced.is_some_and(|length| length > largest) {
            return Err(Lost::TooLarge);
        }
        let errand = self.errand(parts, session).ok_or(Lost::TooLarge)?;
        let (sessions, now) = (&self.gateway.sessions, self.settled.now);
        let times = (now, now.plus(park.ttl.get()));
        let parking =
            sessions.find_parking(errand, announced.unwrap_or(largest), self.settled.client.address, times)?;
        let parking = parking.ok_or(Lost::NoRoom)?;
        let body = body.at_most(largest).collect().await?.to_bytes();
        if may_be_an_answer(&parts.headers) && Answer::read(&body).is_some() {
            return Err(Lost::Answer);
        }
        let form = Form { content_type: parts.headers.get(header::CONTENT_TYPE).cloned(), body };
        Ok(sessions.park(parking, &form, now).await?)
    }

    /// Where a form was going; `None` if it cannot be sent again.
    pub(super) fn errand(&self, parts: &Parts, session: &Session) -> Option<Errand> {
        let target = parts.uri.path_and_query()?.as_str();
        // SECURITY: it becomes the address of a form, where browsers would take a second slash for a host.
        let is_of_this_host = target.starts_with('/') && !target[1..].starts_with(['/', '\\']);
        let from = parts.headers.get(header::REFERER).and_then(|from| from.to_str().ok());
        (is_of_this_host && target.len() <= LONGEST_ADDRESS).then(|| Errand {
            host: self.host().into(),
            target: target.into(),
            from: from.filter(|from| from.len() <= LONGEST_ADDRESS).map(Into::into),
            user: session.expired_user().map(Into::into),
        })
    }

    /// Whether forms wait in the session, and this request may be about one of them.
    pub(super) fn concerns_tickets(&self, parts: &Parts, session: &Session) -> bool {
        // PERF: of nearly all requests.
        if session.tickets().is_empty() {
            return false;
        }
        let (now, host) = (self.settled.now, self.host());
        match parts.method {
            Method::GET => {
                self.reader == Reader::Person
                    && session.identity().is_some_and(|identity| {
                        let waits =
                            |one: &Ticket| one.state == State::Waiting && one.is_open_to(&identity.user, host, now);
                        session.tickets().iter().any(waits)
                    })
                    && self.is_for_a_window(parts)
            }
            Method::POST => {
                let target = parts.uri.path_and_query().map(|target| target.as_str());
                session.tickets().iter().any(|one| Some(&*one.errand.target) == target)
            }
            _ => false,
        }
    }

    /// Leads somebody who has signed in to the question, or puts the kept form into the place of the answer to it.
    pub(super) async fn settle_tickets(
        &self,
        route: &Route,
        parts: &mut Parts,
        body: RequestBody,
        session: &mut Session,
    ) -> Result<Next, Reject> {
        if parts.method == Method::GET {
            let here = parts.uri.path_and_query().map(|here| here.as_str());
            return Ok(self.to_the_question(here));
        }
        let length = self.settled.content_length;
        if !may_be_an_answer(&parts.headers) || !(1..=LONGEST_ANSWER).contains(&length) {
            return Ok(Next::Forward(body, None));
        }
        let read = body.collect().await.map_err(proxy::Error::Client)?.to_bytes();
        match Answer::read(&read) {
            None => Ok(Next::Forward(RequestBody::kept(read, &self.worker.timers), None)),
            Some(answer) => self.send_parked(route, &answer, parts, session).await,
        }
    }

    async fn send_parked(
        &self,
        route: &Route,
        answer: &Answer,
        parts: &mut Parts,
        session: &mut Session,
    ) -> Result<Next, Reject> {
        // SECURITY: the page that asks made this form, for this browser.
        let token_fits = session.csrf().is_some_and(|secret| csrf::verify(secret, &answer.csrf));
        let is_ours = token_fits && csrf::same_origin(&parts.headers, self.host());
        let Some(ticket) = self.ticket(answer, parts, session).filter(|_| is_ours) else {
            return Ok(self.to_the_question(None));
        };
        if ticket.size > route.upstream.max_body_size().unwrap_or(u64::MAX) {
            return Err(Reject::TooLarge);
        }
        let form = self.gateway.sessions.take_parked(&ticket).await?;
        session.record_ticket(TicketChange::Mark(ticket.handle(), State::Gone));
        let Some(form) = form else { return Ok(self.to_the_question(None)) };
        put_head(parts, &ticket.errand, &form);
        tracing::info!(event = "form_sent", route = &*route.name, bytes = ticket.size, "a form that waited is sent");
        let body = RequestBody::kept(form.body.clone(), &self.worker.timers);
        Ok(Next::Forward(body, Some(Box::new(Parked { ticket, form }))))
    }

    /// What the signed-in user may send here, if it is still to be sent.
    fn ticket(&self, answer: &Answer, parts: &Parts, session: &Session) -> Option<Ticket> {
        let user = &session.identity()?.user;
        let target = parts.uri.path_and_query()?.as_str();
        let is_meant = |one: &&Ticket| one.handle().to_string() == answer.number && &*one.errand.target == target;
        let open = |one: &&Ticket| one.is_open_to(user, self.host(), self.settled.now);
        session.tickets().iter().filter(is_meant).find(open).cloned()
    }

    /// The app was not reached, so nothing of a kept form was sent: it goes back, and the question is asked once more.
    pub(super) async fn park_again(
        &self,
        kept: Option<Box<Parked>>,
        reject: Reject,
        session: &mut Session,
    ) -> Result<Response<Body>, Reject> {
        use proxy::Error::{Connect, ConnectTimeout, Resolve};
        let Some(kept) = kept else { return Err(reject) };
        if !matches!(reject, Reject::Upstream(Resolve { .. } | Connect { .. } | ConnectTimeout { .. })) {
            return Err(reject);
        }
        match self.keep_on(*kept, session).await {
            true => Ok(self.ask_again(&reject)),
            false => Err(reject),
        }
    }

    /// The user could not be signed on to the app, so nothing of a kept form was sent: it goes back.
    pub(super) async fn answer_unsent(
        &self,
        route: &Route,
        unsent: Unsent,
        asked: &Uri,
        kept: Option<Box<Parked>>,
        session: &mut Session,
    ) -> Result<Response<Body>, Reject> {
        let Some(kept) = kept else {
            return match unsent {
                Unsent::SignIn => Ok(self.challenge(route, asked)),
                Unsent::Rejected(reject) => Err(reject),
            };
        };
        // What has ended meanwhile keeps nothing.
        let lives = self.gateway.sessions.refresh(session).await.unwrap_or(false);
        match (unsent, lives && self.keep_on(*kept, session).await) {
            (Unsent::SignIn, true) => Ok(self.send_to(&self.gateway.login_page(route, Some(&self.question_page())))),
            (Unsent::SignIn, false) => Ok(self.send_to(&self.gateway.login_page_after_a_loss(route, None))),
            (Unsent::Rejected(reject), true) => Ok(self.ask_again(&reject)),
            (Unsent::Rejected(reject), false) => Err(reject),
        }
    }

    /// Whether a form that was not sent waits again.
    async fn keep_on(&self, kept: Parked, session: &mut Session) -> bool {
        let Parked { ticket, form } = kept;
        let (sessions, now) = (&self.gateway.sessions, self.settled.now);
        let times = (now, ticket.ends);
        let parking = sessions.find_parking(ticket.errand, ticket.size, self.settled.client.address, times);
        let Ok(Some(parking)) = parking else { return false };
        let Ok(ticket) = sessions.park(parking, &form, now).await else { return false };
        session.record_ticket(TicketChange::Keep(ticket));
        true
    }

    /// The question once more, with the reason.
    fn ask_again(&self, reject: &Reject) -> Response<Body> {
        reject.log(self.settled.route(self.gateway).map(|route| &*route.name));
        let why = match reject {
            Reject::SignOn { .. } | Reject::Forbidden { .. } => "refused",
            _ => "unreached",
        };
        see_other(&format!("{}?{why}", self.question_page()))
    }

    fn to_the_question(&self, here: Option<&str>) -> Next {
        Next::Page(see_other(&parked::url(&self.gateway.prefix, here)))
    }

    /// The page that asks.
    fn question_page(&self) -> String {
        parked::url(&self.gateway.prefix, None)
    }

    fn host(&self) -> &str {
        self.settled.host.to_str().unwrap_or_default()
    }

    /// Not for a frame, where none of our pages shows itself.
    fn is_for_a_window(&self, parts: &Parts) -> bool {
        let dest = parts.headers.get(&SEC_FETCH_DEST);
        self.reader == Reader::Person && dest.is_none_or(|dest| dest == "document")
    }
}

/// The head as it was, where it says what the body is and where it comes from; the rest is the browser's of today.
fn put_head(parts: &mut Parts, errand: &Errand, form: &Form) {
    let from = errand.from.as_deref().and_then(|from| HeaderValue::from_str(from).ok());
    for (name, value) in [(header::CONTENT_TYPE, form.content_type.clone()), (header::REFERER, from)] {
        match value {
            Some(value) => drop(parts.headers.insert(name, value)),
            None => drop(parts.headers.remove(name)),
        }
    }
}

fn see_other(page: &str) -> Response<Body> {
    respond::redirect(StatusCode::SEE_OTHER, page).map(Body::from)
}
