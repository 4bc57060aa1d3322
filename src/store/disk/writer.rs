//! The storage thread: the only one that writes. It takes what has gathered, makes one transaction of it, waits for
//! the disk, and then answers (group commit). In between it writes touches and gives room back, in small steps.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Result};
use tokio::sync::oneshot;

use super::super::{Copies, Error};
use super::checkpoint::Watch;
use super::health::{self, Health, unreachable};
use super::queue::Queue;
use super::touches::Touches;
use super::transaction::Transaction;

/// Writes in one transaction at most. Whoever comes next waits that long.
const WRITES: usize = 512;

/// Touches in one transaction: few, for somebody may be signing in. Each changes some pages far from the others'.
const TOUCHES: usize = 128;

/// Touches in a transaction that somebody waits for.
const TOUCHES_BESIDE: usize = 32;

/// Pages given back to the file system in one go, each second.
const PAGES_GIVEN_BACK: i64 = 256;

/// So many free pages, a quarter of the file too, are kept for what comes.
const FREE_PAGES_KEPT: i64 = 1024;

pub(super) struct Writer {
    pub connection: Connection,
    pub queue: Arc<Queue<Box<dyn Write>>>,
    pub touches: Arc<Touches>,
    pub health: Arc<Health>,
    pub count: Arc<AtomicUsize>,
    /// Whoever keeps copies.
    pub copies: Arc<OnceLock<Arc<dyn Copies>>>,
    pub watch: Watch,
    pub flush_interval: Duration,
}

/// A write of any kind, with whoever waits for it.
pub(super) trait Write: Send {
    /// Within a transaction.
    fn run(&mut self, transaction: &mut Transaction<'_>) -> Result<()>;

    /// After it: on the disk, or why not.
    fn answer(self: Box<Self>, end: std::result::Result<(), Error>);
}

/// One kind of [`Write`].
pub(super) struct Pending<T, F> {
    pub operation: Option<F>,
    pub outcome: Option<T>,
    pub answer: oneshot::Sender<std::result::Result<T, Error>>,
    /// Done even if nobody waits for it any more.
    pub anyway: bool,
}

impl<T: Send, F: Send + FnOnce(&mut Transaction<'_>) -> Result<T>> Write for Pending<T, F> {
    fn run(&mut self, transaction: &mut Transaction<'_>) -> Result<()> {
        // Whoever gave up has told the browser that it did not work: no session shall come of it.
        let wanted = self.anyway || !self.answer.is_closed();
        if let Some(operation) = self.operation.take().filter(|_| wanted) {
            self.outcome = Some(operation(transaction)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, end: std::result::Result<(), Error>) {
        let Self { outcome, answer, .. } = *self;
        // Past its deadline nobody listens.
        let _ = answer.send(end.and_then(|()| outcome.ok_or_else(|| unreachable("given up before its turn"))));
    }
}

impl Writer {
    /// Until the queue is closed and empty; then what was touched is written too.
    pub fn run(mut self) {
        let mut next_flush = Instant::now() + self.flush_interval;
        let mut touches = 0;
        loop {
            let patience = if touches > 0 { Duration::ZERO } else { next_flush - Instant::now().min(next_flush) };
            let Some(batch) = self.queue.take(WRITES, patience) else { break };
            if Instant::now() >= next_flush {
                next_flush = Instant::now() + self.flush_interval;
                touches = self.touches.pending();
                self.give_room_back();
            }
            if !batch.is_empty() || touches > 0 {
                touches = self.transact(batch, touches);
            }
        }
        let mut touches = self.touches.pending();
        while touches > 0 {
            touches = self.transact(Vec::new(), touches);
        }
    }

    /// One transaction with some of the touches that are due; returns how many are left, none when it failed.
    fn transact(&mut self, mut batch: Vec<Box<dyn Write>>, touches: usize) -> usize {
        let end = match self.health.failure() {
            Some(failure) => Err(failure.to_owned()),
            None => {
                let most = if batch.is_empty() { TOUCHES } else { TOUCHES_BESIDE };
                self.commit(&mut batch, touches.min(most))
            }
        };
        for write in batch {
            write.answer(end.as_ref().map(drop).map_err(|why| unreachable(why.clone())));
        }
        let Ok(written) = end else { return 0 };
        self.watch_log();
        touches.saturating_sub(written.max(1))
    }

    fn commit(&mut self, batch: &mut [Box<dyn Write>], touches: usize) -> std::result::Result<usize, String> {
        match self.try_commit(batch, touches) {
            Ok(written) => {
                self.touches.landed();
                Ok(written)
            }
            Err(error) => {
                if !self.connection.is_autocommit() {
                    // It may have rolled back by itself; if neither works, the next BEGIN says so.
                    let _ = self.connection.execute_batch("ROLLBACK");
                }
                self.touches.give_back();
                if health::is_disk_full(&error) {
                    // A log that can be started over has room.
                    self.watch.wake();
                }
                Err(self.health.of_write(&error))
            }
        }
    }

    /// Conflicts and absences are outcomes; any error of SQLite's (full, locked, broken) concerns all alike.
    fn try_commit(&mut self, batch: &mut [Box<dyn Write>], touches: usize) -> Result<usize> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut transaction = Transaction::new(&self.connection, &self.touches);
        for write in batch {
            write.run(&mut transaction)?;
        }
        let written = transaction.write_touches(touches)?;
        let Transaction { grown, written: keys, .. } = transaction;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        // Wraps around as a subtraction should.
        self.count.fetch_add(grown.cast_unsigned(), Ordering::Relaxed);
        if let Some(copies) = self.copies.get() {
            keys.into_iter().for_each(|key| copies.forget(key));
        }
        Ok(written)
    }

    fn watch_log(&mut self) {
        if let Err(error) = self.watch.look(&self.connection) {
            let error = self.health.of_write(&error);
            tracing::warn!(%error, "the disk store's log could not be started over");
        }
    }

    /// After a great sweep the file shrinks, a step each second. Fewer free pages are used again by themselves.
    fn give_room_back(&self) {
        if self.health.is_failed() {
            return;
        }
        if let Err(error) = shrink(&self.connection) {
            let error = self.health.of_write(&error);
            tracing::warn!(%error, "the disk store could not give room back");
        }
    }
}

fn shrink(connection: &Connection) -> Result<()> {
    let number = |pragma| connection.prepare_cached(pragma)?.query_row([], |row| row.get::<_, i64>(0));
    let (free, pages) = (number("PRAGMA freelist_count")?, number("PRAGMA page_count")?);
    if free < FREE_PAGES_KEPT || free * 4 < pages {
        return Ok(());
    }
    let mut vacuum = connection.prepare_cached(&format!("PRAGMA incremental_vacuum({PAGES_GIVEN_BACK})"))?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether an operation is carried out for a caller who has given up.
    fn is_done_for_nobody(anyway: bool) -> bool {
        let (answer, given_up) = oneshot::channel();
        drop(given_up);
        let mut write = Pending { operation: Some(|_: &mut Transaction<'_>| Ok(())), outcome: None, answer, anyway };
        let connection = Connection::open_in_memory().unwrap();
        let touches = Touches::default();
        write.run(&mut Transaction::new(&connection, &touches)).unwrap();
        write.outcome.is_some()
    }

    #[test]
    fn what_nobody_waits_for_is_not_done_unless_it_must_be() {
        assert_eq!([false, true].map(is_done_for_nobody), [false, true]);
    }
}
