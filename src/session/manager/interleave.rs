//! Requests that take turns: every call to the store waits until its request is chosen to go on.
//!
//! For the tests of `model`. No threads, no clock and no luck: a [`Schedule`] says who goes on, either every one
//! there is after the other, or one drawn from a seed.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use crate::clock::Timestamp;
use crate::store::{Cursor, Entry, Key, MemoryStore, Page, Reply, Store, Updated};

/// What happened to the store, and who did it.
#[derive(Debug, Clone)]
pub struct Effect {
    /// The number of the request.
    pub by: usize,
    /// On which key.
    pub key: Key,
    pub did: Did,
}

#[derive(Debug, Clone)]
pub enum Did {
    Load(Option<Arc<Entry>>),
    Create(Arc<Entry>),
    /// What was there, and what is there now.
    Update(Arc<Entry>, Arc<Entry>),
    /// Somebody was faster.
    Conflict,
    Touch,
    Delete(Option<Arc<Entry>>),
    List(Vec<(Key, Arc<Entry>)>),
}

/// A memory store whose calls take effect at one of the request's turns and answer at another.
pub struct Stepped {
    inner: MemoryStore,
    now_on: AtomicUsize,
    steps: AtomicUsize,
    effects: Mutex<Vec<Effect>>,
    born: Mutex<Vec<Key>>,
    /// Whether an answer waits for a turn of its own; without, there are far fewer orders to try.
    answers_wait: bool,
}

/// The number under which the store notes what is done outside of a race.
pub const NOBODY: usize = usize::MAX;

impl Stepped {
    pub fn new(answers_wait: bool) -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryStore::new(10_000),
            now_on: AtomicUsize::new(NOBODY),
            steps: AtomicUsize::new(0),
            effects: Mutex::default(),
            born: Mutex::default(),
            answers_wait,
        })
    }

    /// What happened since this was asked last.
    pub fn take_effects(&self) -> Vec<Effect> {
        std::mem::take(&mut self.effects.lock().unwrap())
    }

    /// What is there, without a turn.
    pub fn peek(&self, key: Key) -> Option<Arc<Entry>> {
        finish(self.inner.load(key)).unwrap()
    }

    /// One turn of request `number`; `Some` when it is over. `false` beside it: it waits for another request.
    fn turn<T>(&self, number: usize, request: &mut Pin<Box<dyn Future<Output = T> + '_>>) -> (Option<T>, bool) {
        let steps = self.steps.load(Ordering::Relaxed);
        self.now_on.store(number, Ordering::Relaxed);
        let polled = request.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        self.now_on.store(NOBODY, Ordering::Relaxed);
        match polled {
            Poll::Ready(output) => (Some(output), true),
            Poll::Pending => (None, self.steps.load(Ordering::Relaxed) != steps),
        }
    }

    fn call<'a, T: Send + 'a>(&'a self, key: Key, call: impl FnOnce() -> (T, Did) + Send + 'a) -> Reply<'a, T> {
        Reply::Later(Box::pin(async move {
            self.pause().await;
            let (answer, did) = call();
            let by = self.now_on.load(Ordering::Relaxed);
            self.effects.lock().unwrap().push(Effect { by, key, did });
            if self.answers_wait {
                self.pause().await;
            }
            Ok(answer)
        }))
    }

    /// Until the next turn. Outside of a race nobody takes turns.
    async fn pause(&self) {
        if self.now_on.load(Ordering::Relaxed) == NOBODY {
            return;
        }
        self.steps.fetch_add(1, Ordering::Relaxed);
        let mut waited = false;
        std::future::poll_fn(|_| match std::mem::replace(&mut waited, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }
}

impl Store for Stepped {
    fn create(&self, key: Key, entry: Entry) -> Reply<'_, bool> {
        self.call(key, move || {
            let created = finish(self.inner.create(key, entry)).unwrap();
            let there = self.peek(key).unwrap();
            if !created {
                assert!(there.meta.alias, "an id was drawn twice");
                return (created, Did::Conflict);
            }
            self.born.lock().unwrap().push(key);
            (created, Did::Create(there))
        })
    }

    fn load(&self, key: Key) -> Reply<'_, Option<Arc<Entry>>> {
        self.call(key, move || {
            let found = self.peek(key);
            (found.clone(), Did::Load(found))
        })
    }

    fn update(&self, key: Key, seen: u64, entry: Entry) -> Reply<'_, Updated> {
        self.call(key, move || {
            let before = self.peek(key);
            let updated = finish(self.inner.update(key, seen, entry)).unwrap();
            let did = match (updated, before, self.peek(key)) {
                (Updated::Done, Some(before), Some(after)) => Did::Update(before, after),
                _ => Did::Conflict,
            };
            (updated, did)
        })
    }

    fn touch(&self, key: Key, last_seen: Timestamp, deadline: Timestamp) -> Reply<'_, ()> {
        self.call(key, move || (finish(self.inner.touch(key, last_seen, deadline)).unwrap(), Did::Touch))
    }

    fn delete(&self, key: Key) -> Reply<'_, Option<Arc<Entry>>> {
        self.call(key, move || {
            let gone = finish(self.inner.delete(key)).unwrap();
            (gone.clone(), Did::Delete(gone))
        })
    }

    fn list_by_user<'a>(&'a self, user: &'a str) -> Reply<'a, Vec<(Key, Arc<Entry>)>> {
        self.call(Key([0; 32]), move || {
            let mut listed = finish(self.inner.list_by_user(user)).unwrap();
            // In the same order whatever the keys are, so that a schedule can be repeated.
            let born = self.born.lock().unwrap();
            listed.sort_by_key(|(key, _)| born.iter().position(|born| born == key));
            (listed.clone(), Did::List(listed))
        })
    }

    fn count(&self) -> Reply<'_, usize> {
        self.inner.count()
    }

    fn page<'a>(&'a self, from: Option<&'a Cursor>, limit: usize) -> Reply<'a, Page> {
        self.inner.page(from, limit)
    }

    fn sweep(&self, now: Timestamp, limit: usize) -> Reply<'_, Vec<Arc<Entry>>> {
        self.inner.sweep(now, limit)
    }

    fn ping(&self) -> Reply<'_, ()> {
        self.inner.ping()
    }
}

