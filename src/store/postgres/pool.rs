//! A bounded pool of connections; each serves one statement at a time, in one round trip.
//!
//! `postgres` asks through it. Statements are never prepared by name, so pgbouncer may hand each one to another
//! server connection. A connection comes back only after a whole answer: cut off or refused, it is closed.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::breaker::Breaker;
use super::options::Target;
use super::schema::Schema;

/// Not a request's deadline: a far server with TLS takes several round trips, and whoever waits gives up sooner.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a cut-off statement's connection is kept to have the server cancel it.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(1);

/// While the breaker is open the server is asked so often whether it answers again. Short: "back within a second".
const PROBE: Duration = Duration::from_millis(250);

/// One parameter of a statement. Its type is told, so that the server need not be asked for it first.
pub(super) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// Why there is no answer; for messages, with the server's place and without any value.
#[derive(Debug, Clone)]
pub(super) struct Failure(String);

impl Failure {
    pub fn new(target: &Target, what: impl fmt::Display) -> Self {
        Self(format!("PostgreSQL at {}: {what}", target.place))
    }

    /// SECURITY: without the server's "detail", which quotes values.
    pub fn from_server(target: &Target, error: &tokio_postgres::Error) -> Self {
        let reason = match error.as_db_error() {
            Some(refusal) => format!("{} ({})", refusal.message(), refusal.code().code()),
            None => {
                std::error::Error::source(error).map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
            }
        };
        Self::new(target, reason)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What may be asked twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
}

/// Shared by all operations of one store.
pub(super) struct Pool {
    target: Target,
    schema: Schema,
    runtime: Handle,
    max_connections: usize,
    /// What needs no more than that the table can be read.
    probe: String,
    breaker: Breaker,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The last one back is the first one out: those not needed rest.
    idle: Vec<Link>,
    /// Idle, lent or being opened. While somebody waits it is never zero.
    open: usize,
    waiting: VecDeque<oneshot::Sender<Result<Lease, Failure>>>,
}

/// A connection and the task that moves its bytes.
struct Link {
    client: Client,
    driver: JoinHandle<()>,
}

/// A connection that somebody uses.
struct Lease {
    pool: Arc<Pool>,
    link: Option<Link>,
    /// Nothing of an answer is still to come.
    is_whole: bool,
}

impl Pool {
    pub fn new(target: Target, schema: Schema, runtime: Handle, max_connections: usize, probe: String) -> Arc<Self> {
        let (breaker, state) = (Breaker::default(), Mutex::default());
        Arc::new(Self { target, schema, runtime, max_connections: max_connections.max(1), probe, breaker, state })
    }

    /// A failure of this server.
    pub fn failure(&self, what: &str) -> Failure {
        Failure::new(&self.target, what)
    }

    /// One statement's rows, or no later than `limit` from now the reason why not.
    pub async fn ask(
        self: &Arc<Self>,
        kind: Kind,
        statement: &str,
        params: &[Param<'_>],
        limit: Duration,
    ) -> Result<Vec<Row>, Failure> {
        let deadline = Instant::now() + limit;
        if self.breaker.is_open() {
            return Err(Failure::new(&self.target, "does not answer; trying again in a moment"));
        }
        let mut answer = self.attempt(statement, params, deadline).await;
        // A restart of the server closed connections while they rested: past the last of them there is a new one.
        for _ in 0..self.max_connections {
            if kind != Kind::Read || !matches!(answer, Err((_, Lost::Closed))) {
                break;
            }
            answer = self.attempt(statement, params, deadline).await;
        }
        match &answer {
            Ok(_) => self.succeeded(),
            Err((failure, _)) => self.failed(failure, limit),
        }
        answer.map_err(|(failure, _)| failure)
    }

    fn succeeded(&self) {
        if self.breaker.succeeded() {
            tracing::info!(server = %self.target.place, "PostgreSQL answers again");
        }
    }

    fn failed(self: &Arc<Self>, failure: &Failure, limit: Duration) {
        if self.breaker.failed() {
            tracing::warn!(%failure, "PostgreSQL fails again and again; requests are answered without waiting for it");
            // Others may lead to the same dead end, which each would show by a time-out of its own.
            self.close_idle();
            self.runtime.spawn(Self::try_on(Arc::downgrade(self), limit));
        }
    }

    /// In the place of requests, none of which waits meanwhile: until there is an answer in time, or no store.
    async fn try_on(pool: Weak<Self>, limit: Duration) {
        loop {
            sleep(PROBE).await;
            let Some(pool) = pool.upgrade().filter(|pool| pool.breaker.is_open()) else { return };
            if pool.attempt(&pool.probe, &[], Instant::now() + limit).await.is_ok() {
                return pool.succeeded();
            }
        }
    }

    async fn attempt(
        self: &Arc<Self>,
        statement: &str,
        params: &[Param<'_>],
        deadline: Instant,
    ) -> Result<Vec<Row>, (Failure, Lost)> {
        let late = |what| (Failure::new(&self.target, what), Lost::Late);
        let mut lease = match timeout_at(deadline, self.lease()).await {
            Ok(Ok(lease)) => lease,
            Ok(Err(failure)) => return Err((failure, Lost::Refused)),
            Err(_) => return Err(late("no connection was free or could be opened in time")),
        };
        match timeout_at(deadline, lease.ask(statement, params)).await {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(error)) => {
                self.schema.doubt(&error);
                let lost = if is_goodbye(&error) { Lost::Closed } else { Lost::Refused };
                Err((Failure::from_server(&self.target, &error), lost))
            }
            Err(_) => {
                self.runtime.spawn(lease.cancel());
                Err(late("no answer in time"))
            }
        }
    }

    async fn lease(self: &Arc<Self>) -> Result<Lease, Failure> {
        let told = {
            let mut state = self.state();
            while let Some(link) = state.idle.pop() {
                if !link.client.is_closed() {
                    return Ok(Lease { pool: Arc::clone(self), link: Some(link), is_whole: true });
                }
                state.open -= 1;
            }
            // Those who gave up waiting stand in front.
            while state.waiting.front().is_some_and(oneshot::Sender::is_closed) {
                state.waiting.pop_front();
            }
            let (tell, told) = oneshot::channel();
            state.waiting.push_back(tell);
            if state.open < self.max_connections {
                state.open += 1;
                self.open_another();
            }
            told
        };
        told.await.unwrap_or_else(|_| Err(Failure::new(&self.target, "the store is shutting down")))
    }

    /// Goes on when its first waiter gives up: the next one finds a connection. The caller has counted it.
    fn open_another(self: &Arc<Self>) {
        let pool = Arc::clone(self);
        self.runtime.spawn(async move {
            match pool.connect().await {
                Ok(link) => drop(Lease { pool, link: Some(link), is_whole: true }),
                Err(failure) => pool.not_opened(&failure),
            }
        });
    }

    async fn connect(&self) -> Result<Link, Failure> {
        let connecting = self.target.config.connect(self.target.tls.clone());
        let (client, connection) = match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(pair)) => pair,
            Ok(Err(error)) => return Err(Failure::from_server(&self.target, &error)),
            Err(_) => return Err(Failure::new(&self.target, "no connection in time")),
        };
        let driver = self.runtime.spawn(async move {
            // What went wrong, the statement that was under way tells.
            let _ = connection.await;
        });
        let mut link = Link { client, driver };
        self.schema.ensure(&mut link.client, &self.target).await?;
        Ok(link)
    }

