//! All sessions: opened before a request is served, committed before its response head leaves.
//!
//! The only caller of a store. Rules about ids, expiry, cookies and rotation meet here; `beginnings`, `open`,
//! `commit`, `rotation`, `limit`, `holding` and `endings` each hold one part of a session's life; `traveling` is what
//! differs where sessions lie in the browsers' cookies.

mod adopting;
mod at_once;
mod beginnings;
mod commit;
mod endings;
mod holding;
mod limit;
mod listing;
mod open;
mod parking;
mod rotation;
mod traveling;

pub use adopting::{AdoptError, Adoption, Foreign};
pub use holding::Held;
pub use listing::{Listed, Listing, LookedUp};
pub use parking::Parking;

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use self::traveling::{Lasting, Traveling};
use super::changes::Expiry;
use super::cookie::SessionCookie;
use super::denials::Denials;
use super::events::{Counters, Event};
use super::expiry::{Policy, Times};
use super::guesses::Guesses;
use super::id::{Id, NoRandomness};
use super::keyring::Keyring;
use super::record::Record;
use super::room::Room;
use super::seal::{Purpose, SealKey};
use super::session::opened;
use super::severed::Severed;
use crate::clock::Timestamp;
use crate::config::schema;
use crate::http::cookies;
use crate::store::{self, Entry, Handle, Key, Meta, Store};

/// So many expired sessions are deleted before others get a turn.
const SWEEP_BATCH: usize = 1000;

/// How much of a `User-Agent` is kept.
const LONGEST_AGENT: usize = 200;

/// So many different ones share their memory; browsers of one time are far fewer.
const MOST_AGENTS: usize = 4096;

/// Sign-ins of one user at this gateway wait for each other where sessions per user are limited; those of most others
/// do not.
const GATES: usize = 64;

/// All sessions of the gateway.
pub struct Manager {
    store: Arc<dyn Store>,
    at_rest: AtRest,
    /// Where sessions lie in cookies; the store then holds those that were presented since the start.
    traveling: Option<Traveling>,
    keyring: Arc<Keyring>,
    policy: Policy,
    cookie: SessionCookie,
    /// Names under which the cookie is still read.
    previous: Vec<SessionCookie>,
    /// All our names, the present one first, those of pieces last, for taking the cookie out of requests.
    names: Vec<Box<str>>,
    create: schema::Create,
    save_every_request: bool,
    max_data_size: usize,
    max_per_user: Option<(usize, schema::OnLimit)>,
    guesses: Option<Guesses>,
    counters: Arc<Counters>,
    agents: Arc<Mutex<HashSet<Arc<str>>>>,
    gates: Arc<[tokio::sync::Mutex<()>; GATES]>,
    room: Arc<Room>,
    severed: Arc<Severed>,
}

/// How records lie in the store.
#[derive(Debug, Clone)]
pub enum AtRest {
    /// As they are: for a store that is gone with this process.
    Open,
    /// Sealed, each under a key that follows from its id.
    Sealed,
    /// In the browsers' cookies, sealed as a whole: the store is this process's memory of the sessions that were
    /// presented to it.
    InCookies(Arc<Denials>),
}

/// Why a session could not be opened or committed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store is at fault.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// See [`NoRandomness`].
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// The client presented too many ids that no session has.
    #[error("too many unknown session ids from this address (limits.unknown_ids_per_minute)")]
    Guessing,
    /// The user has `session.max_per_user` sessions, and `on_limit` is `deny`.
    #[error("the user has session.max_per_user sessions already")]
    TooManySessions,
    /// The same user has signed in elsewhere, again and again, before this sign-in could be counted.
    #[error("too many sign-ins of one user at once")]
    Outrun,
    /// The session lies in cookies, and this is more than browsers keep.
    #[error("the session is larger than browsers keep in cookies: let `store` be of another type")]
    TooLargeForCookies,
}

/// The circumstances of a request that a session remembers.
#[derive(Debug, Clone, Copy)]
pub struct Visit<'a> {
    /// Now.
    pub now: Timestamp,
    /// The browser's address.
    pub address: IpAddr,
    /// `User-Agent`, as sent.
    pub agent: Option<&'a HeaderValue>,
    /// Whether the browser spoke TLS.
    pub https: bool,
}

/// What the response must carry.
#[derive(Debug, Default)]
pub struct Committed {
    /// `Set-Cookie` lines that set or delete our cookie.
    pub set_cookie: Vec<HeaderValue>,
    /// Several living sessions were presented: the browser's cookies are in disorder.
    pub clear_cookies: bool,
}

