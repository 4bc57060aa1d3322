//! What stays under the key of an id that was replaced: the way to its successor.
//!
//! Written by `rotation`, followed by `open` and `commit`. SECURITY: what leads on stands here only sealed under
//! a key that follows from the old id, which no store has; so whoever still holds the old id, and nobody else,
//! can be given the new one. After a sign-in even they cannot.

use serde::{Deserialize, Serialize};

use super::id::{Id, NoRandomness};
use super::seal::{Purpose, SealKey};
use crate::clock::Timestamp;

/// The way from a replaced id to its successor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// Store key of the successor.
    pub(super) successor: [u8; 32],
    /// The successor's id, or after a sign-in a [`Rest`].
    pub(super) sealed: Box<[u8]>,
    /// A sign-in replaced the id, which leads nowhere now.
    pub(super) of_sign_in: bool,
    /// When the browser first used the successor, or signed in: from then on the grace runs.
    pub(super) used: Option<Timestamp>,
    /// Store key of the id that the old one had replaced, if the browser was never seen to use the old one.
    pub(super) predecessor: Option<[u8; 32]>,
}

/// What is left to an id that a sign-in replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rest {
    /// The secret behind the tokens of forms that were sent out before it.
    pub csrf: [u8; 16],
    /// Opens the successor's record: who signs in a second time keeps what the first time has kept.
    pub key: SealKey,
}

impl Alias {
    /// From `old` to `new`.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub(super) fn rotated(old: &Id, new: &Id, predecessor: Option<[u8; 32]>) -> Result<Self, NoRandomness> {
        let way = Self::seal(old, new, new.reveal().as_bytes())?;
        Ok(Self { predecessor, ..way })
    }

    /// From an id before sign-in, which must never lead to the id after it.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub(super) fn signed_in(old: &Id, new: &Id, now: Timestamp, csrf: &[u8; 16]) -> Result<Self, NoRandomness> {
        let key = SealKey::of(new, &Purpose::Record).ok_or(NoRandomness)?;
        let way = Self::seal(old, new, &[csrf.as_slice(), key.as_bytes()].concat())?;
        Ok(Self { of_sign_in: true, used: Some(now), ..way })
    }

    fn seal(old: &Id, new: &Id, content: &[u8]) -> Result<Self, NoRandomness> {
        let successor = new.key().0;
        let key = SealKey::of(old, &Purpose::Way(&successor)).ok_or(NoRandomness)?;
        let sealed = key.seal(&old.key().0, content)?.into();
        Ok(Self { successor, sealed, of_sign_in: false, used: None, predecessor: None })
    }

    /// Whether a sign-in replaced the id.
    #[must_use]
    pub(super) fn is_of_sign_in(&self) -> bool {
        self.of_sign_in
    }

    /// The successor's id, for the holder of the old one.
    #[must_use]
    pub(super) fn open(&self, old: &Id) -> Option<Id> {
        (!self.of_sign_in).then(|| self.unseal(old)).flatten().and_then(|id| Id::parse(&id))
    }

    /// What a sign-in has left, for the holder of the old id.
    #[must_use]
    pub(super) fn rest(&self, old: &Id) -> Option<Rest> {
        let content = self.of_sign_in.then(|| self.unseal(old)).flatten()?;
        let (csrf, key) = content.split_first_chunk::<16>()?;
        Some(Rest { csrf: *csrf, key: SealKey::from_bytes(key.try_into().ok()?) })
    }

    fn unseal(&self, old: &Id) -> Option<zeroize::Zeroizing<Vec<u8>>> {
        SealKey::of(old, &Purpose::Way(&self.successor))?.open(&old.key().0, &self.sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> (Id, Id) {
        (Id::generate().unwrap(), Id::generate().unwrap())
    }

    #[test]
    fn only_the_old_id_opens_the_way_to_the_new_one() {
        let ((old, new), (other, _)) = (ids(), ids());
        let alias = Alias::rotated(&old, &new, None).unwrap();
        assert!(alias.open(&old).is_some_and(|id| id == new));
        assert!(alias.open(&other).is_none() && alias.open(&new).is_none());
        assert!(alias.rest(&old).is_none());
    }

    #[test]
    fn what_is_stored_shows_neither_id_nor_secret() {
        let (old, new) = ids();
        let rotated = Alias::rotated(&old, &new, None).unwrap().encode();
        let signed_in = Alias::signed_in(&old, &new, Timestamp(0), b"sixteen secrets!").unwrap().encode();
        for secret in [old.reveal(), new.reveal(), "sixteen secrets!"] {
            for bytes in [&rotated, &signed_in] {
                assert!(!bytes.windows(8).any(|part| secret.as_bytes().windows(8).any(|own| own == part)));
            }
        }
    }

    #[test]
    fn after_a_sign_in_the_old_id_leads_nowhere_and_opens_what_is_left() {
        let ((old, new), (other, _)) = (ids(), ids());
        let alias = Alias::signed_in(&old, &new, Timestamp(0), &[7; 16]).unwrap();
        assert!(alias.open(&old).is_none());
        let rest = alias.rest(&old).unwrap();
        assert_eq!(rest, Rest { csrf: [7; 16], key: SealKey::of(&new, &Purpose::Record).unwrap() });
        assert!(alias.rest(&other).is_none());
    }
}
