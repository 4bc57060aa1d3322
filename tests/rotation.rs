//! Rotation: the browser gets a new id, nobody who is in order notices, and nobody else keeps the old one.

use std::collections::HashSet;
use std::time::Duration;

use crate::support::{
    App, Browser, PAGE, PASSWORD, Response, Seen, TestGateway, at_once, field, forgets, issued, obey,
};
use crate::websockets::{accept, copy, handshake};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const COUNT: &[&str] = &["Session-Increment: {\"n\": 1}"];

/// One route for users, one for everybody; ids are replaced each hour.
fn before(app: &App) -> TestGateway {
    with_session(app, "")
}

fn with_session(app: &App, session: &str) -> TestGateway {
    TestGateway::with_config(&format!(
        "workers: 2\nsession: {{ cookie: {{ secure: auto }}, {session} }}\nroutes:\n\
         \x20 - {{ session_headers: read_write, upstream: 'http://{0}' }}\n\
         \x20 - {{ path: /public, access: public, session_headers: read_write, upstream: 'http://{0}' }}",
        app.address
    ))
}

fn holding(gateway: &TestGateway, id: &str) -> Browser {
    Browser::holding(gateway.address(), id)
}

fn user(seen: &Seen) -> Option<&str> {
    seen.header("remote-user")
}

/// Where a browser window that holds `id` ends up: with its user at the app, or at the sign-in page.
fn status_with(gateway: &TestGateway, id: &str) -> u16 {
    holding(gateway, id).get("/").status
}

/// The session has a new id, and the old one was presented for the last time.
fn rotated(gateway: &TestGateway) -> (String, String) {
    let mut browser = gateway.signed_in("ann");
    let old = browser.session_id().unwrap();
    gateway.advance(HOUR);
    let new = issued(&browser.get("/")).expect("a new id");
    assert_ne!(new, old);
    (old, new)
}

#[test]
fn an_id_is_replaced_when_it_has_been_in_use_for_rotate_every() {
    let app = App::obeying();
    let gateway = before(&app);
    let mut browser = gateway.signed_in("ann");
    browser.answered("/", &["Session-Set: {\"cart\": [1, 2]}"]);
    let (handle, first) = (app.last().header("session-handle").unwrap().to_owned(), browser.session_id().unwrap());
    gateway.advance(HOUR - SECOND);
    assert_eq!(issued(&browser.get("/")), None);
    gateway.advance(SECOND);
    let second = issued(&browser.get("/")).unwrap();
    assert_ne!(second, first);
    assert_eq!(issued(&browser.get("/")), None, "once");
    let seen = app.last();
    assert_eq!((user(&seen), seen.session_data()["cart"][1].as_i64()), (Some("ann"), Some(2)));
    assert_eq!(seen.header("session-handle"), Some(&*handle), "the same session");
    gateway.advance(HOUR);
    assert!(issued(&browser.get("/")).is_some(), "and again after another hour");
}

#[test]
fn without_rotate_every_an_id_stays_until_somebody_asks() {
    let app = App::obeying();
    let gateway = with_session(&app, "rotate_every: null, idle_timeout: null");
    let mut browser = gateway.signed_in("ann");
    for _ in 0..5 {
        gateway.advance(24 * HOUR);
        assert_eq!(issued(&browser.get("/")), None);
    }
    assert!(issued(&browser.answered("/", &["Session-Rotate: true"])).is_some());
}

/// Everybody gets 200, one new id is given out, and every change is kept.
fn assert_that_nothing_is_lost(app: &App, path: &str, count: usize) {
    let gateway = before(app);
    let old = gateway.signed_in("ann").session_id().unwrap();
    gateway.advance(HOUR);
    let address = gateway.address();
    let answers = at_once(count, |_| Browser::holding(address, &old).answered(path, COUNT));
    for answer in &answers {
        assert_eq!((answer.status, answer.text().as_str()), (200, PAGE));
    }
    assert!(app.seen().iter().all(|seen| user(seen) == Some("ann")));
    let ids: HashSet<String> = answers.iter().filter_map(issued).collect();
    assert_eq!(ids.len(), 1, "all of them name the same new id");
    assert!(!ids.contains(&old));
    let new = ids.into_iter().next().unwrap();
    assert_eq!(status_with(&gateway, &new), 200);
    assert_eq!(app.last().session_data()["n"], count);
}

