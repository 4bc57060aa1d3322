//! A new connection to an upstream: resolve and connect.
//!
//! `forward` comes here when the pool has nothing, `upgrade` always. Nothing is retried here beyond the
//! next address of the same name.

use std::net::{IpAddr, SocketAddr};
use std::{io, vec};

use tokio::net::TcpStream;

use super::connection::Connection;
use super::{Error, Pools, Upstream};

/// Opens a connection.
pub(super) async fn open(pools: &Pools, upstream: &Upstream) -> Result<Connection, Error> {
    let connecting = pools.timers().timeout(upstream.connect_timeout, connect(upstream)).await;
    let stream = connecting.map_err(|_| Error::ConnectTimeout { authority: upstream.authority().into() })??;
    Ok(Connection::new(stream, pools.read_memory()))
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
