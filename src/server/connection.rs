//! One accepted connection from its first byte to its last: PROXY header, TLS, HTTP/1.1 or HTTP/2.
//!
//! `worker` spawns one task of it per connection. It returns when the connection has ended, was
//! upgraded (the tunnel then lives with whoever took the upgrade), or took too long.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::deadlines::{Deadlines, Expired, Timeouts};
use super::limit::Permit;
use super::listener::Door;
use super::proxy_protocol;
use super::shutdown::{Drain, DrainMember};
use super::state::ConnectionState;
use super::{http1, http2};
use crate::config::schema::Limits;
use crate::http::peer::Peer;
use crate::timers::Timers;

/// What every connection of one worker shares.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) timeouts: Timeouts,
    pub(super) max_head_size: usize,
    pub(super) timers: Timers,
    pub(super) drain: Drain,
}

impl Shared {
    pub(super) fn new(limits: &Limits, timers: Timers, drain: Drain) -> Self {
        let max_head_size = usize::try_from(limits.max_head_size.bytes()).unwrap_or(usize::MAX);
        Self { timeouts: limits.into(), max_head_size, timers, drain }
    }
}

/// One connection's own state, and what it shares with its worker.
#[derive(Debug)]
pub(super) struct Connection {
    client: SocketAddr,
    state: Arc<ConnectionState>,
    shared: Rc<Shared>,
}

impl Connection {
    pub(super) fn state(&self) -> Arc<ConnectionState> {
        Arc::clone(&self.state)
    }

    pub(super) fn max_head_size(&self) -> usize {
        self.shared.max_head_size
    }

    pub(super) fn timers(&self) -> &Timers {
        &self.shared.timers
    }

    pub(super) fn timeouts(&self) -> Timeouts {
        self.shared.timeouts
    }
}

/// Serves `stream`, which came through `door` from `socket_address`.
pub(super) async fn serve<S, C, H, F, B>(
    mut stream: S,
    socket_address: SocketAddr,
    door: Rc<Door>,
    shared: Rc<Shared>,
    permit: Permit,
    connect: C,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    C: Fn(Peer) -> H + 'static,
    H: Fn(Request<Incoming>) -> F + 'static,
    F: Future<Output = Response<B>> + 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let Some(address) = client_address(&mut stream, socket_address, &door, &shared).await else { return };
    let mut peer = Peer::clear(address);
    peer.redirect_to_https = door.redirect_to_https;
    let connection = Connection { client: address, state: Arc::default(), shared };
    let Some(tls) = &door.tls else {
        return http1::serve(stream, connection, permit, connect(peer)).await;
    };
    let Some(stream) = handshake(tls.acceptor(), stream, &connection).await else { return };
    let (_, session) = stream.get_ref();
    let h2 = session.alpn_protocol() == Some(b"h2");
    peer.tls = true;
    peer.server_name = session.server_name().map(|name| name.to_ascii_lowercase().into());
    if h2 {
        http2::serve(stream, connection, permit, connect(peer)).await;
    } else {
        http1::serve(stream, connection, permit, connect(peer)).await;
    }
}

/// What the PROXY header says, where one must come; else the address of the socket.
async fn client_address<S: AsyncRead + Unpin>(
    stream: &mut S,
    socket_address: SocketAddr,
    door: &Door,
    shared: &Shared,
) -> Option<SocketAddr> {
    if !door.proxy_protocol {
        return Some(socket_address);
    }
    let header = shared.timers.timeout(shared.timeouts.head, proxy_protocol::read(stream)).await;
    match header {
        Ok(Ok(source)) => return Some(source.unwrap_or(socket_address)),
        Ok(Err(error)) => tracing::info!(client = %socket_address, %error, "connection without a PROXY header closed"),
        Err(elapsed) => tracing::info!(client = %socket_address, %elapsed, "connection without a PROXY header closed"),
    }
    None
}

async fn handshake<S>(acceptor: TlsAcceptor, stream: S, connection: &Connection) -> Option<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let client = connection.client;
    match connection.timers().timeout(connection.timeouts().head, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(error)) => tracing::debug!(%client, %error, "TLS handshake failed"),
        Err(elapsed) => tracing::debug!(%client, %elapsed, "TLS handshake failed"),
    }
    None
}

/// Polls hyper under the connection's deadlines; on a drain lets it finish what it has begun.
pub(super) async fn drive<C>(hyper: C, connection: Connection, finish: impl Fn(Pin<&mut C>))
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut hyper = pin!(hyper);
    let mut driver = Driver::new(&connection);
    let ended = poll_fn(|cx| driver.poll(cx, hyper.as_mut(), &finish)).await;
    let (client, state) = (connection.client, &connection.state);
    match (ended, state.violation()) {
        (_, Some(reason)) => tracing::info!(%client, %reason, "request refused"),
        (End::Expired(reason), _) => tracing::info!(%client, reason, "connection dropped"),
        (End::Hyper(Err(error)), _) => tracing::debug!(%client, %error, "connection ended"),
        (End::Hyper(Ok(())), _) => {}
    }
}

enum End {
    Hyper(hyper::Result<()>),
    Expired(&'static str),
}

struct Driver {
    state: Arc<ConnectionState>,
    deadlines: Deadlines,
    drain: DrainMember,
    finishing: bool,
}

impl Driver {
    fn new(connection: &Connection) -> Self {
        let deadlines = Deadlines::new(Arc::clone(&connection.state), connection.timeouts(), connection.timers());
        Self { state: connection.state(), deadlines, drain: connection.shared.drain.member(), finishing: false }
    }

    fn poll<C>(&mut self, cx: &mut Context<'_>, mut hyper: Pin<&mut C>, finish: impl Fn(Pin<&mut C>)) -> Poll<End>
    where
        C: Future<Output = hyper::Result<()>>,
    {
        loop {
            if !self.finishing && self.drain.has_begun(cx) {
                self.finish(hyper.as_mut(), &finish);
            }
            if let Poll::Ready(result) = hyper.as_mut().poll(cx) {
                return Poll::Ready(End::Hyper(result));
            }
            let Poll::Ready(expired) = self.deadlines.poll_expired(cx) else { return Poll::Pending };
            match expired {
                // hyper reads while it waits for a head, and then `io` answers.
                Expired::Head if !self.state.is_head_expired() => {
                    self.state.expire_head();
                    self.deadlines.close_soon();
                }
                Expired::Idle if !self.finishing => {
                    self.finish(hyper.as_mut(), &finish);
                    self.deadlines.close_soon();
                }
                Expired::Head | Expired::Idle => return Poll::Ready(End::Expired("the client is silent")),
                Expired::Dead(reason) => return Poll::Ready(End::Expired(reason)),
            }
        }
    }

    fn finish<C>(&mut self, hyper: Pin<&mut C>, finish: impl Fn(Pin<&mut C>)) {
        self.finishing = true;
        finish(hyper);
    }
}
