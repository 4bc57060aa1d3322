//! One app behind a route, compiled from the configuration: where it is, what `Host` it sees, its limits.
//!
//! `gateway` builds these once per configuration; every worker reads the same one. Connections to it live
//! in `pool`, per worker.

use std::net::Ipv6Addr;
use std::time::Duration;

use http::Uri;
use http::header::HeaderValue;

use crate::config::schema::{self, HostHeader};

const DEFAULT_PORT: u16 = 80;

/// Where a route's requests go. Immutable.
#[derive(Debug, Clone)]
pub struct Upstream {
    pub(super) id: usize,
    /// A name or address, IPv6 without brackets.
    pub(super) host: Box<str>,
    pub(super) port: u16,
    pub(super) connect_timeout: Duration,
    pub(super) first_byte_timeout: Duration,
    pub(super) idle_timeout: Duration,
    authority: HeaderValue,
    host_header: HostPolicy,
    max_body_size: Option<u64>,
}

#[derive(Debug, Clone)]
enum HostPolicy {
    Preserve,
    Fixed(HeaderValue),
}

/// What is wrong with `upstream` in the configuration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    /// No `url`.
    #[error("`url` is missing: write where the app listens, such as http://wiki:8080")]
    Missing,
    /// Not a URL at all.
    #[error("`{0}` is not a URL: write http://HOST:PORT, such as http://wiki:8080")]
    Malformed(String),
    /// `https` or something else.
    #[error("`{0}` is not http: apps are reached by http://HOST:PORT")]
    Scheme(String),
    /// A path, query or user in the URL.
    #[error("`{0}` has more than host and port: write http://HOST:PORT, the path comes from the request")]
    NotOnlyHostAndPort(String),
    /// `host` cannot be a `Host` header.
    #[error("`{0}` cannot be a Host header: write preserve, upstream or a host name")]
    Host(String),
}

impl Upstream {
    /// Compiles `config`; `id` is its place in the [`Pools`](super::Pools), unique and small.
    ///
    /// # Errors
    /// [`ConfigError`] when the URL or the host cannot work.
    pub fn from_config(id: usize, config: &schema::Upstream) -> Result<Self, ConfigError> {
        let url = config.url.as_deref().ok_or(ConfigError::Missing)?;
        let uri = parse(url)?;
        let host = bare_host(&uri).ok_or_else(|| ConfigError::Malformed(url.into()))?;
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let authority = HeaderValue::from_str(authority).map_err(|_| ConfigError::Malformed(url.into()))?;
        Ok(Self {
            id,
            host: host.into(),
            port: uri.port_u16().unwrap_or(DEFAULT_PORT),
            connect_timeout: config.connect_timeout.get(),
            first_byte_timeout: config.first_byte_timeout.get(),
            idle_timeout: config.idle_timeout.get(),
            host_header: HostPolicy::from_config(&config.host, &authority)?,
            authority,
            max_body_size: config.max_body_size.map(schema::Size::bytes),
        })
    }

    /// What must be the same for a connection to serve another upstream's requests.
    pub(super) fn target(&self) -> (Box<str>, u16) {
        (self.host.clone(), self.port)
    }

    /// The `Host` header for the app, given what the client asked for (already checked).
    #[must_use]
    pub fn host_header(&self, from_client: &HeaderValue) -> HeaderValue {
        match &self.host_header {
            HostPolicy::Fixed(host) => host.clone(),
            HostPolicy::Preserve => from_client.clone(),
        }
    }

    /// Host and port as written, for logs.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.authority.to_str().unwrap_or_default()
    }

    /// Largest request body in bytes; `None` is no bound.
    #[must_use]
    pub fn max_body_size(&self) -> Option<u64> {
        self.max_body_size
    }
}

