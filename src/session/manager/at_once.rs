//! Changes that cannot wait for the commit: requests in parallel must see what one of them has done.
//!
//! Called by `pipeline` around a sign-on to an app. SECURITY: like the commit, nothing here writes under a key that does
//! not hold the session any more, and a sign-in ends the way.

use super::super::changes::Change;
use super::super::credentials::{SealedCredentials, Typed};
use super::super::id::NoRandomness;
use super::super::session::{Found, Hold, Session, record_of};
use super::commit::{Live, Reloaded};
use super::open::MOST_TRIES;
use super::{Error, Manager};
use crate::identity::Identity;
use crate::store::Updated;

impl Manager {
    /// Reads the session as others have left it; `false` when it is there no more, or is somebody else's.
    ///
    /// # Errors
    /// When the store is unreachable.
    pub async fn refresh(&self, session: &mut Session) -> Result<bool, Error> {
        let Some(found) = &mut session.found else { return Ok(false) };
        let Reloaded::Live(live) = self.reload(&Live::from(&*found)).await? else { return Ok(false) };
        let user =
            |found: &Found| found.record().and_then(|record| record.identity.as_ref().map(|one| one.user.clone()));
        let before = user(found);
        found.follow(live);
        Ok(user(found) == before)
    }

    /// Applies `changes` to what is kept, now; `false` when the session is there no more.
    ///
    /// # Errors
    /// When the store is unreachable.
    pub async fn apply_now(&self, session: &mut Session, changes: &[Change]) -> Result<bool, Error> {
        for _ in 0..MOST_TRIES {
            let now = session.opened;
            let Some(found) = &session.found else { return Ok(false) };
            let Some(record) = found.record() else { return Ok(false) };
            let mut after = record.clone();
            changes.iter().for_each(|change| change.apply(&mut after, now));
            let entry = self.entry(&found.id, found.entry.meta.clone(), &after, found.entry.last_seen(), now)?;
            let updated = self.store.update(found.key, found.entry.version(), entry).await?;
            let is_there = self.refresh(session).await?;
            if updated == Updated::Done || !is_there {
                return Ok(is_there);
            }
        }
        Ok(false)
    }

    /// What `identity` has just typed, as a session keeps it.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn seal_typed(&self, identity: &Identity, typed: &Typed) -> Result<SealedCredentials, NoRandomness> {
        SealedCredentials::seal(self.keyring.credentials(), identity, typed)
    }

    /// What the session's user has typed, if it is kept.
    #[must_use]
    pub fn typed(&self, session: &Session) -> Option<Typed> {
        session.credentials()?.open(self.keyring.credentials(), session.identity()?)
    }
}

impl Found {
    /// Takes up what has become of the session.
    fn follow(&mut self, live: Live) {
        if record_of(&live.entry).is_none() {
            return;
        }
        if live.key != self.key {
            self.via.push(self.key);
            self.offer = live.hold == Hold::Offered;
        }
        (self.id, self.key, self.entry) = (live.id, live.key, live.entry);
    }
}
