//! What one session holds, and how it is written down.
//!
//! The encoding begins with a version and a kind; what this version did not write, or what is in pieces, is no
//! session (the browser is then anonymous), never an error page. In stores that outlive this process only the
//! [`Outline`] stands open; the rest is sealed (see `seal`).
//!
//! PERF: written by hand, for a million of them may be in memory: an anonymous one adds 28 bytes to its data.

use serde::{Deserialize, Serialize};

use super::alias::Alias;
use super::changes::Expiry;
use super::custody::Custody;
use super::data::Data;
use super::id::{NoRandomness, random_bytes};
use super::seal::SealKey;
use crate::clock::Timestamp;
use crate::identity::Identity;

const VERSION: u8 = 1;
const SESSION: u8 = 1;
const ALIAS: u8 = 2;
const SEALED_SESSION: u8 = 3;

/// What a parked form begins with: no session, and no way to one.
pub(super) const SEALED_FORM: [u8; 2] = [VERSION, 4];

/// What an encoded content has.
mod holds {
    pub const FLASH: u8 = 1;
    pub const CUSTODY: u8 = 2;
}

/// What an encoded outline has.
mod has {
    pub const REMEMBER: u8 = 1;
    pub const EXPIRY: u8 = 2;
    pub const PREDECESSOR: u8 = 4;
}

/// The content of a session.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The signed-in user.
    pub identity: Option<Identity>,
    /// From here the absolute timeout counts: creation, then sign-in.
    pub since: Timestamp,
    /// When the browser was given the present id.
    pub issued: Timestamp,
    /// The user ticked "remember me".
    pub remember: bool,
    /// When it ends, if not by the policy.
    pub expiry: Expiry,
    /// Store key of the id that this one replaced, until the browser has used this one.
    pub predecessor: Option<[u8; 32]>,
    /// Secret behind the tokens of the gateway's own forms.
    pub csrf: [u8; 16],
    /// Data of the app.
    pub data: Data,
    /// Values that the app is told once.
    pub flash: Data,
    /// What is kept for apps and from the browser; mostly nothing.
    pub custody: Custody,
}

/// What can be read of a session without its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outline {
    /// As in [`Record`].
    pub since: Timestamp,
    /// As in [`Record`].
    pub issued: Timestamp,
    /// As in [`Record`].
    pub remember: bool,
    /// As in [`Record`].
    pub expiry: Expiry,
    /// As in [`Record`].
    pub predecessor: Option<[u8; 32]>,
}

/// What a store key leads to, as far as it can be read without the id.
#[derive(Debug, Clone, PartialEq)]
pub enum Open {
    /// A session.
    Session(Outline),
    /// The successor of an id that was replaced.
    Alias(Alias),
}

/// What a store key leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Stored {
    /// A session.
    Session(Record),
    /// The successor of an id that was replaced.
    Alias(Alias),
}

impl Record {
    /// A session in which nothing has happened yet.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn new(now: Timestamp) -> Result<Self, NoRandomness> {
        Ok(Self {
            identity: None,
            since: now,
            issued: now,
            remember: false,
            expiry: Expiry::Policy,
            predecessor: None,
            csrf: random_bytes()?,
            data: Data::default(),
            flash: Data::default(),
            custody: Custody::default(),
        })
    }

    /// Whether there is anything to keep it for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let keeps_nothing = self.data.is_empty() && self.flash.is_empty() && self.custody.is_empty();
        self.identity.is_none() && keeps_nothing && self.expiry == Expiry::Policy
    }

    /// For the memory of this process.
    #[must_use]
    pub fn encode(&self) -> Box<[u8]> {
        let mut bytes = self.outline().encode(SESSION);
        self.encode_content(&mut bytes);
        bytes.into()
    }

    /// For a store that outlives this process: whoever reads it learns the outline.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn sealed(&self, key: &SealKey) -> Result<Box<[u8]>, NoRandomness> {
        let outline = self.outline().encode(SEALED_SESSION);
        let mut content = zeroize::Zeroizing::new(Vec::new());
        self.encode_content(&mut content);
        let sealed = key.seal(&outline, &content)?;
        Ok([outline, sealed].concat().into())
    }

    pub(super) fn outline(&self) -> Outline {
        let Self { since, issued, remember, expiry, predecessor, .. } = *self;
        Outline { since, issued, remember, expiry, predecessor }
    }

    fn encode_content(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.csrf);
        push(bytes, &self.identity);
        let parts = [(holds::FLASH, !self.flash.is_empty()), (holds::CUSTODY, !self.custody.is_empty())];
        bytes.push(parts.iter().filter(|(_, is_there)| *is_there).fold(0, |all, (part, _)| all | part));
        if !self.flash.is_empty() {
            push(bytes, &self.flash.text());
        }
        if !self.custody.is_empty() {
            push(bytes, &self.custody);
        }
        bytes.extend(self.data.encoded());
    }

    fn decode_content(outline: Outline, mut bytes: &[u8]) -> Option<Self> {
        let Outline { since, issued, remember, expiry, predecessor } = outline;
        let (csrf, rest) = bytes.split_first_chunk()?;
        bytes = rest;
        let identity = take(&mut bytes)?;
        let (&parts, rest) = bytes.split_first()?;
        bytes = rest;
        let flash = match parts & holds::FLASH {
            0 => Data::default(),
            _ => Data::decode(take::<&[u8]>(&mut bytes)?)?,
        };
        let custody = if parts & holds::CUSTODY == 0 { Custody::default() } else { take(&mut bytes)? };
        let data = Data::decode(bytes)?;
        Some(Self { identity, since, issued, remember, expiry, predecessor, csrf: *csrf, data, flash, custody })
    }
}

