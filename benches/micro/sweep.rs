//! How long a reader waits while expired sessions are swept, and what a load costs when nothing else runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cloakroom::clock::Timestamp;
use cloakroom::store::{Error, MemoryStore, Store};

use crate::SESSIONS;
use crate::sessions::{Maker, filled, key, mixed, now};

/// One of ten has expired.
const EXPIRED: u64 = 10;
/// As the gateway asks for at once.
const BATCH: usize = 1000;
const NOW: Timestamp = Timestamp(1000);

/// What a reader saw.
#[derive(Default)]
struct Loads {
    count: u32,
    longest: Duration,
    all: Duration,
}

/// Loads of random keys on one thread.
pub fn print_loads(quick: bool) {
    let count = if quick { 1_000_000 } else { 10_000_000 };
    match store() {
        Ok(store) => {
            let keys: Vec<_> = (0..count).map(|n| key(mixed(n) % SESSIONS)).collect();
            let start = Instant::now();
            let found = keys.into_iter().filter(|key| now(store.load(*key)).is_ok_and(|entry| entry.is_some())).count();
            println!("{:5} ns per load, {found} found", start.elapsed().as_nanos() / u128::from(count));
        }
        Err(error) => println!("{error}"),
    }
}

/// A reader loads random keys, first alone (what the machine itself does to it), then beside a sweep.
pub fn print_pause(quick: bool) {
    let alone = if quick { Duration::from_secs(1) } else { Duration::from_secs(5) };
    match store().and_then(|store| sweep_beside_reader(&store, alone)) {
        Ok(row) => println!("{row}"),
        Err(error) => println!("{error}"),
    }
}

fn store() -> Result<MemoryStore, Error> {
    let deadline = |n| if n % EXPIRED == 0 { NOW } else { Timestamp(u64::MAX) };
    filled(&Maker::new(100, 50), SESSIONS, deadline)
}

fn sweep_beside_reader(store: &MemoryStore, alone: Duration) -> Result<String, Error> {
    let start = Instant::now();
    let idle = read_until(store, || start.elapsed() >= alone);
    let swept = AtomicBool::new(false);
    let (beside, sweep) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| read_until(store, || swept.load(Ordering::Relaxed)));
        let sweep = sweep_all(store);
        swept.store(true, Ordering::Relaxed);
        (reader.join().unwrap_or_default(), sweep)
    });
    let (count, took) = sweep?;
    let Loads { count: loads, longest, all } = beside;
    Ok(format!(
        "{longest:8.1?} of {loads} loads ({:.0?} each), beside the sweep of {count} in {took:.0?}; alone {:.1?}",
        all.checked_div(loads).unwrap_or_default(),
        idle.longest,
    ))
}

fn sweep_all(store: &MemoryStore) -> Result<(usize, Duration), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|error| Error::Unreachable(error.to_string().into()))?;
    let (start, mut count) = (Instant::now(), 0);
    runtime.block_on(async {
        loop {
            let swept = store.sweep(NOW, BATCH).await?.len();
            count += swept;
            if swept < BATCH {
                return Ok((count, start.elapsed()));
            }
        }
    })
}

fn read_until(store: &MemoryStore, done: impl Fn() -> bool) -> Loads {
    let mut loads = Loads::default();
    while !done() {
        let key = key(mixed(loads.count.into()) % SESSIONS);
        let start = Instant::now();
        let found = now(store.load(key));
        let took = start.elapsed();
        drop(found);
        loads = Loads { count: loads.count + 1, longest: loads.longest.max(took), all: loads.all + took };
    }
    loads
}
