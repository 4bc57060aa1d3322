//! Bodies on their way: streaming and back-pressure in both directions, limits, trailers, aborts.
//!
//! Both ends wait for one another, so that nothing here depends on how fast the machine is.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use crate::support::{App, Client, TestGateway, ok};

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
const PATIENCE: Duration = Duration::from_secs(10);
const PIECE: usize = 64 * 1024;
const MUCH: usize = 64 * 1024 * 1024;
/// More than all buffers between two sockets of this machine, ours included, and far less than `MUCH`.
pub const BUFFERS: usize = 24 * 1024 * 1024;

/// A thing the test says to the app, or the app to the test.
fn signal() -> (Sender<()>, std::sync::Mutex<Receiver<()>>) {
    let (sender, receiver) = channel();
    (sender, std::sync::Mutex::new(receiver))
}

fn wait(signal: &std::sync::Mutex<Receiver<()>>) {
    signal.lock().unwrap().recv_timeout(PATIENCE).expect("the other side came so far");
}

#[test]
fn the_first_bytes_of_a_response_arrive_before_the_app_has_finished() {
    let (read, was_read) = signal();
    let app = App::with(move |_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").unwrap();
        wait(&was_read);
        stream.write_all(b"4\r\nlast\r\n0\r\n\r\n").is_ok()
    });
    let gateway = TestGateway::open_before(&app);
    let mut client = gateway.connect();
    client.send(GET);
    let mut text = String::new();
    while !text.ends_with("first\r\n") {
        text.push(char::from(client.exact(1)[0]));
    }
    read.send(()).unwrap();
    assert_eq!(client.exact(14), b"4\r\nlast\r\n0\r\n\r\n");
}

