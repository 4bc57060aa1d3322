//! Holding on: what stays open beyond its request asks again and again whether its session still lives.
//!
//! Asked by `pipeline` for WebSockets and responses on their way. SECURITY: being looked at is no use of a session: it
//! prolongs nothing, settles no rotation, counts as no guess, and ends nothing in the store.

use std::net::IpAddr;

use super::super::changes::Change;
use super::super::expiry::Times;
use super::super::id::Id;
use super::super::record::{Open, Outline, Stored};
use super::super::session::{Session, stored_in};
use super::open::MOST_HOPS;
use super::{Error, Manager};
use crate::clock::Timestamp;
use crate::store::{Entry, Key};

/// The session of a signed-in user, held beyond the request that found it.
#[derive(Debug, Clone)]
pub struct Held {
    /// The newest id that is known: one that was replaced is forgotten one day.
    id: Id,
    key: Key,
    user: Box<str>,
    /// Whose: of what is open in one session, some may be a thief's.
    address: IpAddr,
}

/// What lies where a held session was last seen.
enum Look {
    Session(Outline),
    /// The id was replaced by this one.
    Moved(Id),
    Gone,
}

impl Held {
    /// What tells it from all others, until its id is replaced.
    #[must_use]
    pub fn mark(&self) -> (Key, IpAddr) {
        (self.key, self.address)
    }
}

impl Session {
    /// To be held on to by a browser at `address`; `None` when nobody is signed in.
    #[must_use]
    pub fn held(&self, address: IpAddr) -> Option<Held> {
        let found = self.found.as_ref()?;
        let user = found.record()?.identity.as_ref()?.user.clone();
        Some(Held { id: found.id.clone(), key: found.key, user, address })
    }

    /// Whether the request itself ends the session, or gives it to somebody: its own answer must not be cut for that.
    #[must_use]
    pub fn changes_hands(&self) -> bool {
        let record = self.found.as_ref().and_then(|found| found.record());
        self.changes.iter().any(|change| match change {
            Change::Flush | Change::SignIn { .. } | Change::RevokeOthers => true,
            Change::AppSignIn { .. } => !record.is_some_and(|record| change.is_idle(record)),
            _ => false,
        })
    }
}

impl Manager {
    /// Whether the session lives at `now`, and is still its user's. `active`: what is open in it was used since this
    /// was asked last, and that keeps it alive as a request would.
    ///
    /// # Errors
    /// When the store is unreachable: then nobody knows.
    pub async fn still_lives(&self, held: &mut Held, active: bool, now: Timestamp) -> Result<bool, Error> {
        let mut is_latest = false;
        for _ in 0..MOST_HOPS {
            let entry = match is_latest {
                false => self.store.load(held.key).await?,
                true => self.store.load_latest(held.key).await?,
            };
            let Some(entry) = entry else { return Ok(false) };
            match self.look(held, &entry) {
                Look::Gone => return Ok(false),
                Look::Moved(id) => (held.key, held.id, is_latest) = (id.key(), id, false),
                Look::Session(outline) => {
                    let times = Times::of_outline(&outline, entry.last_seen());
                    match self.policy.judge(times, now) {
                        Ok(_) => {
                            self.prolong(held, times, active, now).await;
                            return Ok(true);
                        }
                        // It may have been a copy: another gateway has seen the user since.
                        Err(_) if !is_latest => is_latest = true,
                        Err(_) => return Ok(false),
                    }
                }
            }
        }
        Ok(false)
    }

    fn look(&self, held: &Held, entry: &Entry) -> Look {
        let outline = match stored_in(entry) {
            Some(Stored::Session(record)) => record.outline(),
            // After a sign-in it leads nowhere: whoever opened this is not known to be who has signed in.
            Some(Stored::Alias(alias)) => {
                let way = alias.open(&held.id).or_else(|| self.severed.way(held.key, held.address));
                return way.map_or(Look::Gone, Look::Moved);
            }
            // PERF: sealed, and nobody has opened this copy; what is to be known stands open.
            None => match Open::decode(&entry.bytes()) {
                Some(Open::Session(outline)) => outline,
                _ => return Look::Gone,
            },
        };
        let is_theirs = entry.meta.user.as_deref() == Some(&*held.user);
        let is_denied = || {
            let traveling = self.traveling.as_ref();
            traveling.is_some_and(|traveling| traveling.denies(entry.meta.handle, &held.user, outline.issued))
        };
        if is_theirs && !is_denied() { Look::Session(outline) } else { Look::Gone }
    }

    /// A touch that is lost is made up for by the next.
    async fn prolong(&self, held: &Held, times: Times, active: bool, now: Timestamp) {
        if !active || !self.policy.touch_is_due(times, now) {
            return;
        }
        let deadline = self.policy.deadline(Times { last_seen: now, ..times });
        if let Err(error) = self.store.touch(held.key, now, deadline).await {
            tracing::warn!(%error, "last seen could not be written");
        }
    }
}

#[cfg(test)]
mod tests;
