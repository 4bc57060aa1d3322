//! What apps say of their own name and place, and paths as a mounted app knows them.
//!
//! A case shows what the app is sent, what it answers, and what of it the browser sees.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::streaming::{BUFFERS, settled};
use crate::support::{App, HOST, Response, TestGateway, TlsGateway, obey, ok};

/// A route to `app` at `/wiki`, which is stripped, and one at `/wiki/admin` for members of `staff`.
fn mounted(app: &App, fields: &str) -> TestGateway {
    let upstream = app.address;
    TestGateway::with_routes(&format!(
        "  - {{ path: /wiki, strip_prefix: true, access: public, upstream: 'http://{upstream}'{fields} }}\n  \
           - {{ path: /wiki/admin, access: {{ groups: [staff] }}, upstream: 'http://{upstream}' }}"
    ))
}

fn public(app: &App, upstream: &str, fields: &str) -> TestGateway {
    let url = format!("url: 'http://{}'", app.address);
    TestGateway::with_config(&format!(
        "trusted_proxies: [127.0.0.0/8]\nroutes: [{{ access: public, upstream: {{ {url}{upstream} }}{fields} }}]"
    ))
}

fn send(gateway: &TestGateway, text: &str) -> Response {
    gateway.connect().send(text).response()
}

/// Asks for `target` with these lines; the answer has those that the app is told to say.
fn ask(gateway: &TestGateway, target: &str, lines: &[&str], answer: &[&str]) -> Response {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let answer: String = answer.iter().map(|line| format!("X-Answer: {line}\r\n")).collect();
    send(gateway, &format!("GET {target} HTTP/1.1\r\nHost: shop.example\r\n{lines}{answer}\r\n"))
}

#[test]
fn a_mounted_app_sees_paths_of_its_own_and_is_told_where_it_is() {
    let app = App::obeying();
    let gateway = mounted(&app, "");
    for (target, arrives) in [
        ("/wiki/a?b=/wiki/c%2F", "/a?b=/wiki/c%2F"),
        ("/wiki", "/"),
        ("/wiki/", "/"),
        ("/wiki?x", "/?x"),
        ("//wiki///a", "/a"),
        ("/x/../wiki/./b/../c", "/c"),
        ("/%77iki/%61", "/a"),
        ("/wiki/wiki", "/wiki"),
        ("http://shop.example/wiki/a", "/a"),
    ] {
        assert_eq!(ask(&gateway, target, &["X-Forwarded-Prefix: /evil", "X_Forwarded_Prefix: /evil"], &[]).status, 200);
        let seen = app.last();
        assert_eq!(seen.line(), format!("GET {arrives} HTTP/1.1"), "{target}");
        assert_eq!(seen.header("x-forwarded-prefix"), Some("/wiki"), "{target}");
        assert!(!seen.head.contains("evil"), "{}", seen.head);
    }
}

/// PA-07: decided on the whole path, and no spelling of it becomes another one inside.
#[test]
fn what_is_stripped_opens_no_way_round_the_policy() {
    let app = App::obeying();
    let gateway = mounted(&app, "");
    for target in ["/wiki/admin", "/wiki/x/../admin", "/wiki//admin/x", "/wiki/%61dmin", "//wiki/./admin"] {
        assert_eq!(ask(&gateway, target, &[], &[]).status, 401, "{target}");
    }
    for target in
        ["/wiki/%2e%2e/x", "/wiki/..%2fx", "/wiki/..;/x", "/wiki/%2fx", "/wiki\\x", "/wiki/;/x", "/WIKI/x", "/wiki;a/x"]
    {
        assert!(matches!(ask(&gateway, target, &[], &[]).status, 400 | 404), "{target}");
    }
    for target in ["/wikis", "/wiki/../x", "/"] {
        assert_eq!(ask(&gateway, target, &[], &[]).status, 404, "{target}");
    }
    assert!(app.seen().is_empty(), "{:?}", app.seen());
}