impl Outline {
    /// Version, kind, which parts follow, and those.
    fn encode(&self, kind: u8) -> Vec<u8> {
        let parts = [
            (has::REMEMBER, self.remember),
            (has::EXPIRY, self.expiry != Expiry::Policy),
            (has::PREDECESSOR, self.predecessor.is_some()),
        ];
        let parts_that_follow = parts.iter().filter(|(_, is_there)| *is_there).fold(0, |all, (part, _)| all | part);
        let mut bytes = vec![VERSION, kind, parts_that_follow];
        push(&mut bytes, &self.since);
        // Mostly the same moment, and one byte.
        push(&mut bytes, &self.issued.0.wrapping_sub(self.since.0).cast_signed());
        if self.expiry != Expiry::Policy {
            push(&mut bytes, &self.expiry);
        }
        bytes.extend(self.predecessor.iter().flatten());
        bytes
    }

    /// After version and kind; `bytes` moves on to what follows.
    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let (&parts, rest) = bytes.split_first()?;
        *bytes = rest;
        let since: Timestamp = take(bytes)?;
        let later: i64 = take(bytes)?;
        let expiry = if parts & has::EXPIRY == 0 { Expiry::Policy } else { take(bytes)? };
        let mut predecessor = None;
        if parts & has::PREDECESSOR != 0 {
            let (key, rest) = bytes.split_first_chunk()?;
            *bytes = rest;
            predecessor = Some(*key);
        }
        let issued = Timestamp(since.0.wrapping_add_signed(later));
        Some(Self { since, issued, remember: parts & has::REMEMBER != 0, expiry, predecessor })
    }
}

impl Alias {
    /// For any store: it hides what it must by itself.
    #[must_use]
    pub fn encode(&self) -> Box<[u8]> {
        let mut bytes = vec![VERSION, ALIAS];
        push(&mut bytes, self);
        bytes.into()
    }
}

impl Open {
    /// From the store; `None` for anything this version did not write.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [VERSION, SESSION | SEALED_SESSION, rest @ ..] => Outline::decode(&mut &*rest).map(Self::Session),
            [VERSION, ALIAS, rest @ ..] => take(&mut &*rest).map(Self::Alias),
            _ => None,
        }
    }

    /// Store key of the id before this one, as long as its grace does not run.
    #[must_use]
    pub fn predecessor(&self) -> Option<[u8; 32]> {
        match self {
            Self::Session(outline) => outline.predecessor,
            Self::Alias(alias) => alias.predecessor,
        }
    }
}

impl Stored {
    /// From the store; `None` for anything this version did not write, and for what `key` does not open.
    #[must_use]
    pub fn decode(bytes: &[u8], key: impl FnOnce() -> Option<SealKey>) -> Option<Self> {
        match bytes {
            [VERSION, SESSION, rest @ ..] => {
                let mut rest = rest;
                let outline = Outline::decode(&mut rest)?;
                Record::decode_content(outline, rest).map(Self::Session)
            }
            [VERSION, SEALED_SESSION, rest @ ..] => {
                let mut rest = rest;
                let outline = Outline::decode(&mut rest)?;
                let clear = &bytes[..bytes.len() - rest.len()];
                Record::decode_content(outline, &key()?.open(clear, rest)?).map(Self::Session)
            }
            [VERSION, ALIAS, rest @ ..] => take(&mut &*rest).map(Self::Alias),
            _ => None,
        }
    }

