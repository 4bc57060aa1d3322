//! A held session, asked again after all that can happen to one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};

use super::super::super::keyring::Keyring;
use super::super::super::recall::Recall;
use super::super::{AtRest, Visit};
use super::*;
use crate::config::schema;
use crate::identity::Identity;
use crate::store::{CachedStore, MemoryStore, Store};

const START: Timestamp = Timestamp(1_700_000_000_000);
const HERE: [u8; 4] = [192, 0, 2, 1];

fn manager_on(store: Arc<dyn Store>) -> Manager {
    let session = schema::Session {
        idle_timeout: Some(schema::Duration::seconds(3600)),
        absolute_timeout: schema::Duration::seconds(10 * 3600),
        ..schema::Session::default()
    };
    let keyring = Keyring::from_config(&["k".repeat(32).into()], Path::new("/")).unwrap();
    Manager::new(&session, None, keyring, store, AtRest::Sealed)
}

fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(100_000))
}

fn minutes(n: u64) -> Timestamp {
    START.plus(Duration::from_secs(n * 60))
}

async fn open(manager: &Manager, id: &str, now: Timestamp) -> Session {
    let mut headers = HeaderMap::new();
    headers.insert("cookie", format!("sessionid={id}").parse().unwrap());
    manager.open(&headers, &Recall::default(), HERE.into(), now).await.unwrap()
}

/// Returns the id that the browser has afterwards.
async fn ask(manager: &Manager, id: &str, now: Timestamp, changes: Vec<Change>) -> String {
    let mut session = open(manager, id, now).await;
    session.record_changes(changes);
    let visit = Visit { now, address: HERE.into(), agent: None, https: true };
    let committed = manager.commit(session, visit, StatusCode::OK).await.unwrap();
    let line = committed.set_cookie.first().map(|line| line.to_str().unwrap().to_owned());
    line.map_or(id.to_owned(), |line| line.split(['=', ';']).nth(1).unwrap().to_owned())
}

fn sign_in(user: &str) -> Change {
    Change::SignIn { identity: Box::new(Identity::named(user)), remember: false, vault: None }
}

async fn signed_in(manager: &Manager) -> (String, Held) {
    let id = ask(manager, "", START, vec![sign_in("ann")]).await;
    let held = open(manager, &id, START).await.held(HERE.into()).unwrap();
    (id, held)
}

async fn lives(manager: &Manager, held: &mut Held, now: Timestamp) -> bool {
    manager.still_lives(held, false, now).await.unwrap()
}

#[tokio::test]
async fn whoever_is_not_signed_in_holds_nothing() {
    let manager = manager_on(memory());
    assert!(open(&manager, "", START).await.held(HERE.into()).is_none());
    let id = ask(&manager, "", START, vec![Change::Set("cart".into(), 1.into())]).await;
    assert!(open(&manager, &id, START).await.held(HERE.into()).is_none());
}

#[tokio::test]
async fn it_ends_with_the_session_however_that_ends() {
    for (name, change) in
        [("signed out", Change::Flush), ("another user", sign_in("bob")), ("the same user once more", sign_in("ann"))]
    {
        let manager = manager_on(memory());
        let (id, mut held) = signed_in(&manager).await;
        assert!(lives(&manager, &mut held, START).await);
        ask(&manager, &id, START, vec![change]).await;
        assert!(!lives(&manager, &mut held, START).await, "{name}");
    }
    let manager = manager_on(memory());
    let (_, mut held) = signed_in(&manager).await;
    manager.revoke_user("ann").await.unwrap();
    assert!(!lives(&manager, &mut held, START).await);
}

/// The id is another then, and the old one worth nothing: what a thief has open with it, elsewhere, ends.
#[tokio::test]
async fn it_goes_on_when_its_own_browser_ends_all_other_sessions_and_no_stranger_does() {
    let manager = manager_on(memory());
    let (id, mut held) = signed_in(&manager).await;
    let mut stolen = Held { address: [192, 0, 2, 66].into(), ..held.clone() };
    let (_, mut other) = signed_in(&manager).await;
    let id = ask(&manager, &id, START, vec![Change::RevokeOthers]).await;
    assert!(lives(&manager, &mut held, START).await);
    assert!(!lives(&manager, &mut stolen, START).await && !lives(&manager, &mut other, START).await);
    let id = ask(&manager, &id, START, vec![Change::Rotate]).await;
    let id = ask(&manager, &id, START, vec![Change::RevokeOthers]).await;
    assert!(lives(&manager, &mut held, START).await);
    ask(&manager, &id, START, vec![Change::Flush]).await;
    assert!(!lives(&manager, &mut held, START).await);
}

#[tokio::test]
async fn times_are_judged_and_nothing_is_done_about_them() {
    let manager = manager_on(memory());
    let (id, mut held) = signed_in(&manager).await;
    assert!(lives(&manager, &mut held, minutes(59)).await);
    assert!(!lives(&manager, &mut held, minutes(60)).await);
    assert!(open(&manager, &id, minutes(59)).await.identity().is_some(), "neither touched nor deleted");
}

#[tokio::test]
async fn what_is_used_keeps_the_session_alive_until_the_absolute_timeout() {
    let manager = manager_on(memory());
    let (_, mut held) = signed_in(&manager).await;
    for minute in (0..600).step_by(30) {
        assert!(manager.still_lives(&mut held, true, minutes(minute)).await.unwrap(), "minute {minute}");
    }
    assert!(!manager.still_lives(&mut held, true, minutes(600)).await.unwrap());
}

