//! Binding: one socket per worker for each configured address, all of them before any worker starts.
//!
//! `app` binds and deals the doors out to its workers. Every failure names the address and the remedy.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};

use super::tls::{Tls, TlsError};
use crate::config::schema::{Listener, ListenerAddress};

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// `EADDRINUSE`.
    #[error(
        "{address}: the port is in use: another program listens there. `ss -ltnp` shows which; \
         stop it, or choose another `listeners[].address`"
    )]
    InUse {
        /// As configured.
        address: ListenerAddress,
    },
    /// `EACCES`.
    #[error(
        "{address}: permission denied. Ports below 1024 need a privilege: choose a higher port, or give the \
         program CAP_NET_BIND_SERVICE; for a Unix socket, make its directory writable"
    )]
    Denied {
        /// As configured.
        address: ListenerAddress,
    },
    /// `EADDRNOTAVAIL`.
    #[error(
        "{address}: this machine has no such address. `ip address` shows those it has; \
         `0.0.0.0` in `listeners[].address` means all of them"
    )]
    NotAvailable {
        /// As configured.
        address: ListenerAddress,
    },
    /// The path of a Unix socket is taken by a file that is none.
    #[error("{address}: a file that is not a socket is in the way. Remove it, or choose another path")]
    NotASocket {
        /// As configured.
        address: ListenerAddress,
    },
    /// Anything else the system says.
    #[error("{address}: cannot listen: {source}. Check `listeners[].address`")]
    System {
        /// As configured.
        address: ListenerAddress,
        /// The system's own words.
        source: io::Error,
    },
    /// The certificate or its key.
    #[error("{address}: {source}")]
    Tls {
        /// As configured.
        address: ListenerAddress,
        /// What is wrong with it.
        source: Box<TlsError>,
    },
}

/// One address, bound: a socket for each worker.
#[derive(Debug)]
pub struct Bound {
    /// Where it really listens: port 0 is resolved.
    pub address: ListenerAddress,
    /// One for each worker.
    pub sockets: Vec<ListeningSocket>,
    /// Certificate and key, if this door speaks TLS.
    pub tls: Option<Arc<Tls>>,
    /// See [`Listener::redirect_to_https`].
    pub redirect_to_https: bool,
    /// See [`Listener::proxy_protocol`].
    pub proxy_protocol: bool,
    /// Removes the socket file once the last door is gone.
    file: Option<Arc<SocketFile>>,
}

/// A bound, listening, non-blocking socket.
#[derive(Debug)]
pub enum ListeningSocket {
    /// IPv4 or IPv6.
    Tcp(TcpListener),
    /// A path.
    Unix(UnixListener),
}

/// One worker's share of a [`Bound`]. May cross to the worker's thread.
#[derive(Debug)]
pub struct WorkerListener {
    pub(super) socket: ListeningSocket,
    pub(super) door: Door,
}

/// What all connections through one listener have in common.
#[derive(Debug, Clone)]
pub(super) struct Door {
    pub(super) address: ListenerAddress,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) redirect_to_https: bool,
    pub(super) proxy_protocol: bool,
    _file: Option<Arc<SocketFile>>,
}

impl Bound {
    /// Deals the sockets out, one listener for each worker.
    #[must_use]
    pub fn into_workers(self) -> Vec<WorkerListener> {
        let door = Door {
            address: self.address,
            tls: self.tls,
            redirect_to_https: self.redirect_to_https,
            proxy_protocol: self.proxy_protocol,
            _file: self.file,
        };
        self.sockets.into_iter().map(|socket| WorkerListener { socket, door: door.clone() }).collect()
    }
}

/// Binds `listener` for so many workers.
///
/// # Errors
/// [`BindError`], before anything was accepted.
pub fn bind(listener: &Listener, workers: usize) -> Result<Bound, BindError> {
    let fail = |source| BindError::new(&listener.address, source);
    let tls = listener.tls.as_ref().map(Tls::load).transpose();
    let tls = tls.map_err(|source| BindError::Tls { address: listener.address.clone(), source: source.into() })?;
    let (address, sockets, file) = match &listener.address {
        ListenerAddress::Tcp(address) => {
            let (address, sockets) = bind_tcp(*address, workers).map_err(fail)?;
            (ListenerAddress::Tcp(address), sockets, None)
        }
        ListenerAddress::Unix(path) => {
            let sockets = bind_unix(path, workers).map_err(fail)?;
            (listener.address.clone(), sockets, Some(Arc::new(SocketFile(path.clone()))))
        }
    };
    let Listener { redirect_to_https, proxy_protocol, .. } = *listener;
    Ok(Bound { address, sockets, tls, redirect_to_https, proxy_protocol, file })
}

