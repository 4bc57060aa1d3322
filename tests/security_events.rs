//! Security events: one JSON line each, in the log of the shipped program at its most talkative level, and no secret
//! in anything it writes.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::support::process::{Process, write};
use crate::support::{App, Browser, PASSWORD, Response, field, forgets, issued, until, user};

/// A gateway in a process of its own, and everything secret that it gave out.
struct Watched {
    process: Process,
    secrets: BTreeSet<String>,
}

const USERS: &str = "users.yaml";

impl Watched {
    /// Ids may be given out at any moment; the grace is as short as can be.
    fn start(dir: &Path, app: &App, session: &str) -> Self {
        write(dir, USERS, &format!("- {}\n- {}\n", user("ann", "wiki"), user("bob", "wiki")));
        let yaml = format!(
            "listeners: [{{ address: '127.0.0.1:0' }}]\nadmin: {{ address: null }}\nworkers: 2\n\
             trusted_proxies: [127.0.0.1]\nlog: {{ level: trace, access: true }}\n\
             limits: {{ unknown_ids_per_minute: 5 }}\n\
             session: {{ rotation_grace: 1s, cookie: {{ secure: auto }}, {session} }}\n\
             login: {{ form: {{ users_file: {USERS} }} }}\n\
             routes: [{{ name: shop, access: public, session_headers: read_write, upstream: 'http://{}' }}]\n",
            app.address
        );
        let process = Process::start(dir, &yaml, 1, &[]);
        let secrets = [PASSWORD, "correct+horse", "correct%20horse", "private-data"].map(str::to_owned).into();
        Self { process, secrets }
    }

    fn browser(&self) -> Browser {
        Browser::at(self.process.addresses()[0])
    }

    fn holding(&self, id: &str) -> Browser {
        Browser::holding(self.process.addresses()[0], id)
    }

    /// Remembers the id and the form token of an answer.
    fn note(&mut self, answer: Response) -> Response {
        self.secrets.extend(issued(&answer));
        self.secrets.extend(field(&answer, "csrf"));
        answer
    }

    /// Signs in, with every answer on the way noted.
    fn sign_in(&mut self, browser: &mut Browser, user: &str) {
        let page = browser.get("/.session/login");
        let csrf = field(&page, "csrf").unwrap();
        self.note(page);
        let form = [("csrf", &*csrf), ("rd", "/"), ("username", user), ("password", PASSWORD)];
        let answer = browser.post("/.session/login", &form);
        assert_eq!(answer.status, 303);
        self.note(answer);
    }

    fn sign_out(&mut self, browser: &mut Browser) {
        let page = browser.get("/.session/logout");
        let csrf = field(&page, "csrf").unwrap();
        self.note(page);
        assert!(forgets(&browser.post("/.session/logout", &[("csrf", &csrf)])));
    }

    fn say(&mut self, browser: &mut Browser, lines: &[&str]) -> Response {
        let answer = browser.answered("/", lines);
        self.note(answer)
    }

    /// Ends the program; nothing that it wrote holds a secret.
    fn end(self) -> Log {
        let (status, text) = self.process.terminate();
        assert!(status.success());
        assert!(text.contains("\"message\":\"request\""), "the access log is part of it: {text}");
        for secret in &self.secrets {
            assert!(!text.contains(secret.as_str()), "{secret} is in the log: {text}");
        }
        Log(text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect())
    }
}

struct Log(Vec<Value>);

impl Log {
    fn all(&self, event: &str) -> Vec<&Value> {
        self.0.iter().filter(|line| line["event"] == event).collect()
    }

    /// The one line of an event, with what every such line has.
    fn one(&self, event: &str) -> &Value {
        let all = self.all(event);
        let [line] = all[..] else { panic!("{event}: {all:#?}") };
        assert_complete(line);
        line
    }
}

/// UTC time, a level, an address; by whom and of which session, its caller asserts.
fn assert_complete(line: &Value) {
    let time = line["timestamp"].as_str().unwrap();
    assert!(time.len() >= 20 && time.as_bytes()[10] == b'T' && time.ends_with('Z'), "{line}");
    assert!(matches!(line["level"].as_str(), Some("INFO" | "WARN")), "{line}");
    assert_eq!(line["address"], "127.0.0.1", "{line}");
}

fn handle(app: &App) -> String {
    app.last().header("session-handle").expect("a session").to_owned()
}

fn is_anonymous(app: &App, browser: &mut Browser) -> bool {
    browser.get("/");
    app.last().header("remote-user").is_none()
}

