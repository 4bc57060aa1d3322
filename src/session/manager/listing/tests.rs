//! Lists and walks over a store that holds more than living sessions.

use std::collections::HashSet;
use std::path::Path;

use http::{HeaderMap, StatusCode};

use super::super::super::keyring::Keyring;
use super::super::super::recall::Recall;
use super::super::{AtRest, Visit};
use super::*;
use crate::config::schema;
use crate::store::conformance::{alias, key};
use crate::store::{MemoryStore, Meta};

const NOW: Timestamp = Timestamp(1000);

fn manager() -> Manager {
    let keyring = Keyring::from_config(&["k".repeat(32).into()], Path::new("/")).unwrap();
    Manager::new(&schema::Session::default(), None, keyring, Arc::new(MemoryStore::new(100_000)), AtRest::Sealed)
}

/// The `n`th session; it ends at `deadline`.
fn session(n: u64, user: Option<&str>, deadline: u64) -> Entry {
    let meta =
        Meta { handle: Handle(n.to_be_bytes()), user: user.map(Into::into), created: Timestamp(n / 2), ..alias().meta };
    Entry::new(Meta { alias: false, ..meta }, Box::default(), Timestamp(n), Timestamp(deadline))
}

async fn all(manager: &Manager, user: Option<&str>, limit: usize) -> Vec<Handle> {
    let (mut handles, mut from) = (Vec::new(), None::<Box<[u8]>>);
    loop {
        let listing = match user {
            Some(user) => manager.list_of_user(user, from.as_deref(), limit, NOW).await.unwrap(),
            None => manager.list(from.as_deref(), limit, NOW).await.unwrap(),
        };
        assert!(listing.sessions.len() <= limit);
        handles.extend(listing.sessions.iter().map(|listed| listed.handle));
        from = listing.next;
        if from.is_none() {
            return handles;
        }
    }
}

#[tokio::test]
async fn a_list_has_every_living_session_once_whatever_the_limit() {
    let manager = manager();
    for n in 0..300 {
        let deadline = if n % 3 == 0 { NOW.0 } else { NOW.0 + 1 };
        manager.store.create(key(n), session(n, Some("ann").filter(|_| n % 2 == 0), deadline)).await.unwrap();
        manager.store.create(key(1000 + n), alias()).await.unwrap();
    }
    for limit in [1, 7, 100, 1000] {
        let (everybody, anns) = (all(&manager, None, limit).await, all(&manager, Some("ann"), limit).await);
        assert_eq!((everybody.len(), anns.len()), (200, 100));
        assert_eq!(everybody.iter().collect::<HashSet<_>>().len(), 200);
        let numbers: Vec<u64> = anns.iter().map(|handle| u64::from_be_bytes(handle.0)).collect();
        assert!(numbers.is_sorted_by(|a, b| a > b), "the newest first: {numbers:?}");
    }
    assert_eq!(manager.estimate_living(NOW).await.unwrap(), 200);
}

#[tokio::test]
async fn many_sessions_are_estimated_from_a_few() {
    let manager = manager();
    for n in 0..20_000 {
        manager.store.create(key(n), session(n, None, NOW.0 + n % 2)).await.unwrap();
    }
    let living = manager.estimate_living(NOW).await.unwrap();
    assert!((9000..=11_000).contains(&living), "{living}");
}

#[tokio::test]
async fn a_session_is_found_and_ended_by_its_name() {
    let manager = manager();
    for n in 0..5000 {
        manager.store.create(key(n), session(n, None, NOW.0 + 1)).await.unwrap();
    }
    let handle = Handle(4321_u64.to_be_bytes());
    assert_eq!(manager.find_by_handle(handle, NOW).await.unwrap().unwrap().handle, handle);
    assert!(manager.revoke_by_handle(handle, NOW).await.unwrap());
    assert!(!manager.revoke_by_handle(handle, NOW).await.unwrap());
    assert!(manager.find_by_handle(handle, NOW).await.unwrap().is_none());
    assert_eq!(manager.count().await.unwrap(), 4999);
}

#[tokio::test]
async fn what_has_expired_or_was_replaced_has_no_name() {
    let manager = manager();
    manager.store.create(key(1), session(1, None, NOW.0)).await.unwrap();
    manager.store.create(key(2), alias()).await.unwrap();
    for handle in [Handle(1_u64.to_be_bytes()), alias().meta.handle] {
        assert!(manager.find_by_handle(handle, NOW).await.unwrap().is_none());
        assert!(!manager.revoke_by_handle(handle, NOW).await.unwrap());
    }
}

#[tokio::test]
async fn what_is_no_cursor_leads_nowhere() {
    let manager = manager();
    manager.store.create(key(1), session(1, Some("ann"), NOW.0 + 1)).await.unwrap();
    assert!(manager.list(Some(b"x"), 10, NOW).await.unwrap().sessions.is_empty());
    assert!(manager.list_of_user("ann", Some(&[0xff; 16]), 10, NOW).await.unwrap().sessions.is_empty());
    assert!(manager.look_up(b"no id", NOW).await.unwrap().is_none());
}

#[tokio::test]
async fn a_sealed_record_opens_for_its_id_alone() {
    let manager = manager();
    let address = [192, 0, 2, 1].into();
    let visit = Visit { now: NOW, address, agent: None, https: true };
    let mut session = manager.open(&HeaderMap::new(), &Recall::default(), address, NOW).await.unwrap();
    session.sign_in(Identity::named("ann"), false);
    let committed = manager.commit(session, visit, StatusCode::OK).await.unwrap();
    let cookie = committed.set_cookie[0].to_str().unwrap();
    let id = cookie.split(['=', ';']).nth(1).unwrap();
    let shown = manager.look_up(id.as_bytes(), NOW).await.unwrap().unwrap();
    assert_eq!((&*shown.identity.unwrap().user, shown.since), ("ann", NOW));
    assert_eq!(manager.list(None, 10, NOW).await.unwrap().sessions, std::slice::from_ref(&shown.listed));
    assert!(manager.look_up(&[b'a'; 32], NOW).await.unwrap().is_none());
    assert!(manager.revoke_by_handle(shown.listed.handle, NOW).await.unwrap());
    assert!(manager.look_up(id.as_bytes(), NOW).await.unwrap().is_none());
}
