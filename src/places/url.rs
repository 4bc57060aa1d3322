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

    /// Path and query of a URL that leads to the app itself, as the browser has them; `None`: it leads elsewhere.
    #[must_use]
    pub fn path_of_own(&self, url: &[u8]) -> Option<Vec<u8>> {
        if is_dubious(url) {
            return None;
        }
        let rest = match url {
            [b'/', b'/', ..] => self.own_rest(&Absolute::read(None, &url[2..])?)?,
            [b'/', ..] => url,
            _ => self.own_rest(&Absolute::of_http(url)?)?,
        };
        let mut out = Vec::with_capacity(rest.len() + self.prefix.len() + 1);
        self.write_rest(rest, &mut out);
        Some(out)
    }

    fn own_rest<'u>(&self, url: &Absolute<'u>) -> Option<&'u [u8]> {
        let https = url.https.unwrap_or(self.https);
        let is_public = self.public.as_ref().is_some_and(|public| public.is(&url.host, https, self.https));
        let is_inner = || self.inner.iter().flatten().any(|inner| inner.is(&url.host, https, false));
        (is_public || is_inner()).then_some(url.rest)
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
pub(super) mod tests;
