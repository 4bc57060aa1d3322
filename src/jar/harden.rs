//! `cookies: harden`: what a `Set-Cookie` line lacks is added on its way to the browser; all else stays byte for byte.
//!
//! The lines of apps only; our own say all of it already (`session::cookie`).

use http::HeaderValue;

use super::attributes::{self, Attribute};
use super::cookie::SameSite;
use super::set_cookie::same_site;

/// What the browser and the configuration ask of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hardening {
    /// Whether the browser's request was secure.
    pub https: bool,
    /// Whether scripts must be able to read this cookie.
    pub readable: bool,
}

/// The line with `Secure` (over HTTPS), `HttpOnly` (unless readable) and `SameSite=Lax`, each only where it is missing.
/// `SameSite=None` without `Secure`, which browsers refuse, and a `__Host-` cookie that breaks its promise are mended.
#[must_use]
pub fn harden(line: &HeaderValue, how: &Hardening) -> HeaderValue {
    let (pair, attributes) = attributes::split(line.as_bytes());
    let plan = Plan::make(pair, attributes.clone(), *how);
    if plan == Plan::default() {
        return line.clone();
    }
    let mut hard = pair.to_vec();
    for attribute in attributes.filter(|attribute| !plan.drops(attribute)) {
        hard.push(b';');
        hard.extend_from_slice(attribute.raw);
    }
    for addition in plan.additions() {
        hard.extend_from_slice(addition);
    }
    // Made of pieces of a header value; were it none, better the app's line than no cookie.
    HeaderValue::from_bytes(&hard).unwrap_or_else(|_| line.clone())
}

/// What is done to a line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    secure: bool,
    http_only: bool,
    /// In the place of what the line says.
    lax: bool,
    /// In the place of what the line says.
    root: bool,
    no_domain: bool,
}

impl Plan {
    fn make<'l>(pair: &[u8], attributes: impl Iterator<Item = Attribute<'l>> + Clone, how: Hardening) -> Self {
        let says = |name: &str| attributes.clone().any(|attribute| attribute.is(name));
        let last = |name: &str| attributes.clone().filter(|attribute| attribute.is(name)).last();
        let (name, _) = attributes::name_and_value(pair);
        let host = begins(name, b"__Host-");
        // Without it no browser takes these at all.
        let must_be_secure = how.https || host || begins(name, b"__Secure-");
        let secure = must_be_secure && !says("secure");
        let lax = match last("samesite").map(|attribute| same_site(attribute.value)) {
            Some(SameSite::Lax | SameSite::Strict) => false,
            Some(SameSite::None) => !(secure || says("secure")),
            Some(SameSite::Default) | None => true,
        };
        Self {
            secure,
            http_only: !how.readable && !says("httponly"),
            lax,
            root: host && last("path").is_none_or(|path| path.value != b"/"),
            no_domain: host && says("domain"),
        }
    }

    fn drops(&self, attribute: &Attribute<'_>) -> bool {
        (self.lax && attribute.is("samesite"))
            || (self.root && attribute.is("path"))
            || (self.no_domain && attribute.is("domain"))
    }

    fn additions(&self) -> impl Iterator<Item = &'static [u8]> {
        let parts: [(bool, &[u8]); 4] = [
            (self.root, b"; Path=/"),
            (self.secure, b"; Secure"),
            (self.http_only, b"; HttpOnly"),
            (self.lax, b"; SameSite=Lax"),
        ];
        parts.into_iter().filter(|(wanted, _)| *wanted).map(|(_, text)| text)
    }
}

