//! Sessions in cookies, without sockets: what travels, what is denied, and what a restart changes.

use std::collections::BTreeMap;
use std::path::Path;

use http::StatusCode;
use http::header::COOKIE;
use serde_json::Value;

use super::super::super::changes::Change;
use super::super::super::recall::Recall;
use super::super::{AtRest, Committed};
use super::*;
use crate::identity::Identity;
use crate::store::MemoryStore;

const START: Timestamp = Timestamp(1_700_000_000_000);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// A gateway that can be started again.
struct Gateway {
    dir: tempfile::TempDir,
    keys: Vec<&'static str>,
    session: schema::Session,
    manager: Option<Manager>,
}

/// The cookies of a browser.
#[derive(Debug, Clone, Default, PartialEq)]
struct Jar(BTreeMap<String, String>);

impl Gateway {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl Fn(&mut schema::Session)) -> Self {
        let mut session = schema::Session::default();
        change(&mut session);
        let dir = tempfile::tempdir().unwrap();
        let mut gateway = Self { dir, keys: vec!["one"], session, manager: None };
        gateway.restart();
        gateway
    }

    /// All but the file and the keys is gone.
    fn restart(&mut self) {
        self.manager = None;
        let denials = Denials::open(&self.dir.path().join("denials"), HOUR).unwrap();
        let keys: Vec<_> = self.keys.iter().map(|key| key.repeat(20).into()).collect();
        let keyring = Keyring::from_config(&keys, Path::new("/")).unwrap();
        let store = Arc::new(MemoryStore::new(1000));
        let at_rest = AtRest::InCookies(Arc::new(denials));
        self.manager = Some(Manager::new(&self.session, None, keyring, store, at_rest));
    }

    fn manager(&self) -> &Manager {
        self.manager.as_ref().unwrap()
    }

    async fn open(&self, jar: &Jar, now: Timestamp) -> Session {
        self.manager().open(&jar.headers(), &Recall::default(), visit(now).address, now).await.unwrap()
    }

    async fn commit(&self, jar: &mut Jar, session: Session, now: Timestamp) -> Committed {
        let committed = self.manager().commit(session, visit(now), StatusCode::OK).await.unwrap();
        jar.keep(&committed);
        committed
    }

    /// One request; returns who asked, the data, and how many lines the answer has for the jar.
    async fn ask(&self, jar: &mut Jar, now: Timestamp, changes: Vec<Change>) -> (Option<String>, Value, usize) {
        let mut session = self.open(jar, now).await;
        let user = session.identity().map(|identity| identity.user.to_string());
        let data = serde_json::from_str(session.data()).unwrap();
        session.record_changes(changes);
        let committed = self.commit(jar, session, now).await;
        (user, data, committed.set_cookie.len())
    }

    async fn user(&self, jar: &Jar, now: Timestamp) -> Option<String> {
        self.ask(&mut jar.clone(), now, vec![]).await.0
    }

    async fn signed_in(&self, user: &str, now: Timestamp) -> Jar {
        let mut jar = Jar::default();
        self.ask(&mut jar, now, vec![sign_in(user)]).await;
        assert_eq!(self.user(&jar, now).await.as_deref(), Some(user));
        jar
    }
}

impl Jar {
    fn headers(&self) -> HeaderMap {
        self.0.iter().map(|(name, value)| (COOKIE, format!("{name}={value}").parse().unwrap())).collect()
    }

    fn keep(&mut self, committed: &Committed) {
        for line in &committed.set_cookie {
            let line = line.to_str().unwrap();
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            match line.contains("Max-Age=0;") {
                true => self.0.remove(name),
                false => self.0.insert(name.into(), value.into()),
            };
        }
    }
}

fn visit(now: Timestamp) -> Visit<'static> {
    Visit { now, address: [192, 0, 2, 1].into(), agent: None, https: true }
}

fn sign_in(user: &str) -> Change {
    Change::SignIn { identity: Box::new(Identity::named(user)), remember: false, vault: None }
}

fn set(length: usize) -> Change {
    Change::Set("k".into(), "v".repeat(length).into())
}

fn ann() -> Option<String> {
    Some("ann".into())
}

