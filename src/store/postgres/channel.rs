//! The connection that listens: what other gateways write reaches our copies, their signatures our receipts.
//!
//! One task per store on the control runtime. Copies are trusted only while notifications are known to arrive:
//! - The application name says that somebody listens. It is set after LISTEN, so a write that counts us also reaches
//!   us; copies are trusted a little later, when every write that did not count us has ended.
//! - A notification to ourselves by the way that writes take proves the channel: behind pgbouncer in transaction
//!   mode LISTEN succeeds, and nothing comes while the connection rests. SECURITY: it bears the number of this
//!   attempt, and the connection rests until it is there. One of an earlier attempt may come with the answer to a
//!   statement, from a server connection that still listens.
//! - Then we ping ourselves, and silence ends it.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_postgres::types::Type;
use tokio_postgres::{AsyncMessage, Client, Connection, Notification};

use super::message::{Message, hex};
use super::options::Target;
use super::pool::{CONNECT_TIMEOUT, Failure, Kind, Pool};
use super::receipts::Receipts;
use crate::store::Copies;

/// So often we ping ourselves.
const PING_INTERVAL: Duration = Duration::from_millis(500);

/// Nothing heard for so long: the channel is lost.
const SILENCE: Duration = Duration::from_secs(2);

/// Between two attempts; well below the second in which all should be well again.
const RETRY: Duration = Duration::from_millis(250);

/// So many notifications are answered at a time.
const BATCH: usize = 256;

const SEND: &str =
    "SELECT count(pg_notify(channel, payload)) FROM unnest($1::text[], $2::text[]) AS told(channel, payload)";

/// What things are called in the database.
#[derive(Debug, Clone)]
pub(super) struct Names {
    table: String,
    /// This store among all that share the table.
    pub own: u64,
}

impl Names {
    pub fn new(prefix: &str) -> Self {
        Self { table: format!("{prefix}sessions"), own: rand::random() }
    }

    pub fn table(&self) -> &str {
        &self.table
    }

    /// Where writes are told.
    pub fn channel(&self) -> &str {
        &self.table
    }

    /// Where `store` is told what concerns it alone.
    pub fn channel_of(&self, store: u64) -> String {
        format!("{}_{store:016x}", self.table)
    }

    /// What the application name of every listener begins with.
    pub fn all_listeners(&self) -> String {
        format!("{} listener ", self.table)
    }

    /// Our application name while copies depend on what we hear.
    pub fn listener(&self) -> String {
        format!("{}{:016x}", self.all_listeners(), self.own)
    }

    /// Who has this application name.
    pub fn listener_called(&self, name: &str) -> Option<u64> {
        hex(name.strip_prefix(&self.all_listeners())?)
    }
}

/// The task; dropped, it ends.
pub(super) struct Channel {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    target: Target,
    names: Names,
    pool: Arc<Pool>,
    receipts: Arc<Receipts>,
    copies: Mutex<Option<Arc<dyn Copies>>>,
    attached: Notify,
    /// How long a write may be under way that did not count us.
    settling: Duration,
}

/// Why the channel is to be opened again.
enum End {
    /// Copies came or changed.
    Attached,
    Lost(Failure),
}

impl Channel {
    pub fn open(
        target: Target,
        names: Names,
        pool: Arc<Pool>,
        receipts: Arc<Receipts>,
        timeout: Duration,
        runtime: &tokio::runtime::Handle,
    ) -> Self {
        // A statement ends at its time-out, or a moment later when the server is told to give it up.
        let settling = timeout * 2;
        let (copies, attached) = (Mutex::default(), Notify::new());
        let shared = Arc::new(Shared { target, names, pool, receipts, copies, attached, settling });
        let task = runtime.spawn(Arc::clone(&shared).run());
        Self { shared, task }
    }

    /// The last one attached is told; who was before must not trust any longer.
    pub fn attach(&self, copies: Arc<dyn Copies>) {
        copies.trust(false);
        let before = self.shared.lock().replace(copies);
        if let Some(before) = before {
            before.trust(false);
        }
        self.shared.attached.notify_one();
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(copies) = self.shared.lock().take() {
            copies.trust(false);
        }
    }
}

impl Shared {
    async fn run(self: Arc<Self>) {
        let mut is_told = false;
        loop {
            let (copies, mut is_proven) = (self.lock().clone(), false);
            let Err(end) = self.listen(copies.as_deref(), &mut is_proven).await;
            if let Some(copies) = copies {
                copies.trust(false);
            }
            is_told &= !is_proven;
            if let End::Lost(failure) = end {
                if !std::mem::replace(&mut is_told, true) {
                    tracing::warn!(%failure, "not told what other gateways do: every session is read from the table until then");
                }
                sleep(RETRY).await;
            }
        }
    }

