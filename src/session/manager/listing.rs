//! What operators ask: which sessions there are, which one this is, and its end.
//!
//! Called by `admin`, from the control runtime. Lists are made from envelopes alone, so that no record need be opened;
//! a session is opened only for who presents its id. Ids and store keys never leave here.

use std::net::IpAddr;
use std::sync::Arc;

use super::super::changes::Expiry;
use super::super::data::Map;
use super::super::expiry::Times;
use super::super::id::Id;
use super::super::record::{Record, Stored};
use super::super::session::opened;
use super::open::MOST_HOPS;
use super::{Error, Event, Manager};
use crate::clock::Timestamp;
use crate::identity::Identity;
use crate::store::{Cursor, Entry, Handle, Key};

/// Why, in the log.
const REASON: &str = "by an operator";

/// So many entries are looked at before others get a turn.
const STRETCH: usize = 1000;

/// So often is the store asked for one listing: a stretch without a living session must not hold everything up.
const MOST_PAGES: usize = 64;

/// A living session, as its envelope shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its public name.
    pub handle: Handle,
    /// Canonical name of the signed-in user.
    pub user: Option<Box<str>>,
    /// When it began.
    pub created: Timestamp,
    /// The last request that counted as activity, as far as it was written down: see `session.touch_interval`.
    pub last_seen: Timestamp,
    /// When it ends if nobody uses it, as far as the last write knew.
    pub expires: Timestamp,
    /// Where it began or was signed in.
    pub address: Option<IpAddr>,
    /// With which browser.
    pub agent: Option<Arc<str>>,
}

/// A stretch of the list.
#[derive(Debug, Default)]
pub struct Listing {
    /// In no order a person would see; those of one user, the newest first.
    pub sessions: Vec<Listed>,
    /// Where the next stretch begins; `None` after the last.
    pub next: Option<Box<[u8]>>,
}

/// A session that was opened with its id.
#[derive(Debug)]
pub struct LookedUp {
    /// Its envelope.
    pub listed: Listed,
    /// The signed-in user.
    pub identity: Option<Identity>,
    /// From here the absolute timeout counts.
    pub since: Timestamp,
    /// When the browser was given its present id.
    pub issued: Timestamp,
    /// The user asked to be remembered.
    pub remember: bool,
    /// What the app decided about its end.
    pub expiry: Expiry,
    /// Data of the app.
    pub data: Map,
    /// Values that the app is told once.
    pub flash: Map,
}

impl Manager {
    /// The living sessions from `from` on, about `limit` of them: fewer, or none, where much has expired.
    ///
    /// A session that is given a new id between two stretches may be in both or in neither.
    ///
    /// # Errors
    /// When the store is unreachable.
    pub async fn list(&self, from: Option<&[u8]>, limit: usize, now: Timestamp) -> Result<Listing, Error> {
        let mut listing = Listing { sessions: Vec::new(), next: from.map(Into::into) };
        for _ in 0..MOST_PAGES {
            let cursor = listing.next.take().map(Cursor);
            let page = self.store.page(cursor.as_ref(), limit - listing.sessions.len()).await?;
            listing.sessions.extend(page.entries.iter().filter_map(|(_, entry)| Listed::living(entry, now)));
            listing.next = page.next.map(|cursor| cursor.0);
            if listing.next.is_none() || listing.sessions.len() >= limit {
                break;
            }
            tokio::task::yield_now().await;
        }
        Ok(listing)
    }

