//! WebSocket handshakes against apps that understand them, and apps that do not.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::forward;
use super::super::scripted::{App, Step, TestBody, anybody, get, run, send};
use super::*;
use crate::http::body::RequestBody;
use crate::telemetry::lasting::Lasting;
use crate::timers::Timers;

fn parse<B: Body>(request: &Request<B>) -> Option<Result<Handshake, BadHandshake>> {
    Handshake::parse(request.method(), request.version(), request.headers(), request.body())
}

fn opening(handshake: Handshake) -> Opening {
    Opening { handshake, tether: None, counted: Lasting::default().websocket() }
}

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const ASKED: [(&str, &str); 4] = [
    ("connection", "keep-alive, Upgrade"),
    ("upgrade", "WebSocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", KEY),
];

fn asking(headers: &[(&'static str, &str)]) -> Request<TestBody> {
    let mut request = get();
    for (name, value) in headers {
        request.headers_mut().append(*name, HeaderValue::from_str(value).unwrap());
    }
    request
}

fn switch(accept: &str, then: &str) -> Step {
    send(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat\r\n\r\n{then}"
    ))
}

/// A hyper server in front of `upstream`, as `server` and `pipeline` will be.
async fn gateway(upstream: Upstream) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let timers = Timers::default();
    spawn_local(timers.clone().run());
    let pools = Pools::new(timers);
    spawn_local(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let handler = hyper::service::service_fn(|request: Request<Incoming>| {
            let (pools, upstream) = (pools.clone(), upstream.clone());
            async move {
                let handshake = parse(&request);
                let (mut request, body) = request.into_parts();
                let body = RequestBody::new(body, None, Duration::from_secs(5), pools.timers());
                request.headers.remove(header::CONNECTION);
                request.headers.remove(header::UPGRADE);
                match handshake {
                    Some(handshake) => {
                        forward_upgrade(
                            anybody(),
                            &HeaderLines::default(),
                            &pools,
                            &upstream,
                            opening(handshake.unwrap()),
                            request,
                            body,
                        )
                        .await
                    }
                    None => forward(anybody(), &HeaderLines::default(), &pools, &upstream, &request, body).await,
                }
            }
        });
        let server = hyper::server::conn::http1::Builder::new();
        let _ = server.serve_connection(TokioIo::new(stream), handler).with_upgrades().await;
    });
    address
}

const REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: app.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

async fn read_until(client: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        text.push(client.read_u8().await.unwrap());
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn a_valid_handshake_is_recognised_by_its_key() {
    let handshake = parse(&asking(&ASKED)).unwrap().unwrap();
    assert_eq!(handshake.accept, ACCEPT);
}

#[test]
fn what_does_not_ask_for_a_websocket_is_left_alone() {
    assert_eq!(parse(&get()), None);
    assert_eq!(parse(&asking(&ASKED[1..])), None);
    assert_eq!(parse(&asking(&[("connection", "upgrade"), ("upgrade", "h2c")])), None);
    let mut post = asking(&ASKED);
    *post.method_mut() = Method::POST;
    assert_eq!(parse(&post), None);
    let mut old = asking(&ASKED);
    *old.version_mut() = Version::HTTP_10;
    assert_eq!(parse(&old), None);
}

#[test]
fn a_malformed_handshake_is_refused_before_the_app_sees_it() {
    let with = |name: &'static str, value| {
        let rest = ASKED.into_iter().filter(|(known, _)| *known != name);
        parse(&asking(&rest.chain([(name, value)]).collect::<Vec<_>>()))
    };
    for version in ["8", "", "13, 8"] {
        assert_eq!(with("sec-websocket-version", version), Some(Err(BadHandshake::Version)));
    }
    for key in ["", "c2hvcnQ=", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZSE=", "!!!!!!!!!!!!!!!!!!!!!!=="] {
        assert_eq!(with("sec-websocket-key", key), Some(Err(BadHandshake::Key)));
    }
    let twice: Vec<_> = ASKED.into_iter().chain([("sec-websocket-key", KEY)]).collect();
    assert_eq!(parse(&asking(&twice)), Some(Err(BadHandshake::Key)));
    let body = asking(&ASKED).map(|_| TestBody::sized("x"));
    assert_eq!(parse(&body), Some(Err(BadHandshake::Body)));
}

