//! WebSockets (RFC 6455): the handshake, what passes before and after it, and other upgrades.
//!
//! Mostly raw bytes; one test has a real client and a real server.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use tokio_tungstenite::tungstenite::client::client as upgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::http::Request;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::support::{App, Seen, TestGateway, ok};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

pub(super) fn handshake(lines: &str) -> String {
    format!(
        "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{lines}\r\n"
    )
}

fn switching(key: &str, lines: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n{lines}\r\n",
        derive_accept_key(key.as_bytes())
    )
}

/// Accepts every handshake, then returns what it is sent, byte for byte.
fn echo() -> App {
    App::with(|seen, stream| accept(seen, stream, "") && copy(stream))
}

pub(super) fn accept(seen: &Seen, stream: &mut TcpStream, early: &str) -> bool {
    let key = seen.header("sec-websocket-key").expect("a key").to_owned();
    stream.write_all(format!("{}{early}", switching(&key, "")).as_bytes()).is_ok()
}

/// Never true: the connection is over when this ends.
pub(super) fn copy(stream: &mut TcpStream) -> bool {
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        if stream.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    false
}

/// A real client speaks with a real server through the gateway, and both see a clean end.
#[test]
fn a_websocket_passes_messages_both_ways_and_its_close() {
    let app = App::with(|seen, stream| {
        assert!(accept(seen, stream, ""));
        let stream = stream.try_clone().unwrap();
        let mut socket = tungstenite::WebSocket::from_raw_socket(stream, tungstenite::protocol::Role::Server, None);
        while let Ok(message) = socket.read() {
            if (message.is_text() || message.is_binary()) && socket.send(message).is_err() {
                break;
            }
        }
        false
    });
    let gateway = TestGateway::open_before(&app);
    let stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = Request::get(format!("ws://{}/chat?x=1", gateway.address()))
        .header("Host", "a")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", KEY)
        .body(())
        .unwrap();
    let (mut socket, response) = upgrade(request, stream).unwrap();
    assert_eq!(response.status(), 101);
    let messages = [Message::text("hello"), Message::binary(vec![7; 200_000])];
    for message in messages {
        socket.send(message.clone()).unwrap();
        assert_eq!(socket.read().unwrap(), message);
    }
    socket.close(None).unwrap();
    assert!(socket.read().unwrap().is_close());
    assert_eq!(app.last().line(), "GET /chat?x=1 HTTP/1.1");
}

/// CW-10: not before the app's own 101, and not one byte of what comes early.
#[test]
fn nothing_behind_the_handshake_reaches_the_app_before_its_101() {
    let app = App::with(|seen, stream| {
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let early = stream.read(&mut [0; 100]).is_ok();
        stream.set_read_timeout(None).unwrap();
        accept(seen, stream, if early { "EARLY;" } else { "none;" }) && copy(stream)
    });
    let gateway = TestGateway::open_before(&app);
    let mut client = gateway.connect();
    client.send(handshake("") + "eager;");
    assert_eq!(client.response().status, 101);
    assert_eq!(client.exact(11), b"none;eager;");
}

/// CW-10: bytes that the app sends together with its 101 are kept for after ours.
#[test]
fn early_bytes_of_the_app_follow_the_101() {
    let app = App::with(|seen, stream| accept(seen, stream, "welcome;") && copy(stream));
    let gateway = TestGateway::open_before(&app);
    let mut client = gateway.connect();
    let response = client.send(handshake("")).response();
    assert_eq!((response.status, response.header("upgrade")), (101, Some("websocket")));
    assert_eq!(response.header("sec-websocket-accept"), Some(&*derive_accept_key(KEY.as_bytes())));
    assert_eq!(client.exact(8), b"welcome;");
    assert_eq!(client.send("ping").exact(4), b"ping");
}

