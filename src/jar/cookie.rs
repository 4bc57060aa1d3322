//! One cookie as it lies in a jar, and the key that tells it from others.
//!
//! SECURITY: the value stands in no `Debug` output; whoever logs a cookie logs its name.
//! PERF: its text is one allocation, `name=value` first, as a request carries it.

use std::fmt;

use crate::clock::Timestamp;

/// As an expiry: when the session ends.
const NEVER: Timestamp = Timestamp(u64::MAX);

/// Bits of [`Cookie::flags`].
mod flag {
    pub const HOST_ONLY: u8 = 1;
    pub const SECURE: u8 = 2;
    pub const HTTP_ONLY: u8 = 4;
    pub const PARTITIONED: u8 = 8;
    /// Two bits: [`super::SameSite`].
    pub const SAME_SITE_AT: u32 = 4;
}

/// To which requests a browser would add the cookie; remembered, though a jar is asked by one app only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SameSite {
    /// Not said, or a word nobody knows.
    #[default]
    Default,
    /// To all.
    None,
    /// To those of the same site, and to links that lead there.
    Lax,
    /// To those of the same site.
    Strict,
}

/// What tells a cookie from others: name, domain, whether other hosts of the domain get it, path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieKey {
    pub(super) name: Box<[u8]>,
    pub(super) domain: Box<str>,
    pub(super) host_only: bool,
    pub(super) path: Box<[u8]>,
}

impl CookieKey {
    /// Name of the cookie; empty for a nameless one.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    pub(super) fn names(&self, cookie: &Cookie) -> bool {
        *self.name == *cookie.name()
            && *self.path == *cookie.path()
            && self.domain.as_bytes() == cookie.domain_bytes()
            && self.host_only == cookie.host_only()
    }
}

/// What a cookie is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    pub name: &'a [u8],
    pub value: &'a [u8],
    pub domain: &'a str,
    pub path: &'a [u8],
    pub host_only: bool,
    pub secure: bool,
    pub http_only: bool,
    pub partitioned: bool,
    pub same_site: SameSite,
    /// `None`: when the session ends.
    pub expires: Option<Timestamp>,
}

/// A cookie that an app has set.
#[derive(Clone, PartialEq, Eq)]
pub struct Cookie {
    /// `name=value` (or a nameless one's value), domain, path.
    text: Box<[u8]>,
    expires: Timestamp,
    /// Counts the sets of a jar: the cookie with the lowest was not set for longest.
    rank: u32,
    name: u16,
    pair: u16,
    domain: u16,
    flags: u8,
}

impl Cookie {
    /// `None` when name, value or domain is longer than any reader of lines lets it be.
    pub(super) fn new(parts: &Parts<'_>) -> Option<Self> {
        let Parts { name, value, domain, path, .. } = *parts;
        let separator: &[u8] = if name.is_empty() { b"" } else { b"=" };
        let flags = flag_if(parts.host_only, flag::HOST_ONLY)
            | flag_if(parts.secure, flag::SECURE)
            | flag_if(parts.http_only, flag::HTTP_ONLY)
            | flag_if(parts.partitioned, flag::PARTITIONED)
            | (parts.same_site as u8) << flag::SAME_SITE_AT;
        Self::from_stored(flags, [name, separator, value, domain.as_bytes(), path], parts.expires, 0)
    }

    /// The text in its parts (name, `=` unless the name is empty, value, domain, path), and the rest as it is kept.
    pub(super) fn from_stored(flags: u8, text: [&[u8]; 5], expires: Option<Timestamp>, rank: u32) -> Option<Self> {
        let [name, separator, value, domain, _] = text;
        Some(Self {
            name: u16::try_from(name.len()).ok()?,
            pair: u16::try_from(name.len() + separator.len() + value.len()).ok()?,
            domain: u16::try_from(domain.len()).ok()?,
            text: text.concat().into(),
            expires: expires.unwrap_or(NEVER),
            rank,
            flags,
        })
    }

