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
