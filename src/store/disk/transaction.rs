//! The writes of a store as SQL, all within the storage thread's current transaction.
//!
//! None of them is true before that transaction is on the disk: the storage thread answers, not these.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Result, params};

use super::super::{Entry, Key, Updated};
use super::row::{self, columns, time};
use super::touches::{Touch, Touches};
use crate::clock::Timestamp;

pub(super) struct Transaction<'a> {
    pub connection: &'a Connection,
    pub touches: &'a Touches,
    /// By how many rows the table has grown.
    pub grown: isize,
    /// What was there before, and is another version now or gone.
    pub written: Vec<Key>,
}

/// A stretch of a sweep.
pub(super) struct Swept {
    pub entries: Vec<Arc<Entry>>,
    /// Whether there may be more.
    pub more: bool,
}

impl<'a> Transaction<'a> {
    pub fn new(connection: &'a Connection, touches: &'a Touches) -> Self {
        Self { connection, touches, grown: 0, written: Vec::new() }
    }

    pub fn create(&mut self, key: Key, entry: &Entry) -> Result<bool> {
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO sessions
                 (key, version, handle, user, created, address, agent, alias, last_seen, deadline, data)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (key) DO NOTHING",
        )?;
        let inserted = row::with_parameters(entry, entry.last_seen(), |[h, u, c, ad, ag, al, l, d, data]| {
            insert.execute(params![key.0, entry.version() as i64, h, u, c, ad, ag, al, l, d, data])
        })?;
        self.grown += inserted as isize;
        Ok(inserted == 1)
    }

    /// A touch that was asked for before moves "last seen", but no longer the deadline.
    pub fn update(&mut self, key: Key, seen: u64, entry: &Entry) -> Result<Updated> {
        let touch = self.touches.claim(&key);
        let last_seen = touch.map_or(entry.last_seen(), |touch| touch.last_seen.max(entry.last_seen()));
        // Versions are counted in 32 bits, as in an `Entry`.
        let mut update = self.connection.prepare_cached(
            "UPDATE sessions SET version = (version + 1) & 4294967295, handle = ?3, user = ?4, created = ?5,
                 address = ?6, agent = ?7, alias = ?8, last_seen = max(last_seen, ?9), deadline = ?10, data = ?11
             WHERE key = ?1 AND version = ?2",
        )?;
        let updated = row::with_parameters(entry, last_seen, |[h, u, c, ad, ag, al, l, d, data]| {
            update.execute(params![key.0, seen as i64, h, u, c, ad, ag, al, l, d, data])
        })?;
        if updated == 1 {
            self.written.push(key);
            return Ok(Updated::Done);
        }
        if !self.connection.prepare_cached("SELECT 1 FROM sessions WHERE key = ?1")?.exists([key.0])? {
            return Ok(Updated::Absent);
        }
        if let Some(touch) = touch {
            self.touches.add(key, touch);
        }
        Ok(Updated::Conflict)
    }

    pub fn delete(&mut self, key: Key) -> Result<Option<Arc<Entry>>> {
        let touch = self.touches.claim(&key);
        let mut delete =
            self.connection.prepare_cached(concat!("DELETE FROM sessions WHERE key = ?1 RETURNING ", columns!()))?;
        let Some(deleted) = delete.query_row([key.0], row::entry).optional()? else { return Ok(None) };
        self.grown -= 1;
        self.written.push(key);
        let Some((_, entry)) = deleted else { return Ok(None) };
        if let Some(touch) = touch {
            touch.apply(&entry);
        }
        Ok(Some(entry))
    }

    /// Those that a touch keeps alive are not on the disk as such yet: they are written instead.
    pub fn sweep(&mut self, now: Timestamp, limit: usize) -> Result<Swept> {
        let mut swept = Swept { entries: Vec::new(), more: true };
        while swept.more && swept.entries.is_empty() {
            let expired = self.expired(now, limit)?;
            swept.more = !expired.is_empty() && expired.len() == limit;
            for key in expired {
                match self.touches.of(&key).filter(|touch| touch.deadline > now) {
                    Some(touch) => self.write_touch(&key, touch)?,
                    None => swept.entries.extend(self.delete(key)?),
                }
            }
        }
        Ok(swept)
    }

    /// Writes up to `most` touches; returns how many.
    pub fn write_touches(&mut self, most: usize) -> Result<usize> {
        let some = self.touches.claim_some(most);
        some.iter().try_for_each(|(key, touch)| self.write_touch(key, *touch))?;
        Ok(some.len())
    }

    fn expired(&self, now: Timestamp, limit: usize) -> Result<Vec<Key>> {
        let mut select = self
            .connection
            .prepare_cached("SELECT key FROM sessions WHERE deadline <= ?1 ORDER BY deadline LIMIT ?2")?;
        let keys = select.query_map(params![time(now), limit as i64], |row| row.get(0).map(Key))?;
        keys.collect()
    }

    fn write_touch(&self, key: &Key, touch: Touch) -> Result<()> {
        let mut update = self.connection.prepare_cached(
            "UPDATE sessions SET last_seen = max(last_seen, ?2), deadline = max(deadline, ?3) WHERE key = ?1",
        )?;
        update.execute(params![key.0, time(touch.last_seen), time(touch.deadline)])?;
        Ok(())
    }
}