    fn not_opened(&self, failure: &Failure) {
        let mut state = self.state();
        state.open -= 1;
        if state.open > 0 {
            // The others will do for those who wait.
            return;
        }
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for waiter in waiting {
            let _ = waiter.send(Err(failure.clone()));
        }
    }

    fn give_back(self: &Arc<Self>, link: Link) {
        let mut lease = Lease { pool: Arc::clone(self), link: Some(link), is_whole: true };
        loop {
            let mut state = self.state();
            let Some(waiter) = state.waiting.pop_front() else {
                state.idle.extend(lease.link.take());
                return;
            };
            drop(state);
            match waiter.send(Ok(lease)) {
                Ok(()) => return,
                Err(Ok(unwanted)) => lease = unwanted,
                Err(Err(_)) => return,
            }
        }
    }

    /// How many connections count against the bound.
    #[cfg(test)]
    pub fn open(&self) -> usize {
        self.state().open
    }

    /// One that was counted is gone; whoever waits gets another.
    fn lost(self: &Arc<Self>) {
        let mut state = self.state();
        if state.waiting.iter().all(oneshot::Sender::is_closed) {
            state.open -= 1;
        } else {
            self.open_another();
        }
    }

    fn close_idle(&self) {
        let mut state = self.state();
        state.open -= state.idle.len();
        state.idle.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the server ended the connection, rather than refusing the statement.
fn is_goodbye(error: &tokio_postgres::Error) -> bool {
    let ends = [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN];
    error.is_closed() || error.code().is_some_and(|code| ends.contains(code))
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    Late,
    Closed,
    Refused,
}

impl Lease {
    async fn ask(&mut self, statement: &str, params: &[Param<'_>]) -> Result<Vec<Row>, tokio_postgres::Error> {
        let Some(link) = &self.link else { return Ok(Vec::new()) };
        self.is_whole = false;
        let mut parameters = Vec::with_capacity(params.len());
        parameters.extend(params.iter().map(|(value, kind)| (*value, kind.clone())));
        let rows = link.client.query_typed(statement, &parameters).await?;
        self.is_whole = true;
        Ok(rows)
    }

    /// Has the server give the statement up, and closes the connection. Until then it counts: statements that hang
    /// there, behind a lock for instance, must not outnumber the pool.
    async fn cancel(self) {
        if let Some(link) = &self.link {
            let token = link.client.cancel_token();
            let _ = timeout(CANCEL_TIMEOUT, token.cancel_query(self.pool.target.tls.clone())).await;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        match self.link.take() {
            Some(link) if self.is_whole && !link.client.is_closed() => self.pool.give_back(link),
            Some(link) => {
                drop(link);
                self.pool.lost();
            }
            // Handed on.
            None => {}
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Without this the task would wait for the rest of an answer that hangs.
        self.driver.abort();
    }
}
