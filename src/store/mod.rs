//! Where sessions are kept: keys, bytes and a small envelope. Every session rule stands above.
//!
//! Only `session::manager` calls a [`Store`]. An implementation knows nothing of cookies, users' rights or
//! expiry policy; it promises the contract written at each method, and `store::conformance` tests it.
//!
//! - *Absent* and *unreachable* are different answers: `Ok(None)` and `Err(Error)`.
//! - An update never inserts, so it can never revive a deleted session.

mod bytes;
mod cached;
pub mod conformance;
pub mod disk;
mod entry;
mod handle;
mod memory;
pub mod postgres;
pub mod redis;
pub mod timed;
pub mod transfer;

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

pub use cached::CachedStore;
pub use disk::DiskStore;
pub use entry::{Entry, Handle, Key, Meta};
pub use handle::NotAHandle;
pub use memory::MemoryStore;
pub use postgres::PostgresStore;
pub use redis::RedisStore;

use crate::clock::Timestamp;

/// Why a store could not answer. Never means "no such session".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store holds `max_sessions`, and none of them may be evicted.
    #[error("the session store is full: raise store.max_sessions or shorten session.absolute_timeout")]
    Full,
    /// The store does not answer.
    #[error("the session store is unreachable: {0}")]
    Unreachable(Cow<'static, str>),
}

/// What became of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Updated {
    /// Written.
    Done,
    /// Somebody else wrote since the version that was read: load and apply again.
    Conflict,
    /// The session is gone.
    Absent,
}

/// An answer that is there at once (memory, cache) or later. A ready one costs no allocation and never suspends.
pub enum Reply<'a, T> {
    /// Here it is.
    Now(Result<T, Error>),
    /// It takes I/O.
    Later(Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>),
}

/// Where a walk over all entries goes on. Only the store that made it can read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub Box<[u8]>);

/// A stretch of such a walk.
#[derive(Debug)]
pub struct Page {
    /// In the store's own order.
    pub entries: Vec<(Key, Arc<Entry>)>,
    /// Where the next one begins; `None` after the last.
    pub next: Option<Cursor>,
}

/// Copies of entries that somebody keeps near, and that a store shared by several gateways must keep right.
pub trait Copies: Send + Sync {
    /// Somebody wrote or deleted this entry: no copy read before this call may be used after it.
    fn forget(&self, key: Key);

    /// Whether the store can tell what others do. While it cannot, no copy may be used, and none that was read.
    fn trust(&self, told: bool);
}

/// Keeps sessions by key.
pub trait Store: Send + Sync + 'static {
    /// Inserts if absent; `false` when the key is taken, which then stays as it was.
    fn create(&self, key: Key, entry: Entry) -> Reply<'_, bool>;

    /// The latest version. Expired entries may be returned: expiry is judged above.
    fn load(&self, key: Key) -> Reply<'_, Option<Arc<Entry>>>;

    /// The same, but never a copy that is kept near: asked before something is ended for what a copy says.
    fn load_latest(&self, key: Key) -> Reply<'_, Option<Arc<Entry>>> {
        self.load(key)
    }

    /// Replaces the version `seen`; [`Updated::Absent`] when there is nothing to replace. The deadline is the new
    /// entry's, also if it comes sooner; "last seen" never goes back.
    fn update(&self, key: Key, seen: u64, entry: Entry) -> Reply<'_, Updated>;

    /// Moves "last seen" and the sweep deadline forward, never back; data and version stay as they are.
    fn touch(&self, key: Key, last_seen: Timestamp, deadline: Timestamp) -> Reply<'_, ()>;

    /// Deletes, and returns the version that was deleted, which may be later than one that was read; `None` when
    /// there was nothing. No write that began earlier may bring it back.
    fn delete(&self, key: Key) -> Reply<'_, Option<Arc<Entry>>>;

    /// All sessions of a user; aliases are none.
    fn list_by_user<'a>(&'a self, user: &'a str) -> Reply<'a, Vec<(Key, Arc<Entry>)>>;

    /// Entries from `from` on (`None`: the first ones), about `limit` of them, aliases and the expired ones among
    /// them. A walk returns at least once what was there all the while. A cursor that is none of its own is an
    /// empty page.
    fn page<'a>(&'a self, from: Option<&'a Cursor>, limit: usize) -> Reply<'a, Page>;

    /// How many entries are kept, aliases and the expired ones not yet swept among them.
    fn count(&self) -> Reply<'_, usize>;

    /// Deletes up to `limit` entries whose deadline has passed, and returns them. Fewer than `limit`: there are no
    /// more.
    fn sweep(&self, now: Timestamp, limit: usize) -> Reply<'_, Vec<Arc<Entry>>>;

    /// Tells `copies` from now on of every write, whoever makes it. `update` and `delete` are not answered before
    /// every gateway that can still be reached has forgotten its copy; this one has also when nobody waits for the
    /// answer any more.
    fn attach(&self, copies: Arc<dyn Copies>) {
        copies.trust(true);
    }

    /// Whether the store can be reached.
    fn ping(&self) -> Reply<'_, ()>;
}

impl<T: Unpin> Future for Reply<'_, T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Now(answer) => {
                // Polled again after it was ready: a caller's mistake, answered rather than panicked about.
                let again = Err(Error::Unreachable(Cow::Borrowed("asked twice for one answer")));
                Poll::Ready(std::mem::replace(answer, again))
            }
            Self::Later(future) => future.as_mut().poll(cx),
        }
    }
}

impl<T> From<T> for Reply<'_, T> {
    fn from(answer: T) -> Self {
        Self::Now(Ok(answer))
    }
}
