//! Which sealed cookies are not believed any more: sessions that ended, ids that were replaced, users signed out.
//!
//! For gateways whose sessions travel (`manager::traveling`): a cookie opens until its end, so what has ended before
//! must be remembered, across restarts (`file`). SECURITY: nothing is forgotten before its time. When there is too
//! much to remember, everybody's older ids end instead: who was away signs in once more, and nobody comes back.

mod file;
mod mark;

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;
use std::{fmt, io};

use tokio::sync::oneshot;

use self::file::{Journal, Line};
use self::mark::{Kept, Mark, UserHash};
use crate::clock::Timestamp;
use crate::store::{self, Handle};

/// So many marks at most: some 60 MB.
const MOST: usize = 500_000;

/// What is remembered, in memory and in a file.
pub struct Denials {
    memory: Arc<Memory>,
    journal: Journal,
    timeout: Duration,
}

#[derive(Debug, Default)]
struct Memory {
    marks: RwLock<Marks>,
    /// The latest moment anybody has told of: no id was given out after it.
    latest: AtomicU64,
    most: usize,
}

/// What is remembered. Each says: ids given out up to `at` are dead; it matters until `until`, when they all are.
#[derive(Debug, Default)]
struct Marks {
    sessions: HashMap<Handle, Span>,
    users: HashMap<UserHash, (Span, Option<Kept>)>,
    everyone: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    at: Timestamp,
    until: Timestamp,
}

impl Denials {
    /// Reads what is remembered at `path`, and goes on there. A mark counts as written after `timeout` at most, or
    /// has failed.
    ///
    /// # Errors
    /// When the file cannot be read, written or locked, or holds what we did not write: a mark that cannot be read
    /// would let a session come back.
    pub fn open(path: &Path, timeout: Duration) -> io::Result<Self> {
        Self::bounded(path, timeout, MOST)
    }

    fn bounded(path: &Path, timeout: Duration, most: usize) -> io::Result<Self> {
        let (file, read) = file::open(path)?;
        let latest = read.iter().map(|mark| mark.at().0).max().unwrap_or_default();
        let mut marks = Marks::default();
        read.into_iter().for_each(|mark| marks.add(mark));
        let memory = Arc::new(Memory { marks: RwLock::new(marks), latest: AtomicU64::new(latest), most });
        let of_the_writer = Arc::clone(&memory);
        let journal = Journal::start(file, Box::new(move || of_the_writer.snapshot()))?;
        Ok(Self { memory, journal, timeout })
    }

    /// It is at least as late as `now`.
    pub(super) fn saw(&self, now: Timestamp) {
        // PERF: mostly a read that all workers share.
        if self.latest() < now {
            self.memory.latest.fetch_max(now.0, Ordering::Relaxed);
        }
    }

    /// Whether an id of this session, given out at `issued`, is dead.
    #[must_use]
    pub(super) fn deny(&self, handle: Handle, user: Option<&str>, issued: Timestamp) -> bool {
        let marks = self.memory.read();
        let is_dead = |span: &Span| issued <= span.at;
        let is_kept = |kept: &Option<Kept>| kept.is_some_and(|kept| kept.handle == handle && issued >= kept.since);
        let of_user = || marks.users.get(&UserHash::of(user?)).map(|(span, kept)| is_dead(span) && !is_kept(kept));
        issued <= marks.everyone
            || marks.sessions.get(&handle).is_some_and(is_dead)
            || !marks.users.is_empty() && of_user().unwrap_or(false)
    }

    /// An id that `user` is given now is given out later than this.
    #[must_use]
    pub(super) fn not_before(&self, user: Option<&str>) -> Timestamp {
        let marks = self.memory.read();
        let own = user.and_then(|user| marks.users.get(&UserHash::of(user))).map_or(Timestamp(0), |(span, _)| span.at);
        own.max(marks.everyone)
    }

    /// The session has ended: none of its ids comes back before `until`, when all its cookies have ended. Returns
    /// when that is on the disk.
    ///
    /// # Errors
    /// When it could not be written: it holds until the process ends, and is tried again.
    pub(super) async fn end(&self, handle: Handle, until: Timestamp) -> Result<(), store::Error> {
        self.written(Mark::Session { handle, at: self.latest(), until }).await
    }

    /// The same for its ids up to `at` only, and without waiting for the disk.
    pub(super) fn supersede(&self, handle: Handle, at: Timestamp, until: Timestamp) {
        self.remember(Mark::Session { handle, at, until }, None);
    }

