//! What stays open after its answer has begun ends with the session of whoever opened it: WebSockets, event streams,
//! downloads. What belongs to nobody stays.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::socket::{Socket, chatting};
use crate::support::{App, Browser, Client, PASSWORD, TestGateway, obey, until, user};
use crate::websockets::{accept, handshake};

const HOUR: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(15);

/// `session` are fields of the session, `route` of the one route.
fn gateway(app: &App, session: &str, route: &str) -> TestGateway {
    TestGateway::with_config(&format!(
        "admin: {{ address: '127.0.0.1:0' }}\n\
         session: {{ cookie: {{ secure: auto }}, idle_timeout: 2h, absolute_timeout: 10h, rotate_every: null{session} }}\n\
         routes: [{{ upstream: 'http://{}'{route} }}]",
        app.address
    ))
}

fn operators(gateway: &TestGateway, method: &str, path: &str) -> String {
    let mut client = Client::connect(gateway.admin_address());
    client.send(format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        gateway.admin_address()
    ));
    client.response().text()
}

fn number(gateway: &TestGateway, line: &str) -> u64 {
    let text = operators(gateway, "GET", "/metrics");
    let found = text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok());
    found.unwrap_or_else(|| panic!("no {line} in {text}"))
}

/// Returns when everything that is open has been looked at since this was called: bob's is, twice, and closed.
fn look_around(gateway: &TestGateway) {
    for _ in 0..2 {
        let mut bob = gateway.signed_in("bob");
        let mut socket = Socket::open(&bob, "/bob");
        bob.sign_out();
        socket.is_ended();
    }
}

fn told(signal: &Receiver<()>) {
    signal.recv_timeout(PATIENCE).expect("the app's side has ended too");
}

#[test]
fn a_websocket_ends_when_its_user_signs_out_and_both_sides_are_closed() {
    let (app, ended) = chatting();
    let gateway = gateway(&app, "", "");
    let mut ann = gateway.signed_in("ann");
    let mut windows = [Socket::open(&ann, "/"), Socket::open(&ann, "/")];
    windows.iter_mut().for_each(Socket::echoes);
    assert_eq!(number(&gateway, "cloakroom_websockets_open"), 2);
    ann.sign_out();
    for socket in &mut windows {
        socket.is_ended();
        told(&ended);
    }
    until(|| number(&gateway, "cloakroom_websockets_open") == 0);
    assert_eq!(number(&gateway, "cloakroom_ended_with_session_total{kind=\"websocket\"}"), 2);
    assert_eq!(number(&gateway, "cloakroom_ended_with_session_total{kind=\"download\"}"), 0);
}

#[test]
fn a_websocket_ends_with_the_users_sessions_and_nobody_elses() {
    let (app, _ended) = chatting();
    let gateway = gateway(&app, "", "");
    let (ann, bob) = (gateway.signed_in("ann"), gateway.signed_in("bob"));
    let (mut anns, mut bobs) = (Socket::open(&ann, "/"), Socket::open(&bob, "/"));
    assert_eq!(operators(&gateway, "DELETE", "/api/v1/users/ann/sessions"), "{\"deleted\":1}");
    anns.is_ended();
    bobs.echoes();
}

#[test]
fn a_websocket_ends_when_the_same_browser_signs_in_as_somebody_else() {
    let (app, _ended) = chatting();
    let gateway = gateway(&app, "", ", session_headers: read_write");
    let mut browser = gateway.signed_in("ann");
    let mut socket = Socket::open(&browser, "/");
    browser.answered("/", &["Session-User: bob"]);
    assert_eq!(browser.get("/.session/me").json()["user"], "bob");
    socket.is_ended();
}