#[tokio::test]
async fn a_restart_signs_nobody_out_and_loses_nothing() {
    let mut gateway = Gateway::new();
    let mut jar = gateway.signed_in("ann", START).await;
    gateway.ask(&mut jar, START, vec![set(3)]).await;
    gateway.restart();
    assert_eq!(gateway.ask(&mut jar, START, vec![]).await, (ann(), serde_json::json!({"k": "vvv"}), 0));
}

#[tokio::test]
async fn the_cookie_is_sent_again_when_something_was_written_or_it_was_seen_and_only_then() {
    let gateway = Gateway::new();
    let mut jar = gateway.signed_in("ann", START).await;
    assert_eq!(gateway.ask(&mut jar, START.plus(MINUTE / 2), vec![]).await.2, 0);
    assert_eq!(gateway.ask(&mut jar, START.plus(MINUTE), vec![]).await.2, 1, "seen");
    assert_eq!(gateway.ask(&mut jar, START.plus(MINUTE), vec![]).await.2, 0);
    let before = jar.clone();
    assert_eq!(gateway.ask(&mut jar, START.plus(MINUTE), vec![set(3)]).await.2, 1);
    // The answer was lost, or another was faster: the memory knows better, and says so.
    let mut late = before;
    assert_eq!(gateway.ask(&mut late, START.plus(MINUTE), vec![]).await, (ann(), serde_json::json!({"k": "vvv"}), 1));
    assert_eq!(gateway.ask(&mut late, START.plus(MINUTE), vec![]).await.2, 0);
}

#[tokio::test]
async fn a_session_in_use_outlives_its_idle_timeout_across_restarts_and_an_idle_one_does_not() {
    let mut gateway = Gateway::with(|session| session.rotate_every = None);
    let (mut used, idle) = (gateway.signed_in("ann", START).await, gateway.signed_in("ann", START).await);
    for hour in 1..=30 {
        gateway.restart();
        assert_eq!(gateway.ask(&mut used, START.plus(HOUR * hour), vec![]).await.0, ann());
    }
    assert_eq!(gateway.user(&idle, START.plus(HOUR * 24)).await, None);
    for hours in [14 * 24 - 1, 14 * 24] {
        gateway.restart();
        let asked = gateway.ask(&mut used, START.plus(HOUR * hours), vec![]).await.0;
        assert_eq!(asked, None, "idle, then absolute");
    }
}

/// SM-09.
#[tokio::test]
async fn after_signing_out_no_copy_of_any_age_is_believed_also_after_a_restart() {
    let mut gateway = Gateway::new();
    let mut jar = gateway.signed_in("ann", START).await;
    let mut copies = vec![jar.clone()];
    for n in 1..=3 {
        let now = START.plus(HOUR * n);
        for changes in [vec![], vec![], vec![set(n as usize)]] {
            gateway.ask(&mut jar, now, changes).await;
            copies.push(jar.clone());
        }
    }
    let now = START.plus(HOUR * 3);
    gateway.ask(&mut jar, now, vec![Change::Flush]).await;
    assert_eq!(jar, Jar::default());
    for _ in 0..3 {
        for copy in &copies {
            let mut copy = copy.clone();
            assert_eq!(gateway.ask(&mut copy, now, vec![]).await.0, None);
        }
        gateway.restart();
    }
    assert_eq!(gateway.signed_in("ann", now).await.0.len(), 1, "and one may sign in again");
}

/// It was taken into the memory after a restart, before the user signed out under the newer id.
#[tokio::test]
async fn an_older_id_that_was_believed_after_a_restart_ends_with_the_session() {
    let mut gateway = Gateway::new();
    let mut jar = gateway.signed_in("ann", START).await;
    let older = jar.clone();
    gateway.ask(&mut jar, START.plus(HOUR), vec![]).await;
    assert_ne!(older, jar);
    gateway.restart();
    // Nobody was seen to use the new id: the older one is good, and for all the gateway knows the browser's own.
    assert_eq!(gateway.user(&older, START.plus(HOUR)).await, ann());
    gateway.ask(&mut jar, START.plus(HOUR), vec![Change::Flush]).await;
    assert_eq!(gateway.user(&older, START.plus(HOUR)).await, None);
}