#[test]
fn a_hundred_parallel_requests_at_rotation_time_get_one_new_id_and_lose_nothing() {
    assert_that_nothing_is_lost(&App::obeying(), "/", 100);
}

/// The same with every request opened before the first is over, so that all of them would rotate.
#[test]
fn a_hundred_requests_that_all_saw_the_old_id_agree_on_one_new_id() {
    assert_that_nothing_is_lost(&App::obeying_together(100), "/together", 100);
}

/// The same where nothing is written, and rotation is all that there is to do.
#[test]
fn a_hundred_readers_at_rotation_time_get_one_new_id() {
    let app = App::obeying_together(100);
    let gateway = before(&app);
    let old = gateway.signed_in("ann").session_id().unwrap();
    gateway.advance(HOUR);
    let address = gateway.address();
    let answers = at_once(100, |_| Browser::holding(address, &old).get("/together"));
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(answers.iter().filter_map(issued).collect::<HashSet<_>>().len(), 1);
}

/// As with two windows that open at once: each order in which answers reach the jar must leave it alive.
#[test]
fn a_cookie_jar_ends_with_the_live_cookie_in_every_order_of_answers_to_a_rotation() {
    let app = App::obeying_together(3);
    let gateway = before(&app);
    let old = gateway.signed_in("ann").session_id().unwrap();
    gateway.advance(HOUR);
    let address = gateway.address();
    let paths = ["/together", "/together", "/together"];
    let mut answers = at_once(3, |number| Browser::holding(address, &old).get(paths[number]));
    answers.push(holding(&gateway, &old).get("/"));
    assert_every_order_ends_signed_in(&gateway, &app, &old, &answers);
}

/// Late answers to an anonymous window come after, or before, the one that signs in.
#[test]
fn a_cookie_jar_ends_signed_in_in_every_order_of_answers_around_a_sign_in() {
    let app = App::obeying_together(2);
    let gateway = before(&app);
    let mut browser = gateway.browser();
    let csrf = field(&browser.get("/.session/login"), "csrf").unwrap();
    let anonymous = browser.session_id().unwrap();
    let address = gateway.address();
    let (late, sign_in) = std::thread::scope(|scope| {
        // Opened before the sign-in, over after it, and it wants to write.
        let late = scope.spawn(|| Browser::holding(address, &anonymous).answered("/public/together", COUNT));
        app.wait_for(1);
        let sign_in = post_sign_in(&mut browser, &csrf);
        holding(&gateway, &anonymous).get("/public/together");
        (late.join().unwrap(), sign_in)
    });
    let after = holding(&gateway, &anonymous).answered("/public", COUNT);
    let refused = holding(&gateway, &anonymous).get("/");
    let answers = [late, sign_in, after, refused];
    assert_eq!(answers.each_ref().map(|answer| answer.status), [200, 303, 200, 302]);
    assert_every_order_ends_signed_in(&gateway, &app, &anonymous, &answers);
}

fn post_sign_in(browser: &mut Browser, csrf: &str) -> Response {
    browser.post("/.session/login", &[("csrf", csrf), ("rd", "/"), ("username", "ann"), ("password", PASSWORD)])
}

fn assert_every_order_ends_signed_in(gateway: &TestGateway, app: &App, first: &str, answers: &[Response]) {
    assert_eq!(answers.len(), 4);
    for order in permutations() {
        let mut browser = holding(gateway, first);
        order.iter().for_each(|place| browser.keep(&answers[*place]));
        assert_eq!(browser.get("/").status, 200, "{order:?}");
        assert_eq!(user(&app.last()), Some("ann"), "{order:?}");
    }
}

fn permutations() -> Vec<[usize; 4]> {
    let all = (0..256).map(|n| [n / 64, n / 16 % 4, n / 4 % 4, n % 4]);
    all.filter(|order| order.iter().collect::<HashSet<_>>().len() == 4).collect()
}

