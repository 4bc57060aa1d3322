//! Moves what the log (`-wal`) holds into the table's file, on a thread of its own, so that no commit waits for it.
//!
//! SQLite starts the log over by itself when all of it has been moved and nobody reads it. Under an unbroken stream
//! of writes that moment never comes: then the storage thread, between two commits, moves the short rest.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};

use rusqlite::{Connection, Result};

use super::health::Health;

/// Pages in the log that are worth moving: 8 MiB.
const MANY: i64 = 2048;

/// A log so long (64 MiB) is not waited for any more.
const TOO_MANY: i64 = 16_384;

/// What the log file may keep when it is started over. To write into a file that is already so long costs less than
/// to make it longer.
pub(super) const KEPT_BYTES: i64 = 32 << 20;

/// Looks after each commit how long the log has become.
pub(super) struct Watch {
    thread: SyncSender<()>,
    /// As long as that the log must be before another attempt to start it over.
    next_attempt: i64,
}

/// How many pages are in the log, and how many of them in the file too.
struct Log {
    pages: i64,
    moved: i64,
}

impl Watch {
    pub fn new(thread: SyncSender<()>) -> Self {
        Self { thread, next_attempt: TOO_MANY }
    }

    /// To be called between two transactions.
    pub fn look(&mut self, connection: &Connection) -> Result<()> {
        let log = Log::after(connection, "NOOP")?;
        if log.pages < TOO_MANY {
            self.next_attempt = TOO_MANY;
        }
        if log.pages >= self.next_attempt && (log.pages - log.moved < MANY || log.pages >= 4 * TOO_MANY) {
            // Readers that are still at it, or an operator's shell: not now, and not at every commit again.
            Log::after(connection, "RESTART")?;
            self.next_attempt = log.pages + MANY;
        } else if log.pages - log.moved >= MANY {
            self.wake();
        }
        Ok(())
    }

    /// Has the thread look whether there is anything to do.
    pub fn wake(&self) {
        match self.thread.try_send(()) {
            // It is at it, or has ended after a failure that was told.
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        }
    }
}

/// The thread: until the storage thread has ended; the last one leaves an empty log.
pub(super) fn run(connection: &Connection, wanted: &Receiver<()>, health: &Arc<Health>) {
    while wanted.recv().is_ok() {
        checkpoint(connection, "PASSIVE", health);
    }
    checkpoint(connection, "TRUNCATE", health);
}

fn checkpoint(connection: &Connection, mode: &str, health: &Health) {
    // SECURITY: after a failed sync the log is all there is; it must not be given up.
    if health.is_failed() {
        return;
    }
    if let Err(error) = Log::after(connection, mode) {
        let error = health.of_write(&error);
        tracing::warn!(%error, "the disk store's log could not be moved into its file");
    }
}

impl Log {
    fn after(connection: &Connection, mode: &str) -> Result<Self> {
        let mut pragma = connection.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?;
        pragma.query_row([], |row| Ok(Self { pages: row.get(1)?, moved: row.get(2)? }))
    }
}
