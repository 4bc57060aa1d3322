use proptest::prelude::*;

use super::url::tests::mapping;
use super::*;
use crate::http::lines::HeaderLines;
use crate::http::target::normalise_path;

fn places(yaml: &str) -> Places {
    let config = crate::config::parse(
        &format!("routes: [{{ access: public, upstream: 'http://wiki:8080', {yaml} }}]"),
        "test.yaml",
        &|_| None,
    );
    let config = config.unwrap_or_else(|problems| panic!("{problems}")).config;
    Places::from_config(&config.routes[0], "wiki:8080")
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    lines.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
}

fn answered(yaml: &str, status: u16, lines: &[(&'static str, &str)]) -> HeaderMap {
    let (places, mut headers) = (places(yaml), headers(lines));
    let status = StatusCode::from_u16(status).unwrap();
    let mapping = mapping("https://shop.example", "shop.example", &places.prefix);
    let wanted = places.wanted(status, &headers);
    Places::put_head_right(wanted, &mapping, status, &mut headers);
    Places::put_cookies_right(wanted, &mapping, &mut headers);
    headers
}

const MOUNTED: &str = "path: /wiki/, strip_prefix: true";

#[test]
fn the_prefix_is_taken_off_and_told() {
    let places = places(MOUNTED);
    for (target, want) in [
        ("/wiki/a?b=/wiki/c", "/a?b=/wiki/c"),
        ("/wiki", "/"),
        ("/wiki/", "/"),
        ("/wiki?x", "/?x"),
        ("/wiki/wiki/a", "/wiki/a"),
        ("/wiki/%C3%A4;v=1/", "/%C3%A4;v=1/"),
    ] {
        let mut uri = target.parse().unwrap();
        places.strip(&mut uri).unwrap();
        assert_eq!(uri.to_string(), want, "{target}");
    }
    for target in ["/wikis", "/", "/Wiki/a"] {
        assert_eq!(places.strip(&mut target.parse().unwrap()), Err(TargetError::Form), "{target}");
    }
    let mut lines = HeaderLines::default();
    places.write(&mut lines);
    assert_eq!(lines.as_bytes(), b"x-forwarded-prefix: /wiki\r\n");
}

#[test]
fn without_a_prefix_nothing_is_taken_off_or_told() {
    let places = places("path: /wiki");
    let mut uri = "/wiki/a".parse().unwrap();
    places.strip(&mut uri).unwrap();
    assert_eq!(uri, "/wiki/a");
    let mut lines = HeaderLines::default();
    places.write(&mut lines);
    assert_eq!(lines.as_bytes(), b"");
}

#[test]
fn each_switch_is_one_for_itself() {
    let told = [
        ("location", "http://wiki:8080/x"),
        ("content-location", "/x"),
        ("refresh", "3; url=\"/x\""),
        ("set-cookie", "a=b; Path=/"),
        ("set-cookie", "c=d; Domain=wiki"),
        ("content-type", "text/html"),
        ("content-length", "9"),
        ("etag", "\"v1\""),
    ];
    let on = answered(MOUNTED, 200, &told);
    assert_eq!(on["location"], "https://shop.example/wiki/x");
    assert_eq!(
        (&on["content-location"], &on["refresh"]),
        (&"/wiki/x".parse().unwrap(), &"3; url=\"/wiki/x\"".parse().unwrap())
    );
    let cookies: Vec<_> = on.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=b; Path=/wiki", "c=d"]);
    assert_eq!((&on["content-length"], &on["etag"]), (&"9".parse().unwrap(), &"\"v1\"".parse().unwrap()));

    let off = format!("{MOUNTED}, rewrite: {{ location: false, cookies: false }}");
    assert_eq!(answered(&off, 200, &told), headers(&told));

    let links = answered(&off.replace("cookies: false", "cookies: false, links: true"), 200, &told);
    assert_eq!((links.get("content-length"), &links["etag"]), (None, &"W/\"v1\"".parse().unwrap()));
    assert_eq!(links["location"], "http://wiki:8080/x");
}

#[test]
fn an_answer_that_names_no_place_wants_nothing() {
    let mounted = places(MOUNTED);
    let plain = headers(&[("content-type", "text/html"), ("etag", "\"v1\"")]);
    assert!(!mounted.wanted(StatusCode::OK, &plain).any());
    let cookie = headers(&[("set-cookie", "a=b; Path=/; HttpOnly")]);
    assert!(mounted.wanted(StatusCode::OK, &cookie).any());
    assert!(!places("path: /").wanted(StatusCode::OK, &cookie).any());
    assert!(places("path: /").wanted(StatusCode::OK, &headers(&[("set-cookie", "a=b; DOMAIN=x")])).any());
}

#[test]
fn links_are_looked_for_in_whole_readable_html_only() {
    let places = places("rewrite: { links: true }");
    let looks = |status: u16, lines: &[(&'static str, &str)]| {
        places.wanted(StatusCode::from_u16(status).unwrap(), &headers(lines)).links()
    };
    for kind in ["text/html", "Text/HTML; Charset=utf-8", "text/html;charset=\"iso-8859-1\"", "text/html; x=utf-16"] {
        assert!(looks(200, &[("content-type", kind)]), "{kind}");
        assert!(looks(404, &[("content-type", kind), ("content-encoding", "identity")]), "{kind}");
    }
    for kind in [
        "text/plain",
        "application/xhtml+xml",
        "text/htmlx",
        "text/html; charset=UTF-16LE",
        "text/html;charset=\"utf-16\"",
    ] {
        assert!(!looks(200, &[("content-type", kind)]), "{kind}");
    }
    assert!(!looks(200, &[]) && !looks(206, &[("content-type", "text/html")]));
    assert!(!looks(200, &[("content-type", "text/html"), ("content-encoding", "gzip")]));
    assert!(looks(304, &[]) && !looks(304, &[("content-type", "image/png")]));
}

#[test]
fn a_304_keeps_what_it_says_but_for_the_tag() {
    let told = [("etag", "\"v1\""), ("content-location", "/x")];
    let answer = answered("rewrite: { links: true }", 304, &told);
    assert_eq!((&answer["etag"], &answer["content-location"]), (&"W/\"v1\"".parse().unwrap(), &"/x".parse().unwrap()));
    assert_eq!(answered("rewrite: { links: true }", 304, &[("etag", "W/\"v1\"")])["etag"], "W/\"v1\"");
}

#[test]
fn pages_are_asked_for_whole_and_plain_where_links_are_put_right() {
    let asked = [("accept-encoding", "br, gzip"), ("range", "bytes=0-1"), ("if-range", "\"v1\"")];
    let mut plain = headers(&asked);
    places(MOUNTED).ask(&mut plain);
    assert_eq!(plain, headers(&asked));
    places("rewrite: { links: true }").ask(&mut plain);
    assert_eq!(plain, headers(&[("accept-encoding", "identity")]));
}

fn moved(places: &Places, sent: &str, value: &str) -> Result<Option<String>, BadDestination> {
    let mapping = mapping("https://shop.example", sent, &places.prefix);
    let destination = Destination::read(value.as_bytes(), &mapping)?;
    places.destination_inside(&destination, sent, "shop.example")
}

#[test]
fn a_destination_is_told_in_the_apps_own_words() {
    let (mounted, plain) = (places(MOUNTED), places("path: /"));
    for (sent, value, want) in [
        ("shop.example", "https://shop.example/wiki/b%20c?d", "https://shop.example/b%20c?d"),
        ("shop.example", "http://shop.example/wiki/b", "http://shop.example/b"),
        ("shop.example", "/wiki/b", "/b"),
        ("shop.example", "/x/../wiki//b/%61", "/b/a"),
        ("wiki:8080", "https://shop.example/wiki", "http://wiki:8080/"),
    ] {
        assert_eq!(moved(&mounted, sent, value), Ok(Some(want.into())), "{value}");
    }
    assert_eq!(moved(&plain, "wiki:8080", "https://shop.example/b"), Ok(Some("http://wiki:8080/b".into())));
    for value in ["https://shop.example/b", "/b", "https://evil.example/b"] {
        assert_eq!(moved(&plain, "shop.example", value), Ok(None), "{value}");
    }
    for value in [
        "https://evil.example/wiki/b",
        "https://shop.example/b",
        "/wikis",
        "/wiki/../b",
        "https://shop.example:8443/wiki/b",
    ] {
        assert_eq!(moved(&mounted, "shop.example", value), Err(BadDestination::Elsewhere), "{value}");
    }
    for value in [
        "",
        "b",
        "../b",
        "//shop.example/wiki/b",
        "https://u@shop.example/wiki/b",
        "/wiki/b#c",
        "/wiki\\b",
        "ftp://a/b",
    ] {
        assert_eq!(moved(&mounted, "shop.example", value), Err(BadDestination::Form), "{value}");
    }
    for value in ["/wiki/%2e%2e/b", "/wiki/a%2fb", "/wiki/..;/b", "https://shop.example/wiki/%5cb"] {
        assert!(matches!(moved(&mounted, "shop.example", value), Err(BadDestination::Path(_))), "{value}");
    }
}

proptest! {
    /// PA-07: what is left needs no second look.
    #[test]
    fn what_is_left_of_a_plain_path_is_plain(path in "/wiki(/[a-zA-Z0-9%./;~-]{0,12}){0,4}(\\?[/.a]{0,6})?") {
        let (path, query) = path.split_once('?').map_or((&*path, None), |(path, query)| (path, Some(query)));
        let Ok(plain) = normalise_path(path) else { return Ok(()) };
        let target = query.map_or(plain.to_string(), |query| format!("{plain}?{query}"));
        let mut uri: Uri = target.parse().unwrap();
        if places(MOUNTED).strip(&mut uri).is_ok() {
            let (again, whole) = (normalise_path(uri.path()).unwrap(), format!("/wiki{}", uri.path()));
            prop_assert_eq!(&*again, uri.path());
            prop_assert_eq!(whole.trim_end_matches('/'), plain.trim_end_matches('/'));
            prop_assert_eq!(uri.query(), query);
        }
    }

    #[test]
    fn no_destination_makes_it_panic(value in prop::collection::vec(any::<u8>(), 0..60)) {
        let mapping = mapping("https://shop.example", "a", "/wiki");
        let _ = Destination::read(&value, &mapping).map(|read| places(MOUNTED).destination_inside(&read, "a", "b"));
    }
}