/// A switch of protocols gives no id: a browser ignores cookies of a 101, or keeps them without telling anybody.
#[test]
fn a_websocket_goes_on_while_the_id_is_replaced_and_its_handshake_replaces_none() {
    use std::io::Write;
    let app = App::with(|seen, stream| match seen.header("upgrade") {
        Some(_) => accept(seen, stream, "") && copy(stream),
        None => stream.write_all(obey(seen).as_bytes()).is_ok(),
    });
    let gateway = before(&app);
    let mut browser = gateway.signed_in("ann");
    let old = browser.session_id().unwrap();
    gateway.advance(HOUR);
    let mut socket = gateway.connect();
    socket.send(handshake(&format!("Origin: http://a\r\nCookie: sessionid={old}\r\n")));
    let switched = socket.response();
    assert_eq!((switched.status, switched.all("set-cookie").len()), (101, 0));
    assert_eq!(user(&app.last()), Some("ann"));
    assert_eq!(socket.send("before").exact(6), b"before");
    assert!(issued(&browser.get("/")).is_some(), "the next plain request does it");
    assert_eq!(browser.get("/").status, 200);
    assert_eq!(socket.send("during").exact(6), b"during");
    gateway.advance(MINUTE);
    assert_eq!(browser.get("/").status, 200);
    assert_eq!(socket.send("after").exact(5), b"after");
}

#[test]
fn a_failed_answer_gives_no_new_id_and_the_next_good_one_does() {
    let app = App::obeying();
    let gateway = before(&app);
    let mut browser = gateway.signed_in("ann");
    gateway.advance(HOUR);
    let failed = browser.answered("/", &["Status: 500"]);
    assert_eq!((failed.status, failed.all("set-cookie").len()), (500, 0));
    let asked = browser.answered("/", &["Status: 503", "Session-Rotate: true"]);
    assert_eq!((asked.status, asked.all("set-cookie").len()), (503, 0), "not even when it asks for one");
    assert!(issued(&browser.answered("/", &["Status: 404"])).is_some());
    assert_eq!(browser.get("/").status, 200);
}

/// What it was told once must be told again, so there is something to write; that is no reason for a new id.
#[test]
fn a_failed_answer_that_takes_back_a_flash_value_gives_no_new_id() {
    let app = App::obeying();
    let gateway = before(&app);
    let mut browser = gateway.signed_in("ann");
    browser.answered("/", &["Session-Flash: {\"message\": 1}"]);
    let id = browser.session_id();
    gateway.advance(HOUR);
    browser.answered("/", &["Status: 500"]);
    assert_eq!(browser.session_id(), id);
    assert!(issued(&browser.get("/")).is_some());
    assert_eq!(app.last().session_data()["message"], 1);
}

#[test]
fn an_app_that_cannot_be_reached_costs_no_id() {
    let app = App::obeying();
    let gateway = TestGateway::with_routes(&format!(
        "  - {{ upstream: 'http://{}' }}\n  - {{ path: /down, upstream: 'http://127.0.0.1:1' }}",
        app.address
    ));
    let mut browser = gateway.signed_in("ann");
    gateway.advance(HOUR);
    let failed = browser.get("/down");
    assert_eq!((failed.status, failed.all("set-cookie").len()), (502, 0));
    assert!(issued(&browser.get("/")).is_some());
}

/// A closed lid, a lost connection: the browser still has the old id hours later, and is offered the same new one.
#[test]
fn a_browser_that_never_received_its_new_id_works_on_for_hours() {
    let app = App::obeying();
    let gateway = before(&app);
    let old = gateway.signed_in("ann").session_id().unwrap();
    let mut offered = HashSet::new();
    for hour in 0..20 {
        gateway.advance(HOUR);
        // What it is answered is lost, cookie and all.
        let answer = holding(&gateway, &old).answered("/", if hour % 2 == 0 { COUNT } else { &[] });
        assert_eq!((answer.status, user(&app.last())), (200, Some("ann")), "after {hour} hours");
        offered.insert(issued(&answer).expect("the new id, each time"));
    }
    assert_eq!(offered.len(), 1, "the same one each time");
    let new = offered.into_iter().next().unwrap();
    assert_eq!(status_with(&gateway, &new), 200);
    assert_eq!(app.last().session_data()["n"], 10);
}

