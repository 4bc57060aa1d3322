//! Bounds on sessions: per user, in all, and what a flood of forged ids comes to.

use std::collections::HashSet;
use std::time::Duration;

use crate::support::{App, Browser, Client, PASSWORD, Response, TestGateway, at_once, forgets, issued};

const ALICE: &[&str] = &["Session-User: alice"];

/// A public route whose app signs in whom it likes, and one for users.
fn fixture(yaml: &str, session: &str) -> (App, TestGateway) {
    let app = App::obeying_together(200);
    let gateway = TestGateway::with_config(&format!(
        "{yaml}\nworkers: 2\nsession: {{ cookie: {{ secure: auto }}, {session} }}\nroutes:\n\
         \x20 - {{ access: public, session_headers: read_write, upstream: 'http://{0}' }}\n\
         \x20 - {{ path: /private, upstream: 'http://{0}' }}",
        app.address
    ));
    (app, gateway)
}

fn lives(gateway: &TestGateway, id: &str) -> bool {
    Browser::holding(gateway.address(), id).fetch("/private").status == 200
}

/// 200 sign-ins of one user at once, by the app's word; the ids that were given out.
fn storm(gateway: &TestGateway) -> Vec<String> {
    let address = gateway.address();
    let answers = at_once(200, |_| Browser::at(address).answered("/together", ALICE));
    assert!(answers.iter().all(|answer| (answer.status, answer.text().as_str()) == (200, "the page")));
    let ids: Vec<String> = answers.iter().filter_map(issued).collect();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "nobody shares an id");
    ids
}

#[test]
fn of_200_sign_ins_at_once_as_many_sessions_are_left_as_a_user_may_have() {
    let (_app, gateway) = fixture("", "max_per_user: 3");
    let ids = storm(&gateway);
    assert_eq!(ids.len(), 200, "each of them was signed in for a moment");
    assert_eq!(ids.iter().filter(|id| lives(&gateway, id)).count(), 3);
}

#[test]
fn of_200_sign_ins_at_once_the_first_few_are_let_in_where_the_rest_is_denied() {
    let (_app, gateway) = fixture("", "max_per_user: 3, on_limit: deny");
    let ids = storm(&gateway);
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| lives(&gateway, id)));
    assert_eq!(storm(&gateway).len(), 0, "nor later");
    let bob = issued(&gateway.browser().answered("/", &["Session-User: bob"])).unwrap();
    assert!(lives(&gateway, &bob), "another user is another matter");
}

/// The same over the form, with its password and its token.
#[test]
fn sign_ins_by_form_are_counted_too() {
    for (policy, let_in) in [("evict_oldest", 8), ("deny", 2)] {
        let (_app, gateway) = fixture("", &format!("max_per_user: 2, on_limit: {policy}"));
        let address = gateway.address();
        let signed_in = at_once(8, |_| {
            let mut browser = Browser::at(address);
            (browser.sign_in("ann", PASSWORD).status, browser.session_id().unwrap())
        });
        let passed = signed_in.iter().filter(|(status, _)| *status == 303).count();
        assert_eq!(passed, let_in, "{policy}: {signed_in:?}");
        assert!(signed_in.iter().all(|(status, _)| matches!(status, 303 | 409)));
        assert_eq!(signed_in.iter().filter(|(_, id)| lives(&gateway, id)).count(), 2, "{policy}");
    }
}

#[test]
fn the_session_that_rested_longest_makes_room() {
    let (_app, gateway) = fixture("", "max_per_user: 2");
    let (mut first, mut second) = (gateway.signed_in("ann"), gateway.signed_in("ann"));
    gateway.advance(Duration::from_secs(120));
    assert_eq!(first.get("/private").status, 200);
    let mut third = gateway.signed_in("ann");
    assert_eq!([&mut first, &mut second, &mut third].map(|browser| browser.get("/private").status), [200, 302, 200]);
    let mut bob = gateway.signed_in("bob");
    assert_eq!((bob.get("/private").status, first.get("/private").status), (200, 200));
}

