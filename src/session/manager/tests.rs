//! The life of a session without HTTP around it; time is moved, not slept.

use std::path::Path;
use std::time::Duration;

use super::super::changes::Change;
use super::super::recall::Recall;
use super::super::session::Session;
use super::*;
use crate::identity::Identity;
use crate::store::{CachedStore, MemoryStore};
use http::StatusCode;

const START: Timestamp = Timestamp(1_700_000_000_000);

fn manager(change: impl Fn(&mut schema::Session)) -> Manager {
    manager_on(Arc::new(MemoryStore::new(100)), change)
}

fn manager_on(store: Arc<dyn Store>, change: impl Fn(&mut schema::Session)) -> Manager {
    let mut session = schema::Session::default();
    change(&mut session);
    let keyring = Keyring::from_config(&["k".repeat(32).into()], Path::new("/")).unwrap();
    Manager::new(&session, None, keyring, store, AtRest::Sealed)
}

fn visit(now: Timestamp) -> Visit<'static> {
    Visit { now, address: [192, 0, 2, 1].into(), agent: None, https: true }
}

fn jar(cookies: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in cookies {
        headers.append("cookie", format!("sessionid={value}").parse().unwrap());
    }
    headers
}

fn id_in(committed: &Committed) -> String {
    let line = committed.set_cookie[0].to_str().unwrap();
    line.split(['=', ';']).nth(1).unwrap().to_owned()
}

fn ann() -> Identity {
    Identity::named("ann")
}

async fn open(manager: &Manager, cookies: &[&str], now: Timestamp) -> Session {
    manager.open(&jar(cookies), &Recall::default(), visit(now).address, now).await.unwrap()
}

async fn commit(manager: &Manager, session: Session, now: Timestamp) -> Committed {
    manager.commit(session, visit(now), StatusCode::OK).await.unwrap()
}

async fn signed_in(manager: &Manager) -> String {
    let mut session = open(manager, &[], START).await;
    session.sign_in(ann(), false);
    id_in(&commit(manager, session, START).await)
}

async fn user_of(manager: &Manager, id: &str, now: Timestamp) -> Option<String> {
    let session = open(manager, &[id], now).await;
    let user = session.identity().map(|identity| identity.user.to_string());
    commit(manager, session, now).await;
    user
}

fn hours(n: u64) -> Timestamp {
    START.plus(Duration::from_secs(n * 3600))
}

#[tokio::test]
async fn a_request_that_keeps_nothing_mints_no_session() {
    let manager = manager(|_| {});
    let session = open(&manager, &[&"z".repeat(32)], START).await;
    let committed = commit(&manager, session, START).await;
    assert!(id_in(&committed).is_empty(), "the browser may forget an id of nobody");
    assert_eq!(manager.store.sweep(Timestamp(u64::MAX), 10).await.unwrap().len(), 0);
}

#[tokio::test]
async fn create_always_mints_one_at_the_first_request() {
    let manager = manager(|session| session.create = schema::Create::Always);
    let session = open(&manager, &[], START).await;
    assert_eq!(id_in(&commit(&manager, session, START).await).len(), 32);
}

#[tokio::test]
async fn an_id_we_did_not_issue_is_never_adopted() {
    let manager = manager(|_| {});
    let planted = "p".repeat(32);
    let mut session = open(&manager, &[&planted], START).await;
    session.sign_in(ann(), false);
    let id = id_in(&commit(&manager, session, START).await);
    assert_ne!(id, planted);
    assert_eq!(user_of(&manager, &planted, START).await, None);
}

#[tokio::test]
async fn sign_in_gives_a_new_id_and_the_old_one_is_nobody() {
    let manager = manager(|_| {});
    let mut session = open(&manager, &[], START).await;
    session.csrf_or_begin(START).unwrap();
    let before = id_in(&commit(&manager, session, START).await);

    let mut session = open(&manager, &[&before], START).await;
    session.sign_in(ann(), false);
    let after = id_in(&commit(&manager, session, START).await);

    assert_ne!(before, after);
    assert_eq!(user_of(&manager, &before, START).await, None);
    assert_eq!(user_of(&manager, &after, START).await.as_deref(), Some("ann"));
}

