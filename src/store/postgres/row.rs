//! An entry as a row and back.
//!
//! `statements` names the columns in the order of [`COLUMNS`]; nothing else reads rows of sessions.

use std::net::IpAddr;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::pool::Param;
use crate::clock::Timestamp;
use crate::store::{Entry, Handle, Key, Meta};

pub(super) const COLUMNS: &str =
    "key, handle, user_name, created, address, agent, alias, version, last_seen, deadline, data";

/// An entry's values, so that parameters can lend them.
pub(super) struct Values<'a> {
    handle: String,
    user: Option<&'a str>,
    created: i64,
    address: Option<IpAddr>,
    agent: Option<&'a str>,
    alias: bool,
    last_seen: i64,
    deadline: i64,
    data: &'a [u8],
}

impl<'a> Values<'a> {
    pub fn of(entry: &'a Entry, data: &'a [u8]) -> Self {
        let meta = &entry.meta;
        Self {
            handle: meta.handle.to_string(),
            user: meta.user.as_deref(),
            created: to_column(meta.created),
            address: meta.address,
            agent: meta.agent.as_deref(),
            alias: meta.alias,
            last_seen: to_column(entry.last_seen()),
            deadline: to_column(entry.deadline()),
            data,
        }
    }

    /// From `handle` to `data`, with the version in its place.
    pub fn params<'p>(&'p self, version: &'p i64) -> [Param<'p>; 10] {
        [
            (&self.handle, Type::TEXT),
            (&self.user, Type::TEXT),
            (&self.created, Type::INT8),
            (&self.address, Type::INET),
            (&self.agent, Type::TEXT),
            (&self.alias, Type::BOOL),
            (version, Type::INT8),
            (&self.last_seen, Type::INT8),
            (&self.deadline, Type::INT8),
            (&self.data, Type::BYTEA),
        ]
    }
}

/// `None` for a row that somebody else made or changed beyond reading: that session is lost, the others are not.
pub(super) fn entry(row: &Row) -> Option<(Key, Entry)> {
    let read = read(row);
    if read.is_none() {
        tracing::warn!("a row of the session table cannot be read and is ignored");
    }
    read
}

fn read(row: &Row) -> Option<(Key, Entry)> {
    let key = Key(row.try_get::<_, &[u8]>("key").ok()?.try_into().ok()?);
    let meta = Meta {
        handle: handle(row.try_get("handle").ok()?)?,
        user: row.try_get::<_, Option<&str>>("user_name").ok()?.map(Into::into),
        created: from_column(row.try_get("created").ok()?),
        address: row.try_get("address").ok()?,
        agent: row.try_get::<_, Option<&str>>("agent").ok()?.map(Into::into),
        alias: row.try_get("alias").ok()?,
    };
    let version = u64::try_from(row.try_get::<_, i64>("version").ok()?).ok()?;
    let last_seen = from_column(row.try_get("last_seen").ok()?);
    let deadline = from_column(row.try_get("deadline").ok()?);
    let data = row.try_get::<_, &[u8]>("data").ok()?;
    Some((key, Entry::restored(meta, data.into(), last_seen, deadline, version)))
}

/// The largest number stands for "never", which is larger still.
pub(super) fn to_column(time: Timestamp) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

fn from_column(time: i64) -> Timestamp {
    Timestamp(if time == i64::MAX { u64::MAX } else { u64::try_from(time).unwrap_or(0) })
}

/// Sixteen hexadecimal digits, as lists show it.
fn handle(text: &str) -> Option<Handle> {
    if text.len() != 16 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(text, 16).ok().map(|number| Handle(number.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn never_is_the_largest_number_and_comes_back() {
        assert_eq!(to_column(Timestamp(u64::MAX)), i64::MAX);
        assert_eq!(from_column(i64::MAX), Timestamp(u64::MAX));
        assert_eq!(from_column(-1), Timestamp(0));
    }

    proptest! {
        #[test]
        fn a_handle_comes_back(bytes: [u8; 8]) {
            prop_assert_eq!(handle(&Handle(bytes).to_string()), Some(Handle(bytes)));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,20}") {
            let _ = handle(&text);
        }
    }
}