    /// All sessions of `user` have ended, but the one `kept` under an id given out at that moment or later; within
    /// `longest` all their cookies have. Returns when that is on the disk.
    ///
    /// # Errors
    /// As [`end`](Self::end).
    pub(super) async fn revoke(
        &self,
        user: &str,
        kept: Option<(Handle, Timestamp)>,
        longest: Duration,
    ) -> Result<(), store::Error> {
        // An id may have been given out right after the last time, by a clock that has not moved since.
        let after_the_last = Timestamp(self.not_before(Some(user)).0.saturating_add(1));
        let at = self.latest().max(after_the_last);
        let kept = kept.map(|(handle, since)| Kept { handle, since });
        self.written(Mark::User { user: UserHash::of(user), at, until: at.plus(longest), kept }).await
    }

    /// # Errors
    /// While what is to be remembered cannot be written.
    pub(super) fn ping(&self) -> Result<(), store::Error> {
        match self.journal.is_broken() {
            true => Err(unwritten("the last attempt failed")),
            false => Ok(()),
        }
    }

    async fn written(&self, mark: Mark) -> Result<(), store::Error> {
        let (done, answer) = oneshot::channel();
        self.remember(mark, Some(done));
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(Ok(true)) => Ok(()),
            Ok(_) => Err(unwritten("see the log")),
            Err(_) => Err(unwritten("the disk does not answer (store.timeout)")),
        }
    }

    fn remember(&self, mark: Mark, done: Option<oneshot::Sender<bool>>) {
        let mut marks = self.memory.marks.write().unwrap_or_else(PoisonError::into_inner);
        marks.add(mark.clone());
        if marks.len() > self.memory.most {
            marks.make_room(self.latest(), self.memory.most);
            self.journal.rewrite();
        }
        // Within the lock, so that lines stand in the file in the order in which they were added.
        self.journal.write(Line { mark, done });
    }

    /// The latest moment anybody has told of.
    #[must_use]
    pub(super) fn latest(&self) -> Timestamp {
        Timestamp(self.memory.latest.load(Ordering::Relaxed))
    }
}

impl Memory {
    fn read(&self) -> RwLockReadGuard<'_, Marks> {
        self.marks.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that still matters.
    fn snapshot(&self) -> Vec<Mark> {
        let mut marks = self.marks.write().unwrap_or_else(PoisonError::into_inner);
        marks.expire(Timestamp(self.latest.load(Ordering::Relaxed)));
        marks.all()
    }
}

impl Marks {
    /// However often the same mark comes, and in whatever order marks of one name do, the latest moment stays.
    fn add(&mut self, mark: Mark) {
        match mark {
            Mark::Session { handle, at, until } => {
                let span = self.sessions.entry(handle).or_insert(Span { at, until });
                *span = Span { at: span.at.max(at), until: span.until.max(until) };
            }
            Mark::User { user, at, until, kept } => {
                let known = self.users.entry(user).or_insert((Span { at, until }, kept));
                if at >= known.0.at {
                    *known = (Span { at, until: known.0.until.max(until) }, kept);
                }
            }
            Mark::Everyone { at } => self.everyone = self.everyone.max(at),
        }
    }

    fn len(&self) -> usize {
        self.sessions.len() + self.users.len()
    }

    fn expire(&mut self, now: Timestamp) {
        self.sessions.retain(|_, span| span.until > now);
        self.users.retain(|_, (span, _)| span.until > now);
    }

    /// What all cookies have outlived goes; if that is too little, the older half becomes one mark for everybody.
    fn make_room(&mut self, now: Timestamp, most: usize) {
        self.expire(now);
        if self.len() <= most / 2 {
            return;
        }
        let spans = self.sessions.values().chain(self.users.values().map(|(span, _)| span));
        let mut moments: Vec<Timestamp> = spans.map(|span| span.at).collect();
        let middle = moments.len() / 2;
        let (_, median, _) = moments.select_nth_unstable(middle);
        self.everyone = self.everyone.max(*median);
        let everyone = self.everyone;
        self.sessions.retain(|_, span| span.at > everyone);
        self.users.retain(|_, (span, _)| span.at > everyone);
        tracing::warn!(
            event = "denials_full",
            limit = most,
            not_before_seconds = everyone.unix_seconds(),
            "more sessions have ended than can be remembered: ids given out before this moment are dead"
        );
    }

    fn all(&self) -> Vec<Mark> {
        let everyone = std::iter::once(Mark::Everyone { at: self.everyone });
        let sessions = self.sessions.iter().map(|(&handle, &Span { at, until })| Mark::Session { handle, at, until });
        let users = self.users.iter().map(|(&user, &(Span { at, until }, kept))| Mark::User { user, at, until, kept });
        everyone.chain(sessions).chain(users).collect()
    }
}

impl fmt::Debug for Denials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Denials").field("marks", &self.memory.read().len()).finish_non_exhaustive()
    }
}

fn unwritten(why: &'static str) -> store::Error {
    store::Error::Unreachable(Cow::Owned(format!("the end of a session could not be written to data_dir: {why}")))
}

#[cfg(test)]
mod tests;
