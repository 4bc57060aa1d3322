//! Who the client is: its address, scheme and host, through proxies that are trusted to say so.
//!
//! `pipeline` settles this before any decision. What an untrusted peer claims is dropped and rebuilt
//! (RFC 7239 §8.1); towards the app our own hop is added.

use std::net::{IpAddr, SocketAddr};

use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use super::lines::HeaderLines;
use super::peer::Peer;
use super::target::Host;

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub(super) const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Networks whose forwarding headers are believed.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// From the configuration.
    #[must_use]
    pub fn from_config(networks: &[IpNet]) -> Self {
        Self(networks.to_vec())
    }

    fn contains(&self, address: IpAddr) -> bool {
        !self.0.is_empty() && self.0.iter().any(|net| net.contains(&address.to_canonical()))
    }
}

/// The browser's end of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its address, as far as it can be trusted.
    pub address: IpAddr,
    /// Whether the browser spoke TLS, to us or to a trusted proxy.
    pub https: bool,
    /// What goes to the app as forwarding headers.
    forwarded: Forwarded,
}

/// Claims of a trusted proxy that are passed on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Forwarded {
    for_chain: Option<String>,
    host: Option<HeaderValue>,
    port: Option<u16>,
    rfc7239: Option<String>,
}

impl Client {
    /// Reads the forwarding headers of `peer`, if it is trusted. Removing them is `identity::headers`' work.
    #[must_use]
    pub fn settle(headers: &HeaderMap, peer: &Peer, trusted: &TrustedProxies) -> Self {
        let direct = peer.address().ip().to_canonical();
        if !trusted.contains(direct) {
            return Self { address: direct, https: peer.tls, forwarded: Forwarded::default() };
        }
        let chain = joined(headers, &X_FORWARDED_FOR);
        let rfc7239 = joined(headers, &FORWARDED);
        let hops = match (&chain, &rfc7239) {
            (Some(chain), _) => chain.split(',').map(parse_node).collect(),
            (None, Some(elements)) => forwarded_for(elements),
            (None, None) => Vec::new(),
        };
        let proto = last_token(headers, &X_FORWARDED_PROTO).or_else(|| rfc7239.as_deref().and_then(forwarded_proto));
        Self {
            address: rightmost_untrusted(&hops, direct, trusted),
            https: proto.map_or(peer.tls, |proto| proto.eq_ignore_ascii_case("https")),
            forwarded: Forwarded {
                for_chain: chain,
                host: headers.get(&X_FORWARDED_HOST).cloned(),
                port: last_token(headers, &X_FORWARDED_PORT).and_then(|port| port.parse().ok()),
                rfc7239,
            },
        }
    }

    /// Host and port in the browser's address bar: by the word of a trusted proxy, else those of the `host` that was
    /// asked for. A port that is not written there is `None`.
    #[must_use]
    pub fn public_host<'a>(&'a self, host: &'a HeaderValue) -> Option<(Host<'a>, Option<u16>)> {
        let read = |value: &'a HeaderValue| Host::parse(value.to_str().ok()?).ok();
        let host = self.forwarded.host.as_ref().and_then(read).or_else(|| read(host))?;
        // Proxies often say 80 or 443 where they mean "none", even with the other scheme.
        let told = self.forwarded.port.filter(|port| !matches!(port, 80 | 443));
        let port = host.port().or(told);
        Some((host, port))
    }

    /// Writes `X-Forwarded-For`, `-Proto`, `-Host`, `-Port`, `X-Real-IP`, and `Forwarded` when a trusted proxy uses it.
    pub fn write(&self, lines: &mut HeaderLines, peer: &Peer, host: &HeaderValue, port: Option<u16>) {
        let said = &self.forwarded;
        match (&said.for_chain, &said.rfc7239) {
            (None, None) => lines.append(peer.address_lines()),
            (chain, _) => {
                let before = chain.as_deref().map(|chain| format!("{chain}, ")).unwrap_or_default();
                lines.push_text(&X_FORWARDED_FOR, &format!("{before}{}", peer.address().ip().to_canonical()));
                lines.push_text(&X_REAL_IP, &self.address.to_string());
            }
        }
        let (proto, default_port) = if self.https { ("https", 443) } else { ("http", 80) };
        lines.push(&X_FORWARDED_PROTO, &HeaderValue::from_static(proto));
        lines.push(&X_FORWARDED_HOST, said.host.as_ref().unwrap_or(host));
        lines.push_number(&X_FORWARDED_PORT, said.port(port).unwrap_or(default_port));
        if let Some(elements) = &said.rfc7239 {
            lines.push_text(&FORWARDED, &format!("{elements}, for={};proto={proto}", node(peer.address())));
        }
    }
}

impl Forwarded {
    /// The port in the browser's address bar, if one is written there: the proxy's word, or that of the host it
    /// names; `direct`, which belongs to our own `Host`, when it says neither.
    fn port(&self, direct: Option<u16>) -> Option<u16> {
        let of_host = || match &self.host {
            Some(host) => Host::parse(host.to_str().ok()?).ok()?.port(),
            None => direct,
        };
        self.port.or_else(of_host)
    }
}

/// An address as RFC 7239 §6 writes it: IPv6 in brackets and quotes.
fn node(address: SocketAddr) -> String {
    match address.ip().to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("\"[{v6}]\""),
    }
}

fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines: Vec<&str> = headers.get_all(name).iter().filter_map(|line| line.to_str().ok()).collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}

fn last_token<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get_all(name).iter().next_back()?.to_str().ok()?.rsplit(',').next().map(str::trim)
}

