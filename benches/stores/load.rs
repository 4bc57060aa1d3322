//! What is asked of one subject, in order, and what is counted: creates, reads, touches, a sweep, an opening.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use cloakroom::clock::{Clock as _, SteadyClock, Timestamp};
use cloakroom::store::conformance::{key, meta};
use cloakroom::store::{Entry, Store};
use tokio::task::JoinSet;

use crate::subject::{Answer, Ask, Ours, Subject};
use crate::table::Column;

/// Of a record; it does not compress, and need not.
const DATA: usize = 300;

/// As the gateway sweeps.
const SWEEP_BATCH: usize = 1000;

/// One of ten has expired when the sweep comes.
const EXPIRES: u64 = 10;

const DAY: Duration = Duration::from_secs(86_400);

/// Numbers from here on are nobody's.
const ABSENT: u64 = 1 << 50;

/// How much of everything.
#[derive(Clone, Copy)]
pub struct Size {
    sessions: u64,
    /// How long a rate is measured.
    window: Duration,
}

impl Size {
    pub const WHOLE: Self = Self { sessions: 1_000_000, window: Duration::from_secs(5) };
    pub const QUICK: Self = Self { sessions: 50_000, window: Duration::from_secs(1) };

    /// What the table is about.
    pub fn description(self) -> String {
        format!(
            "{} sessions with records of {DATA} bytes; each touched twice; one of {EXPIRES} swept, in batches of \
             {SWEEP_BATCH}; rates over {:?}.",
            self.sessions, self.window
        )
    }
}

struct Run {
    ask: Arc<dyn Ask>,
    size: Size,
    /// The moment at which it began: deadlines are before or after it.
    now: Timestamp,
    /// The next number that nobody has.
    next: Arc<AtomicU64>,
}

/// Fills a column. Whatever the subject keeps on the disk is its directory's to remove.
pub async fn run(subject: Subject, size: Size, column: &mut Column) -> anyhow::Result<()> {
    let Subject { ask, store } = subject;
    let run = Run { ask, size, now: SteadyClock::start().now(), next: Arc::default() };
    run.creates(column).await?;
    match store {
        Some(ours) => run.of_ours(ours, column).await,
        None => run.reads(column).await,
    }
}

impl Run {
    async fn creates(&self, column: &mut Column) -> anyhow::Result<()> {
        // A server may still be starting.
        while self.ask.load(key(ABSENT)).await.is_err() {
            ensure!(SteadyClock::start().now().since(self.now) < Duration::from_secs(30), "it does not answer");
        }
        for parallel in [1, 16, 256] {
            let waits = for_a_while(self.size.window, parallel, || self.create(self.taken())).await?;
            column.add(format!("creates/s, {parallel} at once (p99)"), waits.rate());
        }
        Ok(())
    }

    async fn of_ours(self, ours: Ours, column: &mut Column) -> anyhow::Result<()> {
        let filling = Instant::now();
        let first = self.next.load(Ordering::Relaxed);
        self.fill().await?;
        let filled = self.size.sessions.saturating_sub(first);
        if filled > 0 {
            column.add("creates/s while it was filled", thousands(filled as f64 / filling.elapsed().as_secs_f64()));
        }
        let sessions = self.next.load(Ordering::Relaxed).max(self.size.sessions);
        let per_session = |ours: &Ours| (ours.bytes)().map_or("–".to_owned(), |bytes| (bytes / sessions).to_string());
        column.add("bytes per session on disk", per_session(&ours));
        self.reads(column).await?;
        self.touches(&ours, column).await?;
        column.add("bytes per session, each touched twice", per_session(&ours));
        self.sweep(&ours.store, column).await?;
        self.open(ours, column).await
    }

    async fn fill(&self) -> anyhow::Result<()> {
        let next = || Some(self.taken()).filter(|n| *n < self.size.sessions).map(|n| self.create(n));
        let mut asking: JoinSet<_> = (0..256).filter_map(|_| next()).collect();
        while let Some(answer) = asking.join_next().await {
            answer??;
            if let Some(further) = next() {
                asking.spawn(further);
            }
        }
        Ok(())
    }

    async fn reads(&self, column: &mut Column) -> anyhow::Result<()> {
        let (count, numbers) = (self.next.load(Ordering::Relaxed).max(1), AtomicU64::new(0));
        for (what, from) in [("hits", 0), ("misses", ABSENT)] {
            for parallel in [1, 16] {
                let load = || self.ask.load(key(from + numbers.fetch_add(7919, Ordering::Relaxed) % count));
                let waits = for_a_while(self.size.window, parallel, load).await?;
                column.add(format!("reads/s, {what}, {parallel} at once (p99)"), waits.rate());
            }
        }
        Ok(())
    }