/// The app asks for new ids, and every answer is lost.
#[test]
fn a_browser_that_missed_several_new_ids_gets_the_last_one() {
    let app = App::obeying();
    let gateway = before(&app);
    let old = gateway.signed_in("ann").session_id().unwrap();
    let mut last = String::new();
    for _ in 0..3 {
        let answer = holding(&gateway, &old).answered("/", &["Session-Rotate: true"]);
        last = issued(&answer).unwrap();
        gateway.advance(MINUTE);
    }
    assert_eq!(issued(&holding(&gateway, &old).get("/")), Some(last.clone()));
    assert_eq!((status_with(&gateway, &last), user(&app.last())), (200, Some("ann")));
}

#[test]
fn the_old_id_works_for_the_grace_after_the_first_use_of_the_new_one() {
    let app = App::obeying();
    let gateway = before(&app);
    let (old, new) = rotated(&gateway);
    gateway.advance(10 * HOUR);
    assert_eq!(status_with(&gateway, &old), 200, "it was not used yet");
    assert_eq!(status_with(&gateway, &new), 200);
    gateway.advance(30 * SECOND - Duration::from_millis(1));
    let late = holding(&gateway, &old).answered("/", COUNT);
    assert_eq!((late.status, user(&app.last())), (200, Some("ann")));
    assert_eq!(status_with(&gateway, &new), 200);
    assert_eq!(app.last().session_data()["n"], 1, "what it wrote is there");
}

#[test]
fn after_the_grace_the_old_id_is_theft_and_ends_the_session_for_both() {
    let app = App::obeying();
    let gateway = before(&app);
    let bystander = gateway.signed_in("ann").session_id().unwrap();
    let (old, new) = rotated(&gateway);
    // The bystander of an hour has been given a new id too, and missed it.
    assert_eq!(status_with(&gateway, &new), 200);
    gateway.advance(30 * SECOND);
    let count = app.seen().len();
    let thief = holding(&gateway, &old).get("/");
    assert_eq!((thief.status, forgets(&thief)), (302, true));
    let owner = holding(&gateway, &new).get("/");
    assert_eq!((owner.status, forgets(&owner)), (302, true));
    assert_eq!(status_with(&gateway, &old), 302);
    assert_eq!(app.seen().len(), count, "neither reached the app");
    assert_eq!(status_with(&gateway, &bystander), 200, "another session of the same user is not concerned");
}

/// Who stole the cookie may be the one who uses the new id, and the owner the one who comes late.
#[test]
fn theft_of_an_id_that_was_replaced_twice_is_noticed() {
    let app = App::obeying();
    let gateway = before(&app);
    let (first, second) = rotated(&gateway);
    assert_eq!(status_with(&gateway, &second), 200);
    gateway.advance(HOUR);
    let third = issued(&holding(&gateway, &second).get("/")).unwrap();
    assert_eq!(status_with(&gateway, &third), 200);
    assert_eq!(status_with(&gateway, &first), 302);
    for id in [third, second] {
        assert_eq!(status_with(&gateway, &id), 302);
    }
}

#[test]
fn the_id_before_a_sign_in_gets_no_identity_and_wipes_no_cookie_within_the_grace() {
    let app = App::obeying();
    let gateway = before(&app);
    let mut browser = gateway.browser();
    browser.get("/.session/login");
    let anonymous = browser.session_id().unwrap();
    browser.sign_in("ann", PASSWORD);
    let first = browser.session_id().unwrap();
    browser.sign_in("ann", PASSWORD);
    for old in [anonymous, first] {
        let late = holding(&gateway, &old).answered("/public", COUNT);
        assert_eq!((late.status, late.all("set-cookie").len()), (200, 0));
        assert_eq!((user(&app.last()), app.last().header("session-handle")), (None, None));
        let refused = holding(&gateway, &old).get("/");
        assert_eq!((refused.status, refused.all("set-cookie").len()), (302, 0));
        let me = holding(&gateway, &old).fetch("/.session/me");
        assert_eq!((me.json()["authenticated"].as_bool(), me.all("set-cookie").len()), (Some(false), 0));
    }
    assert_eq!(browser.get("/").status, 200);
    assert_eq!(app.last().session_data(), serde_json::json!({}), "and it changes nothing");
}