/// The user has changed the password. Their own browser goes on; whoever has its cookie, elsewhere, does not.
#[test]
fn a_websocket_stays_when_its_own_browser_ends_all_other_sessions() {
    let (app, _ended) = chatting();
    let gateway = TestGateway::with_config(&format!(
        "workers: 2\ntrusted_proxies: [127.0.0.1]\n\
         routes: [{{ upstream: 'http://{}', session_headers: read_write }}]",
        app.address
    ));
    let (mut ann, other) = (gateway.signed_in("ann"), gateway.signed_in("ann"));
    let mut own = [Socket::open(&ann, "/"), Socket::open(&ann, "/"), Socket::open(&ann, "/")];
    let mut others = Socket::open(&other, "/");
    let mut thief = gateway.connect();
    let cookie = format!("Cookie: sessionid={}\r\n", ann.session_id().unwrap());
    thief.send(handshake(&format!("Origin: http://a\r\nX-Forwarded-For: 203.0.113.66\r\n{cookie}")));
    assert_eq!(thief.response().status, 101);
    let before = ann.session_id();
    ann.answered("/", &["Session-Revoke-Others: true"]);
    assert_ne!(ann.session_id(), before);
    others.is_ended();
    assert!(thief.rest().contains("session ended"));
    look_around(&gateway);
    own.iter_mut().for_each(Socket::echoes);
    ann.sign_out();
    own.iter_mut().for_each(Socket::is_ended);
}

#[test]
fn a_websocket_ends_with_the_session_that_makes_room_for_another() {
    let (app, _ended) = chatting();
    let gateway = TestGateway::with_config(&format!(
        "store: {{ type: memory }}\nsession: {{ cookie: {{ secure: auto }}, max_per_user: 1 }}\n\
         routes: [{{ upstream: 'http://{}' }}]",
        app.address
    ));
    let first = gateway.signed_in("ann");
    let mut socket = Socket::open(&first, "/");
    let second = gateway.signed_in("ann");
    socket.is_ended();
    Socket::open(&second, "/").echoes();
}

#[test]
fn a_websocket_ends_when_its_user_is_taken_from_the_users_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("users.yaml");
    let list = |names: &[&str]| names.iter().map(|name| format!("- {}\n", user(name, "wiki"))).collect::<String>();
    std::fs::write(&file, list(&["ann", "bob"])).unwrap();
    let (app, _ended) = chatting();
    let gateway = TestGateway::with_config(&format!(
        "login: {{ form: {{ users_file: '{}' }} }}\nroutes: [{{ upstream: 'http://{}' }}]",
        file.display(),
        app.address
    ));
    let (ann, bob) = (gateway.signed_in("ann"), gateway.signed_in("bob"));
    let (mut anns, mut bobs) = (Socket::open(&ann, "/"), Socket::open(&bob, "/"));
    std::fs::write(&file, list(&["bob"])).unwrap();
    until(|| gateway.browser().sign_in("ann", PASSWORD).status != 303);
    anns.is_ended();
    bobs.echoes();
}

#[test]
fn a_websocket_ends_at_the_idle_timeout_and_one_that_speaks_keeps_its_session_alive() {
    let (app, _ended) = chatting();
    let gateway = gateway(&app, "", "");
    let (mut ann, quiet) = (gateway.signed_in("ann"), gateway.signed_in("ann"));
    let (mut chat, mut silence) = (Socket::open(&ann, "/"), Socket::open(&quiet, "/"));
    let idle = |browser: &mut Browser| browser.get("/.session/me").json()["idle_expires_in"].as_u64();
    gateway.advance(HOUR);
    chat.echoes();
    until(|| idle(&mut ann) == Some(7200));
    gateway.advance(HOUR);
    silence.is_ended();
    assert_eq!(idle(&mut ann), Some(3600));
    chat.echoes();
    for _ in 2..10 {
        until(|| idle(&mut ann) == Some(7200).min(ann.get("/.session/me").json()["expires_in"].as_u64()));
        gateway.advance(HOUR);
        if ann.get("/.session/me").json()["authenticated"] == true {
            chat.echoes();
        }
    }
    chat.is_ended();
}

#[test]
fn where_nothing_counts_as_activity_a_websocket_that_speaks_ends_with_its_idle_session() {
    let (app, _ended) = chatting();
    let gateway = gateway(&app, "", ", activity: false");
    let ann = gateway.signed_in("ann");
    let mut chat = Socket::open(&ann, "/");
    gateway.advance(HOUR);
    chat.echoes();
    look_around(&gateway);
    chat.echoes();
    gateway.advance(HOUR);
    chat.is_ended();
}

