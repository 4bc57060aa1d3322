//! A new connection to an upstream: resolve, connect, hand the socket to hyper.
//!
//! `forward` comes here when the pool has nothing, `upgrade` always. Nothing is retried here beyond the
//! next address of the same name.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::{io, vec};

use bytes::Bytes;
use http_body::Body;
use hyper::client::conn::http1::{self, Parts, SendRequest};
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinHandle, spawn_local};

use super::io::Io;
use super::request::Upload;
use super::wire::Wire;
use super::{Error, Upstream};
use crate::http::body::BodyError;
use crate::timers::Timers;

/// A live connection: hyper's sender, and the task that drives it.
#[derive(Debug)]
pub(super) struct Connection<B> {
    pub(super) sender: SendRequest<Upload<B>>,
    pub(super) wire: Rc<Wire>,
    pub(super) driver: AbortHandle,
}

/// The end of a connection that may become a tunnel: its socket, and what was read too much.
pub(super) type Released = JoinHandle<hyper::Result<Parts<Io>>>;

/// Opens a connection for requests, one after the other.
pub(super) async fn open<B>(timers: &Timers, upstream: &Upstream) -> Result<Connection<B>, Error>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
{
    let (sender, wire, connection) = handshake(timers, upstream).await?;
    // How it ends is told to whoever waits for a response or a body.
    let driver = spawn_local(async { drop(connection.await) }).abort_handle();
    Ok(Connection { sender, wire, driver })
}

/// Opens a connection for one request that may end in a tunnel.
pub(super) async fn open_for_upgrade<B>(
    timers: &Timers,
    upstream: &Upstream,
) -> Result<(Connection<B>, Released), Error>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
{
    let (sender, wire, connection) = handshake(timers, upstream).await?;
    let released = spawn_local(connection.without_shutdown());
    Ok((Connection { sender, wire, driver: released.abort_handle() }, released))
}

type Handshaken<B> = (SendRequest<Upload<B>>, Rc<Wire>, http1::Connection<Io, Upload<B>>);

async fn handshake<B>(timers: &Timers, upstream: &Upstream) -> Result<Handshaken<B>, Error>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
{
    let connecting = timers.timeout(upstream.connect_timeout, connect(upstream)).await;
    let stream = connecting.map_err(|_| Error::ConnectTimeout { authority: upstream.authority().into() })??;
    let wire = Rc::new(Wire::default());
    let (sender, connection) =
        http1::Builder::new().handshake(Io::new(stream, Rc::clone(&wire))).await.map_err(Error::Broken)?;
    Ok((sender, wire, connection))
}

async fn connect(upstream: &Upstream) -> Result<TcpStream, Error> {
    let mut refused = None;
    for address in resolve(upstream).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // A failure here only costs delay.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(source) => refused = Some(Error::Connect { address, source }),
        }
    }
    Err(refused.unwrap_or_else(|| unresolved(upstream, io::Error::other("the name has no address"))))
}

async fn resolve(upstream: &Upstream) -> Result<vec::IntoIter<SocketAddr>, Error> {
    if let Ok(address) = upstream.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, upstream.port)].into_iter());
    }
    let found = tokio::net::lookup_host((&*upstream.host, upstream.port)).await;
    let found: Vec<_> = found.map_err(|source| unresolved(upstream, source))?.collect();
    Ok(found.into_iter())
}

fn unresolved(upstream: &Upstream, source: io::Error) -> Error {
    Error::Resolve { host: upstream.host.clone(), source }
}
