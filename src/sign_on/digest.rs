//! HTTP Digest (RFC 7616, and servers that know RFC 2617 or 2069 alone): what an app asks for, and the line that answers.
//!
//! `pipeline` puts the line into a request; how often a nonce has been used is `nonces`' business. SECURITY: nothing here
//! keeps a password or what could stand in for one; what is computed on the way is wiped.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, SHA512_256, digest};
use http::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderName, Method};
use http_auth::{ChallengeParser, ChallengeRef};
use md5::{Digest as _, Md5};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use crate::session::Typed;

/// A longer line is no challenge: it would be repeated in each request.
const LONGEST: usize = 4096;

/// Where an app says what comes next.
pub const AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("authentication-info");

/// What stands in a `username*` as it is (RFC 8187 §3.2.1).
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What an app asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    /// As the app calls it, if it does.
    algorithm_name: Option<String>,
    /// `-sess`: a key for each nonce.
    per_session: bool,
    qop: Qop,
    hashes_user: bool,
    is_utf8: bool,
    is_stale: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Md5,
    Sha256,
    Sha512Trunc256,
}

/// Quality of protection: what is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Qop {
    /// RFC 2069: neither a count nor a word of ours.
    Unknown,
    Auth,
    /// The body too.
    Integrity,
}

/// The request that the line is for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'r> {
    /// Its method.
    pub method: &'r Method,
    /// Path and query as they are sent.
    pub target: &'r str,
    /// Whether it has a body.
    pub has_body: bool,
}

/// Why a challenge cannot be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The body would have to be here, all of it.
    #[error("the app wants bodies to be hashed (qop=auth-int alone), which those that pass cannot be")]
    Integrity,
    /// Control characters in the name.
    #[error("the name at the app holds characters that no header can")]
    Name,
}

impl Challenge {
    /// The first in an answer that is understood: apps name them in the order of their preference (RFC 7616 §3.7).
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let lines = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|line| line.to_str().ok());
        lines.filter(|line| line.len() <= LONGEST).find_map(|line| {
            // Some write more than the one space that the parser wants.
            let (scheme, rest) = line.split_once(' ').unwrap_or((line, ""));
            let line = format!("{scheme} {}", rest.trim_start());
            ChallengeParser::new(line.trim_end()).filter_map(Result::ok).find_map(|one| Self::understood(&one))
        })
    }

    fn understood(challenge: &ChallengeRef<'_>) -> Option<Self> {
        if !challenge.scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let value = |name| parameter(challenge, name);
        let is_true = |name| value(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let algorithm_name = value("algorithm");
        let (algorithm, per_session) = Algorithm::read(algorithm_name.as_deref().unwrap_or("MD5"))?;
        Some(Self {
            realm: value("realm")?,
            nonce: value("nonce")?,
            opaque: value("opaque"),
            algorithm,
            algorithm_name,
            per_session,
            qop: Qop::read(&value("qop").unwrap_or_default())?,
            hashes_user: is_true("userhash"),
            is_utf8: value("charset").is_some_and(|charset| charset.eq_ignore_ascii_case("utf-8")),
            is_stale: is_true("stale"),
        })
    }

    /// The same with the nonce that the app wants to see next (RFC 7616 §3.5).
    #[must_use]
    pub fn followed_by(&self, headers: &HeaderMap) -> Option<Self> {
        let line = headers.get(AUTHENTICATION_INFO)?.to_str().ok().filter(|line| line.len() <= LONGEST)?;
        // Parameters alone; with a scheme before them it reads like a challenge.
        let line = format!("Digest {line}");
        let nonce =
            ChallengeParser::new(&line).filter_map(Result::ok).find_map(|info| parameter(&info, "nextnonce"))?;
        (nonce != self.nonce).then(|| Self { nonce, is_stale: false, ..self.clone() })
    }

    /// What the app has made up for it.
    #[must_use]
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// Whether the nonce of the request was too old, and nothing else was wrong.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// The `Authorization` for the `count`th request with this nonce.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn answer(
        &self,
        asked: Asked<'_>,
        count: u32,
        cnonce: &str,
        credentials: &Typed,
    ) -> Result<HeaderValue, NoAnswer> {
        let count = format!("{count:08x}");
        let response = self.response(asked, &count, cnonce, credentials)?;
        let mut line = Line(b"Digest ".to_vec());
        self.name(&credentials.user, &mut line);
        line.quoted("realm", &self.realm);
        line.quoted("nonce", &self.nonce);
        line.quoted("uri", asked.target);
        line.quoted("response", &response);
        if let Some(name) = &self.algorithm_name {
            line.plain("algorithm", name);
        }
        if let Some(opaque) = &self.opaque {
            line.quoted("opaque", opaque);
        }
        if let Some(qop) = self.qop.name() {
            line.plain("qop", qop);
            line.plain("nc", &count);
            line.quoted("cnonce", cnonce);
        }
        let mut value = HeaderValue::from_bytes(&line.0).map_err(|_| NoAnswer::Name)?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// RFC 7616 §3.4.1 to §3.4.3.
    fn response(
        &self,
        asked: Asked<'_>,
        count: &str,
        cnonce: &str,
        credentials: &Typed,
    ) -> Result<Zeroizing<String>, NoAnswer> {
        let hash = |parts: &[&str]| self.algorithm.hash(parts);
        let mut secret = hash(&[&credentials.user, &self.realm, &credentials.password]);
        if self.per_session {
            secret = hash(&[&secret, &self.nonce, cnonce]);
        }
        let method = asked.method.as_str();
        let Some(qop) = self.qop.name() else {
            return Ok(hash(&[&secret, &self.nonce, &hash(&[method, asked.target])]));
        };
        let request = match self.qop {
            Qop::Integrity if asked.has_body => return Err(NoAnswer::Integrity),
            Qop::Integrity => hash(&[method, asked.target, &hash(&[""])]),
            Qop::Auth | Qop::Unknown => hash(&[method, asked.target]),
        };
        Ok(hash(&[&secret, &self.nonce, count, cnonce, qop, &request]))
    }

    /// Hashed where the app wants that (§3.4.4); beyond ASCII in the way it announces, or else byte for byte as browsers do.
    fn name(&self, user: &str, line: &mut Line) {
        if self.hashes_user {
            line.quoted("username", &self.algorithm.hash(&[user, &self.realm]));
            line.plain("userhash", "true");
        } else if self.is_utf8 && !user.is_ascii() {
            line.plain("username*", &format!("UTF-8''{}", utf8_percent_encode(user, PLAIN)));
        } else {
            line.quoted("username", user);
        }
    }
}

