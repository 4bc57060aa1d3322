//! Sessions in a file: embedded SQLite, durable, for one gateway process.
//!
//! A write is acknowledged when it is on the disk; touches are written about once a second, and a crash loses no more
//! than those. All I/O happens on threads of the store's own: `writer` commits, `reader`s read, `checkpoint` moves
//! the log into the file. Callers wait for an answer, up to their deadline.

mod checkpoint;
mod file;
mod health;
mod queue;
mod reader;
mod row;
mod touches;
mod transaction;
mod writer;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::oneshot;

use self::checkpoint::Watch;
pub use self::file::OpenError;
use self::file::Place;
use self::health::{Health, unreachable};
use self::queue::Queue;
use self::reader::{Read, Reader};
use self::touches::{Touch, Touches};
use self::transaction::Transaction;
use self::writer::{Pending, Write, Writer};
use super::{Copies, Cursor, Entry, Error, Key, Page, Reply, Store, Updated};
use crate::clock::Timestamp;

/// One may list a user's sessions while the others load.
const READERS: usize = 2;

/// Deleted in one transaction of a sweep: others' writes come in between.
const SWEPT_AT_ONCE: usize = 64;

/// Where and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Made if absent. The file in it is `sessions.sqlite3`.
    pub directory: PathBuf,
    /// How often touches are written, and how much of them a crash may lose.
    pub flush_interval: Duration,
    /// How long a caller waits for an answer.
    pub timeout: Duration,
}

impl Options {
    /// The usual ones: a second, and a quarter of one.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into();
        Self { directory, flush_interval: Duration::from_secs(1), timeout: Duration::from_millis(250) }
    }
}

/// Answers need a tokio runtime with its timer. Dropping it blocks until all that was asked for is on the disk.
pub struct DiskStore {
    writes: Arc<Queue<Box<dyn Write>>>,
    reads: Arc<Queue<Read>>,
    touches: Arc<Touches>,
    health: Arc<Health>,
    count: Arc<AtomicUsize>,
    copies: Arc<OnceLock<Arc<dyn Copies>>>,
    timeout: Duration,
    threads: Vec<JoinHandle<()>>,
    /// Dropped last: the lock goes when nobody uses the file any more.
    place: Place,
}

impl DiskStore {
    /// Opens the store, or makes one.
    ///
    /// # Errors
    /// When another process has it, and when it is anything but a sound store of this version or an earlier one.
    pub fn open(options: &Options) -> Result<Self, OpenError> {
        let place = Place::open(&options.directory)?;
        let (connection, count) = place.writer()?;
        let mut store = Self {
            writes: Arc::new(Queue::new()),
            reads: Arc::new(Queue::new()),
            touches: Arc::default(),
            health: Arc::new(Health::of(place.file.clone())),
            count: Arc::new(AtomicUsize::new(count)),
            copies: Arc::default(),
            timeout: options.timeout,
            threads: Vec::new(),
            place,
        };
        for _ in 0..READERS {
            store.start_reader()?;
        }
        store.start_writer(connection, options.flush_interval)?;
        Ok(store)
    }