/// CW-10, FR-26
#[test]
fn a_101_that_does_not_answer_this_handshake_is_502() {
    let accept = derive_accept_key(KEY.as_bytes());
    for (name, answer) in [
        ("wrong accept", switching("AAAAAAAAAAAAAAAAAAAAAA==", "")),
        ("no accept", "HTTP/1.1 101 Ok\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n".to_owned()),
        ("no upgrade", format!("HTTP/1.1 101 Ok\r\nConnection: upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n")),
        (
            "other protocol",
            format!("HTTP/1.1 101 Ok\r\nUpgrade: h2c\r\nConnection: upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"),
        ),
    ] {
        println!("case: {name}");
        let app = App::answering(answer + "evil-mark");
        let gateway = TestGateway::open_before(&app);
        let mut client = gateway.connect();
        let text = client.send(handshake("")).rest();
        assert!(text.starts_with("HTTP/1.1 502 ") && !text.contains("evil-mark"), "{name}: {text}");
    }
}

/// CW-10: and then the connection says nothing more.
#[test]
fn a_malformed_handshake_is_refused_and_the_app_is_not_asked() {
    let app = echo();
    let gateway = TestGateway::open_before(&app);
    let with = |from: &str, to: &str| handshake("").replace(from, to);
    for (name, request, status) in [
        ("version 8", with("Version: 13", "Version: 8"), 426),
        ("no version", with("Sec-WebSocket-Version: 13\r\n", ""), 426),
        ("short key", with(KEY, "c2hvcnQ="), 400),
        ("no key", with(&format!("Sec-WebSocket-Key: {KEY}\r\n"), ""), 400),
        ("two keys", handshake(&format!("Sec-WebSocket-Key: {KEY}\r\n")), 400),
        ("a body", handshake("Content-Length: 4\r\n") + "body", 400),
    ] {
        println!("case: {name}");
        let mut client = gateway.connect();
        let response = client.send(request).response();
        assert_eq!((response.status, response.header("connection")), (status, Some("close")), "{name}");
        assert!(app.seen().is_empty(), "{name}");
    }
}