#[test]
fn who_is_denied_is_told_so_and_may_sign_in_later_in_the_same_window() {
    let (_app, gateway) = fixture("", "max_per_user: 1, on_limit: deny");
    let mut first = gateway.signed_in("ann");
    let mut second = gateway.browser();
    let denied = second.sign_in("ann", PASSWORD);
    assert_eq!((denied.status, denied.all("set-cookie").len()), (409, 0));
    assert!(denied.header("content-type").unwrap().starts_with("text/html"));
    assert!(denied.text().contains("Signed in elsewhere"), "{}", denied.text());
    assert_eq!((first.get("/private").status, second.get("/private").status), (200, 302));
    assert_eq!(second.sign_in("bob", PASSWORD).status, 303, "somebody else may");
    second.sign_out();
    assert_eq!(second.sign_in("ann", PASSWORD).status, 409);
    first.sign_out();
    assert_eq!(second.sign_in("ann", PASSWORD).status, 303);
    assert_eq!(second.get("/private").status, 200);
}

/// The session that signs in again is not one more.
#[test]
fn who_has_a_session_may_sign_in_again_at_the_limit() {
    for policy in ["deny", "evict_oldest"] {
        let (_app, gateway) = fixture("", &format!("max_per_user: 2, on_limit: {policy}"));
        let (mut first, mut second) = (gateway.signed_in("ann"), gateway.signed_in("ann"));
        assert_eq!(second.sign_in("ann", PASSWORD).status, 303, "{policy}");
        assert_eq!((first.get("/private").status, second.get("/private").status), (200, 200), "{policy}");
        let answer = second.answered("/", &["Session-User: ann", "Session-Groups: new"]);
        assert!(issued(&answer).is_some(), "{policy}");
        assert_eq!((first.get("/private").status, second.get("/private").status), (200, 200), "{policy}");
    }
}

/// An app cannot be told that its sign-in was refused; its answer goes out, and what it wants kept is kept.
#[test]
fn an_app_whose_sign_in_is_denied_answers_an_anonymous_visitor() {
    let (app, gateway) = fixture("", "max_per_user: 1, on_limit: deny");
    assert!(issued(&gateway.browser().answered("/", ALICE)).is_some());
    let mut browser = gateway.browser();
    let answer = browser.answered("/", &["Session-User: alice", "Session-Set: {\"a\": 1}"]);
    assert_eq!((answer.status, answer.text().as_str()), (200, "the page"));
    browser.get("/");
    let seen = app.last();
    assert_eq!((seen.header("remote-user"), seen.session_data()["a"].as_i64()), (None, Some(1)));
}

#[test]
fn a_full_store_lets_anonymous_sessions_go_and_nobody_who_is_signed_in() {
    // Three sessions, and one place; the ids that their sign-ins replaced take none.
    let (_app, gateway) = fixture("store: { type: memory, max_sessions: 4 }", "");
    let mut signed_in: Vec<Browser> = ["ann", "bob", "ann"].map(|user| gateway.signed_in(user)).into();
    let visitors: Vec<String> = (0..100)
        .map(|n| {
            gateway.advance(Duration::from_secs(1));
            let answer = gateway.browser().answered("/", &[&format!("Session-Set: {{\"n\": {n}}}")]);
            assert_eq!(answer.status, 200);
            issued(&answer).unwrap_or_else(|| panic!("visitor {n} has no session"))
        })
        .collect();
    assert!(signed_in.iter_mut().all(|browser| browser.get("/private").status == 200));
    let mut left = visitors.iter().filter(|id| {
        let answer = Browser::holding(gateway.address(), id).fetch("/");
        !forgets(&answer)
    });
    assert_eq!((left.next(), left.next()), (visitors.last(), None), "the newest of them has the one place");
    signed_in.push(gateway.signed_in("bob"));
    assert!(signed_in.iter_mut().all(|browser| browser.get("/private").status == 200), "whoever signs in gets in");
}

/// The app's answer is worth more than what it wanted kept.
#[test]
fn an_app_that_wants_something_kept_in_a_full_store_answers_all_the_same() {
    let (_app, gateway) = fixture("store: { type: memory, max_sessions: 1 }", "");
    let mut ann = gateway.signed_in("ann");
    let answer = gateway.browser().answered("/", &["Session-Set: {\"a\": 1}"]);
    assert_eq!((answer.status, answer.text().as_str(), issued(&answer)), (200, "the page", None));
    assert_eq!(ann.get("/private").status, 200);
}