/// Requests under way.
pub struct Race<'a, T> {
    store: &'a Stepped,
    runners: Vec<Runner<'a, T>>,
}

enum Runner<'a, T> {
    Running(Pin<Box<dyn Future<Output = T> + 'a>>),
    Over(T),
    /// Its answer was taken away.
    Gone,
}

impl<'a, T> Race<'a, T> {
    pub fn new(store: &'a Stepped) -> Self {
        Self { store, runners: Vec::new() }
    }

    /// One more; it does nothing before its first turn. Returns its number.
    pub fn enter(&mut self, request: impl Future<Output = T> + 'a) -> usize {
        self.runners.push(Runner::Running(Box::pin(request)));
        self.runners.len() - 1
    }

    /// The numbers of those that are not over.
    pub fn running(&self) -> Vec<usize> {
        let running = |number: &usize| matches!(self.runners[*number], Runner::Running(_));
        (0..self.runners.len()).filter(running).collect()
    }

    /// One turn for one of them; whether it got any further.
    pub fn turn(&mut self, number: usize) -> bool {
        let Runner::Running(request) = &mut self.runners[number] else { return false };
        let (over, further) = self.store.turn(number, request);
        if let Some(output) = over {
            self.runners[number] = Runner::Over(output);
        }
        further
    }

    /// Turns for one of them until it is over.
    pub fn finish(&mut self, number: usize) {
        while matches!(self.runners[number], Runner::Running(_)) {
            assert!(self.turn(number), "request {number} waits for another");
        }
    }

    /// What one of them has come to, once.
    pub fn take(&mut self, number: usize) -> Option<T> {
        if !matches!(self.runners[number], Runner::Over(_)) {
            return None;
        }
        match std::mem::replace(&mut self.runners[number], Runner::Gone) {
            Runner::Over(output) => Some(output),
            Runner::Running(_) | Runner::Gone => None,
        }
    }

    /// Turns for all of them as the schedule says, until they are over.
    pub fn run(mut self, schedule: &mut Schedule) -> Vec<T> {
        let mut ready = self.running();
        while !ready.is_empty() {
            let chosen = schedule.choose(ready.len());
            match self.turn(ready[chosen]) {
                // Perhaps it has let another one go on.
                true => ready = self.running(),
                false => drop(ready.remove(chosen)),
            }
        }
        assert!(self.running().is_empty(), "they wait for each other");
        (0..self.runners.len()).filter_map(|number| self.take(number)).collect()
    }
}

/// Decides, again and again, between several ways to go on.
pub enum Schedule {
    /// One of all there are: what was decided, and between how many.
    Exhaustive { path: Vec<(usize, usize)>, at: usize },
    /// From a seed: the state of a SplitMix64 generator, the same on every machine.
    Random(u64),
}

impl Schedule {
    pub fn seeded(seed: u64) -> Self {
        Self::Random(seed)
    }

    /// One of `0..ways`.
    pub fn choose(&mut self, ways: usize) -> usize {
        match self {
            Self::Random(state) => {
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut word = *state;
                word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                ((word ^ (word >> 31)) % ways as u64) as usize
            }
            Self::Exhaustive { path, at } => {
                if *at == path.len() {
                    path.push((0, ways));
                }
                let (chosen, of) = path[*at];
                assert_eq!(of, ways, "the case must do the same when the same is decided");
                *at += 1;
                chosen
            }
        }
    }

    /// One of `ways` in a hundred.
    pub fn percent(&mut self, ways: usize) -> bool {
        self.choose(100) < ways
    }
}

/// Runs `case` once for every way its decisions can go; returns how many there were.
pub fn in_every_order(mut case: impl FnMut(&mut Schedule)) -> usize {
    let mut next = Some(Vec::new());
    let mut runs = 0;
    while let Some(path) = next {
        let mut schedule = Schedule::Exhaustive { path, at: 0 };
        case(&mut schedule);
        runs += 1;
        let Schedule::Exhaustive { mut path, .. } = schedule else { break };
        while path.last().is_some_and(|(chosen, of)| chosen + 1 == *of) {
            path.pop();
        }
        next = path.last_mut().map(|last| last.0 += 1).map(|()| path);
    }
    runs
}

/// Runs a future that waits for nobody else.
pub fn finish<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    for _ in 0..1000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
    panic!("it waits for somebody");
}
