//! A disk that is full, and one that does not keep what it is given: `strace` answers in its place.
//!
//! Existing sessions stay readable in both. A full disk passes; after a failed sync nothing is acknowledged any more.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use cloakroom::store::conformance::{entry, key};
use cloakroom::store::{DiskStore, Store};

use super::child::{self, Running};

/// A tracer that gives system calls of another process an error for an answer.
struct Fault(Child);

impl Fault {
    fn inject(into: &Running, calls: &str, error: &str) -> Self {
        let mut strace = Command::new("strace")
            .args(["-f", "-p", &into.id().to_string(), "-e", &format!("trace={calls}")])
            .args(["-e", &format!("inject={calls}:error={error}")])
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace is installed");
        let mut lines = BufReader::new(strace.stderr.take().unwrap()).lines();
        let attached = lines.by_ref().map_while(Result::ok).find(|line| line.contains("attached"));
        assert!(attached.is_some(), "strace could not attach");
        // It must not wait for somebody to read what it reports.
        std::thread::spawn(move || lines.count());
        Self(strace)
    }

    fn end(mut self) {
        // A signal that it handles: a killed tracer may take its child with it.
        Command::new("kill").arg(self.0.id().to_string()).status().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
#[ignore = "needs strace: tests/run installs it"]
fn a_full_disk_refuses_writes_keeps_sessions_and_passes_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let mut running = Running::start("disk_failures::child_does_as_it_is_told", directory.path());
    assert_eq!(running.ask("create 1"), "true");
    let fault = Fault::inject(&running, "pwrite64", "ENOSPC");
    for refused in ["create 2", "delete 1", "create 3"] {
        let answer = running.ask(refused);
        assert!(answer.contains("the disk is full"), "{refused}: {answer}");
    }
    assert_eq!(running.ask("load 1"), "true");
    fault.end();
    assert_eq!(running.ask("load 2"), "false");
    assert_eq!(running.ask("create 2"), "true");
    assert_eq!(running.ask("delete 1"), "true");
    drop(running);
    let kept = DiskStore::open(&cloakroom::store::disk::Options::new(directory.path())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(kept.count()).unwrap(), 1);
}

#[test]
#[ignore = "needs strace: tests/run installs it"]
fn after_a_failed_sync_nothing_is_acknowledged_until_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut running = Running::start("disk_failures::child_does_as_it_is_told", directory.path());
    assert_eq!(running.ask("create 1"), "true");
    let fault = Fault::inject(&running, "fsync,fdatasync", "EIO");
    let answer = running.ask("create 2");
    assert!(answer.contains("sync failed") && answer.contains("restart"), "{answer}");
    fault.end();
    // The disk says "done" again, and is not believed.
    for refused in ["create 3", "delete 1", "ping 0"] {
        let answer = running.ask(refused);
        assert!(answer.contains("sync failed"), "{refused}: {answer}");
    }
    assert_eq!(running.ask("load 1"), "true");
    assert_eq!(running.ask("load 2"), "false");
    drop(running);
    let mut again = Running::start("disk_failures::child_does_as_it_is_told", directory.path());
    assert_eq!(again.ask("load 1"), "true");
    assert_eq!(again.ask("create 3"), "true");
}

/// A role, see [`child`].
#[test]
#[ignore = "a role for a child process"]
fn child_does_as_it_is_told() {
    let Some(store) = child::store() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    loop {
        let order = child::order();
        let Some((verb, n)) = order.split_once(' ') else { return };
        let key = key(n.parse().unwrap());
        let answer = runtime.block_on(async {
            match verb {
                "create" => store.create(key, entry(None)).await,
                "delete" => store.delete(key).await.map(|gone| gone.is_some()),
                "load" => store.load(key).await.map(|found| found.is_some()),
                _ => store.ping().await.map(|()| true),
            }
        });
        child::say(&answer.map_or_else(|error| error.to_string(), |answer| answer.to_string()));
    }
}