impl BindError {
    fn new(address: &ListenerAddress, source: io::Error) -> Self {
        let address = address.clone();
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address },
            io::ErrorKind::PermissionDenied => Self::Denied { address },
            io::ErrorKind::AddrNotAvailable => Self::NotAvailable { address },
            io::ErrorKind::AlreadyExists => Self::NotASocket { address },
            _ => Self::System { address, source },
        }
    }
}

const BACKLOG: i32 = 4096;

fn bind_tcp(address: SocketAddr, workers: usize) -> io::Result<(SocketAddr, Vec<ListeningSocket>)> {
    // SO_REUSEPORT would let a second instance bind as well and take half the connections in silence, so
    // the port is tried without it first. Port 0 is always a free one.
    if address.port() != 0 {
        tcp_socket(address, false)?;
    }
    let first = tcp_socket(address, true)?;
    let address = first.local_addr()?;
    let mut sockets = vec![ListeningSocket::Tcp(first)];
    for _ in 1..workers {
        sockets.push(ListeningSocket::Tcp(tcp_socket(address, true)?));
    }
    Ok((address, sockets))
}

fn tcp_socket(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Without it a restart fails for as long as old connections are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bind_unix(path: &Path, workers: usize) -> io::Result<Vec<ListeningSocket>> {
    clear_stale(path)?;
    let first = UnixListener::bind(path)?;
    first.set_nonblocking(true)?;
    let mut sockets = Vec::with_capacity(workers);
    for _ in 1..workers {
        sockets.push(ListeningSocket::Unix(first.try_clone()?));
    }
    sockets.push(ListeningSocket::Unix(first));
    Ok(sockets)
}

/// A killed program leaves its socket file behind; it is removed only when nobody answers on it.
fn clear_stale(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;

    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => return Err(io::ErrorKind::AlreadyExists.into()),
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Best effort: what is left is found stale by the next start.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(address: &str) -> Listener {
        Listener { address: address.to_owned().try_into().unwrap(), ..Listener::default() }
    }

    #[test]
    fn each_worker_gets_a_socket_on_the_same_port() {
        let bound = bind(&tcp("127.0.0.1:0"), 3).unwrap();
        let ListenerAddress::Tcp(address) = bound.address.clone() else { panic!("not TCP") };
        assert_ne!(address.port(), 0);
        let workers = bound.into_workers();
        assert_eq!(workers.len(), 3);
        for worker in &workers {
            let ListeningSocket::Tcp(socket) = &worker.socket else { panic!("not TCP") };
            assert_eq!(socket.local_addr().unwrap(), address);
        }
    }

    #[test]
    fn a_second_instance_fails_and_is_told_what_to_do() {
        let first = bind(&tcp("127.0.0.1:0"), 2).unwrap();
        let error = bind(&tcp(&first.address.to_string()), 2).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with(&first.address.to_string()), "{text}");
        assert!(text.contains("ss -ltnp") && text.contains("listeners[].address"), "{text}");
    }

    #[test]
    fn an_address_of_another_machine_is_named() {
        let error = bind(&tcp("192.0.2.1:8080"), 1).unwrap_err();
        assert!(matches!(error, BindError::NotAvailable { .. }), "{error}");
    }

    #[test]
    fn a_socket_file_is_replaced_only_when_nobody_answers_and_removed_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gateway.sock");
        let listener = tcp(&format!("unix:{}", path.display()));
        drop(UnixListener::bind(&path).unwrap());
        let bound = bind(&listener, 2).unwrap();
        assert!(matches!(bind(&listener, 2), Err(BindError::InUse { .. })));
        drop(bound);
        assert!(!path.exists());
        fs::write(&path, "precious").unwrap();
        assert!(matches!(bind(&listener, 1), Err(BindError::NotASocket { .. })));
        assert!(path.exists());
    }
}
