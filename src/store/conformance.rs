//! What every store must do, as one suite: a constructor in, the contract of `store::Store` out.

use super::{Entry, Handle, Key, Meta, Store, Updated};
use crate::clock::Timestamp;

/// Runs every row, each against a fresh store.
pub(crate) fn suite<S: Store>(new: impl Fn() -> S) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        create_inserts_only_if_absent(new()).await;
        absent_is_an_answer_not_an_error(new()).await;
        update_needs_the_version_that_was_read(new()).await;
        update_never_inserts(new()).await;
        touch_moves_forward_only_and_keeps_data(new()).await;
        a_write_may_shorten_the_deadline(new()).await;
        an_alias_is_nobodys_session_and_ends_like_one(new()).await;
        the_index_by_user_follows_every_write(new()).await;
        sweep_is_bounded_and_takes_the_expired_only(new()).await;
        count_follows_every_write(new()).await;
        new().ping().await.unwrap();
    });
}

pub(crate) fn key(n: u64) -> Key {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_ne_bytes());
    key[8..16].copy_from_slice(&n.to_ne_bytes());
    Key(key)
}

pub(crate) fn entry(user: Option<&str>) -> Entry {
    with_bytes(user, b"first")
}

/// What a rotation leaves under the old key.
pub(crate) fn alias() -> Entry {
    let meta = Meta { alias: true, ..meta(None) };
    Entry::new(meta, b"successor".as_slice().into(), Timestamp(0), Timestamp(1000))
}

fn with_bytes(user: Option<&str>, bytes: &[u8]) -> Entry {
    Entry::new(meta(user), bytes.into(), Timestamp(0), Timestamp(1000))
}

pub(crate) fn meta(user: Option<&str>) -> Meta {
    Meta {
        handle: Handle([7; 8]),
        user: user.map(Into::into),
        created: Timestamp(0),
        address: None,
        agent: None,
        alias: false,
    }
}

async fn create_inserts_only_if_absent(store: impl Store) {
    assert!(store.create(key(1), entry(None)).await.unwrap());
    assert!(!store.create(key(1), with_bytes(Some("eve"), b"other")).await.unwrap());
    assert_eq!(&*store.load(key(1)).await.unwrap().unwrap().bytes(), b"first");
}

async fn absent_is_an_answer_not_an_error(store: impl Store) {
    assert!(store.load(key(1)).await.unwrap().is_none());
    assert!(store.delete(key(1)).await.unwrap().is_none());
    store.touch(key(1), Timestamp(5), Timestamp(5)).await.unwrap();
    assert!(store.load(key(1)).await.unwrap().is_none());
}

async fn update_needs_the_version_that_was_read(store: impl Store) {
    store.create(key(1), entry(None)).await.unwrap();
    let seen = store.load(key(1)).await.unwrap().unwrap().version();
    assert_eq!(store.update(key(1), seen, with_bytes(None, b"second")).await.unwrap(), Updated::Done);
    assert_eq!(store.update(key(1), seen, with_bytes(None, b"third")).await.unwrap(), Updated::Conflict);
    let now = store.load(key(1)).await.unwrap().unwrap();
    assert_eq!((&*now.bytes(), now.version()), (b"second".as_slice(), seen + 1));
}

async fn update_never_inserts(store: impl Store) {
    store.create(key(1), entry(Some("ann"))).await.unwrap();
    let seen = store.load(key(1)).await.unwrap().unwrap().version();
    assert!(store.delete(key(1)).await.unwrap().is_some());
    assert_eq!(store.update(key(1), seen, entry(Some("ann"))).await.unwrap(), Updated::Absent);
    assert!(store.load(key(1)).await.unwrap().is_none());
    assert!(store.list_by_user("ann").await.unwrap().is_empty());
}

