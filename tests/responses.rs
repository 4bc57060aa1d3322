//! What apps answer, hostile and broken ones too: 502, or a cut that the client can see, and no byte of theirs.
//!
//! The app is a raw socket that writes exactly what a case says.

use std::io::Write;
use std::net::{Shutdown, TcpListener};

use crate::support::{App, Client, Response, TestGateway, ok};

/// In every hostile answer; no byte of one may reach a client.
const MARK: &str = "evil-mark";

const REQUEST: &str = "GET /x HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n";

/// Answers `/x` with `answer` and anything else well; the connection stays open.
fn app(answer: impl Into<Vec<u8>>) -> App {
    let answer = answer.into();
    App::with(move |seen, stream| match seen.line() {
        "GET /x HTTP/1.1" => stream.write_all(&answer).is_ok(),
        _ => stream.write_all(ok("").as_bytes()).is_ok(),
    })
}

/// The client reads 502 and nothing of the app's; its next request goes over a new connection to the app.
fn is_502(name: &str, answer: impl Into<Vec<u8>>) {
    println!("case: {name}");
    let app = app(answer);
    let gateway = TestGateway::open_before(&app);
    let mut client = gateway.connect();
    let response = client.send(REQUEST).response();
    assert_eq!(response.status, 502, "{name}");
    assert!(response.complete && !format!("{response:?}{}", response.text()).contains(MARK), "{name}: {response:?}");
    assert_eq!(client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n").response().status, 200, "{name}");
    assert_eq!(app.last().connection, 2, "{name}: the connection was used again");
}

fn head(lines: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nX-Mark: {MARK}\r\n{lines}\r\n\r\n")
}

/// FR-26
#[test]
fn an_app_whose_framing_is_ambiguous_is_answered_502() {
    let body = format!("9\r\n{MARK}\r\n0\r\n\r\n");
    for (name, lines) in [
        ("CL then TE", "Content-Length: 3\r\nTransfer-Encoding: chunked"),
        ("TE then CL", "Transfer-Encoding: chunked\r\nContent-Length: 3"),
        ("empty element", "Transfer-Encoding: ,chunked"),
        ("gzip", "Transfer-Encoding: gzip"),
        ("gzip, chunked", "Transfer-Encoding: gzip, chunked"),
        ("identity", "Transfer-Encoding: identity"),
        ("two TE lines", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        ("the same length twice", "Content-Length: 9\r\nContent-Length: 9"),
        ("two lengths", "Content-Length: 9\r\nContent-Length: 4"),
        ("a list of lengths", "Content-Length: 9, 9"),
        ("a signed length", "Content-Length: +9"),
        ("an endless length", "Content-Length: 18446744073709551617"),
    ] {
        is_502(name, format!("{}{body}", head(lines)));
    }
}

/// FR-26, FR-27
#[test]
fn an_app_whose_head_is_malformed_is_answered_502() {
    for (name, answer) in [
        ("FR-26 LF throughout", format!("HTTP/1.1 200 OK\nX-Mark: {MARK}\nContent-Length: 0\n\n")),
        ("FR-26 one LF", format!("HTTP/1.1 200 OK\r\nX-Mark: {MARK}\nContent-Length: 0\r\n\r\n")),
        (
            "FR-26 unasked 101",
            format!("HTTP/1.1 101 Ok\r\nUpgrade: websocket\r\nConnection: upgrade\r\nX: {MARK}\r\n\r\n"),
        ),
        ("FR-27 folded", head("X: y\r\n z\r\nContent-Length: 0")),
        ("FR-27 control in Set-Cookie", head("Set-Cookie: a=\x01b\r\nContent-Length: 0")),
        ("FR-27 CR in Set-Cookie", head("Set-Cookie: a=\rSet-Cookie: b\r\nContent-Length: 0")),
        ("FR-27 NUL", head("X: \0\r\nContent-Length: 0")),
        ("FR-27 space before the colon", head("Content-Length : 0")),
        (
            "FR-27 TE in HTTP/1.0",
            format!("HTTP/1.0 200 OK\r\nX: {MARK}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        ("FR-27 not HTTP", format!("{MARK} ready\r\n\r\n")),
        ("FR-28 500 KB of head", format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", MARK.repeat(56_000))),
        ("FR-28 200 headers", format!("HTTP/1.1 200 OK\r\n{}\r\n", format!("X: {MARK}\r\n").repeat(200))),
        ("FR-28 a flood of 1xx", format!("HTTP/1.1 103 Early\r\nX: {MARK}\r\n\r\n").repeat(1000)),
    ] {
        is_502(name, answer);
    }
}

/// FR-28: nothing of an interim response reaches the client, least of all a cookie.
#[test]
fn interim_responses_are_swallowed() {
    let app = app(format!(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nSet-Cookie: {MARK}=1\r\nLink: </{MARK}>\r\n\r\n{}",
        ok("body")
    ));
    let gateway = TestGateway::open_before(&app);
    let mut client = gateway.connect();
    client.send("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let text = client.rest();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nbody"), "{text}");
    assert!(!text.contains(MARK), "{text}");
}

/// FR-28: what follows a response that has no body is not the beginning of the next one.
#[test]
fn a_body_where_none_may_be_never_reaches_a_client() {
    let poison = format!("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{MARK}");
    for (name, request, answer, status) in [
        ("204", REQUEST, format!("HTTP/1.1 204 No Content\r\n\r\n{poison}"), 204),
        ("204 with a length", REQUEST, format!("HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n{MARK}"), 204),
        ("304", REQUEST, format!("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n{poison}"), 304),
        ("a longer body", REQUEST, format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n{poison}"), 200),
    ] {
        println!("case: {name}");
        let app = app(answer);
        let gateway = TestGateway::open_before(&app);
        for _ in 0..3 {
            let mut client = gateway.connect();
            assert_eq!(client.send(request).response().status, status, "{name}");
            let next = client.send("GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").rest();
            assert!(next.starts_with("HTTP/1.1 200 OK\r\n") && !next.contains(MARK), "{name}: {next}");
        }
    }
}

/// FR-28, and a HEAD keeps the length that a GET would have had.
#[test]
fn head_204_and_304_have_no_body() {
    let app = App::with(|seen, stream| {
        let answer = match seen.line().split(' ').nth(1).unwrap() {
            "/204" => "HTTP/1.1 204 No Content\r\n\r\n",
            "/304" => "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
        };
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let gateway = TestGateway::open_before(&app);
    let mut client = gateway.connect();
    let response = client.send("HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n").head_response();
    assert_eq!((response.status, response.header("content-length")), (200, Some("1234")));
    let response = client.send("GET /204 HTTP/1.1\r\nHost: a\r\n\r\n").response();
    assert_eq!((response.status, response.header("content-length")), (204, None));
    let response = client.send("GET /304 HTTP/1.1\r\nHost: a\r\n\r\n").response();
    assert_eq!((response.status, response.header("etag")), (304, Some("\"x\"")));
    let response = client.send("HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n").head_response();
    assert_eq!((response.status, response.header("content-length")), (200, Some("1234")));
    assert!(app.seen().iter().all(|seen| seen.connection == 1), "one connection serves them all");
}

/// The response to a request whose answer breaks off; the client's connection ends with it.
fn cut(answer: &str) -> Response {
    let answer = answer.to_owned();
    let app = App::with(move |_, stream| {
        let _ = stream.write_all(answer.as_bytes());
        false
    });
    let gateway = TestGateway::open_before(&app);
    let mut client = gateway.connect();
    let response = client.send(REQUEST).response();
    assert!(client.is_closed());
    response
}

/// FR-27: the client can tell.
#[test]
fn a_response_that_is_cut_short_never_looks_complete() {
    for (name, answer) in [
        ("short body", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"),
        ("no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nonly\r\n"),
        ("short chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nonly\r\n64\r\nthis"),
        ("bad chunk size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nonly\r\n0x1\r\na\r\n0\r\n\r\n"),
        ("no end of the trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nonly\r\n0\r\nX: y"),
    ] {
        println!("case: {name}");
        let response = cut(answer);
        assert_eq!(response.status, 200, "{name}");
        assert!(!response.complete, "{name}: {response:?}");
        assert!(response.text().starts_with("only"), "{name}: {response:?}");
    }
}

/// A body that only the end of the connection delimits is passed on as chunks, so that its end is told from a cut.
#[test]
fn a_body_without_a_length_becomes_chunks() {
    let app = App::with(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nall of it");
        false
    });
    let gateway = TestGateway::open_before(&app);
    let response = gateway.connect().send(REQUEST).response();
    assert_eq!((response.status, response.header("transfer-encoding")), (200, Some("chunked")));
    assert!(response.complete);
    assert_eq!(response.text(), "all of it");
}

/// RFC 9112 §6.1: chunks would be garbage to it.
#[test]
fn an_old_client_gets_no_chunks() {
    let app = app("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n");
    let gateway = TestGateway::open_before(&app);
    let text = gateway.connect().send("GET /x HTTP/1.0\r\nHost: a\r\n\r\n").rest();
    assert!(!text.to_lowercase().contains("transfer-encoding") && text.ends_with("\r\n\r\nbody"), "{text}");
}

/// FR-29: an idle connection that the app closes in that moment is not the client's misfortune.
#[test]
fn a_request_without_effect_is_sent_again_once_and_no_other_is() {
    for (name, request, tries) in [
        ("GET", "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n", 2),
        ("HEAD", "HEAD /2 HTTP/1.1\r\nHost: a\r\n\r\n", 2),
        ("DELETE", "DELETE /2 HTTP/1.1\r\nHost: a\r\n\r\n", 2),
        ("POST without body", "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 1),
        ("POST", "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", 1),
        ("PUT with body", "PUT /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", 1),
        ("PATCH", "PATCH /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 1),
    ] {
        println!("case: {name}");
        // The first connection dies at its second request.
        let app = App::with(|seen, stream| {
            !(seen.connection == 1 && seen.line().contains(" /2 ")) && stream.write_all(ok("").as_bytes()).is_ok()
        });
        let gateway = TestGateway::open_before(&app);
        let mut client = gateway.connect();
        assert_eq!(client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n").response().status, 200);
        client.send(request);
        let response = if name == "HEAD" { client.head_response() } else { client.response() };
        let seen: Vec<_> = app.seen().into_iter().filter(|seen| seen.line().contains(" /2 ")).collect();
        assert_eq!((response.status, seen.len()), (if tries == 2 { 200 } else { 502 }, tries), "{name}");
        assert_eq!(seen[0].head, seen[tries - 1].head, "{name}");
    }
}

/// FR-29
#[test]
fn an_app_that_breaks_every_connection_is_502_after_one_more_try() {
    let app = App::with(|seen, stream| {
        seen.connection == 1 && seen.line().contains(" /1 ") && stream.write_all(ok("").as_bytes()).is_ok()
    });
    let gateway = TestGateway::open_before(&app);
    let mut client = gateway.connect();
    assert_eq!(client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n").response().status, 200);
    assert_eq!(client.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n").response().status, 502);
    assert_eq!(app.seen().len(), 3);
}

fn page(client: &mut Client) -> (u16, String) {
    let response = client.send(REQUEST).response();
    (response.status, response.text())
}

/// What a person reads says that the app is at fault; where the app lives is for the log.
#[test]
fn an_app_that_is_down_or_unknown_is_a_502_page_without_addresses() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for upstream in [free.to_string(), "no-such-host.invalid:80".to_owned()] {
        println!("case: {upstream}");
        let gateway = TestGateway::with_routes(&format!("  - {{ access: public, upstream: 'http://{upstream}' }}"));
        let (status, text) = page(&mut gateway.connect());
        assert_eq!(status, 502);
        assert!(text.contains("<html") && !text.contains(&upstream) && !text.contains("127.0.0.1"), "{text}");
    }
}

/// A program gets the same in its language.
#[test]
fn a_program_is_told_of_a_broken_app_in_json() {
    let app = App::with(|_, stream| stream.shutdown(Shutdown::Both).is_err());
    let gateway = TestGateway::open_before(&app);
    let response = gateway.connect().send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n").response();
    assert_eq!((response.status, response.json()), (502, serde_json::json!({ "error": "bad_gateway" })));
}

#[test]
fn an_app_that_does_not_answer_in_time_is_504() {
    let app = App::with(|_, stream| std::io::Read::read(stream, &mut [0]).is_ok());
    let gateway = TestGateway::with_routes(&format!(
        "  - {{ access: public, upstream: {{ url: 'http://{}', first_byte_timeout: 200ms }} }}",
        app.address
    ));
    assert_eq!(page(&mut gateway.connect()).0, 504);
    assert_eq!(app.seen().len(), 1);
}

/// A pause is not an end: the body is cut where the client sees it.
#[test]
fn an_app_that_falls_silent_within_a_body_is_cut() {
    let app = App::with(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").is_ok()
            && std::io::Read::read(stream, &mut [0]).is_ok_and(|count| count > 0)
    });
    let gateway = TestGateway::with_routes(&format!(
        "  - {{ access: public, upstream: {{ url: 'http://{}', idle_timeout: 200ms }} }}",
        app.address
    ));
    let response = gateway.connect().send(REQUEST).response();
    assert_eq!((response.status, response.complete, response.text().as_str()), (200, false, "half"));
}

#[test]
fn connections_to_the_app_are_used_again_by_other_clients() {
    let app = App::answering(ok("x"));
    let gateway = TestGateway::open_before(&app);
    for _ in 0..5 {
        assert_eq!(gateway.connect().send(REQUEST).response().status, 200);
    }
    assert_eq!((app.connections(), app.seen().len()), (1, 5));
}

/// `Connection: close` of a client ends its own connection and no other (RFC 9110 §7.6.1).
#[test]
fn a_client_that_closes_does_not_close_the_apps_connection() {
    let app = App::answering(ok("x"));
    let gateway = TestGateway::open_before(&app);
    for _ in 0..3 {
        let close = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        assert_eq!(gateway.connect().send(close).response().status, 200);
    }
    assert_eq!(app.connections(), 1);
}

/// The app's own word about its connection is kept from the client.
#[test]
fn hop_by_hop_headers_of_the_app_end_at_the_gateway() {
    let app = app(
        "HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive\r\nConnection: x-other\r\nKeep-Alive: timeout=9\r\n\
         Proxy-Authenticate: Basic\r\nX-Hop: 1\r\nX-Other: 1\r\nUpgrade: h2c\r\nTE: trailers\r\nX-Kept: 1\r\nContent-Length: 0\r\n\r\n",
    );
    let gateway = TestGateway::open_before(&app);
    let response = gateway.connect().send(REQUEST).response();
    let names: Vec<&str> = response.headers.iter().map(|(name, _)| name.as_str()).collect();
    for gone in ["connection", "keep-alive", "proxy-authenticate", "x-hop", "x-other", "upgrade", "te"] {
        assert!(!names.contains(&gone), "{gone}: {names:?}");
    }
    assert!(names.contains(&"x-kept"));
}