#[test]
fn the_first_bytes_of_an_upload_arrive_before_the_client_has_finished() {
    let (arrived, has_arrived) = signal();
    let app = raw_app(move |mut stream| {
        let mut text = Vec::new();
        while !text.ends_with(b"first\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            text.push(byte[0]);
        }
        arrived.send(()).unwrap();
        let mut rest = [0; 14];
        stream.read_exact(&mut rest).unwrap();
        assert_eq!(&rest, b"4\r\nlast\r\n0\r\n\r\n");
        stream.write_all(ok("").as_bytes()).unwrap();
    });
    let gateway = TestGateway::with_routes(&format!("  - {{ access: public, upstream: 'http://{app}' }}"));
    let mut client = gateway.connect();
    client.send("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    wait(&has_arrived);
    assert_eq!(client.send("4\r\nlast\r\n0\r\n\r\n").response().status, 200);
}

/// An app that reads its request itself.
fn raw_app(serve: impl Fn(TcpStream) + Send + 'static) -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
    address
}

/// Waits until `count` has stood still for a while, and says where.
pub fn settled(count: &AtomicUsize) -> usize {
    let (start, mut last, mut since) = (Instant::now(), 0, Instant::now());
    while since.elapsed() < Duration::from_millis(500) {
        let now = count.load(Ordering::SeqCst);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        assert!(start.elapsed() < PATIENCE, "still moving at {now}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
    last
}

/// The gateway takes from the app what its client takes, not more.
#[test]
fn a_client_that_does_not_read_stops_the_app() {
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let app = App::with(move |_, stream| {
        let piece = [b'x'; PIECE];
        stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {MUCH}\r\n\r\n").as_bytes()).unwrap();
        (0..MUCH / PIECE).all(|_| {
            let done = stream.write_all(&piece).is_ok();
            count.fetch_add(PIECE, Ordering::SeqCst);
            done
        })
    });
    let gateway = TestGateway::open_before(&app);
    let mut client = gateway.connect();
    client.send(GET);
    let stopped = settled(&written);
    assert!((PIECE..BUFFERS).contains(&stopped), "the app could write {stopped} bytes");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(client.exact(1));
    }
    for _ in 0..MUCH / PIECE {
        assert!(client.exact(PIECE).iter().all(|byte| *byte == b'x'));
    }
}

/// And from the client what the app takes.
#[test]
fn an_app_that_does_not_read_stops_the_client() {
    let (go, may_go) = signal();
    let received = Arc::new(AtomicUsize::new(0));
    let total = Arc::clone(&received);
    let app = raw_app(move |mut stream| {
        wait(&may_go);
        let mut piece = vec![0; PIECE];
        while total.load(Ordering::SeqCst) < MUCH {
            let count = stream.read(&mut piece).unwrap();
            total.fetch_add(count, Ordering::SeqCst);
        }
        stream.write_all(ok("").as_bytes()).unwrap();
    });
    let gateway = TestGateway::with_routes(&format!("  - {{ access: public, upstream: 'http://{app}' }}"));
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.write_all(format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {MUCH}\r\n\r\n").as_bytes()).unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let mut writer = stream.try_clone().unwrap();
    let client = std::thread::spawn(move || {
        for _ in 0..MUCH / PIECE {
            writer.write_all(&[b'x'; PIECE]).unwrap();
            count.fetch_add(PIECE, Ordering::SeqCst);
        }
    });
    let stopped = settled(&sent);
    assert!((PIECE..BUFFERS).contains(&stopped), "the client could write {stopped} bytes");
    go.send(()).unwrap();
    client.join().unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    assert!(received.load(Ordering::SeqCst) >= MUCH);
}

/// A client that has gone is not worked for, before the response and within it.
#[test]
fn a_client_that_goes_away_closes_the_connection_to_the_app() {
    for begin in ["", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart"] {
        println!("case: {begin:?}");
        let (closed, was_closed) = signal();
        let app = App::with(move |_, stream| {
            stream.write_all(begin.as_bytes()).unwrap();
            // Only an end or a reset can come.
            assert!(!matches!(stream.read(&mut [0]), Ok(1..)));
            closed.send(()).unwrap();
            false
        });
        let gateway = TestGateway::open_before(&app);
        let mut client = gateway.connect();
        client.send(GET);
        app.wait_for(1);
        if !begin.is_empty() {
            client.exact(20);
        }
        drop(client);
        wait(&was_closed);
    }
}

/// The app sees a broken request, never a shorter one.
#[test]
fn an_upload_that_breaks_off_is_broken_off_towards_the_app() {
    for head in ["Content-Length: 100\r\n\r\npart", "Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n"] {
        println!("case: {head:?}");
        let app = App::answering(ok(""));
        let gateway = TestGateway::open_before(&app);
        let mut client = gateway.connect();
        client.send(format!("POST /x HTTP/1.1\r\nHost: a\r\n{head}"));
        app.wait_for_connections(1);
        drop(client);
        assert_eq!(gateway.connect().send(GET).response().status, 200);
        let seen = app.wait_for(1);
        assert_eq!((seen.len(), seen[0].line(), seen[0].connection), (1, "GET /x HTTP/1.1", 2));
    }
}

fn small(app: &App) -> TestGateway {
    TestGateway::with_routes(&format!(
        "  - {{ access: public, upstream: {{ url: 'http://{}', max_body_size: 10B }} }}",
        app.address
    ))
}

#[test]
fn a_body_announced_larger_than_the_route_takes_is_413_and_the_app_is_not_asked() {
    let app = App::answering(ok(""));
    let gateway = small(&app);
    let post = |length: usize| format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    let mut client = gateway.connect();
    let response = client.send(post(11)).response();
    assert_eq!((response.status, response.header("connection")), (413, Some("close")));
    assert_eq!(app.connections(), 0);
    assert_eq!(gateway.connect().send(post(10) + "0123456789").response().status, 200);
}

#[test]
fn a_body_that_grows_larger_than_the_route_takes_is_413_and_the_app_never_sees_it_whole() {
    let app = App::answering(ok(""));
    let gateway = small(&app);
    let post = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for chunks in ["b\r\n01234567890\r\n0\r\n\r\n", "a\r\n0123456789\r\n1\r\n0\r\n0\r\n\r\n"] {
        let mut client = gateway.connect();
        let response = client.send(format!("{post}{chunks}")).response();
        assert_eq!((response.status, response.header("connection")), (413, Some("close")), "{chunks:?}");
        assert!(app.seen().is_empty());
    }
    assert_eq!(gateway.connect().send(format!("{post}a\r\n0123456789\r\n0\r\n\r\n")).response().status, 200);
}

/// A slow body ends with 408, however little it is short of the pace.
#[test]
fn a_body_that_stops_coming_is_408() {
    let app = App::answering(ok(""));
    let gateway = TestGateway::with_config(&format!(
        "limits: {{ body_timeout: 300ms }}\nroutes: [{{ access: public, upstream: 'http://{}' }}]",
        app.address
    ));
    let mut client = gateway.connect();
    client.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\npart");
    assert_eq!(client.response().status, 408);
    assert!(client.is_closed() && app.seen().is_empty());
}

/// What an app says before it has read everything is passed on; the rest of the body goes nowhere.
#[test]
fn an_answer_that_comes_before_the_end_of_the_upload_is_passed_on() {
    let app = raw_app(|mut stream| {
        stream.read_exact(&mut [0; 20]).unwrap();
        stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig").unwrap();
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let gateway = TestGateway::with_routes(&format!("  - {{ access: public, upstream: 'http://{app}' }}"));
    let mut client = gateway.connect();
    client.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\npart");
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (413, "big"));
    assert!(client.is_closed());
}

/// RFC 9110 §6.5: an answer's trailers reach a client that wants them, if they were announced and mean no more
/// than a trailer may.
#[test]
fn announced_trailers_pass_to_a_client_that_wants_them() {
    let app = App::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Checksum, Set-Cookie, Session-User\r\n\r\n\
         4\r\nbody\r\n0\r\nX-Checksum: 7\r\nX-Unannounced: 1\r\nSet-Cookie: a=b\r\nSession-User: eve\r\n\r\n",
    );
    let gateway = TestGateway::open_before(&app);
    let mut client: Client = gateway.connect();
    let response = client.send("GET /x HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n").response();
    assert!(response.complete && response.text() == "body");
    assert_eq!((response.header("trailer"), response.header("trailer:x-checksum")), (Some("x-checksum"), Some("7")));
    let trailers: Vec<_> = response.headers.iter().filter(|(name, _)| name.starts_with("trailer:")).collect();
    assert_eq!(trailers.len(), 1, "{trailers:?}");
    assert_eq!(app.last().header("te"), Some("trailers"));
    let response = client.send(GET).response();
    assert!(response.complete && response.header("trailer:x-checksum").is_none());
    assert_eq!(app.connections(), 1);
}