fn begins(name: &[u8], prefix: &[u8]) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Operation, Place, read};
    use super::*;
    use crate::clock::Timestamp;

    const HTTPS: Hardening = Hardening { https: true, readable: false };
    const HTTP: Hardening = Hardening { https: false, readable: false };
    const READABLE: Hardening = Hardening { https: true, readable: true };

    fn hard(line: &str, how: &Hardening) -> String {
        let line = HeaderValue::from_str(line).unwrap();
        String::from_utf8(harden(&line, how).as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_line_gets_what_it_lacks_and_nothing_twice() {
        for (line, how, expected) in [
            ("a=b", HTTPS, "a=b; Secure; HttpOnly; SameSite=Lax"),
            ("a=b", HTTP, "a=b; HttpOnly; SameSite=Lax"),
            ("a=b", READABLE, "a=b; Secure; SameSite=Lax"),
            ("a=b; HttpOnly", READABLE, "a=b; HttpOnly; Secure; SameSite=Lax"),
            ("a=b;secure;HTTPONLY=1; samesite = strict", HTTPS, "a=b;secure;HTTPONLY=1; samesite = strict"),
            ("a=b; Path=/x;", HTTPS, "a=b; Path=/x;; Secure; HttpOnly; SameSite=Lax"),
            ("a=\"b c\"; pAth=/ ; Foo=1", HTTPS, "a=\"b c\"; pAth=/ ; Foo=1; Secure; HttpOnly; SameSite=Lax"),
            ("a=; Max-Age=0", HTTPS, "a=; Max-Age=0; Secure; HttpOnly; SameSite=Lax"),
            ("nameless", HTTPS, "nameless; Secure; HttpOnly; SameSite=Lax"),
            ("Secure=HttpOnly", HTTPS, "Secure=HttpOnly; Secure; HttpOnly; SameSite=Lax"),
        ] {
            assert_eq!(hard(line, &how), expected, "{line}");
        }
    }

    #[test]
    fn same_site_none_goes_with_secure_or_not_at_all() {
        for (line, how, expected) in [
            ("a=b; SameSite=None", HTTPS, "a=b; SameSite=None; Secure; HttpOnly"),
            ("a=b; SameSite=None", HTTP, "a=b; HttpOnly; SameSite=Lax"),
            ("a=b; samesite=NONE; Path=/", HTTP, "a=b; Path=/; HttpOnly; SameSite=Lax"),
            ("a=b; SameSite=None; Secure", HTTP, "a=b; SameSite=None; Secure; HttpOnly"),
            ("a=b; SameSite=None; SameSite=Lax", HTTP, "a=b; SameSite=None; SameSite=Lax; HttpOnly"),
            ("a=b; SameSite=Odd", HTTP, "a=b; HttpOnly; SameSite=Lax"),
            ("a=b; SameSite", HTTP, "a=b; HttpOnly; SameSite=Lax"),
        ] {
            assert_eq!(hard(line, &how), expected, "{line}");
        }
    }

    #[test]
    fn prefixes_keep_their_promise() {
        for (line, how, expected) in [
            ("__Host-a=b", HTTPS, "__Host-a=b; Path=/; Secure; HttpOnly; SameSite=Lax"),
            ("__host-a=b; Path=/x; Domain=d", HTTPS, "__host-a=b; Path=/; Secure; HttpOnly; SameSite=Lax"),
            (
                "__Host-a=b; Path=/x; Path=/; Secure",
                HTTPS,
                "__Host-a=b; Path=/x; Path=/; Secure; HttpOnly; SameSite=Lax",
            ),
            ("__Host-a=b; Path=/", HTTP, "__Host-a=b; Path=/; Secure; HttpOnly; SameSite=Lax"),
            ("__Secure-a=b; Domain=d", HTTP, "__Secure-a=b; Domain=d; Secure; HttpOnly; SameSite=Lax"),
        ] {
            assert_eq!(hard(line, &how), expected, "{line}");
        }
    }

    // SECURITY: browsers ignore an attribute that long, so a line may look safe and not be.
    #[test]
    fn attributes_that_browsers_ignore_for_their_length_count_as_missing() {
        let long = "x".repeat(1025);
        let line = format!("a=b; Secure={long}; HttpOnly={long}");
        assert_eq!(hard(&line, &HTTPS), format!("{line}; Secure; HttpOnly; SameSite=Lax"));
    }

    proptest! {
        #[test]
        fn a_hard_line_is_hard_enough_and_still_sets_the_same(
            name in "[a-z]{0,3}|__Host-[a-z]|__secure-b", value in "[a-z =\"\u{e4}]{0,5}",
            attributes in prop::collection::vec(
                prop_oneof![
                    "(Path|Max-Age|Secure|HttpOnly|SameSite)( ?= ?(/|/x|5|None|lax|Strict|odd))?", "[a-zA-Z =/]{0,9}",
                ], 0..5),
            https: bool, readable: bool,
        ) {
            let text = attributes.iter().fold(format!("{name}={value}"), |line, next| format!("{line};{next}"));
            let line = HeaderValue::from_bytes(text.as_bytes()).unwrap();
            let how = Hardening { https, readable };
            let once = harden(&line, &how);
            prop_assert_eq!(&harden(&once, &how), &once);
            let place = Place { hosts: &["h.example"], paths: &["/"] };
            let now = Timestamp(1);
            let Ok(Operation::Set(hard)) = read(once.as_bytes(), &place, now) else { return Ok(()) };
            prop_assert!(hard.secure() || !https);
            prop_assert!(hard.http_only() || readable);
            prop_assert!(matches!(hard.same_site(), SameSite::Lax | SameSite::Strict) || hard.secure());
            if let Ok(Operation::Set(soft)) = read(line.as_bytes(), &place, now) {
                prop_assert_eq!((hard.pair(), hard.path(), hard.expires()), (soft.pair(), soft.path(), soft.expires()));
            } else {
                // Only what broke the promise of its name was no cookie before.
                prop_assert!(name.starts_with("__"), "{text}");
            }
        }
    }
}