/// A client behind the trusted proxy.
fn from(client: &mut Client, address: &str, cookie: &str) -> Response {
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {address}\r\n{cookie}\r\n"));
    client.response()
}

fn guess(client: &mut Client, address: &str, number: usize) -> Response {
    from(client, address, &format!("Cookie: sessionid={number:032}\r\n"))
}

const FLOOD: &str = "limits: { unknown_ids_per_minute: 20 }\ntrusted_proxies: [127.0.0.1]";

#[test]
fn a_flood_of_forged_ids_is_stopped_for_its_address_and_for_no_other() {
    let (app, gateway) = fixture(FLOOD, "");
    let mut ann = gateway.signed_in("ann");
    let mut client = gateway.connect();
    for number in 0..20 {
        let answer = guess(&mut client, "198.51.100.1", number);
        assert_eq!((answer.status, issued(&answer)), (200, None), "{number}");
    }
    let seen = app.seen().len();
    for number in 20..200 {
        let answer = guess(&mut client, "198.51.100.1", number);
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some("60")), "{number}");
        assert_eq!(answer.all("set-cookie"), [""; 0]);
    }
    assert_eq!(app.seen().len(), seen, "the app is spared");
    for other in ["198.51.100.2", "2001:db8::1"] {
        assert_eq!(guess(&mut client, other, 1).status, 200, "{other}");
    }
    assert_eq!(from(&mut client, "198.51.100.1", "").status, 200, "who brings no id is not in the way");
    assert_eq!(ann.get("/private").status, 200);
}

#[test]
fn a_flood_may_go_on_after_its_minute() {
    let (_app, gateway) = fixture(FLOOD, "");
    let mut client = gateway.connect();
    (0..21).for_each(|number| drop(guess(&mut client, "198.51.100.1", number)));
    assert_eq!(guess(&mut client, "198.51.100.1", 21).status, 429);
    gateway.advance(Duration::from_secs(60));
    assert_eq!(guess(&mut client, "198.51.100.1", 22).status, 200);
}

/// A provider hands out 2^64 addresses at a time.
#[test]
fn a_flood_from_many_addresses_of_one_ipv6_network_is_one_flood() {
    let (_app, gateway) = fixture(FLOOD, "");
    let mut client = gateway.connect();
    (0..20).for_each(|number| drop(guess(&mut client, &format!("2001:db8:0:1::{number:x}"), number)));
    assert_eq!(guess(&mut client, "2001:db8:0:1:ffff::1", 20).status, 429);
    assert_eq!(guess(&mut client, "2001:db8:0:2::1", 20).status, 200);
}

#[test]
fn a_malformed_id_is_never_counted() {
    let (_app, gateway) = fixture(FLOOD, "");
    let mut client = gateway.connect();
    let malformed = ["", "x", &"A".repeat(32), &"a".repeat(31), &"a".repeat(33), "%00", "../../etc/passwd"];
    for round in 0..20 {
        for value in malformed {
            let answer = from(&mut client, "198.51.100.1", &format!("Cookie: sessionid={value}\r\n"));
            assert_eq!(answer.status, 200, "{round} {value}");
        }
    }
    assert_eq!(guess(&mut client, "198.51.100.1", 1).status, 200, "there was no flood");
}

/// The client's own word about its address counts for nothing.
#[test]
fn a_flood_cannot_hide_behind_forwarded_addresses_of_its_own() {
    let (_app, gateway) = fixture("limits: { unknown_ids_per_minute: 20 }", "");
    let mut client = gateway.connect();
    (0..20).for_each(|number| drop(guess(&mut client, &format!("198.51.100.{number}"), number)));
    assert_eq!(guess(&mut client, "198.51.100.99", 20).status, 429);
}

#[test]
fn a_flood_of_forged_ids_takes_no_place_in_the_store() {
    let (_app, gateway) =
        fixture("store: { type: memory, max_sessions: 3 }\nlimits: { unknown_ids_per_minute: null }", "");
    let kept = issued(&gateway.browser().answered("/", &["Session-Set: {\"a\": 1}"])).unwrap();
    let mut client = gateway.connect();
    for number in 0..1000 {
        assert_eq!(guess(&mut client, "198.51.100.1", number).status, 200);
    }
    let answer = Browser::holding(gateway.address(), &kept).get("/");
    assert!(!forgets(&answer), "an anonymous session that would have had to make room is still there");
}
