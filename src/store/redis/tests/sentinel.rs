//! One master that dies, and sentinels that agree on another: whoever was signed in stays so, whoever was not is not,
//! and the old master changes nothing when it comes back with what it had.

use super::*;

/// A master with a replica, and three sentinels that watch them.
struct Watched {
    servers: [Server; 2],
    sentinels: [Server; 3],
}

impl Watched {
    async fn start() -> Self {
        // On disk: a master that dies comes back with what it had, which is the harder case.
        let durable = "--appendonly yes --appendfsync always --repl-diskless-sync-delay 0";
        let master = Server::start(durable).await;
        let replica = Server::start(&format!("{durable} --replicaof 127.0.0.1 {}", master.port)).await;
        replica.follows().await;
        let sentinels =
            [Server::start("--sentinel").await, Server::start("--sentinel").await, Server::start("--sentinel").await];
        for sentinel in &sentinels {
            sentinel.ask::<()>(&format!("SENTINEL MONITOR main 127.0.0.1 {} 2", master.port)).await;
            sentinel.ask::<()>("SENTINEL SET main down-after-milliseconds 500 failover-timeout 2000").await;
        }
        eventually("the sentinels know each other and the replica", async || {
            let main = sentinels[0].ask::<HashMap<String, String>>("SENTINEL MASTER main").await;
            main["num-other-sentinels"] == "2" && main["num-slaves"] == "1"
        })
        .await;
        Self { servers: [master, replica], sentinels }
    }

    fn url(&self) -> String {
        let hosts = self.sentinels.each_ref().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).join(",");
        format!("redis+sentinel://{hosts}/main")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Redis server: tests/run starts one"]
async fn with_sentinel_a_failover_costs_errors_until_there_is_a_master_and_no_session() {
    let mut watched = Watched::start().await;
    let options = impatient_at(&watched.url());
    let gateway = Gateway::start(&options).await;
    let last = key(u64::MAX);
    let mut load = Load::prepare(Arc::new(connect(&options))).await;
    gateway.store.create(last, lasting(Some("bob"), b"first")).await.unwrap();
    load.run();
    load.goes_on().await;
    let [master, replica] = &mut watched.servers;
    replica.follows().await;
    master.kill();
    replica.is_promoted().await;
    let back = back_after(&gateway.store).await;
    assert!(back < Duration::from_secs(2), "{back:?}");
    println!("a new master answers {back:?} after its promotion");
    load.goes_on().await;
    assert_eq!(&*gateway.store.load(last).await.unwrap().unwrap().bytes(), b"first");
    assert!(gateway.delete(last).await.unwrap().is_some());
    // With the session that has just been ended, and all that the load has ended since.
    master.restart();
    master.answers().await;
    load.goes_on().await;
    master.follows().await;
    load.goes_on().await;
    gateway.trusts(true).await;
    let patient = Options { timeout: Duration::from_secs(5), ..options };
    assert!(connect(&patient).load(last).await.unwrap().is_none());
    load.ends(&connect(&patient)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Redis server: tests/run starts one"]
async fn with_sentinel_a_delete_that_died_with_its_master_is_repeated() {
    let mut watched = Watched::start().await;
    let options = impatient_at(&watched.url());
    let gateway = Gateway::start(&options).await;
    gateway.store.create(key(1), lasting(Some("ann"), b"first")).await.unwrap();
    let [master, replica] = &mut watched.servers;
    eventually("the replica has it", async || replica.ask::<u64>("DBSIZE").await == 3).await;
    replica.loses_its_master(master).await;
    assert!(gateway.delete(key(1)).await.unwrap().is_some());
    master.kill();
    replica.is_promoted().await;
    back_after(&gateway.store).await;
    // Before anything else was read over the new connection.
    assert!(gateway.load(key(1)).await.unwrap().is_none());
    assert!(connect(&options).load(key(1)).await.unwrap().is_none());
}
