//! One store, one server: the contract, and what lies in Redis.

use super::*;

#[tokio::test]
#[ignore = "needs a Redis server: tests/run starts one"]
async fn it_keeps_the_contract_of_every_store() {
    conformance::suite(async || connect(&options())).await;
}

#[tokio::test]
#[ignore = "needs a Redis server: tests/run starts one"]
async fn every_key_has_a_time_to_live() {
    let options = options();
    let store = connect(&options);
    for n in 0..100 {
        let deadline = if n % 2 == 0 { Timestamp(1000) } else { Timestamp(u64::MAX) };
        let entry = Entry::new(meta((n % 3 == 0).then_some("ann")), Box::default(), Timestamp(0), deadline);
        store.create(key(n), entry).await.unwrap();
    }
    for n in 0..50 {
        store.update(key(n), 1, entry(Some("bob"))).await.unwrap();
        store.touch(key(n + 25), Timestamp(5), Timestamp(5000)).await.unwrap();
    }
    for n in 0..20 {
        store.delete(key(n)).await.unwrap();
    }
    store.sweep(Timestamp(1000), 10).await.unwrap();
    let names = names_under(&options).await;
    assert!(names.len() > 150, "{}", names.len());
    for name in names {
        let ttl: i64 = by_hand(&options.url, redis::cmd("TTL").arg(&name)).await;
        assert!((1..=LONGEST.as_secs() as i64 + 86_400).contains(&ttl), "{ttl} {}", name.escape_ascii());
    }
}

/// Every name under the prefix.
async fn names_under(options: &Options) -> Vec<Vec<u8>> {
    let (mut names, mut cursor) = (Vec::new(), 0u64);
    loop {
        let pattern = format!("{}*", options.prefix);
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(1000);
        let (next, met): (u64, Vec<Vec<u8>>) = by_hand(&options.url, &mut scan).await;
        names.extend(met);
        cursor = next;
        if cursor == 0 {
            return names;
        }
    }
}

#[tokio::test]
#[ignore = "needs a Redis server: tests/run starts one"]
async fn redis_holds_an_entry_and_its_indexes_and_nothing_else() {
    let options = options();
    let store = connect(&options);
    store.create(key(1), lasting(Some("ann"), b"sealed")).await.unwrap();
    let names = names_under(&options).await;
    let store_names = Names::new(&options.prefix);
    let shard = Names::shard(&key(1));
    let mut wanted = vec![
        store_names.entry(&key(1)),
        store_names.deadlines(shard),
        [store_names.users(shard).as_slice(), b"ann"].concat(),
    ];
    wanted.sort();
    let mut found = names;
    found.sort();
    assert_eq!(found, wanted);
    let value: Vec<u8> = by_hand(&options.url, redis::cmd("GET").arg(store_names.entry(&key(1)))).await;
    let again = codec::decode(&value).unwrap().unwrap();
    let writer = value[11..19].try_into().unwrap();
    assert_eq!(codec::encode(&again, 1, writer).unwrap(), value);
    store.delete(key(1)).await.unwrap();
    let moment: u64 = by_hand(&options.url, redis::cmd("PTTL").arg(store_names.deleted(&key(1)))).await;
    assert!(moment <= DELETED.as_millis() as u64, "{moment}");
    let _: u64 = by_hand(&options.url, redis::cmd("DEL").arg(store_names.deleted(&key(1)))).await;
    assert_eq!(names_under(&options).await, [store_names.entry(&key(1))]);
    let tombstone: Vec<u8> = by_hand(&options.url, redis::cmd("GET").arg(store_names.entry(&key(1)))).await;
    assert_eq!((tombstone[0], tombstone.len()), (b'x', 9));
}

