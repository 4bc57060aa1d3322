//! Clients and apps that take too long: real sockets, small limits.
//!
//! Each limit is set so that no other one can be the cause; that it was reached at all is what is asserted, and
//! that it was not reached by somebody who keeps moving.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::support::{App, Client, TestGateway, field, ok};

fn gateway(app: &App, limits: &str) -> TestGateway {
    TestGateway::with_config(&format!(
        "routes: [{{ access: public, upstream: 'http://{}' }}]\nlimits: {{ {limits} }}",
        app.address
    ))
}

/// Waits by listening: nothing may come in the meantime.
fn pause(milliseconds: u64) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(milliseconds) {
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// DO-01.
#[test]
fn a_head_that_never_ends_is_answered_with_408() {
    let app = App::answering(ok("x"));
    let gateway = gateway(&app, "head_timeout: 300ms");
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ");
    let answer = client.response();
    assert_eq!((answer.status, answer.header("connection")), (408, Some("close")));
    assert!(client.is_closed());
    assert!(app.seen().is_empty());
}

/// DO-01: the clock runs from the first byte, so that a byte now and then gains nothing.
#[test]
fn a_head_that_drips_gains_no_time() {
    let app = App::answering(ok("x"));
    let gateway = gateway(&app, "head_timeout: 400ms");
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ");
    let mut drip = client.clone_for_writing();
    std::thread::spawn(move || {
        while drip.write_all(b"x").is_ok() {
            pause(50);
        }
    });
    let closed = client.response_or_close();
    assert!(closed.is_none_or(|answer| answer.status == 408));
    assert!(app.seen().is_empty());
}

#[test]
fn a_connection_that_says_nothing_at_all_is_closed() {
    let gateway = gateway(&App::answering(ok("x")), "head_timeout: 300ms");
    assert!(gateway.connect().is_closed());
}

#[test]
fn an_idle_connection_is_closed_after_the_keep_alive_time() {
    let gateway = gateway(&App::answering(ok("x")), "keep_alive_timeout: 300ms, head_timeout: 1m");
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().status, 200);
    assert!(client.is_closed());
}

/// DO-02.
#[test]
fn a_body_that_stops_is_answered_with_408_and_never_looks_complete() {
    let app = App::answering(ok("x"));
    let gateway = gateway(&app, "body_timeout: 300ms");
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    let answer = client.response();
    assert_eq!(answer.status, 408);
    assert!(client.is_closed());
    assert!(app.seen().is_empty(), "the app must not take half a body for a whole one");
}

/// DO-02: the same on a form of our own.
#[test]
fn a_form_that_stops_is_answered_with_408() {
    let app = App::answering(ok("x"));
    let gateway = gateway(&app, "body_timeout: 300ms");
    let mut browser = gateway.browser();
    assert!(field(&browser.get("/.session/login"), "csrf").is_some());
    let mut client = gateway.connect();
    client.send(format!(
        "POST /.session/login HTTP/1.1\r\nHost: a\r\nCookie: sessionid={}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nusername=ann",
        browser.session_id().unwrap()
    ));
    assert_eq!(client.response().status, 408);
}

/// DO-02: a slow line is no attack.
#[test]
fn a_body_that_keeps_coming_may_take_longer_than_the_timeout() {
    let app = App::answering(ok("x"));
    let gateway = gateway(&app, "body_timeout: 600ms");
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n");
    for _ in 0..10 {
        client.send([b'x'; 500]);
        pause(100);
    }
    assert_eq!(client.response().status, 200);
    assert_eq!(app.last().body.len(), 5000);
}

/// DO-02: whoever does not take the answer loses the connection, and the app is let go.
#[test]
fn a_reader_that_stalls_is_cut() {
    let (done, ended) = std::sync::mpsc::channel();
    let app = App::with(move |_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
        let piece = [b'x'; 64 * 1024];
        while stream.write_all(&piece).is_ok() {}
        let _ = done.send(());
        false
    });
    let gateway = gateway(&app, "write_timeout: 300ms");
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    ended.recv_timeout(Duration::from_secs(20)).expect("the app's connection is closed");
    assert!(!client.response().complete);
}

#[test]
fn an_app_that_answers_nothing_costs_504() {
    let app = App::with(|_, stream| {
        // Until the gateway hangs up.
        let _ = stream.read(&mut [0; 1]);
        false
    });
    let gateway = TestGateway::with_routes(&format!(
        "  - {{ access: public, upstream: {{ url: 'http://{}', first_byte_timeout: 300ms }} }}",
        app.address
    ));
    let answer = gateway.browser().get("/");
    assert_eq!(answer.status, 504);
    assert!(answer.text().contains("too slow"));
    assert_eq!(app.seen().len(), 1, "a request that may have been carried out is not sent twice");
}

#[test]
fn an_app_that_stops_in_the_middle_of_a_body_does_not_look_complete() {
    for head in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let start = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n4\r\nhalf\r\n");
        let app = App::with(move |_, stream| {
            let _ = stream.write_all(start.as_bytes());
            let _ = stream.read(&mut [0; 1]);
            false
        });
        let gateway = TestGateway::with_routes(&format!(
            "  - {{ access: public, upstream: {{ url: 'http://{}', idle_timeout: 300ms }} }}",
            app.address
        ));
        let answer = gateway.browser().get("/");
        assert_eq!((answer.status, answer.complete), (200, false), "{head}");
    }
}

/// An address whose queue of connections is full takes no more: the handshake is never finished.
#[test]
fn an_app_that_takes_no_connection_costs_504() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let socket = socket2::SockRef::from(&listener);
    socket.listen(0).unwrap();
    let quick = Duration::from_millis(200);
    let mut filling = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, quick) {
        filling.push(stream);
        assert!(filling.len() < 100, "this system's queue has no end");
    }
    let gateway = TestGateway::with_routes(&format!(
        "  - {{ access: public, upstream: {{ url: 'http://{address}', connect_timeout: 300ms }} }}"
    ));
    assert_eq!(gateway.browser().get("/").status, 504);
}

#[test]
fn an_app_that_is_down_costs_502_at_once() {
    let gateway = TestGateway::with_routes("  - { access: public, upstream: 'http://127.0.0.1:1' }");
    let mut browser = gateway.browser();
    let page = browser.get("/");
    assert_eq!(page.status, 502);
    assert!(page.text().contains("could not be reached"));
    assert_eq!(browser.fetch("/").json(), serde_json::json!({ "error": "bad_gateway" }));
}

/// DO-03: the newest is refused, those who are in are served.
#[test]
fn beyond_the_bound_a_connection_is_refused_and_the_others_go_on() {
    let gateway = gateway(&App::answering(ok("x")), "max_connections: 2");
    let (mut one, mut two) = (gateway.connect(), gateway.connect());
    let ask = |client: &mut Client| client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response().status;
    assert_eq!((ask(&mut one), ask(&mut two)), (200, 200));
    assert!(gateway.connect().is_closed());
    assert_eq!(ask(&mut one), 200);
    drop(two);
    let start = Instant::now();
    loop {
        let mut next = gateway.connect();
        next.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        if next.response_or_close().is_some_and(|answer| answer.status == 200) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "the place is never given back");
    }
}
