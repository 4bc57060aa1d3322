//! The table of the memory store: keys to entries, in shards with a lock each.
//!
//! Knows entries, but neither users' lists nor the bound on sessions: `super::MemoryStore` adds them. Never
//! holds two locks at once, and frees nothing under one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hashbrown::HashTable;

use super::super::Updated;
use super::super::entry::{Entry, Memo, Words};
use crate::clock::Timestamp;

/// Small shards keep the pause of a request behind a sweep below a millisecond at a million sessions.
///
/// PERF: and 1280 rather than 1024, because a million (the default of `store.max_sessions`) then makes 781 in
/// each, which a table of 1024 slots takes; 977 would need 2048.
pub(super) const SHARDS: usize = 1280;

/// An eviction takes the oldest of this many, as Redis does (which looks at 5 by default)…
const LOOK_AT: usize = 16;
/// … from several shards.
const LOOK_AT_PER_SHARD: usize = 4;

pub(super) struct Shards {
    shards: Box<[Shard]>,
    len: AtomicUsize,
    aliases: AtomicUsize,
}

/// The standard library's lock: no wider than `parking_lot`'s, as fast where nobody waits, and no dependency.
/// Alone on its cache line, so that two shards' readers do not disturb each other.
#[derive(Default)]
#[repr(align(64))]
struct Shard(RwLock<Table>);

#[derive(Default)]
struct Table {
    /// PERF: a slot is a pointer and the byte of the hash table; the key stands in the entry.
    slots: HashTable<Arc<Entry>>,
    /// How many of them may be evicted.
    evictable: usize,
}

impl Shards {
    pub fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            len: AtomicUsize::new(0),
            aliases: AtomicUsize::new(0),
        }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// How many of them are sessions.
    pub fn sessions(&self) -> usize {
        // Between the two somebody else may have written: never below zero for it.
        self.len().saturating_sub(self.aliases.load(Ordering::Relaxed))
    }

    fn added(&self, entry: &Entry) {
        self.len.fetch_add(1, Ordering::Relaxed);
        self.aliases.fetch_add(usize::from(entry.meta.alias), Ordering::Relaxed);
    }

    fn removed(&self, entry: &Entry) {
        self.len.fetch_sub(1, Ordering::Relaxed);
        self.aliases.fetch_sub(usize::from(entry.meta.alias), Ordering::Relaxed);
    }

    /// PERF: one lock, no allocation.
    pub fn find(&self, key: &Words) -> Option<Arc<Entry>> {
        let hint = hint(key);
        self.shard(hint).read().slots.find(hash(hint), |entry| entry.is(key)).map(Arc::clone)
    }

    /// Inserts if absent; `None` when the key is taken.
    pub fn insert(&self, entry: Entry) -> Option<Arc<Entry>> {
        let hint = hint(entry.words());
        let entry = Arc::new(entry);
        let mut table = self.shard(hint).write();
        if table.slots.find(hash(hint), |other| other.is(entry.words())).is_some() {
            return None;
        }
        table.evictable += usize::from(entry.meta.may_be_evicted());
        table.slots.insert_unique(hash(hint), Arc::clone(&entry), rehash);
        self.added(&entry);
        Some(entry)
    }

    /// Replaces version `seen`; returns the entries before and after.
    pub fn replace(&self, seen: u64, mut entry: Entry) -> Result<(Arc<Entry>, Arc<Entry>), Updated> {
        let hint = hint(entry.words());
        let mut table = self.shard(hint).write();
        let Table { slots, evictable } = &mut *table;
        let slot = slots.find_mut(hash(hint), |other| other.is(entry.words())).ok_or(Updated::Absent)?;
        if slot.version() != seen {
            return Err(Updated::Conflict);
        }
        // Touches hold the shard's lock too, so none falls between this and the exchange.
        entry.succeed(slot);
        let after = Arc::new(entry);
        *evictable += usize::from(after.meta.may_be_evicted());
        let before = std::mem::replace(slot, Arc::clone(&after));
        *evictable -= usize::from(before.meta.may_be_evicted());
        // PERF: a mere write leaves the counts, which all threads share, alone.
        if before.meta.alias != after.meta.alias {
            self.added(&after);
            self.removed(&before);
        }
        Ok((before, after))
    }

    /// Under the lock, so that no replacement loses it.
    pub fn touch(&self, key: &Words, last_seen: Timestamp, deadline: Timestamp) {
        let hint = hint(key);
        if let Some(entry) = self.shard(hint).read().slots.find(hash(hint), |entry| entry.is(key)) {
            entry.touch(last_seen, deadline);
        }
    }

    /// Removes the entry if `condition` still holds for it.
    pub fn remove_if(&self, key: &Words, condition: impl FnOnce(&Entry) -> bool) -> Option<Arc<Entry>> {
        let removed = self.shard(hint(key)).write().remove_if(key, condition)?;
        self.removed(&removed);
        Some(removed)
    }

    /// The sessions of `user` among the entries that share a hint.
    pub fn sessions_of(&self, user: &str, hint: u32) -> Vec<Arc<Entry>> {
        let table = self.shard(hint).read();
        let alike = table.slots.iter_hash(hash(hint));
        alike.filter(|entry| self::hint(entry.words()) == hint && entry.meta.is_session_of(user)).cloned().collect()
    }

    /// Up to `limit` entries of shard `index` in the order of their keys, after the key `after`.
    pub fn stretch(&self, index: usize, after: Option<Words>, limit: usize) -> Vec<Arc<Entry>> {
        let Some(shard) = self.shards.get(index) else { return Vec::new() };
        let mut entries: Vec<_> =
            shard.read().slots.iter().filter(|entry| after.is_none_or(|key| *entry.words() > key)).cloned().collect();
        entries.sort_unstable_by_key(|entry| *entry.words());
        entries.truncate(limit);
        entries
    }

    /// The one seen longest ago of a few that may be evicted; finds one if there is any.
    ///
    /// PERF: no queue of all of them in their order, which would cost more than their slots do.
    pub fn oldest_of_a_few(&self) -> Option<Words> {
        let start = rand::random_range(0..SHARDS);
        let mut looked_at = 0;
        let mut oldest: Option<(Timestamp, Words)> = None;
        for n in 0..SHARDS {
            let table = self.shards[(start + n) % SHARDS].read();
            for entry in table.some_evictable() {
                looked_at += 1;
                if oldest.is_none_or(|(last_seen, _)| entry.last_seen() < last_seen) {
                    oldest = Some((entry.last_seen(), *entry.words()));
                }
            }
            if looked_at >= LOOK_AT {
                break;
            }
        }
        oldest.map(|(_, key)| key)
    }

    /// Takes up to `limit` expired entries out of shard `index`, and drops the decoded records of those not seen
    /// since `cold`.
    pub fn sweep(&self, index: usize, now: Timestamp, cold: Timestamp, limit: usize) -> Vec<Arc<Entry>> {
        let shard = &self.shards[index];
        // Most shards have nothing to give: they are looked at beside other readers.
        let (expired, warm) = shard.read().due(now, cold, limit);
        if expired.is_empty() && warm.is_empty() {
            return Vec::new();
        }
        let mut table = shard.write();
        // A touch or a write may have come in between: each is asked again.
        let expired: Vec<_> =
            expired.iter().filter_map(|key| table.remove_if(key, |entry| entry.deadline() <= now)).collect();
        let cooled: Vec<Memo> = warm.iter().filter_map(|key| table.cool(key, cold)).collect();
        drop(table);
        drop(cooled);
        expired.iter().for_each(|entry| self.removed(entry));
        expired
    }

    fn shard(&self, hint: u32) -> &Shard {
        // Bits of the hash that the table inside the shard does not use; scaled, as 1280 is no power of two.
        let middle = (hash(hint) >> 20) as u32;
        &self.shards[((u64::from(middle) * SHARDS as u64) >> 32) as usize]
    }
}