    /// Writes what has been touched now, as a backup or a measurement may want it.
    pub fn flush(&self) -> Reply<'_, ()> {
        self.write(true, |transaction| transaction.write_touches(usize::MAX).map(drop))
    }

    /// How many entries were touched and are not written yet; a measurement waits until there are none.
    #[must_use]
    pub fn unwritten(&self) -> usize {
        self.touches.unwritten()
    }

    fn start_reader(&mut self) -> Result<(), OpenError> {
        let reader = Reader { connection: self.place.reader()?, touches: Arc::clone(&self.touches) };
        let queue = Arc::clone(&self.reads);
        self.start("store-read", move || reader.run(&queue))
    }

    fn start_writer(&mut self, connection: Connection, flush_interval: Duration) -> Result<(), OpenError> {
        let (wake, wanted) = sync_channel(1);
        let (checkpointer, health) = (self.place.checkpointer()?, Arc::clone(&self.health));
        let writer = Writer {
            connection,
            queue: Arc::clone(&self.writes),
            touches: Arc::clone(&self.touches),
            health: Arc::clone(&self.health),
            count: Arc::clone(&self.count),
            copies: Arc::clone(&self.copies),
            watch: Watch::new(wake),
            flush_interval,
        };
        self.start("store-checkpoint", move || checkpoint::run(&checkpointer, &wanted, &health))?;
        self.start("store-write", move || writer.run())
    }

    fn start(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), OpenError> {
        self.threads.push(thread::Builder::new().name(name.to_owned()).spawn(run).map_err(OpenError::Thread)?);
        Ok(())
    }

    /// Has the storage thread run `operation` in its next transaction: `anyway`, or only while somebody waits for it.
    fn write<T: Send + 'static>(
        &self,
        anyway: bool,
        operation: impl FnOnce(&mut Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Reply<'_, T> {
        let (answer, answered) = oneshot::channel();
        let write = Pending { operation: Some(operation), outcome: None, answer, anyway };
        let queued = self.writes.push(Box::new(write));
        self.reply(queued, answered)
    }

    fn read<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Reader) -> rusqlite::Result<T> + Send + 'static,
    ) -> Reply<'_, T> {
        let (answer, answered) = oneshot::channel();
        let health = Arc::clone(&self.health);
        let read = move |reader: &Reader| {
            if !answer.is_closed() {
                // Past its deadline nobody listens.
                let _ = answer.send(operation(reader).map_err(|error| health.of_read(&error)));
            }
        };
        let queued = self.reads.push(Box::new(read));
        self.reply(queued, answered)
    }

    fn reply<T: Send + 'static>(&self, queued: bool, answered: oneshot::Receiver<Result<T, Error>>) -> Reply<'_, T> {
        if !queued {
            return Reply::Now(Err(unreachable(format!("{}: too much waits for the disk", self.place.file.display()))));
        }
        Reply::Later(Box::pin(async move {
            let why = match tokio::time::timeout(self.timeout, answered).await {
                Ok(Ok(answer)) => return answer,
                Ok(Err(_)) => "its storage thread has ended",
                Err(_) => "the disk does not answer in time",
            };
            Err(unreachable(format!("{}: {why}", self.place.file.display())))
        }))
    }

    async fn sweep_expired(&self, now: Timestamp, limit: usize) -> Result<Vec<Arc<Entry>>, Error> {
        let mut entries = Vec::new();
        while entries.len() < limit {
            let most = SWEPT_AT_ONCE.min(limit - entries.len());
            match self.write(false, move |transaction| transaction.sweep(now, most)).await {
                Ok(mut swept) => {
                    entries.append(&mut swept.entries);
                    if !swept.more {
                        break;
                    }
                }
                // Those that are gone are told; the next sweep meets the rest, or the error.
                Err(_) if !entries.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(entries)
    }
}

impl Store for DiskStore {
    fn create(&self, key: Key, entry: Entry) -> Reply<'_, bool> {
        self.write(false, move |transaction| transaction.create(key, &entry))
    }

    fn load(&self, key: Key) -> Reply<'_, Option<Arc<Entry>>> {
        self.read(move |reader| reader.load(key))
    }

    fn update(&self, key: Key, seen: u64, entry: Entry) -> Reply<'_, Updated> {
        self.write(false, move |transaction| transaction.update(key, seen, &entry))
    }

    fn touch(&self, key: Key, last_seen: Timestamp, deadline: Timestamp) -> Reply<'_, ()> {
        self.touches.add(key, Touch { last_seen, deadline });
        ().into()
    }

    /// Also when the caller has given up: somebody wanted this session to end.
    fn delete(&self, key: Key) -> Reply<'_, Option<Arc<Entry>>> {
        self.write(true, move |transaction| transaction.delete(key))
    }

    fn list_by_user<'a>(&'a self, user: &'a str) -> Reply<'a, Vec<(Key, Arc<Entry>)>> {
        let user = user.to_owned();
        self.read(move |reader| reader.list_by_user(&user))
    }

    fn page<'a>(&'a self, from: Option<&'a Cursor>, limit: usize) -> Reply<'a, Page> {
        let from = from.cloned();
        self.read(move |reader| reader.page(from.as_ref(), limit))
    }

    fn count(&self) -> Reply<'_, usize> {
        self.count.load(Ordering::Relaxed).into()
    }

    fn sweep(&self, now: Timestamp, limit: usize) -> Reply<'_, Vec<Arc<Entry>>> {
        Reply::Later(Box::pin(self.sweep_expired(now, limit)))
    }

    /// Nobody else writes here. The storage thread tells, so that a write whose caller has gone is told too.
    fn attach(&self, copies: Arc<dyn Copies>) {
        if self.copies.set(Arc::clone(&copies)).is_ok() {
            copies.trust(true);
        }
    }

    /// Takes its turn among the writes: a disk that hangs, or that has failed for writing, is told here. A full one is
    /// not: who is signed in stays so.
    fn ping(&self) -> Reply<'_, ()> {
        self.write(false, |_| Ok(()))
    }
}

impl Drop for DiskStore {
    fn drop(&mut self) {
        self.reads.close();
        self.writes.close();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!(file = %self.place.file.display(), "a thread of the disk store has panicked");
            }
        }
    }
}

impl fmt::Debug for DiskStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskStore").field("file", &self.place.file).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
