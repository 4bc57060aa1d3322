//! What every store must do, as one suite: fresh stores in, the contract of [`Store`] out.
//!
//! For tests, also those of stores outside this crate: `examples/own_store.rs`. A row that fails panics.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a row that cannot go on has failed")]

use std::collections::HashSet;

use super::{Cursor, Entry, Handle, Key, Meta, Store, Updated};
use crate::clock::Timestamp;

/// Runs every row, each against a store of its own that is empty.
pub async fn suite<S: Store>(fresh: impl AsyncFn() -> S) {
    create_inserts_only_if_absent(fresh().await).await;
    everything_comes_back_as_it_was(fresh().await).await;
    absent_is_an_answer_not_an_error(fresh().await).await;
    update_needs_the_version_that_was_read(fresh().await).await;
    update_never_inserts(fresh().await).await;
    delete_returns_the_latest_version(fresh().await).await;
    touch_moves_forward_only_and_keeps_data(fresh().await).await;
    a_write_may_shorten_the_deadline(fresh().await).await;
    an_alias_is_nobodys_session_and_ends_like_one(fresh().await).await;
    the_index_by_user_follows_every_write(fresh().await).await;
    sweep_is_bounded_and_takes_the_expired_only(fresh().await).await;
    count_follows_every_write(fresh().await).await;
    a_walk_meets_everything(fresh().await).await;
    a_foreign_cursor_leads_nowhere(fresh().await).await;
    fresh().await.ping().await.unwrap();
}

/// The `n`th key of many, evenly spread.
#[must_use]
pub fn key(n: u64) -> Key {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_ne_bytes());
    key[8..16].copy_from_slice(&n.to_ne_bytes());
    Key(key)
}

/// A session, perhaps of a user.
#[must_use]
pub fn entry(user: Option<&str>) -> Entry {
    with_bytes(user, b"first")
}

/// What a rotation leaves under the old key.
#[must_use]
pub fn alias() -> Entry {
    let meta = Meta { alias: true, ..meta(None) };
    Entry::new(meta, b"successor".as_slice().into(), Timestamp(0), Timestamp(1000))
}

fn with_bytes(user: Option<&str>, bytes: &[u8]) -> Entry {
    Entry::new(meta(user), bytes.into(), Timestamp(0), Timestamp(1000))
}

/// Its envelope.
#[must_use]
pub fn meta(user: Option<&str>) -> Meta {
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

async fn everything_comes_back_as_it_was(store: impl Store) {
    let whole = Meta {
        handle: Handle([0, 1, 0x7f, 0x80, 0xfe, 0xff, b'\'', b'%']),
        user: Some("änn o'neill\\ \u{1f9e5}".into()),
        created: Timestamp(1_800_000_000_123),
        address: Some("2001:db8::7".parse().unwrap()),
        agent: Some("Mozilla/5.0 (X11; \"quoted\")".into()),
        alias: false,
    };
    let bytes: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let entries = [
        (whole.clone(), bytes.as_slice(), Timestamp(1_800_000_000_456), Timestamp(1_900_000_000_789)),
        (
            Meta { address: Some("192.0.2.7".parse().unwrap()), ..whole },
            b"".as_slice(),
            Timestamp(0),
            Timestamp(u64::MAX),
        ),
        (meta(None), b"\0".as_slice(), Timestamp(1), Timestamp(1)),
        (alias().meta, b"successor".as_slice(), Timestamp(0), Timestamp(1)),
    ];
    for (n, (meta, bytes, seen, deadline)) in (0..).zip(entries) {
        assert!(store.create(key(n), Entry::new(meta.clone(), bytes.into(), seen, deadline)).await.unwrap());
        let back = store.load(key(n)).await.unwrap().unwrap();
        assert_eq!((&back.meta, &*back.bytes(), back.version()), (&meta, bytes, 1));
        assert_eq!((back.last_seen(), back.deadline()), (seen, deadline));
    }
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

async fn delete_returns_the_latest_version(store: impl Store) {
    store.create(key(1), entry(None)).await.unwrap();
    store.update(key(1), 1, with_bytes(Some("ann"), b"second")).await.unwrap();
    let gone = store.delete(key(1)).await.unwrap().unwrap();
    assert_eq!((&*gone.bytes(), gone.version(), gone.meta.user.as_deref()), (b"second".as_slice(), 2, Some("ann")));
    assert!(store.delete(key(1)).await.unwrap().is_none());
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

async fn a_walk_meets_everything(store: impl Store) {
    for n in 0..100 {
        store.create(key(n), if n % 10 == 0 { alias() } else { entry(Some("ann")) }).await.unwrap();
    }
    for limit in [1, 7, 1000] {
        let (mut met, mut from) = (HashSet::new(), None);
        loop {
            let page = store.page(from.as_ref(), limit).await.unwrap();
            met.extend(page.entries.iter().map(|(key, entry)| (*key, entry.meta.alias)));
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        assert_eq!(met, (0..100).map(|n| (key(n), n % 10 == 0)).collect());
    }
    assert!(store.page(None, 7).await.unwrap().entries.len() < 100, "pages must be bounded");
}

async fn a_foreign_cursor_leads_nowhere(store: impl Store) {
    store.create(key(1), entry(None)).await.unwrap();
    for cursor in [b"".as_slice(), b"x", &[0xff; 50]] {
        let _ = store.page(Some(&Cursor(cursor.into())), 10).await.unwrap();
    }
}