impl Shard {
    // Nothing that panics runs under the lock; if it did, every change here is complete or not begun.
    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn remove_if(&mut self, key: &Words, condition: impl FnOnce(&Entry) -> bool) -> Option<Arc<Entry>> {
        let slot = self.slots.find_entry(hash(hint(key)), |entry| entry.is(key)).ok()?;
        if !condition(slot.get()) {
            return None;
        }
        let (entry, _) = slot.remove();
        self.evictable -= usize::from(entry.meta.may_be_evicted());
        Some(entry)
    }

    /// Empties the memo in place: nobody else holds the entry, or it is in use and stays warm.
    fn cool(&mut self, key: &Words, cold: Timestamp) -> Option<Memo> {
        let slot = self.slots.find_mut(hash(hint(key)), |entry| entry.is(key))?;
        let entry = Arc::get_mut(slot).filter(|entry| entry.last_seen() <= cold)?;
        Some(entry.cool())
    }

    /// Keys of up to `limit` expired entries, and of those whose decoded record has not been used for long.
    fn due(&self, now: Timestamp, cold: Timestamp, limit: usize) -> (Vec<Words>, Vec<Words>) {
        let (mut expired, mut warm) = (Vec::new(), Vec::new());
        for entry in &self.slots {
            if entry.deadline() <= now && expired.len() < limit {
                expired.push(*entry.words());
            } else if entry.last_seen() <= cold && entry.is_warm() {
                warm.push(*entry.words());
            }
        }
        (expired, warm)
    }

    /// Some entries that may be evicted, from a random place on.
    fn some_evictable(&self) -> impl Iterator<Item = &Arc<Entry>> {
        let buckets = self.slots.num_buckets();
        // Not one entry is looked at where the count says that it would be in vain.
        let most = LOOK_AT_PER_SHARD.min(self.evictable);
        let start = if most == 0 { 0 } else { rand::random_range(0..buckets) };
        (0..buckets)
            .filter_map(move |n| self.slots.get_bucket((start + n) % buckets))
            .filter(|entry| entry.meta.may_be_evicted())
            .take(most)
    }
}

/// What the index by user keeps of a key, and all that the hash sees: the first 32 bits of a digest.
pub(super) fn hint(key: &Words) -> u32 {
    key[0] as u32
}

/// PERF: a digest needs no hashing, only spreading: the table takes its place from the lower bits, its tag from the
/// topmost seven.
fn hash(hint: u32) -> u64 {
    u64::from(hint).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn rehash(entry: &Arc<Entry>) -> u64 {
    hash(hint(entry.words()))
}