    /// The same for one user; the newest come first.
    ///
    /// # Errors
    /// When the store is unreachable.
    pub async fn list_of_user(
        &self,
        user: &str,
        from: Option<&[u8]>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Listing, Error> {
        let entries = self.store.list_by_user(user).await?;
        let mut sessions: Vec<_> = entries.iter().filter_map(|(_, entry)| Listed::living(entry, now)).collect();
        sessions.sort_by_key(Listed::place);
        // While it is given a new id, a session stands there twice.
        sessions.dedup_by_key(|listed| listed.handle);
        if let Some(after) = from {
            sessions.retain(|listed| listed.place().as_slice() > after);
        }
        let next = (sessions.len() > limit).then(|| sessions[limit - 1].place().into());
        sessions.truncate(limit);
        Ok(Listing { sessions, next })
    }

    /// The living session of this name. Looks through the whole store.
    ///
    /// # Errors
    /// When the store is unreachable.
    pub async fn find_by_handle(&self, handle: Handle, now: Timestamp) -> Result<Option<Listed>, Error> {
        let found = self.locate(handle, now).await?;
        Ok(found.and_then(|(_, entry)| Listed::living(&entry, now)))
    }

    /// Ends the session of this name; `false` when there is none.
    ///
    /// # Errors
    /// When the store is unreachable.
    pub async fn revoke_by_handle(&self, handle: Handle, now: Timestamp) -> Result<bool, Error> {
        let mut ended = false;
        // SECURITY: until none is found: what was ended may have been the copy of a rotation that came to nothing.
        for _ in 0..MOST_HOPS {
            let Some((key, _)) = self.locate(handle, now).await? else { break };
            ended |= self.end_at(key, Event::Revoked, None, REASON).await?;
        }
        Ok(ended)
    }

    /// Ends every session of a user; returns how many there were.
    ///
    /// # Errors
    /// When the store is unreachable.
    pub async fn revoke_all_of(&self, user: &str) -> Result<usize, Error> {
        self.revoke_all_but(None, user, REASON).await
    }

    /// The living session to which a cookie value leads, decoded. Changes nothing: it is no request of the browser.
    ///
    /// # Errors
    /// When the store is unreachable.
    pub async fn look_up(&self, value: &[u8], now: Timestamp) -> Result<Option<LookedUp>, Error> {
        let id = match &self.traveling {
            Some(traveling) => self.id_inside(traveling, value, now).await?,
            None => Id::parse(value),
        };
        let Some(mut id) = id else { return Ok(None) };
        for _ in 0..MOST_HOPS {
            let Some(entry) = self.store.load(id.key()).await? else { break };
            match opened(&entry, &id) {
                Some(Stored::Session(record)) => return Ok(self.shown(&entry, record, now)),
                Some(Stored::Alias(alias)) => match alias.open(&id) {
                    Some(successor) => id = successor,
                    None => break,
                },
                None => break,
            }
        }
        Ok(None)
    }

    /// How many sessions live: exact while there are few entries, else the share of those in the store's first
    /// stretch, taken of all. On disk those are the oldest: where many sessions have just ended, it is low until the
    /// next sweep.
    ///
    /// # Errors
    /// When the store is unreachable.
    pub async fn estimate_living(&self, now: Timestamp) -> Result<usize, Error> {
        let page = self.store.page(None, STRETCH).await?;
        let living = page.entries.iter().filter(|(_, entry)| Listed::is_living(entry, now)).count();
        match page.next {
            None => Ok(living),
            Some(_) => Ok(self.store.count().await?.saturating_mul(living) / page.entries.len().max(1)),
        }
    }

    /// Finds a living session by a walk over everything.
    async fn locate(&self, handle: Handle, now: Timestamp) -> Result<Option<(Key, Arc<Entry>)>, Error> {
        // A session that was given a new id during the walk may have gone where the walk had been already. The old id
        // then leads there under the same name: a second walk finds it.
        for _ in 0..2 {
            let (mut cursor, mut was_replaced) = (None::<Cursor>, false);
            loop {
                let page = self.store.page(cursor.as_ref(), STRETCH).await?;
                for (key, entry) in page.entries.into_iter().filter(|(_, entry)| entry.meta.handle == handle) {
                    if Listed::is_living(&entry, now) {
                        return Ok(Some((key, entry)));
                    }
                    was_replaced |= entry.meta.alias;
                }
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            if !was_replaced {
                break;
            }
        }
        Ok(None)
    }

    fn shown(&self, entry: &Entry, record: &Record, now: Timestamp) -> Option<LookedUp> {
        let times = Times::of(record, entry.last_seen());
        self.policy.judge(times, now).ok()?;
        Some(LookedUp {
            listed: Listed { expires: self.policy.deadline(times), ..Listed::of(entry) },
            identity: record.identity.clone(),
            since: record.since,
            issued: record.issued,
            remember: record.remember,
            expiry: record.expiry,
            data: record.data.map(),
            flash: record.flash.map(),
        })
    }
}

impl Listed {
    fn is_living(entry: &Entry, now: Timestamp) -> bool {
        !entry.meta.alias && entry.deadline() > now
    }

    /// None for an alias, and for what has expired and is not yet swept.
    fn living(entry: &Entry, now: Timestamp) -> Option<Self> {
        Self::is_living(entry, now).then(|| Self::of(entry))
    }

    fn of(entry: &Entry) -> Self {
        let meta = &entry.meta;
        Self {
            handle: meta.handle,
            user: meta.user.clone(),
            created: meta.created,
            last_seen: entry.last_seen(),
            expires: entry.deadline(),
            address: meta.address,
            agent: meta.agent.clone(),
        }
    }

    /// Where it stands among the sessions of a user: it keeps this for life, so that a cursor can name it.
    fn place(&self) -> [u8; 16] {
        let newest_first = u64::MAX - self.created.0;
        let mut place = [0; 16];
        place[..8].copy_from_slice(&newest_first.to_be_bytes());
        place[8..].copy_from_slice(&self.handle.0);
        place
    }
}

#[cfg(test)]
mod tests;