#[test]
fn without_strip_prefix_nothing_is_stripped_or_told() {
    let app = App::obeying();
    let gateway =
        TestGateway::with_routes(&format!("  - {{ path: /wiki, access: public, upstream: 'http://{}' }}", app.address));
    assert_eq!(
        ask(&gateway, "/wiki/a", &["X-Forwarded-Prefix: /evil"], &["Location: /login"]).header("location"),
        Some("/login")
    );
    assert_eq!((app.last().line(), app.last().header("x-forwarded-prefix")), ("GET /wiki/a HTTP/1.1", None));
}

#[test]
fn places_in_the_head_become_those_of_the_browser() {
    let app = App::obeying();
    let gateway = mounted(&app, "");
    let inner = app.address;
    for (said, seen) in [
        ("Location: /login?next=/", "/wiki/login?next=/"),
        ("Location: /wiki/login", "/wiki/login"),
        ("Location: login", "login"),
        (&*format!("Location: http://{inner}/a"), "http://shop.example/wiki/a"),
        (&*format!("Location: https://{inner}"), "http://shop.example/wiki/"),
        (&*format!("Location: //{inner}/a"), "//shop.example/wiki/a"),
        ("Location: http://shop.example/a", "http://shop.example/wiki/a"),
        ("Location: https://idp.example/authorize?redirect_uri=/x", "https://idp.example/authorize?redirect_uri=/x"),
        ("Location: //idp.example/x", "//idp.example/x"),
        ("Location: /\\idp.example/x", "/\\idp.example/x"),
        ("Content-Location: /a.html", "/wiki/a.html"),
        ("Refresh: 5; url=/a", "5; url=/wiki/a"),
        ("Refresh: 5", "5"),
    ] {
        let name = said.split_once(':').unwrap().0.to_lowercase();
        let answer = ask(&gateway, "/wiki/x", &[], &["Status: 302", said]);
        assert_eq!((answer.status, answer.all(&name)), (302, vec![seen]), "{said}");
        assert_eq!(answer.text(), "the page");
    }
    let off = mounted(&app, ", rewrite: { location: false, cookies: false }");
    let answer = ask(&off, "/wiki/x", &[], &["Location: /login", "Set-Cookie: a=b; Path=/"]);
    assert_eq!((answer.header("location"), answer.header("set-cookie")), (Some("/login"), Some("a=b; Path=/")));
}

#[test]
fn cookies_get_the_browsers_name_and_path_and_ours_stays_as_it_is() {
    let app = App::obeying();
    let gateway = mounted(&app, ", session_headers: read_write");
    let answer = ask(
        &gateway,
        "/wiki/x",
        &[],
        &[
            "Session-Set: {\"a\": 1}",
            "Set-Cookie: a=\"/=b\"; Path=/; HttpOnly",
            "Set-Cookie: b=1; Domain=127.0.0.1; Path=/x",
            "Set-Cookie: c=1; Domain=shop.example; Path=/wiki/x",
            "Set-Cookie: __Host-d=1; Secure; Path=/",
        ],
    );
    let mut lines = answer.all("set-cookie");
    assert!(lines.pop().is_some_and(|ours| ours.starts_with("sessionid=") && ours.contains("Path=/;")));
    assert_eq!(
        lines,
        [
            "a=\"/=b\"; Path=/wiki; HttpOnly",
            "b=1; Path=/wiki/x",
            "c=1; Domain=shop.example; Path=/wiki/x",
            "__Host-d=1; Secure; Path=/"
        ]
    );
}