#[test]
fn a_session_from_its_beginning_to_sign_out_leaves_one_line_for_each_turn() {
    let (app, dir) = (App::obeying(), tempfile::tempdir().unwrap());
    let mut watched = Watched::start(dir.path(), &app, "");
    let mut browser = watched.browser();
    watched.say(&mut browser, &["Session-Set: {\"x\": \"private-data\"}"]);
    browser.get("/");
    let anonymous = handle(&app);
    watched.sign_in(&mut browser, "ann");
    for _ in 0..5 {
        browser.get("/");
        assert_eq!(app.last().header("remote-user"), Some("ann"));
    }
    let signed_in = handle(&app);
    assert!(issued(&watched.say(&mut browser, &["Session-Rotate: true"])).is_some());
    browser.get("/");
    assert_eq!(handle(&app), signed_in, "a new id is no new session");
    watched.sign_out(&mut browser);

    let log = watched.end();
    assert_eq!((&log.one("created")["handle"], &log.one("created")["user"]), (&anonymous.into(), &Value::Null));
    for event in ["signed_in", "rotated", "signed_out"] {
        let line = log.one(event);
        assert_eq!((&line["handle"], &line["user"]), (&signed_in.clone().into(), &"ann".into()), "{event}");
        assert_eq!(line["level"], "INFO");
    }
    for event in ["theft_suspected", "revoked", "expired", "refused"] {
        assert!(log.all(event).is_empty(), "{event}");
    }
}

#[test]
fn an_app_that_names_its_user_with_each_answer_makes_one_signed_in_line() {
    let (app, dir) = (App::obeying(), tempfile::tempdir().unwrap());
    let mut watched = Watched::start(dir.path(), &app, "");
    let mut browser = watched.browser();
    for _ in 0..5 {
        watched.say(&mut browser, &["Session-User: alice", "Session-Increment: {\"n\": 1}"]);
    }
    browser.get("/");
    let handle = handle(&app);
    let log = watched.end();
    assert_eq!((&log.one("signed_in")["user"], &log.one("signed_in")["handle"]), (&"alice".into(), &handle.into()));
    assert!(log.all("rotated").is_empty() && log.all("created").is_empty());
}

#[test]
fn theft_is_one_warning_whoever_comes_afterwards() {
    let (app, dir) = (App::obeying(), tempfile::tempdir().unwrap());
    let mut watched = Watched::start(dir.path(), &app, "");
    let mut browser = watched.browser();
    watched.sign_in(&mut browser, "ann");
    let old = browser.session_id().unwrap();
    watched.say(&mut browser, &["Session-Rotate: true"]);
    let new = browser.session_id().unwrap();
    browser.get("/");
    let stolen = handle(&app);
    until(|| is_anonymous(&app, &mut watched.holding(&old)));
    for id in [&old, &new, &old, &new] {
        assert!(is_anonymous(&app, &mut watched.holding(id)));
    }
    let log = watched.end();
    let line = log.one("theft_suspected");
    assert_eq!((&line["handle"], &line["user"], &line["level"]), (&stolen.into(), &"ann".into(), &"WARN".into()));
    assert!(log.all("revoked").is_empty() && log.all("signed_out").is_empty() && log.all("expired").is_empty());
}

#[test]
fn a_session_that_is_ended_from_another_one_is_revoked_in_one_line() {
    let (app, dir) = (App::obeying(), tempfile::tempdir().unwrap());
    let mut watched = Watched::start(dir.path(), &app, "");
    let (mut one, mut two) = (watched.browser(), watched.browser());
    watched.sign_in(&mut one, "ann");
    one.get("/");
    let ended = handle(&app);
    watched.sign_in(&mut two, "ann");
    watched.say(&mut two, &["Session-Revoke-Others: true"]);
    assert!(is_anonymous(&app, &mut one));
    let log = watched.end();
    let line = log.one("revoked");
    assert_eq!((&line["handle"], &line["user"]), (&ended.into(), &"ann".into()));
    assert_eq!(log.all("signed_in").len(), 2, "nobody has signed in since");
    assert_eq!(log.one("rotated")["user"], "ann");
}

#[test]
fn a_session_beyond_the_users_limit_is_revoked_and_a_denied_one_refused() {
    for (policy, event) in [("evict_oldest", "revoked"), ("deny", "refused")] {
        let (app, dir) = (App::obeying(), tempfile::tempdir().unwrap());
        let mut watched = Watched::start(dir.path(), &app, &format!("max_per_user: 1, on_limit: {policy}"));
        let (mut one, mut two) = (watched.browser(), watched.browser());
        watched.sign_in(&mut one, "ann");
        let status = two.sign_in("ann", PASSWORD).status;
        assert_eq!(status, if policy == "deny" { 409 } else { 303 });
        watched.secrets.extend(two.session_id());
        let line = watched.end().one(event).clone();
        assert_eq!((&line["user"], &line["reason"]), (&"ann".into(), &"session.max_per_user".into()));
        assert!(line["handle"].is_string());
    }
}

#[test]
fn a_removed_account_is_revoked_once_for_each_session() {
    let (app, dir) = (App::obeying(), tempfile::tempdir().unwrap());
    let mut watched = Watched::start(dir.path(), &app, "");
    let (mut one, mut two) = (watched.browser(), watched.browser());
    let mut handles = Vec::new();
    for browser in [&mut one, &mut two] {
        watched.sign_in(browser, "ann");
        browser.get("/");
        handles.push(handle(&app));
    }
    write(dir.path(), USERS, &format!("- {}\n", user("bob", "wiki")));
    until(|| is_anonymous(&app, &mut one));
    until(|| is_anonymous(&app, &mut two));
    let log = watched.end();
    let mut revoked: Vec<_> = log.all("revoked").iter().map(|line| line["handle"].as_str().unwrap()).collect();
    revoked.sort_unstable();
    handles.sort_unstable();
    assert_eq!(revoked, handles);
    log.all("revoked").iter().for_each(|line| assert_complete(line));
}

