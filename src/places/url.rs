//! One URL of an app's answer, as the browser must see it.
//!
//! SECURITY: what browsers might read in another way than we do (control characters, backslashes, user names, odd
//! slashes) stays as it is, as does every URL of another host: neither may become one of ours.

use std::sync::Arc;

use http::HeaderValue;

use crate::http::client_addr::Client;
use crate::http::target::Host;

/// The names under which one request was made, outside and inside.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// Missing from the app's paths: `/wiki`, or nothing.
    prefix: Arc<str>,
    /// Whether the browser uses TLS.
    https: bool,
    public: Option<Name>,
    /// The upstream's own, and that which the app was sent.
    inner: [Option<Name>; 2],
}

/// A host as it is compared, and its port if one is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    host: Box<str>,
    port: Option<u16>,
}

/// A URL that names a host.
struct Absolute<'u> {
    /// None: `//host/…`.
    https: Option<bool>,
    /// As written.
    authority: &'u str,
    host: Host<'u>,
    /// Path, query and fragment.
    rest: &'u [u8],
}

impl Mapping {
    pub(super) fn new(prefix: Arc<str>, client: &Client, host: &HeaderValue, inner: [&HeaderValue; 2]) -> Self {
        let public = client.public_host(host).map(|(host, port)| Name { host: host.name().into(), port });
        Self { prefix, https: client.https, public, inner: inner.map(Name::read) }
    }

    /// `url` for the browser; `None`: it stays as it is.
    #[must_use]
    pub fn outside(&self, url: &[u8]) -> Option<Vec<u8>> {
        if is_dubious(url) {
            return None;
        }
        match url {
            [b'/', b'/', ..] => self.absolute_outside(&Absolute::read(None, &url[2..])?),
            [b'/', ..] => {
                (!self.prefix.is_empty() && !self.covers(url)).then(|| [self.prefix.as_bytes(), url].concat())
            }
            _ => self.absolute_outside(&Absolute::of_http(url)?),
        }
    }

    /// Whether a host, as a cookie's `Domain` names it, is known only inside.
    pub(super) fn is_inner_domain(&self, domain: &str) -> bool {
        let matches = |name: &Option<Name>| name.as_ref().is_some_and(|name| name.is_within(domain));
        !matches(&self.public) && self.inner.iter().any(matches)
    }

    /// What stands before every path outside.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether a path has the prefix already: the app knows of it.
    pub(super) fn covers(&self, path: &[u8]) -> bool {
        path.strip_prefix(self.prefix.as_bytes())
            .is_some_and(|rest| matches!(rest.first(), None | Some(b'/' | b'?' | b'#')))
    }

    /// Whether `host` is the one in the browser's address bar.
    pub(super) fn is_public(&self, host: &Host<'_>, https: bool) -> bool {
        self.public.as_ref().is_some_and(|public| public.is(host, https, self.https))
    }

    fn absolute_outside(&self, url: &Absolute<'_>) -> Option<Vec<u8>> {
        let public = self.public.as_ref()?;
        let https = url.https.unwrap_or(self.https);
        let mut out = Vec::with_capacity(url.rest.len() + 64);
        if public.is(&url.host, https, self.https) {
            // What leads to https already is meant so, whatever the browser uses now.
            let lifted = self.https && !https;
            if !lifted && (self.prefix.is_empty() || self.covers(url.rest)) {
                return None;
            }
            url.write_scheme(https || self.https, &mut out);
            match lifted {
                true => public.write(&mut out),
                false => out.extend_from_slice(url.authority.as_bytes()),
            }
        } else if self.inner.iter().flatten().any(|inner| inner.is(&url.host, https, false)) {
            url.write_scheme(self.https, &mut out);
            public.write(&mut out);
        } else {
            return None;
        }
        self.write_rest(url.rest, &mut out);
        Some(out)
    }

    fn write_rest(&self, rest: &[u8], out: &mut Vec<u8>) {
        if !self.prefix.is_empty() && !self.covers(rest) {
            out.extend_from_slice(self.prefix.as_bytes());
            if rest.first() != Some(&b'/') {
                out.push(b'/');
            }
        }
        out.extend_from_slice(rest);
    }
}

impl Name {
    fn read(authority: &HeaderValue) -> Option<Self> {
        let host = Host::parse(authority.to_str().ok()?).ok()?;
        Some(Self { host: host.name().into(), port: host.port() })
    }

    /// Whether a URL means this host. Apps often know their host and port but not the scheme that the browser uses, so
    /// two default ports are as good as the same port.
    fn is(&self, host: &Host<'_>, https: bool, own_https: bool) -> bool {
        let default = |https| if https { 443 } else { 80 };
        let written = |port: Option<u16>, https| port.filter(|port| *port != default(https));
        *self.host == *host.name()
            && (written(host.port(), https) == written(self.port, own_https)
                || host.port().unwrap_or(default(https)) == self.port.unwrap_or(default(own_https)))
    }