/// Whatever `Host` the app is sent, it may build its URLs from that, or from `X-Forwarded-Host`, with or without
/// `X-Forwarded-Proto`.
#[test]
fn every_host_policy_leads_back_to_the_public_name() {
    let app = App::obeying();
    let proxy = ["X-Forwarded-Proto: https", "X-Forwarded-Host: shop.example"];
    for (policy, sent) in [
        ("preserve", "inner:8080".to_owned()),
        ("upstream", app.address.to_string()),
        ("app.local", "app.local".to_owned()),
    ] {
        let gateway = public(&app, &format!(", host: '{policy}'"), "");
        for said in [&*sent, "shop.example", &app.address.to_string()] {
            for scheme in ["http", "https"] {
                let text = format!(
                    "GET /x HTTP/1.1\r\nHost: inner:8080\r\n{}\r\nX-Answer: Location: {scheme}://{said}/y\r\n\r\n",
                    proxy.join("\r\n")
                );
                let answer = send(&gateway, &text);
                assert_eq!(answer.header("location"), Some("https://shop.example/y"), "{policy} {scheme}://{said}");
            }
        }
        let seen = app.last();
        assert_eq!(seen.header("host"), Some(&*sent), "{policy}");
        assert_eq!(seen.header("x-forwarded-host"), Some("shop.example"), "{policy}");
        assert_eq!((seen.header("x-forwarded-proto"), seen.header("x-forwarded-port")), (Some("https"), Some("443")));
    }
}

#[tokio::test]
async fn behind_our_own_tls_an_app_that_says_http_is_put_right() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let app = App::obeying();
    let gateway =
        TlsGateway::with_config(&format!("routes: [{{ access: public, upstream: 'http://{}' }}]", app.address));
    for (said, seen) in [
        (format!("http://{HOST}/x"), format!("https://{HOST}/x")),
        (format!("http://{HOST}:8080/x"), format!("http://{HOST}:8080/x")),
        ("http://other.test/x".to_owned(), "http://other.test/x".to_owned()),
    ] {
        let mut stream = gateway.connect("http/1.1").await;
        let text = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX-Answer: Location: {said}\r\nConnection: close\r\n\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        assert_eq!(Response::parse(&bytes).header("location"), Some(&*seen), "{said}");
    }
}

/// COPY and MOVE.
#[test]
fn a_destination_is_decided_about_and_told_in_the_apps_own_words() {
    let app = App::obeying();
    let gateway = mounted(&app, "");
    let status = |destination: &str| {
        let lines = format!("Host: shop.example\r\n{destination}");
        send(&gateway, &format!("MOVE /wiki/a HTTP/1.1\r\n{lines}\r\n\r\n")).status
    };
    for (said, told) in [
        ("http://shop.example/wiki/b%20c", "http://shop.example/b%20c"),
        ("https://shop.example/wiki/x/../b", "https://shop.example/b"),
        ("/wiki/b", "/b"),
    ] {
        assert_eq!(status(&format!("Destination: {said}")), 200, "{said}");
        assert_eq!((app.last().line(), app.last().header("destination")), ("MOVE /a HTTP/1.1", Some(told)));
    }
    let before = app.seen().len();
    for (said, want) in [
        ("Destination: http://shop.example/wiki/admin/b", 502),
        ("Destination: http://shop.example/wiki/x/..//admin", 502),
        ("Destination: http://shop.example/b", 502),
        ("Destination: http://shop.example/.session/b", 502),
        ("Destination: http://evil.example/wiki/b", 502),
        ("Destination: http://shop.example/wiki/%2e%2e/b", 400),
        ("Destination: b", 400),
        ("Destination: /wiki/b\r\nDestination: /wiki/c", 400),
    ] {
        assert_eq!(status(said), want, "{said}");
    }
    assert_eq!(app.seen().len(), before);
    assert_eq!(ask(&gateway, "/wiki/a", &["Destination: anything at all"], &[]).status, 200);
}