#[test]
fn the_id_before_a_sign_in_is_any_dead_id_after_the_grace() {
    let app = App::obeying();
    let gateway = before(&app);
    let mut browser = gateway.signed_in("ann");
    let first = browser.session_id().unwrap();
    browser.sign_in("ann", PASSWORD);
    gateway.advance(30 * SECOND);
    let late = holding(&gateway, &first).get("/");
    assert_eq!((late.status, forgets(&late)), (302, true));
    assert_eq!(browser.get("/").status, 200, "nobody is suspected");
}

#[test]
fn a_sign_in_button_that_is_pressed_twice_signs_in() {
    let app = App::obeying();
    let gateway = before(&app);
    let mut browser = gateway.browser();
    let csrf = field(&browser.get("/.session/login"), "csrf").unwrap();
    let mut again = holding(&gateway, &browser.session_id().unwrap());
    let first = post_sign_in(&mut browser, &csrf);
    let second = post_sign_in(&mut again, &csrf);
    assert_eq!((first.status, second.status), (303, 303));
    assert_eq!(second.header("location"), Some("/"));
    browser.keep(&second);
    assert_eq!(browser.get("/").status, 200);
}

#[test]
fn a_sign_in_button_that_is_pressed_twice_at_once_signs_in() {
    let app = App::obeying();
    let gateway = before(&app);
    let address = gateway.address();
    for _ in 0..10 {
        let mut browser = gateway.browser();
        let csrf = field(&browser.get("/.session/login"), "csrf").unwrap();
        let anonymous = browser.session_id().unwrap();
        let mut answers = at_once(2, |_| post_sign_in(&mut Browser::holding(address, &anonymous), &csrf));
        for _ in 0..2 {
            answers.reverse();
            let mut browser = holding(&gateway, &anonymous);
            answers.iter().for_each(|answer| browser.keep(answer));
            assert!(answers.iter().all(|answer| answer.status == 303));
            assert_eq!((browser.get("/").status, user(&app.last())), (200, Some("ann")));
        }
    }
}

/// The new id was given out and never used.
#[test]
fn signing_out_with_the_old_id_ends_the_new_one_too() {
    let app = App::obeying();
    let gateway = before(&app);
    let (old, new) = rotated(&gateway);
    let mut browser = holding(&gateway, &old);
    let csrf = field(&browser.get("/.session/logout"), "csrf").unwrap();
    browser.jar.insert("sessionid".into(), old.clone());
    assert!(forgets(&browser.post("/.session/logout", &[("csrf", &csrf)])));
    assert_eq!((status_with(&gateway, &new), status_with(&gateway, &old)), (302, 302));
}

#[test]
fn signing_out_with_the_new_id_ends_the_old_one_within_its_grace() {
    let app = App::obeying();
    let gateway = before(&app);
    let (old, new) = rotated(&gateway);
    assert_eq!((status_with(&gateway, &new), status_with(&gateway, &old)), (200, 200));
    let mut browser = holding(&gateway, &new);
    assert!(forgets(&browser.sign_out()));
    let late = holding(&gateway, &old).get("/");
    assert_eq!((late.status, forgets(&late)), (302, true));
}

/// Signing out counts even for whoever is in the middle of a request under the old id.
#[test]
fn a_request_that_outlives_a_sign_out_revives_nothing() {
    let app = App::obeying_together(2);
    let gateway = before(&app);
    let mut browser = gateway.signed_in("ann");
    let id = browser.session_id().unwrap();
    let address = gateway.address();
    gateway.advance(HOUR);
    let late = std::thread::scope(|scope| {
        let late = scope.spawn(|| Browser::holding(address, &id).answered("/together", COUNT));
        app.wait_for(1);
        browser.sign_out();
        gateway.browser().get("/public/together");
        late.join().unwrap()
    });
    assert_eq!((late.status, issued(&late)), (200, None));
    assert_eq!(status_with(&gateway, &id), 302);
}