#[tokio::test]
async fn a_replaced_id_works_within_its_grace_and_not_after_a_restart() {
    let mut gateway = Gateway::new();
    let mut jar = gateway.signed_in("ann", START).await;
    let older = jar.clone();
    let now = START.plus(HOUR);
    gateway.ask(&mut jar, now, vec![]).await;
    let mut lost = older.clone();
    gateway.ask(&mut lost, now, vec![]).await;
    assert_ne!(lost, older, "the same new id is offered once more");
    assert_eq!(gateway.ask(&mut jar, now, vec![set(2)]).await.0, ann());
    let mut late = older.clone();
    assert_eq!(gateway.ask(&mut late, now, vec![set(3)]).await, (ann(), serde_json::json!({"k": "vv"}), 0));
    assert_eq!(gateway.ask(&mut jar, now, vec![]).await.1, serde_json::json!({"k": "vvv"}), "nothing is lost");
    gateway.restart();
    assert_eq!(gateway.user(&older, now).await, None);
    assert_eq!(gateway.user(&jar, now).await, ann());
}

#[tokio::test]
async fn a_replaced_id_after_its_grace_is_theft_and_ends_the_session_for_good() {
    let mut gateway = Gateway::new();
    let mut jar = gateway.signed_in("ann", START).await;
    let stolen = jar.clone();
    let now = START.plus(HOUR);
    gateway.ask(&mut jar, now, vec![]).await;
    gateway.ask(&mut jar, now, vec![]).await;
    assert_eq!(gateway.user(&stolen, now.plus(MINUTE)).await, None);
    for _ in 0..2 {
        assert_eq!((gateway.user(&jar, now).await, gateway.user(&stolen, now).await), (None, None));
        gateway.restart();
    }
}

/// Long after its grace, when the memory has forgotten the way that led on.
#[tokio::test]
async fn a_replaced_id_is_nothing_when_its_watch_is_over() {
    let gateway = Gateway::new();
    let mut jar = gateway.signed_in("ann", START).await;
    let older = jar.clone();
    let mut now = START;
    for _ in 1..12 {
        now = now.plus(HOUR);
        gateway.ask(&mut jar, now, vec![]).await;
        gateway.ask(&mut jar, now, vec![]).await;
        gateway.manager().clear_expired(now).await.unwrap();
    }
    assert_eq!(gateway.user(&older, now).await, None);
    assert_eq!(gateway.user(&jar, now).await, ann());
}

#[tokio::test]
async fn a_revoked_user_stays_out_wherever_the_cookies_were_and_others_stay_in() {
    let mut gateway = Gateway::new();
    let (here, away) = (gateway.signed_in("ann", START).await, gateway.signed_in("ann", START).await);
    let bob = gateway.signed_in("bob", START).await;
    gateway.restart();
    let now = START.plus(MINUTE);
    assert_eq!(gateway.user(&here, now).await, ann());
    assert_eq!(gateway.manager().revoke_user("ann").await.unwrap(), 1, "of those that are known of");
    let again = gateway.signed_in("ann", now).await;
    for _ in 0..2 {
        assert_eq!((gateway.user(&here, now).await, gateway.user(&away, now).await), (None, None));
        assert_eq!(gateway.user(&bob, now).await.as_deref(), Some("bob"));
        assert_eq!(gateway.user(&again, now).await, ann(), "in the same millisecond");
        gateway.restart();
    }
}

/// SM-11.
#[tokio::test]
async fn ending_all_others_keeps_this_session_alone() {
    let mut gateway = Gateway::new();
    let (mut jar, other) = (gateway.signed_in("ann", START).await, gateway.signed_in("ann", START).await);
    let before = jar.clone();
    gateway.ask(&mut jar, START, vec![Change::RevokeOthers]).await;
    assert_ne!(before, jar);
    for _ in 0..2 {
        assert_eq!((gateway.user(&jar, START).await, gateway.user(&other, START).await), (ann(), None));
        gateway.restart();
        assert_eq!(gateway.user(&before, START).await, None);
    }
}

/// SM-04.
#[tokio::test]
async fn signing_in_again_ends_what_was_signed_in_before() {
    let mut gateway = Gateway::new();
    let mut jar = gateway.signed_in("ann", START).await;
    let before = jar.clone();
    gateway.ask(&mut jar, START, vec![sign_in("ann")]).await;
    for _ in 0..2 {
        assert_eq!((gateway.user(&before, START).await, gateway.user(&jar, START).await), (None, ann()));
        gateway.restart();
    }
}

