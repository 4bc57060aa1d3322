//! Cross-site request forgery: a token bound to the session, and the browser's own word on where a form came from.
//!
//! Called by our forms (sign-in, sign-out) before anything else is believed. It keeps no state: the session
//! holds the [`Secret`], and sign-in must replace it together with the session id.

use aws_lc_rs::constant_time;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, header};
use zeroize::Zeroizing;

const SECRET_BYTES: usize = 16;

/// What the session remembers: random bytes, shown to nobody, from which each form's token is made.
pub type Secret = [u8; SECRET_BYTES];

/// A token for one page: `base64url(mask || secret XOR mask)`, 43 characters.
///
/// SECURITY: the mask is new each time, so a compressed response never repeats the same secret text next to
/// text an attacker chose (BREACH, CVE-2013-3587). All tokens of one secret stay valid: two tabs do not
/// disturb each other.
#[must_use]
pub fn token(secret: &Secret) -> String {
    let mask: Secret = rand::random();
    let mut token = Zeroizing::new([0; 2 * SECRET_BYTES]);
    let (left, right) = token.split_at_mut(SECRET_BYTES);
    left.copy_from_slice(&mask);
    for ((out, secret), mask) in right.iter_mut().zip(secret).zip(mask) {
        *out = secret ^ mask;
    }
    URL_SAFE_NO_PAD.encode(*token)
}

/// Whether `token` was made from this secret; compared in constant time.
#[must_use]
pub fn verify(secret: &Secret, token: &str) -> bool {
    let Ok(mut bytes) = URL_SAFE_NO_PAD.decode(token).map(Zeroizing::new) else { return false };
    if bytes.len() != 2 * SECRET_BYTES {
        return false;
    }
    let (mask, masked) = bytes.split_at_mut(SECRET_BYTES);
    for (byte, mask) in masked.iter_mut().zip(mask) {
        *byte ^= *mask;
    }
    constant_time::verify_slices_are_equal(masked, secret).is_ok()
}

