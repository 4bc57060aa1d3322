//! A disk that is full, and one that does not keep what it is given: `strace` answers in its place.
//!
//! Existing sessions stay readable in both. A full disk passes; after a failed sync nothing is acknowledged any more.

use cloakroom::store::conformance::{entry, key};
use cloakroom::store::disk::Options;
use cloakroom::store::{DiskStore, Store};

use super::child::{self, Running};

const ROLE: &str = "disk_failures::child_does_as_it_is_told";

#[test]
#[ignore = "needs strace: tests/run installs it"]
fn a_full_disk_refuses_writes_keeps_sessions_and_passes_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    // Each attempt on a full disk ends at its first call: some dozens of attempts.
    let mut running = Running::start_with_fault(ROLE, directory.path(), "pwrite64:error=ENOSPC:when=100..150");
    let (created, answer) = create_until_refused(&mut running);
    assert!(answer.contains("the disk is full"), "{answer}");
    let answer = running.ask("delete 0");
    assert!(answer.contains("the disk is full"), "{answer}");
    assert_eq!(["load 0", "ping 0"].map(|order| running.ask(order)), ["true"; 2]);
    let attempts = (0..100).position(|_| running.ask(&format!("create {created}")) == "true");
    assert!(attempts.is_some_and(|attempts| attempts > 0), "{attempts:?}");
    assert_eq!(running.ask("delete 0"), "true");
    running.end();
    let kept = DiskStore::open(&Options::new(directory.path())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(kept.count()).unwrap(), created);
}

#[test]
#[ignore = "needs strace: tests/run installs it"]
fn after_one_failed_sync_nothing_is_acknowledged_until_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    // The disk says "done" again at once, and is not believed.
    let mut running = Running::start_with_fault(ROLE, directory.path(), "fsync,fdatasync:error=EIO:when=40");
    let (created, answer) = create_until_refused(&mut running);
    assert!(answer.contains("sync failed") && answer.contains("restart"), "{answer}");
    for refused in ["create 1000", "delete 0", "ping 0"] {
        let answer = running.ask(refused);
        assert!(answer.contains("sync failed"), "{refused}: {answer}");
    }
    assert_eq!(running.ask("load 0"), "true");
    assert_eq!(running.ask(&format!("load {created}")), "false");
    running.end();
    let mut again = Running::start(ROLE, directory.path());
    for n in 0..created {
        assert_eq!(again.ask(&format!("load {n}")), "true");
    }
    assert_eq!(again.ask("create 1000"), "true");
}

/// How many, and what the refusal said.
fn create_until_refused(running: &mut Running) -> (usize, String) {
    let mut answers = (0..1000).map(|n| running.ask(&format!("create {n}"))).enumerate();
    let refused = answers.find(|(_, answer)| answer != "true").expect("no fault in a thousand calls");
    assert!(refused.0 > 0, "{}", refused.1);
    refused
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