    /// Whether it takes the id to read it.
    #[must_use]
    pub fn is_sealed(bytes: &[u8]) -> bool {
        matches!(bytes, [VERSION, SEALED_SESSION, ..])
    }

    /// The session, if it is one.
    #[must_use]
    pub fn session(&self) -> Option<&Record> {
        match self {
            Self::Session(record) => Some(record),
            Self::Alias(_) => None,
        }
    }
}

fn push(bytes: &mut Vec<u8>, part: &impl Serialize) {
    // Plain data always serialises into a growing buffer; what were cut short would read as no session.
    *bytes = postcard::to_extend(part, std::mem::take(bytes)).unwrap_or_default();
}

fn take<'b, T: Deserialize<'b>>(bytes: &mut &'b [u8]) -> Option<T> {
    let (part, rest) = postcard::take_from_bytes(bytes).ok()?;
    *bytes = rest;
    Some(part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_record_survives_the_store() {
        let mut record = Record::new(Timestamp(5)).unwrap();
        record.identity = Some(Identity {
            name: Some("Änn 🧥".into()),
            groups: vec!["staff".into()],
            since: Timestamp(4),
            ..Identity::named("ann")
        });
        record.expiry = Expiry::At(Timestamp(7));
        record.data.edit(|map| drop(map.insert("cart".into(), serde_json::json!({"a": [1, 2.5, null]}))));
        record.flash.edit(|map| drop(map.insert("note".into(), "once".into())));
        record.predecessor = Some([9; 32]);
        record.issued = Timestamp(3);
        let outline = record.outline();
        let key = SealKey::from_bytes([1; 32]);
        for bytes in [record.encode(), record.sealed(&key).unwrap()] {
            assert_eq!(Open::decode(&bytes), Some(Open::Session(outline)));
            assert_eq!(Stored::decode(&bytes, || Some(key.clone())), Some(Stored::Session(record.clone())));
        }
    }

    #[test]
    fn a_sealed_record_shows_nothing_and_opens_for_its_key_only() {
        let mut record = Record::new(Timestamp(5)).unwrap();
        record.identity = Some(Identity::named("ann-with-a-long-name"));
        record.data.edit(|map| drop(map.insert("cart".into(), "three pounds of tea".into())));
        let bytes = record.sealed(&SealKey::from_bytes([1; 32])).unwrap();
        let secrets: [&[u8]; 3] = [b"ann-with", b"three po", &record.csrf[..8]];
        assert!(!bytes.windows(8).any(|part| secrets.contains(&part)));
        assert_eq!(Stored::decode(&bytes, || None), None);
        assert_eq!(Stored::decode(&bytes, || Some(SealKey::from_bytes([2; 32]))), None);
    }

    #[test]
    fn the_outline_of_a_sealed_record_cannot_be_changed() {
        let key = SealKey::from_bytes([1; 32]);
        let mut bytes = Record::new(Timestamp(1000)).unwrap().sealed(&key).unwrap();
        assert!(Stored::decode(&bytes, || Some(key.clone())).is_some());
        bytes[4] ^= 1;
        assert!(matches!(Open::decode(&bytes), Some(Open::Session(_))));
        assert!(Stored::decode(&bytes, || Some(key.clone())).is_none());
    }

    #[test]
    fn another_version_or_a_broken_record_is_no_session() {
        let mut bytes = Record::new(Timestamp(5)).unwrap().encode();
        assert!(Stored::decode(&bytes[..bytes.len() - 1], || None).is_none());
        bytes[0] = 2;
        assert!(Stored::decode(&bytes, || None).is_none() && Open::decode(&bytes).is_none());
        assert!(Stored::decode(&[], || None).is_none() && Open::decode(&[]).is_none());
    }

    #[test]
    fn an_anonymous_record_adds_little_to_its_data() {
        let mut record = Record::new(Timestamp(1_800_000_000_000)).unwrap();
        record.data.edit(|map| drop(map.insert("k".into(), "v".repeat(92).into())));
        assert_eq!(record.data.text().len(), 100);
        assert!(record.encode().len() <= 128, "{}", record.encode().len());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for kind in [SESSION, ALIAS, SEALED_SESSION] {
                let bytes = [&[VERSION, kind], &*bytes].concat();
                let _ = (Open::decode(&bytes), Stored::decode(&bytes, || Some(SealKey::from_bytes([1; 32]))));
            }
        }
    }
}
