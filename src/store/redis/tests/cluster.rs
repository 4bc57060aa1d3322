//! Many masters, each with a slot range of its own and perhaps a replica: the contract, slots that move, masters that
//! die and come back as replicas.

use super::*;

const SLOTS: usize = 16384;

/// How long the nodes wait before they call one of them dead; Redis's default is 15 seconds.
const NODE_TIMEOUT: Duration = Duration::from_secs(1);

/// Three masters.
struct Cluster {
    masters: Vec<Server>,
    /// One of each master, in their order, or none.
    replicas: Vec<Server>,
}

impl Cluster {
    async fn start(replicas: usize) -> Self {
        // On disk: a master that dies comes back with what it had, which is the harder case.
        let arguments = format!(
            "--cluster-enabled yes --cluster-node-timeout {} --appendonly yes --repl-diskless-sync-delay 0",
            NODE_TIMEOUT.as_millis()
        );
        let mut nodes = Vec::new();
        for _ in 0..3 + replicas {
            nodes.push(Server::start(&arguments).await);
        }
        for (n, node) in nodes.iter().enumerate() {
            if n < 3 {
                let (first, last) = (first_slot(n), first_slot(n + 1) - 1);
                node.ask::<()>(&format!("CLUSTER ADDSLOTSRANGE {first} {last}")).await;
            }
            nodes[0].ask::<()>(&format!("CLUSTER MEET 127.0.0.1 {}", node.port)).await;
        }
        let all = format!("cluster_known_nodes:{}", nodes.len());
        eventually("the nodes know each other", async || {
            let mut known = true;
            for node in &nodes {
                known &= node.ask::<String>("CLUSTER INFO").await.contains(&all);
            }
            known
        })
        .await;
        let replicas = nodes.split_off(3);
        let cluster = Self { masters: nodes, replicas };
        for (master, replica) in cluster.masters.iter().zip(&cluster.replicas) {
            let id: String = master.ask("CLUSTER MYID").await;
            replica.ask::<()>(&format!("CLUSTER REPLICATE {id}")).await;
            replica.follows().await;
        }
        cluster.is_whole().await;
        cluster
    }

    async fn is_whole(&self) {
        eventually("the cluster is whole", async || {
            let mut whole = true;
            for node in self.masters.iter().chain(&self.replicas) {
                whole &= node.ask::<String>("CLUSTER INFO").await.contains("cluster_state:ok");
            }
            whole
        })
        .await;
    }

    fn url(&self) -> String {
        let hosts: Vec<_> = self.masters.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("redis+cluster://{}", hosts.join(","))
    }

    /// The number of the master that keeps a key.
    async fn keeper(&self, options: &Options, shard: u8) -> usize {
        let slot = self.slot(options, shard).await;
        (0..3).rfind(|n| first_slot(*n) <= slot).unwrap()
    }

    async fn slot(&self, options: &Options, shard: u8) -> usize {
        let name = Names::new(&options.prefix).deadlines(shard);
        by_hand(&self.masters[0].url(), redis::cmd("CLUSTER").arg("KEYSLOT").arg(&name)).await
    }

    /// To the next node, as `redis-cli --cluster reshard` does.
    async fn move_shard(&self, options: &Options, shard: u8) {
        let (slot, owner) = (self.slot(options, shard).await, self.keeper(options, shard).await);
        let (from, to) = (&self.masters[owner], &self.masters[(owner + 1) % 3]);
        let (from_id, to_id): (String, String) = (from.ask("CLUSTER MYID").await, to.ask("CLUSTER MYID").await);
        to.ask::<()>(&format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}")).await;
        from.ask::<()>(&format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}")).await;
        let keys: Vec<Vec<u8>> = from.ask(&format!("CLUSTER GETKEYSINSLOT {slot} 1000")).await;
        assert!(keys.len() > 2, "{}", keys.len());
        let mut migrate = redis::cmd("MIGRATE");
        migrate.arg("127.0.0.1").arg(to.port).arg("").arg(0).arg(5000).arg("KEYS").arg(keys);
        let _: () = by_hand(&from.url(), &mut migrate).await;
        for node in [to, from] {
            node.ask::<()>(&format!("CLUSTER SETSLOT {slot} NODE {to_id}")).await;
        }
    }
}