impl Algorithm {
    /// With whether it is the `-sess` variant. Old servers are not strict about the case.
    fn read(name: &str) -> Option<(Self, bool)> {
        let name = name.trim().to_ascii_lowercase();
        let (plain, per_session) = name.strip_suffix("-sess").map_or((&*name, false), |plain| (plain, true));
        let algorithm = match plain {
            "md5" => Self::Md5,
            "sha-256" => Self::Sha256,
            "sha-512-256" => Self::Sha512Trunc256,
            _ => return None,
        };
        Some((algorithm, per_session))
    }

    /// Of the parts with a colon between them, in hex.
    fn hash(self, parts: &[&str]) -> Zeroizing<String> {
        let whole = Zeroizing::new(parts.join(":"));
        let hash = |algorithm| digest(algorithm, whole.as_bytes()).as_ref().to_vec();
        let bytes = Zeroizing::new(match self {
            Self::Md5 => Md5::digest(whole.as_bytes()).to_vec(),
            Self::Sha256 => hash(&SHA256),
            Self::Sha512Trunc256 => hash(&SHA512_256),
        });
        // SECURITY: long enough from the start, since a `String` that grows leaves its old bytes behind.
        let mut hex = Zeroizing::new(String::with_capacity(2 * bytes.len()));
        for byte in bytes.iter() {
            // Writing to a `String` cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        hex
    }
}

impl Qop {
    /// The best of a list that we know; `None`: nothing of it.
    fn read(list: &str) -> Option<Self> {
        let lists = |name: &str| list.split(',').any(|one| one.trim().eq_ignore_ascii_case(name));
        if list.trim().is_empty() {
            return Some(Self::Unknown);
        }
        if lists("auth") {
            return Some(Self::Auth);
        }
        lists("auth-int").then_some(Self::Integrity)
    }

    fn name(self) -> Option<&'static str> {
        match self {
            Self::Unknown => None,
            Self::Auth => Some("auth"),
            Self::Integrity => Some("auth-int"),
        }
    }
}

/// An `Authorization` that is being written.
struct Line(Vec<u8>);

impl Line {
    fn quoted(&mut self, name: &str, value: &str) {
        self.begin(name);
        self.0.push(b'"');
        for byte in value.bytes() {
            if matches!(byte, b'"' | b'\\') {
                self.0.push(b'\\');
            }
            self.0.push(byte);
        }
        self.0.push(b'"');
    }

    fn plain(&mut self, name: &str, value: &str) {
        self.begin(name);
        self.0.extend_from_slice(value.as_bytes());
    }

    fn begin(&mut self, name: &str) {
        if !self.0.ends_with(b" ") {
            self.0.extend_from_slice(b", ");
        }
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(b'=');
    }
}

/// The first of that name.
fn parameter(challenge: &ChallengeRef<'_>, name: &str) -> Option<String> {
    let mut all = challenge.params.iter();
    all.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_unescaped())
}

#[cfg(test)]
mod tests;