/// A replaced id is forgotten one day: whoever holds on goes along with each replacement.
#[tokio::test]
async fn a_replaced_id_ends_nothing_and_to_follow_it_is_no_use_of_it() {
    let manager = manager_on(memory());
    let (mut id, mut held) = signed_in(&manager).await;
    for minute in 1..=5 {
        let mut late = held.clone();
        let next = ask(&manager, &id, minutes(minute), vec![Change::Rotate]).await;
        assert_ne!(next, id);
        assert!(lives(&manager, &mut held, minutes(minute)).await);
        assert_eq!(ask(&manager, &next, minutes(minute), vec![]).await, next, "from here the grace runs");
        // A browser that came so late would be a thief, and nobody would keep the session.
        assert!(lives(&manager, &mut late, minutes(minute + 1)).await);
        assert!(lives(&manager, &mut held, minutes(minute + 1)).await);
        id = next;
    }
    ask(&manager, &id, minutes(5), vec![Change::Rotate]).await;
    ask(&manager, &id, minutes(5), vec![Change::Flush]).await;
    assert!(!lives(&manager, &mut held, minutes(5)).await, "ended before anybody had followed");
}

#[tokio::test]
async fn several_replacements_in_between_are_followed_at_once() {
    let manager = manager_on(memory());
    let (mut id, mut held) = signed_in(&manager).await;
    for _ in 0..5 {
        id = ask(&manager, &id, START, vec![Change::Rotate]).await;
        ask(&manager, &id, START, vec![]).await;
    }
    assert!(lives(&manager, &mut held, START).await);
    assert_eq!(held.key, Id::parse(id.as_bytes()).unwrap().key());
}

/// Two gateways on a store that tells nobody of writes: the copy is as old as a copy can be.
#[tokio::test]
async fn a_copy_from_before_the_users_last_visit_ends_nothing() {
    let store = memory();
    let (here, there) = (manager_on(Arc::clone(&store)), manager_on(Arc::new(CachedStore::new(store, 10))));
    let (id, _) = signed_in(&here).await;
    let mut held = open(&there, &id, START).await.held(HERE.into()).unwrap();
    ask(&here, &id, minutes(50), vec![]).await;
    assert!(lives(&there, &mut held, minutes(70)).await);
    assert!(!lives(&there, &mut held, minutes(120)).await);
}

#[tokio::test]
async fn an_answer_that_itself_ends_the_session_is_known() {
    let manager = manager_on(memory());
    let (id, _) = signed_in(&manager).await;
    let again = |user: &str| Change::AppSignIn { identity: Box::new(Identity::named(user)), vault: None };
    for (change, expected) in [
        (Change::Flush, true),
        (sign_in("ann"), true),
        (Change::RevokeOthers, true),
        (again("bob"), true),
        (again("ann"), false),
        (Change::Rotate, false),
    ] {
        let mut session = open(&manager, &id, START).await;
        session.record_changes(vec![change.clone()]);
        assert_eq!(session.changes_hands(), expected, "{change:?}");
    }
}

/// 10 000 sessions of as many users.
async fn many(manager: &Manager) -> Vec<Held> {
    let mut all = Vec::new();
    for n in 0..10_000 {
        let user = format!("user-{n}");
        let id = ask(manager, "", START, vec![sign_in(&user)]).await;
        let id = Id::parse(id.as_bytes()).unwrap();
        all.push(Held { key: id.key(), id, user: user.into(), address: HERE.into() });
    }
    all
}

#[tokio::test]
async fn ten_thousand_can_be_looked_at() {
    let manager = manager_on(Arc::new(CachedStore::new(memory(), 20_000)));
    let mut all = many(&manager).await;
    for round in ["read from memory", "near"] {
        let start = std::time::Instant::now();
        for held in &mut all {
            assert!(lives(&manager, held, START).await);
        }
        println!("10000 sessions, {round}: {:?}", start.elapsed());
    }
}

#[tokio::test]
#[ignore = "needs a Redis server: tests/run starts one"]
async fn ten_thousand_can_be_looked_at_in_redis() {
    use crate::store::RedisStore;
    use crate::store::redis::Options;
    let url = std::env::var("CLOAKROOM_TEST_REDIS").expect("CLOAKROOM_TEST_REDIS");
    let prefix = format!("held-{:08x}:", rand::random::<u32>());
    let options = Options { prefix, timeout: Duration::from_secs(5), ..Options::new(&url) };
    let clock = Arc::new(crate::clock::SteadyClock::start());
    let store = RedisStore::connect(&options, clock, tokio::runtime::Handle::current()).unwrap();
    let manager = Arc::new(manager_on(Arc::new(store)));
    let all = many(&manager).await;
    let start = std::time::Instant::now();
    let mut askers = tokio::task::JoinSet::new();
    // As `pipeline::ties` does it: so many at a time.
    for part in all.chunks(all.len() / 16) {
        let (manager, part) = (Arc::clone(&manager), part.to_vec());
        askers.spawn(async move {
            for mut held in part {
                assert!(lives(&manager, &mut held, START).await);
            }
        });
    }
    while let Some(asked) = askers.join_next().await {
        asked.unwrap();
    }
    println!("10000 sessions, asked of Redis: {:?}", start.elapsed());
}
