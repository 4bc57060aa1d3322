//! One worker's share of the serving: accept on each of its sockets until told to stop, then drain.
//!
//! `app` runs it once per worker, inside that worker's local runtime. A panic costs one connection.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::{JoinError, JoinSet};

use super::connection::{self, Shared};
use super::limit::{Connections, Permit};
use super::listener::{Door, ListeningSocket, WorkerListener};
use super::shutdown::{Drain, ShutdownSignal};
use crate::config::schema::Limits;
use crate::http::peer::Peer;
use crate::timers::{TICK, Timers};

/// What a worker needs besides its sockets and its handler.
#[derive(Debug, Clone)]
pub struct Worker {
    /// Bounds on what one client may send and how long it may take; a connection lives under those it began with.
    pub limits: Arc<ArcSwap<Limits>>,
    /// This worker's timers; somebody must run them.
    pub timers: Timers,
    /// The process-wide bound on connections.
    pub connections: Connections,
    /// When to stop.
    pub shutdown: ShutdownSignal,
}

/// How long accepting rests when the system has no more file descriptors or memory.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Serves `listeners` with the handlers that `connect` makes, one for each connection; returns when told to
/// stop and every connection has ended, upgraded ones too, or `drain_timeout` has passed. What is still open
/// then is cut.
///
/// # Errors
/// When a socket cannot be handed to this runtime.
pub async fn run<C, H, F, B>(listeners: Vec<WorkerListener>, worker: Worker, connect: C) -> io::Result<()>
where
    C: Fn(Peer) -> H + Clone + 'static,
    H: Fn(Request<Incoming>) -> F + 'static,
    F: Future<Output = Response<B>> + 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let worker = Worker { connections: worker.connections.for_worker(), ..worker };
    let drain = Drain::default();
    let mut accepting = JoinSet::new();
    for listener in listeners {
        let acceptor = Acceptor::new(listener, worker.clone(), drain.clone())?;
        accepting.spawn_local(acceptor.run(connect.clone()));
    }
    worker.shutdown.clone().wait().await;
    drain.begin();
    while accepting.join_next().await.is_some() {}
    Ok(())
}

struct Acceptor {
    socket: Socket,
    door: Rc<Door>,
    worker: Worker,
    /// The limits of new connections, and what follows from them.
    limits: Arc<Limits>,
    shared: Rc<Shared>,
    tasks: JoinSet<()>,
    complained: Option<Instant>,
}

impl Acceptor {
    fn new(listener: WorkerListener, worker: Worker, drain: Drain) -> io::Result<Self> {
        let socket = Socket::try_from(listener.socket)?;
        let (door, limits) = (Rc::new(listener.door), worker.limits.load_full());
        let shared = Rc::new(Shared::new(&limits, worker.timers.clone(), drain));
        Ok(Self { socket, door, worker, limits, shared, tasks: JoinSet::new(), complained: None })
    }

    async fn run<C, H, F, B>(mut self, connect: C)
    where
        C: Fn(Peer) -> H + Clone + 'static,
        H: Fn(Request<Incoming>) -> F + 'static,
        F: Future<Output = Response<B>> + 'static,
        B: Body<Data = Bytes> + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let mut shutdown = self.worker.shutdown.clone();
        loop {
            tokio::select! {
                biased;
                () = shutdown.wait() => break,
                Some(ended) = self.tasks.join_next() => report(ended),
                accepted = self.socket.accept() => match accepted {
                    Ok(accepted) => self.admit(accepted, connect.clone()),
                    Err(error) => self.back_off(&error).await,
                },
            }
        }
        // Closing the socket first: who connects now must be refused, not kept waiting.
        let Self { socket, tasks, worker, .. } = self;
        drop(socket);
        drain(tasks, &worker).await;
    }

    fn admit<C, H, F, B>(&mut self, accepted: Accepted, connect: C)
    where
        C: Fn(Peer) -> H + 'static,
        H: Fn(Request<Incoming>) -> F + 'static,
        F: Future<Output = Response<B>> + 'static,
        B: Body<Data = Bytes> + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        self.keep_up();
        let Some(permit) = self.worker.connections.admit() else {
            let limit = self.limits.max_connections;
            return self.complain(|| tracing::warn!(limit, "connection refused: `limits.max_connections` are open"));
        };
        self.spawn(accepted, permit, connect);
    }

    /// Takes up limits that a reload has changed.
    fn keep_up(&mut self) {
        let limits = self.worker.limits.load();
        if !Arc::ptr_eq(&limits, &self.limits) {
            self.limits = Arc::clone(&limits);
            self.shared = Rc::new(Shared::new(&limits, self.worker.timers.clone(), self.shared.drain.clone()));
        }
    }

    fn spawn<C, H, F, B>(&mut self, accepted: Accepted, permit: Permit, connect: C)
    where
        C: Fn(Peer) -> H + 'static,
        H: Fn(Request<Incoming>) -> F + 'static,
        F: Future<Output = Response<B>> + 'static,
        B: Body<Data = Bytes> + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (door, shared) = (Rc::clone(&self.door), Rc::clone(&self.shared));
        match accepted {
            Accepted::Tcp(stream, address) => {
                // Failing means that the client is gone already; the first read will tell.
                let _ = stream.set_nodelay(true);
                let address = SocketAddr::new(address.ip().to_canonical(), address.port());
                self.tasks.spawn_local(connection::serve(stream, address, door, shared, permit, connect));
            }
            Accepted::Unix(stream) => {
                let address = Peer::unix().address();
                self.tasks.spawn_local(connection::serve(stream, address, door, shared, permit, connect));
            }
        }
    }

    /// Most errors concern one client that has gone; a lack of resources would make the loop spin.
    async fn back_off(&mut self, error: &io::Error) {
        let address = self.door.address.clone();
        self.complain(|| tracing::error!(%address, %error, "cannot accept connections"));
        if is_exhaustion(error) {
            tokio::time::sleep(BACK_OFF).await;
        }
    }

    /// Logs at most once a second: whoever causes it must not fill the disk as well.
    fn complain(&mut self, log: impl FnOnce()) {
        if self.complained.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
            self.complained = Some(Instant::now());
            log();
        }
    }
}

/// EMFILE, ENFILE, ENOMEM, ENOBUFS: the same numbers on every Linux we run on.
fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(24 | 23 | 12 | 105))
}

async fn drain(mut tasks: JoinSet<()>, worker: &Worker) {
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            report(ended);
        }
        // Upgraded connections have left their task; their sockets are still counted.
        while worker.connections.open_here() > 0 {
            let _ = worker.timers.timeout(TICK, std::future::pending::<()>()).await;
        }
    };
    let drained = worker.timers.timeout(worker.limits.load().drain_timeout.get(), all).await;
    if drained.is_err() {
        let open = worker.connections.open_here();
        tracing::warn!(open, "`limits.drain_timeout` has passed; cutting what is still open");
        tasks.shutdown().await;
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection was lost to a panic: please report this");
    }
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl TryFrom<ListeningSocket> for Socket {
    type Error = io::Error;

    fn try_from(socket: ListeningSocket) -> io::Result<Self> {
        match socket {
            ListeningSocket::Tcp(socket) => TcpListener::from_std(socket).map(Self::Tcp),
            ListeningSocket::Unix(socket) => UnixListener::from_std(socket).map(Self::Unix),
        }
    }
}

impl Socket {
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(socket) => socket.accept().await.map(|(stream, address)| Accepted::Tcp(stream, address)),
            Self::Unix(socket) => socket.accept().await.map(|(stream, _)| Accepted::Unix(stream)),
        }
    }
}
