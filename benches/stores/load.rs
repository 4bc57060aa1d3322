//! The rows for one store: creates, reads, touches, sweeps, each with its longest wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cloakroom::clock::Timestamp;
use cloakroom::store::conformance::{key, meta};
use cloakroom::store::{Entry, Error, Store};

/// How long a rate is measured.
const WINDOW: Duration = Duration::from_secs(4);

/// Of a record; it does not compress, and need not.
const DATA: usize = 300;

/// As the gateway sweeps.
const SWEEP_BATCH: usize = 1000;

/// One of ten has expired when the sweep comes.
const EXPIRES: u64 = 10;
const NOW: Timestamp = Timestamp(1000);

/// Numbers from here on are nobody's.
const ABSENT: u64 = 1 << 50;

/// Prints all rows; `size` is what the store takes on the disk.
pub async fn print(store: &Arc<dyn Store>, sessions: u64, size: impl Fn() -> u64) -> Result<(), Error> {
    let numbers = Arc::new(AtomicU64::new(0));
    for parallel in [1, 16, 256] {
        let waits =
            for_a_while(parallel, || create(Arc::clone(store), numbers.fetch_add(1, Ordering::Relaxed))).await?;
        println!("  create    {}, {parallel} at once", rate(waits));
    }
    let start = Instant::now();
    let filled = numbers.load(Ordering::Relaxed);
    until(512, &numbers, sessions, |n| create(Arc::clone(store), n)).await?;
    println!("  fill      {:8.0} /s", sessions.saturating_sub(filled) as f64 / start.elapsed().as_secs_f64());
    let per_session = |bytes: u64| bytes / sessions.max(filled);
    println!("  size      {:8} B per session", per_session(size()));
    reads(store, sessions.max(filled)).await?;
    let start = Instant::now();
    for n in 0..2 * sessions {
        // The session and the time vary; the deadline moves in the index, too.
        let n = n.wrapping_mul(0x9e37_79b9) % sessions;
        if !n.is_multiple_of(EXPIRES) {
            store.touch(key(n), Timestamp(n), Timestamp(u64::MAX - 1)).await?;
        }
        // As many in a second as a busy gateway has.
        if n.is_multiple_of(64) {
            tokio::task::yield_now().await;
        }
    }
    println!("  touch     {:8.0} /s accepted", 2.0 * sessions as f64 / start.elapsed().as_secs_f64());
    let start = Instant::now();
    // A write waits for the touches before it, or goes between two batches of them.
    let waits = for_a_while(16, || create(Arc::clone(store), numbers.fetch_add(1, Ordering::Relaxed))).await?;
    println!("  create    {}, 16 at once, beside the writing of touches ({:.0?})", rate(waits), start.elapsed());
    println!("  size      {:8} B per session", per_session(size()));
    sweep(store, sessions).await
}

async fn reads(store: &Arc<dyn Store>, sessions: u64) -> Result<(), Error> {
    let numbers = AtomicU64::new(0);
    for (what, from) in [("hit", 0), ("miss", ABSENT)] {
        for parallel in [1, 16] {
            let waits = for_a_while(parallel, || {
                let n = numbers.fetch_add(7919, Ordering::Relaxed) % sessions;
                load(Arc::clone(store), from + n)
            })
            .await?;
            println!("  {what:9} {}, {parallel} at once", rate(waits));
        }
    }
    Ok(())
}

/// Beside one reader, who waits how long?
async fn sweep(store: &Arc<dyn Store>, sessions: u64) -> Result<(), Error> {
    let sweeping = {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let (start, mut swept) = (Instant::now(), 0);
            loop {
                let batch = store.sweep(NOW, SWEEP_BATCH).await?.len();
                swept += batch;
                if batch < SWEEP_BATCH {
                    return Ok((swept, start.elapsed()));
                }
                tokio::task::yield_now().await;
            }
        })
    };
    let mut waits = Vec::new();
    while !sweeping.is_finished() {
        let start = Instant::now();
        load(Arc::clone(store), waits.len() as u64 * 7919 % sessions).await?;
        waits.push(start.elapsed());
        tokio::task::yield_now().await;
    }
    let (swept, took) = sweeping.await.map_err(|error| Error::Unreachable(error.to_string().into()))??;
    println!("  sweep     {swept} in {took:.1?}; a reader beside it: {}", rate((waits, took)));
    Ok(())
}

async fn create(store: Arc<dyn Store>, n: u64) -> Result<(), Error> {
    let deadline = if n.is_multiple_of(EXPIRES) { NOW } else { Timestamp(u64::MAX - 1) };
    let user = format!("user{n:07}");
    let data = (0..DATA as u64).map(|at| (n.wrapping_mul(at | 1) >> 8) as u8).collect();
    store.create(key(n), Entry::new(meta(Some(&user)), data, Timestamp(0), deadline)).await.map(drop)
}

async fn load(store: Arc<dyn Store>, n: u64) -> Result<(), Error> {
    store.load(key(n)).await.map(drop)
}

/// Each of so many asks again as soon as it was answered.
async fn for_a_while<F: Future<Output = Result<(), Error>> + Send + 'static>(
    parallel: usize,
    ask: impl Fn() -> F,
) -> Result<(Vec<Duration>, Duration), Error> {
    let (start, mut waits) = (Instant::now(), Vec::new());
    let timed = |asked: F| async move {
        let start = Instant::now();
        asked.await.map(|()| start.elapsed())
    };
    let mut asking: tokio::task::JoinSet<_> = (0..parallel).map(|_| timed(ask())).collect();
    while let Some(answer) = asking.join_next().await {
        waits.push(answer.map_err(|error| Error::Unreachable(error.to_string().into()))??);
        if start.elapsed() < WINDOW {
            asking.spawn(timed(ask()));
        }
    }
    Ok((waits, start.elapsed()))
}

/// Asks for each number below `end` that is left.
async fn until<F: Future<Output = Result<(), Error>> + Send + 'static>(
    parallel: usize,
    numbers: &AtomicU64,
    end: u64,
    ask: impl Fn(u64) -> F,
) -> Result<(), Error> {
    let next = || Some(numbers.fetch_add(1, Ordering::Relaxed)).filter(|n| *n < end).map(&ask);
    let mut asking: tokio::task::JoinSet<_> = (0..parallel).filter_map(|_| next()).collect();
    while let Some(answer) = asking.join_next().await {
        answer.map_err(|error| Error::Unreachable(error.to_string().into()))??;
        if let Some(further) = next() {
            asking.spawn(further);
        }
    }
    Ok(())
}

fn rate((mut waits, took): (Vec<Duration>, Duration)) -> String {
    waits.sort_unstable();
    let at = |share: usize| waits.get(waits.len().saturating_sub(1) * share / 100).copied().unwrap_or_default();
    let per_second = waits.len() as f64 / took.as_secs_f64();
    format!("{per_second:8.0} /s; waits p50 {:.2?}, p99 {:.2?}, longest {:.2?}", at(50), at(99), at(100))
}