/// Asking for its state does not keep it alive.
#[test]
fn a_session_whose_time_is_over_expires_in_one_line() {
    let (app, dir) = (App::obeying(), tempfile::tempdir().unwrap());
    let mut watched = Watched::start(dir.path(), &app, "");
    let mut browser = watched.browser();
    watched.sign_in(&mut browser, "ann");
    browser.get("/");
    let handle = handle(&app);
    watched.say(&mut browser, &["Session-Expiry: 1"]);
    let id = browser.session_id().unwrap();
    until(|| watched.holding(&id).fetch("/.session/me").json()["authenticated"] == false);
    assert!(is_anonymous(&app, &mut watched.holding(&id)));
    let log = watched.end();
    let line = log.one("expired");
    assert_eq!((&line["handle"], &line["user"]), (&handle.into(), &"ann".into()));
    assert!(log.all("signed_out").is_empty() && log.all("revoked").is_empty());
}

#[test]
fn what_is_refused_says_why_and_to_whom() {
    let (app, dir) = (App::obeying(), tempfile::tempdir().unwrap());
    let mut watched = Watched::start(dir.path(), &app, "");
    let (mut one, mut two) = (watched.browser(), watched.browser());
    watched.sign_in(&mut one, "ann");
    watched.sign_in(&mut two, "bob");
    let both = format!("sessionid={}; sessionid={}", one.session_id().unwrap(), two.session_id().unwrap());
    watched.browser().request("GET", "/", &[("Cookie", &both)], b"");
    let forged = "f".repeat(32);
    watched.secrets.insert(forged.clone());
    for _ in 0..5 {
        let cookie = format!("sessionid={forged}");
        let headers = [("Cookie", &*cookie), ("X-Forwarded-For", "198.51.100.7")];
        assert_eq!(watched.browser().request("GET", "/", &headers, b"").status, 200);
    }
    let cookie = format!("sessionid={forged}");
    let headers = [("Cookie", &*cookie), ("X-Forwarded-For", "198.51.100.7")];
    assert_eq!(watched.browser().request("GET", "/", &headers, b"").status, 429);
    let log = watched.end();
    let [two_sessions, flood] = log.all("refused")[..] else { panic!("{:#?}", log.all("refused")) };
    assert_complete(two_sessions);
    assert_eq!(two_sessions["reason"], "several living sessions in one request");
    assert_eq!((&flood["reason"], &flood["address"]), (&"too many unknown session ids".into(), &"198.51.100.7".into()));
    assert!([two_sessions, flood].iter().all(|line| line["level"] == "WARN"));
}

/// Everything at once, with every secret noted: `end` searches what was written for each of them.
#[test]
fn no_id_password_token_or_value_of_a_session_is_in_anything_that_is_written() {
    let (app, dir) = (App::obeying(), tempfile::tempdir().unwrap());
    let mut watched = Watched::start(dir.path(), &app, "max_data_size: 1KiB, save_every_request: true");
    for round in 0..5 {
        let mut browser = watched.browser();
        watched
            .say(&mut browser, &["Session-Set: {\"a\": \"private-data\"}", "Session-Flash: {\"b\": \"private-data\"}"]);
        watched.sign_in(&mut browser, if round % 2 == 0 { "ann" } else { "bob" });
        let old = browser.session_id().unwrap();
        watched.say(&mut browser, &["Session-Rotate: true"]);
        for mut other in [watched.holding(&old), watched.holding(&old)] {
            watched.say(&mut other, &["Session-Increment: {\"private-data\": \"x\"}", "Session-Expiry: private-data"]);
        }
        let large = format!("Session-Set: {{\"a\": \"private-data{}\"}}", "x".repeat(1024));
        watched.say(&mut browser, &[&large, "Session-Set: {private-data", "Session-User: UTF-8''private-data%ff"]);
        watched.say(&mut browser, &["Session-Revoke-Others: true", "Session-Groups: private-data"]);
        watched.say(&mut browser, &["Status: 500", "Session-Flash: {\"b\": \"private-data\"}"]);
        let page = browser.get("/.session/logout");
        watched.note(page);
        match round {
            0 => watched.sign_out(&mut browser),
            1 => drop(watched.say(&mut browser, &["Session-Flush: true"])),
            2 => drop(watched.say(&mut browser, &["Session-User: carol"])),
            _ => watched.sign_in(&mut browser, "bob"),
        }
        let late = watched.holding(&old).get("/");
        watched.note(late);
    }
    assert!(watched.secrets.len() > 30, "only {}", watched.secrets.len());
    let log = watched.end();
    for event in ["created", "signed_in", "rotated", "signed_out", "session_header_ignored", "data_too_large"] {
        assert!(!log.all(event).is_empty(), "{event}");
    }
}
