//! What holds of sessions whatever the order in which requests are served: forced orders, then random ones.
//!
//! Here is the little world of these tests: a manager over a store that takes turns, requests, and browsers.

mod limit;
mod races;
mod random;
mod rotation;
mod shadow;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::super::changes::{Change, Step};
use super::super::id::Id;
use super::super::recall::Recall;
use super::super::record::{Record, Stored};
use super::super::session::stored_in;
use super::interleave::{Race, Schedule, Stepped, finish};
use super::{Error, Manager, Visit};
use crate::clock::Timestamp;
use crate::config::schema;
use crate::identity::Identity;
use crate::session::Keyring;
use crate::store::Key;

const START: Timestamp = Timestamp(1_700_000_000_000);

fn after(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

/// A gateway's sessions, and the view behind the scenes.
struct World {
    manager: Manager,
    store: Arc<Stepped>,
}

/// One request and what its app does.
#[derive(Debug, Clone)]
struct Request {
    /// The cookie it comes with.
    id: Option<String>,
    at: Timestamp,
    changes: Vec<Change>,
    status: StatusCode,
    /// Whether its app wants to know what is told once.
    takes_flash: bool,
}

/// What the browser and the app get to see of it.
#[derive(Debug, Clone, PartialEq)]
struct Answer {
    user: Option<String>,
    data: Value,
    flash: Value,
    cookie: Cookie,
    /// There were too many sessions.
    denied: bool,
}

/// What the response does to the browser's cookie.
#[derive(Debug, Clone, PartialEq)]
enum Cookie {
    Keep,
    Give(String),
    Delete,
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl Fn(&mut schema::Session)) -> Self {
        Self::over(Stepped::new(false), change)
    }

    fn over(store: Arc<Stepped>, change: impl Fn(&mut schema::Session)) -> Self {
        let mut session = schema::Session::default();
        change(&mut session);
        let keyring = Keyring::from_config(&["k".repeat(32).into()], Path::new("/")).unwrap();
        let shared: Arc<Stepped> = Arc::clone(&store);
        Self { manager: Manager::new(&session, None, keyring, shared, super::AtRest::Open), store }
    }

    async fn serve(&self, request: Request) -> Answer {
        let mut headers = HeaderMap::new();
        if let Some(id) = &request.id {
            headers.append("cookie", format!("sessionid={id}").parse().unwrap());
        }
        let visit = Visit { now: request.at, address: [192, 0, 2, 1].into(), agent: None, https: true };
        let mut session = self.manager.open(&headers, &Recall::default(), visit.address, visit.now).await.unwrap();
        if request.takes_flash {
            self.manager.take_flash(&mut session).await.unwrap();
        }
        let mut answer = Answer {
            user: session.identity().map(|identity| identity.user.to_string()),
            data: serde_json::from_str(session.data()).unwrap(),
            flash: serde_json::from_str(session.flash()).unwrap(),
            cookie: Cookie::Keep,
            denied: false,
        };
        session.record_changes(request.changes);
        match self.manager.commit(session, visit, request.status).await {
            Ok(committed) => answer.cookie = Cookie::from_lines(&committed.set_cookie),
            Err(Error::TooManySessions) => answer.denied = true,
            Err(error) => panic!("{error}"),
        }
        answer
    }

    /// A request while nothing else goes on.
    fn ask(&self, request: Request) -> Answer {
        finish(self.serve(request))
    }

    /// Requests that take turns.
    fn race(&self, schedule: &mut Schedule, requests: impl IntoIterator<Item = Request>) -> Vec<Answer> {
        let mut race = Race::new(&self.store);
        for request in requests {
            race.enter(self.serve(request));
        }
        race.run(schedule)
    }

    /// A fresh anonymous session with a value.
    fn anonymous(&self) -> String {
        self.ask(nobody().does(set("born"))).cookie.given()
    }

    fn signed_in(&self, user: &str) -> String {
        self.ask(nobody().does(sign_in(user))).cookie.given()
    }

    fn user_of(&self, id: &str, at: Timestamp) -> Option<String> {
        self.ask(with(id).at(at)).user
    }

    fn data_of(&self, id: &str) -> Value {
        self.ask(with(id)).data
    }

    /// How many sessions of the user the store has.
    fn sessions_of(&self, user: &str) -> usize {
        finish(self.manager.store.list_by_user(user)).unwrap().len()
    }

    /// How many sessions and aliases the store has.
    fn count(&self) -> usize {
        finish(self.manager.store.count()).unwrap()
    }
}

impl Request {
    fn does(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }

    fn at(self, at: Timestamp) -> Self {
        Self { at, ..self }
    }

    fn fails(self) -> Self {
        Self { status: StatusCode::BAD_GATEWAY, ..self }
    }

    fn taking_flash(self) -> Self {
        Self { takes_flash: true, ..self }
    }
}

impl Cookie {
    fn from_lines(lines: &[http::HeaderValue]) -> Self {
        let Some(line) = lines.first() else { return Self::Keep };
        let line = line.to_str().unwrap();
        match line.split(['=', ';']).nth(1) {
            Some("") | None => Self::Delete,
            Some(id) => Self::Give(id.to_owned()),
        }
    }

    fn given(&self) -> String {
        match self {
            Self::Give(id) => id.clone(),
            Self::Keep | Self::Delete => panic!("no cookie was given: {self:?}"),
        }
    }

    /// What the browser holds after this, if it held `before`.
    fn kept(&self, before: Option<&str>) -> Option<String> {
        match self {
            Self::Keep => before.map(str::to_owned),
            Self::Give(id) => Some(id.clone()),
            Self::Delete => None,
        }
    }
}

fn nobody() -> Request {
    Request { id: None, at: START, changes: Vec::new(), status: StatusCode::OK, takes_flash: false }
}

fn with(id: &str) -> Request {
    Request { id: Some(id.to_owned()), ..nobody() }
}

fn set(key: &str) -> Change {
    Change::Set(key.into(), true.into())
}

fn count() -> Change {
    Change::Increment("n".into(), Step::Whole(1))
}

fn sign_in(user: &str) -> Change {
    Change::SignIn { identity: Box::new(Identity::named(user)), remember: false, vault: None }
}

fn key_of(id: &str) -> Key {
    Id::parse(id.as_bytes()).unwrap().key()
}
