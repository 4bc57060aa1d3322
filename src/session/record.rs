//! What one session holds, and how it is written down.
//!
//! The encoding begins with a version byte; a record of an unknown version or in pieces is no session
//! (the browser is then anonymous), never an error page.

use serde::{Deserialize, Serialize};

use super::id::{NoRandomness, random_bytes};
use crate::clock::Timestamp;
use crate::identity::Identity;

const VERSION: u8 = 1;

/// The content of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The signed-in user.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// From here the absolute timeout counts: creation, then sign-in.
    #[serde(rename = "s")]
    pub since: Timestamp,
    /// Secret behind the tokens of the gateway's own forms.
    #[serde(rename = "c")]
    pub csrf: [u8; 32],
    /// Data of the app.
    #[serde(rename = "d", default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub data: serde_json::Map<String, serde_json::Value>,
}

impl Record {
    /// A session in which nothing has happened yet.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn new(now: Timestamp) -> Result<Self, NoRandomness> {
        Ok(Self { identity: None, since: now, csrf: random_bytes()?, data: serde_json::Map::new() })
    }

    /// For the store.
    #[must_use]
    pub fn encode(&self) -> Box<[u8]> {
        let mut bytes = vec![VERSION];
        // Maps with string keys and plain structs always serialise; a Vec takes every write.
        let _ = serde_json::to_writer(&mut bytes, self);
        bytes.into()
    }

    /// From the store; `None` for anything this version did not write.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [VERSION, rest @ ..] => serde_json::from_slice(rest).ok(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_record_survives_the_store() {
        let mut record = Record::new(Timestamp(5)).unwrap();
        record.identity = Some(Identity {
            user: "ann".into(),
            name: Some("Änn 🧥".into()),
            email: None,
            groups: vec!["staff".into()],
            since: Timestamp(4),
            proof: [0; 8],
            source: Default::default(),
            rendered: Default::default(),
            vouched: Default::default(),
        });
        record.data.insert("cart".into(), serde_json::json!({"a": [1, 2.5, null]}));
        assert_eq!(Record::decode(&record.encode()), Some(record));
    }

    #[test]
    fn another_version_or_a_broken_record_is_no_session() {
        let mut bytes = Record::new(Timestamp(5)).unwrap().encode();
        assert!(Record::decode(&bytes[..bytes.len() - 1]).is_none());
        bytes[0] = 2;
        assert!(Record::decode(&bytes).is_none());
        assert!(Record::decode(&[]).is_none());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Record::decode(&bytes);
        }
    }
}
