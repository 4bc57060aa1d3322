//! Which pages may open a WebSocket: browsers let any page try, and send the cookie along (RFC 6455 §10.2).
//!
//! Asked by `pipeline` before an app hears of the handshake. No same-origin policy and no preflight stands before it,
//! so `Origin` is all there is.

use http::{HeaderMap, header};

use super::csrf;

/// A page that may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a page of another origin opens a WebSocket (websocket_origins)")]
pub struct ForeignOrigin;

/// What a handshake is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Handshake<'a> {
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// The host it is for, with the port if the client wrote one.
    pub host: &'a str,
    /// Whether it came over TLS, as far as is known.
    pub https: bool,
    /// Whether it brings anything of ours.
    pub has_ticket: bool,
}

impl Handshake<'_> {
    /// Lets pass what a page of this host opens, one of the exact origins `others`, or a program: that sends no `Origin`,
    /// and nothing that a browser would have added by itself.
    ///
    /// # Errors
    /// [`ForeignOrigin`]; also for `null`, for more than one `Origin`, and for a page in clear before a host with TLS.
    pub fn check(&self, others: &[String]) -> Result<(), ForeignOrigin> {
        let mut lines = self.headers.get_all(header::ORIGIN).iter();
        let may_pass = match (lines.next().map(|line| line.to_str().unwrap_or_default()), lines.next()) {
            (_, Some(_)) => false,
            (Some(origin), None) if others.iter().any(|other| other.eq_ignore_ascii_case(origin)) => true,
            // SECURITY: `null` is every sandboxed frame, wherever its page comes from.
            (Some(origin), None) => origin != "null" && !(self.https && origin.starts_with("http:")) && self.is_ours(),
            (None, None) => !self.has_ticket && self.is_ours(),
        };
        if may_pass { Ok(()) } else { Err(ForeignOrigin) }
    }

    fn is_ours(&self) -> bool {
        csrf::same_origin(self.headers, self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &[(&'static str, &str)], https: bool, has_ticket: bool, others: &[&str]) -> bool {
        let headers =
            lines.iter().map(|(name, value)| (name.parse::<header::HeaderName>().unwrap(), value.parse().unwrap()));
        let headers: HeaderMap = headers.collect();
        let others: Vec<String> = others.iter().map(|other| (*other).to_owned()).collect();
        Handshake { headers: &headers, host: "chat.example:8443", https, has_ticket }.check(&others).is_ok()
    }

    #[test]
    fn a_page_of_the_host_may_and_no_other_that_looks_like_it() {
        for (origin, may) in [
            ("https://chat.example:8443", true),
            ("https://CHAT.example:8443", true),
            ("http://chat.example:8443", false),
            ("https://chat.example", false),
            ("https://chat.example:443", false),
            ("https://chat.example:8443.evil.example", false),
            ("https://evil-chat.example:8443", false),
            ("https://evil.example", false),
            ("https://chat.example:8443@evil.example", false),
            ("https://chat.example:8443/", false),
            ("wss://chat.example:8443", false),
            ("chat.example:8443", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(check(&[("origin", origin)], true, true, &[]), may, "{origin}");
            assert_eq!(check(&[("origin", origin)], true, false, &[]), may, "{origin}, without a cookie");
        }
        assert!(check(&[("origin", "http://chat.example:8443")], false, true, &[]), "TLS may end before us");
        let sandboxed = [("origin", "null"), ("sec-fetch-site", "same-origin")];
        assert!(!check(&sandboxed, true, true, &[]));
        let twice = [("origin", "https://chat.example:8443"), ("origin", "https://chat.example:8443")];
        assert!(!check(&twice, true, true, &[]));
        let denied = [("origin", "https://chat.example:8443"), ("sec-fetch-site", "cross-site")];
        assert!(!check(&denied, true, true, &[]), "the browser says otherwise");
    }

    #[test]
    fn a_program_may_unless_it_brings_what_a_browser_would() {
        assert!(check(&[], true, false, &[]));
        assert!(!check(&[], true, true, &[]));
        assert!(!check(&[("sec-fetch-site", "cross-site")], true, false, &[]));
    }

    #[test]
    fn others_are_named_exactly() {
        let others = ["https://pages.example", "http://localhost:3000"];
        for origin in others {
            assert!(check(&[("origin", origin), ("sec-fetch-site", "cross-site")], true, true, &others));
        }
        for origin in ["http://pages.example", "https://pages.example:444", "https://a.pages.example", "null"] {
            assert!(!check(&[("origin", origin)], true, true, &others), "{origin}");
        }
    }
}
