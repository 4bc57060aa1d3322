//! The worker as a whole over loopback sockets, with a small handler in place of the pipeline.
//!
//! `framing`: what a client may not send. `limits`: how long and how much. `drain`: the end, panics,
//! upgrades. `tls`: handshakes, HTTP/2, certificate reload. Timeouts here run in real time, but short.

mod drain;
mod framing;
mod limits;
mod tls;

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;
use crate::config::schema::{self, Limits, Listener, ListenerAddress};
use crate::http::peer::Peer;
use crate::timers::Timers;

/// A running worker and what its handler saw.
struct Server {
    address: SocketAddr,
    shutdown: Shutdown,
    worker: JoinHandle<std::io::Result<()>>,
    connections: Connections,
    app: Rc<App>,
}

#[derive(Default)]
struct App {
    seen: RefCell<Vec<String>>,
    peers: RefCell<Vec<Peer>>,
    gate: Notify,
}

fn millis(n: u64) -> schema::Duration {
    format!("{n}ms").as_str().try_into().unwrap()
}

/// Limits that no test reaches by accident.
fn limits() -> Limits {
    Limits { max_connections: 100, ..Limits::default() }
}

fn listener() -> Listener {
    Listener { address: ListenerAddress::Tcp(([127, 0, 0, 1], 0).into()), ..Listener::default() }
}

/// Runs `test` against a worker, all on one local runtime as in production.
fn with_server<F: Future<Output = ()>>(listener: Listener, limits: Limits, test: impl FnOnce(Server) -> F) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async {
        let timers = Timers::default();
        tokio::task::spawn_local(timers.clone().run());
        let server = start(listener, limits, timers);
        tokio::time::timeout(Duration::from_secs(20), test(server)).await.expect("nothing hangs");
    });
}

fn start(listener: Listener, limits: Limits, timers: Timers) -> Server {
    let bound = bind(&listener, 1).unwrap();
    let address = match bound.address {
        ListenerAddress::Tcp(address) => address,
        ListenerAddress::Unix(_) => SocketAddr::from(([0, 0, 0, 0], 0)),
    };
    let (shutdown, connections) = (Shutdown::default(), Connections::new(limits.max_connections));
    let limits = Arc::new(ArcSwap::from_pointee(limits));
    let worker = Worker { limits, timers, connections: connections.clone(), shutdown: shutdown.signal() };
    let app = Rc::new(App::default());
    let handler = {
        let app = app.clone();
        move |peer: Peer| {
            let (app, peer) = (app.clone(), Rc::new(peer));
            move |request| answer(app.clone(), Rc::clone(&peer), request)
        }
    };
    let worker = tokio::task::spawn_local(run(bound.into_workers(), worker, handler));
    Server { address, shutdown, worker, connections, app }
}

type AnyBody = UnsyncBoxBody<Bytes, Infallible>;

fn text(status: StatusCode, text: String) -> Response<AnyBody> {
    let mut response = Response::new(Full::from(text).boxed_unsync());
    *response.status_mut() = status;
    response
}

async fn answer(app: Rc<App>, peer: Rc<Peer>, mut request: Request<Incoming>) -> Response<AnyBody> {
    app.seen.borrow_mut().push(format!("{} {}", request.method(), request.uri()));
    app.peers.borrow_mut().push((*peer).clone());
    match request.uri().path() {
        "/panic" => panic!("asked for"),
        "/wait" => app.gate.notified().await,
        "/refuse" => return text(StatusCode::PAYLOAD_TOO_LARGE, String::new()),
        "/endless" => return Response::new(Endless.boxed_unsync()),
        "/tunnel" => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::task::spawn_local(tunnel(upgrade));
            return text(StatusCode::SWITCHING_PROTOCOLS, String::new());
        }
        _ if request.method() == Method::CONNECT => return text(StatusCode::METHOD_NOT_ALLOWED, String::new()),
        _ => {}
    }
    match request.into_body().collect().await {
        Ok(body) => text(StatusCode::OK, format!("<{}>", String::from_utf8_lossy(&body.to_bytes()))),
        Err(_) => text(StatusCode::BAD_REQUEST, String::new()),
    }
}

async fn tunnel(upgrade: hyper::upgrade::OnUpgrade) {
    let mut stream = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
    let mut byte = [0];
    while stream.read_exact(&mut byte).await.is_ok() && stream.write_all(&byte).await.is_ok() {}
}

/// A body that always has more.
struct Endless;

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 64 * 1024])))))
    }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn connect_unix(&self, path: &Path) -> UnixStream {
        UnixStream::connect(path).await.unwrap()
    }

    /// Sends `bytes` and reads until the server closes.
    async fn exchange(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_ref()).await.unwrap();
        read_all(&mut stream).await
    }

    fn seen(&self) -> Vec<String> {
        self.app.seen.take()
    }
}

/// All that comes; a reset ends it like a close.
async fn read_all(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads until `end` has come.
async fn read_until(stream: &mut (impl tokio::io::AsyncRead + Unpin), end: &str) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end.as_bytes()) {
        bytes.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(bytes).unwrap()
}

/// The status codes of the responses in `text`.
fn statuses(text: &str) -> Vec<u16> {
    text.split("HTTP/1.").skip(1).filter_map(|response| response.get(2..5)?.parse().ok()).collect()
}