/// The second path of a request is no way round the policy either.
#[test]
fn a_destination_on_a_protected_route_needs_its_permit() {
    let app = App::obeying();
    let gateway = TestGateway::with_routes(&format!(
        "  - {{ access: public, upstream: 'http://{0}' }}\n  - {{ path: /admin, upstream: 'http://{0}' }}",
        app.address
    ));
    for destination in ["http://a/admin/x", "http://elsewhere/admin/x", "/x/..//admin/x"] {
        let answer = send(&gateway, &format!("COPY /x HTTP/1.1\r\nHost: a\r\nDestination: {destination}\r\n\r\n"));
        assert_eq!(answer.status, 403, "{destination}");
    }
    assert!(app.seen().is_empty());
    let mut ann = gateway.signed_in("ann");
    let host = ann.host.clone();
    let lines = format!("http://{host}/admin/x");
    assert_eq!(ann.request("COPY", "/x", &[("Destination", &lines)], b"").status, 200);
    assert_eq!(app.last().header("destination"), Some(&*lines));
}

/// An app that asks for a page in pieces: `X-Piece` bytes each.
fn page_in_pieces(page: &'static str) -> App {
    App::with(move |seen, stream| {
        let size: usize = seen.header("x-piece").map_or(page.len(), |size| size.parse().unwrap());
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nETag: \"v1\"\r\nAccept-Ranges: bytes\r\n\
                    Transfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        for piece in page.as_bytes().chunks(size) {
            stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).unwrap();
            stream.write_all(piece).unwrap();
            stream.write_all(b"\r\n").unwrap();
        }
        stream.write_all(b"0\r\n\r\n").is_ok()
    })
}

const PAGE: &str =
    "<html><a href=\"/a\">x</a><img srcset='/b 1x, //evil.example/c 2x'><script>\"<a href='/d'>\"</script>";
const PUT_RIGHT: &str =
    "<html><a href=\"/wiki/a\">x</a><img srcset='/wiki/b 1x, //evil.example/c 2x'><script>\"<a href='/d'>\"</script>";

#[test]
fn links_are_put_right_wherever_the_pieces_of_a_page_end() {
    let app = page_in_pieces(PAGE);
    let gateway = mounted(&app, ", rewrite: { links: true }");
    let lines = ["Accept-Encoding: gzip, br", "Range: bytes=0-9", "If-Range: \"v1\""];
    for size in 1..=PAGE.len() {
        let piece = format!("X-Piece: {size}");
        let answer = ask(&gateway, "/wiki/x", &[&lines[..], &[&piece]].concat(), &[]);
        assert!(answer.complete);
        assert_eq!(answer.text(), PUT_RIGHT, "{size}");
        assert_eq!((answer.header("etag"), answer.header("accept-ranges")), (Some("W/\"v1\""), None));
    }
    let seen = app.last();
    assert_eq!(seen.all("accept-encoding"), ["identity"]);
    assert_eq!((seen.header("range"), seen.header("if-range")), (None, None));
}

#[test]
fn a_page_stays_as_it_is_unless_its_links_are_to_be_put_right() {
    let page = || {
        App::with(|seen, stream| {
            let text = obey(seen)
                .replace("the page", PAGE)
                .replace("Content-Length: 8", &format!("Content-Length: {}", PAGE.len()));
            stream.write_all(text.as_bytes()).is_ok()
        })
    };
    let app = page();
    let html = "Content-Type: text/html";
    let off = mounted(&app, "");
    let answer = ask(&off, "/wiki/x", &["Range: bytes=0-9", "Accept-Encoding: gzip"], &[html]);
    assert_eq!((answer.text(), answer.header("content-length")), (PAGE.to_owned(), Some(&*PAGE.len().to_string())));
    assert_eq!((app.last().header("range"), app.last().header("accept-encoding")), (Some("bytes=0-9"), Some("gzip")));

    let on = mounted(&app, ", rewrite: { links: true }");
    let of = |lines: &[&str]| ask(&on, "/wiki/x", &[], lines).text();
    assert_eq!(of(&[html]), PUT_RIGHT);
    assert_eq!(of(&["Status: 404", html]), PUT_RIGHT);
    for lines in [
        &["Content-Type: text/plain"][..],
        &[html, "Content-Encoding: gzip"],
        &["Status: 206", html],
        &["Content-Type: text/html; charset=utf-16"],
        &[],
    ] {
        assert_eq!(of(lines), PAGE, "{lines:?}");
    }
}

