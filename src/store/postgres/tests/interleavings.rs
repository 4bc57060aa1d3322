//! Two gateways with caches race on one session, again and again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::near::Gateway;
use super::*;

const INTERLEAVINGS: u64 = 5000;
const AT_ONCE: u64 = 16;

/// What must be true of one session, whoever wrote it.
#[derive(Default)]
struct Model {
    /// Updates that were acknowledged as done.
    done: AtomicU64,
    is_deleted: AtomicBool,
}

fn counting(count: u64) -> Entry {
    Entry::new(conformance::meta(Some("ann")), count.to_be_bytes().as_slice().into(), Timestamp(0), Timestamp(1000))
}

fn count(entry: &Entry) -> u64 {
    u64::from_be_bytes(entry.bytes().as_ref().try_into().unwrap())
}

/// Reads through the cache, adds one, tries again on a conflict.
async fn add_one(gateway: &Gateway, key: Key, model: &Model) {
    for attempt in 0.. {
        let was_deleted = model.is_deleted.load(Ordering::SeqCst);
        let Some(entry) = gateway.load(key).await else { return };
        assert!(!was_deleted, "a deleted session was read");
        match gateway.update(key, entry.version(), counting(count(&entry) + 1)).await {
            Updated::Done => {
                assert!(!was_deleted);
                model.done.fetch_add(1, Ordering::SeqCst);
                return;
            }
            // The manager does the same: what lost a race is read from the store.
            Updated::Conflict => gateway.near.forget(key),
            Updated::Absent => return,
        }
        assert!(attempt < 20, "it never gets through");
    }
}

async fn delete(gateways: &[Gateway; 2], by: usize, key: Key, model: &Model) {
    let gone = gateways[by].delete(key).await;
    model.is_deleted.store(true, Ordering::SeqCst);
    if let Some(gone) = gone {
        assert_eq!(gone.version(), count(&gone) + 1, "every version is one update");
    }
    for gateway in gateways {
        assert!(!gateway.near.holds(key), "a copy outlives the delete");
        assert!(gateway.load(key).await.is_none());
    }
}

async fn one(gateways: Arc<[Gateway; 2]>, n: u64) {
    let (key, model) = (conformance::key(n), Model::default());
    assert!(gateways[0].store.create(key, counting(0)).await.unwrap());
    let kind = rand::random::<u8>();
    let deletes = async {
        if kind.is_multiple_of(2) {
            for _ in 0..rand::random::<u8>() % 16 {
                tokio::task::yield_now().await;
            }
            if kind.is_multiple_of(4) {
                gateways[1].load(key).await;
            }
            delete(&gateways, usize::from(kind / 8) % 2, key, &model).await;
        }
    };
    let add = |by: usize| add_one(&gateways[by], key, &model);
    let touch = gateways[1].store.touch(key, Timestamp(n), Timestamp(2000));
    tokio::join!(add(0), add(1), add(0), add(1), deletes, async { touch.await.unwrap() });
    let end = gateways[0].store.load(key).await.unwrap();
    match model.is_deleted.load(Ordering::SeqCst) {
        true => assert!(end.is_none(), "it came back"),
        false => assert_eq!(count(&end.unwrap()), model.done.load(Ordering::SeqCst), "an update was lost"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: tests/run starts one"]
async fn no_interleaving_revives_a_session_or_loses_an_update() {
    let options = Options { max_connections: 8, ..options(&url(), &prefix()) };
    let gateways = Arc::new([Gateway::open(&options).await, Gateway::open(&options).await]);
    let mut racing = tokio::task::JoinSet::new();
    for n in 0..INTERLEAVINGS {
        racing.spawn(one(Arc::clone(&gateways), n));
        if racing.len() as u64 >= AT_ONCE {
            racing.join_next().await.unwrap().unwrap();
        }
    }
    while let Some(raced) = racing.join_next().await {
        raced.unwrap();
    }
}
