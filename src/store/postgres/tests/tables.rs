//! What is in the database, and who may make it.

use std::collections::BTreeSet;

use super::*;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: tests/run starts one"]
async fn gateways_that_start_at_once_make_the_tables_once() {
    let prefix = prefix();
    let stores: Vec<_> = (0..8).map(|_| store(&options(&url(), &prefix))).collect();
    let mut pings = tokio::task::JoinSet::new();
    for store in stores {
        pings.spawn(async move { store.ping().await });
    }
    for ping in pings.join_all().await {
        ping.unwrap();
    }
    let rows = client(&url()).await.query(&format!("SELECT version FROM {prefix}schema"), &[]).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.get(0)).collect::<Vec<i64>>(), [1]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: tests/run starts one"]
async fn tables_of_a_newer_version_are_refused_with_a_remedy() {
    let prefix = prefix();
    store(&options(&url(), &prefix)).ping().await.unwrap();
    client(&url()).await.batch_execute(&format!("UPDATE {prefix}schema SET version = 7")).await.unwrap();
    let message = store(&options(&url(), &prefix)).ping().await.unwrap_err().to_string();
    assert!(message.contains("version 7") && message.contains("store.prefix"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: tests/run starts one"]
async fn a_role_that_may_not_create_works_when_the_tables_are_there() {
    let (prefix, admin) = (prefix(), client(&url()).await);
    let role = format!("{prefix}role");
    admin.batch_execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'secret'")).await.unwrap();
    let limited = options(&url().replace("cloakroom@", &format!("{role}:secret@")), &prefix);
    let message = store(&limited).ping().await.unwrap_err().to_string();
    assert!(message.contains("permission denied") && !message.contains("secret"), "{message}");
    store(&options(&url(), &prefix)).ping().await.unwrap();
    let grant = format!("GRANT SELECT ON {prefix}schema TO {role}; GRANT ALL ON {prefix}sessions TO {role}");
    admin.batch_execute(&grant).await.unwrap();
    let (store, key) = (store(&limited), conformance::key(1));
    assert!(store.create(key, conformance::entry(None)).await.unwrap());
    assert!(store.delete(key).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: tests/run starts one"]
async fn nothing_but_what_it_was_given_is_in_the_table() {
    let prefix = prefix();
    let store = store(&options(&url(), &prefix));
    let meta = crate::store::Meta { address: Some("192.0.2.7".parse().unwrap()), ..conformance::meta(Some("ann")) };
    let entry = Entry::new(meta, b"sealed".as_slice().into(), Timestamp(5), Timestamp(u64::MAX));
    store.create(conformance::key(1), entry).await.unwrap();
    let rows = client(&url()).await;
    let rows = rows.query(&format!("SELECT to_jsonb(s)::text FROM {prefix}sessions s"), &[]).await.unwrap();
    let row: serde_json::Value = serde_json::from_str(rows[0].get(0)).unwrap();
    let names = "address agent alias created data deadline due handle key last_seen user_name version";
    let columns: BTreeSet<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(columns, names.split(' ').collect());
    assert_eq!(row["data"], "\\x7365616c6564");
    assert_eq!(
        (&row["user_name"], &row["address"], &row["handle"]),
        (&"ann".into(), &"192.0.2.7".into(), &"0707070707070707".into())
    );
    assert_eq!((row["deadline"].as_i64(), row["last_seen"].as_i64()), (Some(i64::MAX), Some(5)));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: tests/run starts one"]
async fn a_row_that_cannot_be_read_hides_no_other() {
    let prefix = prefix();
    let store = store(&options(&url(), &prefix));
    for n in 0..3 {
        store.create(conformance::key(n), conformance::entry(Some("ann"))).await.unwrap();
    }
    let spoil = format!("UPDATE {prefix}sessions SET handle = 'x' WHERE key = $1");
    client(&url()).await.execute(&spoil, &[&conformance::key(1).0.as_slice()]).await.unwrap();
    assert_eq!(store.list_by_user("ann").await.unwrap().len(), 2);
    assert!(store.load(conformance::key(1)).await.unwrap().is_none());
    assert!(store.delete(conformance::key(1)).await.unwrap().is_none());
    assert_eq!(store.count().await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: tests/run starts one"]
async fn many_are_counted_about_and_few_exactly() {
    let prefix = prefix();
    let (store, admin) = (store(&options(&url(), &prefix)), client(&url()).await);
    store.ping().await.unwrap();
    let fill = format!(
        "INSERT INTO {prefix}sessions (key, handle, created, alias, version, last_seen, deadline, data)
        SELECT sha256(n::text::bytea), '', 0, false, 1, 0, 0, '' FROM generate_series(1, 60000) AS n"
    );
    admin.batch_execute(&fill).await.unwrap();
    let before = store.count().await.unwrap();
    admin.batch_execute(&format!("ANALYZE {prefix}sessions")).await.unwrap();
    for count in [before, store.count().await.unwrap()] {
        assert!((57_000..63_000).contains(&count), "{count}");
    }
    admin.batch_execute(&format!("DELETE FROM {prefix}sessions WHERE key > '\\x08'")).await.unwrap();
    let left = admin.query(&format!("SELECT count(*) FROM {prefix}sessions"), &[]).await.unwrap();
    assert_eq!(store.count().await.unwrap() as i64, left[0].get::<_, i64>(0));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: tests/run starts one"]
async fn touches_change_no_index() {
    let prefix = prefix();
    let (store, admin) = (store(&options(&url(), &prefix)), client(&url()).await);
    let (key, sizes) = (conformance::key(1), format!("SELECT pg_indexes_size('{prefix}sessions')"));
    store.create(key, conformance::entry(Some("ann"))).await.unwrap();
    let before: i64 = admin.query(&sizes, &[]).await.unwrap()[0].get(0);
    for n in 0..2000 {
        store.touch(key, Timestamp(n), Timestamp(1000 + n)).await.unwrap();
    }
    let after: i64 = admin.query(&sizes, &[]).await.unwrap()[0].get(0);
    assert_eq!(before, after);
    assert_eq!(store.load(key).await.unwrap().unwrap().deadline(), Timestamp(2999));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: tests/run starts one"]
async fn two_sweepers_share_the_work() {
    let options = options(&url(), &prefix());
    let (one, two) = (store(&options), store(&options));
    for n in 0..300 {
        one.create(conformance::key(n), conformance::entry(None)).await.unwrap();
    }
    let now = Timestamp(1000);
    let (a, b) = tokio::join!(one.sweep(now, 200), two.sweep(now, 200));
    let rest = one.sweep(now, 1000).await.unwrap().len();
    assert_eq!(a.unwrap().len() + b.unwrap().len() + rest, 300);
}
