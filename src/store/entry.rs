//! What a store keeps for one session: the sealed bytes and the envelope that lists are made from.

use std::any::Any;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::clock::Timestamp;

/// The store's name for a session: SHA-256 of the id, so that no store ever holds an id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(pub [u8; 32]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// The public name of a session: in logs, lists and pages. Not reversible to the id or the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(pub [u8; 8]);

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The envelope: what may be listed without opening the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// The session's public name.
    pub handle: Handle,
    /// Canonical name of the signed-in user.
    pub user: Option<Box<str>>,
    /// When the session began.
    pub created: Timestamp,
    /// Where it was created or signed in from.
    pub address: Option<IpAddr>,
    /// `User-Agent` at that moment, cut to 200 bytes.
    pub agent: Option<Arc<str>>,
    /// No session: leads from a replaced id to its successor.
    pub alias: bool,
}

/// One session as a store keeps it.
pub struct Entry {
    /// The envelope.
    pub meta: Meta,
    /// The record, encoded by `session::record`.
    pub bytes: Box<[u8]>,
    version: u64,
    last_seen: AtomicU64,
    deadline: AtomicU64,
    /// PERF: the decoded record, made at the first use of a loaded entry.
    memo: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Entry {
    /// The first version of a session.
    #[must_use]
    pub fn new(meta: Meta, bytes: Box<[u8]>, last_seen: Timestamp, deadline: Timestamp) -> Self {
        let deadline = AtomicU64::new(deadline.0);
        Self { meta, bytes, version: 1, last_seen: AtomicU64::new(last_seen.0), deadline, memo: OnceLock::new() }
    }

    /// Counts the writes, from 1.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The last touch or write.
    #[must_use]
    pub fn last_seen(&self) -> Timestamp {
        Timestamp(self.last_seen.load(Ordering::Relaxed))
    }

    /// The deadline of the envelope, or a later one set by a touch.
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        Timestamp(self.deadline.load(Ordering::Relaxed))
    }

    /// Moves "last seen" and the deadline forward, never back.
    pub(super) fn touch(&self, last_seen: Timestamp, deadline: Timestamp) {
        self.last_seen.fetch_max(last_seen.0, Ordering::Relaxed);
        self.deadline.fetch_max(deadline.0, Ordering::Relaxed);
    }

    /// Makes this entry the successor of `previous`.
    pub(super) fn succeed(&mut self, previous: &Self) {
        self.version = previous.version + 1;
        self.last_seen.fetch_max(previous.last_seen().0, Ordering::Relaxed);
    }

    /// The decoded form of the bytes: `decode` runs once per loaded entry.
    pub fn decoded<T: Any + Send + Sync>(&self, decode: impl FnOnce(&[u8]) -> T) -> Option<&T> {
        self.memo.get_or_init(|| Box::new(decode(&self.bytes))).downcast_ref()
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("meta", &self.meta).field("version", &self.version).finish_non_exhaustive()
    }
}
