//! How requests are delimited on HTTP/1.1 (RFC 9112): each ambiguous one is refused before any app hears of it.
//!
//! Raw bytes through the whole gateway. What a case shows is the status, the closed connection, and that the
//! request behind it is neither answered nor forwarded.

use crate::support::{App, Client, TestGateway, ok};

/// Behind each refused request: if it is ever answered or seen by the app, the two were read apart wrongly.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// Sends each case with a second request behind it: refused with its status, the connection closed, and the app
/// never asked.
fn refuses(cases: &[(&str, Vec<u8>, u16)]) {
    let app = App::echoing();
    let gateway = TestGateway::open_before(&app);
    for (name, bytes, status) in cases {
        println!("case: {name}");
        let mut client = gateway.connect();
        client.send([bytes, SMUGGLED.as_bytes()].concat());
        let response = client.response();
        assert_eq!(response.status, *status, "{name}");
        assert_eq!(response.header("connection"), Some("close"), "{name}");
        assert_eq!(client.rest(), "", "{name}: something was answered behind the refusal");
        assert!(app.seen().is_empty(), "{name}: the app saw {:?}", app.seen());
    }
    assert_eq!(app.connections(), 0);
}

/// A POST with these header lines and a body that would do under any reading of them.
fn post(lines: &str) -> Vec<u8> {
    format!("POST /x HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n1\r\nx\r\n0\r\n\r\n").into()
}

fn get(lines: &str) -> Vec<u8> {
    format!("GET /x HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n").into()
}

/// FR-01, FR-02, FR-03, FR-04
#[test]
fn a_body_with_two_lengths_or_an_odd_one_is_refused() {
    let long = "9".repeat(40);
    refuses(&[
        ("FR-01 CL then TE", post("Content-Length: 5\r\nTransfer-Encoding: chunked"), 400),
        ("FR-01 TE then CL", post("Transfer-Encoding: chunked\r\nContent-Length: 5"), 400),
        ("FR-02 different", post("Content-Length: 5\r\nContent-Length: 6"), 400),
        ("FR-02 a list", post("Content-Length: 5, 5"), 400),
        ("FR-03 twice the same", post("Content-Length: 5\r\nContent-Length: 5"), 400),
        ("FR-04 plus", post("Content-Length: +1"), 400),
        ("FR-04 minus", post("Content-Length: -1"), 400),
        ("FR-04 hexadecimal", post("Content-Length: 0x1"), 400),
        ("FR-04 underscore", post("Content-Length: 1_0"), 400),
        ("FR-04 empty", post("Content-Length:"), 400),
        ("FR-04 2^64 + 1", post("Content-Length: 18446744073709551617"), 400),
        ("FR-04 forty digits", post(&format!("Content-Length: {long}")), 400),
    ]);
}

/// FR-05: the number is what goes on, never its text, which is octal to some.
#[test]
fn a_length_with_a_leading_zero_is_decimal_and_is_written_anew() {
    let app = App::echoing();
    let gateway = TestGateway::open_before(&app);
    let mut client = gateway.connect();
    client.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 010\r\n\r\n0123456789");
    assert_eq!(client.response().status, 200);
    assert_eq!((app.last().header("content-length"), app.last().body), (Some("10"), b"0123456789".to_vec()));
}

/// FR-06, FR-07, FR-15
#[test]
fn a_transfer_coding_other_than_one_chunked_is_refused() {
    let codings: [(&str, &[u8]); 10] = [
        ("FR-06 empty element", b",chunked"),
        ("FR-06 gzip first", b"gzip, chunked"),
        ("FR-06 twice in a list", b"chunked, chunked"),
        ("FR-06 two lines", b"chunked\r\nTransfer-Encoding: chunked"),
        ("FR-07 identity", b"identity"),
        ("FR-07 unknown", b"xchunked"),
        ("FR-07 chunked not last", b"chunked, identity"),
        ("FR-07 vertical tab", b"\x0bchunked"),
        ("FR-07 no-break space", b"\xa0chunked"),
        ("FR-07 quoted", b"\"chunked\""),
    ];
    let request = |version: &str, coding: &[u8]| {
        let head = format!("POST /x HTTP/{version}\r\nHost: a\r\nTransfer-Encoding: ");
        [head.as_bytes(), coding, b"\r\n\r\n1\r\nx\r\n0\r\n\r\n"].concat()
    };
    let mut cases: Vec<_> = codings.iter().map(|(name, coding)| (*name, request("1.1", coding), 400)).collect();
    cases.push(("FR-15 in HTTP/1.0", request("1.0", b"chunked"), 400));
    refuses(&cases);
}

