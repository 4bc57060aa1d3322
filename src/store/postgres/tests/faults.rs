//! Servers that are gone, frozen, restarted or busy: `Unreachable` in time, and well again within a second.

use std::net::TcpListener;
use std::process::Command;
use std::time::Instant;

use super::near::Gateway;
use super::*;

/// What is configured when nothing is, with what a busy machine adds.
const TIMEOUT: Duration = Duration::from_millis(250);
const IN_TIME: Duration = Duration::from_millis(450);

fn strict(url: &str, prefix: &str) -> Options {
    Options { timeout: TIMEOUT, ..options(url, prefix) }
}

/// The text of the failure, which must not take long.
async fn unreachable(store: &PostgresStore) -> String {
    let begun = Instant::now();
    let Err(Error::Unreachable(text)) = store.load(conformance::key(1)).await else { panic!("it answered") };
    assert!(begun.elapsed() < IN_TIME, "{:?}", begun.elapsed());
    text.into_owned()
}

async fn until_it_answers(store: &PostgresStore) -> Duration {
    let begun = Instant::now();
    while store.load(conformance::key(1)).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it does not come back");
        tokio::task::yield_now().await;
    }
    begun.elapsed()
}

/// Signals the connections that the application name tells.
async fn signal(name: &str, prefix: &str) {
    let admin = client(&url()).await;
    let pids = "SELECT pid::text FROM pg_stat_activity WHERE application_name = $1";
    for row in admin.query(pids, &[&prefix]).await.unwrap() {
        let done = Command::new("kill").args(["-s", name, row.get(0)]).status().unwrap();
        assert!(done.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_said_at_once_and_names_the_place() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let store = store(&strict(&format!("postgres://ann:secret@{free}/app"), "t_"));
    for _ in 0..20 {
        let text = unreachable(&store).await;
        assert!(text.contains(&free.to_string()) && !text.contains("secret"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_accepts_and_never_speaks_costs_a_few_requests_their_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let store = store(&strict(&format!("postgres://ann@{}/app", silent.local_addr().unwrap()), "t_"));
    let begun = Instant::now();
    let mut slow = 0;
    for _ in 0..100 {
        let asked = Instant::now();
        unreachable(&store).await;
        slow += usize::from(asked.elapsed() > TIMEOUT / 2);
    }
    assert!(slow <= 6, "{slow} waited");
    assert!(begun.elapsed() < TIMEOUT * 8);
    assert!(store.shared.pool.open() <= 4, "the pool stays bounded");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: tests/run starts one"]
async fn a_statement_cut_off_is_given_up_by_the_server_too() {
    let prefix = prefix();
    let (store, key) = (store(&strict(&url(), &prefix)), conformance::key(1));
    store.create(key, conformance::entry(None)).await.unwrap();
    let locks = client(&url()).await;
    locks.batch_execute(&format!("BEGIN; SELECT FROM {prefix}sessions FOR UPDATE")).await.unwrap();
    let begun = Instant::now();
    let (cut, read) = tokio::join!(store.update(key, 1, conformance::entry(Some("eve"))), store.load(key));
    assert!(matches!(cut, Err(Error::Unreachable(_))) && read.unwrap().is_some());
    assert!(begun.elapsed() < IN_TIME);
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND state = 'active'";
    while locks.query(busy, &[&prefix]).await.unwrap()[0].get::<_, i64>(0) > 0 {
        // A transaction sees the same activity until it is told otherwise.
        locks.batch_execute("SELECT pg_stat_clear_snapshot()").await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(5), "it waits for the lock still");
    }
    locks.batch_execute("ROLLBACK").await.unwrap();
    // No late write, and no connection in the middle of another answer.
    for n in 0..20 {
        assert_eq!(store.load(key).await.unwrap().unwrap().version(), 1);
        assert!(store.load(conformance::key(2 + n)).await.unwrap().is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: tests/run starts one"]
async fn a_full_pool_makes_nobody_wait_longer_than_the_deadline() {
    let prefix = prefix();
    let (store, key) = (Arc::new(store(&strict(&url(), &prefix))), conformance::key(1));
    store.create(key, conformance::entry(None)).await.unwrap();
    let locks = client(&url()).await;
    locks.batch_execute(&format!("BEGIN; SELECT FROM {prefix}sessions FOR UPDATE")).await.unwrap();
    let mut writes = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let store = Arc::clone(&store);
        writes.spawn(async move {
            let begun = Instant::now();
            (store.update(key, 1, conformance::entry(None)).await.is_err(), begun.elapsed())
        });
    }
    for (is_refused, took) in writes.join_all().await {
        assert!(is_refused && took < IN_TIME, "{took:?}");
    }
    locks.batch_execute("ROLLBACK").await.unwrap();
    assert!(until_it_answers(&store).await < Duration::from_secs(1));
    assert!(store.shared.pool.open() <= 4);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: tests/run starts one"]
async fn connections_closed_by_the_server_are_replaced_unnoticed_by_reads() {
    let prefix = prefix();
    let store = store(&strict(&url(), &prefix));
    let killed = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1";
    let admin = client(&url()).await;
    for _ in 0..20 {
        store.create(conformance::key(1), conformance::entry(None)).await.unwrap();
        admin.query(killed, &[&prefix]).await.unwrap();
        assert!(store.load(conformance::key(1)).await.unwrap().is_some());
        store.delete(conformance::key(1)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: tests/run starts one"]
async fn frozen_connections_are_given_up_and_others_take_their_place() {
    let prefix = prefix();
    let here = Gateway::open(&strict(&url(), &prefix)).await;
    let key = conformance::key(1);
    here.store.create(key, conformance::entry(None)).await.unwrap();
    here.load(key).await.unwrap();
    signal("STOP", &prefix).await;
    unreachable(&here.store).await;
    let back = until_it_answers(&here.store).await;
    signal("CONT", &prefix).await;
    assert!(back < Duration::from_secs(2), "{back:?}");
    let listener = here.store.shared.names.listener();
    let lost = here.near.until(false);
    signal("STOP", &listener).await;
    let begun = Instant::now();
    lost.await;
    let silent_for = begun.elapsed();
    signal("CONT", &listener).await;
    assert!(silent_for < Duration::from_secs(3), "{silent_for:?}");
    assert!(!here.near.holds(key));
    here.near.until(true).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server that may be broken: tests/run starts one"]
async fn a_server_that_restarts_or_freezes_loses_nothing_and_is_back_within_a_second() {
    let control = |command: &str| {
        let line = format!("{} {command}", server("CLOAKROOM_TEST_POSTGRES_CONTROL"));
        assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success(), "{line}");
    };
    let here = Gateway::open(&strict(&server("CLOAKROOM_TEST_POSTGRES_FRAIL"), &prefix())).await;
    let key = conformance::key(1);
    here.store.create(key, conformance::entry(Some("ann"))).await.unwrap();
    here.load(key).await.unwrap();

    let lost = here.near.until(false);
    tokio::task::block_in_place(|| control("restart"));
    lost.await;
    let back = until_it_answers(&here.store).await;
    assert!(back < Duration::from_secs(1), "{back:?} after the restart");
    assert!(here.load(key).await.is_some());
    here.near.until(true).await;

    tokio::task::block_in_place(|| control("freeze"));
    let frozen = Instant::now();
    let (mut asked, mut slow) = (0, 0);
    while frozen.elapsed() < Duration::from_secs(5) {
        let begun = Instant::now();
        unreachable(&here.store).await;
        asked += 1;
        slow += usize::from(begun.elapsed() > TIMEOUT / 2);
        tokio::task::yield_now().await;
    }
    assert!(!*here.near.told.borrow());
    tokio::task::block_in_place(|| control("thaw"));
    let back = until_it_answers(&here.store).await;
    assert!(back < Duration::from_secs(1), "{back:?} after the freeze");
    // Those that found out, with one more on a busy machine; however long it hangs, nobody waits again to see.
    assert!((1..=6).contains(&slow) && asked > 1000, "{slow} of {asked} waited");
    assert!(here.store.load(key).await.unwrap().is_some());
    here.near.until(true).await;
}
