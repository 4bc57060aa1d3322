//! The table, and how an entry stands in a row of it: readable for an operator with the `sqlite3` shell.
//!
//! STRICT columns hold nothing of another type, so a row that cannot be read was damaged or written by hand.

use std::sync::Arc;

use rusqlite::{Row, ToSql};

use super::super::{Entry, Handle, Key, Meta};
use crate::clock::Timestamp;

/// Written into every file, so that no other program's database is taken for ours: "CLKR".
pub(super) const APPLICATION_ID: i32 = 0x434c_4b52;

/// Counts the changes of [`SCHEMA`].
pub(super) const FORMAT: i32 = 1;

/// A row id makes inserts go to the end of the table; `data` stands last because it may be long.
pub(super) const SCHEMA: &str = "
    CREATE TABLE sessions (
        id        INTEGER PRIMARY KEY,
        key       BLOB    NOT NULL UNIQUE, -- SHA-256 of the session id
        handle    TEXT    NOT NULL,        -- its public name, as in the log
        user      TEXT,
        created   INTEGER NOT NULL,        -- milliseconds since 1970, like all times
        address   TEXT,
        agent     TEXT,
        alias     INTEGER NOT NULL,        -- 1: leads from a replaced id to its successor
        version   INTEGER NOT NULL,
        last_seen INTEGER NOT NULL,
        deadline  INTEGER NOT NULL,        -- when a sweep may delete it
        data      BLOB    NOT NULL         -- sealed
    ) STRICT;
    CREATE INDEX sessions_by_user ON sessions (user) WHERE user IS NOT NULL;
    CREATE INDEX sessions_by_deadline ON sessions (deadline);
";

/// What [`entry`] reads, in its order.
macro_rules! columns {
    () => {
        "id, key, handle, user, created, address, agent, alias, version, last_seen, deadline, data"
    };
}
pub(super) use columns;

/// An entry as parameters `?3` to `?11`; `?1` is the key, `?2` the version.
pub(super) fn with_parameters<T>(entry: &Entry, last_seen: Timestamp, run: impl FnOnce(&[&dyn ToSql; 9]) -> T) -> T {
    let Meta { handle, user, created, address, agent, alias } = &entry.meta;
    run(&[
        &handle.to_string(),
        &user.as_deref(),
        &time(*created),
        &address.map(|address| address.to_string()),
        &agent.as_deref(),
        alias,
        &time(last_seen),
        &time(entry.deadline()),
        &entry.bytes().as_ref(),
    ])
}

/// A row back; `None`, and a line in the log, when it cannot be read: that session is lost, no other.
pub(super) fn entry(row: &Row<'_>) -> rusqlite::Result<Option<(Key, Arc<Entry>)>> {
    match read(row) {
        Ok(read) => Ok(Some(read)),
        // The file itself is damaged or cannot be read: no answer about this row.
        Err(error @ rusqlite::Error::SqliteFailure(..)) => Err(error),
        Err(error) => {
            let id: i64 = row.get(0).unwrap_or_default();
            tracing::error!(row = id, %error, "a session in the disk store cannot be read and is left out");
            Ok(None)
        }
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<(Key, Arc<Entry>)> {
    let key = Key(row.get(1)?);
    let address: Option<String> = row.get(5)?;
    let meta = Meta {
        handle: handle(row.get_ref(2)?.as_str()?),
        user: row.get::<_, Option<String>>(3)?.map(Into::into),
        created: from_time(row.get(4)?),
        address: address.and_then(|address| address.parse().ok()),
        agent: row.get::<_, Option<String>>(6)?.map(Into::into),
        alias: row.get(7)?,
    };
    let bytes = row.get_ref(11)?.as_blob()?;
    let (last_seen, deadline) = (from_time(row.get(9)?), from_time(row.get(10)?));
    let version = row.get::<_, i64>(8)?.unsigned_abs();
    let mut entry = Entry::restored(meta, bytes.into(), last_seen, deadline, version);
    entry.place(key.words());
    Ok((key, Arc::new(entry)))
}

/// SQLite's integers are signed; the latest of them stands for every later time, "never" among them.
pub(super) fn time(time: Timestamp) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

fn from_time(time: i64) -> Timestamp {
    match time {
        i64::MAX => Timestamp(u64::MAX),
        time => Timestamp(time.unsigned_abs()),
    }
}

fn handle(text: &str) -> Handle {
    Handle(u64::from_str_radix(text, 16).unwrap_or_default().to_be_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn never_survives() {
        assert_eq!(from_time(time(Timestamp(u64::MAX))), Timestamp(u64::MAX));
    }

    proptest! {
        #[test]
        fn a_handle_is_read_back_as_it_was_shown(bytes: [u8; 8]) {
            prop_assert_eq!(handle(&Handle(bytes).to_string()), Handle(bytes));
        }

        #[test]
        fn times_survive(millis in 0..u64::MAX >> 1) {
            prop_assert_eq!(from_time(time(Timestamp(millis))), Timestamp(millis));
        }

        #[test]
        fn any_text_is_some_handle(text: String) {
            let _ = handle(&text);
        }
    }
}