/// Whether the browser itself vouches that a page of `host` started this request; silence is no proof.
#[must_use]
pub fn proven_same_origin(headers: &HeaderMap, host: &str) -> bool {
    let speaks = headers.contains_key(SEC_FETCH_SITE) || headers.contains_key(header::ORIGIN);
    let by_itself = headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "none");
    speaks && !by_itself && same_origin(headers, host)
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether the browser says that this request was started by a page of `host` (the request's own `host[:port]`).
///
/// `Sec-Fetch-Site`, where sent, must be `same-origin` or `none`; `Origin`, where sent, must name `host`. The
/// scheme is not compared: behind a proxy that ends TLS we cannot know it. A client that sends neither (curl, an
/// old browser) passes here, and still needs the token.
///
/// `Origin: null` is refused, except where `Sec-Fetch-Site: same-origin` vouches for it: browsers send `null` for
/// forms of a page under `Referrer-Policy: no-referrer`. Plain-HTTP pages get no `Sec-Fetch-Site`, so pages with
/// forms must be served under `Referrer-Policy: same-origin`.
#[must_use]
pub fn same_origin(headers: &HeaderMap, host: &str) -> bool {
    let (Ok(site), Ok(origin)) = (only(headers, &SEC_FETCH_SITE), only(headers, &header::ORIGIN)) else {
        return false;
    };
    if !matches!(site, None | Some("same-origin" | "none")) {
        return false;
    }
    match origin {
        None => true,
        Some("null") => site == Some("same-origin"),
        Some(origin) => names_host(origin, host),
    }
}

/// The value of a header that must not come twice; `Err` when it does, or is not text.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

fn names_host(origin: &str, host: &str) -> bool {
    let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    authority.is_some_and(|authority| {
        let (name, port) = split_port(authority);
        let (own_name, own_port) = split_port(host);
        !name.is_empty() && name.eq_ignore_ascii_case(own_name) && port == own_port
    })
}

/// Name without its final dot, and port; 80 and 443 count as none, since the scheme is not known for sure.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (name, Some(port)),
        _ => (authority, None),
    };
    let port = port.filter(|port| !matches!(*port, "" | "80" | "443"));
    (name.strip_suffix('.').unwrap_or(name), port)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_is_accepted_by_its_own_secret_only() {
        let (ours, theirs): (Secret, Secret) = (rand::random(), rand::random());
        assert!(verify(&ours, &token(&ours)));
        assert!(!verify(&ours, &token(&theirs)));
    }

    #[test]
    fn two_tokens_of_one_secret_differ_and_both_count() {
        let secret: Secret = rand::random();
        let (first, second) = (token(&secret), token(&secret));
        assert_ne!(first, second);
        assert!(verify(&secret, &first) && verify(&secret, &second));
    }

    #[test]
    fn a_token_does_not_contain_the_secret() {
        let secret: Secret = rand::random();
        let bytes = URL_SAFE_NO_PAD.decode(token(&secret)).unwrap();
        assert!(!bytes.windows(SECRET_BYTES).any(|window| window == secret));
    }

    proptest! {
        #[test]
        fn any_text_can_be_verified_and_none_passes(text in ".{0,200}") {
            prop_assert!(!verify(&rand::random(), &text));
        }

        #[test]
        fn one_changed_bit_is_noticed(bit in 0usize..256) {
            let secret: Secret = rand::random();
            let mut bytes = URL_SAFE_NO_PAD.decode(token(&secret)).unwrap();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!verify(&secret, &URL_SAFE_NO_PAD.encode(bytes)));
        }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_browsers_word_decides_where_a_form_came_from() {
        type Case = (&'static [(&'static str, &'static str)], &'static str, bool);
        let table: &[Case] = &[
            (&[], "a.example", true),
            (&[("sec-fetch-site", "same-origin")], "a.example", true),
            (&[("sec-fetch-site", "none")], "a.example", true),
            (&[("sec-fetch-site", "same-site")], "a.example", false),
            (&[("sec-fetch-site", "cross-site")], "a.example", false),
            (&[("sec-fetch-site", "")], "a.example", false),
            (&[("origin", "https://a.example")], "a.example", true),
            (&[("origin", "http://a.example")], "a.example", true),
            (&[("origin", "https://A.Example")], "a.example", true),
            (&[("origin", "https://a.example.")], "a.example", true),
            (&[("origin", "https://a.example")], "a.example:443", true),
            (&[("origin", "http://a.example")], "a.example:80", true),
            (&[("origin", "http://localhost:8080")], "localhost:8080", true),
            (&[("origin", "http://[::1]:8080")], "[::1]:8080", true),
            (&[("origin", "http://[::1]")], "[::1]", true),
            (&[("origin", "http://localhost:8081")], "localhost:8080", false),
            (&[("origin", "http://localhost")], "localhost:8080", false),
            (&[("origin", "https://b.example")], "a.example", false),
            (&[("origin", "https://a.example.evil")], "a.example", false),
            (&[("origin", "https://evil-a.example")], "a.example", false),
            (&[("origin", "ftp://a.example")], "a.example", false),
            (&[("origin", "a.example")], "a.example", false),
            (&[("origin", "https://")], "", false),
            (&[("origin", "null")], "a.example", false),
            (&[("origin", "null"), ("sec-fetch-site", "none")], "a.example", false),
            (&[("origin", "null"), ("sec-fetch-site", "same-origin")], "a.example", true),
            (&[("origin", "https://b.example"), ("sec-fetch-site", "same-origin")], "a.example", false),
            (&[("origin", "https://a.example"), ("sec-fetch-site", "cross-site")], "a.example", false),
            (&[("origin", "https://a.example"), ("origin", "https://a.example")], "a.example", false),
        ];
        for (pairs, host, expected) in table {
            assert_eq!(same_origin(&headers(pairs), host), *expected, "{pairs:?} on {host}");
        }
    }

    #[test]
    fn silence_proves_nothing() {
        assert!(proven_same_origin(&headers(&[("origin", "https://a.example")]), "a.example"));
        assert!(proven_same_origin(&headers(&[("sec-fetch-site", "same-origin")]), "a.example"));
        for pairs in [&[][..], &[("sec-fetch-site", "none")], &[("origin", "https://b.example")]] {
            assert!(!proven_same_origin(&headers(pairs), "a.example"), "{pairs:?}");
        }
    }
}