/// What the app answers instead of 101 is a response like any other.
#[test]
fn an_app_may_refuse_a_websocket() {
    let app = App::answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    let gateway = TestGateway::open_before(&app);
    let mut client = gateway.connect();
    let response = client.send(handshake("") + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n").response();
    assert_eq!((response.status, response.text().as_str()), (403, "no"));
    assert_eq!(client.rest(), "");
    assert_eq!(app.seen().len(), 1);
}

/// ID-01
#[test]
fn the_handshake_needs_the_session_and_carries_the_identity_and_not_our_cookie() {
    let app = echo();
    let gateway = TestGateway::before(&app);
    let mut stranger = gateway.connect();
    assert_eq!(stranger.send(handshake("")).response().status, 401);
    assert!(app.seen().is_empty());
    let ann = gateway.signed_in("ann");
    let cookie = format!("Origin: http://a\r\nCookie: theme=dark; sessionid={}\r\n", ann.session_id().unwrap());
    let mut client = gateway.connect();
    let forged = "Remote-User: eve\r\nRemote_User: eve\r\nConnection: Remote-User\r\n";
    assert_eq!(client.send(handshake(&format!("{cookie}{forged}"))).response().status, 101);
    assert_eq!(client.send("ping").exact(4), b"ping");
    let seen = app.last();
    assert_eq!((seen.header("remote-user"), seen.header("cookie")), (Some("ann"), Some("theme=dark")));
    assert_eq!((seen.header("upgrade"), seen.header("connection")), (Some("websocket"), Some("upgrade")));
    assert!(!seen.head.contains("eve"), "{}", seen.head);
}

/// CW-08: a browser lets any page open a WebSocket, and sends the cookie along.
#[test]
fn a_page_of_another_origin_opens_no_websocket_and_the_app_is_not_asked() {
    let app = echo();
    let gateway = TestGateway::before(&app);
    let ann = format!("Cookie: sessionid={}\r\n", gateway.signed_in("ann").session_id().unwrap());
    for (name, lines) in [
        ("another host", "Origin: https://evil.example\r\n"),
        ("a longer name", "Origin: http://a.evil.example\r\n"),
        ("a name before it", "Origin: http://evil-a\r\n"),
        ("another port", "Origin: http://a:8080\r\n"),
        ("null", "Origin: null\r\n"),
        ("empty", "Origin: \r\n"),
        ("no page", "Origin: ws://a\r\n"),
        ("two", "Origin: http://a\r\nOrigin: http://a\r\n"),
        ("two, one of them foreign", "Origin: http://a\r\nOrigin: http://evil.example\r\n"),
        ("the browser says otherwise", "Origin: http://a\r\nSec-Fetch-Site: cross-site\r\n"),
        ("none, with our cookie", ""),
        ("taken away", "Origin: http://evil.example\r\nConnection: Origin\r\n"),
    ] {
        println!("case: {name}");
        let mut client = gateway.connect();
        assert_eq!(client.send(handshake(&format!("{lines}{ann}"))).response().status, 403, "{name}");
        assert_eq!(app.connections(), 0, "{name}");
    }
    let mut client = gateway.connect();
    assert_eq!(client.send(handshake(&format!("Origin: http://A\r\n{ann}"))).response().status, 101);
}

#[test]
fn without_a_cookie_a_program_may_open_one_and_a_foreign_page_may_not() {
    let app = echo();
    let gateway = TestGateway::open_before(&app);
    assert_eq!(gateway.connect().send(handshake("")).response().status, 101);
    assert_eq!(gateway.connect().send(handshake("Cookie: theme=dark\r\n")).response().status, 101);
    let dead = "Cookie: sessionid=0123456789abcdefghijklmnopqrstuv\r\n";
    for lines in ["Origin: https://evil.example\r\n", "Origin: null\r\n", dead] {
        assert_eq!(gateway.connect().send(handshake(lines)).response().status, 403, "{lines}");
    }
    assert_eq!(app.connections(), 2);
}

#[test]
fn pages_that_live_elsewhere_are_named_by_their_exact_origin() {
    let app = echo();
    let gateway = TestGateway::with_routes(&format!(
        "  - {{ access: public, websocket_origins: ['https://pages.example', 'http://localhost:3000'], upstream: 'http://{}' }}",
        app.address
    ));
    let status = |origin: &str| gateway.connect().send(handshake(&format!("Origin: {origin}\r\n"))).response().status;
    for origin in ["https://pages.example", "http://localhost:3000", "http://a"] {
        assert_eq!(status(origin), 101, "{origin}");
    }
    for origin in ["http://pages.example", "https://pages.example:8443", "https://b.pages.example", "null"] {
        assert_eq!(status(origin), 403, "{origin}");
    }
}

/// FR-18, FR-19 (RFC 9931): no other protocol is upgraded to, and what follows is not read as a request.
#[test]
fn other_upgrades_are_ignored_and_end_the_connection() {
    let app = App::answering(ok("x"));
    let gateway = TestGateway::open_before(&app);
    for (name, lines) in [
        ("foo", "Connection: upgrade\r\nUpgrade: foo"),
        ("h2c", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"),
        ("not nominated", "Upgrade: websocket"),
        ("TLS", "Connection: upgrade\r\nUpgrade: TLS/1.2"),
    ] {
        println!("case: {name}");
        let before = app.seen().len();
        let mut client = gateway.connect();
        client.send(format!("GET /x HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.header("connection")), (200, Some("close")), "{name}");
        assert_eq!(client.rest(), "", "{name}");
        assert_eq!(app.seen().len(), before + 1, "{name}");
        let seen = app.last();
        assert_eq!(
            (seen.header("upgrade"), seen.header("connection"), seen.header("http2-settings")),
            (None, None, None)
        );
    }
}

/// Neither side is left alone with a dead connection.
#[test]
fn the_end_of_one_side_is_the_end_of_the_other() {
    let (sender, ended) = std::sync::mpsc::channel();
    let app = App::with(move |seen, stream| {
        let whole = accept(seen, stream, "bye") && stream.read_to_end(&mut Vec::new()).is_ok();
        sender.send(whole).unwrap();
        false
    });
    let gateway = TestGateway::open_before(&app);
    let mut client = gateway.connect();
    assert_eq!(client.send(handshake("")).response().status, 101);
    assert_eq!(client.exact(3), b"bye");
    client.finish();
    assert_eq!(ended.recv_timeout(Duration::from_secs(10)), Ok(true), "the app was told that the client is done");
    assert!(client.is_closed(), "the client was told that the app is done");
}