/// The older copy says that it lasts for two weeks.
#[tokio::test]
async fn what_an_app_has_shortened_does_not_come_back_under_an_older_copy() {
    let mut gateway = Gateway::new();
    let mut jar = gateway.signed_in("ann", START).await;
    let older = jar.clone();
    gateway.ask(&mut jar, START, vec![Change::Expiry(super::super::super::changes::Expiry::Sliding(MINUTE))]).await;
    let now = START.plus(MINUTE);
    assert_eq!(gateway.manager().clear_expired(now).await.unwrap(), 1);
    for _ in 0..2 {
        assert_eq!((gateway.user(&older, now).await, gateway.user(&jar, now).await), (None, None));
        gateway.restart();
    }
}

#[tokio::test]
async fn a_new_first_key_takes_over_at_the_next_answer() {
    let mut gateway = Gateway::new();
    let mut jar = gateway.signed_in("ann", START).await;
    let older = jar.clone();
    gateway.keys = vec!["two", "one"];
    gateway.restart();
    assert_eq!(gateway.ask(&mut jar, START, vec![]).await, (ann(), serde_json::json!({}), 1));
    assert_eq!(gateway.ask(&mut jar, START, vec![]).await.2, 0);
    gateway.keys = vec!["two"];
    gateway.restart();
    assert_eq!((gateway.user(&jar, START).await, gateway.user(&older, START).await), (ann(), None));
}

#[tokio::test]
async fn a_cookie_that_gets_another_name_moves_there_with_all_its_pieces() {
    let mut gateway = Gateway::new();
    let mut jar = gateway.signed_in("ann", START).await;
    gateway.ask(&mut jar, START, vec![set(5000)]).await;
    assert_eq!(jar.0.keys().collect::<Vec<_>>(), ["sessionid", "sessionid.1"]);
    gateway.session.cookie.name = "new".into();
    gateway.session.cookie.previous_names = vec!["sessionid".into()];
    gateway.restart();
    assert_eq!(gateway.ask(&mut jar, START, vec![]).await.0, ann());
    assert_eq!(jar.0.keys().collect::<Vec<_>>(), ["new", "new.1"]);
    assert_eq!(gateway.ask(&mut jar, START, vec![]).await.2, 0);
    gateway.ask(&mut jar, START, vec![Change::Flush]).await;
    assert_eq!(jar, Jar::default());
}

#[tokio::test]
async fn long_ones_come_in_pieces_short_ones_in_one_and_too_long_ones_not_at_all() {
    let mut gateway = Gateway::new();
    let mut jar = gateway.signed_in("ann", START).await;
    for (length, pieces) in [(5000, 2), (8000, 3), (100, 1), (5000, 2)] {
        gateway.ask(&mut jar, START, vec![set(length)]).await;
        assert_eq!(jar.0.len(), pieces, "{length}");
        gateway.restart();
        assert_eq!(gateway.ask(&mut jar, START, vec![]).await.1["k"].as_str().unwrap().len(), length);
    }
    gateway.ask(&mut jar, START, vec![set(9000), Change::Unset("other".into())]).await;
    assert_eq!(gateway.ask(&mut jar, START, vec![]).await.1["k"].as_str().unwrap().len(), 5000, "it keeps what it had");
    assert_eq!(gateway.manager().counters().too_large(), 1);
    gateway.ask(&mut jar, START, vec![Change::Flush]).await;
    assert_eq!(jar, Jar::default(), "every piece goes");
}

/// CK-03: never a sign-in that does not last.
#[tokio::test]
async fn a_sign_in_is_worth_more_than_data_and_one_that_does_not_fit_is_an_error() {
    let gateway = Gateway::new();
    let mut jar = Jar::default();
    gateway.ask(&mut jar, START, vec![set(8000)]).await;
    let with_groups = |groups: usize| {
        let groups = (0..groups).map(|n| format!("group-{n:04}").into()).collect();
        Identity { groups, ..Identity::named("ann") }
    };
    let sign_in = |groups| Change::SignIn { identity: Box::new(with_groups(groups)), remember: false, vault: None };
    gateway.ask(&mut jar, START, vec![sign_in(200)]).await;
    assert_eq!(gateway.ask(&mut jar, START, vec![]).await, (ann(), serde_json::json!({}), 0));
    let mut nobody = Jar::default();
    gateway
        .ask(&mut nobody, START, vec![Change::AppSignIn { identity: Box::new(with_groups(2000)), vault: None }])
        .await;
    assert_eq!(nobody, Jar::default(), "the app's answer goes out without it");
    let mut session = gateway.open(&nobody, START).await;
    session.record_changes(vec![sign_in(2000)]);
    let refused = gateway.manager().commit(session, visit(START), StatusCode::OK).await;
    assert!(matches!(refused, Err(Error::TooLargeForCookies)));
}

