//! Endings: signed out, expired, revoked, stolen. What has ended is deleted, with every way that leads to it.

use std::net::IpAddr;

use super::super::record::Open;
use super::super::session::Found;
use super::open::MOST_HOPS;
use super::{Error, Event, Manager};
use crate::store::Key;

impl Manager {
    /// Ends every session of a user; returns how many there were.
    ///
    /// # Errors
    /// When the store is unreachable.
    pub async fn revoke_user(&self, user: &str) -> Result<usize, Error> {
        self.revoke_all_but(None, user, "account removed, disabled or changed").await
    }

    /// Ends the sessions of a user, except the one under `kept`.
    pub(super) async fn revoke_all_but(
        &self,
        kept: Option<Key>,
        user: &str,
        reason: &'static str,
    ) -> Result<usize, Error> {
        // First, so that those below need not be written down one by one.
        self.deny_user(kept, user).await?;
        let mut ended = 0;
        for (key, _) in self.store.list_by_user(user).await? {
            if Some(key) != kept && self.end_at(key, Event::Revoked, None, reason).await? {
                ended += 1;
            }
        }
        Ok(ended)
    }

    /// Ends the session that a request has found.
    pub(super) async fn end(
        &self,
        found: &Found,
        event: Event,
        address: IpAddr,
        reason: &'static str,
    ) -> Result<(), Error> {
        self.end_at(found.key, event, Some(address), reason).await?;
        for via in &found.via {
            self.store.delete(*via).await?;
        }
        Ok(())
    }

    /// A replaced id was used after its grace: whoever holds the living one may be the thief, so nobody keeps it.
    pub(super) async fn end_stolen(&self, replaced: Key, successor: Key, address: IpAddr) -> Result<(), Error> {
        self.store.delete(replaced).await?;
        self.end_at(successor, Event::TheftSuspected, Some(address), "a replaced id was used after its grace").await?;
        Ok(())
    }

    /// Deletes what has expired, so that no later clock can revive it.
    pub(super) async fn end_expired(&self, key: Key, address: IpAddr) {
        if let Err(error) = self.end_at(key, Event::Expired, Some(address), "presented").await {
            tracing::warn!(%error, "an expired session could not be deleted");
        }
    }

    /// Ends the session under `key`, wherever another request has moved it meanwhile; `false` when it was gone.
    ///
    /// SECURITY: what the store says it deleted decides, not what was read before: a rotation in between must
    /// not let the session live on under its new id.
    pub(super) async fn end_at(
        &self,
        mut key: Key,
        event: Event,
        address: Option<IpAddr>,
        reason: &'static str,
    ) -> Result<bool, Error> {
        // No bound is needed: each turn deletes what a rotation has made.
        loop {
            let Some(gone) = self.store.delete(key).await? else { return Ok(false) };
            let open = Open::decode(&gone.bytes());
            match &open {
                Some(Open::Alias(alias)) if alias.is_of_sign_in() && !event.reaches_beyond_a_sign_in() => {
                    return Ok(false);
                }
                Some(Open::Alias(alias)) => key = Key(alias.successor),
                Some(Open::Session(_)) | None => {
                    let before = open.as_ref().and_then(Open::predecessor);
                    self.forget_predecessors(key, before).await?;
                    self.note(event, &gone.meta, address, reason);
                    self.deny(&gone, event).await?;
                    return Ok(true);
                }
            }
        }
    }

    /// Deletes the ways that lead to what has ended. A rotation that was beaten has left none: what stands in its
    /// place is somebody else's.
    async fn forget_predecessors(&self, ended: Key, predecessor: Option<[u8; 32]>) -> Result<(), Error> {
        let (mut successor, mut next) = (ended, predecessor);
        for _ in 0..MOST_HOPS {
            let Some(key) = next.take().map(Key) else { break };
            let Some(entry) = self.store.load(key).await? else { break };
            match Open::decode(&entry.bytes()) {
                Some(Open::Alias(alias)) if alias.successor == successor.0 => {
                    self.store.delete(key).await?;
                    (successor, next) = (key, alias.predecessor);
                }
                _ => break,
            }
        }
        Ok(())
    }
}