    /// Name; empty for a nameless cookie.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.text[..self.name.into()]
    }

    /// Value, byte for byte as the app wrote it.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        let start = if self.name == 0 { 0 } else { self.name + 1 };
        &self.text[start.into()..self.pair.into()]
    }

    /// `name=value`, or the value of a nameless cookie: its part of a `Cookie` line.
    #[must_use]
    pub fn pair(&self) -> &[u8] {
        &self.text[..self.pair.into()]
    }

    /// Lower-case; the host itself when [`Self::host_only`].
    #[must_use]
    pub fn domain(&self) -> &str {
        // Made from a `&str`, or checked when read from a store: the default is never seen.
        str::from_utf8(self.domain_bytes()).unwrap_or_default()
    }

    pub(super) fn domain_bytes(&self) -> &[u8] {
        let start = usize::from(self.pair);
        &self.text[start..start + usize::from(self.domain)]
    }

    /// Begins with `/`.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        &self.text[usize::from(self.pair) + usize::from(self.domain)..]
    }

    /// Whether hosts below the domain do not get it.
    #[must_use]
    pub fn host_only(&self) -> bool {
        self.has(flag::HOST_ONLY)
    }

    /// Whether the app said `Secure`.
    #[must_use]
    pub fn secure(&self) -> bool {
        self.has(flag::SECURE)
    }

    /// Whether the app hides it from scripts.
    #[must_use]
    pub fn http_only(&self) -> bool {
        self.has(flag::HTTP_ONLY)
    }

    /// Whether the app said `Partitioned`.
    #[must_use]
    pub fn partitioned(&self) -> bool {
        self.has(flag::PARTITIONED)
    }

    /// What the app said of `SameSite`.
    #[must_use]
    pub fn same_site(&self) -> SameSite {
        match self.flags >> flag::SAME_SITE_AT & 3 {
            1 => SameSite::None,
            2 => SameSite::Lax,
            3 => SameSite::Strict,
            _ => SameSite::Default,
        }
    }

    /// When it expires; `None` when the session does.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        (self.expires != NEVER).then_some(self.expires)
    }

    pub(super) fn lives(&self, now: Timestamp) -> bool {
        self.expires > now
    }

    /// Whether this one and `other` have the same key.
    pub(super) fn replaces(&self, other: &Self) -> bool {
        self.name() == other.name()
            && self.path() == other.path()
            && self.domain_bytes() == other.domain_bytes()
            && self.host_only() == other.host_only()
    }

    /// Whether all but expiry and rank is equal.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        self.flags == other.flags && self.text == other.text && self.pair == other.pair && self.domain == other.domain
    }

    pub(super) fn rank(&self) -> u32 {
        self.rank
    }

    pub(super) fn ranked(&self, rank: u32) -> Self {
        Self { rank, ..self.clone() }
    }

    pub(super) fn bytes(&self) -> usize {
        self.text.len()
    }

    pub(super) fn flags(&self) -> u8 {
        self.flags
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cookie")
            .field("name", &self.name().escape_ascii().to_string())
            .field("value_bytes", &self.value().len())
            .field("domain", &self.domain())
            .field("path", &self.path().escape_ascii().to_string())
            .field("flags", &self.flags)
            .field("expires", &self.expires())
            .field("rank", &self.rank)
            .finish()
    }
}

fn flag_if(set: bool, flag: u8) -> u8 {
    if set { flag } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_one_allocation_and_forty_bytes() {
        assert_eq!(size_of::<Cookie>(), 40);
    }

    #[test]
    fn its_debug_output_does_not_show_the_value() {
        let parts = Parts {
            name: b"sid",
            value: b"s3cret",
            domain: "app.example",
            path: b"/",
            host_only: true,
            secure: false,
            http_only: true,
            partitioned: false,
            same_site: SameSite::Strict,
            expires: None,
        };
        let cookie = Cookie::new(&parts).unwrap();
        let shown = format!("{cookie:?}");
        assert!(shown.contains("sid") && !shown.contains("s3cret"), "{shown}");
        assert_eq!((cookie.value(), cookie.pair()), (&b"s3cret"[..], &b"sid=s3cret"[..]));
        assert_eq!((cookie.domain(), cookie.path()), ("app.example", &b"/"[..]));
        assert_eq!(cookie.same_site(), SameSite::Strict);
        assert!(cookie.host_only() && cookie.http_only() && !cookie.secure() && !cookie.partitioned());
    }
}
