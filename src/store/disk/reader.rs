//! Reads as SQL, each on a connection of a reading thread: none waits for a commit.
//!
//! A write is answered after its commit, and whatever is asked later begins with what was committed by then.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Result, params};

use super::super::{Cursor, Entry, Key, Page};
use super::queue::Queue;
use super::row::{self, columns};
use super::touches::Touches;

/// A page is cut here, however many entries were asked for.
const PAGE_BYTES: usize = 4 << 20;

pub(super) struct Reader {
    pub connection: Connection,
    pub touches: Arc<Touches>,
}

/// A read, with whoever waits for it.
pub(super) type Read = Box<dyn FnOnce(&Reader) + Send>;

impl Reader {
    /// Until the queue is closed and empty.
    pub fn run(self, queue: &Queue<Read>) {
        while let Some(read) = queue.pop() {
            read(&self);
        }
    }

    pub fn load(&self, key: Key) -> Result<Option<Arc<Entry>>> {
        let touch = self.touches.of(&key);
        let mut select =
            self.connection.prepare_cached(concat!("SELECT ", columns!(), " FROM sessions WHERE key = ?1"))?;
        let found = select.query_row([key.0], row::entry).optional()?.flatten();
        if let (Some((_, entry)), Some(touch)) = (&found, touch) {
            touch.apply(entry);
        }
        Ok(found.map(|(_, entry)| entry))
    }

    /// Here and in [`Self::page`], a touch that gets to the disk at this very moment may be missed: both are lists
    /// to look at.
    pub fn list_by_user(&self, user: &str) -> Result<Vec<(Key, Arc<Entry>)>> {
        let mut select = self.connection.prepare_cached(concat!(
            "SELECT ",
            columns!(),
            " FROM sessions WHERE user = ?1 AND alias = 0"
        ))?;
        let rows = select.query_map([user], row::entry)?;
        rows.filter_map(|row| row.transpose().map(|row| row.inspect(|found| self.touch(found)))).collect()
    }

    /// In the order of creation; the cursor is the last row's number.
    pub fn page(&self, from: Option<&Cursor>, limit: usize) -> Result<Page> {
        let mut page = Page { entries: Vec::new(), next: None };
        let after = match from.map(|Cursor(place)| <[u8; 8]>::try_from(&**place)) {
            None => i64::MIN,
            Some(Ok(place)) => i64::from_be_bytes(place),
            Some(Err(_)) => return Ok(page),
        };
        let mut select = self.connection.prepare_cached(concat!(
            "SELECT ",
            columns!(),
            " FROM sessions WHERE id > ?1 ORDER BY id LIMIT ?2"
        ))?;
        let limit = limit.max(1);
        let (mut rows, mut met, mut bytes) = (select.query(params![after, limit as i64])?, 0, 0);
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            if let Some(found) = row::entry(row)? {
                self.touch(&found);
                bytes += found.1.bytes().len();
                page.entries.push(found);
            }
            met += 1;
            if met == limit || bytes > PAGE_BYTES {
                page.next = Some(Cursor(id.to_be_bytes().into()));
                break;
            }
        }
        Ok(page)
    }

    fn touch(&self, (key, entry): &(Key, Arc<Entry>)) {
        if let Some(touch) = self.touches.of(key) {
            touch.apply(entry);
        }
    }
}
