//! Records at rest, sealed so that only the browser's id opens them.
//!
//! Used by `record` for stores that outlive this process, and by `alias`. A stolen disk, Redis or table shows
//! the envelope and times, never what an app or a user keeps. The key follows from the id, which is nowhere but
//! in the browser (HKDF, RFC 5869; AES-256-GCM, RFC 5116).

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::id::{Id, NoRandomness, random_bytes};

/// Opens the record of one id. Written down only where that is sealed itself.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
pub struct SealKey([u8; 32]);

/// What the derived key is for, so that no two purposes share one.
pub enum Purpose<'a> {
    /// The record under the id.
    Record,
    /// What an alias hides, by the successor's store key: rotations that race seal different things.
    Way(&'a [u8; 32]),
}

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        32
    }
}

impl SealKey {
    /// `None` when the library fails, which for this length it does not.
    #[must_use]
    pub fn of(id: &Id, purpose: &Purpose<'_>) -> Option<Self> {
        let extracted = Salt::new(HKDF_SHA256, b"cloakroom").extract(id.reveal().as_bytes());
        let info: [&[u8]; 2] = match purpose {
            Purpose::Record => [b"record of this session id", b""],
            Purpose::Way(successor) => [b"successor of this session id", *successor],
        };
        let mut key = Self([0; 32]);
        extracted.expand(&info, Length).ok()?.fill(&mut key.0).ok()?;
        Some(key)
    }

    /// The key of one message, for a key that seals very many: with the nonce it makes 192 random bits, so that two
    /// messages never share a key stream (as XAES-256-GCM does).
    #[must_use]
    pub fn of_message(&self, salt: &[u8; 12]) -> Option<Self> {
        let extracted = Salt::new(HKDF_SHA256, salt).extract(&self.0);
        let mut key = Self([0; 32]);
        extracted.expand(&[b"one session cookie"], Length).ok()?.fill(&mut key.0).ok()?;
        Some(key)
    }

    /// A key that was itself sealed.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// To be sealed itself.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Nonce, ciphertext and tag. `clear`, which stands beside them, cannot be exchanged.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn seal(&self, clear: &[u8], content: &[u8]) -> Result<Vec<u8>, NoRandomness> {
        // SECURITY: random, as a record is written again and again under one key: 2^32 times are safe (NIST SP 800-38D).
        let nonce: [u8; NONCE_LEN] = random_bytes()?;
        let mut sealed = Zeroizing::new(content.to_vec());
        let nonce_of_the_message = Nonce::assume_unique_for_key(nonce);
        let tag = self.cipher().ok_or(NoRandomness)?.seal_in_place_separate_tag(
            nonce_of_the_message,
            Aad::from(clear),
            &mut sealed,
        );
        Ok([&nonce, sealed.as_slice(), tag.map_err(|_| NoRandomness)?.as_ref()].concat())
    }

    /// What was sealed, if with this key and beside the same `clear`.
    #[must_use]
    pub fn open(&self, clear: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut content = Zeroizing::new(rest.to_vec());
        let length = self
            .cipher()?
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(clear), &mut content)
            .ok()?
            .len();
        content.truncate(length);
        Some(content)
    }

    fn cipher(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&AES_256_GCM, &self.0).ok().map(LessSafeKey::new)
    }
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(id: &Id) -> SealKey {
        SealKey::of(id, &Purpose::Record).unwrap()
    }

    #[test]
    fn another_id_another_purpose_or_another_envelope_opens_nothing() {
        let (id, other) = (Id::generate().unwrap(), Id::generate().unwrap());
        let sealed = key(&id).seal(b"clear", b"content").unwrap();
        assert_eq!(key(&id).open(b"clear", &sealed).unwrap().as_slice(), b"content");
        assert!(key(&other).open(b"clear", &sealed).is_none());
        assert!(key(&id).open(b"clean", &sealed).is_none());
        assert!(SealKey::of(&id, &Purpose::Way(&[0; 32])).unwrap().open(b"clear", &sealed).is_none());
    }

    #[test]
    fn two_messages_under_one_key_share_no_key_stream() {
        let key = key(&Id::generate().unwrap());
        assert_ne!(key.seal(b"", b"content").unwrap()[12..], key.seal(b"", b"content").unwrap()[12..]);
    }

    proptest! {
        #[test]
        fn a_changed_bit_is_found(content in prop::collection::vec(any::<u8>(), 0..100), bit in any::<prop::sample::Index>()) {
            let key = key(&Id::generate().unwrap());
            let mut sealed = key.seal(b"clear", &content).unwrap();
            let bit = bit.index(sealed.len() * 8);
            sealed[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(key.open(b"clear", &sealed).is_none());
        }

        #[test]
        fn arbitrary_bytes_open_nothing(sealed in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(key(&Id::generate().unwrap()).open(b"", &sealed).is_none());
        }
    }
}
