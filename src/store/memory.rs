//! Sessions in this process's memory: a sharded table, bounded, gone with the process.
//!
//! No tombstones are kept: a key is drawn from 165 random bits and never created twice, and an update
//! cannot insert, so nothing can bring a deleted session back.

mod shards;
mod users;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use self::shards::{SHARDS, Shards, hint};
use self::users::Users;
use super::{Cursor, Entry, Error, Key, Meta, Page, Reply, Store, Updated};
use crate::clock::Timestamp;

/// A decoded record takes several times the room of its bytes: it goes when the session rests for so long.
const COLD_AFTER: Duration = Duration::from_secs(300);

/// A sweep lets others run after so many shards: some milliseconds at a million sessions.
const SHARDS_AT_A_STRETCH: usize = 64;

/// Holds up to `max_sessions`; anonymous sessions make room, signed-in ones and aliases never.
pub struct MemoryStore {
    sessions: Shards,
    users: Users,
    /// The shard where the next sweep goes on.
    to_sweep: AtomicUsize,
    max_sessions: usize,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(max_sessions: usize) -> Self {
        Self { sessions: Shards::new(), users: Users::new(), to_sweep: AtomicUsize::new(0), max_sessions }
    }

    fn insert(&self, key: Key, mut entry: Entry) -> Result<bool, Error> {
        self.make_room(&entry.meta)?;
        entry.place(key.words());
        let Some(entry) = self.sessions.insert(entry) else { return Ok(false) };
        self.index(&entry);
        Ok(true)
    }

    /// One in, one out, or two while there are too many. A sign-in is let in even when nobody can go for it.
    fn make_room(&self, newcomer: &Meta) -> Result<(), Error> {
        let mut evicted = 0;
        while self.sessions.sessions() >= self.max_sessions && evicted < 2 {
            match self.sessions.oldest_of_a_few() {
                // It may have signed in or ended since: then there is room, or the next look finds another.
                Some(key) => {
                    evicted +=
                        usize::from(self.sessions.remove_if(&key, |entry| entry.meta.may_be_evicted()).is_some());
                }
                None if evicted > 0 || !newcomer.may_be_evicted() => break,
                None => return Err(Error::Full),
            }
        }
        Ok(())
    }

    fn replace(&self, key: Key, seen: u64, mut entry: Entry) -> Updated {
        entry.place(key.words());
        let (before, after) = match self.sessions.replace(seen, entry) {
            Ok(entries) => entries,
            Err(outcome) => return outcome,
        };
        if before.meta.user != after.meta.user {
            self.index(&before);
            self.index(&after);
        }
        Updated::Done
    }

    fn remove(&self, key: Key) -> Option<Arc<Entry>> {
        let entry = self.sessions.remove_if(&key.words(), |_| true)?;
        self.index(&entry);
        Some(entry)
    }

    /// Makes the index say what the table says, after a change to `entry`.
    ///
    /// The two are never locked at once, so others may write both meanwhile. Whoever writes to the index looks at
    /// the table again; the last one to write has therefore seen that they agree.
    fn index(&self, entry: &Entry) {
        let Some(user) = &entry.meta.user else { return };
        let hint = hint(entry.words());
        let belongs = || !self.sessions.sessions_of(user, hint).is_empty();
        let mut said = belongs();
        loop {
            self.users.set(user, hint, said);
            if belongs() == said {
                return;
            }
            said = !said;
        }
    }

    /// SECURITY: a session that gets another key meanwhile must be met under the one or the other, or it outlives the
    /// end of all sessions of its user: the index is read again until it stands still.
    fn of_user(&self, user: &str) -> Vec<(Key, Arc<Entry>)> {
        let mut hints = self.users.hints(user);
        loop {
            let entries = hints.iter().flat_map(|hint| self.sessions.sessions_of(user, *hint));
            let entries = entries.map(|entry| (entry.key(), entry)).collect();
            let latest = self.users.hints(user);
            if latest == hints {
                return entries;
            }
            hints = latest;
        }
    }