#[tokio::test]
async fn an_ended_session_is_dead_for_every_holder_of_the_id() {
    let manager = manager(|_| {});
    let id = signed_in(&manager).await;
    let mut session = open(&manager, &[&id], START).await;
    session.end();
    let committed = commit(&manager, session, START).await;
    assert!(committed.set_cookie[0].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(user_of(&manager, &id, START).await, None);
}

#[tokio::test]
async fn idle_sessions_end_and_used_ones_live_until_the_absolute_timeout() {
    let manager = manager(|session| {
        session.idle_timeout = Some(schema::Duration::seconds(2 * 3600));
        session.absolute_timeout = schema::Duration::seconds(10 * 3600);
    });
    let (idle, used) = (signed_in(&manager).await, signed_in(&manager).await);
    for hour in 1..10 {
        assert_eq!(user_of(&manager, &used, hours(hour)).await.as_deref(), Some("ann"), "hour {hour}");
    }
    assert_eq!(user_of(&manager, &idle, hours(2)).await, None);
    assert_eq!(user_of(&manager, &used, hours(10)).await, None);
    assert_eq!(user_of(&manager, &idle, hours(0)).await, None, "a clock set back must not revive it");
}

/// Two gateways on one store that tells nobody of writes: the copy is as old as a copy can be.
#[tokio::test]
async fn a_copy_from_before_the_users_last_visit_ends_nothing() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(100));
    let here = manager_on(Arc::clone(&store), |session| session.rotate_every = None);
    let there = manager_on(Arc::new(CachedStore::new(store, 10)), |session| session.rotate_every = None);
    let id = signed_in(&here).await;
    assert_eq!(user_of(&there, &id, START).await.as_deref(), Some("ann"));
    let mut session = open(&here, &[&id], hours(20)).await;
    session.record_changes(vec![Change::Set("cart".into(), 1.into())]);
    commit(&here, session, hours(20)).await;
    assert_eq!(user_of(&there, &id, hours(30)).await.as_deref(), Some("ann"), "idle for 10 hours, not for 30");
    assert_eq!(user_of(&here, &id, hours(31)).await.as_deref(), Some("ann"), "nor was it deleted");
    assert_eq!(user_of(&there, &id, hours(60)).await, None);
}

#[tokio::test]
async fn a_request_that_is_no_activity_does_not_keep_the_session_alive() {
    let manager = manager(|session| session.idle_timeout = Some(schema::Duration::seconds(2 * 3600)));
    let id = signed_in(&manager).await;
    let mut session = open(&manager, &[&id], hours(1)).await;
    session.not_an_activity();
    commit(&manager, session, hours(1)).await;
    assert_eq!(user_of(&manager, &id, hours(2)).await, None);
}

#[tokio::test]
async fn of_several_cookies_the_one_valid_is_used_in_every_order() {
    let manager = manager(|_| {});
    let id = signed_in(&manager).await;
    let unknown = "u".repeat(32);
    for cookies in [[&id, &unknown, "x"], [&unknown, "x", &id], ["x", &id, &unknown], [&id, &id, &unknown]] {
        let session = open(&manager, &cookies, START).await;
        assert!(session.identity().is_some());
    }
}

#[tokio::test]
async fn of_several_valid_cookies_none_is_used_and_all_are_cleared() {
    let manager = manager(|_| {});
    let (one, two) = (signed_in(&manager).await, signed_in(&manager).await);
    for cookies in [[&*one, &two], [&two, &one]] {
        let session = open(&manager, &cookies, START).await;
        assert!(session.identity().is_none());
        let committed = commit(&manager, session, START).await;
        assert!(committed.clear_cookies && !committed.set_cookie.is_empty());
    }
}

#[tokio::test]
async fn revoking_a_user_ends_all_their_sessions_and_nobody_elses() {
    let manager = manager(|_| {});
    let ids = [signed_in(&manager).await, signed_in(&manager).await];
    let mut session = open(&manager, &[], START).await;
    session.sign_in(Identity::named("bob"), false);
    let bob = id_in(&commit(&manager, session, START).await);

    assert_eq!(manager.revoke_user("ann").await.unwrap(), 2);
    for id in &ids {
        assert_eq!(user_of(&manager, id, START).await, None);
    }
    assert_eq!(user_of(&manager, &bob, START).await.as_deref(), Some("bob"));
}

#[tokio::test]
async fn the_form_secret_changes_at_sign_in() {
    let manager = manager(|_| {});
    let mut session = open(&manager, &[], START).await;
    let before = session.csrf_or_begin(START).unwrap();
    let id = id_in(&commit(&manager, session, START).await);
    let mut session = open(&manager, &[&id], START).await;
    assert_eq!(session.csrf(), Some(&before));
    session.sign_in(ann(), false);
    let id = id_in(&commit(&manager, session, START).await);
    assert_ne!(open(&manager, &[&id], START).await.csrf(), Some(&before));
}

/// The way from the id that the browser has must last, all of it, for as long as the session is used.
#[tokio::test]
async fn a_browser_that_missed_two_ids_outlives_the_sweep() {
    let manager = manager(|_| {});
    let id = signed_in(&manager).await;
    for _ in 0..2 {
        let mut session = open(&manager, &[&id], START).await;
        session.record_changes(vec![Change::Rotate]);
        commit(&manager, session, START).await;
    }
    for hour in 1..=36 {
        assert_eq!(user_of(&manager, &id, hours(hour)).await.as_deref(), Some("ann"), "after {hour} hours");
        manager.sweep(hours(hour)).await.unwrap();
    }
}
