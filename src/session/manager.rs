//! Opens, commits and revokes sessions: the only caller of a store.
//!
//! `pipeline` opens before it asks who somebody is and commits before the response head leaves. Rules
//! about expiry, ids, rotation and cookies meet here; each stands in its own file.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue};

use super::changes::Change;
use super::cookie::SessionCookie;
use super::expiry::{Expired, Policy, Times};
use super::id::{Id, NoRandomness};
use super::keyring::Keyring;
use super::recall::Recall;
use super::record::Record;
use super::session::{Found, Session};
use crate::clock::Timestamp;
use crate::config::schema;
use crate::http::cookies;
use crate::store::{self, Entry, Meta, Store};

/// A client may send a handful of cookies of our name (sibling domains, other paths); more are not looked up.
const MOST_COOKIES: usize = 4;

/// How much of a `User-Agent` is kept.
const LONGEST_AGENT: usize = 200;

/// All sessions of the gateway.
pub struct Manager {
    store: Arc<dyn Store>,
    keyring: Keyring,
    policy: Policy,
    cookie: SessionCookie,
    create: schema::Create,
}

/// Why a session could not be opened or committed. The gateway or its store is at fault.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// See [`NoRandomness`].
    #[error(transparent)]
    Random(#[from] NoRandomness),
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
    /// A `Set-Cookie` line that sets or deletes our cookie.
    pub set_cookie: Option<HeaderValue>,
    /// Several living sessions were presented: the browser's cookies are in disorder.
    pub clear_cookies: bool,
}

impl Manager {
    /// Binds the rules of `session` to a store.
    #[must_use]
    pub fn new(session: &schema::Session, keyring: Keyring, store: Arc<dyn Store>) -> Self {
        Self {
            store,
            keyring,
            policy: Policy::from_config(session),
            cookie: SessionCookie::from_config(&session.cookie),
            create: session.create,
        }
    }

    /// The session cookie's name, which no app gets to see.
    #[must_use]
    pub fn cookie_name(&self) -> &str {
        self.cookie.name()
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
        cookies::values(headers, self.cookie.name()).next().is_some()
    }

    /// Finds the living session that the client's cookie names.
    ///
    /// # Errors
    /// When the store is unreachable; an unknown, expired or malformed id is no error but no session.
    pub async fn open(&self, headers: &HeaderMap, recall: &Recall, now: Timestamp) -> Result<Session, Error> {
        let mut session = Session { activity: true, ..Session::default() };
        for value in cookies::values(headers, self.cookie.name()).take(MOST_COOKIES) {
            // SECURITY: a malformed id costs no look-up, and an unknown one is never adopted.
            let Some(key) = recall.key(value) else { continue };
            match (self.load(key, now).await?, &session.found) {
                (Some(found), Some(other)) if found.key != other.key => session.contradictory = true,
                (Some(found), _) => session.found = Some(found),
                (None, _) => {}
            }
        }
        if session.contradictory {
            // SECURITY: one of them was planted, and we cannot know which (RFC 6265bis §8.6).
            tracing::warn!(event = "contradictory_cookies", "several living sessions in one request: none is used");
            session.found = None;
        }
        if session.found.is_none() && self.create == schema::Create::Always {
            session.csrf_or_begin(now)?;
        }
        Ok(session)
    }

    /// Applies what the request recorded, before its response head leaves.
    ///
    /// # Errors
    /// When the store is unreachable or full: nothing has been promised to the browser then.
    pub async fn commit(&self, session: Session, visit: Visit<'_>) -> Result<Committed, Error> {
        if let Some(revoked) = &session.revoked {
            self.delete(revoked, "revoked", visit).await?;
        }
        if session.changes.is_empty() {
            self.touch(&session, visit.now).await;
            let dead = session.contradictory || session.revoked.is_some();
            let set_cookie = dead.then(|| self.cookie.delete(visit.https)).flatten();
            return Ok(Committed { set_cookie, clear_cookies: session.contradictory });
        }
        let set_cookie = match session.changes.contains(&Change::Flush) {
            true => self.end(&session, visit).await?,
            false => self.write(&session, visit).await?,
        };
        Ok(Committed { set_cookie, clear_cookies: session.contradictory })
    }

    /// Ends every session of a user; returns how many there were.
    ///
    /// # Errors
    /// When the store is unreachable.
    pub async fn revoke_user(&self, user: &str) -> Result<usize, Error> {
        let sessions = self.store.list_by_user(user).await?;
        let mut ended = 0;
        for (key, entry) in sessions {
            if self.store.delete(key).await? {
                tracing::info!(event = "revoked", user, handle = %entry.meta.handle, "session revoked");
                ended += 1;
            }
        }
        Ok(ended)
    }

    /// Deletes up to `limit` expired sessions; returns how many.
    ///
    /// # Errors
    /// When the store is unreachable.
    pub async fn sweep(&self, now: Timestamp, limit: usize) -> Result<usize, Error> {
        Ok(self.store.sweep(now, limit).await?)
    }

