//! What a store keeps for one session: the sealed bytes and the envelope that lists are made from.
//!
//! Made by `session::manager`, kept and counted by a store. A million of them may be in memory, so every
//! byte is weighed: a test holds the size.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use once_cell::race::OnceBox;

use super::bytes::Bytes;
use crate::clock::Timestamp;

/// The store's name for a session: SHA-256 of the id, so that no store ever holds an id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub [u8; 32]);

/// A key as a store compares it.
///
/// PERF: four words, not 32 bytes: one wide load right after the narrow stores of a fresh digest waits for
/// them to leave the store buffer.
pub(super) type Words = [u64; 4];

impl Key {
    pub(super) fn words(&self) -> Words {
        let (words, _) = self.0.as_chunks::<8>();
        std::array::from_fn(|n| u64::from_ne_bytes(words[n]))
    }

    fn from_words(words: &Words) -> Self {
        let mut bytes = [0; 32];
        for (to, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *to = word.to_ne_bytes();
        }
        Self(bytes)
    }
}

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
    /// `User-Agent` at that moment, cut to 200 bytes; the many sessions of one browser version share it.
    pub agent: Option<Arc<str>>,
    /// No session of its own: leads from a replaced id to its successor. It has no user, is in no list, and
    /// is never evicted as an anonymous session would be.
    pub alias: bool,
}

impl Meta {
    /// Whether a full store may give this up to let another in.
    pub(super) fn may_be_evicted(&self) -> bool {
        self.user.is_none() && !self.alias
    }

    /// Whether it is listed among the sessions of `user`.
    pub(super) fn is_session_of(&self, user: &str) -> bool {
        self.user.as_deref() == Some(user) && !self.alias
    }
}

/// One session as a store keeps it.
///
/// PERF: in this order a load, which compares the key and counts a user, mostly touches one cache line.
#[repr(C)]
pub struct Entry {
    /// All zero until a store takes the entry.
    key: Words,
    last_seen: Moment,
    deadline: Moment,
    memo: Memo,
    bytes: Bytes,
    /// The envelope.
    pub meta: Meta,
}

/// The decoded record, made at the first use of a loaded entry.
///
/// PERF: one pointer while empty; a `OnceLock` of a fat `Box` takes three words.
pub(super) type Memo = OnceBox<Box<dyn Any + Send + Sync>>;

impl Entry {
    /// The first version of a session, which must have ended at `deadline` as far as is known now (for sweeps only).
    #[must_use]
    pub fn new(meta: Meta, bytes: Box<[u8]>, last_seen: Timestamp, deadline: Timestamp) -> Self {
        let mut entry = Self {
            key: [0; 4],
            last_seen: Moment::new(last_seen),
            deadline: Moment::new(deadline),
            memo: Memo::new(),
            bytes: bytes.into(),
            meta,
        };
        entry.set_version(1);
        entry
    }

    /// A later version, as a store that keeps entries outside this process reads it back.
    #[must_use]
    pub fn restored(meta: Meta, bytes: Box<[u8]>, last_seen: Timestamp, deadline: Timestamp, version: u64) -> Self {
        let mut entry = Self::new(meta, bytes, last_seen, deadline);
        entry.set_version(version);
        entry
    }

    /// The record, encoded by `session::record`.
    #[must_use]
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        self.bytes.joined()
    }

    /// Counts the writes, from 1.
    #[must_use]
    pub fn version(&self) -> u64 {
        u64::from(self.last_seen.rider()) << Moment::RIDER_BITS | u64::from(self.deadline.rider())
    }

    /// The last touch or write.
    #[must_use]
    pub fn last_seen(&self) -> Timestamp {
        self.last_seen.time()
    }

    /// When it must have ended at the latest, as far as the last write or touch knew.
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        self.deadline.time()
    }

    /// The decoded form of the bytes: `decode` runs once per loaded entry (two first readers at once may both run it).
    pub fn decoded<T: Any + Send + Sync>(&self, decode: impl FnOnce(&[u8]) -> T) -> Option<&T> {
        self.memo.get_or_init(|| Box::new(Box::new(decode(&self.bytes())))).downcast_ref()
    }

    /// The decoded form, if it was made before.
    pub fn already_decoded<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.memo.get()?.downcast_ref()
    }

    /// Moves "last seen" and the deadline forward, never back.
    pub(super) fn touch(&self, last_seen: Timestamp, deadline: Timestamp) {
        self.last_seen.forward(last_seen);
        self.deadline.forward(deadline);
    }

    /// Makes this entry the successor of `previous`.
    pub(super) fn succeed(&mut self, previous: &Self) {
        self.set_version(previous.version().wrapping_add(1));
        self.last_seen.forward(previous.last_seen());
    }

    /// Says whose entry it is.
    pub(super) fn place(&mut self, key: Words) {
        self.key = key;
    }

    pub(super) fn key(&self) -> Key {
        Key::from_words(&self.key)
    }

    pub(super) fn words(&self) -> &Words {
        &self.key
    }

    /// PERF: no `==` on arrays: the compiler makes a call of `bcmp` of it, with the wide load of [`Words`].
    pub(super) fn is(&self, key: &Words) -> bool {
        let [a, b, c, d] = &self.key;
        ((a ^ key[0]) | (b ^ key[1]) | (c ^ key[2]) | (d ^ key[3])) == 0
    }

    /// Whether the decoded record is in memory too.
    pub(super) fn is_warm(&self) -> bool {
        self.memo.get().is_some()
    }

    /// Gives the decoded record up; it is made again at the next use.
    pub(super) fn cool(&mut self) -> Memo {
        std::mem::take(&mut self.memo)
    }

    /// 32 bits are kept: nobody compares versions that lie four billion writes apart.
    fn set_version(&mut self, version: u64) {
        self.last_seen.set_rider((version >> Moment::RIDER_BITS) as u16);
        self.deadline.set_rider(version as u16);
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("meta", &self.meta).field("version", &self.version()).finish_non_exhaustive()
    }
}

