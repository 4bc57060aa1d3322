//! Two gateways on one Redis, each with copies near: what one did, the other sees at once.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::store::Meta;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Redis server: tests/run starts one"]
async fn after_a_delete_returned_no_gateway_holds_a_copy() {
    let options = options();
    let gateways = [Gateway::start(&options).await, Gateway::start(&options).await, Gateway::start(&options).await];
    let mut held = 0;
    for n in 0..300 {
        gateways[0].store.create(key(n), lasting(Some("ann"), b"first")).await.unwrap();
        for gateway in &gateways {
            gateway.load(key(n)).await.unwrap().unwrap();
            held += usize::from(gateway.holds(key(n)));
        }
        assert!(gateways[(n % 3) as usize].delete(key(n)).await.unwrap().is_some());
        assert!(gateways.iter().all(|gateway| !gateway.holds(key(n))), "{n}");
    }
    assert!(held > 300, "{held} of 900 reads were kept: copies are never used");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Redis server: tests/run starts one"]
async fn changes_by_hand_and_by_expiry_reach_the_copies() {
    let options = options();
    let gateway = Gateway::start(&options).await;
    let names = Names::new(&options.prefix);
    for (n, change) in [(1, "DEL"), (2, "PERSIST"), (3, "PEXPIRE")] {
        gateway.store.create(key(n), lasting(None, b"first")).await.unwrap();
        eventually("a copy is kept", async || {
            gateway.load(key(n)).await.unwrap().unwrap();
            gateway.holds(key(n))
        })
        .await;
        let mut command = redis::cmd(change);
        command.arg(names.entry(&key(n)));
        if change == "PEXPIRE" {
            command.arg(1);
        }
        let _: Value = by_hand(&options.url, &mut command).await;
        eventually(change, async || !gateway.holds(key(n))).await;
    }
}

/// SECURITY: it would outlive the end of all sessions of its user.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Redis server: tests/run starts one"]
async fn a_session_that_moves_from_key_to_key_is_in_every_list() {
    const MOVES: u64 = 2000;
    let options = options();
    let (gateway, other) = (connect(&options), connect(&options));
    gateway.create(key(0), lasting(Some("ann"), b"")).await.unwrap();
    let mover = tokio::spawn(async move {
        for n in 1..=MOVES {
            gateway.create(key(n), lasting(Some("ann"), b"")).await.unwrap();
            let before = gateway.load(key(n - 1)).await.unwrap().unwrap();
            let alias =
                Entry::new(Meta { alias: true, ..meta(None) }, Box::default(), Timestamp(0), Timestamp(u64::MAX));
            assert_eq!(gateway.update(key(n - 1), before.version(), alias).await.unwrap(), Updated::Done);
        }
    });
    let mut lists = 0;
    while !mover.is_finished() {
        assert!(!other.list_by_user("ann").await.unwrap().is_empty(), "list {lists} misses it");
        lists += 1;
    }
    mover.await.unwrap();
    assert!(lists > 20, "only {lists} lists");
}

/// What must be there.
#[derive(Default)]
struct Model {
    alive: HashMap<u64, (u64, Vec<u8>)>,
    dead: Vec<u64>,
    next: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Redis server: tests/run starts one"]
async fn ten_thousand_operations_by_two_gateways_agree_with_a_model() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let options = options();
    let gateways = [Gateway::start(&options).await, Gateway::start(&options).await];
    let mut model = Model::default();
    for step in 0..10_000 {
        let gateway = &gateways[random.random_range(0..2)];
        if model.alive.len() < 4 {
            model.next += 1;
            assert!(gateway.store.create(key(model.next), lasting(Some("ann"), b"0")).await.unwrap());
            model.alive.insert(model.next, (1, b"0".to_vec()));
        }
        let mut ids: Vec<u64> = model.alive.keys().copied().collect();
        ids.sort_unstable();
        let id = ids[random.random_range(0..ids.len())];
        let (version, bytes) = model.alive[&id].clone();
        match random.random_range(0..100) {
            0..50 => {
                let read = gateway.load(key(id)).await.unwrap().unwrap();
                assert_eq!((read.version(), read.bytes().to_vec()), (version, bytes), "step {step}");
            }
            50..75 => {
                let written = lasting((step % 2 == 0).then_some("ann"), step.to_string().as_bytes());
                let stale = lasting(None, b"stale");
                assert_eq!(gateway.update(key(id), version, written).await.unwrap(), Updated::Done);
                assert_eq!(gateway.update(key(id), version, stale).await.unwrap(), Updated::Conflict);
                model.alive.insert(id, (version + 1, step.to_string().into_bytes()));
            }
            75..85 => gateway.store.touch(key(id), Timestamp(step), Timestamp(u64::MAX)).await.unwrap(),
            85..95 => {
                let gone = gateway.delete(key(id)).await.unwrap().unwrap();
                assert_eq!((gone.version(), gone.bytes().to_vec()), (version, bytes), "step {step}");
                model.alive.remove(&id);
                model.dead.push(id);
            }
            _ => {
                let Some(dead) = model.dead.last().copied() else { continue };
                assert!(gateway.load(key(dead)).await.unwrap().is_none(), "step {step}");
                assert_eq!(gateway.update(key(dead), 1, entry(None)).await.unwrap(), Updated::Absent);
                assert!(!gateway.store.create(key(dead), entry(None)).await.unwrap());
            }
        }
    }
    assert_eq!(gateways[0].store.count().await.unwrap(), model.alive.len());
}

/// Adds one to the number in a session, as a commit does: again after a conflict.
async fn increment(gateway: &Gateway, id: u64) -> bool {
    loop {
        let Some(read) = gateway.load(key(id)).await.unwrap() else { return false };
        let count: u64 = String::from_utf8(read.bytes().to_vec()).unwrap().parse().unwrap();
        let written = lasting(Some("ann"), (count + 1).to_string().as_bytes());
        match gateway.update(key(id), read.version(), written).await.unwrap() {
            Updated::Done => return true,
            Updated::Conflict => {}
            Updated::Absent => return false,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Redis server: tests/run starts one"]
async fn of_parallel_writers_none_is_lost_and_none_revives() {
    let options = options();
    let gateways = Arc::new([Gateway::start(&options).await, Gateway::start(&options).await]);
    for round in 0..25 {
        gateways[0].store.create(key(round), lasting(Some("ann"), b"0")).await.unwrap();
        let writer = |n: usize| {
            let gateways = gateways.clone();
            tokio::spawn(async move {
                let mut done = 0;
                for _ in 0..25 {
                    done += u64::from(increment(&gateways[n % 2], round).await);
                }
                done
            })
        };
        let writers: Vec<_> = (0..4).map(writer).collect();
        if round % 5 == 0 {
            let last = gateways[1].delete(key(round)).await.unwrap().unwrap();
            for gateway in gateways.iter() {
                assert!(gateway.load(key(round)).await.unwrap().is_none());
            }
            let mut done = 0;
            for writer in writers {
                done += writer.await.unwrap();
            }
            assert_eq!(last.bytes().to_vec(), done.to_string().into_bytes(), "delete returns the last version");
            assert!(gateways[0].store.load(key(round)).await.unwrap().is_none());
        } else {
            for writer in writers {
                assert_eq!(writer.await.unwrap(), 25);
            }
            let read = gateways[0].load(key(round)).await.unwrap().unwrap();
            assert_eq!((read.bytes().to_vec(), read.version()), (b"100".to_vec(), 101));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Redis server: tests/run starts one"]
async fn a_store_that_is_dropped_leaves_no_copy_in_use() {
    let options = options();
    let gateway = Gateway::start(&options).await;
    gateway.store.create(key(1), lasting(None, b"first")).await.unwrap();
    let Gateway { store, cache } = gateway;
    drop(store);
    assert!(!*cache.trusted.lock().unwrap());
    let other = connect(&options);
    assert!(other.delete(key(1)).await.unwrap().is_some());
}
