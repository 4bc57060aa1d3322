//! What one session holds, and how it is written down.
//!
//! The encoding begins with a version and a kind; what this version did not write, or what is in pieces, is no
//! session (the browser is then anonymous), never an error page.

use serde::{Deserialize, Serialize};

use super::alias::Alias;
use super::changes::Expiry;
use super::data::Data;
use super::id::{NoRandomness, random_bytes};
use crate::clock::Timestamp;
use crate::identity::Identity;

const VERSION: u8 = 1;
const SESSION: u8 = 1;
const ALIAS: u8 = 2;

/// The content of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
        })
    }

    /// Whether there is anything to keep it for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.identity.is_none() && self.data.is_empty() && self.flash.is_empty() && self.expiry == Expiry::Policy
    }

    /// For the store.
    #[must_use]
    pub fn encode(&self) -> Box<[u8]> {
        encode(SESSION, self)
    }
}

impl Alias {
    /// For the store.
    #[must_use]
    pub fn encode(&self) -> Box<[u8]> {
        encode(ALIAS, self)
    }
}

impl Stored {
    /// From the store; `None` for anything this version did not write.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [VERSION, SESSION, rest @ ..] => postcard::from_bytes(rest).ok().map(Self::Session),
            [VERSION, ALIAS, rest @ ..] => postcard::from_bytes(rest).ok().map(Self::Alias),
            _ => None,
        }
    }

    /// The session, if it is one.
    #[must_use]
    pub fn session(&self) -> Option<&Record> {
        match self {
            Self::Session(record) => Some(record),
            Self::Alias(_) => None,
        }
    }

    /// Store key of the id before this one, as long as its grace does not run.
    #[must_use]
    pub fn predecessor(&self) -> Option<[u8; 32]> {
        match self {
            Self::Session(record) => record.predecessor,
            Self::Alias(alias) => alias.predecessor,
        }
    }
}

fn encode(kind: u8, content: &impl Serialize) -> Box<[u8]> {
    // Plain structs always serialise into a growing buffer; an empty record would read as no session.
    postcard::to_extend(content, vec![VERSION, kind]).unwrap_or_default().into()
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
        assert_eq!(Stored::decode(&record.encode()), Some(Stored::Session(record)));
    }

    #[test]
    fn another_version_or_a_broken_record_is_no_session() {
        let mut bytes = Record::new(Timestamp(5)).unwrap().encode();
        assert!(Stored::decode(&bytes[..bytes.len() - 1]).is_none());
        bytes[0] = 2;
        assert!(Stored::decode(&bytes).is_none());
        assert!(Stored::decode(&[]).is_none());
    }

    #[test]
    fn an_anonymous_record_adds_little_to_its_data() {
        let mut record = Record::new(Timestamp(1_800_000_000_000)).unwrap();
        record.data.edit(|map| drop(map.insert("k".into(), "v".repeat(92).into())));
        assert_eq!(record.data.text().len(), 100);
        assert!(record.encode().len() <= 140, "{}", record.encode().len());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Stored::decode(&bytes);
            let _ = Stored::decode(&[&[VERSION, SESSION], &*bytes].concat());
            let _ = Stored::decode(&[&[VERSION, ALIAS], &*bytes].concat());
        }
    }
}
