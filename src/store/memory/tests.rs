use std::future::Future;
use std::pin::pin;
use std::sync::Barrier;
use std::task::{Context, Poll, Waker};

use super::super::conformance::{self, alias, entry, key, meta};
use super::*;

fn seen_at(millis: u64, user: Option<&str>) -> Entry {
    Entry::new(meta(user), Box::default(), Timestamp(millis), Timestamp(u64::MAX))
}

fn get(store: &MemoryStore, n: u64) -> Option<Arc<Entry>> {
    store.sessions.find(&key(n).words())
}

/// Nothing of the memory store waits for anything; a sweep lets others run now and then.
fn finish<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
}

#[test]
fn it_keeps_the_contract_of_every_store() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(conformance::suite(async || MemoryStore::new(1000)));
}

#[test]
fn anonymous_sessions_make_room_those_not_seen_for_longest_first() {
    let store = MemoryStore::new(3);
    for n in 1..=3 {
        assert!(store.insert(key(n), seen_at(10 - n, None)).unwrap());
    }
    assert!(store.insert(key(4), seen_at(20, None)).unwrap());
    assert_eq!(store.sessions.len(), 3);
    assert!(get(&store, 3).is_none());
}

#[test]
fn eviction_from_many_is_nearly_by_age() {
    let store = MemoryStore::new(20_000);
    for n in 0..22_000 {
        assert!(store.insert(key(n), seen_at(n, None)).unwrap());
    }
    assert_eq!(store.sessions.len(), 20_000);
    let young = (10_000..22_000).filter(|n| get(&store, *n).is_none()).count();
    // The oldest of 16 is among the younger half once in 65 536 times.
    assert!(young < 20, "{young} of 2000 evicted sessions were young");
}

#[test]
fn neither_signed_in_sessions_nor_aliases_are_evicted() {
    let store = MemoryStore::new(3);
    for n in 1..=3 {
        assert!(store.insert(key(n), entry(Some("ann"))).unwrap());
    }
    assert!(store.insert(key(4), alias()).unwrap());
    assert!(matches!(store.insert(key(5), entry(None)), Err(Error::Full)));
    assert!(store.insert(key(6), entry(Some("bob"))).unwrap());
    assert_eq!((store.of_user("ann").len(), store.sessions.len()), (3, 5));
    assert!(get(&store, 4).is_some());
}

#[test]
fn the_last_anonymous_session_among_many_others_is_found() {
    let store = MemoryStore::new(5000);
    for n in 0..4999 {
        assert!(store.insert(key(n), entry(Some("ann"))).unwrap());
    }
    for n in 5000..5050 {
        assert!(store.insert(key(n), seen_at(n, None)).unwrap());
    }
    assert_eq!(store.sessions.len(), 5000);
    assert!(get(&store, 5049).is_some());
}

#[test]
fn who_signs_in_or_out_is_counted_anew() {
    let store = MemoryStore::new(1);
    store.insert(key(1), entry(None)).unwrap();
    assert_eq!(store.replace(key(1), 1, entry(Some("ann"))), Updated::Done);
    assert!(matches!(store.insert(key(2), entry(None)), Err(Error::Full)));
    assert_eq!(store.replace(key(1), 2, entry(None)), Updated::Done);
    assert!(store.insert(key(2), entry(None)).unwrap());
    assert!(get(&store, 1).is_none());
}

#[test]
fn sweeps_with_a_limit_go_on_where_the_last_one_stopped() {
    let store = MemoryStore::new(10_000);
    for n in 0..5000 {
        store.insert(key(n), entry(Some("ann"))).unwrap();
    }
    for _ in 0..5 {
        assert_eq!(finish(store.sweep_expired(Timestamp(1000), 900)).len(), 900);
    }
    // Nine tenths of the way round, as keys spread.
    assert!(store.to_sweep.load(Ordering::Relaxed).abs_diff(SHARDS * 9 / 10) < SHARDS / 20);
    assert_eq!(finish(store.sweep_expired(Timestamp(1000), 900)).len(), 500);
    assert_eq!((store.sessions.len(), store.users.len()), (0, 0));
}

#[test]
fn a_sweep_drops_the_decoded_form_of_what_rests() {
    let store = MemoryStore::new(10);
    for n in 1..=3 {
        store.insert(key(n), entry(None)).unwrap();
        get(&store, n).unwrap().decoded(<[u8]>::len);
    }
    let now = Timestamp(500).plus(COLD_AFTER);
    store.sessions.touch(&key(2).words(), now, Timestamp(u64::MAX));
    let in_use = get(&store, 3).unwrap();
    for n in [1, 3] {
        store.sessions.touch(&key(n).words(), Timestamp(1), Timestamp(u64::MAX));
    }
    assert_eq!(finish(store.sweep_expired(now, 10)).len(), 0);
    let warm = [1, 2, 3].map(|n| get(&store, n).unwrap().is_warm());
    assert_eq!(warm, [false, true, true]);
    assert_eq!(in_use.decoded(<[u8]>::len), Some(&5));
    let cooled = get(&store, 1).unwrap();
    assert_eq!((cooled.version(), cooled.last_seen(), &*cooled.bytes()), (1, Timestamp(1), b"first".as_slice()));
}