/// The right-most hop that is not one of our own proxies; an unreadable hop ends the walk (it cannot be vouched for).
fn rightmost_untrusted(hops: &[Option<IpAddr>], direct: IpAddr, trusted: &TrustedProxies) -> IpAddr {
    let mut address = direct;
    for hop in hops.iter().rev() {
        let Some(hop) = hop else { break };
        address = *hop;
        if !trusted.contains(*hop) {
            break;
        }
    }
    address
}

/// `1.2.3.4`, `1.2.3.4:5`, `::1`, `[::1]`, `[::1]:5`, each perhaps in quotes.
fn parse_node(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let address = text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    let bracketed = || text.strip_prefix('[')?.split(']').next()?.parse().ok();
    address.or_else(bracketed).map(|address: IpAddr| address.to_canonical())
}

fn forwarded_for(elements: &str) -> Vec<Option<IpAddr>> {
    elements.split(',').filter_map(|element| parameter(element, "for")).map(parse_node).collect()
}

fn forwarded_proto(elements: &str) -> Option<&str> {
    elements.rsplit(',').find_map(|element| parameter(element, "proto")).map(|proto| proto.trim_matches('"'))
}

fn parameter<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    element.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::lines::parsed;
    use super::*;

    fn settle(peer: &str, lines: &[(&'static str, &str)]) -> (Client, HeaderMap) {
        let mut headers: HeaderMap = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let trusted = TrustedProxies::from_config(&["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        let peer = Peer::clear(SocketAddr::new(peer.parse().unwrap(), 1));
        let client = Client::settle(&headers, &peer, &trusted);
        let mut lines = HeaderLines::default();
        client.write(&mut lines, &peer, &HeaderValue::from_static("app.example"), None);
        let out = parsed(&lines);
        (client, out)
    }

    #[test]
    fn an_untrusted_peer_is_believed_nothing() {
        let (client, out) = settle(
            "192.0.2.1",
            &[
                ("x-forwarded-for", "1.1.1.1"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "evil"),
                ("forwarded", "for=1.1.1.1"),
            ],
        );
        assert_eq!((client.address.to_string().as_str(), client.https), ("192.0.2.1", false));
        assert_eq!(out["x-forwarded-for"], "192.0.2.1");
        assert_eq!(out["x-real-ip"], "192.0.2.1");
        assert_eq!(out["x-forwarded-host"], "app.example");
        assert_eq!(out["x-forwarded-proto"], "http");
        assert!(!out.contains_key("forwarded"));
    }

    #[test]
    fn a_trusted_proxy_names_the_rightmost_stranger() {
        let (client, out) = settle(
            "10.0.0.1",
            &[
                ("x-forwarded-for", "6.6.6.6, 203.0.113.9"),
                ("x-forwarded-for", "10.2.3.4"),
                ("x-forwarded-proto", "https"),
            ],
        );
        assert_eq!((client.address.to_string().as_str(), client.https), ("203.0.113.9", true));
        assert_eq!(out["x-forwarded-for"], "6.6.6.6, 203.0.113.9, 10.2.3.4, 10.0.0.1");
        assert_eq!(out["x-real-ip"], "203.0.113.9");
        assert_eq!(out["x-forwarded-port"], "443");
    }

    #[test]
    fn forwarded_is_read_and_extended_with_brackets_for_ipv6() {
        let (client, out) = settle("fd00::1", &[("forwarded", "for=\"[2001:db8::1]:4711\";proto=https")]);
        assert_eq!((client.address.to_string().as_str(), client.https), ("2001:db8::1", true));
        assert_eq!(out["forwarded"], "for=\"[2001:db8::1]:4711\";proto=https, for=\"[fd00::1]\";proto=https");
    }

    #[test]
    fn the_public_host_is_a_trusted_proxys_word_or_what_was_asked_for() {
        let host = HeaderValue::from_static("inner:8080");
        for (lines, want) in [
            (&[][..], ("inner", Some(8080))),
            (&[("x-forwarded-host", "Shop.example")], ("shop.example", None)),
            (&[("x-forwarded-host", "shop.example:444"), ("x-forwarded-port", "445")], ("shop.example", Some(444))),
            (&[("x-forwarded-host", "shop.example"), ("x-forwarded-port", "8443")], ("shop.example", Some(8443))),
            (&[("x-forwarded-host", "shop.example"), ("x-forwarded-port", "80")], ("shop.example", None)),
            (&[("x-forwarded-host", "a@evil, b")], ("inner", Some(8080))),
        ] {
            let (client, _) = settle("10.0.0.1", lines);
            let (found, port) = client.public_host(&host).unwrap();
            assert_eq!((found.name(), port), want, "{lines:?}");
        }
        let (stranger, _) = settle("192.0.2.1", &[("x-forwarded-host", "evil"), ("x-forwarded-port", "666")]);
        assert_eq!(stranger.public_host(&host).unwrap().0.name(), "inner");
    }

    #[test]
    fn an_unreadable_hop_is_not_skipped() {
        let (client, _) = settle("10.0.0.1", &[("x-forwarded-for", "6.6.6.6, unknown, 10.0.0.9")]);
        assert_eq!(client.address.to_string(), "10.0.0.9");
    }

    proptest! {
        #[test]
        fn no_forwarding_header_makes_it_panic(a in "[ -~]{0,60}", b in "[ -~]{0,60}") {
            let _ = settle("10.0.0.1", &[("x-forwarded-for", &a), ("forwarded", &b)]);
        }
    }
}
