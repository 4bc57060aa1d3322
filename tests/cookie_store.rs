//! `store.type: cookie` on real sockets: what the browser holds, what a restart changes, and who stays out.
//!
//! The other tests run on it too, with `CLOAKROOM_TEST_STORE='{ type: cookie }'`, but for those listed with the
//! reason in `cookie_store/cannot_apply`; `the_list_names_tests_that_there_are` keeps the list honest.

use std::time::Duration;

use serde_json::json;

use crate::support::{App, Browser, PAGE, PASSWORD, Response, TestGateway, at_once, field, hash, issued, user};

const HOUR: Duration = Duration::from_secs(3600);
const COUNT: &[&str] = &["Session-Increment: {\"n\": 1}"];

struct Fixture {
    app: App,
    gateway: Option<TestGateway>,
    users: String,
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let users = format!("{}, {}", user("ann", "wiki"), user("bob", "wiki"));
        let mut fixture = Self { app: App::obeying(), gateway: None, users, dir: tempfile::tempdir().unwrap() };
        fixture.start();
        fixture
    }

    fn start(&mut self) {
        self.gateway = Some(TestGateway::with_config(&format!(
            "workers: 2\nstore: {{ type: cookie }}\ndata_dir: '{}'\nsession: {{ cookie: {{ secure: auto }} }}\n\
             login: {{ form: {{ users: [{}] }} }}\nroutes:\n\
             \x20 - {{ session_headers: read_write, upstream: 'http://{2}' }}\n\
             \x20 - {{ path: /public, access: public, session_headers: read_write, upstream: 'http://{2}' }}",
            self.dir.path().display(),
            self.users,
            self.app.address
        )));
    }

    /// The clock of the tests begins anew with the gateway.
    fn restart(&mut self) {
        self.gateway.take().unwrap().stop();
        self.start();
    }

    fn gateway(&self) -> &TestGateway {
        self.gateway.as_ref().unwrap()
    }

    /// The same browser at the gateway that runs now.
    fn moved(&self, browser: &Browser) -> Browser {
        let mut moved = self.gateway().browser();
        moved.jar = browser.jar.clone();
        moved
    }

    fn status(&self, browser: &Browser) -> u16 {
        self.moved(browser).get("/").status
    }

    fn data(&self, browser: &Browser) -> serde_json::Value {
        assert_eq!(self.status(browser), 200);
        self.app.last().session_data()
    }
}

fn set(length: usize) -> String {
    format!("Session-Set: {{\"k\": \"{}\"}}", "v".repeat(length))
}

fn cookie_lines(answer: &Response) -> Vec<&str> {
    answer.all("set-cookie").into_iter().filter(|line| line.starts_with("sessionid")).collect()
}

#[test]
fn a_restart_signs_nobody_out_and_keeps_what_apps_keep() {
    let mut fixture = Fixture::new();
    let mut browser = fixture.gateway().signed_in("ann");
    browser.answered("/", &["Session-Set: {\"cart\": 3}"]);
    fixture.restart();
    assert_eq!(fixture.data(&browser), json!({"cart": 3}));
    assert_eq!(fixture.app.last().header("remote-user"), Some("ann"));
}

/// SM-09.
#[test]
fn a_cookie_kept_from_before_signing_out_is_worth_nothing_also_after_a_restart() {
    let mut fixture = Fixture::new();
    let mut browser = fixture.gateway().signed_in("ann");
    let other = fixture.gateway().signed_in("ann");
    let mut kept = vec![fixture.moved(&browser)];
    browser.answered("/", COUNT);
    kept.push(fixture.moved(&browser));
    assert_eq!(browser.sign_out().status, 200);
    assert!(browser.jar.is_empty());
    for _ in 0..3 {
        assert!(kept.iter().all(|kept| fixture.status(kept) == 302));
        assert_eq!(fixture.status(&other), 200, "the other browser of the same user goes on");
        fixture.restart();
    }
}

/// SM-11.
#[test]
fn a_cookie_from_before_a_new_password_is_worth_nothing() {
    let mut fixture = Fixture::new();
    let (ann, bob) = (fixture.gateway().signed_in("ann"), fixture.gateway().signed_in("bob"));
    let new = bcrypt::hash("another", 4).unwrap();
    fixture.users = fixture.users.replacen(&hash(), &new, 1);
    fixture.restart();
    assert_eq!((fixture.status(&ann), fixture.status(&bob)), (302, 200));
    fixture.users = fixture.users.replacen(&new, &hash(), 1);
    fixture.restart();
    assert_eq!(fixture.status(&ann), 302, "not even when the old password comes back");
    assert_eq!(fixture.gateway().browser().sign_in("ann", PASSWORD).status, 303);
}

#[test]
fn requests_in_parallel_with_one_cookie_lose_nothing() {
    let fixture = Fixture::new();
    let browser = fixture.gateway().signed_in("ann");
    let answers = at_once(50, |_| fixture.moved(&browser).answered("/", COUNT));
    assert!(answers.iter().all(|answer| (answer.status, &*answer.text()) == (200, PAGE)));
    // Whichever answer came last to the browser, also the one that saw least.
    for answer in &answers {
        let mut jar = fixture.moved(&browser);
        jar.keep(answer);
        assert_eq!(fixture.data(&jar), json!({"n": 50}));
    }
    assert_eq!(fixture.data(&browser), json!({"n": 50}), "and if none did");
}

