//! Rotation: the browser gets a new id, and no parallel request loses its session over it.
//!
//! The new record is created first; then the old one becomes, by compare-and-swap, an alias that leads to it.
//! Of several requests that try at once one wins, and the others give the browser the winner's id.

use std::sync::Arc;

use super::super::alias::Alias;
use super::super::changes::Change;
use super::super::expiry::Times;
use super::super::id::Id;
use super::super::record::{Open, Record};
use super::super::session::{Hold, Session};
use super::commit::Live;
use super::{Error, Event, GATES, Manager, Visit};
use crate::clock::Timestamp;
use crate::config::schema::OnLimit;
use crate::store::{Entry, Key, Meta, Updated};

/// Why the browser gets a new id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rotation {
    /// The old one is old enough, or it was asked for: parallel requests follow.
    Plain,
    /// Somebody signed in: who held the old one must not hold the new one.
    SignIn,
    /// The user's other sessions end: the same, and it is still this session.
    Severed,
}

/// What became of it.
pub(super) enum Replaced {
    /// The session lives on under this id.
    By(Id, Box<Record>),
    /// Somebody else wrote first.
    Beaten,
}

impl Manager {
    pub(super) fn rotation_is_due(&self, record: &Record, now: Timestamp) -> bool {
        // Not before the browser has used the last one.
        record.predecessor.is_none() && self.policy.rotation_is_due(record.issued, now)
    }

    /// Whether these changes, or the time, call for a new id.
    pub(super) fn rotation(
        &self,
        live: &Live,
        before: &Record,
        after: &Record,
        session: &Session,
        now: Timestamp,
    ) -> Option<Rotation> {
        let changes = &session.changes;
        let signs_in = |change: &Change| match change {
            Change::SignIn { .. } => true,
            // The app may name the user with each of its responses.
            Change::AppSignIn { .. } => before.identity != after.identity,
            _ => false,
        };
        match () {
            () if changes.iter().any(signs_in) => Some(Rotation::SignIn),
            () if changes.contains(&Change::RevokeOthers) => Some(Rotation::Severed),
            // Since the browser was given the id it came with, it has been replaced: that is the rotation asked for.
            () if live.hold != Hold::Own => None,
            () if changes.contains(&Change::Rotate) => Some(Rotation::Plain),
            () if session.may_rotate && self.rotation_is_due(before, now) => Some(Rotation::Plain),
            () => None,
        }
    }

    pub(super) async fn replace(
        &self,
        live: &Live,
        before: &Record,
        after: Record,
        rotation: Rotation,
        last_seen: Timestamp,
        visit: Visit<'_>,
    ) -> Result<Replaced, Error> {
        let id = Id::generate()?;
        let after_the_last = match rotation {
            Rotation::SignIn => visit.now,
            // The ids of one session are told apart by when they were given out.
            Rotation::Plain | Rotation::Severed => visit.now.max(Timestamp(before.issued.0.saturating_add(1))),
        };
        let issued = self.issue(&after, after_the_last);
        let mut record = Record { issued, ..after };
        let old = &live.entry.meta;
        let mut meta = Meta { user: record.identity.as_ref().map(|identity| identity.user.clone()), ..old.clone() };
        let alias = match rotation {
            Rotation::Plain => {
                record.predecessor = Some(live.key.0);
                Alias::rotated(&live.id, &id, before.predecessor)?
            }
            Rotation::SignIn | Rotation::Severed => {
                record.predecessor = None;
                // A token from before the sign-in must not work after it.
                record.csrf = Record::new(visit.now)?.csrf;
                if rotation == Rotation::SignIn {
                    meta = self.envelope(&id, &record, visit);
                }
                Alias::signed_in(&live.id, &id, visit.now, &before.csrf)?
            }
        };
        let last_seen = if rotation == Rotation::SignIn { visit.now } else { last_seen };
        let successor = self.entry(&id, meta.clone(), &record, last_seen, live.entry.last_seen())?;
        let deadline = match rotation {
            Rotation::Plain => successor.deadline(),
            // Beyond the grace it leads nowhere, but a slow request that has found the session before may end it yet.
            Rotation::SignIn | Rotation::Severed => self.policy.end_of_watch(visit.now),
        };
        let alias = Entry::new(Meta { alias: true, user: None, ..old.clone() }, alias.encode(), visit.now, deadline);
        self.store.create(id.key(), successor).await?;
        match self.store.update(live.key, live.entry.version(), alias).await? {
            Updated::Done => {
                if rotation == Rotation::SignIn {
                    self.forget_before_sign_in(old, before);
                }
                let event = if rotation == Rotation::SignIn { Event::SignedIn } else { Event::Rotated };
                self.note(event, &meta, Some(visit.address), "");
                Ok(Replaced::By(id, Box::new(record)))
            }
            Updated::Conflict | Updated::Absent => {
                self.store.delete(id.key()).await?;
                Ok(Replaced::Beaten)
            }
        }
    }

    /// Makes room for one more session of the user who signs in, where their number is limited. What it returns must
    /// be held until the session is written.
    pub(super) async fn admit(
        &self,
        session: &Session,
        visit: Visit<'_>,
    ) -> Result<Option<tokio::sync::MutexGuard<'_, ()>>, Error> {
        let Some((most, on_limit)) = self.max_per_user else { return Ok(None) };
        let Some(user) = session.changes.iter().rev().find_map(Change::user) else { return Ok(None) };
        let gate = self.gates[self.gate_of(user)].lock().await;
        let mut others = self.other_sessions(session, user, visit.now).await?;
        if others.len() >= most && on_limit == OnLimit::Deny {
            let handle = session.handle();
            self.note_for(Event::Refused, handle, Some(user), Some(visit.address), "session.max_per_user");
            return Err(Error::TooManySessions);
        }
        others.sort_by_key(|(_, entry)| entry.last_seen());
        let surplus = (others.len() + 1).saturating_sub(most);
        for (key, _) in others.into_iter().take(surplus) {
            self.end_at(key, Event::Revoked, None, "session.max_per_user").await?;
        }
        Ok(Some(gate))
    }

    /// The user's living sessions besides the one of this request; one that is being rotated counts once.
    async fn other_sessions(
        &self,
        session: &Session,
        user: &str,
        now: Timestamp,
    ) -> Result<Vec<(Key, Arc<Entry>)>, Error> {
        let own = session.found.as_ref().map(|found| found.key);
        let listed = self.store.list_by_user(user).await?;
        let known: Vec<_> = listed.iter().map(|(key, _)| *key).chain(own).collect();
        let counts = |(key, entry): &(Key, Arc<Entry>)| {
            let Some(Open::Session(outline)) = Open::decode(&entry.bytes()) else { return false };
            let is_a_successor = outline.predecessor.is_some_and(|before| known.contains(&Key(before)));
            let lives = self.policy.judge(Times::of_outline(&outline, entry.last_seen()), now).is_ok();
            Some(*key) != own && !is_a_successor && lives
        };
        Ok(listed.into_iter().filter(counts).collect())
    }

    fn gate_of(&self, user: &str) -> usize {
        user.bytes().fold(0_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(byte))) % GATES
    }
}
