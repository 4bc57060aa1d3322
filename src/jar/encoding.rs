//! How a jar is written into a session's record, with postcard.
//!
//! PERF: a domain is written once for all cookies that follow each other under it, and reading borrows from the record.
//! A million sessions may keep three cookies each.

use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Jar;
use super::cookie::Cookie;
use crate::clock::Timestamp;

/// One cookie.
#[derive(Serialize, Deserialize)]
struct Written<'a> {
    flags: u8,
    name: &'a [u8],
    value: &'a [u8],
    /// Empty: that of the cookie before.
    domain: &'a str,
    path: &'a [u8],
    /// Zero: when the session ends.
    expires: u64,
    rank: u32,
}

impl<'a> Written<'a> {
    fn of(cookie: &'a Cookie, before: Option<&Cookie>) -> Self {
        let domain = cookie.domain();
        Self {
            flags: cookie.flags(),
            name: cookie.name(),
            value: cookie.value(),
            domain: if before.is_some_and(|before| before.domain() == domain) { "" } else { domain },
            path: cookie.path(),
            expires: cookie.expires().map_or(0, |expires| expires.0),
            rank: cookie.rank(),
        }
    }

    fn cookie(&self, before: Option<&Cookie>) -> Option<Cookie> {
        let domain = if self.domain.is_empty() { before?.domain() } else { self.domain };
        let separator: &[u8] = if self.name.is_empty() { b"" } else { b"=" };
        let text = [self.name, separator, self.value, domain.as_bytes(), self.path];
        let expires = (self.expires != 0).then_some(Timestamp(self.expires));
        Cookie::from_stored(self.flags, text, expires, self.rank)
    }
}

impl Serialize for Jar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let before = |at: usize| at.checked_sub(1).map(|at| &self.0[at]);
        serializer.collect_seq((0..self.0.len()).map(|at| Written::of(&self.0[at], before(at))))
    }
}

impl<'de> Deserialize<'de> for Jar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Cookies)
    }
}

struct Cookies;

impl<'de> Visitor<'de> for Cookies {
    type Value = Jar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cookies")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut written: A) -> Result<Jar, A::Error> {
        // No more than a jar holds, whatever the record claims.
        let count = written.size_hint().unwrap_or(0).min(super::MOST_COOKIES);
        let mut cookies: Vec<Cookie> = Vec::with_capacity(count);
        while let Some(next) = written.next_element::<Written<'_>>()? {
            let cookie = next.cookie(cookies.last()).ok_or_else(|| A::Error::custom("not a cookie"))?;
            cookies.push(cookie);
        }
        Ok(Jar(cookies))
    }
}
