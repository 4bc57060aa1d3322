//! The end of the process: what is open may finish, what is new is refused, operators are told.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::{App, Client, TestGateway};

/// An app that sends half of a download, then waits to be told to send the rest.
struct Download {
    app: App,
    go_on: Sender<()>,
}

impl Download {
    fn new() -> Self {
        let (go_on, told): (_, Receiver<()>) = channel();
        let told = Arc::new(Mutex::new(told));
        let app = App::with(move |_, stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst").unwrap();
            let _ = told.lock().unwrap().recv();
            stream.write_all(b"later").is_ok()
        });
        Self { app, go_on }
    }

    fn before(&self, limits: &str) -> TestGateway {
        TestGateway::with_config(&format!(
            "routes: [{{ access: public, upstream: 'http://{}' }}]\nlimits: {{ {limits} }}\n\
             admin: {{ address: '127.0.0.1:0' }}",
            self.app.address
        ))
    }

    /// A client that has received the first half.
    fn begun(&self, gateway: &TestGateway) -> Client {
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.wait_for(b"first");
        client
    }
}

fn stop(gateway: TestGateway) -> JoinHandle<()> {
    std::thread::spawn(move || gateway.stop())
}

/// Waits until nobody listens there any more.
fn wait_until_refused(address: SocketAddr) {
    let start = Instant::now();
    while TcpStream::connect_timeout(&address, Duration::from_secs(5)).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(10), "{address} still takes connections");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn readiness(admin: SocketAddr) -> (u16, serde_json::Value) {
    let mut client = Client::connect(admin);
    let answer = client.send("GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").response();
    (answer.status, answer.json())
}

/// F-17.
#[test]
fn an_open_download_finishes_while_new_connections_are_refused() {
    let download = Download::new();
    let gateway = download.before("drain_timeout: 1m");
    let (address, admin) = (gateway.address(), gateway.admin_address());
    assert_eq!(readiness(admin), (200, serde_json::json!({ "status": "ready" })));
    let mut client = download.begun(&gateway);
    let stopping = stop(gateway);
    wait_until_refused(address);
    assert_eq!(readiness(admin), (503, serde_json::json!({ "status": "draining" })));
    assert!(!stopping.is_finished());
    download.go_on.send(()).unwrap();
    let answer = client.response();
    assert_eq!((answer.status, answer.complete, answer.text()), (200, true, "firstlater".into()));
    assert!(client.is_closed(), "the connection is not kept for another request");
    stopping.join().unwrap();
}

/// F-17: a connection without a request is closed at once, not at the end of its keep-alive time.
#[test]
fn idle_connections_do_not_hold_up_the_end() {
    let download = Download::new();
    let gateway = download.before("drain_timeout: 5m, keep_alive_timeout: 5m, head_timeout: 1s");
    download.go_on.send(()).unwrap();
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().text(), "firstlater");
    let mut silent = gateway.connect();
    stop(gateway).join().unwrap();
    assert!(client.is_closed() && silent.is_closed());
}

#[test]
fn what_is_open_after_the_drain_timeout_is_cut_and_does_not_look_complete() {
    let download = Download::new();
    let gateway = download.before("drain_timeout: 300ms");
    let mut client = download.begun(&gateway);
    stop(gateway).join().unwrap();
    let answer = client.response();
    assert_eq!((answer.complete, answer.text()), (false, "first".into()));
}