#[tokio::test]
#[ignore = "needs a Redis server: tests/run starts one"]
async fn a_deleted_key_cannot_be_created_again_by_a_write_that_was_held_up() {
    let store = connect(&options());
    store.create(key(1), lasting(None, b"first")).await.unwrap();
    store.delete(key(1)).await.unwrap();
    assert!(!store.create(key(1), lasting(None, b"late")).await.unwrap());
    assert!(store.load(key(1)).await.unwrap().is_none());
    assert_eq!(store.count().await.unwrap(), 0);
}

#[tokio::test]
#[ignore = "needs a Redis server: tests/run starts one"]
async fn a_write_that_is_sent_twice_is_done_once() {
    let store = connect(&options());
    store.ping().await.unwrap();
    let connection = store.shared.link.borrow().clone().unwrap();
    let twice = async |script: &Program, value: &[u8], more: &[&[u8]]| {
        let ttl = b"1000000".as_slice();
        let arguments = [&[value, ttl], more].concat();
        let first = store.shared.run(script, connection.clone(), key(1), &arguments).await.unwrap();
        let second = store.shared.run(script, connection.clone(), key(1), &arguments).await.unwrap();
        (first, second)
    };
    let scripts = &store.shared.scripts;
    let value = store.shared.encoded("create", &entry(None), 1).unwrap();
    let created = twice(&scripts.create, &value, &[]).await;
    assert_eq!(created, (Value::Int(1), Value::Int(1)));
    let value = store.shared.encoded("update", &entry(None), 2).unwrap();
    let done = || Value::Array(vec![Value::Int(2), Value::Int(0)]);
    let updated = twice(&scripts.update, &value, &[&codec::version(1), b"", b"operation"]).await;
    assert_eq!(updated, (done(), done()));
    assert_eq!(store.load(key(1)).await.unwrap().unwrap().version(), 2);
    let mut connection = connection;
    for (writer, finds_it) in [(7, true), (7, true), (8, false)] {
        let (value, _, _) = store.shared.bury(&mut connection, key(1), [writer; 8]).await.unwrap();
        assert_eq!(value.is_some(), finds_it);
    }
}

#[tokio::test]
#[ignore = "needs a Redis server: tests/run starts one"]
async fn lists_and_walks_are_right_when_redis_evicts() {
    let options = options();
    let store = connect(&options);
    for n in 0..10 {
        store.create(key(n), entry(Some("ann"))).await.unwrap();
    }
    for n in 0..5 {
        let name = Names::new(&options.prefix).entry(&key(n));
        let _: u64 = by_hand(&options.url, redis::cmd("DEL").arg(name)).await;
    }
    assert_eq!(store.list_by_user("ann").await.unwrap().len(), 5);
    assert_eq!(store.page(None, 1000).await.unwrap().entries.len(), 5);
    assert_eq!(store.count().await.unwrap(), 5, "what a list met and found gone is no longer counted");
    assert_eq!(store.sweep(Timestamp(1000), 100).await.unwrap().len(), 5);
    assert_eq!(store.count().await.unwrap(), 0);
}

#[tokio::test]
#[ignore = "needs a Redis server: tests/run starts one"]
async fn what_a_newer_version_wrote_is_an_error_and_not_an_absence() {
    let options = options();
    let store = connect(&options);
    store.create(key(1), entry(Some("ann"))).await.unwrap();
    let name = Names::new(&options.prefix).entry(&key(1));
    let _: () = by_hand(&options.url, redis::cmd("SET").arg(name).arg("2 something else").arg("KEEPTTL")).await;
    assert!(store.load(key(1)).await.is_err());
    assert!(store.delete(key(1)).await.is_err());
    assert!(store.list_by_user("ann").await.unwrap().is_empty());
}

#[tokio::test]
#[ignore = "needs a Redis server: tests/run starts one"]
async fn scripts_that_the_server_has_forgotten_are_sent_again() {
    let server = Server::start("").await;
    let store = connect(&with_own_prefix(&server.url()));
    store.create(key(1), entry(None)).await.unwrap();
    server.ask::<()>("SCRIPT FLUSH").await;
    assert!(store.create(key(2), entry(None)).await.unwrap());
}