#[test]
fn requests_in_parallel_at_rotation_time_get_cookies_of_one_session() {
    let mut fixture = Fixture::new();
    let old = fixture.gateway().signed_in("ann");
    fixture.status(&old);
    let handle = fixture.app.last().header("session-handle").unwrap().to_owned();
    fixture.gateway().advance(HOUR);
    let answers = at_once(50, |_| fixture.moved(&old).answered("/", COUNT));
    assert!(answers.iter().all(|answer| answer.status == 200));
    let mut last = fixture.moved(&old);
    for answer in answers.iter().filter(|answer| issued(answer).is_some()) {
        last = fixture.moved(&old);
        last.keep(answer);
        assert_eq!(fixture.data(&last), json!({"n": 50}));
        assert_eq!(fixture.app.last().header("session-handle"), Some(&*handle));
    }
    assert_eq!(fixture.status(&old), 200, "within the grace");
    fixture.restart();
    assert_eq!((fixture.status(&last), fixture.status(&old)), (200, 302), "the old id is dead when the memory is gone");
}

#[test]
fn long_sessions_come_in_cookies_that_browsers_keep_and_apps_do_not_see() {
    let mut fixture = Fixture::new();
    let mut browser = fixture.gateway().signed_in("ann");
    browser.jar.insert("theme".into(), "dark".into());
    for (length, names) in
        [(5000, vec!["sessionid", "sessionid.1"]), (8000, vec!["sessionid", "sessionid.1", "sessionid.2"])]
    {
        let answer = browser.answered("/", &[&set(length)]);
        assert!(cookie_lines(&answer).iter().all(|line| line.len() <= 4096));
        assert_eq!(browser.jar.keys().filter(|name| *name != "theme").collect::<Vec<_>>(), names);
        assert_eq!(fixture.data(&browser)["k"].as_str().map(str::len), Some(length));
        assert_eq!(fixture.app.last().header("cookie"), Some("theme=dark"));
    }
    fixture.restart();
    let mut browser = fixture.moved(&browser);
    browser.answered("/", &[&set(10)]);
    assert_eq!(browser.jar.keys().collect::<Vec<_>>(), ["sessionid", "theme"], "what is not needed any more goes");
    browser.answered("/", &[&set(6000)]);
    browser.sign_out();
    assert_eq!(browser.jar.keys().collect::<Vec<_>>(), ["theme"]);
}

#[test]
fn an_app_can_set_no_cookie_that_would_pass_for_a_piece_of_ours() {
    let fixture = Fixture::new();
    let answer = fixture.gateway().browser().answered("/public", &["Set-Cookie: sessionid.1=x", "Set-Cookie: a=1"]);
    assert_eq!(answer.all("set-cookie"), ["a=1"]);
}

/// The answer of the app goes out whole; it keeps what it had.
#[test]
fn more_than_cookies_hold_is_not_kept() {
    let fixture = Fixture::new();
    let mut browser = fixture.gateway().signed_in("ann");
    browser.answered("/", &[&set(4000)]);
    let answer = browser.answered("/", &["Session-Set: {\"a\": 1}", &set(10_000)]);
    assert_eq!((answer.status, answer.text().as_str()), (200, PAGE));
    assert!(cookie_lines(&answer).iter().all(|line| line.len() <= 4096));
    assert_eq!(fixture.data(&browser)["k"].as_str().map(str::len), Some(4000));
}

#[test]
fn pieces_of_two_browsers_make_no_session() {
    let fixture = Fixture::new();
    let (mut ann, mut bob) = (fixture.gateway().signed_in("ann"), fixture.gateway().signed_in("bob"));
    for browser in [&mut ann, &mut bob] {
        browser.answered("/", &[&set(5000)]);
    }
    let mut mixed = fixture.moved(&ann);
    mixed.jar.insert("sessionid.1".into(), bob.jar["sessionid.1"].clone());
    assert_eq!(mixed.get("/").status, 302);
    assert_eq!((fixture.status(&ann), fixture.status(&bob)), (200, 200));
}

/// A form that was opened before a restart can be sent in after it.
#[test]
fn a_sign_in_form_outlives_a_restart() {
    let mut fixture = Fixture::new();
    let mut browser = fixture.gateway().browser();
    let csrf = field(&browser.get("/.session/login"), "csrf").unwrap();
    fixture.restart();
    let mut browser = fixture.moved(&browser);
    let fields = [("csrf", &*csrf), ("rd", "/"), ("username", "ann"), ("password", PASSWORD)];
    assert_eq!(browser.post("/.session/login", &fields).status, 303);
    assert_eq!(browser.get("/").status, 200);
}

#[test]
fn the_file_of_what_ended_names_nobody() {
    let fixture = Fixture::new();
    let mut browser = fixture.gateway().signed_in("ann");
    let id = browser.session_id().unwrap();
    browser.sign_out();
    let text = std::fs::read_to_string(fixture.dir.path().join("denials")).unwrap();
    assert!(text.lines().any(|line| line.starts_with("session ")), "{text}");
    assert!(!text.contains("ann") && !text.contains(&id[1..20]), "{text}");
}

#[test]
fn the_list_names_tests_that_there_are() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    let list = std::fs::read_to_string(format!("{root}/cookie_store/cannot_apply")).unwrap();
    for line in list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (module, test) = line.rsplit_once("::").unwrap();
        let text = std::fs::read_to_string(format!("{root}/{}.rs", module.replace("::", "/"))).unwrap();
        assert!(text.contains(&format!("fn {test}(")), "{line}");
    }
}