/// FR-06: the case of the one coding does not matter.
#[test]
fn chunked_in_any_case_is_read_and_written_anew() {
    let app = App::echoing();
    let gateway = TestGateway::open_before(&app);
    let mut client = gateway.connect();
    client.send(post("Transfer-Encoding: CHUNKed"));
    assert_eq!(client.response().status, 200);
    assert_eq!((app.last().header("transfer-encoding"), app.last().body), (Some("chunked"), b"x".to_vec()));
}

/// FR-08, FR-09, FR-10, FR-11
#[test]
fn malformed_header_lines_and_line_ends_are_refused() {
    let raw = |text: &[u8]| text.to_vec();
    refuses(&[
        ("FR-08 space before the colon of TE", post("Transfer-Encoding : chunked"), 400),
        ("FR-08 space before the colon of CL", post("Content-Length : 5"), 400),
        ("FR-08 space before the first field", raw(b"GET /x HTTP/1.1\r\n Host: a\r\n\r\n"), 400),
        ("FR-08 no colon", get("X-Odd"), 400),
        ("FR-08 no name", get(": y"), 400),
        ("FR-08 8-bit name", raw(b"GET /x HTTP/1.1\r\nHost: a\r\nX\x85: y\r\n\r\n"), 400),
        ("FR-09 folded with a space", get("X: y\r\n z"), 400),
        ("FR-09 folded with a tab", get("Transfer-Encoding:\r\n\tchunked"), 400),
        ("FR-10 LF throughout", raw(b"GET /x HTTP/1.1\nHost: a\n\n"), 400),
        ("FR-10 LF after one line", raw(b"GET /x HTTP/1.1\r\nX: y\nHost: a\r\n\r\n"), 400),
        ("FR-10 LF at the end", raw(b"GET /x HTTP/1.1\r\nHost: a\r\n\n"), 400),
        ("FR-11 CR in a value", get("X: y\rTransfer-Encoding: chunked"), 400),
        ("FR-11 NUL in a value", get("X: y\0z"), 400),
    ]);
}

/// FR-12: the app's half of the request is abandoned, and its connection is not used again.
#[test]
fn a_broken_chunk_is_400_and_abandons_the_connection_to_the_app() {
    for body in [
        "0x1\r\na\r\n0\r\n\r\n",
        "+1\r\na\r\n0\r\n\r\n",
        "0_1\r\na\r\n0\r\n\r\n",
        " 1\r\na\r\n0\r\n\r\n",
        "\r\n",
        "10000000000000000\r\n",
        "1\na\r\n0\r\n\r\n",
        "1\ra\r\n0\r\n\r\n",
        "1;x\na\r\n0\r\n\r\n",
        "1;x\ry\r\na\r\n0\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "1\r\na\r0\r\n\r\n",
        "1\r\naXX0\r\n\r\n",
    ] {
        println!("case: FR-12 {body:?}");
        let app = App::echoing();
        let gateway = TestGateway::open_before(&app);
        let mut client = gateway.connect();
        client.send("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n");
        app.wait_for_connections(1);
        client.send(body).send(SMUGGLED);
        let response = client.response();
        assert_eq!((response.status, response.header("connection")), (400, Some("close")), "{body:?}");
        assert_eq!(client.rest(), "", "{body:?}");
        assert!(app.seen().is_empty(), "{body:?}: the app saw a whole request: {:?}", app.seen());
        gateway.connect().send(get("")).response();
        assert_eq!(app.last().connection, 2, "{body:?}");
    }
}

