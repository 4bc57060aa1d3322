//! Sessions in one PostgreSQL table that any number of gateways share.
//!
//! Each operation is one statement in one round trip, run on the control runtime: workers only await the answer. A
//! write tells whoever keeps copies, and waits until they have forgotten theirs. No tombstones are needed: a key is
//! drawn from 165 random bits and never created twice, and an update cannot insert.

mod breaker;
mod channel;
mod message;
mod options;
mod pool;
mod receipts;
mod row;
mod schema;
mod statements;
mod tls;

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

pub use self::options::{Options, OptionsError};
pub use self::tls::TlsError;

use self::channel::{Channel, Names};
use self::message::Message;
pub(crate) use self::options::Target;
use self::options::table_prefix;
use self::pool::{Failure, Kind, Param, Pool};
use self::receipts::{Receipt, Receipts};
use self::row::{Values, to_column};
use self::schema::Schema;
use self::statements::Statements;
use super::{Copies, Cursor, Entry, Error, Key, Page, Reply, Store, Updated};
use crate::clock::Timestamp;

/// Nobody waits for a sweep, and a batch of it is many rows.
const SWEEP_PATIENCE: u32 = 20;

/// A store in PostgreSQL 12 or later, directly or through pgbouncer.
pub struct PostgresStore {
    shared: Arc<Shared>,
    channel: Channel,
    runtime: Handle,
}

struct Shared {
    pool: Arc<Pool>,
    statements: Statements,
    names: Names,
    receipts: Arc<Receipts>,
    timeout: Duration,
}

impl PostgresStore {
    /// Checks the options and returns; connects, and creates the tables, as soon as the server is there.
    ///
    /// # Errors
    /// Only for options that can never work.
    pub fn connect(options: &Options, runtime: Handle) -> Result<Self, OptionsError> {
        let prefix = table_prefix(&options.prefix)?;
        let target = Target::parse("store.url", &options.url)?;
        let listen_target = match &options.listen_url {
            Some(url) => Target::parse("store.listen_url", url)?,
            None => Target::parse("store.url", &options.url)?,
        };
        let names = Names::new(&prefix);
        let (statements, receipts, timeout) = (Statements::new(&names), Arc::default(), options.timeout);
        let probe = statements.ping.clone();
        let pool = Pool::new(target, Schema::new(prefix), runtime.clone(), options.max_connections, probe);
        let shared = Shared { pool, statements, names, receipts, timeout };
        let shared = Arc::new(shared);
        let (pool, receipts) = (Arc::clone(&shared.pool), Arc::clone(&shared.receipts));
        let channel = Channel::open(listen_target, shared.names.clone(), pool, receipts, timeout, &runtime);
        Ok(Self { shared, channel, runtime })
    }

    /// Runs `work` on the control runtime. It goes on to its end also when the caller no longer waits.
    fn later<'a, T, F>(&'a self, work: impl FnOnce(Arc<Shared>) -> F + Send + 'a) -> Reply<'a, T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        Reply::Later(Box::pin(async move {
            let (tell, told) = oneshot::channel();
            let work = work(Arc::clone(&self.shared));
            self.runtime.spawn(async move { tell.send(work.await) });
            match told.await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(failure)) => Err(Error::Unreachable(Cow::Owned(failure.to_string()))),
                Err(_) => Err(Error::Unreachable(Cow::Borrowed("the process is shutting down"))),
            }
        }))
    }
}

impl Shared {
    async fn create(self: Arc<Self>, key: Key, entry: Entry) -> Result<bool, Failure> {
        let (data, version) = (entry.bytes(), i64::try_from(entry.version()).unwrap_or(1));
        let values = Values::of(&entry, &data);
        let key = key.0.as_slice();
        let mut params: Vec<Param<'_>> = vec![(&key, Type::BYTEA)];
        params.extend(values.params(&version));
        Ok(!self.ask(Kind::Write, &self.statements.create, &params).await?.is_empty())
    }