    /// Domain-matching of RFC 6265 §5.1.3, for names; an address is matched as a whole.
    fn is_within(&self, domain: &str) -> bool {
        let is_address = self.host.starts_with('[') || self.host.parse::<std::net::Ipv4Addr>().is_ok();
        let below = || self.host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
        *self.host == *domain || (!is_address && below())
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.host.as_bytes());
        if let Some(port) = self.port {
            out.extend_from_slice(format!(":{port}").as_bytes());
        }
    }
}

impl<'u> Absolute<'u> {
    /// `http://…` or `https://…`.
    pub(super) fn of_http(url: &'u [u8]) -> Option<Self> {
        let scheme = url.iter().position(|byte| *byte == b':').map(|colon| &url[..colon])?;
        let https = scheme.eq_ignore_ascii_case(b"https");
        if !https && !scheme.eq_ignore_ascii_case(b"http") {
            return None;
        }
        Self::read(Some(https), url[scheme.len()..].strip_prefix(b"://")?)
    }

    /// What follows the two slashes. A user name, an empty host or a bad port is nobody's.
    fn read(https: Option<bool>, text: &'u [u8]) -> Option<Self> {
        let end = text.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(text.len());
        let authority = std::str::from_utf8(&text[..end]).ok()?;
        Some(Self { https, authority, host: Host::parse(authority).ok()?, rest: &text[end..] })
    }

    fn write_scheme(&self, https: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(match (self.https, https) {
            (None, _) => b"//",
            (Some(_), true) => b"https://",
            (Some(_), false) => b"http://",
        });
    }
}

/// Host, path and query of an absolute URL, for [`super::destination`].
pub(super) fn read_absolute(url: &str) -> Option<(Host<'_>, bool, &str)> {
    let Absolute { https, host, rest, .. } = Absolute::of_http(url.as_bytes())?;
    Some((host, https.unwrap_or_default(), std::str::from_utf8(rest).ok()?))
}

