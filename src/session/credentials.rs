//! Credentials that a user has typed at sign-in, kept for apps that have a login of their own.
//!
//! Part of a session's `Custody`, and gone with it, with the next sign-in and with the user. SECURITY: sealed by
//! themselves, on top of the record's own sealing: neither the memory of the store nor an export nor the session's id
//! alone shows them, and another session's do not open here. Opened for one login at a time, and wiped after it.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::id::{NoRandomness, random_bytes};
use super::seal::SealKey;
use crate::identity::Identity;

/// Name and password as they were typed.
#[derive(Clone, PartialEq, Eq)]
pub struct Typed {
    /// The name.
    pub user: Zeroizing<String>,
    /// The password.
    pub password: Zeroizing<String>,
}

/// The same, as they are kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedCredentials(Box<[u8]>);

impl SealedCredentials {
    /// Seals what `identity` has just typed, with the first of `keys`.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub(super) fn seal(keys: &[SealKey], identity: &Identity, typed: &Typed) -> Result<Self, NoRandomness> {
        let length = typed.user.len() + typed.password.len() + 1;
        let mut content = Zeroizing::new(Vec::with_capacity(length));
        // A name has no such character: the form refuses it with all that no account is called.
        content.extend_from_slice(typed.user.replace('\0', "").as_bytes());
        content.push(0);
        content.extend_from_slice(typed.password.as_bytes());
        let salt: [u8; 12] = random_bytes()?;
        let key = keys.first().and_then(|key| key.of_message(&salt)).ok_or(NoRandomness)?;
        let sealed = key.seal(&bound_to(identity), &content)?;
        Ok(Self([&salt, sealed.as_slice()].concat().into()))
    }

    /// What was typed, if `identity` rests on that very sign-in.
    pub(super) fn open(&self, keys: &[SealKey], identity: &Identity) -> Option<Typed> {
        let (salt, sealed) = self.0.split_first_chunk::<12>()?;
        let open = |key: &SealKey| key.of_message(salt)?.open(&bound_to(identity), sealed);
        let content = keys.iter().find_map(open)?;
        let end = content.iter().position(|byte| *byte == 0)?;
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(|text| Zeroizing::new(text.to_owned()));
        Some(Typed { user: text(&content[..end])?, password: text(&content[end + 1..])? })
    }
}

/// The session's id and handle change at this very sign-in and later; who signed in, and when, stays.
fn bound_to(identity: &Identity) -> Vec<u8> {
    [b"typed credentials", identity.since.0.to_be_bytes().as_slice(), identity.user.as_bytes()].concat()
}

impl fmt::Debug for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Typed(***)")
    }
}

impl fmt::Debug for SealedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedCredentials(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn typed() -> Typed {
        Typed { user: "Ann".to_owned().into(), password: "correct \0 horse".to_owned().into() }
    }

    #[test]
    fn they_open_for_the_same_sign_in_and_a_key_that_is_still_there() {
        let keys = [SealKey::from_bytes([1; 32]), SealKey::from_bytes([2; 32])];
        let ann = Identity { since: Timestamp(7), ..Identity::named("ann") };
        let sealed = SealedCredentials::seal(&keys, &ann, &typed()).unwrap();
        assert_eq!(sealed.open(&keys, &ann), Some(typed()));
        let rotated = [keys[1].clone(), keys[0].clone()];
        assert_eq!(sealed.open(&rotated, &ann), Some(typed()));
        assert_eq!(sealed.open(&keys[1..], &ann), None);
        assert_eq!(sealed.open(&keys, &Identity { since: Timestamp(7), ..Identity::named("bob") }), None);
        assert_eq!(sealed.open(&keys, &Identity { since: Timestamp(8), ..ann }), None);
    }

    #[test]
    fn neither_the_bytes_nor_what_is_printed_shows_them() {
        let sealed =
            SealedCredentials::seal(&[SealKey::from_bytes([1; 32])], &Identity::named("ann"), &typed()).unwrap();
        assert!(!sealed.0.windows(5).any(|part| part == b"horse"));
        assert_eq!(format!("{sealed:?} {:?}", typed()), "SealedCredentials(***) Typed(***)");
    }
}