    /// Twice over all that live, in no order, as they come. Over when they are written, not when they are accepted.
    async fn touches(&self, ours: &Ours, column: &mut Column) -> anyhow::Result<()> {
        let (start, sessions) = (Instant::now(), self.size.sessions);
        let mut asking = JoinSet::new();
        for n in 0..2 * sessions {
            let number = n.wrapping_mul(0x9e37_79b9) % sessions;
            if number.is_multiple_of(EXPIRES) {
                continue;
            }
            let (store, seen) = (Arc::clone(&ours.store), Timestamp(self.now.0 + n));
            asking.spawn(async move { store.touch(key(number), seen, seen.plus(DAY)).await });
            if asking.len() >= 256 {
                asking.join_next().await.transpose()?.transpose()?;
            }
        }
        while let Some(answer) = asking.join_next().await {
            answer??;
        }
        if (ours.unwritten)() > 0 {
            let waits = for_a_while(self.size.window, 16, || self.create(self.taken())).await?;
            column.add("creates/s beside such a backlog, 16 at once (p99)", waits.rate());
        }
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while (ours.unwritten)() > 0 {
            ticks.tick().await;
        }
        column.add("touches/s, until written", thousands(2.0 * sessions as f64 / start.elapsed().as_secs_f64()));
        Ok(())
    }

    /// One reader, first alone (what the machine itself does to it), then beside the sweep.
    async fn sweep(&self, store: &Arc<dyn Store>, column: &mut Column) -> anyhow::Result<()> {
        let start = Instant::now();
        let alone = self.read_until(|| start.elapsed() >= self.size.window).await?;
        column.add("longest read of one reader alone (p99)", alone.pauses());
        let sweeping = tokio::spawn(sweep_all(Arc::clone(store), self.now));
        let beside = self.read_until(|| sweeping.is_finished()).await?;
        let (swept, took) = sweeping.await??;
        column.add("longest read beside the sweep (p99)", beside.pauses());
        column.add("sweep", format!("{} in {took:.1?}", thousands(swept as f64)));
        Ok(())
    }

    async fn read_until(&self, is_over: impl Fn() -> bool) -> anyhow::Result<Waits> {
        let (start, mut waits, count) = (Instant::now(), Vec::new(), self.size.sessions);
        while !is_over() {
            let asked = Instant::now();
            self.ask.load(key(waits.len() as u64 * 7919 % count)).await?;
            waits.push(asked.elapsed());
            tokio::task::yield_now().await;
        }
        Ok(Waits::of(waits, start.elapsed()))
    }

    /// As a gateway starts: until the first session was read.
    async fn open(self, ours: Ours, column: &mut Column) -> anyhow::Result<()> {
        let Ours { store, again, bytes, .. } = ours;
        let kept = bytes().is_some();
        drop((self.ask, store));
        if kept {
            let start = Instant::now();
            let store = again()?;
            ensure!(store.load(key(1)).await?.is_some(), "a session is gone");
            column.add("opened, until the first read", format!("{:.1?}", start.elapsed()));
        }
        Ok(())
    }

    fn taken(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn create(&self, n: u64) -> Answer {
        let created = self.now.0.saturating_sub(DAY.as_millis() as u64 / 2);
        let deadline = if n.is_multiple_of(EXPIRES) { self.now.0 - 1 - n % 60_000 } else { self.now.0 + n % 60_000 };
        let deadline = if n.is_multiple_of(EXPIRES) { Timestamp(deadline) } else { Timestamp(deadline).plus(DAY / 2) };
        let user = format!("user{n:07}");
        let data = (0..DATA as u64).map(|at| (n.wrapping_mul(at | 1) >> 8) as u8).collect();
        self.ask.create(key(n), Entry::new(meta(Some(&user)), data, Timestamp(created), deadline))
    }
}

/// A batch at a time, as the gateway does it.
async fn sweep_all(store: Arc<dyn Store>, now: Timestamp) -> anyhow::Result<(usize, Duration)> {
    let (start, mut swept) = (Instant::now(), 0);
    loop {
        let batch = store.sweep(now, SWEEP_BATCH).await?.len();
        swept += batch;
        if batch < SWEEP_BATCH {
            return Ok((swept, start.elapsed()));
        }
        tokio::task::yield_now().await;
    }
}

/// Each of so many asks again as soon as it was answered.
async fn for_a_while(window: Duration, parallel: usize, ask: impl Fn() -> Answer) -> anyhow::Result<Waits> {
    let (start, mut waits) = (Instant::now(), Vec::new());
    let timed = |asked: Answer| async move {
        let start = Instant::now();
        asked.await.map(|_| start.elapsed())
    };
    let mut asking: JoinSet<_> = (0..parallel).map(|_| timed(ask())).collect();
    while let Some(answer) = asking.join_next().await {
        waits.push(answer??);
        if start.elapsed() < window {
            asking.spawn(timed(ask()));
        }
    }
    Ok(Waits::of(waits, start.elapsed()))
}

/// How long each had to wait, in order of length.
struct Waits {
    sorted: Vec<Duration>,
    took: Duration,
}

impl Waits {
    fn of(mut waits: Vec<Duration>, took: Duration) -> Self {
        waits.sort_unstable();
        Self { sorted: waits, took }
    }

    fn rate(&self) -> String {
        let per_second = thousands(self.sorted.len() as f64 / self.took.as_secs_f64());
        format!("{per_second} ({})", millis(self.at(99)))
    }

    fn pauses(&self) -> String {
        format!("{} ({})", millis(self.at(100)), millis(self.at(99)))
    }

    fn at(&self, percent: usize) -> Duration {
        let last = self.sorted.len().saturating_sub(1);
        self.sorted.get(last * percent / 100).copied().unwrap_or_default()
    }
}

fn millis(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1000.0;
    if millis < 10.0 { format!("{millis:.2} ms") } else { format!("{millis:.0} ms") }
}

/// `12,345`.
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