    /// A cursor names a shard and the last key seen there; none when that shard was seen to its end.
    fn page_from(&self, from: Option<&Cursor>, limit: usize) -> Page {
        let (first, mut after) = match from {
            None => (0, None),
            Some(Cursor(place)) => match place.split_first_chunk::<2>() {
                Some((shard, key)) => (u16::from_be_bytes(*shard).into(), key.try_into().ok().map(Key)),
                None => (SHARDS, None),
            },
        };
        let mut entries = Vec::new();
        for shard in first..SHARDS {
            let wanted = limit.max(1) - entries.len();
            let stretch = self.sessions.stretch(shard, after.take().map(|key| key.words()), wanted);
            let is_cut = stretch.len() == wanted;
            entries.extend(stretch.into_iter().map(|entry| (entry.key(), entry)));
            if is_cut {
                let last = entries.last().map_or([0; 32], |(key, _)| key.0);
                let next = [&(shard as u16).to_be_bytes(), last.as_slice()].concat();
                return Page { entries, next: Some(Cursor(next.into())) };
            }
        }
        Page { entries, next: None }
    }

    /// Once round the shards at most, from where the last sweep stopped.
    async fn sweep_expired(&self, now: Timestamp, limit: usize) -> Vec<Arc<Entry>> {
        let cold = Timestamp(now.0.saturating_sub(COLD_AFTER.as_millis() as u64));
        let start = self.to_sweep.load(Ordering::Relaxed);
        let mut swept = Vec::new();
        for n in 0..SHARDS {
            let shard = (start + n) % SHARDS;
            // Stays here when the limit is reached: there may be more.
            self.to_sweep.store(shard, Ordering::Relaxed);
            swept.append(&mut self.sweep_shard(shard, now, cold, limit - swept.len()));
            if swept.len() >= limit {
                break;
            }
            if n % SHARDS_AT_A_STRETCH == SHARDS_AT_A_STRETCH - 1 {
                tokio::task::yield_now().await;
            }
        }
        swept
    }

    fn sweep_shard(&self, shard: usize, now: Timestamp, cold: Timestamp, limit: usize) -> Vec<Arc<Entry>> {
        let expired = self.sessions.sweep(shard, now, cold, limit);
        expired.iter().for_each(|entry| self.index(entry));
        expired
    }
}

impl Store for MemoryStore {
    fn create(&self, key: Key, entry: Entry) -> Reply<'_, bool> {
        Reply::Now(self.insert(key, entry))
    }

    fn load(&self, key: Key) -> Reply<'_, Option<Arc<Entry>>> {
        self.sessions.find(&key.words()).into()
    }

    fn update(&self, key: Key, seen: u64, entry: Entry) -> Reply<'_, Updated> {
        self.replace(key, seen, entry).into()
    }

    fn touch(&self, key: Key, last_seen: Timestamp, deadline: Timestamp) -> Reply<'_, ()> {
        self.sessions.touch(&key.words(), last_seen, deadline);
        ().into()
    }

    fn delete(&self, key: Key) -> Reply<'_, Option<Arc<Entry>>> {
        self.remove(key).into()
    }

    fn list_by_user<'a>(&'a self, user: &'a str) -> Reply<'a, Vec<(Key, Arc<Entry>)>> {
        self.of_user(user).into()
    }

    fn page<'a>(&'a self, from: Option<&'a Cursor>, limit: usize) -> Reply<'a, Page> {
        self.page_from(from, limit).into()
    }

    fn count(&self) -> Reply<'_, usize> {
        self.sessions.len().into()
    }

    fn sweep(&self, now: Timestamp, limit: usize) -> Reply<'_, Vec<Arc<Entry>>> {
        Reply::Later(Box::pin(async move { Ok(self.sweep_expired(now, limit).await) }))
    }

    fn ping(&self) -> Reply<'_, ()> {
        ().into()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { max_sessions, .. } = self;
        f.debug_struct("MemoryStore").field("max_sessions", max_sessions).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
