//! What browsers do all the while servers fail: sessions that are read and changed, others that begin and end. Each
//! worker owns its sessions and remembers what was acknowledged, so that it can be asked for afterwards.

use std::sync::atomic::AtomicBool;

use super::*;

const WORKERS: u64 = 4;

/// Sessions of each worker that nobody ends.
const LASTING: u64 = 32;

/// The user of those.
const USER: &str = "ann";

pub(super) struct Load {
    store: Arc<RedisStore>,
    ends: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    workers: Vec<JoinHandle<Seen>>,
}

/// What one worker was told.
#[derive(Default)]
struct Seen {
    worker: u64,
    /// Of each lasting session, the last count that was acknowledged.
    counts: HashMap<u64, u64>,
    begun: Vec<u64>,
    ended: Vec<u64>,
    /// Begun, and unknown when it was to be ended.
    lost: u64,
    refused: u64,
}

impl Load {
    /// The lasting sessions are in the store when it returns; `run` begins.
    pub(super) async fn prepare(store: Arc<RedisStore>) -> Self {
        for worker in 0..WORKERS {
            for n in 0..LASTING {
                assert!(store.create(id(worker, n), lasting(Some(USER), b"0")).await.unwrap());
            }
        }
        Self { store, ends: Arc::default(), answered: Arc::default(), workers: Vec::new() }
    }

    pub(super) fn run(&mut self) {
        self.workers = (0..WORKERS).map(|worker| tokio::spawn(self.work(worker))).collect();
    }

    fn work(&self, worker: u64) -> impl Future<Output = Seen> + Send + use<> {
        let (store, ends, answered) = (self.store.clone(), self.ends.clone(), self.answered.clone());
        async move {
            let mut seen = Seen { worker, ..Seen::default() };
            for n in 0.. {
                if ends.load(Ordering::Relaxed) {
                    break;
                }
                match seen.step(&store, n).await {
                    Ok(()) => answered.fetch_add(1, Ordering::Relaxed),
                    Err(Error::Unreachable(_)) => {
                        seen.refused += 1;
                        // As a breaker does that answers at once.
                        sleep(Duration::from_millis(2)).await;
                        0
                    }
                    Err(error) => panic!("{error}"),
                };
            }
            seen
        }
    }

    /// Waits until some hundred more steps have succeeded.
    pub(super) async fn goes_on(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        eventually("the load goes on", async || {
            assert!(!self.workers.iter().any(JoinHandle::is_finished), "a worker has failed");
            self.answered.load(Ordering::Relaxed) > before + 400
        })
        .await;
    }

    /// Every session that nobody ended is there, none that was ended is, whoever asks: `fresh` knows nothing of it.
    pub(super) async fn ends(self, fresh: &RedisStore) {
        self.ends.store(true, Ordering::Relaxed);
        let (mut refused, mut lost, mut begun, mut ended, mut counts, mut behind) = (0, 0, 0, 0, 0, 0);
        for worker in self.workers {
            let seen = worker.await.unwrap();
            for n in 0..LASTING {
                let entry = fresh.load(id(seen.worker, n)).await.unwrap().expect("nobody is signed out");
                let acknowledged = seen.counts.get(&n).copied().unwrap_or_default();
                behind += acknowledged.saturating_sub(count(&entry));
                counts += acknowledged;
            }
            for n in &seen.ended {
                assert!(fresh.load(id(seen.worker, *n)).await.unwrap().is_none(), "a session that was ended lives");
            }
            for n in &seen.begun {
                lost += u64::from(fresh.load(id(seen.worker, *n)).await.unwrap().is_none());
            }
            (refused, lost) = (refused + seen.refused, lost + seen.lost);
            (begun, ended) = (begun + seen.begun.len() + seen.ended.len(), ended + seen.ended.len());
        }
        println!(
            "{begun} begun and {lost} of them lost, {ended} ended, {counts} changes and {behind} of them lost, \
             {refused} refused"
        );
        assert!(counts > 100 && ended > 100, "{counts} changes, {ended} ended");
        // What the last moment before each failover may cost, and no more.
        assert!(lost + behind < 50, "{lost} beginnings and {behind} changes were acknowledged and lost");
    }
}

impl Seen {
    /// A session is read and changed, another one begins, an older one ends, and is asked for.
    async fn step(&mut self, store: &RedisStore, n: u64) -> Result<(), Error> {
        let lasting_one = n % LASTING;
        let key = id(self.worker, lasting_one);
        let read = store.load(key).await?.expect("an unreachable session is not an absent one");
        let next = count(&read) + 1;
        match store.update(key, read.version(), lasting(Some(USER), next.to_string().as_bytes())).await? {
            Updated::Done => drop(self.counts.insert(lasting_one, next)),
            // An update that was refused was done all the same, or one that was read died with its master.
            Updated::Conflict => {}
            Updated::Absent => panic!("an unreachable session is not an absent one"),
        }
        let begun = LASTING + n;
        assert!(store.create(id(self.worker, begun), entry(None)).await?, "nobody else draws this id");
        self.begun.push(begun);
        if self.begun.len() > 8 {
            let ending = self.begun.remove(0);
            self.lost += u64::from(store.delete(id(self.worker, ending)).await?.is_none());
            self.ended.push(ending);
        }
        Ok(())
    }
}

fn id(worker: u64, n: u64) -> Key {
    key(worker * 1_000_000 + n)
}

fn count(entry: &Entry) -> u64 {
    std::str::from_utf8(&entry.bytes()).unwrap().parse().unwrap()
}
