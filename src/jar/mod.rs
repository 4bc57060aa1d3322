//! The cookie jar of a browser, for cookies of an app that no browser is to see (RFC 6265bis).
//!
//! The vault keeps jars in sessions: [`read`] turns each `Set-Cookie` line of the app into an [`Operation`],
//! [`Jar::apply`] merges it, [`Jar::matching`] lists what goes back. [`harden()`] is for lines that do go to the browser.
//! This module knows neither sessions nor routes, and asks no clock.
//!
//! Every response counts as received, and every request as sent, over a secure connection: the hop to the app is inside
//! the house, and what the browser spoke was settled before it. So `Secure` cookies are kept and replayed whatever the
//! hop is, and of a secure cookie and its twin without `Secure` (same name, domain and path) the later one stands, as in
//! a browser over HTTPS. The rule that leaves secure cookies alone (§5.7 step 16) guards against a forger on the wire
//! before the browser, where these cookies never are.

mod attributes;
mod cookie;
mod date;
mod encoding;
mod harden;
mod place;
mod set_cookie;
#[cfg(test)]
mod tests;

pub use cookie::{Cookie, CookieKey, SameSite};
pub use harden::{Hardening, harden};
pub use place::Place;
pub use set_cookie::{Refused, Why, read};

use crate::clock::Timestamp;

/// As many cookies as browsers promise to keep for one site.
const MOST_COOKIES: usize = 50;
/// Names, values, domains and paths of a jar together; no app's server takes a longer `Cookie` line anyway.
const MOST_BYTES: usize = 64 * 1024;
/// From here on, what was set long ago has to fear for its place.
const CROWDED: usize = MOST_COOKIES / 2;
/// How far an expiry may move before that is worth a write to the store.
const SMALL_MOVE_MILLIS: u64 = 60_000;

/// What one `Set-Cookie` line does to a jar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Adds the cookie, or puts it in the place of the one with the same key.
    Set(Cookie),
    /// Removes the cookie with this key.
    Delete(CookieKey),
}

impl Operation {
    /// Name of the cookie; empty for a nameless one.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        match self {
            Self::Set(cookie) => cookie.name(),
            Self::Delete(key) => key.name(),
        }
    }
}

/// Cookies of one app for one user; an empty jar takes no memory of the heap.
///
/// PERF: they stand in the order in which they are sent (longer paths first, then older ones), so that a request only
/// filters. The order is what is kept of creation times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Jar(Vec<Cookie>);

impl Jar {
    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many cookies are in it, those that have expired since the last [`Self::apply`] included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// What a request to `place` carries, in the order of RFC 6265bis §5.8.3.
    pub fn matching<'j>(&'j self, place: &Place<'_>, now: Timestamp) -> impl Iterator<Item = &'j Cookie> {
        self.0.iter().filter(move |cookie| cookie.lives(now) && place.sees(cookie))
    }

    /// Does to the jar what the line asked for; to do it twice is to do it once. What has expired goes, and when it is
    /// too much, what was not set for longest.
    pub fn apply(&mut self, operation: &Operation, now: Timestamp) {
        self.0.retain(|cookie| cookie.lives(now));
        match operation {
            Operation::Set(cookie) if cookie.lives(now) => self.set(cookie),
            Operation::Set(cookie) => self.0.retain(|other| !other.replaces(cookie)),
            Operation::Delete(key) => self.0.retain(|cookie| !key.names(cookie)),
        }
    }

    /// Whether the operation would leave the jar as good as it is. Apps that renew their cookie with every response must
    /// not cost a write each time: an expiry may move by a tenth of the life that is left, at most a minute.
    #[must_use]
    pub fn changes_nothing(&self, operation: &Operation, now: Timestamp) -> bool {
        let stored = |found: &dyn Fn(&Cookie) -> bool| self.0.iter().find(|cookie| cookie.lives(now) && found(cookie));
        match operation {
            Operation::Delete(key) => stored(&|cookie| key.names(cookie)).is_none(),
            Operation::Set(new) => match stored(&|cookie| cookie.replaces(new)) {
                Some(old) => old.says_the_same(new) && small_move(old, new, now) && !self.may_soon_lose(old),
                None => !new.lives(now),
            },
        }
    }

    fn set(&mut self, cookie: &Cookie) {
        let latest = self.0.iter().map(Cookie::rank).max().unwrap_or(0);
        match self.0.iter().position(|other| other.replaces(cookie)) {
            Some(at) if self.0[at].rank() == latest => self.0[at] = cookie.ranked(latest),
            Some(at) => self.0[at] = cookie.ranked(latest.saturating_add(1)),
            None => {
                let at = self.0.partition_point(|other| other.path().len() >= cookie.path().len());
                self.0.reserve_exact(1);
                self.0.insert(at, cookie.ranked(latest.saturating_add(1)));
            }
        }
        while self.0.len() > MOST_COOKIES || self.bytes() > MOST_BYTES {
            self.evict();
        }
    }

    // SECURITY: never the newest, or an app that fills the jar could not sign anybody in any more.
    fn evict(&mut self) {
        if let Some((at, _)) = self.0.iter().enumerate().min_by_key(|(_, cookie)| cookie.rank()) {
            self.0.remove(at);
        }
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(Cookie::bytes).sum()
    }

    /// In a crowded jar a cookie that is set again and again must count as set, or it would be evicted as the oldest.
    fn may_soon_lose(&self, cookie: &Cookie) -> bool {
        let later = self.0.iter().filter(|other| other.rank() > cookie.rank()).count();
        later >= CROWDED || (later > 0 && self.bytes() > MOST_BYTES / 2)
    }
}

fn small_move(old: &Cookie, new: &Cookie, now: Timestamp) -> bool {
    match (old.expires(), new.expires()) {
        (Some(old), Some(new)) => {
            let left = old.0.saturating_sub(now.0);
            old.0.abs_diff(new.0) < (left / 10).min(SMALL_MOVE_MILLIS) || old == new
        }
        (old, new) => old == new,
    }
}
