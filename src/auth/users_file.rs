//! Follows the users file: a change is in force within about a second, however it was made.
//!
//! Started once by `app`. It watches the *directory*, because editors and configuration tools replace files by
//! renaming and Kubernetes swaps a symbolic link; and it looks at the file once a second besides, because network
//! and overlay file systems often announce nothing. A broken file never empties the table.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::users::Users;

/// A writer gets this long to finish what it began.
const SETTLE: Duration = Duration::from_millis(100);
/// But a file that is written without end is read all the same.
const SETTLE_AT_MOST: Duration = Duration::from_millis(700);
const POLL: Duration = Duration::from_secs(1);

/// Ends the watching when it is dropped.
#[derive(Debug)]
pub struct Watch {
    stop: Sender<Signal>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.stop.send(Signal::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Debug)]
enum Signal {
    Changed,
    Stop,
}

/// Watches the file of `users`, if there is one, on a thread of its own. After each reading that succeeded,
/// `on_change` gets the canonical names that vanished or became disabled, most often none.
///
/// # Errors
/// When the thread cannot be started. Where the system offers no file events, the look once a second remains.
pub fn watch(users: Arc<Users>, on_change: impl Fn(Vec<String>) + Send + 'static) -> std::io::Result<Watch> {
    let (stop, signals) = mpsc::channel();
    let Some(file) = users.file().map(Path::to_path_buf) else { return Ok(Watch { stop, thread: None }) };
    let events = subscribe(&file, stop.clone());
    let follow = move || {
        // Dropping it ends the events.
        let _events = events;
        follow(&users, &file, &signals, &on_change);
    };
    let thread = thread::Builder::new().name("users-file".into()).spawn(follow)?;
    Ok(Watch { stop, thread: Some(thread) })
}