/// FR-13, FR-14: neither extensions nor trailers reach the app, in the head, the body or behind it.
#[test]
fn chunk_extensions_and_request_trailers_end_at_the_gateway() {
    let app = App::echoing();
    let gateway = TestGateway::open_before(&app);
    let mut client = gateway.connect();
    client.send(
        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Remote-User\r\n\r\n\
         1 \r\na\r\n2;name=\"v\"\r\nbc\r\n0;last\r\n\
         X-Remote-User: eve\r\nRemote-User: eve\r\nContent-Length: 9\r\nCookie: sessionid=x\r\nHost: evil\r\n\r\n",
    );
    assert_eq!(client.response().status, 200);
    let head = app.last().head.to_ascii_lowercase();
    assert_eq!(app.last().body, b"abc");
    for part in ["eve", "evil", "trailer", "cookie", "content-length", "name="] {
        assert!(!head.contains(part), "{part}: {head}");
    }
    // What was left on the connection to the app would stand before the next request line.
    client.send(get(""));
    assert_eq!(client.response().status, 200);
    assert_eq!((app.last().line(), app.last().connection), ("GET /x HTTP/1.1", 1));
}

/// FR-16
#[test]
fn a_1_0_request_without_a_length_has_no_body_and_is_the_last() {
    let app = App::echoing();
    let gateway = TestGateway::open_before(&app);
    let mut client = gateway.connect();
    client.send(format!("POST /x HTTP/1.0\r\nHost: a\r\n\r\n{SMUGGLED}"));
    assert_eq!(client.response().status, 200);
    assert_eq!(client.rest(), "");
    let seen = app.seen();
    assert_eq!((seen.len(), seen[0].header("content-length")), (1, Some("0")));
    assert!(seen[0].body.is_empty());
}

/// FR-17
#[test]
fn a_body_of_any_method_is_forwarded_with_its_length_or_as_chunks() {
    let app = App::answering(ok(""));
    let gateway = TestGateway::open_before(&app);
    for method in ["GET", "DELETE", "OPTIONS", "PROPFIND"] {
        for framing in ["Content-Length: 4\r\n\r\nbody", "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"] {
            println!("case: {method} {framing:?}");
            let mut client = gateway.connect();
            client.send(format!("{method} /x HTTP/1.1\r\nHost: a\r\n{framing}{SMUGGLED}"));
            assert_eq!((client.response().status, client.response().status), (200, 200));
            let seen = app.seen();
            let [.., first, second] = &seen[..] else { panic!("{seen:?}") };
            assert_eq!((first.line(), &first.body[..]), (&*format!("{method} /x HTTP/1.1"), &b"body"[..]));
            assert_eq!(second.line(), "GET /smuggled HTTP/1.1");
        }
    }
}

/// FR-17 (RUSTSEC-2025-0037): an answer of our own does not leave the body behind as a request.
#[test]
fn the_unread_body_of_a_refused_request_is_never_read_as_a_request() {
    let app = App::echoing();
    let gateway = TestGateway::before(&app);
    for method in ["GET", "POST", "DELETE"] {
        let length = SMUGGLED.len();
        let head = format!("{method} /x HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        for together in [true, false] {
            println!("case: {method}, head and body together: {together}");
            let mut client = gateway.connect();
            client.send(if together { format!("{head}{SMUGGLED}") } else { head.clone() });
            let response = client.response();
            assert_eq!(response.status, 401);
            if !together {
                client.send(SMUGGLED);
            }
            client.finish();
            assert_eq!(client.rest(), "");
            assert!(app.seen().is_empty());
        }
    }
}

/// FR-20
#[test]
fn nothing_behind_connection_close_is_processed() {
    let app = App::echoing();
    let gateway = TestGateway::open_before(&app);
    let mut client = gateway.connect();
    client.send([get("Connection: close"), SMUGGLED.into()].concat());
    assert_eq!(client.response().header("connection"), Some("close"));
    assert_eq!(client.rest(), "");
    assert_eq!((app.seen().len(), app.last().header("connection")), (1, None));
}

