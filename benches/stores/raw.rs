//! Redis and PostgreSQL themselves, by the same clients and as many connections as our stores use: a record is set or
//! inserted, a record is read. No index by user, no deadline to sweep by, nobody told.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use cloakroom::store::{Entry, Key};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls, Statement};

use crate::server::{Postgres, Redis};
use crate::subject::{Answer, Ask, CONNECTIONS, Subject};

struct RawRedis {
    connection: redis::aio::MultiplexedConnection,
    control: Handle,
    _server: Redis,
}

impl Ask for RawRedis {
    fn create(&self, key: Key, entry: Entry) -> Answer {
        let mut connection = self.connection.clone();
        self.on_control(async move {
            let mut set = redis::cmd("SET");
            set.arg(&key.0).arg(&*entry.bytes()).arg("NX");
            Ok(set.query_async::<Option<String>>(&mut connection).await?.is_some())
        })
    }

    fn load(&self, key: Key) -> Answer {
        let mut connection = self.connection.clone();
        self.on_control(async move {
            let found: Option<Vec<u8>> = redis::cmd("GET").arg(&key.0).query_async(&mut connection).await?;
            Ok(found.is_some())
        })
    }
}

impl RawRedis {
    fn on_control(&self, work: impl Future<Output = anyhow::Result<bool>> + Send + 'static) -> Answer {
        let working = self.control.spawn(work);
        Box::pin(async move { working.await? })
    }
}

pub fn redis(directory: &Path, control: Handle) -> anyhow::Result<Subject> {
    let server = Redis::start(directory)?;
    let client = redis::Client::open(server.url())?;
    let connection = control.block_on(async {
        loop {
            match client.get_multiplexed_async_connection().await {
                Err(error) if error.is_connection_refusal() => tokio::task::yield_now().await,
                connected => return connected,
            }
        }
    })?;
    Ok(Subject { ask: Arc::new(RawRedis { connection, control, _server: server }), store: None })
}

/// A connection with its two statements; one asks at a time.
struct Link {
    client: Client,
    insert: Statement,
    select: Statement,
}

struct RawPostgres {
    links: Vec<Arc<Mutex<Link>>>,
    next: AtomicUsize,
    control: Handle,
    _server: Postgres,
}

impl Ask for RawPostgres {
    fn create(&self, key: Key, entry: Entry) -> Answer {
        let link = self.link();
        self.on_control(async move {
            let link = link.lock().await;
            let (key, data) = (key.0.as_slice(), entry.bytes());
            Ok(link.client.execute(&link.insert, &[&key, &&*data]).await? == 1)
        })
    }

    fn load(&self, key: Key) -> Answer {
        let link = self.link();
        self.on_control(async move {
            let link = link.lock().await;
            Ok(link.client.query_opt(&link.select, &[&key.0.as_slice()]).await?.is_some())
        })
    }
}

impl RawPostgres {
    /// In turn, which is fair as all take as long.
    fn link(&self) -> Arc<Mutex<Link>> {
        Arc::clone(&self.links[self.next.fetch_add(1, Ordering::Relaxed) % self.links.len()])
    }

    fn on_control(&self, work: impl Future<Output = anyhow::Result<bool>> + Send + 'static) -> Answer {
        let working = self.control.spawn(work);
        Box::pin(async move { working.await? })
    }
}

pub fn postgres(directory: &Path, control: Handle) -> anyhow::Result<Subject> {
    let server = Postgres::start(directory)?;
    let links = control.block_on(connect(&server.url()))?;
    let (ask, next) = (links.into_iter().map(|link| Arc::new(Mutex::new(link))).collect(), AtomicUsize::new(0));
    Ok(Subject { ask: Arc::new(RawPostgres { links: ask, next, control, _server: server }), store: None })
}

async fn connect(url: &str) -> anyhow::Result<Vec<Link>> {
    let (first, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    first.batch_execute("CREATE TABLE raw (key bytea PRIMARY KEY, data bytea NOT NULL)").await?;
    let mut opening: JoinSet<anyhow::Result<Link>> = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let url = url.to_owned();
        opening.spawn(async move {
            let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
            tokio::spawn(connection);
            let insert = client.prepare("INSERT INTO raw VALUES ($1, $2) ON CONFLICT DO NOTHING").await?;
            let select = client.prepare("SELECT data FROM raw WHERE key = $1").await?;
            Ok(Link { client, insert, select })
        });
    }
    let opened = opening.join_all().await;
    opened.into_iter().collect::<anyhow::Result<Vec<_>>>().context("connections to PostgreSQL")
}