    async fn load(self: Arc<Self>, key: Key) -> Result<Option<Arc<Entry>>, Failure> {
        let rows = self.ask(Kind::Read, &self.statements.load, &[(&key.0.as_slice(), Type::BYTEA)]).await?;
        Ok(entries(&rows).next().map(|(_, entry)| entry))
    }

    async fn update(self: Arc<Self>, key: Key, seen: u64, entry: Entry) -> Result<Updated, Failure> {
        let receipt = self.receipts.open();
        let (data, seen) = (entry.bytes(), i64::try_from(seen).unwrap_or(-1));
        let (values, payload) = (Values::of(&entry, &data), self.forget(key, Some(&receipt)));
        let key = key.0.as_slice();
        let mut params = values.params(&seen).to_vec();
        params.extend([(&key as _, Type::BYTEA), (&payload as _, Type::TEXT)]);
        let rows = self.ask(Kind::Write, &self.statements.update, &params).await?;
        let row = self.only(&rows)?;
        let (written, is_there): (bool, bool) = (row.get(0), row.get(1));
        if !written {
            return Ok(if is_there { Updated::Conflict } else { Updated::Absent });
        }
        self.forgotten(&receipt, row).await;
        Ok(Updated::Done)
    }

    /// Told, so that nobody takes the session for idle by an older copy, but not waited for.
    async fn touch(self: Arc<Self>, key: Key, last_seen: Timestamp, deadline: Timestamp) -> Result<(), Failure> {
        let (payload, last_seen, deadline) = (self.forget(key, None), to_column(last_seen), to_column(deadline));
        let key = key.0.as_slice();
        let params: [Param<'_>; 4] =
            [(&key, Type::BYTEA), (&last_seen, Type::INT8), (&deadline, Type::INT8), (&payload, Type::TEXT)];
        self.ask(Kind::Write, &self.statements.touch, &params).await.map(drop)
    }

    async fn delete(self: Arc<Self>, key: Key) -> Result<Option<Arc<Entry>>, Failure> {
        let receipt = self.receipts.open();
        let payload = self.forget(key, Some(&receipt));
        let params: [Param<'_>; 2] = [(&key.0.as_slice(), Type::BYTEA), (&payload, Type::TEXT)];
        let rows = self.ask(Kind::Write, &self.statements.delete, &params).await?;
        let row = self.only(&rows)?;
        self.forgotten(&receipt, row).await;
        let is_gone = row.get::<_, Option<&[u8]>>("key").is_some();
        Ok(if is_gone { entries(&rows).next().map(|(_, entry)| entry) } else { None })
    }

    async fn list_by_user(self: Arc<Self>, user: String) -> Result<Vec<(Key, Arc<Entry>)>, Failure> {
        let rows = self.ask(Kind::Read, &self.statements.list_by_user, &[(&user, Type::TEXT)]).await?;
        Ok(entries(&rows).collect())
    }

    async fn page(self: Arc<Self>, from: Option<Cursor>, limit: usize) -> Result<Page, Failure> {
        let limit = i64::try_from(limit.max(1)).unwrap_or(i64::MAX);
        let after = from.as_ref().map(|Cursor(key)| &**key);
        let rows = match &after {
            None => self.ask(Kind::Read, &self.statements.first_page, &[(&limit, Type::INT8)]).await?,
            Some(key) if key.len() == 32 => {
                self.ask(Kind::Read, &self.statements.page, &[(key, Type::BYTEA), (&limit, Type::INT8)]).await?
            }
            Some(_) => Vec::new(),
        };
        // Of the row, not of the entry: one that cannot be read is no end.
        let last = rows.last().filter(|_| rows.len() as i64 == limit);
        let next = last.map(|row| Cursor(row.get::<_, &[u8]>("key").into()));
        Ok(Page { entries: entries(&rows).collect(), next })
    }

    async fn count(self: Arc<Self>) -> Result<usize, Failure> {
        let rows = self.ask(Kind::Read, &self.statements.count, &[]).await?;
        Ok(usize::try_from(self.only(&rows)?.get::<_, i64>(0)).unwrap_or(0))
    }

    async fn sweep(self: Arc<Self>, now: Timestamp, limit: usize) -> Result<Vec<Arc<Entry>>, Failure> {
        let (now, limit) = (to_column(now), i64::try_from(limit).unwrap_or(i64::MAX));
        let params: [Param<'_>; 2] = [(&now, Type::INT8), (&limit, Type::INT8)];
        let patience = self.timeout * SWEEP_PATIENCE;
        let rows = self.pool.ask(Kind::Write, &self.statements.sweep, &params, patience).await?;
        Ok(entries(&rows).map(|(_, entry)| entry).collect())
    }

    async fn ping(self: Arc<Self>) -> Result<(), Failure> {
        self.ask(Kind::Read, &self.statements.ping, &[]).await.map(drop)
    }

    async fn ask(&self, kind: Kind, statement: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Failure> {
        self.pool.ask(kind, statement, params, self.timeout).await
    }

    fn only<'a>(&self, rows: &'a [Row]) -> Result<&'a Row, Failure> {
        rows.first().ok_or_else(|| self.pool.failure("an answer without a row"))
    }

    fn forget(&self, key: Key, receipt: Option<&Receipt<'_>>) -> String {
        let receipt = receipt.map(|receipt| receipt.number);
        Message::Forget { writer: self.names.own, receipt, key }.to_string()
    }

    /// Waits until everybody who listened at that moment has forgotten. What is written stands in any case.
    async fn forgotten(&self, receipt: &Receipt<'_>, row: &Row) {
        let names: Vec<&str> = row.get("listening");
        let listeners: Vec<u64> = names.iter().filter_map(|name| self.names.listener_called(name)).collect();
        if timeout(self.timeout, receipt.signed_by(&listeners)).await.is_err() {
            let (missing, of) = (receipt.missing(&listeners), listeners.len());
            tracing::warn!(missing, of, "a write was not confirmed in time by every gateway that keeps copies");
        }
    }
}

fn entries(rows: &[Row]) -> impl Iterator<Item = (Key, Arc<Entry>)> {
    rows.iter().filter_map(row::entry).map(|(key, entry)| (key, Arc::new(entry)))
}

impl Store for PostgresStore {
    fn create(&self, key: Key, entry: Entry) -> Reply<'_, bool> {
        self.later(move |shared| shared.create(key, entry))
    }

    fn load(&self, key: Key) -> Reply<'_, Option<Arc<Entry>>> {
        self.later(move |shared| shared.load(key))
    }