#[tokio::test]
async fn a_torn_set_of_pieces_is_nobody_and_is_left_alone() {
    let gateway = Gateway::new();
    let mut jar = gateway.signed_in("ann", START).await;
    gateway.ask(&mut jar, START, vec![set(5000)]).await;
    let older = jar.clone();
    gateway.ask(&mut jar, START, vec![set(5001)]).await;
    for torn in [older.0["sessionid.1"].clone(), String::new()] {
        let mut mixed = jar.clone();
        mixed.0.insert("sessionid.1".into(), torn);
        let before = mixed.clone();
        assert_eq!(gateway.ask(&mut mixed, START, vec![]).await, (None, serde_json::json!({}), 0));
        assert_eq!(mixed, before);
        gateway.ask(&mut mixed, START, vec![sign_in("ann")]).await;
        assert_eq!(gateway.user(&mixed, START).await, ann(), "and a sign-in mends it");
    }
}

#[tokio::test]
async fn what_is_told_once_is_told_once() {
    let gateway = Gateway::new();
    let mut jar = gateway.signed_in("ann", START).await;
    gateway.ask(&mut jar, START, vec![Change::Flash("note".into(), "x".into())]).await;
    let before = jar.clone();
    for told in [r#"{"note":"x"}"#, "{}"] {
        let mut session = gateway.open(&before, START).await;
        gateway.manager().take_flash(&mut session).await.unwrap();
        assert_eq!(session.flash(), told);
        gateway.commit(&mut jar, session, START).await;
        assert_ne!(jar, before, "the cookie that tells it is replaced, though nothing else happened");
    }
}

#[tokio::test]
async fn all_names_of_pieces_are_ours() {
    let gateway = Gateway::with(|session| session.cookie.previous_names = vec!["old".into()]);
    let names: Vec<&str> = gateway.manager().cookie_names().iter().map(|name| &**name).collect();
    assert_eq!(names, ["sessionid", "old", "sessionid.1", "sessionid.2", "old.1", "old.2"]);
}

/// All within one millisecond.
#[tokio::test]
async fn a_second_revocation_ends_also_what_began_after_the_first() {
    let mut gateway = Gateway::new();
    gateway.signed_in("ann", START).await;
    gateway.manager().revoke_user("ann").await.unwrap();
    let between = gateway.signed_in("ann", START).await;
    gateway.restart();
    gateway.manager().revoke_user("ann").await.unwrap();
    assert_eq!(gateway.user(&between, START).await, None, "unknown to the gateway when it was revoked");
    let after = gateway.signed_in("ann", START).await;
    gateway.manager().revoke_user("ann").await.unwrap();
    gateway.restart();
    assert_eq!((gateway.user(&between, START).await, gateway.user(&after, START).await), (None, None));
}

#[tokio::test]
async fn a_policy_that_grows_longer_lengthens_no_cookie_that_is_out() {
    let mut gateway = Gateway::with(|session| session.absolute_timeout = schema::Duration::seconds(3600));
    let jar = gateway.signed_in("ann", START).await;
    gateway.session = schema::Session::default();
    gateway.restart();
    assert_eq!(gateway.user(&jar, START.plus(HOUR)).await, None);
    assert_eq!(gateway.user(&jar, START.plus(HOUR - Duration::from_millis(1))).await, ann());
}

#[tokio::test]
async fn signing_out_in_the_millisecond_of_a_new_id_ends_that_one_too() {
    let mut gateway = Gateway::new();
    let mut jar = gateway.signed_in("ann", START).await;
    for _ in 0..3 {
        gateway.ask(&mut jar, START, vec![Change::Rotate]).await;
    }
    let copy = jar.clone();
    gateway.ask(&mut jar, START, vec![Change::Flush]).await;
    gateway.restart();
    assert_eq!(gateway.user(&copy, START).await, None);
}