async fn touch_moves_forward_only_and_keeps_data(store: impl Store) {
    store.create(key(1), entry(None)).await.unwrap();
    store.touch(key(1), Timestamp(50), Timestamp(2000)).await.unwrap();
    store.touch(key(1), Timestamp(20), Timestamp(1500)).await.unwrap();
    let touched = store.load(key(1)).await.unwrap().unwrap();
    assert_eq!((touched.last_seen(), touched.deadline()), (Timestamp(50), Timestamp(2000)));
    assert_eq!((touched.bytes().as_ref(), touched.version()), (b"first".as_slice(), 1));
    store.update(key(1), 1, entry(None)).await.unwrap();
    assert_eq!(store.load(key(1)).await.unwrap().unwrap().last_seen(), Timestamp(50));
}

async fn a_write_may_shorten_the_deadline(store: impl Store) {
    store.create(key(1), entry(None)).await.unwrap();
    store.touch(key(1), Timestamp(50), Timestamp(2000)).await.unwrap();
    let shorter = Entry::new(meta(None), Box::default(), Timestamp(40), Timestamp(300));
    assert_eq!(store.update(key(1), 1, shorter).await.unwrap(), Updated::Done);
    let written = store.load(key(1)).await.unwrap().unwrap();
    assert_eq!((written.last_seen(), written.deadline()), (Timestamp(50), Timestamp(300)));
    assert_eq!(store.sweep(Timestamp(300), 100).await.unwrap().len(), 1);
}

async fn an_alias_is_nobodys_session_and_ends_like_one(store: impl Store) {
    store.create(key(1), entry(Some("ann"))).await.unwrap();
    store.create(key(2), entry(Some("ann"))).await.unwrap();
    assert_eq!(store.update(key(1), 1, alias()).await.unwrap(), Updated::Done);
    assert!(store.load(key(1)).await.unwrap().unwrap().meta.alias);
    let listed = store.list_by_user("ann").await.unwrap();
    assert_eq!(listed.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [key(2)]);
    assert!(store.delete(key(1)).await.unwrap().is_some());
    assert!(store.create(key(3), alias()).await.unwrap());
    assert_eq!(store.sweep(Timestamp(1000), 100).await.unwrap().len(), 2);
}

async fn the_index_by_user_follows_every_write(store: impl Store) {
    store.create(key(1), entry(Some("ann"))).await.unwrap();
    store.create(key(2), entry(None)).await.unwrap();
    assert_eq!(store.list_by_user("ann").await.unwrap().len(), 1);
    store.update(key(2), 1, entry(Some("ann"))).await.unwrap();
    assert_eq!(store.list_by_user("ann").await.unwrap().len(), 2);
    store.update(key(1), 1, entry(None)).await.unwrap();
    store.delete(key(2)).await.unwrap();
    assert!(store.list_by_user("ann").await.unwrap().is_empty());
}

async fn sweep_is_bounded_and_takes_the_expired_only(store: impl Store) {
    for n in 0..10 {
        store.create(key(n), entry(Some("ann"))).await.unwrap();
    }
    store.touch(key(3), Timestamp(10), Timestamp(5000)).await.unwrap();
    assert_eq!(store.sweep(Timestamp(999), 100).await.unwrap().len(), 0);
    assert_eq!(store.sweep(Timestamp(1000), 4).await.unwrap().len(), 4);
    assert_eq!(store.sweep(Timestamp(1000), 100).await.unwrap().len(), 5);
    assert_eq!(store.list_by_user("ann").await.unwrap().len(), 1);
}

async fn count_follows_every_write(store: impl Store) {
    assert_eq!(store.count().await.unwrap(), 0);
    for n in 0..10 {
        store.create(key(n), entry(None)).await.unwrap();
    }
    store.create(key(1), entry(None)).await.unwrap();
    store.update(key(2), 1, alias()).await.unwrap();
    store.delete(key(3)).await.unwrap();
    store.delete(key(3)).await.unwrap();
    assert_eq!(store.count().await.unwrap(), 9);
    store.sweep(Timestamp(1000), 4).await.unwrap();
    assert_eq!(store.count().await.unwrap(), 5);
}
