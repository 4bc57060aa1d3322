//! The process: from a checked configuration to running threads, and from a stop to a clean end.
//!
//! `cli` and the tests both come through [`start`], so tests run what production runs. Nothing here
//! knows HTTP; it binds, builds, spawns and joins.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::{Builder, Handle, LocalOptions, Runtime};

use crate::admin;
use crate::clock::Clock;
use crate::config::Config;
use crate::config::schema::{Limits, ListenerAddress, Workers};
use crate::gateway::{BuildError, Current, Gateway};
use crate::pipeline;
use crate::proxy::Pools;
use crate::reload::{self, Reload};
use crate::server::{self, BindError, Connections, Shutdown, ShutdownSignal, WorkerListener};
use crate::session::{Keyring, KeyringError};
use crate::storage::{self, Storage, StorageError};
use crate::telemetry::access::{self, AccessLog, Writer};
use crate::timers::Timers;

/// Why the gateway did not start. The deployer can mend each of these.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address that cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The operators' address.
    #[error("admin.address {address}: {source}; choose another one, or null to have none")]
    Admin {
        /// As configured.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The store cannot be opened.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The configuration cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// There is no key to sign with.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The system gives no thread, timer or watch.
    #[error("the system refuses a thread or a watch: {0}")]
    System(#[from] io::Error),
}

/// A gateway at work. Dropping it stops it.
pub struct Running {
    addresses: Vec<ListenerAddress>,
    admin: Option<SocketAddr>,
    shutdown: Option<Shutdown>,
    workers: Vec<JoinHandle<()>>,
    reload: Arc<Reload>,
    control: Option<Runtime>,
    _access: Writer,
}

/// How often a worker writes its log lines away and looks for what has changed.
const UPKEEP_EVERY: Duration = access::FLUSH_EVERY;

/// How often expired sessions are looked for, and how many are deleted at a time.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Binds every address, builds the gateway, starts its threads.
///
/// # Errors
/// See [`StartError`]; nothing is left running then.
pub fn start(config: &Config, clock: Arc<dyn Clock>) -> Result<Running, StartError> {
    let on = Arc::clone(&clock);
    launch(config, None, clock, |control| storage::open(config, &on, control))
}

/// The same for a configuration that stands in `file`, and can be reloaded from there.
///
/// # Errors
/// See [`StartError`].
pub fn start_from(file: &Path, config: &Config, clock: Arc<dyn Clock>) -> Result<Running, StartError> {
    let on = Arc::clone(&clock);
    launch(config, Some(file), clock, |control| storage::open(config, &on, control))
}

/// The same as [`start`] with sessions somewhere else: `open` is given the runtime on which a store may do its work.
///
/// # Errors
/// See [`StartError`].
pub fn start_on(
    config: &Config,
    clock: Arc<dyn Clock>,
    open: impl FnOnce(&Handle) -> Result<Storage, StorageError>,
) -> Result<Running, StartError> {
    launch(config, None, clock, open)
}

fn launch(
    config: &Config,
    file: Option<&Path>,
    clock: Arc<dyn Clock>,
    open: impl FnOnce(&Handle) -> Result<Storage, StorageError>,
) -> Result<Running, StartError> {
    let keyring = Keyring::from_config(&config.session.keys, &config.data_dir)?;
    let control = Builder::new_multi_thread().worker_threads(1).thread_name("control").enable_all().build()?;
    let storage = open(control.handle())?;
    let current = Arc::new(Current::new(Gateway::build(config, keyring, storage)?));
    let workers = worker_count(config.workers);
    let bound = config.listeners.iter().map(|l| server::bind(l, workers)).collect::<Result<Vec<_>, _>>()?;
    let admin = config.admin.address.map(bind_admin).transpose()?;
    let admin_address = admin.as_ref().and_then(|listener| listener.local_addr().ok());

    let shutdown = Shutdown::default();
    let limits = Arc::new(ArcSwap::from_pointee(config.limits.clone()));
    let connections = Connections::new(config.limits.max_connections);
    let access = Writer::start()?;
    let parts = reload::Parts {
        current: Arc::clone(&current),
        limits: Arc::clone(&limits),
        connections: connections.clone(),
        clock: Arc::clone(&clock),
        control: control.handle().clone(),
    };
    let reload = Arc::new(Reload::start(file, config, parts)?);
    control.spawn(sweep(Arc::clone(&current), Arc::clone(&clock)));
    if let Some(listener) = admin {
        let (current, reload, clock) = (Arc::clone(&current), Arc::clone(&reload), Arc::clone(&clock));
        control.spawn(admin::serve(listener, current, reload, clock, shutdown.signal()));
    }

    let addresses = bound.iter().map(|bound| bound.address.clone()).collect();
    let mut doors: Vec<Vec<WorkerListener>> = bound.into_iter().map(server::Bound::into_workers).collect();
    let mut running = Running {
        addresses,
        admin: admin_address,
        shutdown: Some(shutdown),
        workers: Vec::with_capacity(workers),
        reload,
        control: Some(control),
        _access: access,
    };
    for number in 0..workers {
        let part = Part {
            listeners: doors.iter_mut().filter_map(Vec::pop).collect(),
            current: Arc::clone(&current),
            clock: Arc::clone(&clock),
            limits: Arc::clone(&limits),
            connections: connections.clone(),
            shutdown: running.signal(),
        };
        let log = running._access.queue();
        let thread = thread::Builder::new().name(format!("worker-{number}"));
        running.workers.push(thread.spawn(move || part.run(log))?);
    }
    Ok(running)
}

impl Running {
    /// Where it listens, in the order of the configuration; port 0 is resolved.
    #[must_use]
    pub fn addresses(&self) -> &[ListenerAddress] {
        &self.addresses
    }

    /// Where operators are answered.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Reads the configuration again, in the background; the log says what came of it.
    pub fn reload(&self) {
        // It is there until `end`, after which nobody asks.
        if let Some(control) = &self.control {
            let reload = Arc::clone(&self.reload);
            control.spawn_blocking(move || reload.run());
        }
    }

    /// Stops accepting, lets open requests finish within `limits.drain_timeout`, and ends all threads.
    pub fn stop(mut self) {
        self.end();
    }

    fn signal(&self) -> ShutdownSignal {
        // `shutdown` is taken by `end` only, after which nobody asks.
        self.shutdown.as_ref().map(Shutdown::signal).unwrap_or_else(|| Shutdown::default().signal())
    }

    fn end(&mut self) {
        if let Some(shutdown) = self.shutdown.take() {
            shutdown.trigger();
        }
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
        // Before the runtime: what follows the users file calls into it.
        self.reload.stop();
        if let Some(control) = self.control.take() {
            control.shutdown_background();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// What one worker thread is given.
struct Part {
    listeners: Vec<WorkerListener>,
    current: Arc<Current>,
    clock: Arc<dyn Clock>,
    limits: Arc<ArcSwap<Limits>>,
    connections: Connections,
    shutdown: ShutdownSignal,
}

impl Part {
    /// One worker: its own runtime, sockets, timers and connections to the apps.
    fn run(self, log: access::Queue) {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "a worker could not start"),
        };
        runtime.block_on(async move {
            let timers = Timers::default();
            let access = AccessLog::new(log);
            let pools = Pools::new(timers.clone());
            tokio::task::spawn_local(timers.clone().run());
            tokio::task::spawn_local(pools.clone().run());
            let (limits, connections, shutdown) = (self.limits, self.connections, self.shutdown);
            let socket_side = server::Worker { limits, timers: timers.clone(), connections, shutdown };
            let worker = pipeline::Worker::new(self.current, &pools, timers, self.clock, access.clone());
            let worker = Rc::new(worker);
            tokio::task::spawn_local(upkeep(Rc::clone(&worker), access));
            tokio::task::spawn_local(pipeline::watch_over(Rc::clone(&worker)));
            let connect = move |peer| {
                let connection = Rc::new(pipeline::Connection::new(Rc::clone(&worker), peer));
                move |request| pipeline::handle(Rc::clone(&connection), request)
            };
            if let Err(error) = server::run(self.listeners, socket_side, connect).await {
                tracing::error!(%error, "a worker could not take its sockets");
            }
        });
    }
}

async fn upkeep(worker: Rc<pipeline::Worker>, access: AccessLog) {
    let mut tick = tokio::time::interval(UPKEEP_EVERY);
    loop {
        tick.tick().await;
        access.flush();
        worker.keep_up();
    }
}

fn worker_count(workers: Workers) -> usize {
    match workers {
        Workers::Auto => thread::available_parallelism().map_or(1, usize::from),
        Workers::Count(count) => usize::from(count.max(1)),
    }
}

fn bind_admin(address: SocketAddr) -> Result<std::net::TcpListener, StartError> {
    let bind = || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    bind().map_err(|source| StartError::Admin { address, source })
}

async fn sweep(current: Arc<Current>, clock: Arc<dyn Clock>) {
    let mut tick = tokio::time::interval(SWEEP_EVERY);
    loop {
        tick.tick().await;
        if let Err(error) = current.load().sessions.clear_expired(clock.now()).await {
            tracing::warn!(%error, "expired sessions could not be swept");
        }
    }
}
