//! What other gateways do: heard from Redis, told to whoever keeps copies near, and confirmed to whoever did it.
//! Called by the link for every push, and by `update` and `delete`, which wait for the others' confirmations.
//!
//! Two ways lead here. Every `update` and `delete` is announced by its script on one channel; each gateway forgets its
//! copy and confirms on the channel of the gateway that wrote, which answers only when as many have confirmed as were
//! told. And `CLIENT TRACKING` in broadcast mode reports any change of an entry: touches, expiry, eviction,
//! `redis-cli`. It reports this gateway's own writes too, as they come over another connection, and cannot tell them
//! from others': a copy does not outlive a write of its own gateway either, and is read again.
//!
//! A gateway that Redis has lost, so that it is no listener any more, notices when its connection closes, or after two
//! seconds of silence; so long it may use its copies though others were told that all have heard.
//!
//! In a Cluster `PUBLISH` counts the listeners of one node alone, so nobody knows how many to wait for, and tracking
//! needs a connection to every node, new ones too. There copies are never trusted: every read goes to Redis.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{PushInfo, PushKind, RedisError, Value};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout;
use tracing::warn;

use super::link::CONNECT;
use super::names::Names;
use crate::store::{Copies, Key};

/// After somebody has not confirmed in time, others wait this much shorter for it …
const IMPATIENCE: u32 = 10;
/// … and so long. A machine that lost its power stays a listener until Redis notices.
const DEAF_FOR: Duration = Duration::from_secs(10);

/// A gateway that announced a write, and which of its writes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) node: [u8; 8],
    pub(super) operation: [u8; 16],
}

/// The ear of one store.
pub(super) struct Listener {
    names: Arc<Names>,
    node: [u8; 8],
    copies: OnceLock<Arc<dyn Copies>>,
    attached: Notify,
    next: AtomicU64,
    waiting: Mutex<HashMap<[u8; 16], watch::Sender<usize>>>,
    deaf_until: Mutex<Option<Instant>>,
    /// How often this gateway has lost its ear: what was confirmed meanwhile it did not hear.
    losses: AtomicU64,
    /// That Redis does not tell of changes is told once.
    has_complained: AtomicBool,
}

/// A write about to be made, and who has confirmed it.
pub(super) struct Announcement<'a> {
    listener: &'a Listener,
    /// The gateway, and a number of its own.
    pub(super) operation: [u8; 16],
    confirmed: watch::Receiver<usize>,
    losses: u64,
}

impl Listener {
    pub(super) fn new(names: Arc<Names>, node: [u8; 8]) -> Self {
        Self {
            names,
            node,
            copies: OnceLock::new(),
            attached: Notify::new(),
            next: AtomicU64::new(0),
            waiting: Mutex::default(),
            deaf_until: Mutex::default(),
            losses: AtomicU64::new(0),
            has_complained: AtomicBool::new(false),
        }
    }

    /// Only the first one is told.
    pub(super) fn attach(&self, copies: Arc<dyn Copies>) {
        copies.trust(false);
        if self.copies.set(copies).is_ok() {
            self.attached.notify_one();
        }
    }

    pub(super) async fn attached(&self) {
        self.attached.notified().await;
    }

    /// Where others confirm what this gateway announced.
    pub(super) fn own_channel(&self) -> Vec<u8> {
        self.channel_of(&self.node)
    }

    pub(super) fn channel_of(&self, node: &[u8; 8]) -> Vec<u8> {
        self.names.confirmations(node)
    }

    /// Whether there was somebody to listen for, and it worked.
    pub(super) async fn listen(&self, connection: &mut MultiplexedConnection) -> bool {
        let Some(copies) = self.copies.get() else { return false };
        let subscribed = timeout(CONNECT, self.subscribe(connection)).await;
        match subscribed.map_err(std::io::Error::from).map_err(RedisError::from).flatten() {
            Ok(()) => {
                // Everything read before was read without being told of changes: dropped on this side, too.
                copies.trust(true);
                self.has_complained.store(false, Ordering::Relaxed);
                true
            }
            Err(error) => {
                if !self.has_complained.swap(true, Ordering::Relaxed) {
                    warn!(%error, "Redis does not tell of changes: every read goes to Redis");
                }
                false
            }
        }
    }