#[test]
fn a_websocket_outlives_the_ids_of_its_session() {
    let (app, _ended) = chatting();
    let gateway = gateway(&app, "", ", session_headers: read_write");
    let mut ann = gateway.signed_in("ann");
    let mut socket = Socket::open(&ann, "/");
    for _ in 0..3 {
        let before = ann.session_id();
        ann.answered("/", &["Session-Rotate: true"]);
        assert_ne!(ann.session_id(), before);
        ann.get("/");
        look_around(&gateway);
        gateway.advance(Duration::from_secs(60));
        look_around(&gateway);
        socket.echoes();
    }
    ann.sign_out();
    socket.is_ended();
}

#[test]
fn what_strangers_have_open_is_left_alone() {
    let (app, _ended) = chatting();
    let gateway = gateway(&app, "", ", access: public, session_headers: read_write");
    let mut visitor = gateway.browser();
    visitor.answered("/", &["Session-Set: {\"cart\": 1}"]);
    assert!(visitor.session_id().is_some());
    let (mut stranger, mut shopper) = (Socket::open(&gateway.browser(), "/"), Socket::open(&visitor, "/"));
    visitor.answered("/", &["Session-Flush: true"]);
    gateway.advance(HOUR * 24);
    look_around(&gateway);
    stranger.echoes();
    shopper.echoes();
}

/// What is left of a frame would be read as what is in it.
#[test]
fn in_the_middle_of_a_frame_the_browser_gets_no_farewell() {
    let app = App::with(|seen, stream| {
        assert!(accept(seen, stream, "\u{2}\u{64}0123456789"));
        stream.read_to_end(&mut Vec::new()).is_err()
    });
    let gateway = gateway(&app, "", "");
    let mut ann = gateway.signed_in("ann");
    let mut client = gateway.connect();
    let id = ann.session_id().unwrap();
    client.send(handshake(&format!("Origin: http://a\r\nCookie: sessionid={id}\r\n")));
    assert_eq!(client.response().status, 101);
    client.wait_for(b"0123456789");
    ann.sign_out();
    assert_eq!(client.rest(), "\u{2}\u{64}0123456789");
}