    fn update(&self, key: Key, seen: u64, entry: Entry) -> Reply<'_, Updated> {
        self.later(move |shared| shared.update(key, seen, entry))
    }

    fn touch(&self, key: Key, last_seen: Timestamp, deadline: Timestamp) -> Reply<'_, ()> {
        self.later(move |shared| shared.touch(key, last_seen, deadline))
    }

    fn delete(&self, key: Key) -> Reply<'_, Option<Arc<Entry>>> {
        self.later(move |shared| shared.delete(key))
    }

    fn list_by_user<'a>(&'a self, user: &'a str) -> Reply<'a, Vec<(Key, Arc<Entry>)>> {
        self.later(move |shared| shared.list_by_user(user.to_owned()))
    }

    fn page<'a>(&'a self, from: Option<&'a Cursor>, limit: usize) -> Reply<'a, Page> {
        self.later(move |shared| shared.page(from.cloned(), limit))
    }

    fn count(&self) -> Reply<'_, usize> {
        self.later(|shared| shared.count())
    }

    fn sweep(&self, now: Timestamp, limit: usize) -> Reply<'_, Vec<Arc<Entry>>> {
        self.later(move |shared| shared.sweep(now, limit))
    }

    fn attach(&self, copies: Arc<dyn Copies>) {
        self.channel.attach(copies);
    }

    fn ping(&self) -> Reply<'_, ()> {
        self.later(|shared| shared.ping())
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("table", &self.shared.names.table()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
