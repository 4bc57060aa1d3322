//! Session ids: 32 characters `a-z0-9` from the operating system's generator, 165 bits.
//!
//! An id exists in the browser's cookie and, for the length of a request, here. It has no `Display`, its
//! `Debug` is masked, and stores see its SHA-256 only.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use rand::TryRng;
use rand::rngs::SysRng;

use crate::store::Key;

const LENGTH: usize = 32;
const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
/// The largest multiple of 36 in a byte: bytes above it would favour the first letters.
const UNBIASED: u8 = 252;

/// A session id.
#[derive(Clone, PartialEq, Eq, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct Id([u8; LENGTH]);

/// The operating system gave no random bytes: nothing safe can be done.
#[derive(Debug, thiserror::Error)]
#[error("the operating system's random generator failed")]
pub struct NoRandomness;

impl Id {
    /// Draws a new id.
    ///
    /// # Errors
    /// [`NoRandomness`]; never a weaker id.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut id = [0; LENGTH];
        let mut filled = 0;
        while filled < LENGTH {
            let random: [u8; 48] = random_bytes()?;
            for byte in random.into_iter().filter(|byte| *byte < UNBIASED) {
                if let Some(place) = id.get_mut(filled) {
                    *place = ALPHABET[usize::from(byte % 36)];
                    filled += 1;
                }
            }
        }
        Ok(Self(id))
    }

    /// Reads a cookie value; anything but 32 characters of the alphabet is no id of ours.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let id: [u8; LENGTH] = value.try_into().ok()?;
        // PERF: no early end, so that the compiler looks at 16 characters at a time and no branch is mispredicted.
        id.iter().fold(true, |good, b| good & (b.is_ascii_lowercase() | b.is_ascii_digit())).then_some(Self(id))
    }

    /// Whether a cookie value is this id, found out in the same time wherever they differ.
    #[must_use]
    pub fn is(&self, value: &[u8]) -> bool {
        <&[u8; LENGTH]>::try_from(value)
            .is_ok_and(|value| self.0.iter().zip(value).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0)
    }

    /// The store's name for the session.
    #[must_use]
    pub fn key(&self) -> Key {
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, &self.0).as_ref());
        Key(key)
    }

    /// The id itself, for the `Set-Cookie` line alone.
    #[must_use]
    pub fn reveal(&self) -> &str {
        // Every byte is from the ASCII alphabet: see `generate` and `parse`.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Id(***)")
    }
}

/// Fresh bytes from the operating system.
///
/// # Errors
/// [`NoRandomness`].
pub fn random_bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_of_the_one_form_and_never_repeat() {
        let ids: HashSet<String> = (0..10_000).map(|_| Id::generate().unwrap().reveal().to_owned()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| Id::parse(id.as_bytes()).is_some()));
    }

    #[test]
    fn every_letter_is_equally_likely() {
        let mut counts = [0_u32; 36];
        for _ in 0..10_000 {
            for byte in Id::generate().unwrap().reveal().bytes() {
                counts[ALPHABET.iter().position(|b| *b == byte).unwrap()] += 1;
            }
        }
        let expected = 320_000.0 / 36.0;
        let chi2: f64 = counts.iter().map(|n| (f64::from(*n) - expected).powi(2) / expected).sum();
        // 35 degrees of freedom: 100 is beyond p = 1e-7.
        assert!(chi2 < 100.0, "chi² {chi2}");
    }

    #[test]
    fn only_the_exact_form_is_an_id() {
        for value in
            ["", "short", &"a".repeat(31), &"a".repeat(33), &"A".repeat(32), &"é".repeat(16), &"a b".repeat(11)[..32]]
        {
            assert!(Id::parse(value.as_bytes()).is_none(), "{value}");
        }
    }

    #[test]
    fn debug_output_does_not_show_the_id() {
        let id = Id::generate().unwrap();
        assert_eq!(format!("{id:?} {:?}", id.key()), "Id(***) Key(…)");
    }
}
