//! Sessions in Redis or Valkey, shared by several gateways: one server, Sentinel or Cluster. Called by the session
//! manager through [`Store`]; it keeps what it is given and knows nothing of sessions.
//!
//! - `redis/address.rs` has the forms of the URL, `redis/names.rs` what is kept under which name, `redis/codec.rs` how
//!   an entry looks, `redis/*.lua` each write as one step, `redis/listener.rs` how gateways hear of each other.
//! - Redis 7 or Valkey. With ACLs the user needs `~PREFIX*`, `&PREFIX*`, the commands of the scripts and `PUBLISH`,
//!   `SUBSCRIBE`, `PING`, `INFO`, `ZSCAN`, `ZCOUNT`, `EVALSHA`, `EVAL` and `CLIENT TRACKING`; in a
//!   Cluster also `CLUSTER SLOTS` and `CLUSTER INFO`.
//! - Every key has a time to live, a day longer than the entry may: Redis's clock only clears away what nobody swept,
//!   ours decides. So `maxmemory-policy` must be `noeviction`: any other signs people out when memory is short.
//! - What Redis acknowledges it may still lose: the last second with `appendfsync everysec`, the last moment before a
//!   failover. Sessions then end early or lose a change. A *delete* is repeated for a minute, after every
//!   reconnection, and in a Cluster after every failover, so that a logout stands. It does not when its gateway dies with
//!   the master, and between a Cluster's failover and the repetition, half a second. `WAIT` would hold up all requests
//!   that share the connection and not save the write either: a replica that did not confirm may be the one promoted.
//! - Each write knows itself when it is sent again after a connection broke, so it is done once and answers the same.
//! - A delete leaves a tombstone for some minutes: an update cannot insert, but a `create` that was held up on a
//!   connection that broke could still come after the delete.

mod address;
mod breaker;
mod codec;
mod link;
mod listener;
mod names;
mod operations;
mod scripts;
mod walks;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::{ErrorKind, RedisError, ServerErrorKind};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use self::address::Address;
use self::breaker::Breaker;
use self::link::Connection;
use self::listener::Listener;
use self::names::Names;
use self::scripts::Scripts;
use super::{Copies, Cursor, Entry, Error, Key, Page, Reply, Store, Updated};
use crate::clock::{Clock, Timestamp};

pub use self::address::BadUrl;

/// Before another try within the deadline of an operation.
const AGAIN: Duration = Duration::from_millis(10);

/// Where Redis is, and how long it may take.
#[derive(Clone)]
pub struct Options {
    /// `redis://`, `rediss://`, `unix://`, `redis+sentinel://` or `redis+cluster://`; it may hold a password.
    pub url: String,
    /// What the name of every key and channel begins with; no braces, which mean something to a Cluster.
    pub prefix: String,
    /// The deadline of an operation.
    pub timeout: Duration,
    /// PEM of the authority to trust for TLS instead of the machine's.
    pub ca: Option<Vec<u8>>,
}

impl Options {
    /// The usual ones.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), prefix: "cloakroom:".to_owned(), timeout: Duration::from_millis(250), ca: None }
    }
}

/// Keeps sessions in Redis: a handle; what its tasks share lives as long as they do.
pub struct RedisStore {
    shared: Arc<Shared>,
    runtime: Handle,
    keeper: JoinHandle<()>,
}

/// One store's side of Redis.
struct Shared {
    address: Address,
    names: Arc<Names>,
    scripts: Scripts,
    timeout: Duration,
    clock: Arc<dyn Clock>,
    listener: Listener,
    breaker: Breaker,
    /// `None` while there is no connection.
    link: watch::Sender<Option<Connection>>,
    /// The server we are connected to refuses writes: somebody else is the master now.
    renew: Notify,
    /// Why there is no connection.
    trouble: Mutex<Option<String>>,
    deleted: Mutex<VecDeque<(Instant, Key)>>,
}

/// Why an attempt gave nothing.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Redis(#[from] RedisError),
    #[error("{0}")]
    Malformed(#[from] codec::Malformed),
    #[error("a task of the store has ended early")]
    Task,
}

impl RedisStore {
    /// Connects in the background, on `runtime`: the server need not be there yet.
    ///
    /// # Errors
    /// The URL, prefix or CA in `options` cannot be used.
    pub fn connect(options: &Options, clock: Arc<dyn Clock>, runtime: Handle) -> Result<Self, BadUrl> {
        if options.prefix.contains(['{', '}']) {
            return Err(BadUrl::Part("prefix: no braces, which mean something to a Cluster"));
        }
        let names = Arc::new(Names::new(&options.prefix));
        let shared = Arc::new(Shared {
            address: Address::parse(options)?,
            names: names.clone(),
            scripts: Scripts::new(),
            timeout: options.timeout,
            clock,
            listener: Listener::new(names, rand::random()),
            breaker: Breaker::default(),
            link: watch::Sender::new(None),
            renew: Notify::new(),
            trouble: Mutex::default(),
            deleted: Mutex::default(),
        });
        let keeper = runtime.spawn(link::keep(shared.clone()));
        Ok(Self { shared, runtime, keeper })
    }