/// A time that only moves forward while it is shared, and 16 bits of something else that stays as it is.
///
/// PERF: the time stands in the upper 48 bits (until the year 10889), so one atomic maximum moves it. Two of
/// these hold the version as well, and an entry with its counts fits the allocator's class of 160 bytes.
struct Moment(AtomicU64);

impl Moment {
    const RIDER_BITS: u32 = u16::BITS;
    /// Stands for every later time too.
    const LATEST: u64 = u64::MAX >> Self::RIDER_BITS;

    fn new(time: Timestamp) -> Self {
        Self(AtomicU64::new(Self::word(time, 0)))
    }

    fn time(&self) -> Timestamp {
        match self.0.load(Ordering::Relaxed) >> Self::RIDER_BITS {
            Self::LATEST => Timestamp(u64::MAX),
            time => Timestamp(time),
        }
    }

    fn forward(&self, time: Timestamp) {
        self.0.fetch_max(Self::word(time, self.rider()), Ordering::Relaxed);
    }

    fn rider(&self) -> u16 {
        self.0.load(Ordering::Relaxed) as u16
    }

    fn set_rider(&mut self, rider: u16) {
        *self.0.get_mut() = Self::word(self.time(), rider);
    }

    fn word(time: Timestamp, rider: u16) -> u64 {
        time.0.min(Self::LATEST) << Self::RIDER_BITS | u64::from(rider)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::conformance;
    use super::*;

    /// Strong and weak count of an `Arc` come on top: 160, a size class of the allocator. The next is 192.
    #[test]
    fn an_entry_takes_144_bytes() {
        assert_eq!(size_of::<Entry>(), 144);
    }

    #[test]
    fn a_key_survives_being_taken_apart() {
        let key = Key(std::array::from_fn(|n| n as u8));
        assert_eq!(Key::from_words(&key.words()), key);
    }

    #[test]
    fn any_differing_byte_makes_another_key() {
        let mut entry = conformance::entry(None);
        entry.place(Key([7; 32]).words());
        assert!(entry.is(&Key([7; 32]).words()));
        for n in 0..32 {
            let mut other = [7; 32];
            other[n] ^= 1;
            assert!(!entry.is(&Key(other).words()), "byte {n}");
        }
    }

    #[test]
    fn the_end_of_time_survives() {
        let never = Timestamp(u64::MAX);
        let entry = Entry::new(conformance::entry(None).meta, Box::default(), never, never);
        assert_eq!((entry.last_seen(), entry.deadline(), entry.version()), (never, never, 1));
    }

    proptest! {
        #[test]
        fn a_version_and_two_times_do_not_disturb_each_other(
            version in 0..u32::MAX, seen in 0..1u64 << 47, deadline in 0..1u64 << 47, later in 0..1u64 << 47,
        ) {
            let meta = conformance::entry(None).meta;
            let mut before = Entry::new(meta.clone(), Box::default(), Timestamp(seen), Timestamp(deadline));
            before.set_version(version.into());
            before.touch(Timestamp(later), Timestamp(later));
            prop_assert_eq!(before.last_seen(), Timestamp(seen.max(later)));
            prop_assert_eq!(before.deadline(), Timestamp(deadline.max(later)));
            let mut after = Entry::new(meta, Box::default(), Timestamp(0), Timestamp(deadline));
            after.succeed(&before);
            prop_assert_eq!(after.version(), u64::from(version) + 1);
            prop_assert_eq!((after.last_seen(), after.deadline()), (before.last_seen(), Timestamp(deadline)));
        }
    }
}
