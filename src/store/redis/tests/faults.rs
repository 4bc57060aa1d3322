//! One server that hangs, dies, comes back: an error in time, nothing lost, back within a second.

use super::*;

pub(super) const DEADLINE: Duration = Duration::from_millis(250);

fn impatient(server: &Server) -> Options {
    impatient_at(&server.url())
}

pub(super) fn impatient_at(url: &str) -> Options {
    Options { timeout: DEADLINE, ..with_own_prefix(url) }
}

/// How long it takes until the store answers again.
pub(super) async fn back_after(store: &RedisStore) -> Duration {
    let began = Instant::now();
    eventually("the store answers again", async || store.ping().await.is_ok()).await;
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Redis server: tests/run starts one"]
async fn a_frozen_server_costs_the_deadline_and_then_nothing() {
    let server = Server::start("").await;
    let gateway = Gateway::start(&impatient(&server)).await;
    gateway.store.create(key(1), lasting(Some("ann"), b"first")).await.unwrap();
    gateway.load(key(1)).await.unwrap();
    server.freeze();
    // As long as one likes: CLOAKROOM_TEST_FREEZE=30.
    let seconds = std::env::var("CLOAKROOM_TEST_FREEZE").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(5);
    let frozen = Duration::from_secs(seconds);
    let mut slow = 0;
    let began = Instant::now();
    while began.elapsed() < frozen {
        let asked = Instant::now();
        assert!(matches!(gateway.store.load(key(1)).await, Err(Error::Unreachable(_))));
        assert!(asked.elapsed() < DEADLINE * 2, "{:?}", asked.elapsed());
        slow += u64::from(asked.elapsed() > DEADLINE / 2);
        sleep(Duration::from_millis(5)).await;
    }
    // Those that found out, with one more on a busy machine; however long it hangs, nobody waits again to see.
    assert!((1..=6).contains(&slow), "{slow} requests waited");
    assert!(!*gateway.cache.trusted.lock().unwrap(), "copies are used though nobody tells of changes");
    server.thaw();
    let back = back_after(&gateway.store).await;
    assert!(back < Duration::from_secs(1), "{back:?}");
    assert_eq!(&*gateway.store.load(key(1)).await.unwrap().unwrap().bytes(), b"first");
    gateway.trusts(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Redis server: tests/run starts one"]
async fn a_killed_server_comes_back_with_every_acknowledged_write() {
    let mut server = Server::start("--appendonly yes --appendfsync always").await;
    let gateway = Gateway::start(&impatient(&server)).await;
    for round in 0..5 {
        for n in 0..20 {
            gateway.store.create(key(round * 20 + n), lasting(Some("ann"), b"first")).await.unwrap();
        }
        gateway.delete(key(round * 20)).await.unwrap().unwrap();
        server.kill();
        gateway.trusts(false).await;
        assert!(matches!(gateway.store.load(key(1)).await, Err(Error::Unreachable(_))));
        server.restart();
        server.answers().await;
        let back = back_after(&gateway.store).await;
        assert!(back < Duration::from_secs(1), "{back:?}");
        assert_eq!(gateway.store.list_by_user("ann").await.unwrap().len() as u64, (round + 1) * 19);
        assert!(gateway.store.load(key(round * 20)).await.unwrap().is_none());
        gateway.trusts(true).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Redis server: tests/run starts one"]
async fn cut_connections_cost_no_request_and_no_write() {
    let server = Server::start("").await;
    let options = Options { timeout: Duration::from_secs(2), ..with_own_prefix(&server.url()) };
    let gateway = Arc::new(Gateway::start(&options).await);
    gateway.store.create(key(1), lasting(None, b"0")).await.unwrap();
    let counting = {
        let gateway = gateway.clone();
        tokio::spawn(async move {
            for n in 0..300u64 {
                let read = gateway.load(key(1)).await.unwrap().unwrap();
                assert_eq!((read.version(), read.bytes().to_vec()), (n + 1, n.to_string().into_bytes()));
                let written = lasting(None, (n + 1).to_string().as_bytes());
                assert_eq!(gateway.update(key(1), n + 1, written).await.unwrap(), Updated::Done);
                assert!(gateway.store.create(key(n + 2), lasting(Some("ann"), b"first")).await.unwrap());
                assert!(gateway.delete(key(n + 2)).await.unwrap().is_some());
            }
        })
    };
    let mut cuts = 0;
    while !counting.is_finished() {
        let _: u64 = server.ask("CLIENT KILL TYPE normal SKIPME yes").await;
        let _: u64 = server.ask("CLIENT KILL TYPE pubsub SKIPME yes").await;
        cuts += 1;
        sleep(Duration::from_millis(20)).await;
    }
    counting.await.unwrap();
    assert!(cuts > 5, "{cuts}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Redis server: tests/run starts one"]
async fn a_store_starts_before_its_server() {
    let mut server = Server::start("").await;
    server.kill();
    let store = connect(&impatient(&server));
    let refused = store.create(key(1), entry(None)).await.unwrap_err().to_string();
    assert!(refused.contains("create: Redis at 127.0.0.1:"), "{refused}");
    server.restart();
    server.answers().await;
    assert!(back_after(&store).await < Duration::from_secs(1));
    assert!(store.create(key(1), entry(None)).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Redis server: tests/run starts one"]
async fn a_gateway_that_hangs_holds_up_a_write_once_and_briefly() {
    let server = Server::start("").await;
    let options = impatient(&server);
    let gateway = Gateway::start(&options).await;
    // Subscribes, and never confirms.
    let client = redis::Client::open(server.url() + "/?protocol=resp3").unwrap();
    let mut deaf = client.get_multiplexed_async_connection().await.unwrap();
    deaf.subscribe(Names::new(&options.prefix).changes()).await.unwrap();
    for n in 0..2 {
        gateway.store.create(key(n), lasting(None, b"first")).await.unwrap();
        let asked = Instant::now();
        assert!(gateway.delete(key(n)).await.unwrap().is_some());
        let limit = if n == 0 { DEADLINE * 2 } else { DEADLINE / 2 };
        assert!(asked.elapsed() < limit, "{:?}", asked.elapsed());
        assert!(n > 0 || asked.elapsed() >= DEADLINE, "{:?}", asked.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Redis server: tests/run starts one"]
async fn a_delete_that_the_server_lost_is_repeated() {
    let server = Server::start("").await;
    let options = impatient(&server);
    let store = connect(&options);
    store.create(key(1), lasting(Some("ann"), b"first")).await.unwrap();
    let name = Names::new(&options.prefix).entry(&key(1));
    let value: Vec<u8> = by_hand(&server.url(), redis::cmd("GET").arg(&name)).await;
    store.delete(key(1)).await.unwrap().unwrap();
    // What a master does that replaces another before it has heard of the delete.
    let _: () = by_hand(&server.url(), redis::cmd("SET").arg(&name).arg(value)).await;
    assert!(store.load(key(1)).await.unwrap().is_some());
    let _: u64 = server.ask("CLIENT KILL TYPE pubsub").await;
    eventually("the delete is repeated", async || store.load(key(1)).await.is_ok_and(|entry| entry.is_none())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Redis server: tests/run starts one"]
async fn a_master_that_became_a_replica_is_left_for_the_new_one() {
    let (server, other) = (Server::start("").await, Server::start("").await);
    let store = connect(&impatient(&server));
    store.create(key(1), entry(None)).await.unwrap();
    server.ask::<()>(&format!("REPLICAOF 127.0.0.1 {}", other.port)).await;
    assert!(matches!(store.create(key(2), entry(None)).await, Err(Error::Unreachable(_))));
    server.ask::<()>("REPLICAOF NO ONE").await;
    assert!(back_after(&store).await < Duration::from_secs(1));
    assert!(store.create(key(3), entry(None)).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Redis server: tests/run starts one"]
async fn a_master_that_wants_replicas_before_it_writes_ends_nothing_by_halves() {
    let server = Server::start("").await;
    let store = connect(&impatient(&server));
    store.create(key(1), lasting(Some("ann"), b"first")).await.unwrap();
    server.ask::<()>("CONFIG SET min-replicas-to-write 1").await;
    assert!(matches!(store.create(key(2), entry(Some("ann"))).await, Err(Error::Unreachable(_))));
    assert!(matches!(store.update(key(1), 1, entry(None)).await, Err(Error::Unreachable(_))));
    assert!(matches!(store.delete(key(1)).await, Err(Error::Unreachable(_))));
    assert_eq!(&*store.load(key(1)).await.unwrap().unwrap().bytes(), b"first");
    server.ask::<()>("CONFIG SET min-replicas-to-write 0").await;
    assert_eq!(store.list_by_user("ann").await.unwrap().len(), 1);
    assert!(store.delete(key(1)).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Redis server: tests/run starts one"]
async fn tls_and_passwords_are_used_and_checked() {
    // Another part of the process may have done so.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = tempfile::tempdir().unwrap();
    let (certificate, key_file) = (files.path().join("c.pem"), files.path().join("k.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key_file, made.signing_key.serialize_pem()).unwrap();
    let port = server::free_port();
    let arguments = format!(
        "--tls-port {port} --tls-cert-file {} --tls-key-file {} --tls-auth-clients no",
        certificate.display(),
        key_file.display(),
    );
    let server = Server::start(&arguments).await;
    server.ask::<()>("CONFIG SET requirepass hush").await;
    let ca = Some(made.cert.pem().into_bytes());
    let options = |url: &str, ca| Options { ca, timeout: Duration::from_secs(2), ..with_own_prefix(url) };
    let good = options(&format!("rediss://:hush@localhost:{port}"), ca.clone());
    connect(&good).ping().await.unwrap();
    for bad in [
        options(&format!("rediss://:hush@localhost:{port}"), None),
        options(&format!("rediss://:hush@127.0.0.1:{port}"), ca.clone()),
        options(&format!("rediss://:wrong-hush@localhost:{port}"), ca.clone()),
        options(&format!("redis://:hush@localhost:{port}"), None),
    ] {
        let error = connect(&bad).ping().await.unwrap_err().to_string();
        assert!(error.contains("not connected: ") && !error.contains("hush"), "{error}");
    }
}
