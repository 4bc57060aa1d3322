//! The file behind `denials`: lines added at its end, written anew when most of them no longer matter.
//!
//! One thread writes, so that no worker waits for a disk: what comes while it writes is written together next
//! time. After a failure all is written anew, as nobody knows what the disk has kept of a failed write.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;

use super::mark::Mark;

const HEADER: &str = "cloakroom-denials 1\n";

/// So many lines may come to those that a file was written with, and as many again.
const FEW: usize = 10_000;

/// So often, and so long apart, the gateway before this one is given time to let go of the file.
const TRIES: usize = 60;
const PATIENCE: Duration = Duration::from_millis(50);

/// How long after a failure all is tried again.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A line to be written.
pub(super) struct Line {
    pub mark: Mark,
    /// Told whether it is on the disk; without it nobody waits for that.
    pub done: Option<oneshot::Sender<bool>>,
}

/// The locked file.
pub(super) struct Opened {
    path: PathBuf,
    file: File,
}

/// The way to the thread that writes.
pub(super) struct Journal {
    queue: Option<Sender<Order>>,
    is_broken: Arc<AtomicBool>,
    writer: Option<JoinHandle<()>>,
}

enum Order {
    Write(Line),
    Rewrite,
}

struct Writer {
    opened: Opened,
    snapshot: Box<dyn Fn() -> Vec<Mark> + Send>,
    is_broken: Arc<AtomicBool>,
    /// Lines in the file, and how many there may be.
    lines: usize,
    most: usize,
}

/// Locks the file at `path`, made if there is none, and reads it.
///
/// # Errors
/// When another gateway holds it, and as `super::Denials::open`.
pub(super) fn open(path: &Path) -> io::Result<(Opened, Vec<Mark>)> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let mut file = lock(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let marks = read(&bytes)?;
    let mut opened = Opened { path: path.to_owned(), file };
    // Whatever a crash has left at its end goes.
    opened.rewrite(&marks)?;
    Ok((opened, marks))
}

fn lock(path: &Path) -> io::Result<File> {
    for _ in 0..TRIES {
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        match file.try_lock() {
            // It may have been replaced before we had it.
            Ok(()) if fs::metadata(path).is_ok_and(|now| file.metadata().is_ok_and(|own| own.ino() == now.ino())) => {
                return Ok(file);
            }
            Ok(()) | Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        #[expect(clippy::disallowed_methods, reason = "before there is any worker")]
        thread::sleep(PATIENCE);
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, "another gateway is using it; each needs a data_dir of its own"))
}

fn read(bytes: &[u8]) -> io::Result<Vec<Mark>> {
    let unreadable = |place: usize| {
        let message = format!(
            "line {place} is not ours: put back a copy of the file, or delete it and change session.keys, since sessions that were ended could come back otherwise"
        );
        io::Error::new(io::ErrorKind::InvalidData, message)
    };
    // What has no end was being written when the process ended: nobody was told that it is kept.
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    let Some(lines) = bytes[..end].strip_prefix(HEADER.as_bytes()) else {
        let is_new = HEADER.as_bytes().starts_with(bytes) || bytes.iter().all(|byte| *byte == 0);
        return if is_new { Ok(Vec::new()) } else { Err(unreadable(1)) };
    };
    let mut marks = Vec::new();
    for (place, line) in lines.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        match std::str::from_utf8(line).ok().and_then(|line| line.parse().ok()) {
            Some(mark) => marks.push(mark),
            // A block that was never written, after the power went: the same as a line without an end.
            None if line.contains(&0) => {}
            None => return Err(unreadable(place + 2)),
        }
    }
    Ok(marks)
}

impl Opened {
    /// Replaces the file, and its lock, as a whole.
    fn rewrite(&mut self, marks: &[Mark]) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.try_lock()?;
        let mut text = String::from(HEADER);
        for mark in marks {
            text.push_str(&mark.to_string());
            text.push('\n');
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        self.file = file;
        match self.path.parent() {
            Some(directory) => File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    }
}

impl Journal {
    /// Starts the thread. `snapshot` is all that is remembered.
    pub fn start(opened: Opened, snapshot: Box<dyn Fn() -> Vec<Mark> + Send>) -> io::Result<Self> {
        let (queue, orders) = mpsc::channel();
        let is_broken = Arc::new(AtomicBool::new(false));
        let mut writer = Writer { opened, snapshot, is_broken: Arc::clone(&is_broken), lines: 0, most: FEW };
        let writer = thread::Builder::new().name("denials".into()).spawn(move || writer.run(&orders))?;
        Ok(Self { queue: Some(queue), is_broken, writer: Some(writer) })
    }

    /// Adds a line. It may be in the file twice, never not at all.
    pub fn write(&self, line: Line) {
        self.order(Order::Write(line));
    }

    /// Writes all anew.
    pub fn rewrite(&self) {
        self.order(Order::Rewrite);
    }

    /// Whether the last attempt to write has failed.
    pub fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
    }

    fn order(&self, order: Order) {
        // Should the thread be gone, the sender of the answer is dropped with the order, which is an answer too.
        let _ = self.queue.as_ref().map(|queue| queue.send(order));
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        drop(self.queue.take());
        if self.writer.take().is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the thread that writes denials panicked");
        }
    }
}

impl Writer {
    fn run(&mut self, orders: &Receiver<Order>) {
        loop {
            let first = match self.is_broken.load(Ordering::Relaxed) {
                false => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
                true => orders.recv_timeout(TRY_AGAIN_AFTER),
            };
            match first {
                Ok(first) => self.carry_out(std::iter::once(first).chain(orders.try_iter()).collect()),
                Err(RecvTimeoutError::Timeout) => self.carry_out(vec![Order::Rewrite]),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn carry_out(&mut self, orders: Vec<Order>) {
        let was_broken = self.is_broken.load(Ordering::Relaxed);
        let is_asked_to = orders.iter().any(|order| matches!(order, Order::Rewrite));
        let lines: Vec<Line> = orders.into_iter().filter_map(Order::line).collect();
        let written = match was_broken || is_asked_to || self.lines + lines.len() > self.most {
            true => self.rewrite(),
            false => self.append(&lines),
        };
        if let Err(error) = &written {
            tracing::error!(%error, path = %self.opened.path.display(), "the end of sessions could not be written");
        }
        self.is_broken.store(written.is_err(), Ordering::Relaxed);
        for done in lines.into_iter().filter_map(|line| line.done) {
            // Who asked may have given up.
            let _ = done.send(written.is_ok());
        }
    }

    /// The lines are among what is remembered.
    fn rewrite(&mut self) -> io::Result<()> {
        let marks = (self.snapshot)();
        self.opened.rewrite(&marks)?;
        self.lines = marks.len();
        self.most = 2 * marks.len() + FEW;
        Ok(())
    }

    fn append(&mut self, lines: &[Line]) -> io::Result<()> {
        let text: String = lines.iter().map(|line| format!("{}\n", line.mark)).collect();
        self.opened.file.write_all(text.as_bytes())?;
        self.lines += lines.len();
        match lines.iter().any(|line| line.done.is_some()) {
            true => self.opened.file.sync_data(),
            false => Ok(()),
        }
    }
}

impl Order {
    fn line(self) -> Option<Line> {
        match self {
            Self::Write(line) => Some(line),
            Self::Rewrite => None,
        }
    }
}
