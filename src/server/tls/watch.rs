//! Notices that a certificate or key file was replaced.
//!
//! One thread per certificate. It is told by the system (`notify`) and looks for itself each second as
//! well, since network and container file systems often tell nothing.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use super::Tls;
use crate::config::schema;

const POLL: Duration = Duration::from_secs(1);
/// Certificate and key are rarely written at once: wait until the directory is this quiet.
const QUIET: Duration = Duration::from_millis(100);

/// Starts the thread; it ends soon after `tls` is dropped.
pub(super) fn start(tls: &Arc<Tls>) {
    let (weak, files) = (Arc::downgrade(tls), tls.files.clone());
    // Taken here: a change after `load` and before the thread runs must count as one.
    let seen = Stamps::of(&files);
    let spawned = std::thread::Builder::new().name("tls-watch".into()).spawn(move || watch(&weak, &files, seen));
    if let Err(error) = spawned {
        tracing::error!(%error, "certificate files are not watched; a restart is needed to change them");
    }
}

fn watch(tls: &Weak<Tls>, files: &schema::Tls, mut seen: Stamps) {
    let (sender, events) = channel();
    // The watcher holds the sender: without one, only the poll is left.
    let watcher = directory_watcher(files, sender.clone());
    if let Err(error) = &watcher {
        tracing::debug!(%error, "no change events for the certificate files; looking each second");
    }
    while let Some(()) = wait(&events) {
        let Some(tls) = tls.upgrade() else { return };
        let now = Stamps::of(files);
        if now != seen {
            seen = now;
            tls.reload();
        }
    }
}

/// Returns after a change has settled, or after [`POLL`].
fn wait(events: &Receiver<()>) -> Option<()> {
    match events.recv_timeout(POLL) {
        Ok(()) => {
            // A bounded wait: a directory that never rests must not keep the new certificate out.
            for _ in 0..10 {
                if events.recv_timeout(QUIET).is_err() {
                    break;
                }
                while events.try_recv().is_ok() {}
            }
            Some(())
        }
        Err(RecvTimeoutError::Timeout) => Some(()),
        Err(RecvTimeoutError::Disconnected) => None,
    }
}

/// Watches the directories, not the files: replacing a file by a rename or a link is the usual way.
fn directory_watcher(files: &schema::Tls, changed: Sender<()>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Our own reading of the files must not look like a change.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            let _ = changed.send(());
        }
    })?;
    let (one, two) = (directory(&files.certificate), directory(&files.key));
    watcher.watch(one, RecursiveMode::NonRecursive)?;
    if one != two {
        watcher.watch(two, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

fn directory(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What changes when a file is written, replaced, or reached through another link.
#[derive(Debug, PartialEq, Eq)]
struct Stamps([Option<[i64; 4]>; 2]);

impl Stamps {
    fn of(files: &schema::Tls) -> Self {
        Self([stamp(&files.certificate), stamp(&files.key)])
    }
}

fn stamp(path: &Path) -> Option<[i64; 4]> {
    let file = fs::metadata(path).ok()?;
    Some([file.mtime(), file.mtime_nsec(), file.ino().cast_signed(), file.size().cast_signed()])
}