fn parse(url: &str) -> Result<Uri, ConfigError> {
    let uri: Uri = url.parse().map_err(|_| ConfigError::Malformed(url.into()))?;
    let Some(authority) = uri.authority() else { return Err(ConfigError::Malformed(url.into())) };
    match uri.scheme_str() {
        Some("http") => {}
        Some(_) => return Err(ConfigError::Scheme(url.into())),
        None => return Err(ConfigError::Malformed(url.into())),
    }
    // `Uri` takes any text after the colon; a port that is no number must not become port 80.
    let after_host = authority.as_str().rsplit(']').next().and_then(|rest| rest.split_once(':'));
    let bad_port = after_host.is_some() && uri.port_u16().is_none_or(|port| port == 0);
    if bad_port {
        return Err(ConfigError::Malformed(url.into()));
    }
    if uri.path() != "/" || uri.query().is_some() || url.contains(['@', '#']) {
        return Err(ConfigError::NotOnlyHostAndPort(url.into()));
    }
    Ok(uri)
}

/// The name or address to connect to; in brackets only an IPv6 address may stand.
fn bare_host(uri: &Uri) -> Option<&str> {
    let host = uri.host().filter(|host| !host.is_empty())?;
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok().then_some(address),
        None => Some(host),
    }
}

impl HostPolicy {
    fn from_config(host: &HostHeader, authority: &HeaderValue) -> Result<Self, ConfigError> {
        match host {
            HostHeader::Preserve => Ok(Self::Preserve),
            HostHeader::Upstream => Ok(Self::Fixed(authority.clone())),
            HostHeader::Name(name) => {
                let plain = name.parse::<http::uri::Authority>().is_ok_and(|name| !name.as_str().contains('@'));
                let value = HeaderValue::from_str(name).ok().filter(|_| plain);
                value.map(Self::Fixed).ok_or_else(|| ConfigError::Host(name.clone()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn upstream(url: &str, host: &str) -> Result<Upstream, ConfigError> {
        let host = HostHeader::from(host.to_owned());
        Upstream::from_config(0, &schema::Upstream { url: Some(url.into()), host, ..Default::default() })
    }

    #[test]
    fn a_url_gives_host_port_and_authority() {
        for (url, host, port, authority) in [
            ("http://wiki:8080", "wiki", 8080, "wiki:8080"),
            ("http://wiki/", "wiki", 80, "wiki"),
            ("http://[::1]:81", "::1", 81, "[::1]:81"),
        ] {
            let upstream = upstream(url, "preserve").unwrap();
            assert_eq!((&*upstream.host, upstream.port, upstream.authority()), (host, port, authority));
        }
    }

    #[test]
    fn a_url_that_cannot_work_is_refused_with_what_to_write() {
        for (url, fragment) in [
            ("wiki:8080", "http://HOST:PORT"),
            ("https://wiki", "is not http"),
            ("http://wiki/app", "has more than host and port"),
            ("http://wiki?x", "has more than host and port"),
            ("http://user@wiki", "has more than host and port"),
            ("http://wiki:0", "not a URL"),
            ("http://wiki:99999", "not a URL"),
            ("http://", "not a URL"),
            ("http://:80", "not a URL"),
            ("http://[]", "not a URL"),
            ("http://[wiki]", "not a URL"),
        ] {
            let message = upstream(url, "preserve").map(|_| ()).unwrap_err().to_string();
            assert!(message.contains(fragment), "{url}: {message}");
        }
        let nothing = Upstream::from_config(0, &schema::Upstream::default());
        assert_eq!(nothing.map(|_| ()), Err(ConfigError::Missing));
    }

    #[test]
    fn the_host_header_is_the_clients_the_upstreams_or_a_fixed_name() {
        for (policy, seen) in [("preserve", "shop.example"), ("upstream", "wiki:8080"), ("app.local", "app.local")] {
            assert_eq!(
                upstream("http://wiki:8080", policy).unwrap().host_header(&HeaderValue::from_static("shop.example")),
                seen
            );
        }
        assert!(matches!(upstream("http://wiki", "a b"), Err(ConfigError::Host(_))));
    }

    proptest! {
        #[test]
        fn no_text_makes_a_broken_upstream(url in "(http://)?[a-z0-9.:@/?#\\[\\] ]{0,20}") {
            if let Ok(upstream) = upstream(&url, "preserve") {
                prop_assert!(!upstream.host.is_empty() && upstream.port > 0);
            }
        }
    }
}
