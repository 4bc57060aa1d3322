//! Who may ask: the bearer token, the name the listener was called by, and no page of any site.
//!
//! Asked by `admin` before anything is looked at. SECURITY: a listener on loopback is within reach of every program on
//! the machine and of every page in a browser there; one on another address, of the network.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::answer;
use crate::clock::Timestamp;
use crate::config::schema::Admin;
use crate::http::respond::Page;

/// So often is it logged that somebody was refused.
const LOG_EVERY_MS: u64 = 60_000;

/// What a request must bring.
#[derive(Debug, Default)]
pub(super) struct Guard {
    /// SHA-256 of the token: texts of one length, whatever was sent.
    token: Option<[u8; 32]>,
    open: bool,
}

/// When it was last said that somebody was refused.
#[derive(Debug, Default)]
pub(super) struct Refusals(AtomicU64);

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// The token is missing or wrong.
    Token,
    /// Called by a name that is not ours.
    Host,
    /// By a page in a browser.
    Page,
}

impl Guard {
    /// From the configuration.
    pub(super) fn from_config(admin: &Admin) -> Self {
        Self {
            token: admin.token.as_ref().map(|token| hash(token.reveal().as_bytes())),
            // The configuration was checked for this; what was not checked stays shut.
            open: admin.token.is_none() && admin.address.is_some_and(|address| is_loopback(address.ip())),
        }
    }

    /// Whether these headers may ask for what not everybody may know.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Denied> {
        match &self.token {
            // A page that got here by DNS rebinding does not know it, so the name does not matter.
            Some(token) => match bearer(headers).map(|sent| verify_slices_are_equal(&hash(sent), token)) {
                Some(Ok(())) => Ok(()),
                _ => Err(Denied::Token),
            },
            None if !self.open => Err(Denied::Token),
            None if headers.get(header::HOST).is_some_and(is_own_name) => Ok(()),
            None => Err(Denied::Host),
        }
    }
}

impl Refusals {
    /// Says once in a while that somebody was refused.
    pub(super) fn log(&self, denied: Denied, peer: SocketAddr, now: Timestamp) {
        let last = self.0.swap(now.0, Ordering::Relaxed);
        if now.0.abs_diff(last) >= LOG_EVERY_MS {
            tracing::warn!(event = "admin_refused", address = %peer.ip(), reason = denied.code(), "a request to the admin listener was refused");
        } else {
            self.0.store(last, Ordering::Relaxed);
        }
    }
}

/// SECURITY: a page in a browser can post here too; browsers then say so.
pub(super) fn check_sender(headers: &HeaderMap) -> Result<(), Denied> {
    let is_a_page = headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site");
    if is_a_page { Err(Denied::Page) } else { Ok(()) }
}

impl Denied {
    const fn code(self) -> &'static str {
        match self {
            Self::Token => "unauthorized",
            Self::Host => "host_not_allowed",
            Self::Page => "cross_site",
        }
    }

    /// What the client is told.
    pub(super) fn page(self) -> Page {
        let (status, message) = match self {
            Self::Token => (StatusCode::UNAUTHORIZED, "send the token of admin.token as Authorization: Bearer TOKEN"),
            Self::Host => (
                StatusCode::MISDIRECTED_REQUEST,
                "without admin.token the listener is asked by its IP address or as localhost",
            ),
            Self::Page => (StatusCode::FORBIDDEN, "pages in browsers may not do this"),
        };
        let mut page = answer::error(status, self.code(), message);
        if self == Self::Token {
            page.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        page
    }
}

fn hash(text: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text).as_ref());
    hash
}

/// The credentials of the one `Authorization` header (RFC 6750 §2.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let (line, another) = (lines.next()?.as_bytes(), lines.next());
    let (scheme, token) = line.split_at_checked(b"bearer ".len())?;
    (another.is_none() && scheme.eq_ignore_ascii_case(b"bearer ")).then(|| token.trim_ascii())
}

/// SECURITY: a name that some DNS server has made to lead here belongs to a page of its owner (DNS rebinding); an
/// address in the URL, or `localhost`, cannot be made to lead elsewhere first.
fn is_own_name(host: &HeaderValue) -> bool {
    let Ok(authority) = Authority::try_from(host.as_bytes()) else { return false };
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn guard(address: &str, token: Option<&str>) -> Guard {
        Guard::from_config(&Admin {
            address: Some(address.parse().unwrap()),
            token: token.map(|token| token.to_owned().into()),
            token_file: None,
        })
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_token_opens_and_nothing_else_does() {
        let guard = guard("0.0.0.0:9600", Some("right"));
        let sent = |value: &str| guard.check(&headers(&[("host", "gateway:9600"), ("authorization", value)]));
        assert_eq!((sent("Bearer right"), sent("bearer right")), (Ok(()), Ok(())));
        for wrong in ["Bearer wrong", "Bearer ", "Bearer", "Basic right", "right", "Bearer righ", "Bearer right x"] {
            assert_eq!(sent(wrong), Err(Denied::Token), "{wrong}");
        }
        assert_eq!(guard.check(&headers(&[("host", "127.0.0.1")])), Err(Denied::Token));
        let mut twice = headers(&[("authorization", "Bearer right")]);
        twice.append("authorization", "Bearer right".parse().unwrap());
        assert_eq!(guard.check(&twice), Err(Denied::Token));
    }

    #[test]
    fn without_a_token_it_must_be_called_by_its_address() {
        let guard = guard("127.0.0.1:9600", None);
        for own in ["127.0.0.1:9600", "localhost", "LOCALHOST:1", "[::1]:9600", "192.0.2.7"] {
            assert_eq!(guard.check(&headers(&[("host", own)])), Ok(()), "{own}");
        }
        for other in ["evil.example", "127.0.0.1.evil.example:9600", "localhost.evil.example", "localhost.", "", "[::1"]
        {
            assert_eq!(guard.check(&headers(&[("host", other)])), Err(Denied::Host), "{other}");
        }
        assert_eq!(guard.check(&HeaderMap::new()), Err(Denied::Host));
    }

    #[test]
    fn another_address_without_a_token_stays_shut() {
        assert_eq!(guard("0.0.0.0:9600", None).check(&headers(&[("host", "127.0.0.1")])), Err(Denied::Token));
        assert_eq!(Guard::default().check(&headers(&[("host", "127.0.0.1")])), Err(Denied::Token));
    }

    proptest! {
        #[test]
        fn only_addresses_and_localhost_are_own_names(host in "[a-z0-9.:@\\[\\]-]{0,24}") {
            if let Ok(value) = HeaderValue::from_str(&host) && is_own_name(&value) {
                prop_assert!(host.contains("localhost") || host.contains(|c: char| c.is_ascii_digit() || c == ':'));
            }
        }
    }
}
