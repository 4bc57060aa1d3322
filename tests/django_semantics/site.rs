//! One gateway with Django's settings, before an app that does to the session what it is told to.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde_json::Value;

use crate::support::{App, Browser, Response, Seen, TestGateway};

pub const SECOND: Duration = Duration::from_secs(1);
pub const MINUTE: Duration = Duration::from_secs(60);
pub const HOUR: Duration = Duration::from_secs(3600);

/// Django's `SESSION_COOKIE_AGE`, and our `absolute_timeout`.
pub const TWO_WEEKS: Duration = Duration::from_secs(14 * 86_400);

/// What an app can do to its session: a name, the header it answers with, and the same as a rule.
///
/// The clock begins at 2026-01-01T00:00:00Z.
const OPERATIONS: [(&str, &str, &str); 20] = [
    ("set", r#"Session-Set: {"cat": "dog"}"#, "set: { cat: dog }"),
    ("set bird", r#"Session-Set: {"bird": 1}"#, "set: { bird: 1 }"),
    ("set both", r#"Session-Set: {"cat": 2, "bird": [3]}"#, "set: { cat: 2, bird: [3] }"),
    ("set values", SET_VALUES, RULE_VALUES),
    ("pop", r#"Session-Set: {"cat": null}"#, "unset: cat"),
    ("flash", r#"Session-Flash: {"note": "saved"}"#, "flash: { note: saved }"),
    ("count", r#"Session-Increment: {"visits": 1}"#, "increment: { visits: 1 }"),
    ("clear", "Session-Clear: true", "clear: true"),
    ("flush", "Session-Flush: true", "flush: true"),
    ("flush and set", "Session-Flush: true\r\nSession-Set: {\"cat\": \"new\"}", "flush: true, set: { cat: new }"),
    ("rotate", "Session-Rotate: true", "rotate: true"),
    ("expire in 10 s", "Session-Expiry: 10", "expiry: 10s"),
    ("expire in a year", "Session-Expiry: 31536000", "expiry: 365d"),
    ("expire at one", "Session-Expiry: 2026-01-01T01:00:00Z", "expiry: '2026-01-01T01:00:00Z'"),
    ("expire in the past", "Session-Expiry: -10", "expiry: '2025-12-31T23:59:50Z'"),
    ("expire with the browser", "Session-Expiry: browser", "expiry: browser"),
    ("expire by default", "Session-Expiry: default", "expiry: default"),
    ("login ann", "Session-User: ann", "user: ann"),
    ("login bob", "Session-User: bob", "user: bob"),
    ("password changed", "Session-Revoke-Others: true", "revoke_others: true"),
];

const SET_VALUES: &str = r#"Session-Set: {"text": "Ä \ud83e\udde5 \"\\\n\u0000", "raw": "é🧥", "empty": "", "none": [null], "list": [], "object": {"a": {"b": [1, {}]}}, "big": 9007199254740993, "real": -1.5, "yes": true}"#;
const RULE_VALUES: &str = r#"set: { text: "Ä 🧥 \"\\\n\0", raw: "é🧥", empty: "", none: [null], list: [], object: { a: { b: [1, {}] } }, big: 9007199254740993, real: -1.5, yes: true }"#;

/// How the app asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Header,
    Rule,
}

impl By {
    pub const BOTH: [Self; 2] = [Self::Header, Self::Rule];
}

pub struct Site {
    pub app: App,
    pub gateway: TestGateway,
    by: By,
    gate: Sender<()>,
}

impl Site {
    /// Django's settings as far as they have an equivalent: two weeks, no idle timeout, no rotation by time.
    pub fn new(by: By) -> Self {
        Self::with(by, "cookie: { secure: auto }")
    }

    /// More keys of `session`, `cookie` always among them.
    pub fn with(by: By, session: &str) -> Self {
        Self::with_config(by, session, "")
    }

    /// The same, and more top-level keys.
    pub fn with_config(by: By, session: &str, more: &str) -> Self {
        let (gate, opened) = channel();
        let opened = Mutex::new(opened);
        let app = App::with(move |seen, stream| obey(seen, stream, &opened));
        let gateway = TestGateway::with_config(&format!(
            "session: {{ idle_timeout: null, rotate_every: null, {session} }}\n{more}\nroutes:\n{}",
            routes(&app)
        ));
        Self { app, gateway, by, gate }
    }

    pub fn visitor(&self) -> Visitor<'_> {
        Visitor { site: self, browser: self.gateway.browser() }
    }

    /// Somebody who comes with this id and nothing else.
    pub fn holder_of(&self, id: &str) -> Visitor<'_> {
        let mut visitor = self.visitor();
        visitor.browser.jar.insert("sessionid".into(), id.into());
        visitor
    }

    /// Lets the app answer one request that waits.
    pub fn open_the_gate(&self) {
        self.gate.send(()).unwrap();
    }

    /// What another holder of the visitor's id is answered, when the app takes until `meanwhile` is done.
    pub fn slow_beside(
        &self,
        visitor: &mut Visitor<'_>,
        operation: &str,
        headers: &[(&str, &str)],
        meanwhile: impl FnOnce(&mut Visitor<'_>),
    ) -> Response {
        let headers = [&[("X-Wait", "yes")], headers].concat();
        std::thread::scope(|scope| {
            let seen = self.app.seen().len();
            let mut slow = self.holder_of(&visitor.id());
            let slow = scope.spawn(move || slow.does_with(operation, &headers));
            self.app.wait_for(seen + 1);
            meanwhile(visitor);
            self.open_the_gate();
            slow.join().unwrap()
        })
    }
}

fn routes(app: &App) -> String {
    let rule = |(name, _, then): &(&str, &str, &str)| {
        format!("{{ when: {{ path: '{}', status: [2xx, 3xx, 4xx, 5xx] }}, then: {{ {then} }} }}", rule_path(name))
    };
    let rules = OPERATIONS.iter().map(rule).collect::<Vec<_>>().join(", ");
    let failed = "{ when: { status: 5xx }, then: { set: { cat: down } } }";
    let upstream = format!("upstream: 'http://{}'", app.address);
    format!(
        "  - {{ path: /plain, access: public, {upstream} }}\n  \
           - {{ path: /private, access: user, {upstream} }}\n  \
           - {{ path: /read, access: public, session_headers: read, {upstream} }}\n  \
           - {{ path: /header, access: public, session_headers: read_write, {upstream} }}\n  \
           - {{ path: /rule, access: public, session_headers: read, {upstream}, rules: [{rules}] }}\n  \
           - {{ path: /down, access: public, upstream: 'http://127.0.0.1:1', \
                rules: [{failed}] }}\n  \
           - {{ path: /silent, access: public, upstream: {{ url: 'http://{}', first_byte_timeout: 300ms }}, rules: [{failed}] }}",
        app.address
    )
}

fn rule_path(name: &str) -> String {
    format!("/rule/{}", name.replace(' ', "-"))
}

/// The test's request says what the app answers: `X-Status`, and `X-Answer` for each header line. `X-Wait`: not yet.
fn obey(seen: &Seen, stream: &mut TcpStream, gate: &Mutex<Receiver<()>>) -> bool {
    if seen.header("x-wait").is_some() {
        gate.lock().unwrap().recv_timeout(Duration::from_secs(20)).expect("the test never opened the gate");
    }
    obey_at_once(seen, stream)
}

pub fn obey_at_once(seen: &Seen, stream: &mut TcpStream) -> bool {
    let status = seen.header("x-status").unwrap_or("200");
    let lines: String = seen.all("x-answer").iter().map(|line| format!("{line}\r\n")).collect();
    let answer = format!("HTTP/1.1 {status} As-Told\r\n{lines}Content-Length: 4\r\n\r\ndone");
    stream.write_all(answer.as_bytes()).is_ok()
}

/// A browser at the site.
pub struct Visitor<'a> {
    site: &'a Site,
    pub browser: Browser,
}

impl Visitor<'_> {
    /// A request in answer to which the app does something to the session.
    pub fn does(&mut self, operation: &str) -> Response {
        self.does_with(operation, &[])
    }

    /// The same, and the app fails.
    pub fn does_and_fails(&mut self, operation: &str, status: u16) -> Response {
        self.does_with(operation, &[("X-Status", &status.to_string())])
    }

    /// The same, with more request headers.
    pub fn does_with(&mut self, operation: &str, headers: &[(&str, &str)]) -> Response {
        let (_, lines, _) = OPERATIONS.iter().find(|(name, ..)| *name == operation).expect("an operation");
        match self.site.by {
            By::Rule => self.browser.request("POST", &rule_path(operation), headers, b""),
            By::Header => {
                let lines = lines.split("\r\n").map(|line| ("X-Answer", line));
                let all: Vec<_> = lines.chain(headers.iter().copied()).collect();
                self.browser.request("POST", "/header", &all, b"")
            }
        }
    }

    /// The app answers with these header lines.
    pub fn is_answered(&mut self, lines: &[&str]) -> Response {
        let headers: Vec<_> = lines.iter().map(|line| ("X-Answer", *line)).collect();
        self.browser.request("GET", "/header", &headers, b"")
    }

    /// A request whose app is told of the session and does nothing to it.
    pub fn reads(&mut self) -> Response {
        self.browser.get("/read")
    }

    /// The data that the app sees.
    pub fn data(&mut self) -> Value {
        self.reads();
        serde_json::from_str(self.site.app.last().header("session-data").expect("Session-Data")).unwrap()
    }

    /// A header that the app sees.
    pub fn told(&mut self, name: &str) -> Option<String> {
        self.reads();
        self.site.app.last().header(name).map(Into::into)
    }

    /// The user that the app sees.
    pub fn user(&mut self) -> Option<String> {
        self.told("remote-user")
    }

    /// The seconds that the app sees are left.
    pub fn expires_in(&mut self) -> u64 {
        self.told("session-expires-in").expect("a session").parse().unwrap()
    }

    /// Whether the app sees a session.
    pub fn has_session(&mut self) -> bool {
        self.told("session-handle").is_some()
    }

    pub fn id(&self) -> String {
        self.browser.session_id().expect("a session cookie")
    }
}

/// The one line that sets or deletes our cookie; panics when there are several.
pub fn set_cookie(answer: &Response) -> Option<&str> {
    let lines = answer.all("set-cookie");
    assert!(lines.len() <= 1, "{lines:?}");
    lines.first().copied()
}

/// The attributes of that line, names in lower case; panics when one is repeated.
pub fn attributes(answer: &Response) -> BTreeMap<String, String> {
    let line = set_cookie(answer).expect("a Set-Cookie line");
    let mut found = BTreeMap::new();
    for part in line.split(';').skip(1) {
        let (name, value) = part.trim().split_once('=').unwrap_or((part.trim(), ""));
        assert!(found.insert(name.to_ascii_lowercase(), value.to_owned()).is_none(), "{line}");
    }
    found
}

pub fn max_age(answer: &Response) -> Option<u64> {
    attributes(answer).get("max-age").map(|seconds| seconds.parse().unwrap())
}

/// Whether the answer tells the browser to forget the cookie.
pub fn deletes(answer: &Response) -> bool {
    set_cookie(answer).is_some_and(|line| line.starts_with("sessionid=;") && line.contains("Max-Age=0"))
}

pub fn varies_by_cookie(answer: &Response) -> bool {
    answer.all("vary").join(",").split(',').any(|name| name.trim().eq_ignore_ascii_case("cookie"))
}
