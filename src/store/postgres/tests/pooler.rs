//! Behind pgbouncer in transaction mode, where each statement may go to another server connection.

use super::near::Gateway;
use super::*;

fn pooler() -> String {
    server("CLOAKROOM_TEST_PGBOUNCER")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server and pgbouncer: tests/run starts both"]
async fn it_keeps_the_contract_behind_pgbouncer() {
    conformance::suite(async || store(&options(&pooler(), &prefix()))).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server and pgbouncer: tests/run starts both"]
async fn with_a_direct_way_to_listen_copies_are_kept_right_behind_pgbouncer() {
    let options = Options { listen_url: Some(url()), ..options(&pooler(), &prefix()) };
    let (here, there) = (Gateway::open(&options).await, Gateway::open(&options).await);
    for n in 0..50 {
        let key = conformance::key(n);
        here.store.create(key, conformance::entry(None)).await.unwrap();
        there.load(key).await.unwrap();
        assert!(there.near.holds(key));
        here.delete(key).await.unwrap();
        assert!(!there.near.holds(key));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server and pgbouncer: tests/run starts both"]
async fn without_one_copies_are_never_trusted() {
    let options = Options { timeout: Duration::from_millis(250), ..options(&pooler(), &prefix()) };
    let deaf = Gateway::deaf(&options);
    deaf.store.create(conformance::key(1), conformance::entry(None)).await.unwrap();
    let both = Gateway::deaf(&options);
    // Longer than it takes to trust, and than it takes to give the first attempt up and begin another.
    let hears = async {
        tokio::select! { () = deaf.near.until(true) => {}, () = both.near.until(true) => {} }
    };
    assert!(timeout(Duration::from_secs(4), hears).await.is_err());
    assert!(deaf.load(conformance::key(1)).await.is_some());
    assert!(!deaf.near.holds(conformance::key(1)));
}