/// Browsers drop tabs and line ends anywhere, and read `\` as `/` before the query.
pub(super) fn is_dubious(url: &[u8]) -> bool {
    let place = url.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default();
    place.contains(&b'\\') || url.iter().any(u8::is_ascii_control)
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::SocketAddr;

    use http::HeaderMap;
    use proptest::prelude::*;

    use super::*;
    use crate::http::client_addr::TrustedProxies;
    use crate::http::peer::Peer;

    /// The names of a request for `public` (with its scheme), to an app at `wiki:8080` that was sent `sent`.
    pub(in crate::places) fn mapping(public: &str, sent: &str, prefix: &str) -> Mapping {
        let (scheme, host) = public.split_once("://").unwrap();
        let proxy: SocketAddr = "10.0.0.1:1".parse().unwrap();
        let trusted = TrustedProxies::from_config(&["10.0.0.0/8".parse().unwrap()]);
        let headers = HeaderMap::from_iter([("x-forwarded-proto".parse().unwrap(), scheme.parse().unwrap())]);
        let client = Client::settle(&headers, &Peer::clear(proxy), &trusted);
        let upstream = HeaderValue::from_static("wiki:8080");
        Mapping::new(prefix.into(), &client, &host.parse().unwrap(), [&upstream, &sent.parse().unwrap()])
    }

    fn becomes(mapping: &Mapping, cases: &[(&str, &str)]) {
        for (url, want) in cases {
            let found = mapping.outside(url.as_bytes());
            let found = found.map_or((*url).to_owned(), |new| String::from_utf8(new).unwrap());
            assert_eq!(found, *want, "{url}");
            assert_eq!(mapping.outside(found.as_bytes()), None, "{url} is not left alone the second time");
        }
    }

    #[test]
    fn the_apps_own_names_become_the_public_one() {
        becomes(
            &mapping("https://shop.example", "app.local", ""),
            &[
                ("http://wiki:8080/x?y#z", "https://shop.example/x?y#z"),
                ("https://wiki:8080/x", "https://shop.example/x"),
                ("HTTP://WIKI.:8080", "https://shop.example"),
                ("http://wiki:8080?q", "https://shop.example?q"),
                ("//wiki:8080/x", "//shop.example/x"),
                ("http://app.local/x", "https://shop.example/x"),
                ("http://app.local:80/x", "https://shop.example/x"),
                ("https://app.local/x", "https://shop.example/x"),
                // The app ignores X-Forwarded-Proto, or -Port, or both.
                ("http://shop.example/x", "https://shop.example/x"),
                ("http://shop.example:80/x", "https://shop.example/x"),
                ("http://shop.example:443/x", "https://shop.example/x"),
                ("https://shop.example:443/x", "https://shop.example:443/x"),
                ("//shop.example/x", "//shop.example/x"),
            ],
        );
        becomes(
            &mapping("http://shop.example:8000", "shop.example:8000", ""),
            &[
                ("http://wiki:8080/x", "http://shop.example:8000/x"),
                // The app means https.
                ("https://shop.example:8000/x", "https://shop.example:8000/x"),
            ],
        );
    }

    #[test]
    fn paths_get_the_prefix_back_once() {
        becomes(
            &mapping("https://shop.example", "shop.example", "/wiki"),
            &[
                ("/login", "/wiki/login"),
                ("/", "/wiki/"),
                ("/wiki", "/wiki"),
                ("/wiki?a", "/wiki?a"),
                ("/wiki/login", "/wiki/login"),
                ("/wikis", "/wiki/wikis"),
                ("/a?to=/wiki/", "/wiki/a?to=/wiki/"),
                ("http://wiki:8080", "https://shop.example/wiki/"),
                ("http://wiki:8080?q", "https://shop.example/wiki/?q"),
                ("http://wiki:8080/a", "https://shop.example/wiki/a"),
                ("http://wiki:8080/wiki/a", "https://shop.example/wiki/a"),
                ("http://shop.example/a", "https://shop.example/wiki/a"),
                ("https://Shop.Example/a", "https://Shop.Example/wiki/a"),
                ("//shop.example/a", "//shop.example/wiki/a"),
            ],
        );
    }

    #[test]
    fn everything_else_stays_byte_for_byte() {
        let mapping = mapping("https://shop.example", "app.local", "/wiki");
        for url in [
            "",
            "login",
            "./x",
            "../x",
            "?x",
            "#x",
            "mailto:a@b",
            "javascript:1",
            "data:,/x",
            "ftp://wiki:8080/x",
            "http://wiki/x",
            "http://wiki:8081/x",
            "http://wiki:8080@evil/x",
            "http://evil@wiki:8080/x",
            "http://evil.example/wiki:8080",
            "http://wikis:8080/",
            "http://wiki:8080x/",
            "http://wiki:0/",
            "http://wiki:99999/",
            "http:/wiki:8080/x",
            "http:wiki:8080/x",
            "http:///x",
            "///x",
            "////x",
            "//",
            "//evil/x",
            "/\\evil/x",
            "\\/evil/x",
            "\\\\evil/x",
            "//evil\\@wiki:8080/",
            "/\t/evil/x",
            "\t//evil",
            "http://wiki:8080\\x",
            "ht\ntp://wiki:8080/",
            "http://wiki%3a8080/",
            "http://[wiki]:8080/",
            "https://shop.example.evil/",
            "https://shop.example:8443/x",
            "https://xshop.example/",
        ] {
            assert_eq!(mapping.outside(url.as_bytes()), None, "{url}");
        }
        assert_eq!(mapping.outside(b"http://\xff/"), None);
    }

    #[test]
    fn an_address_needs_its_brackets_and_its_port() {
        let mapping = mapping("http://[2001:db8::1]:81", "[::1]:9000", "");
        becomes(
            &mapping,
            &[
                ("http://[::1]:9000/x", "http://[2001:db8::1]:81/x"),
                ("http://[::1]/x", "http://[::1]/x"),
                ("http://[2001:db8::1]:81/x", "http://[2001:db8::1]:81/x"),
            ],
        );
    }

    fn url() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            Just("http:"),
            Just("https:"),
            Just("HTTP:"),
            Just("//"),
            Just("/"),
            Just("\\"),
            Just("wiki:8080"),
            Just("wiki"),
            Just("shop.example"),
            Just(":80"),
            Just(":443"),
            Just("app.local"),
            Just("evil.example"),
            Just("@"),
            Just("?"),
            Just("#"),
            Just("."),
            Just(".."),
            Just("%2f"),
            Just("\t"),
            Just("\n"),
            Just(" "),
            Just("x"),
            Just("[::1]"),
            Just("ä"),
            Just("&")
        ];
        prop::collection::vec(part, 0..9).prop_map(|parts| parts.concat())
    }

    /// Where a browser goes, by a parser of URLs that is not ours.
    fn goes_to(base: &str, url: &str) -> Option<(String, String)> {
        let to = url::Url::parse(base).unwrap().join(url).ok()?;
        Some((to.host_str()?.to_owned(), format!("{:?}", to.port_or_known_default())))
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(url in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = mapping("https://shop.example", "app.local", "/wiki").outside(&url);
        }

        #[test]
        fn only_our_own_names_lead_to_us_and_once_is_enough(url in url(), prefix in "(/wiki)?") {
            let mapping = mapping("https://shop.example", "app.local", &prefix);
            let Some(new) = mapping.outside(url.as_bytes()) else { return Ok(()) };
            let new = String::from_utf8(new).unwrap();
            prop_assert_eq!(mapping.outside(new.as_bytes()), None, "{} {}", url, new);
            let base = "https://shop.example/wiki/x";
            let (to, _) = goes_to(base, &new).unwrap();
            prop_assert_eq!(&to, "shop.example", "{} {}", url, new);
            let (from, port) = goes_to(base, &url).unwrap();
            let ours = match from.as_str() {
                "wiki" => port == "Some(8080)",
                "app.local" | "shop.example" => port == "Some(80)" || port == "Some(443)",
                _ => false,
            };
            prop_assert!(ours, "{} led to {} {}", url, from, port);
        }
    }
}
