//! The outer layer: `django.core.signing` as session stores use it, and the format before Django 3.1.
//!
//! `payload ":" seconds in base 62 ":" HMAC-SHA256`, all in base64url without padding; a payload that begins with
//! `.` is compressed. Called by `row`. Byte for byte what Django writes, which takes the same zlib (Cargo.toml).

use std::io::{Read, Write};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{self, digest};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use super::Flaw;

/// SECURITY: a session that unpacks to more is somebody's bomb, and larger than any store of ours takes.
const MOST_BYTES: u64 = 8 * 1024 * 1024;

/// What zlib takes when nobody says, as Django does.
const ZLIB_LEVEL: u32 = 6;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// `SECRET_KEY`, then `SECRET_KEY_FALLBACKS`: the first signs, all verify.
pub struct Keys(Vec<Derived>);

/// What follows from one of them.
struct Derived {
    session: hmac::Key,
    legacy_session: hmac::Key,
    password: hmac::Key,
    legacy_password: hmac::Key,
}

/// What was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// What Django's serializer wrote.
    pub bytes: Vec<u8>,
    /// When, in seconds since 1970; sessions from before Django 3.1 do not say.
    pub at: Option<u64>,
}

impl Keys {
    /// `class` is the class of the session store; those that come with Django are all called `SessionStore`.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>, class: &str) -> Self {
        Self(secrets.into_iter().map(|secret| Derived::of(secret, class)).collect())
    }

    /// Checks and unpacks `session_data`.
    ///
    /// # Errors
    /// See [`Flaw`].
    pub fn loads(&self, text: &str) -> Result<Signed, Flaw> {
        let signed = match text.rsplit_once(':') {
            Some((value, signature)) => self.loads_signed(value, signature)?,
            None => self.loads_legacy(text)?,
        };
        // Protocol 2 and later; of an earlier one the parser of JSON says that it is none.
        if signed.bytes.first() == Some(&0x80) { Err(Flaw::Pickle) } else { Ok(signed) }
    }

    /// Signs what Django's serializer would write, at `at` seconds since 1970; `None` without a key.
    #[must_use]
    pub fn dumps(&self, bytes: &[u8], at: u64) -> Option<String> {
        let packed = deflated(bytes).filter(|packed| packed.len() + 1 < bytes.len());
        let payload = match packed {
            Some(packed) => format!(".{}", URL_SAFE_NO_PAD.encode(packed)),
            None => URL_SAFE_NO_PAD.encode(bytes),
        };
        let value = format!("{payload}:{}", base62(at));
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&self.0.first()?.session, value.as_bytes()));
        Some(format!("{value}:{signature}"))
    }

    /// Whether a session that says so of its user (`_auth_user_hash`) began under the user's present password.
    ///
    /// SECURITY: Django asks at each request. A session from before a change of password may still lie in the table.
    #[must_use]
    pub fn know_password(&self, password: &str, said: &str) -> bool {
        let is_by =
            |key| verify_slices_are_equal(hex(&hmac::sign(key, password.as_bytes())).as_bytes(), said.as_bytes());
        self.0.iter().any(|keys| is_by(&keys.password).is_ok() || is_by(&keys.legacy_password).is_ok())
    }

    fn loads_signed(&self, value: &str, signature: &str) -> Result<Signed, Flaw> {
        let is_by = |keys: &Derived| {
            let own = URL_SAFE_NO_PAD.encode(hmac::sign(&keys.session, value.as_bytes()));
            verify_slices_are_equal(own.as_bytes(), signature.as_bytes()).is_ok()
        };
        // SECURITY: before anything of it is read, let alone unpacked.
        if !self.0.iter().any(is_by) {
            return Err(Flaw::Signature);
        }
        let (payload, at) = value.rsplit_once(':').ok_or(Flaw::Format)?;
        let at = number(at).ok_or(Flaw::Format)?;
        let bytes = match payload.strip_prefix('.') {
            Some(packed) => inflated(&URL_SAFE_NO_PAD.decode(packed).map_err(|_| Flaw::Format)?)?,
            None => URL_SAFE_NO_PAD.decode(payload).map_err(|_| Flaw::Format)?,
        };
        Ok(Signed { bytes, at: Some(at) })
    }

    /// Before Django 3.1: base64 of HMAC-SHA1 in hexadecimal, `:` and the content.
    fn loads_legacy(&self, text: &str) -> Result<Signed, Flaw> {
        let bytes = STANDARD.decode(text.trim_ascii_end()).map_err(|_| Flaw::Format)?;
        let colon = bytes.iter().position(|byte| *byte == b':').ok_or(Flaw::Format)?;
        let (signature, content) = (&bytes[..colon], &bytes[colon + 1..]);
        let is_by = |keys: &Derived| {
            let own = hex(&hmac::sign(&keys.legacy_session, content));
            verify_slices_are_equal(own.as_bytes(), signature).is_ok()
        };
        if !self.0.iter().any(is_by) {
            return Err(Flaw::Signature);
        }
        Ok(Signed { bytes: content.to_vec(), at: None })
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({} ***)", self.0.len())
    }
}

impl Derived {
    fn of(secret: &str, class: &str) -> Self {
        // `signing.TimestampSigner`, `crypto.salted_hmac`: the key is a digest of what it is for and the secret.
        let session = format!("django.contrib.sessions.{class}signer");
        let legacy_session = format!("django.contrib.sessions{class}");
        let password = "django.contrib.auth.models.AbstractBaseUser.get_session_auth_hash";
        let key = |digest_by, sign_by, salt: &str| {
            let key = digest(digest_by, [salt.as_bytes(), secret.as_bytes()].concat().as_slice());
            hmac::Key::new(sign_by, key.as_ref())
        };
        let sha256 = |salt| key(&digest::SHA256, hmac::HMAC_SHA256, salt);
        let sha1 = |salt| key(&digest::SHA1_FOR_LEGACY_USE_ONLY, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
        Self {
            session: sha256(&session),
            legacy_session: sha1(&legacy_session),
            password: sha256(password),
            legacy_password: sha1(password),
        }
    }
}

fn inflated(packed: &[u8]) -> Result<Vec<u8>, Flaw> {
    let mut bytes = Vec::new();
    ZlibDecoder::new(packed).take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|_| Flaw::Format)?;
    if bytes.len() as u64 > MOST_BYTES { Err(Flaw::Large) } else { Ok(bytes) }
}

fn deflated(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(ZLIB_LEVEL));
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

fn base62(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(char::from(BASE62[(number % 62) as usize]));
        number /= 62;
        if number == 0 {
            return digits.into_iter().rev().collect();
        }
    }
}

fn number(text: &str) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.bytes().try_fold(0_u64, |number, byte| {
        let digit = BASE62.iter().position(|digit| *digit == byte)?;
        number.checked_mul(62)?.checked_add(digit as u64)
    })
}

fn hex(tag: &hmac::Tag) -> String {
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