/// FR-21: nobody is asked to send what will not be read.
#[test]
fn a_body_is_asked_for_after_the_decision_and_never_for_a_refused_request() {
    let app = App::echoing();
    let gateway = TestGateway::with_routes(&format!(
        "  - {{ path: /open, access: public, upstream: {{ url: 'http://{0}', max_body_size: 10B }} }}\n  \
           - {{ path: /, access: user, upstream: 'http://{0}' }}",
        app.address
    ));
    let head = |path: &str, length: usize, expect: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\nExpect: {expect}\r\n\r\n")
    };
    for (name, head, status) in [
        ("not signed in", head("/secret", 4, "100-continue"), "401"),
        ("too large", head("/open", 11, "100-continue"), "413"),
        ("no such path", head("/.session/none", 4, "100-continue"), "404"),
        ("unknown expectation", head("/open", 4, "200-ok"), "417"),
        ("disguised expectation", head("/open", 4, "100-continue, x"), "417"),
    ] {
        println!("case: {name}");
        let mut client = gateway.connect();
        let text = { client.send(head).rest() };
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {text}");
        assert!(app.seen().is_empty(), "{name}");
    }
    let mut client = gateway.connect();
    client.send(head("/open", 4, "100-Continue"));
    assert_eq!(client.exact(25), b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.send("body").response().status, 200);
    assert_eq!((app.last().body, app.last().head.to_lowercase().contains("expect")), (b"body".to_vec(), false));
}

/// FR-22, FR-23
#[test]
fn a_head_beyond_its_limits_is_refused_before_any_app_hears_of_it() {
    let long = |count: usize| "a".repeat(count);
    let heads = [
        ("FR-22 long target", format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", long(70_000)), 414),
        ("FR-22 long header", format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", long(1_000_000)), 431),
        ("FR-22 many headers", format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(101)), 431),
        ("FR-23 long cookie", format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {}\r\n\r\n", long(60_000)), 431),
    ];
    let app = App::echoing();
    let gateway = TestGateway::open_before(&app);
    for (name, head, status) in heads {
        println!("case: {name}");
        let mut client = gateway.connect();
        assert_eq!(client.send(head).response().status, status, "{name}");
        assert!(client.is_closed(), "{name}");
        assert_eq!(app.connections(), 0, "{name}");
    }
}

/// FR-24
#[test]
fn connect_and_trace_are_405_and_end_the_connection() {
    refuses(&[
        ("CONNECT", b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 405),
        ("CONNECT to a path", b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 405),
        ("TRACE", b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 405),
    ]);
}

/// FR-25
#[test]
fn odd_request_lines_are_refused() {
    let line = |line: &[u8]| [line, b"\r\nHost: a\r\n\r\n"].concat();
    refuses(&[
        ("HTTP/0.9", b"GET /x\r\n\r\n".to_vec(), 400),
        ("HTTP/1.9", line(b"GET /x HTTP/1.9"), 400),
        ("HTTP/2.0", line(b"GET /x HTTP/2.0"), 400),
        ("HTTP/1.10", line(b"GET /x HTTP/1.10"), 400),
        ("http/1.1", line(b"GET /x http/1.1"), 400),
        ("h2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), 400),
        ("tabs", line(b"GET\t/x\tHTTP/1.1"), 400),
        ("two spaces before the target", line(b"GET  /x HTTP/1.1"), 400),
        ("two spaces behind the target", line(b"GET /x  HTTP/1.1"), 400),
        ("space at the end", line(b"GET /x HTTP/1.1 "), 400),
        ("control in the target", line(b"GET /\x01 HTTP/1.1"), 400),
        ("8-bit target", line(b"GET /\xe9 HTTP/1.1"), 400),
        ("odd method", line(b"G@T /x HTTP/1.1"), 400),
        ("no method", line(b" /x HTTP/1.1"), 400),
    ]);
}

/// FR-01…FR-11 once more for bytes that come one by one: no check depends on what one read brings.
#[test]
fn a_refusal_does_not_depend_on_how_the_bytes_arrive() {
    let app = App::echoing();
    let gateway = TestGateway::open_before(&app);
    let one_by_one = |client: &mut Client, bytes: &[u8]| {
        for byte in bytes {
            client.send([*byte]);
        }
    };
    for bytes in [post("Content-Length: 5\r\nTransfer-Encoding: chunked"), get("X: y\n"), post("Content-Length: 1_0")] {
        let mut client = gateway.connect();
        one_by_one(&mut client, &bytes);
        assert_eq!(client.response().status, 400, "{:?}", String::from_utf8_lossy(&bytes));
        assert!(app.seen().is_empty());
    }
    let mut client = gateway.connect();
    one_by_one(&mut client, &post("Transfer-Encoding: chunked"));
    assert_eq!(client.response().status, 200);
    assert_eq!(app.last().body, b"x");
}