impl Manager {
    /// Binds the rules of `session` to a store.
    #[must_use]
    pub fn new(
        session: &schema::Session,
        unknown_ids_per_minute: Option<u32>,
        keyring: impl Into<Arc<Keyring>>,
        store: Arc<dyn Store>,
        at_rest: AtRest,
    ) -> Self {
        let keyring = keyring.into();
        let cookie = SessionCookie::from_config(&session.cookie);
        let previous: Vec<_> = session.cookie.previous_names.iter().map(|name| cookie.renamed(name)).collect();
        let traveling = match &at_rest {
            AtRest::InCookies(denials) => Some(Traveling::new(session, &keyring, &cookie, Arc::clone(denials))),
            AtRest::Open | AtRest::Sealed => None,
        };
        let names = std::iter::once(&cookie).chain(&previous).map(|cookie| cookie.name());
        let pieces = names.clone().flat_map(traveling::names_of_pieces).filter(|_| traveling.is_some());
        Self {
            names: names.map(Box::from).chain(pieces.map(String::into_boxed_str)).collect(),
            store,
            at_rest,
            traveling,
            keyring,
            policy: Policy::from_config(session),
            cookie,
            previous,
            create: session.create,
            save_every_request: session.save_every_request,
            max_data_size: usize::try_from(session.max_data_size.bytes()).unwrap_or(usize::MAX),
            max_per_user: session.max_per_user.map(|most| (most as usize, session.on_limit)),
            guesses: Guesses::new(unknown_ids_per_minute),
            counters: Arc::default(),
            agents: Arc::default(),
            gates: Arc::new(std::array::from_fn(|_| tokio::sync::Mutex::default())),
            room: Arc::default(),
            severed: Arc::default(),
        }
    }

    /// The same sessions under other rules, and under other keys if there are any: what [`new`](Self::new) would make
    /// of them, but what was counted counts on, and who waits at a gate still waits for everybody.
    #[must_use]
    pub fn renewed(
        &self,
        session: &schema::Session,
        unknown_ids_per_minute: Option<u32>,
        keyring: Option<Keyring>,
    ) -> Self {
        let keyring = keyring.map_or_else(|| Arc::clone(&self.keyring), Arc::new);
        let guesses = Guesses::renewed(self.guesses.as_ref(), unknown_ids_per_minute);
        let next = Self::new(session, None, keyring, Arc::clone(&self.store), self.at_rest.clone());
        let traveling = next.traveling.map(|traveling| traveling.after(self.traveling.as_ref()));
        let (counters, agents, gates) = (Arc::clone(&self.counters), Arc::clone(&self.agents), Arc::clone(&self.gates));
        let (room, severed) = (Arc::clone(&self.room), Arc::clone(&self.severed));
        Self { guesses, traveling, counters, agents, gates, room, severed, ..next }
    }

    /// The session cookie's names, which no app gets to see; the present one first.
    #[must_use]
    pub fn cookie_names(&self) -> &[Box<str>] {
        &self.names
    }

    /// Whether browsers keep the cookie over TLS only.
    #[must_use]
    pub fn cookie_needs_https(&self) -> bool {
        self.cookie.needs_https()
    }

    /// Name of the cookie that tests whether the browser keeps ours.
    #[must_use]
    pub fn probe_name(&self) -> String {
        self.cookie.probe().name().to_owned()
    }

    /// Sets the test cookie.
    #[must_use]
    pub fn set_probe(&self, https: bool) -> Option<HeaderValue> {
        self.cookie.probe().set_word("kept", https)
    }

    /// Takes the test cookie away.
    #[must_use]
    pub fn delete_probe(&self, https: bool) -> Option<HeaderValue> {
        self.cookie.probe().delete(https)
    }

    /// Whether the client sent any cookie of our name, living or not.
    #[must_use]
    pub fn was_presented(&self, headers: &HeaderMap) -> bool {
        self.names.iter().any(|name| cookies::values(headers, name).next().is_some())
    }

    /// Whether "remember me" is offered on the sign-in page.
    #[must_use]
    pub fn offers_to_remember(&self) -> bool {
        self.policy.remembers()
    }

    /// Deletes all expired sessions, a batch at a time, so that others come in between; returns how many.
    ///
    /// # Errors
    /// When the store is unreachable.
    pub async fn clear_expired(&self, now: Timestamp) -> Result<usize, Error> {
        let mut deleted = 0;
        loop {
            let swept = self.sweep(now).await?;
            deleted += swept.iter().filter(|entry| !entry.meta.alias).count();
            if swept.len() < SWEEP_BATCH {
                return Ok(deleted);
            }
            tokio::task::yield_now().await;
        }
    }

