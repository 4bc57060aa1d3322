//! Requests that two parsers could read differently: refused, and the handler never sees them.

use super::*;

const HEAD: &str = "POST /echo HTTP/1.1\r\nHost: a\r\n";

/// A good request that must not be answered when something before it on the connection was refused.
const NEXT: &str = "GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[test]
fn ambiguous_heads_are_answered_400_and_reach_nobody() {
    let fields = |fields: &str| format!("{HEAD}{fields}\r\n\r\n0\r\n\r\n");
    let heads = [
        fields("Content-Length: 5\r\nTransfer-Encoding: chunked"),
        fields("Transfer-Encoding: chunked\r\nContent-Length: 5"),
        fields("Content-Length: 5\r\nContent-Length: 6"),
        fields("Content-Length: 5, 5"),
        fields("Content-Length: 5\r\nContent-Length: 5"),
        fields("Content-Length: +1"),
        fields("Content-Length: 0x1"),
        fields("Content-Length: "),
        fields("Content-Length: 18446744073709551617"),
        fields("Transfer-Encoding: ,chunked"),
        fields("Transfer-Encoding: gzip, chunked"),
        fields("Transfer-Encoding: chunked, chunked"),
        fields("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        fields("Transfer-Encoding: identity"),
        fields("Transfer-Encoding: \x0bchunked"),
        fields("Transfer-Encoding: \"chunked\""),
        fields("Transfer-Encoding : chunked"),
        fields("Content-Length : 5"),
        fields("no colon"),
        fields(": empty name"),
        fields("X\u{85}: y"),
        fields("X: folded\r\n value"),
        fields("X: bare\rCR"),
        fields("X: NUL\0"),
        "POST /echo HTTP/1.1\nHost: a\n\n".into(),
        "POST /echo HTTP/1.1\r\nHost: a\r\nX: y\n\r\n".into(),
        "POST /echo HTTP/1.1\r\nHost: a\r\n\n".into(),
        "POST /echo HTTP/1.1\r\n Host: a\r\n\r\n".into(),
        "POST /echo HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
        "GET /\r\n\r\n".into(),
        "GET / HTTP/1.9\r\nHost: a\r\n\r\n".into(),
        "GET / HTTP/2.0\r\nHost: a\r\n\r\n".into(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(),
        "GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n".into(),
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n".into(),
        "GET /  HTTP/1.1\r\nHost: a\r\n\r\n".into(),
        "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n".into(),
        "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n".into(),
        "GET /public#/../admin HTTP/1.1\r\nHost: a\r\n\r\n".into(),
        "G@T / HTTP/1.1\r\nHost: a\r\n\r\n".into(),
        "GET / HTTP/1.1\r\n\r\n".into(),
        "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n".into(),
        "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n".into(),
    ];
    with_server(listener(), limits(), |server| async move {
        for head in heads {
            let response = server.exchange(format!("{head}{NEXT}")).await;
            assert_eq!(statuses(&response), [400], "{head:?} got {response:?}");
            assert_eq!(server.seen(), [""; 0], "{head:?}");
        }
    });
}

#[test]
fn a_refusal_does_not_depend_on_how_the_bytes_arrive() {
    with_server(listener(), limits(), |server| async move {
        let mut stream = server.connect().await;
        stream.set_nodelay(true).unwrap();
        for byte in b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n" {
            // Writing behind the refusal may fail: the server has closed.
            let _ = stream.write_all(&[*byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(statuses(&read_all(&mut stream).await), [400]);
        assert_eq!(server.seen(), [""; 0]);
    });
}

#[test]
fn valid_requests_are_served_one_after_the_other() {
    with_server(listener(), limits(), |server| async move {
        let requests = [
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 010\r\n\r\n0123456789",
            "\r\nPOST /echo HTTP/1.1\r\nHost: a\r\ntransfer-encoding: CHUNKED\r\n\r\n1 \r\na\r\n2;x=y\r\nbc\r\n0\r\nX-Remote-User: eve\r\n\r\n",
            "GET /?a=b HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            NEXT,
        ];
        let response = server.exchange(requests.concat()).await;
        assert_eq!(statuses(&response), [200; 4]);
        assert!(response.contains("<0123456789>") && response.contains("<abc>"), "{response}");
        assert_eq!(server.seen(), ["POST /echo", "POST /echo", "GET /?a=b", "GET /next"]);
    });
}

#[test]
fn a_bad_request_behind_a_good_one_leaves_the_good_ones_answer_whole() {
    with_server(listener(), limits(), |server| async move {
        let response = server.exchange("GET /one HTTP/1.1\r\nHost: a\r\n\r\nGET /two HTTP/1.1\nHost: a\r\n\r\n").await;
        assert_eq!(statuses(&response), [200, 400]);
        assert_eq!(server.seen(), ["GET /one"]);
    });
}

#[test]
fn a_broken_chunk_is_an_error_to_the_handler_and_ends_the_connection() {
    let bodies = [
        "0x1\r\na\r\n0\r\n\r\n",
        "+1\r\na\r\n0\r\n\r\n",
        "0_1\r\na\r\n0\r\n\r\n",
        " 1\r\na\r\n0\r\n\r\n",
        "\r\n",
        "10000000000000000\r\n",
        "1\na\r\n0\r\n\r\n",
        "1\ra\r\n",
        "1;x\na\r\n0\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "1\r\naXX0\r\n\r\n",
        "0\r\nT: u\n\r\n",
    ];
    with_server(listener(), limits(), |server| async move {
        for body in bodies {
            let response = server.exchange(format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n{body}{NEXT}")).await;
            assert_eq!(statuses(&response), [400], "{body:?}");
            assert_eq!(server.seen(), ["POST /echo"], "{body:?}");
        }
    });
}

#[test]
fn a_1_0_request_without_a_length_has_no_body() {
    with_server(listener(), limits(), |server| async move {
        let response = server.exchange("POST /echo HTTP/1.0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(statuses(&response), [200]);
        assert!(response.ends_with("<>"), "{response}");
        assert_eq!(server.seen(), ["POST /echo"]);
    });
}

#[test]
fn nothing_behind_an_upgrade_a_connect_or_a_close_is_read_as_a_request() {
    with_server(listener(), limits(), |server| async move {
        for (head, status) in [
            ("GET /one HTTP/1.1\r\nHost: a\r\nUpgrade: foo\r\nConnection: upgrade\r\n\r\n", 200),
            ("GET /one HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n", 200),
            ("GET /one HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nUpgrade: foo\r\n\r\n", 200),
            ("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
            ("GET /one HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200),
        ] {
            let response = server.exchange(format!("{head}{NEXT}")).await;
            assert_eq!(statuses(&response), [status], "{head:?}");
            assert!(response.to_lowercase().contains("connection: close"), "{head:?} got {response:?}");
            assert_eq!(server.seen().len(), 1, "{head:?}");
        }
    });
}

#[test]
fn a_head_has_a_bounded_size_and_number_of_fields() {
    let long = |n: usize| "a".repeat(n);
    with_server(listener(), limits(), |server| async move {
        for (head, status) in [
            (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", long(70_000)), 414),
            (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", long(1_000_000)), 431),
            (format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {}\r\n\r\n", long(60_000)), 431),
            (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(101)), 431),
        ] {
            let mut stream = server.connect().await;
            let (mut read, mut write) = stream.split();
            // Both at once: the answer comes before all of the head is written.
            let (_, response) = tokio::join!(write.write_all(head.as_bytes()), read_all(&mut read));
            assert_eq!(statuses(&response), [status], "{}", &head[..40]);
            assert_eq!(server.seen(), [""; 0]);
        }
    });
}