/// An app that sends `first`, waits for the word or the end of the connection, and sends `last`.
fn slow(first: &'static str, last: &'static str) -> (App, Sender<()>, Receiver<bool>) {
    let (go_on, told) = channel();
    let (sender, ended) = channel();
    let told = Mutex::new(told);
    let app = App::with(move |seen, stream| {
        if !seen.line().contains("/slow") {
            return stream.write_all(obey(seen).as_bytes()).is_ok();
        }
        stream.write_all(first.as_bytes()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let told = told.lock().unwrap();
        loop {
            if told.try_recv().is_ok() {
                return stream.write_all(last.as_bytes()).is_ok();
            }
            if matches!(stream.read(&mut [0]), Ok(0)) {
                sender.send(true).unwrap();
                return false;
            }
        }
    });
    (app, go_on, ended)
}

const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n\
                      9\r\ndata: 1\n\n\r\n";

fn asking(browser: &Browser) -> String {
    let cookie = browser.session_id().map(|id| format!("Cookie: sessionid={id}\r\n")).unwrap_or_default();
    format!("GET /slow HTTP/1.1\r\nHost: {}\r\n{cookie}\r\n", browser.host)
}

#[test]
fn a_stream_of_events_comes_to_its_end_with_the_session() {
    let (app, _go_on, ended) = slow(EVENTS, "");
    let gateway = gateway(&app, "", "");
    let mut ann = gateway.signed_in("ann");
    let mut client = gateway.connect();
    client.send(asking(&ann)).wait_for(b"data: 1\n\n");
    ann.sign_out();
    let response = client.response();
    assert!(response.complete, "the last chunk has come");
    assert_eq!(response.text(), "data: 1\n\n");
    assert_eq!(ended.recv_timeout(PATIENCE), Ok(true));
    assert_eq!(client.send(asking(&ann)).response().status, 401);
    assert_eq!(number(&gateway, "cloakroom_ended_with_session_total{kind=\"event_stream\"}"), 1);
}

#[test]
fn a_stream_of_events_keeps_its_session_alive_as_long_as_events_come_and_absolute_is_absolute() {
    let app = App::with(|_, stream| {
        stream.write_all(EVENTS.as_bytes()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        while !matches!(stream.read(&mut [0]), Ok(0)) {
            let _ = stream.write_all(b"9\r\ndata: 2\n\n\r\n");
        }
        false
    });
    let gateway = gateway(&app, "", "");
    let mut ann = gateway.signed_in("ann");
    let mut client = gateway.connect();
    client.send(asking(&ann)).wait_for(b"data: 1\n\n");
    for hour in 1..10 {
        gateway.advance(HOUR);
        let left = (7200).min((10 - hour) * 3600);
        until(|| ann.get("/.session/me").json()["idle_expires_in"] == left);
    }
    gateway.advance(HOUR);
    assert!(client.response().complete);
}

/// What was cut short must not look whole.
#[test]
fn a_download_breaks_off_with_the_session() {
    for first in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
    ] {
        let (app, _go_on, ended) = slow(first, "");
        let gateway = gateway(&app, "", "");
        let mut ann = gateway.signed_in("ann");
        let mut client = gateway.connect();
        client.send(asking(&ann)).wait_for(b"part");
        ann.sign_out();
        let response = client.response();
        assert_eq!((response.complete, response.text().as_str()), (false, "part"));
        assert_eq!(ended.recv_timeout(PATIENCE), Ok(true));
    }
}

#[test]
fn what_everybody_may_download_and_what_itself_signs_out_comes_to_its_end() {
    let leaving = "HTTP/1.1 200 OK\r\nSession-Flush: true\r\nContent-Length: 8\r\n\r\ngood";
    let public = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\ngood";
    for (first, route) in [(leaving, ", session_headers: read_write"), (public, ", access: public")] {
        let (app, go_on, _ended) = slow(first, "-bye");
        let (chat, _) = chatting();
        let other = format!("{route} }}, {{ path: /bob, upstream: 'http://{}'", chat.address);
        let gateway = gateway(&app, "", &other);
        let mut ann = gateway.signed_in("ann");
        let mut client = gateway.connect();
        client.send(asking(&ann)).wait_for(b"good");
        if route.contains("public") {
            ann.sign_out();
        }
        look_around(&gateway);
        go_on.send(()).unwrap();
        assert_eq!(client.response().text(), "good-bye", "{route}");
    }
}

/// Between the gateway and its store, to be cut.
struct Relay {
    address: SocketAddr,
    is_cut: Arc<AtomicBool>,
}

impl Relay {
    fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, is_cut) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let cut = Arc::clone(&is_cut);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten().filter(|_| !cut.load(Ordering::SeqCst)) {
                let server = TcpStream::connect(server).unwrap();
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to, cut) = (from.try_clone().unwrap(), to.try_clone().unwrap(), Arc::clone(&cut));
                    std::thread::spawn(move || pass(from, to, &cut));
                }
            }
        });
        Self { address, is_cut }
    }

    fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::SeqCst);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, is_cut: &AtomicBool) {
    from.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut piece = [0; 4096];
    while !is_cut.load(Ordering::SeqCst) {
        match from.read(&mut piece) {
            Ok(0) => break,
            Ok(count) if to.write_all(&piece[..count]).is_err() => break,
            Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Ok(_) | Err(_) => {}
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

#[test]
#[ignore = "needs a Redis server: tests/run starts one"]
fn nothing_ends_because_the_store_does_not_answer() {
    let url = std::env::var("CLOAKROOM_TEST_REDIS").expect("CLOAKROOM_TEST_REDIS");
    let server = url::Url::parse(&url).unwrap().socket_addrs(|| Some(6379)).unwrap()[0];
    let relay = Relay::to(server);
    let (app, _ended) = chatting();
    let gateway = TestGateway::with_config(&format!(
        "admin: {{ address: '127.0.0.1:0' }}\nroutes: [{{ upstream: 'http://{}' }}]\n\
         store: {{ type: redis, url: 'redis://{}', prefix: 'lasting-{:016x}:', timeout: 300ms }}",
        app.address,
        relay.address,
        rand::random::<u64>()
    ));
    let mut ann = gateway.signed_in("ann");
    let mut socket = Socket::open(&ann, "/");
    let failed = || number(&gateway, "cloakroom_store_errors_total{operation=\"load\"}");
    let before = failed();
    relay.cut(true);
    // Nobody else asks.
    until(|| failed() >= before + 2);
    socket.echoes();
    relay.cut(false);
    until(|| ann.get("/.session/me").status == 200);
    socket.echoes();
    ann.sign_out();
    socket.is_ended();
}