/// Of a master.
fn first_slot(master: usize) -> usize {
    master * SLOTS / 3
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Redis server: tests/run starts one"]
async fn in_a_cluster_the_contract_holds_and_copies_are_never_trusted() {
    let cluster = Cluster::start(0).await;
    conformance::suite(async || connect(&with_own_prefix(&cluster.url()))).await;
    let options = with_own_prefix(&cluster.url());
    let store = connect(&options);
    let cache = Arc::<Cache>::default();
    store.attach(cache.clone());
    for n in 0..200 {
        assert!(store.create(key(n), lasting(Some("ann"), b"first")).await.unwrap());
    }
    assert!(!*cache.trusted.lock().unwrap());
    assert_eq!(store.list_by_user("ann").await.unwrap().len(), 200);
    for node in &cluster.masters {
        assert!(node.ask::<u64>("DBSIZE").await > 50, "sessions lie on every node");
    }
    cluster.move_shard(&options, 7).await;
    for n in 0..200 {
        assert_eq!(store.update(key(n), 1, lasting(Some("ann"), b"second")).await.unwrap(), Updated::Done);
    }
    assert_eq!(store.list_by_user("ann").await.unwrap().len(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Redis server: tests/run starts one"]
async fn in_a_cluster_a_dead_master_costs_errors_until_its_replica_stands_in_and_no_session() {
    let mut cluster = Cluster::start(3).await;
    let options = impatient_at(&cluster.url());
    let store = Arc::new(connect(&options));
    let mut load = Load::prepare(store.clone()).await;
    load.run();
    load.goes_on().await;
    // The other way round in the second round: the one that came back must have everything.
    for _ in 0..2 {
        let (master, replica) = (&mut cluster.masters[0], &mut cluster.replicas[0]);
        replica.follows().await;
        master.kill();
        let began = Instant::now();
        // Every shard is asked.
        eventually("it is noticed", async || store.list_by_user("ann").await.is_err()).await;
        replica.is_promoted().await;
        let promoted = began.elapsed();
        eventually("all slots are served again", async || store.list_by_user("ann").await.is_ok()).await;
        println!(
            "node time-out {NODE_TIMEOUT:?}: a new master after {promoted:?}, all served after {:?}",
            began.elapsed()
        );
        // An election, and two or three seconds when the client hangs and is made anew.
        assert!(began.elapsed() < NODE_TIMEOUT + Duration::from_secs(6), "{:?}", began.elapsed());
        load.goes_on().await;
        master.restart();
        master.answers().await;
        master.follows().await;
        load.goes_on().await;
        std::mem::swap(master, replica);
        cluster.is_whole().await;
    }
    load.ends(&connect(&Options { timeout: Duration::from_secs(5), ..options })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Redis server: tests/run starts one"]
async fn in_a_cluster_a_delete_that_died_with_its_master_is_repeated() {
    let mut cluster = Cluster::start(3).await;
    let options = impatient_at(&cluster.url());
    let (store, other) = (connect(&options), connect(&options));
    store.create(key(1), lasting(Some("ann"), b"first")).await.unwrap();
    let keeper = cluster.keeper(&options, Names::shard(&key(1))).await;
    let (master, replica) = (&mut cluster.masters[keeper], &cluster.replicas[keeper]);
    eventually("the replica has it", async || replica.ask::<u64>("DBSIZE").await == 3).await;
    replica.loses_its_master(master).await;
    assert!(store.delete(key(1)).await.unwrap().is_some());
    master.kill();
    replica.is_promoted().await;
    let began = Instant::now();
    eventually("the delete is repeated", async || other.load(key(1)).await.is_ok_and(|entry| entry.is_none())).await;
    println!("repeated {:?} after the replica stood in", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(store.load(key(1)).await.unwrap().is_none());
}