#[test]
fn bytes_pass_both_ways_after_the_101_and_early_ones_are_kept() {
    run(|_: Pools| async move {
        let script = vec![Step::Head, switch(ACCEPT, "early;"), Step::Bytes(11), send("pong;"), Step::Closed];
        let app = App::start([script]).await;
        let mut client = TcpStream::connect(gateway(app.patient()).await).await.unwrap();
        client.write_all(format!("{REQUEST}eager;").as_bytes()).await.unwrap();
        let head = read_until(&mut client, "\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        for line in ["connection: upgrade", "upgrade: websocket", "sec-websocket-protocol: chat"] {
            assert_eq!(head.matches(&format!("\r\n{line}\r\n")).count(), 1, "{head}");
        }
        assert_eq!(read_until(&mut client, ";").await, "early;");
        client.write_all(b"ping;").await.unwrap();
        assert_eq!(read_until(&mut client, ";").await, "pong;");
        let seen = app.saw(2).await;
        assert!(seen[0].contains("\r\nconnection: upgrade\r\n") && seen[0].contains("\r\nupgrade: websocket\r\n"));
        assert_eq!(seen[1], "1: eager;ping;");
        drop(client);
        assert_eq!(app.saw(3).await[2], "1: closed");
    });
}

#[test]
fn one_side_may_end_while_the_other_still_sends() {
    run(|_: Pools| async move {
        let script = vec![Step::Head, switch(ACCEPT, ""), Step::Closed, send("last words")];
        let app = App::start([script]).await;
        let mut client = TcpStream::connect(gateway(app.patient()).await).await.unwrap();
        client.write_all(REQUEST.as_bytes()).await.unwrap();
        read_until(&mut client, "\r\n\r\n").await;
        client.shutdown().await.unwrap();
        let mut rest = String::new();
        client.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "last words");
    });
}

#[test]
fn a_silent_tunnel_is_closed_on_both_sides() {
    run(|_: Pools| async move {
        let app = App::start([vec![Step::Head, switch(ACCEPT, ""), Step::Closed]]).await;
        let upstream = app.upstream(["5s", "5s", "150ms"]);
        let mut client = TcpStream::connect(gateway(upstream).await).await.unwrap();
        client.write_all(REQUEST.as_bytes()).await.unwrap();
        read_until(&mut client, "\r\n\r\n").await;
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(app.saw(2).await[1], "1: closed");
    });
}