/// RFC 9110 §9.3.2, §15.4.5: what would be said of the page itself.
#[test]
fn head_and_304_say_what_the_page_would() {
    let app = App::with(|seen, stream| {
        let html = "Content-Type: text/html\r\nETag: \"v1\"\r\nContent-Length: 100\r\n";
        let text = match seen.line().starts_with("HEAD") {
            true => format!("HTTP/1.1 200 OK\r\n{html}\r\n"),
            false => "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n".to_owned(),
        };
        stream.write_all(text.as_bytes()).is_ok()
    });
    let gateway = mounted(&app, ", rewrite: { links: true }");
    let mut client = gateway.connect();
    let head = client.send("HEAD /wiki/x HTTP/1.1\r\nHost: a\r\n\r\n").head_response();
    assert_eq!((head.header("etag"), head.header("content-length")), (Some("W/\"v1\""), None));
    let not_modified = client.send("GET /wiki/x HTTP/1.1\r\nHost: a\r\nIf-None-Match: W/\"v1\"\r\n\r\n").response();
    assert_eq!((not_modified.status, not_modified.header("etag")), (304, Some("W/\"v1\"")));
    assert_eq!(app.last().header("if-none-match"), Some("W/\"v1\""));
}

#[test]
fn an_empty_page_and_one_that_breaks_off_are_what_they_were() {
    let empty = App::answering("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n");
    let answer = ask(&mounted(&empty, ", rewrite: { links: true }"), "/wiki/x", &[], &[]);
    assert_eq!((answer.status, answer.complete, answer.text()), (200, true, String::new()));
    let broken = App::with(|_, stream| {
        let _ = stream.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 99\r\n\r\n<p><a href='/x'><a hr",
        );
        false
    });
    let answer = ask(&mounted(&broken, ", rewrite: { links: true }"), "/wiki/x", &[], &[]);
    assert!(!answer.complete);
    assert_eq!(answer.text(), "<p><a href='/wiki/x'>");
}

/// The gateway takes from the app what its client takes, not more, and every link of a long page is put right.
#[test]
fn a_long_page_streams_in_bounded_memory() {
    const LINE: &str = "<li><a href=\"/item\">item</a></li>\n";
    const PIECES: usize = 30 * 1024 * 1024 / (1000 * LINE.len()) + 1;
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let app = App::with(move |_, stream| {
        let piece = LINE.repeat(1000);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n").unwrap();
        for _ in 0..PIECES {
            stream.write_all(piece.as_bytes()).unwrap();
            count.fetch_add(piece.len(), Ordering::SeqCst);
        }
        false
    });
    let gateway = mounted(&app, ", rewrite: { links: true }");
    let mut client = gateway.connect();
    client.send("GET /wiki/x HTTP/1.1\r\nHost: a\r\n\r\n");
    let stopped = settled(&written);
    assert!((1..BUFFERS).contains(&stopped), "the app could write {stopped} bytes");
    let text = client.response().text();
    assert_eq!(text.matches("<a href=\"/wiki/item\">").count(), PIECES * 1000);
    assert_eq!(text.len(), PIECES * 1000 * (LINE.len() + "/wiki".len()));
}

#[test]
fn an_answer_without_places_is_passed_on_as_it_is() {
    let app = App::answering(ok("plain"));
    let gateway = mounted(&app, ", rewrite: { links: true }");
    let answer = ask(&gateway, "/wiki/x", &[], &[]);
    assert_eq!((answer.text(), answer.header("content-length")), ("plain".to_owned(), Some("5")));
}
