//! The limit of sessions per user, also where several gateways share the store.
//!
//! Called by `commit` before it writes a sign-in, and by `rotation` and `beginnings` as soon as its session is there
//! and nobody has its id yet. Each user has a counter in the store, and of it only the version counts. A sign-in reads
//! it, then lists the user's sessions, makes room or is refused, creates its session, and moves the counter on by
//! compare-and-swap. Whoever moved it before had created their session before: so as long as it has not moved, none
//! was missing from the list. When it has, what was created is deleted again and the sign-in starts over.

use std::collections::HashSet;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use tokio::sync::MutexGuard;

use super::super::changes::Change;
use super::super::expiry::Times;
use super::super::record::{Open, Outline};
use super::super::session::{Session, Turn};
use super::{Error, Event, GATES, Manager, Visit};
use crate::clock::Timestamp;
use crate::config::schema::OnLimit;
use crate::store::{Entry, Handle, Key, Meta, Updated};

const REASON: &str = "session.max_per_user";

impl Manager {
    /// Lets the sign-ins of one user at this gateway pass one by one, where their sessions are limited.
    ///
    /// PERF: what holds between gateways would hold among these too, but of many at once all but one would start over,
    /// again and again.
    pub(super) async fn wait_in_line(&self, session: &Session) -> Option<MutexGuard<'_, ()>> {
        let user = session.signs_in().filter(|_| self.max_per_user.is_some())?;
        Some(self.gates[gate_of(user)].lock().await)
    }

    /// Makes room for one more session of the user who signs in, where their number is limited: nothing of the
    /// sign-in is written yet.
    pub(super) async fn admit(&self, session: &Session, visit: Visit<'_>) -> Result<Option<Turn>, Error> {
        let (Some((most, on_limit)), Some(user)) = (self.max_per_user, session.signs_in()) else { return Ok(None) };
        // Before the list: a sign-in that is not on it has not moved the counter.
        let turn = self.turn_of(user, visit.now).await?;
        let others = self.other_sessions(session, user, visit.now).await?;
        if others.len() >= most && on_limit == OnLimit::Deny {
            self.note_for(Event::Refused, session.handle(), Some(user), Some(visit.address), REASON);
            return Err(Error::TooManySessions);
        }
        let surplus = (others.len() + 1).saturating_sub(most);
        for key in others.into_iter().take(surplus) {
            self.end_at(key, Event::Revoked, None, REASON).await?;
        }
        Ok(Some(turn))
    }

    /// Counts the session under `key`, whose id nobody has, among those of its user. When another sign-in came first
    /// it is deleted again.
    ///
    /// # Errors
    /// [`Error::Outrun`]: the sign-in has to start over.
    pub(super) async fn count_in(&self, turn: Option<Turn>, key: Key, now: Timestamp) -> Result<(), Error> {
        let Some(Turn { counter, seen }) = turn else { return Ok(()) };
        let counted = self.store.update(counter, seen, self.counter(now)).await;
        if matches!(counted, Ok(Updated::Done)) {
            return Ok(());
        }
        // Also when there was no answer: whose id nobody will ever have must not take somebody's place.
        let deleted = self.store.delete(key).await;
        counted?;
        deleted?;
        Err(Error::Outrun)
    }

    async fn turn_of(&self, user: &str, now: Timestamp) -> Result<Turn, Error> {
        let counter = counter_of(user);
        if let Some(entry) = self.store.load_latest(counter).await? {
            return Ok(Turn { counter, seen: entry.version() });
        }
        // Whoever creates it, it begins with the same version.
        let first = self.counter(now);
        let seen = first.version();
        self.store.create(counter, first).await?;
        Ok(Turn { counter, seen })
    }

    /// Swept when nobody has signed in for long: all that it says concerns sign-ins under way.
    fn counter(&self, now: Timestamp) -> Entry {
        let meta = Meta { handle: Handle([0; 8]), user: None, created: now, address: None, agent: None, alias: true };
        Entry::new(meta, Box::default(), now, self.policy.end_of_watch(now))
    }

    /// The user's living sessions besides the one of this request, the one that rested longest first.
    async fn other_sessions(&self, session: &Session, user: &str, now: Timestamp) -> Result<Vec<Key>, Error> {
        let own = session.handle();
        let mut living: Vec<(Key, Arc<Entry>, Outline)> = Vec::new();
        for (key, entry) in self.store.list_by_user(user).await? {
            let Some(Open::Session(outline)) = Open::decode(&entry.bytes()) else { continue };
            if self.policy.judge(Times::of_outline(&outline, entry.last_seen()), now).is_ok() {
                living.push((key, entry, outline));
            }
        }
        living.sort_by_key(|(_, entry, _)| (entry.last_seen(), entry.meta.created));
        // While it is given a new id, a session stands there under both. The handle stays the same, except at sign-in.
        let keys: HashSet<Key> = living.iter().map(|(key, ..)| *key).collect();
        let mut handles: HashSet<Handle> = own.into_iter().collect();
        let counts = |(key, entry, outline): (Key, Arc<Entry>, Outline)| {
            let is_a_successor = outline.predecessor.is_some_and(|before| keys.contains(&Key(before)));
            (!is_a_successor && handles.insert(entry.meta.handle)).then_some(key)
        };
        Ok(living.into_iter().filter_map(counts).collect())
    }
}

impl Session {
    /// Whom the request signs in.
    fn signs_in(&self) -> Option<&str> {
        self.changes.iter().rev().find_map(Change::user)
    }
}

/// Where the counter of a user is. No id has this key: there is no zero byte in one.
fn counter_of(user: &str) -> Key {
    let mut key = [0; 32];
    key.copy_from_slice(digest(&SHA256, &[b"sign-ins\0", user.as_bytes()].concat()).as_ref());
    Key(key)
}

fn gate_of(user: &str) -> usize {
    user.bytes().fold(0_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(byte))) % GATES
}