#[test]
fn a_101_that_is_no_answer_to_this_handshake_is_a_bad_response() {
    let answers = [
        switch("AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "early;"),
        send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"),
        send(format!("HTTP/1.1 101 Ok\r\nConnection: upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n")),
        send(format!(
            "HTTP/1.1 101 Ok\r\nUpgrade: h2c\r\nConnection: upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
        )),
        send(format!("HTTP/1.1 101 Ok\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n")),
    ];
    for answer in answers {
        run(|pools| async move {
            let app = App::start([vec![Step::Head, answer, Step::Closed]]).await;
            let handshake = parse(&asking(&ASKED)).unwrap().unwrap();
            let (request, body) = asking(&ASKED).into_parts();
            let answer = forward_upgrade(
                anybody(),
                &HeaderLines::default(),
                &pools,
                &app.patient(),
                opening(handshake),
                request,
                body,
            )
            .await
            .map(drop);
            assert!(matches!(answer, Err(Error::BadResponse(_))), "{answer:?}");
            assert_eq!(app.saw(2).await[1], "1: closed");
        });
    }
}

#[test]
fn a_refusal_by_the_app_is_a_response_like_any_other() {
    run(|_: Pools| async move {
        let refusal = "HTTP/1.1 403 Forbidden\r\nUpgrade: foo\r\nContent-Length: 2\r\n\r\nno";
        let app = App::start([vec![Step::Head, send(refusal), Step::Closed]]).await;
        let mut client = TcpStream::connect(gateway(app.patient()).await).await.unwrap();
        client.write_all(REQUEST.as_bytes()).await.unwrap();
        let answer = read_until(&mut client, "\r\n\r\nno").await;
        assert!(answer.starts_with("HTTP/1.1 403 ") && !answer.contains("upgrade"), "{answer}");
        assert_eq!(app.saw(2).await[1], "1: closed");
    });
}

#[test]
fn a_body_cut_short_by_the_app_is_cut_short_for_the_client() {
    for start in ["Content-Length: 9\r\n\r\nshort", "Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n"] {
        run(|_: Pools| async move {
            let head = format!("HTTP/1.1 200 OK\r\n{start}");
            let app = App::start([vec![Step::Request, send(head)]]).await;
            let mut client = TcpStream::connect(gateway(app.patient()).await).await.unwrap();
            client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            let mut answer = Vec::new();
            let _ = client.read_to_end(&mut answer).await;
            let answer = String::from_utf8(answer).unwrap();
            assert!(!answer.ends_with("0\r\n\r\n") && !answer.contains("short\r\n0"), "{answer}");
            assert!(!answer.contains("content-length: 5"), "{answer}");
        });
    }
}

#[test]
fn large_bodies_do_not_cost_the_connection() {
    run(|_: Pools| async move {
        let size = 1 << 20;
        let body = "x".repeat(size);
        let known = send(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n{body}"));
        let chunked =
            send(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{size:x}\r\n{body}\r\n0\r\n\r\n"));
        let rounds = vec![vec![Step::Request, known, Step::Request, chunked]; 3];
        let app = App::start([[rounds.concat(), vec![Step::Closed]].concat()]).await;
        let mut client = TcpStream::connect(gateway(app.patient()).await).await.unwrap();
        for round in 0..6 {
            let last = if round == 5 { "Connection: close\r\n" } else { "" };
            client.write_all(format!("GET / HTTP/1.1\r\nHost: a\r\n{last}\r\n").as_bytes()).await.unwrap();
            read_until(&mut client, "\r\n\r\n").await;
            let mut body = vec![0; size];
            if round % 2 == 0 {
                client.read_exact(&mut body).await.unwrap();
            } else {
                read_until(&mut client, "0\r\n\r\n").await;
            }
        }
        assert!(app.saw(6).await.iter().all(|seen| seen.starts_with("1: ")));
    });
}

#[test]
fn a_client_that_leaves_in_the_middle_ends_the_work_of_the_app() {
    run(|_: Pools| async move {
        let app = App::start([vec![Step::Request, Step::Closed]]).await;
        let mut client = TcpStream::connect(gateway(app.patient()).await).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        app.saw(1).await;
        drop(client);
        assert_eq!(app.saw(2).await[1], "1: closed");
    });
}

proptest! {
    #[test]
    fn only_keys_of_sixteen_bytes_are_taken(key in "[A-Za-z0-9+/=]{0,26}") {
        let headers = [ASKED[0], ASKED[1], ASKED[2], ("sec-websocket-key", &*key)];
        let sixteen = STANDARD.decode(&key).is_ok_and(|bytes| bytes.len() == 16);
        prop_assert_eq!(parse(&asking(&headers)).unwrap().is_ok(), sixteen);
    }

    #[test]
    fn sixteen_bytes_in_base64_are_a_key(bytes in any::<[u8; 16]>()) {
        let key = STANDARD.encode(bytes);
        let headers = [ASKED[0], ASKED[1], ASKED[2], ("sec-websocket-key", &*key)];
        prop_assert!(parse(&asking(&headers)).unwrap().is_ok());
    }
}