    async fn sweep(&self, now: Timestamp) -> Result<Vec<Arc<Entry>>, Error> {
        if let Some(traveling) = &self.traveling {
            traveling.denials.saw(now);
        }
        let swept = self.store.sweep(now, SWEEP_BATCH).await?;
        for entry in swept.iter().filter(|entry| !entry.meta.alias) {
            self.forget_what_was_shortened(entry);
            self.note(Event::Expired, &entry.meta, None, "swept");
        }
        Ok(swept)
    }

    /// Whether the store can be reached.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn ping(&self) -> Result<(), Error> {
        if let Some(traveling) = &self.traveling {
            traveling.denials.ping()?;
        }
        Ok(self.store.ping().await?)
    }

    /// What has happened since the gateway started.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many sessions there are, with the expired ones not yet swept and the ways that lead to them.
    ///
    /// # Errors
    /// When the store is unreachable.
    pub async fn count(&self) -> Result<usize, Error> {
        Ok(self.store.count().await?)
    }

    fn note(&self, event: Event, meta: &Meta, address: Option<IpAddr>, reason: &'static str) {
        self.counters.count(event);
        event.log(meta, address, reason);
    }

    fn note_for(
        &self,
        event: Event,
        handle: Option<Handle>,
        user: Option<&str>,
        address: Option<IpAddr>,
        reason: &'static str,
    ) {
        self.counters.count(event);
        event.log_for(handle, user, address, reason);
    }

    /// A record as the store takes it. Written `now`, it may have been touched at this very moment too, so that a
    /// sweep must leave it as much time.
    fn entry(
        &self,
        id: &Id,
        meta: Meta,
        record: &Record,
        last_seen: Timestamp,
        now: Timestamp,
    ) -> Result<Entry, NoRandomness> {
        let deadline = self.policy.deadline(Times::of(record, last_seen.max(now)));
        let bytes = match &self.at_rest {
            AtRest::Open | AtRest::InCookies(_) => record.encode(),
            AtRest::Sealed => record.sealed(&SealKey::of(id, &Purpose::Record).ok_or(NoRandomness)?)?,
        };
        Ok(Entry::new(meta, bytes, last_seen, deadline))
    }

    /// What is kept under the key of an id, opened by it.
    async fn load(&self, key: Key, id: &Id) -> Result<Option<Arc<Entry>>, Error> {
        let entry = self.store.load(key).await?;
        if let Some(entry) = &entry {
            opened(entry, id);
        }
        Ok(entry)
    }

    /// The envelope of a new session.
    fn envelope(&self, id: &Id, record: &Record, visit: Visit<'_>) -> Meta {
        Meta {
            handle: self.keyring.handle(id),
            user: record.identity.as_ref().map(|identity| identity.user.clone()),
            created: visit.now,
            address: Some(visit.address),
            agent: visit.agent.and_then(|agent| agent.to_str().ok()).map(|agent| self.shared(agent)),
            alias: false,
        }
    }

    /// Most sessions name one of a few browsers: they share the text.
    fn shared(&self, agent: &str) -> Arc<str> {
        // `to_str` gave visible ASCII, so any byte is a boundary.
        let agent = &agent[..agent.len().min(LONGEST_AGENT)];
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = agents.get(agent) {
            return Arc::clone(known);
        }
        if agents.len() >= MOST_AGENTS {
            agents.retain(|agent| Arc::strong_count(agent) > 1);
        }
        let agent: Arc<str> = agent.into();
        if agents.len() < MOST_AGENTS {
            agents.insert(Arc::clone(&agent));
        }
        agent
    }

    /// The lines that give the browser `id`, for as long as its session can last.
    async fn give(&self, id: &Id, record: &Record, visit: Visit<'_>) -> Result<Option<Vec<HeaderValue>>, Error> {
        let left = self.policy.judge(Times::of(record, visit.now), visit.now).ok();
        let ends = visit.now.plus(left.as_ref().map_or(Duration::ZERO, |left| left.absolute));
        let left = left.map_or(Duration::ZERO, |left| match record.expiry {
            // The cookie is renewed whenever "last seen" is written.
            Expiry::Sliding(idle) => left.absolute.min(idle),
            _ => left.absolute,
        });
        let ends_with_the_browser = record.expiry == Expiry::Browser;
        let persistent = match () {
            () if ends_with_the_browser => Some(false),
            () if record.remember || record.expiry != Expiry::Policy => Some(true),
            () => None,
        };
        match &self.traveling {
            None => Ok(self.cookie.set(id, left, persistent, visit.https).map(|line| vec![line])),
            Some(traveling) => self.send_on(traveling, id, Lasting { left, persistent, ends }, visit).await,
        }
    }
}

#[cfg(test)]
mod interleave;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
