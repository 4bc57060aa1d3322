//! What stays under the key of an id that was replaced: the way to its successor.
//!
//! Written by `rotation`, followed by `open` and `commit`. SECURITY: the new id stands here only encrypted
//! under a key that follows from the old id, which no store has; so whoever still holds the old id, and
//! nobody else, can be given the new one. After a sign-in there is none at all.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::id::Id;
use crate::clock::Timestamp;
use crate::store::Key;

/// The way from a replaced id to its successor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// Store key of the successor.
    pub(super) successor: [u8; 32],
    /// The successor's id, encrypted; `None` after a sign-in, when the old id leads nowhere.
    pub(super) sealed: Option<Vec<u8>>,
    /// When the browser first used the successor, or signed in: from then on the grace runs.
    pub(super) used: Option<Timestamp>,
    /// Store key of the id that the old one had replaced, if the browser was never seen to use the old one.
    pub(super) predecessor: Option<[u8; 32]>,
    /// After a sign-in, the secret behind the tokens of forms that were sent out before it.
    pub(super) csrf: Option<[u8; 16]>,
}

impl Alias {
    /// From `old` to `new`. `None` when the cipher fails, which for 32 bytes it does not.
    #[must_use]
    pub(super) fn rotated(old: &Id, new: &Id, predecessor: Option<[u8; 32]>) -> Option<Self> {
        let mut sealed = new.reveal().as_bytes().to_vec();
        let successor = new.key().0;
        key(old, &successor)?.seal_in_place_append_tag(nonce(), Aad::from(old.key().0), &mut sealed).ok()?;
        Some(Self { successor, sealed: Some(sealed), used: None, predecessor, csrf: None })
    }

    /// From an id before sign-in, which must never lead to the id after it.
    #[must_use]
    pub(super) fn signed_in(successor: Key, now: Timestamp, csrf: [u8; 16]) -> Self {
        Self { successor: successor.0, sealed: None, used: Some(now), predecessor: None, csrf: Some(csrf) }
    }

    /// Whether a sign-in replaced the id.
    #[must_use]
    pub(super) fn is_of_sign_in(&self) -> bool {
        self.sealed.is_none()
    }

    /// The successor's id, for the holder of the old one.
    #[must_use]
    pub(super) fn open(&self, old: &Id) -> Option<Id> {
        let mut sealed = Zeroizing::new(self.sealed.clone()?);
        let id = key(old, &self.successor)?.open_in_place(nonce(), Aad::from(old.key().0), &mut sealed).ok()?;
        Id::parse(id)
    }
}

/// One key for one message: rotations that race seal different ids, each under a key of its own.
fn key(old: &Id, successor: &[u8; 32]) -> Option<LessSafeKey> {
    let key = Salt::new(HKDF_SHA256, b"cloakroom").extract(old.reveal().as_bytes());
    let purpose: [&[u8]; 2] = [b"successor of this session id", successor];
    let key = key.expand(&purpose, &AES_256_GCM).ok()?;
    Some(LessSafeKey::new(UnboundKey::from(key)))
}

/// SECURITY: may be constant, since no key is used for two messages (see [`key`]).
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_old_id_opens_the_way_to_the_new_one() {
        let (old, new, other) = (Id::generate().unwrap(), Id::generate().unwrap(), Id::generate().unwrap());
        let alias = Alias::rotated(&old, &new, None).unwrap();
        assert!(alias.open(&old).is_some_and(|id| id == new));
        assert!(alias.open(&other).is_none() && alias.open(&new).is_none());
    }

    /// With one key and one nonce the two would differ exactly as the ids do (AES-GCM is a stream cipher).
    #[test]
    fn two_ids_sealed_for_one_old_id_do_not_share_a_key_stream() {
        let (old, one, two) = (Id::generate().unwrap(), Id::generate().unwrap(), Id::generate().unwrap());
        let sealed = |id: &Id| Alias::rotated(&old, id, None).unwrap().sealed.unwrap();
        let differences = |a: &[u8], b: &[u8]| a.iter().zip(b).take(32).map(|(a, b)| a ^ b).collect::<Vec<u8>>();
        let of_the_ids = differences(one.reveal().as_bytes(), two.reveal().as_bytes());
        assert_ne!(differences(&sealed(&one), &sealed(&two)), of_the_ids);
    }

    #[test]
    fn what_is_stored_shows_neither_id() {
        let (old, new) = (Id::generate().unwrap(), Id::generate().unwrap());
        let bytes = Alias::rotated(&old, &new, None).unwrap().encode();
        for id in [&old, &new] {
            assert!(!bytes.windows(8).any(|part| id.reveal().as_bytes().windows(8).any(|own| own == part)));
        }
    }

    #[test]
    fn after_a_sign_in_the_old_id_leads_nowhere() {
        let (old, new) = (Id::generate().unwrap(), Id::generate().unwrap());
        assert!(Alias::signed_in(new.key(), Timestamp(0), [0; 16]).open(&old).is_none());
    }
}