    /// One connection's life, for the copies that were there at its beginning: others would trust what it is not told.
    async fn listen(&self, copies: Option<&dyn Copies>, is_proven: &mut bool) -> Result<Infallible, End> {
        let (client, mut news, _driver) = self.connect().await?;
        self.subscribe(&client, copies.is_some()).await.map_err(|error| self.lost(&error))?;
        let since = Instant::now();
        let (mut heard, mut pinged, mut is_trusted) = (since, None::<Instant>, false);
        let (attempt, mut held) = (rand::random(), Vec::new());
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            held.append(&mut self.digest(&mut batch, copies, attempt, is_proven));
            let mut outgoing = if *is_proven { std::mem::take(&mut held) } else { Vec::new() };
            let now = Instant::now();
            if pinged.is_none_or(|pinged| now >= pinged + PING_INTERVAL) {
                pinged = Some(now);
                match *is_proven {
                    true => outgoing.push((self.names.channel_of(self.names.own), Message::Ping.to_string())),
                    false => self.prove(attempt),
                }
            }
            if *is_proven && !is_trusted && now >= since + self.settling {
                is_trusted = true;
                if let Some(copies) = copies {
                    copies.trust(true);
                }
            }
            let silence = heard + SILENCE;
            self.send(&client, outgoing, silence).await?;
            let wake = pinged.map_or(now, |pinged| pinged + PING_INTERVAL);
            let wake = if is_trusted || !*is_proven { wake } else { wake.min(since + self.settling) };
            tokio::select! {
                biased;
                () = self.attached.notified() => return Err(End::Attached),
                more = timeout_at(wake.min(silence), news.recv_many(&mut batch, BATCH)) => match more {
                    Ok(0) => return Err(End::Lost(Failure::new(&self.target, "the listening connection was closed"))),
                    Ok(_) => heard = Instant::now(),
                    Err(_) if Instant::now() >= silence => return Err(self.silent(*is_proven)),
                    Err(_) => {}
                },
            }
        }
    }

    async fn connect(&self) -> Result<(Client, mpsc::UnboundedReceiver<Notification>, Driver), End> {
        let connecting = self.target.config.connect(self.target.tls.clone());
        let (client, connection) = match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(pair) => pair.map_err(|error| self.lost(&error))?,
            Err(_) => return Err(End::Lost(Failure::new(&self.target, "no connection in time"))),
        };
        let (tell, news) = mpsc::unbounded_channel();
        let driver = Driver(tokio::spawn(drive(connection, tell)));
        Ok((client, news, driver))
    }

    /// Everybody listens for signatures; for writes only who has copies to forget. The name comes last.
    async fn subscribe(&self, client: &Client, listeners: bool) -> Result<(), tokio_postgres::Error> {
        let own = self.names.channel_of(self.names.own);
        client.batch_execute(&format!("LISTEN {own}")).await?;
        if listeners {
            client.batch_execute(&format!("LISTEN {}", self.names.channel())).await?;
            client.batch_execute(&format!("SET application_name = '{}'", self.names.listener())).await?;
        }
        Ok(())
    }

    /// Forgets, signs, notes; returns what is to be sent.
    fn digest(
        &self,
        batch: &mut Vec<Notification>,
        copies: Option<&dyn Copies>,
        attempt: u64,
        is_proven: &mut bool,
    ) -> Vec<(String, String)> {
        let mut outgoing = Vec::new();
        for notification in batch.drain(..) {
            match Message::parse(notification.payload()) {
                Some(Message::Forget { writer, receipt, key }) if writer != self.names.own => {
                    if let Some(copies) = copies {
                        copies.forget(key);
                    }
                    // After it: the signature says that it is done.
                    outgoing.extend(receipt.map(|receipt| {
                        let signed = Message::Signed { receipt, who: self.names.own };
                        (self.names.channel_of(writer), signed.to_string())
                    }));
                }
                Some(Message::Signed { receipt, who }) => self.receipts.sign(receipt, who),
                Some(Message::Proof(of)) if of == attempt => *is_proven = true,
                Some(Message::Proof(_) | Message::Ping | Message::Forget { .. }) | None => {}
            }
        }
        outgoing
    }

    async fn send(&self, client: &Client, outgoing: Vec<(String, String)>, deadline: Instant) -> Result<(), End> {
        if outgoing.is_empty() {
            return Ok(());
        }
        let (channels, payloads): (Vec<_>, Vec<_>) = outgoing.into_iter().unzip();
        let params = [(&channels as _, Type::TEXT_ARRAY), (&payloads as _, Type::TEXT_ARRAY)];
        match timeout_at(deadline, client.query_typed(SEND, &params)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.lost(&error)),
            Err(_) => Err(self.silent(true)),
        }
    }

    /// Through another connection, as a write of another gateway would come.
    fn prove(&self, attempt: u64) {
        let (pool, channel) = (Arc::clone(&self.pool), self.names.channel_of(self.names.own));
        tokio::spawn(async move {
            let proof = Message::Proof(attempt).to_string();
            let params = [(&channel as _, Type::TEXT), (&proof as _, Type::TEXT)];
            // No proof is enough of an answer.
            let _ = pool.ask(Kind::Read, "SELECT count(pg_notify($1, $2))", &params, PING_INTERVAL).await;
        });
    }

    fn silent(&self, was_proven: bool) -> End {
        let reason = match was_proven {
            true => "nothing was heard on the listening connection",
            false => {
                "notifications do not come back: if this is pgbouncer in transaction mode, let store.listen_url lead \
                 straight to PostgreSQL"
            }
        };
        End::Lost(Failure::new(&self.target, reason))
    }

    fn lost(&self, error: &tokio_postgres::Error) -> End {
        End::Lost(Failure::from_server(&self.target, error))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<dyn Copies>>> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moves the connection's bytes until it ends.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn drive<S, T>(mut connection: Connection<S, T>, tell: mpsc::UnboundedSender<Notification>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
        if let AsyncMessage::Notification(notification) = message {
            // Nobody listens any longer only when the task is about to be ended.
            let _ = tell.send(notification);
        }
    }
}
