//! A real WebSocket client that opens as a page of its browser would, and an app that speaks with it.

use std::io::Write;
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use tokio_tungstenite::tungstenite::client::client as upgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::http::Request;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket};

use super::{App, Browser, Seen, obey};

const PATIENCE: Duration = Duration::from_secs(20);
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// One open WebSocket.
pub struct Socket(WebSocket<TcpStream>);

impl Socket {
    /// Opened by a page of the browser's host.
    pub fn open(browser: &Browser, path: &str) -> Self {
        let stream = TcpStream::connect(browser.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let cookies: Vec<_> = browser.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = Request::get(format!("ws://{}{path}", browser.host))
            .header("Host", &browser.host)
            .header("Origin", format!("http://{}", browser.host))
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", KEY);
        if !cookies.is_empty() {
            request = request.header("Cookie", cookies.join("; "));
        }
        let (socket, response) = upgrade(request.body(()).unwrap(), stream).expect("101");
        assert_eq!(response.status(), 101);
        Self(socket)
    }

    /// Sends a message and gets it back.
    pub fn echoes(&mut self) {
        self.0.send(Message::text("still there?")).unwrap();
        assert_eq!(self.0.read().unwrap(), Message::text("still there?"));
    }

    /// Waits for the farewell: its code, and how long it took.
    pub fn farewell(&mut self) -> (u16, Duration) {
        let start = Instant::now();
        let code = match self.0.read() {
            Ok(Message::Close(Some(frame))) => frame.code.into(),
            other => panic!("no farewell with a code, but {other:?}"),
        };
        let took = start.elapsed();
        // Our own farewell goes back, and then the connection is closed.
        assert!(self.0.read().is_err(), "something after the farewell");
        (code, took)
    }

    /// Expects to be closed because the session has ended, and that it took no more than a second or so.
    pub fn is_ended(&mut self) {
        let (code, took) = self.farewell();
        println!("closed with {code} after {took:?}");
        assert_eq!(code, 1008);
        // A second is the promise; the machine that runs the tests may be busy.
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
}

/// An app that returns each message of a WebSocket, obeys other requests, and tells when a WebSocket of its own has ended.
pub fn chatting() -> (App, Receiver<()>) {
    let (sender, ended) = channel();
    let app = App::with(move |seen, stream| {
        if seen.header("sec-websocket-key").is_none() {
            return stream.write_all(obey(seen).as_bytes()).is_ok();
        }
        join(seen, stream);
        let _ = sender.send(());
        false
    });
    (app, ended)
}

/// Accepts a handshake and returns each message; never true, since the connection is over when this ends.
pub fn join(seen: &Seen, stream: &mut TcpStream) -> bool {
    let key = seen.header("sec-websocket-key").expect("a key");
    let switching = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    );
    stream.write_all(switching.as_bytes()).unwrap();
    echo(stream.try_clone().unwrap());
    false
}

fn echo(stream: TcpStream) {
    let mut socket = WebSocket::from_raw_socket(stream, Role::Server, None);
    loop {
        match socket.read() {
            Ok(message) if message.is_text() => socket.send(message).unwrap(),
            Ok(_) => {}
            Err(Error::ConnectionClosed | Error::AlreadyClosed | Error::Io(_) | Error::Protocol(_)) => break,
            Err(error) => panic!("{error}"),
        }
    }
}
