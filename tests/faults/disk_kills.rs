//! `kill -9` under load: what was acknowledged is there afterwards, what was deleted is gone, the file is sound.
//!
//! The page cache outlives the process, so this shows the order of acknowledgements and the recovery, not the disk.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use cloakroom::clock::Timestamp;
use cloakroom::store::conformance::{key, meta};
use cloakroom::store::disk::Options;
use cloakroom::store::{DiskStore, Entry, Store, Updated};
use rand::RngExt as _;

use super::child::{self, Running};

/// A file of its own for so many kills: each look through the whole of it stays short.
const KILLS_PER_FILE: usize = 20;

/// Sessions whose number is from here on have expired when they begin, and are swept.
const EXPIRED: u64 = 1 << 40;

/// What is known of a session from what the child has said.
#[derive(Default)]
struct Known {
    /// Acknowledged.
    version: u64,
    /// May be gone, must be gone.
    asked_to_delete: bool,
    deleted: bool,
}

#[test]
fn a_kill_at_any_moment_loses_nothing_that_was_acknowledged() {
    let kills: usize = std::env::var("CLOAKROOM_KILLS").map_or(50, |kills| kills.parse().unwrap());
    let mut random = rand::rng();
    let (mut checked, mut slowest) = (0, Duration::ZERO);
    let mut place = (tempfile::tempdir().unwrap(), HashMap::new());
    for kill in 0..kills {
        if kill % KILLS_PER_FILE == 0 {
            place = (tempfile::tempdir().unwrap(), HashMap::new());
        }
        let (directory, known) = (place.0.path(), &mut place.1);
        let first = 1_000_000 * kill as u64;
        killed_after(Duration::from_millis(random.random_range(1..400)), directory, first, known);
        let began = Instant::now();
        let store = open(directory);
        slowest = slowest.max(began.elapsed());
        checked += check(&store, known);
        drop(store);
        assert_eq!(integrity(directory), "ok", "after kill {}", kill + 1);
    }
    println!("{kills} kills, {checked} acknowledged sessions looked up, none lost; slowest start {slowest:?}");
    assert!(checked > kills, "the child did next to nothing");
}

/// One life of a child, and what it said in it.
fn killed_after(delay: Duration, directory: &Path, first: u64, known: &mut HashMap<u64, Known>) {
    let mut running = Running::start("disk_kills::child_writes_until_killed", directory);
    assert_eq!(running.ask(&first.to_string()), "begins");
    // Nobody sends: this waits, and never longer.
    let (_open, never) = mpsc::channel::<()>();
    let _ = never.recv_timeout(delay);
    for line in running.kill() {
        note(&line, known);
    }
}

fn note(line: &str, known: &mut HashMap<u64, Known>) {
    let mut words = line.split(' ');
    let (verb, n) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
    let session: &mut Known = known.entry(n).or_default();
    match verb {
        "created" => session.version = 1,
        "updated" => session.version = words.next().unwrap().parse().unwrap(),
        "deletes" => session.asked_to_delete = true,
        "deleted" => session.deleted = true,
        other => panic!("{other}"),
    }
}

/// Looks everything up; returns how many.
fn check(store: &DiskStore, known: &HashMap<u64, Known>) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for (n, known) in known {
            let found = store.load(key(*n)).await.unwrap();
            match found {
                _ if known.deleted => assert!(found.is_none(), "{n} was deleted, and is back"),
                Some(found) => assert!(
                    found.version() >= known.version && *found.bytes() == data(*n, found.version()),
                    "{n} has version {}, {} was acknowledged",
                    found.version(),
                    known.version
                ),
                None => assert!(known.asked_to_delete, "{n} was acknowledged, and is lost"),
            }
        }
    });
    known.len()
}

fn integrity(directory: &Path) -> String {
    let file = rusqlite::Connection::open(directory.join("sessions.sqlite3")).unwrap();
    file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap()
}

fn open(directory: &Path) -> DiskStore {
    DiskStore::open(&Options { timeout: Duration::from_secs(30), ..Options::new(directory) }).unwrap()
}

/// As long as records are, and another for each version.
fn data(n: u64, version: u64) -> Vec<u8> {
    format!("{n} {version} ").into_bytes().into_iter().cycle().take(300 + n as usize % 700).collect()
}

fn session(n: u64, version: u64) -> Entry {
    let deadline = if n < EXPIRED { u64::MAX } else { 0 };
    Entry::new(meta(Some("ann")), data(n, version).into(), Timestamp(0), Timestamp(deadline))
}

/// Signs in and out in sixteen places at once, sweeps and touches, and says so: a role, see [`child`].
#[test]
#[ignore = "a role for a child process"]
fn child_writes_until_killed() {
    let Some(store) = child::store() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let numbers = Arc::new(AtomicU64::new(child::order().parse().unwrap()));
    let store = Arc::new(store);
    child::say("begins");
    runtime.block_on(async {
        for _ in 0..16 {
            tokio::spawn(write_for_ever(Arc::clone(&store), Arc::clone(&numbers)));
        }
        loop {
            store.sweep(Timestamp(1), 1000).await.unwrap();
        }
    });
}

async fn write_for_ever(store: Arc<DiskStore>, numbers: Arc<AtomicU64>) {
    loop {
        let n = numbers.fetch_add(1, Ordering::Relaxed);
        store.create(key(EXPIRED + n), session(EXPIRED + n, 1)).await.unwrap();
        assert!(store.create(key(n), session(n, 1)).await.unwrap());
        child::say(&format!("created {n}"));
        store.touch(key(n), Timestamp(n), Timestamp(n)).await.unwrap();
        if n.is_multiple_of(3) {
            assert_eq!(store.update(key(n), 1, session(n, 2)).await.unwrap(), Updated::Done);
            child::say(&format!("updated {n} 2"));
        }
        if n.is_multiple_of(2) {
            child::say(&format!("deletes {n}"));
            assert!(store.delete(key(n)).await.unwrap().is_some());
            child::say(&format!("deleted {n}"));
        }
    }
}