fn subscribe(file: &Path, signals: Sender<Signal>) -> Option<RecommendedWatcher> {
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let handler = move |event: notify::Result<Event>| {
        if event.is_ok_and(|event| is_change(event.kind)) {
            let _ = signals.send(Signal::Changed);
        }
    };
    let started = notify::recommended_watcher(handler).and_then(|mut watcher| {
        watcher.watch(&directory, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    let warn = |error: &notify::Error| {
        tracing::warn!(%error, directory = %directory.display(), "no file events here; the users file is polled");
    };
    started.inspect_err(warn).ok()
}

/// Reading the file is an event too, and our own reading must not call for another.
fn is_change(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

fn follow(users: &Users, file: &Path, signals: &Receiver<Signal>, on_change: &impl Fn(Vec<String>)) {
    // Unknown at first, so that a change between the first reading and now is not missed.
    let mut seen = None;
    let mut wait = Duration::ZERO;
    loop {
        match signals.recv_timeout(wait) {
            Ok(Signal::Changed) | Err(RecvTimeoutError::Timeout) => {}
            Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return,
        }
        wait = POLL;
        if seen == Some(Fingerprint::of(file)) {
            continue;
        }
        if !settle(signals) {
            return;
        }
        // Taken before the reading: what is written during it differs, and is read next.
        seen = Some(Fingerprint::of(file));
        reload(users, on_change);
    }
}

/// Waits until no change is announced for a moment; false when it is time to stop.
fn settle(signals: &Receiver<Signal>) -> bool {
    let began = Instant::now();
    while began.elapsed() < SETTLE_AT_MOST {
        match signals.recv_timeout(SETTLE) {
            Ok(Signal::Changed) => {}
            Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => break,
        }
    }
    true
}

fn reload(users: &Users, on_change: &impl Fn(Vec<String>)) {
    match users.reload() {
        Ok(gone) => on_change(gone),
        Err(error) => tracing::error!(%error, "the users file was not taken over; the previous users stay"),
    }
}

/// What tells one state of the file from another, without reading it; the file behind a symbolic link counts.
#[derive(Debug, PartialEq, Eq)]
struct Fingerprint(Option<(Option<SystemTime>, u64, u64)>);

impl Fingerprint {
    fn of(file: &Path) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self(fs::metadata(file).ok().map(|metadata| (metadata.modified().ok(), metadata.len(), metadata.ino())))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::super::users::tests::one_name_per_line;
    use super::*;
    use crate::config::schema::Form;

    struct Watched {
        users: Arc<Users>,
        gone: Receiver<Vec<String>>,
        _watch: Watch,
    }

    impl Watched {
        fn new(file: &Path) -> Self {
            let form = Form { users_file: Some(file.to_path_buf()), ..Form::default() };
            let users = Arc::new(Users::from_config(&form, one_name_per_line).unwrap());
            let (sender, gone) = mpsc::channel();
            let watch = watch(Arc::clone(&users), move |names| drop(sender.send(names))).unwrap();
            let watched = Self { users, gone, _watch: watch };
            assert_eq!(watched.next(), Vec::<String>::new(), "the first look finds what was read before");
            watched
        }

        /// Waits for the event itself, not for time to pass.
        fn next(&self) -> Vec<String> {
            self.gone.recv_timeout(Duration::from_secs(10)).expect("the change is seen")
        }
    }

    fn directory_with(text: &str) -> (TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("users");
        fs::write(&file, text).unwrap();
        (dir, file)
    }

    #[test]
    fn a_file_written_in_place_is_read_again() {
        let (_dir, file) = directory_with("alice\nbob");
        let watched = Watched::new(&file);
        fs::write(&file, "alice").unwrap();
        assert_eq!(watched.next(), ["bob"]);
    }

    #[test]
    fn a_file_replaced_by_renaming_is_read_again() {
        let (dir, file) = directory_with("alice\nbob");
        let watched = Watched::new(&file);
        for (text, gone) in [("alice", "bob"), ("carol", "alice")] {
            fs::write(dir.path().join("new"), text).unwrap();
            fs::rename(dir.path().join("new"), &file).unwrap();
            assert_eq!(watched.next(), [gone]);
        }
    }

    #[test]
    fn a_swapped_symbolic_link_is_noticed_as_kubernetes_swaps_it() {
        let (dir, _) = directory_with("");
        let at = |name: &str| dir.path().join(name);
        for (version, text) in [("v1", "alice\nbob"), ("v2", "bob")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("list"), text).unwrap();
        }
        symlink("v1", at("..data")).unwrap();
        symlink("..data/list", at("list")).unwrap();
        let watched = Watched::new(&at("list"));
        symlink("v2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        assert_eq!(watched.next(), ["alice"]);
    }

    #[test]
    fn a_broken_or_missing_file_keeps_the_users_until_it_is_whole_again() {
        let (_dir, file) = directory_with("alice\nbob");
        let watched = Watched::new(&file);
        fs::write(&file, "?").unwrap();
        assert!(watched.gone.recv_timeout(Duration::from_millis(400)).is_err());
        fs::remove_file(&file).unwrap();
        assert!(watched.gone.recv_timeout(Duration::from_millis(400)).is_err());
        assert!(watched.users.proof("alice").is_some() && watched.users.proof("bob").is_some());
        fs::write(&file, "alice\n!bob").unwrap();
        assert_eq!(watched.next(), ["bob"]);
    }

    #[test]
    fn reading_is_not_a_change_but_the_end_of_writing_is() {
        assert!(!is_change(EventKind::Access(AccessKind::Open(AccessMode::Any))));
        assert!(!is_change(EventKind::Access(AccessKind::Read)));
        assert!(is_change(EventKind::Access(AccessKind::Close(AccessMode::Write))));
        assert!(is_change(EventKind::Modify(notify::event::ModifyKind::Any)));
    }

    #[test]
    fn without_a_file_there_is_nothing_to_watch() {
        let users = Arc::new(Users::from_config(&Form::default(), one_name_per_line).unwrap());
        assert!(watch(users, |_| unreachable!()).unwrap().thread.is_none());
    }
}