    async fn subscribe(&self, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        connection.subscribe(self.names.changes()).await?;
        let mut tracking = redis::cmd("CLIENT");
        tracking.arg("TRACKING").arg("ON").arg("BCAST").arg("PREFIX").arg(self.names.entries());
        tracking.query_async(connection).await
    }

    pub(super) fn distrust(&self) {
        self.losses.fetch_add(1, Ordering::Relaxed);
        if let Some(copies) = self.copies.get() {
            copies.trust(false);
        }
    }

    /// In the task that reads the connection: nothing here may wait.
    pub(super) fn hear(&self, push: &PushInfo, tell: &mpsc::UnboundedSender<Told>) {
        match (&push.kind, push.data.as_slice()) {
            (PushKind::Message, [Value::BulkString(channel), Value::BulkString(message)]) => {
                if *channel == self.names.changes() {
                    self.changed(message, tell);
                } else {
                    self.confirmed(message);
                }
            }
            (PushKind::Invalidate, [Value::Array(names)]) => names.iter().for_each(|name| self.invalidated(name)),
            // The whole database was emptied.
            (PushKind::Invalidate, _) => self.start_anew(),
            _ => {}
        }
    }

    fn changed(&self, message: &[u8], tell: &mpsc::UnboundedSender<Told>) {
        let Some((operation, key)) = message.split_first_chunk::<16>() else { return };
        let (Some(node), Ok(key)) = (operation.first_chunk::<8>().copied(), key.try_into()) else { return };
        if node == self.node {
            self.confirmed(operation);
            return;
        }
        if let Some(copies) = self.copies.get() {
            copies.forget(Key(key));
        }
        // Closed only while the connection is given up: nobody can be told then.
        let _ = tell.send(Told { node, operation: *operation });
    }

    fn invalidated(&self, name: &Value) {
        let Value::BulkString(name) = name else { return };
        if let (Some(key), Some(copies)) = (self.names.key_of(name), self.copies.get()) {
            copies.forget(key);
        }
    }

    fn start_anew(&self) {
        if let Some(copies) = self.copies.get() {
            copies.trust(false);
            copies.trust(true);
        }
    }

    fn confirmed(&self, operation: &[u8]) {
        let Ok(operation) = <[u8; 16]>::try_from(operation) else { return };
        if let Some(count) = self.waiting().get(&operation) {
            count.send_modify(|count| *count += 1);
        }
    }

    /// Before the write is sent, so that no confirmation is missed.
    pub(super) fn announce(&self) -> Announcement<'_> {
        let mut operation = [0; 16];
        operation[..8].copy_from_slice(&self.node);
        operation[8..].copy_from_slice(&self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        let (count, confirmed) = watch::channel(0);
        self.waiting().insert(operation, count);
        Announcement { listener: self, operation, confirmed, losses: self.losses.load(Ordering::Relaxed) }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<[u8; 16], watch::Sender<usize>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn deaf_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.deaf_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Announcement<'_> {
    /// Waits until `told` gateways have confirmed, or `patience` has passed: then the write stands.
    pub(super) async fn heard_by(mut self, told: usize, patience: Duration) {
        if *self.confirmed.borrow() >= told {
            return;
        }
        let somebody_is_deaf = self.listener.deaf_until().is_some_and(|until| Instant::now() < until);
        let patience = if somebody_is_deaf { patience / IMPATIENCE } else { patience };
        let is_missed = timeout(patience, self.confirmed.wait_for(|count| *count >= told)).await.is_err();
        let heard_everything = self.losses == self.listener.losses.load(Ordering::Relaxed);
        if is_missed && heard_everything && !somebody_is_deaf {
            *self.listener.deaf_until() = Some(Instant::now() + DEAF_FOR);
            let confirmed = *self.confirmed.borrow();
            warn!(told, confirmed, "a gateway has not confirmed a change in time: it may use its copy a little longer");
        }
    }
}

impl Drop for Announcement<'_> {
    fn drop(&mut self) {
        self.listener.waiting().remove(&self.operation);
    }
}