#[test]
fn one_user_may_have_very_many_sessions() {
    let store = MemoryStore::new(100_000);
    for n in 0..50_000 {
        store.insert(key(n), entry(Some("guest"))).unwrap();
    }
    assert_eq!(store.of_user("guest").len(), 50_000);
    assert!((0..50_000).all(|n| store.remove(key(n)).is_some()));
    assert_eq!((store.sessions.len(), store.users.len()), (0, 0));
}

#[test]
fn sessions_and_users_that_share_a_hint_are_told_apart() {
    let alike = |n: u8| Key(std::array::from_fn(|at| if at < 4 { 9 } else { n }));
    let store = MemoryStore::new(10);
    for n in 0..2 {
        store.insert(alike(n), entry(Some("ann"))).unwrap();
    }
    store.insert(alike(2), entry(Some("bob"))).unwrap();
    assert_eq!((store.of_user("ann").len(), store.of_user("bob").len()), (2, 1));
    store.remove(alike(0));
    assert_eq!(store.of_user("ann").iter().map(|(key, _)| *key).collect::<Vec<_>>(), [alike(1)]);
}

/// Without the second look of `index` it fails in five of six runs. Threads sign the same few sessions in and out, delete, create and sweep them; whenever all pause, all agrees.
#[test]
fn after_any_race_index_and_counts_agree_with_the_table() {
    const THREADS: u64 = 4;
    let store = MemoryStore::new(1000);
    let barrier = Barrier::new(THREADS as usize);
    let disagreements = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, barrier, disagreements) = (&store, &barrier, &disagreements);
            scope.spawn(move || {
                for round in 0..5000 {
                    barrier.wait();
                    (0..5).for_each(|step| act(store, (round * THREADS + thread) * 5 + step));
                    // Counted, not asserted: the others would wait for this thread for ever.
                    if barrier.wait().is_leader() && !agree(store) {
                        disagreements.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(disagreements.into_inner(), 0);
    let evictable = (0..KEYS).filter_map(|n| get(&store, n)).filter(|entry| entry.meta.may_be_evicted()).count();
    let mut evicted = 0;
    while let Some(key) = store.sessions.oldest_of_a_few() {
        evicted += usize::from(store.sessions.remove_if(&key, |entry| entry.meta.may_be_evicted()).is_some());
    }
    assert_eq!(evicted, evictable);
}

#[test]
fn a_session_that_is_moved_again_and_again_is_always_listed() {
    let store = MemoryStore::new(1000);
    put(&store, 0);
    let missed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let moving = scope.spawn(|| {
            for n in 1..20_000 {
                put(&store, n);
                store.replace(key(n - 1), 1, alias());
            }
        });
        while !moving.is_finished() {
            missed.fetch_add(usize::from(store.of_user("ann").is_empty()), Ordering::Relaxed);
        }
    });
    assert_eq!(missed.into_inner(), 0);
}

fn put(store: &MemoryStore, n: u64) {
    assert!(store.insert(key(n), entry(Some("ann"))).unwrap());
}

const KEYS: u64 = 2;

fn agree(store: &MemoryStore) -> bool {
    let all: Vec<_> = (0..KEYS).filter_map(|n| get(store, n)).collect();
    let theirs = |user: &str| all.iter().filter(|entry| entry.meta.is_session_of(user)).count();
    store.sessions.len() == all.len()
        && ["ann", "bob"].iter().all(|user| store.of_user(user).len() == theirs(user))
        && ["ann", "bob"].iter().all(|user| store.users.hints(user).len() == theirs(user))
}

fn act(store: &MemoryStore, random: u64) {
    let random = random.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let (n, user) = (random % KEYS, [None, Some("ann"), Some("bob")][random as usize / 2 % 3]);
    match random / 12 % 8 {
        0 => _ = store.insert(key(n), entry(user)).unwrap(),
        1 if random.is_multiple_of(5) => _ = finish(store.sweep_expired(Timestamp(1000), 2)).len(),
        2 => _ = store.remove(key(n)),
        _ => match get(store, n) {
            Some(current) => _ = store.replace(key(n), current.version(), entry(user)),
            None => _ = store.insert(key(n), entry(user)).unwrap(),
        },
    }
}
