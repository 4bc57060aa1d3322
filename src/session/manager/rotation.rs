//! Rotation: the browser gets a new id, and no parallel request loses its session over it.
//!
//! The new record is created first; then the old one becomes, by compare-and-swap, an alias that leads to it.
//! Of several requests that try at once one wins, and the others give the browser the winner's id.

use super::super::alias::Alias;
use super::super::changes::Change;
use super::super::id::Id;
use super::super::record::Record;
use super::super::session::{Hold, Session, Turn};
use super::commit::Live;
use super::{Error, Event, Manager, Visit};
use crate::clock::Timestamp;
use crate::store::{Entry, Meta, Updated};

/// Why the browser gets a new id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rotation {
    /// The old one is old enough, or it was asked for: parallel requests follow.
    Plain,
    /// Somebody signed in: who held the old one must not hold the new one. Where sessions per user are limited, with
    /// the turn in which there is room.
    SignIn(Option<Turn>),
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
            () if changes.iter().any(signs_in) => Some(Rotation::SignIn(session.turn)),
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
            Rotation::SignIn(_) => visit.now,
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
            Rotation::SignIn(_) | Rotation::Severed => {
                record.predecessor = None;
                // A token from before the sign-in must not work after it.
                record.csrf = Record::new(visit.now)?.csrf;
                if let Rotation::SignIn(turn) = rotation {
                    // Of the two that the user's list has for a moment, one counts.
                    record.predecessor = turn.filter(|_| meta.user == old.user).map(|_| live.key.0);
                    meta = self.envelope(&id, &record, visit);
                }
                Alias::signed_in(&live.id, &id, visit.now, &before.csrf)?
            }
        };
        let signs_in = matches!(rotation, Rotation::SignIn(_));
        let last_seen = if signs_in { visit.now } else { last_seen };
        let successor = self.entry(&id, meta.clone(), &record, last_seen, live.entry.last_seen())?;
        let deadline = match rotation {
            Rotation::Plain => successor.deadline(),
            // Beyond the grace it leads nowhere, but a slow request that has found the session before may end it yet.
            Rotation::SignIn(_) | Rotation::Severed => self.policy.end_of_watch(visit.now),
        };
        let alias = Entry::new(Meta { alias: true, user: None, ..old.clone() }, alias.encode(), visit.now, deadline);
        self.store.create(id.key(), successor).await?;
        if rotation == Rotation::Severed {
            // Before anybody who watches over it can see that the old one is no more.
            self.severed.lead(live.key, &id, visit.address, visit.now);
        }
        if let Rotation::SignIn(turn) = rotation {
            self.count_in(turn, id.key(), visit.now).await?;
        }
        match self.store.update(live.key, live.entry.version(), alias).await? {
            Updated::Done => {
                if signs_in {
                    self.forget_before_sign_in(old, before);
                }
                let event = if signs_in { Event::SignedIn } else { Event::Rotated };
                self.note(event, &meta, Some(visit.address), "");
                Ok(Replaced::By(id, Box::new(record)))
            }
            Updated::Conflict | Updated::Absent => {
                self.store.delete(id.key()).await?;
                self.severed.forget(live.key);
                match rotation {
                    // Its turn is over, and the sessions were counted while this one was another.
                    Rotation::SignIn(Some(_)) => Err(Error::Outrun),
                    _ => Ok(Replaced::Beaten),
                }
            }
        }
    }
}
