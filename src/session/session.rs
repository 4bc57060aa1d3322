//! One request's hold on its session: what was found, and what is to be changed.
//!
//! Made by `manager::open`, given back to `manager::commit`. Owned by the request, so it needs no lock.

use std::sync::Arc;
use std::time::Duration;

use super::changes::Change;
use super::expiry::Remaining;
use super::id::NoRandomness;
use super::record::Record;
use crate::clock::Timestamp;
use crate::identity::Identity;
use crate::store::{Entry, Handle, Key};

/// A request's session, perhaps none yet.
#[derive(Debug, Default)]
pub struct Session {
    pub(super) found: Option<Found>,
    /// What `found` was before its account was found gone.
    pub(super) revoked: Option<Found>,
    /// A session that begins with this request.
    pub(super) fresh: Option<Box<Record>>,
    pub(super) changes: Vec<Change>,
    /// The client sent cookies of several living sessions: none is used, all are cleared.
    pub(super) contradictory: bool,
    pub(super) activity: bool,
}

/// A living session from the store.
#[derive(Debug)]
pub(super) struct Found {
    pub key: Key,
    pub entry: Arc<Entry>,
    pub remaining: Remaining,
}

impl Found {
    pub(super) fn record(&self) -> Option<&Record> {
        self.entry.decoded(Record::decode)?.as_ref()
    }
}

impl Session {
    /// The signed-in user.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.record()?.identity.as_ref()
    }

    /// The session's name in logs and lists.
    #[must_use]
    pub fn handle(&self) -> Option<Handle> {
        self.found.as_ref().map(|found| found.entry.meta.handle)
    }

    /// When it began.
    #[must_use]
    pub fn created(&self) -> Option<Timestamp> {
        self.found.as_ref().map(|found| found.entry.meta.created)
    }

    /// What is left of it: until the idle timeout, and until the absolute one.
    #[must_use]
    pub fn remaining(&self) -> Option<(Option<Duration>, Duration)> {
        self.found.as_ref().map(|found| (found.remaining.idle, found.remaining.absolute))
    }

    /// The secret behind form tokens, if there is a session.
    #[must_use]
    pub fn csrf(&self) -> Option<&[u8; 32]> {
        self.record().map(|record| &record.csrf)
    }

    /// The secret behind form tokens; begins a session if there is none.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn csrf_or_begin(&mut self, now: Timestamp) -> Result<[u8; 32], NoRandomness> {
        if let Some(secret) = self.csrf() {
            return Ok(*secret);
        }
        let record = Record::new(now)?;
        let secret = record.csrf;
        self.fresh = Some(Box::new(record));
        self.changes.push(Change::Begin);
        Ok(secret)
    }

    /// Signs the session in: from the commit on it has a new id.
    pub fn sign_in(&mut self, identity: Identity) {
        self.changes.push(Change::SignIn { identity: Box::new(identity), remember: false });
    }

    /// Ends the session.
    pub fn end(&mut self) {
        self.changes.push(Change::Flush);
    }

    /// Ends the session because its account is gone: from here on the request is anonymous.
    pub fn revoke(&mut self) {
        self.revoked = self.found.take();
    }

    /// This request does not keep the session alive.
    pub fn not_an_activity(&mut self) {
        self.activity = false;
    }

    /// Whether a new session may come of this request: one was begun, or one of our own pages may begin it.
    #[must_use]
    pub fn will_change(&self) -> bool {
        !self.changes.is_empty() || self.found.is_none()
    }

    fn record(&self) -> Option<&Record> {
        self.fresh.as_deref().or_else(|| self.found.as_ref()?.record())
    }
}