    /// Whether the store can be reached.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn ping(&self) -> Result<(), Error> {
        Ok(self.store.ping().await?)
    }

    async fn load(&self, key: store::Key, now: Timestamp) -> Result<Option<Found>, Error> {
        let Some(entry) = self.store.load(key).await? else { return Ok(None) };
        let Some(Some(record)) = entry.decoded(Record::decode) else {
            tracing::warn!(event = "undecodable", handle = %entry.meta.handle, "a stored session cannot be read");
            return Ok(None);
        };
        let times = Times { since: record.since, last_seen: entry.last_seen() };
        match self.policy.judge(times, now) {
            Ok(remaining) => Ok(Some(Found { key, entry, remaining })),
            Err(reason) => {
                self.expire(key, &entry, reason).await;
                Ok(None)
            }
        }
    }

    /// Deletes what has expired, so that no later clock can revive it.
    async fn expire(&self, key: store::Key, entry: &Entry, reason: Expired) {
        let user = entry.meta.user.as_deref();
        tracing::info!(event = "expired", ?reason, user, handle = %entry.meta.handle, "session expired");
        if let Err(error) = self.store.delete(key).await {
            tracing::warn!(%error, "an expired session could not be deleted");
        }
    }

    async fn touch(&self, session: &Session, now: Timestamp) {
        let Some(found) = session.found.as_ref().filter(|_| session.activity) else { return };
        if !self.policy.touch_is_due(found.entry.last_seen(), now) {
            return;
        }
        let Some(record) = found.record() else { return };
        let deadline = self.policy.deadline(Times { since: record.since, last_seen: now });
        // A touch that is lost shortens the session by `touch_interval` at most.
        if let Err(error) = self.store.touch(found.key, now, deadline).await {
            tracing::warn!(%error, "last seen could not be written");
        }
    }

    async fn end(&self, session: &Session, visit: Visit<'_>) -> Result<Option<HeaderValue>, Error> {
        if let Some(found) = &session.found {
            self.delete(found, "signed_out", visit).await?;
        }
        Ok(self.cookie.delete(visit.https))
    }

    async fn delete(&self, found: &Found, event: &'static str, visit: Visit<'_>) -> Result<(), Error> {
        self.store.delete(found.key).await?;
        let meta = &found.entry.meta;
        tracing::info!(event, user = meta.user.as_deref(), address = %visit.address, handle = %meta.handle, "session ended");
        Ok(())
    }

    /// Creates the session under a new id; the one it replaces is deleted afterwards, never before.
    async fn write(&self, session: &Session, visit: Visit<'_>) -> Result<Option<HeaderValue>, Error> {
        let mut record = match (&session.fresh, session.found.as_ref().and_then(Found::record)) {
            (Some(fresh), _) => Record::clone(fresh),
            (None, Some(found)) => found.clone(),
            (None, None) => Record::new(visit.now)?,
        };
        for change in &session.changes {
            change.apply(&mut record, visit.now);
        }
        if session.changes.iter().any(Change::rotates) {
            // A token from before the sign-in must not work after it.
            record.csrf = Record::new(visit.now)?.csrf;
        }
        let id = self.create(&record, visit).await?;
        if let Some(old) = &session.found {
            self.store.delete(old.key).await?;
        }
        let times = Times { since: record.since, last_seen: visit.now };
        let left = self.policy.judge(times, visit.now).map(|remaining| remaining.absolute).unwrap_or_default();
        Ok(self.cookie.set(&id, left, visit.https))
    }

    async fn create(&self, record: &Record, visit: Visit<'_>) -> Result<Id, Error> {
        loop {
            let id = Id::generate()?;
            let meta = self.envelope(&id, record, visit);
            let (handle, user) = (meta.handle, meta.user.clone());
            if self.store.create(id.key(), Entry::new(meta, record.encode(), visit.now)).await? {
                let event = if user.is_some() { "signed_in" } else { "created" };
                tracing::info!(event, user = user.as_deref(), address = %visit.address, %handle, "session {event}");
                return Ok(id);
            }
        }
    }

    fn envelope(&self, id: &Id, record: &Record, visit: Visit<'_>) -> Meta {
        let agent = visit.agent.and_then(|agent| agent.to_str().ok());
        Meta {
            handle: self.keyring.handle(id),
            user: record.identity.as_ref().map(|identity| identity.user.clone()),
            created: visit.now,
            deadline: self.policy.deadline(Times { since: record.since, last_seen: visit.now }),
            address: Some(visit.address),
            // `to_str` gave visible ASCII, so any byte is a boundary.
            agent: agent.map(|agent| agent[..agent.len().min(LONGEST_AGENT)].into()),
        }
    }
}

#[cfg(test)]
mod tests;