    /// Runs on the store's runtime, also when nobody waits for the answer any more: a write is not cut in two.
    fn later<'a, T: Send + 'static>(
        &self,
        operation: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Reply<'a, T> {
        let runtime = self.runtime.clone();
        Reply::Later(Box::pin(async move {
            let lost = |_| Err(Error::Unreachable(Cow::Borrowed("the runtime of the store has ended")));
            runtime.spawn(operation).await.unwrap_or_else(lost)
        }))
    }
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        self.keeper.abort();
        // SECURITY: nobody tells the copies of changes from now on.
        self.shared.listener.distrust();
    }
}

impl Shared {
    /// Within the deadline, and not at all while Redis hangs. `repeatable`: the operation may be done twice, so it is
    /// tried again on the next connection when the first one breaks.
    async fn attempt<T, F>(&self, what: &str, repeatable: bool, operation: impl Fn(Connection) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        if self.breaker.is_open() {
            return Err(self.unreachable(what, &"it has not answered for a while"));
        }
        let failure = match timeout(self.timeout, self.tries(repeatable, operation)).await {
            Ok(Ok(answer)) => {
                self.breaker.answered();
                return Ok(answer);
            }
            Ok(Err(failure)) => failure,
            Err(_) => {
                self.breaker.failed();
                return Err(self.unreachable(what, &self.trouble()));
            }
        };
        if failure.is_of_the_connection() {
            self.breaker.failed();
        } else {
            self.breaker.answered();
        }
        Err(self.unreachable(what, &failure))
    }

    async fn tries<T, F>(&self, repeatable: bool, operation: impl Fn(Connection) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        loop {
            let mut link = self.link.subscribe();
            let connection = match link.wait_for(Option::is_some).await {
                Ok(connection) => connection.clone(),
                Err(_) => None,
            };
            let Some(connection) = connection else { return Err(Failure::Task) };
            match operation(connection).await {
                Err(failure) if failure.is_refusal() => {
                    if failure.is_read_only() {
                        self.renew.notify_one();
                    }
                }
                Err(failure) if repeatable && failure.is_of_the_connection() => {}
                answer => return answer,
            }
            sleep(AGAIN).await;
        }
    }

    /// Whether that is new.
    fn troubled_by(&self, error: Option<String>) -> bool {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = *trouble != error;
        *trouble = error;
        is_new
    }

    /// Why nothing came in time.
    fn trouble(&self) -> String {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.as_ref().map_or_else(|| "no answer in time".to_owned(), |error| format!("not connected: {error}"))
    }

    fn unreachable(&self, what: &str, why: &dyn fmt::Display) -> Error {
        Error::Unreachable(format!("{what}: Redis at {}: {why}", self.address).into())
    }
}

impl Failure {
    /// The server did not do it, and somebody will later, perhaps another server.
    fn is_refusal(&self) -> bool {
        use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, ReadOnly, TryAgain};
        let Self::Redis(error) = self else { return false };
        matches!(error.kind(), ErrorKind::Server(BusyLoading | ClusterDown | MasterDown | ReadOnly | TryAgain))
    }

    fn is_read_only(&self) -> bool {
        matches!(self, Self::Redis(error) if error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly))
    }

    /// Perhaps it was done: nobody knows.
    fn is_of_the_connection(&self) -> bool {
        matches!(self, Self::Redis(error) if error.is_io_error() || error.is_unrecoverable_error())
    }
}

impl Store for RedisStore {
    fn create(&self, key: Key, entry: Entry) -> Reply<'_, bool> {
        let shared = self.shared.clone();
        self.later(async move { shared.create(key, entry).await })
    }

    fn load(&self, key: Key) -> Reply<'_, Option<Arc<Entry>>> {
        let shared = self.shared.clone();
        self.later(async move { shared.load(key).await })
    }

    fn update(&self, key: Key, seen: u64, entry: Entry) -> Reply<'_, Updated> {
        let shared = self.shared.clone();
        self.later(async move { shared.update(key, seen, entry).await })
    }

    fn touch(&self, key: Key, last_seen: Timestamp, deadline: Timestamp) -> Reply<'_, ()> {
        let shared = self.shared.clone();
        self.later(async move { shared.touch(key, last_seen, deadline).await })
    }

    fn delete(&self, key: Key) -> Reply<'_, Option<Arc<Entry>>> {
        let shared = self.shared.clone();
        self.later(async move { shared.delete(key).await })
    }

    fn list_by_user<'a>(&'a self, user: &'a str) -> Reply<'a, Vec<(Key, Arc<Entry>)>> {
        let (shared, user) = (self.shared.clone(), user.to_owned());
        self.later(async move { shared.of_user(&user).await })
    }

    fn page<'a>(&'a self, from: Option<&'a Cursor>, limit: usize) -> Reply<'a, Page> {
        let (shared, from) = (self.shared.clone(), from.cloned());
        self.later(async move { shared.page(from.as_ref(), limit).await })
    }

    fn count(&self) -> Reply<'_, usize> {
        let shared = self.shared.clone();
        self.later(async move { shared.count().await })
    }

    fn sweep(&self, now: Timestamp, limit: usize) -> Reply<'_, Vec<Arc<Entry>>> {
        let shared = self.shared.clone();
        self.later(async move { shared.sweep(now, limit).await })
    }

    fn attach(&self, copies: Arc<dyn Copies>) {
        self.shared.listener.attach(copies);
    }

    fn ping(&self) -> Reply<'_, ()> {
        let shared = self.shared.clone();
        self.later(async move { shared.ping().await })
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("address", &format_args!("{}", self.shared.address)).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
