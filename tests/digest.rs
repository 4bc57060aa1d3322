//! Sign-on by Digest (RFC 7616): the app asks, and the gateway answers with what the user typed at our form.

use std::collections::{HashMap, HashSet};
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use md5::{Digest as _, Md5};

use crate::support::socket::{self, Socket};
use crate::support::{App, Browser, PASSWORD, Seen, TestGateway, at_once, ok};

/// How an app goes about Digest.
#[derive(Clone, Copy)]
struct Manners {
    /// What stands in a challenge besides realm and nonce.
    asks: &'static str,
    /// How often a nonce may be used.
    uses: usize,
    /// Whether it says that a nonce was too old.
    says_stale: bool,
    /// Whether each answer brings the next nonce.
    says_next: bool,
    /// What it answers to HEAD before it looks at anything.
    head: Option<&'static str>,
}

const POLITE: Manners = Manners {
    asks: "qop=\"auth,auth-int\", algorithm=MD5",
    uses: 1000,
    says_stale: true,
    says_next: false,
    head: None,
};

/// An app that knows everybody by the password that we do, and computes what RFC 7616 §3.4 says for itself.
struct Guarded {
    app: App,
    desk: Arc<Mutex<Desk>>,
}

/// What such an app remembers.
#[derive(Default)]
struct Desk {
    /// Numbers used with each nonce it has given out.
    nonces: HashMap<String, HashSet<String>>,
    given: usize,
    refused: usize,
}

impl Guarded {
    fn new(manners: Manners) -> Self {
        let desk = Arc::new(Mutex::new(Desk::default()));
        let shared = Arc::clone(&desk);
        let app = App::with(move |seen, stream| {
            let answer = shared.lock().unwrap().answer(seen, manners);
            if answer.is_empty() { socket::join(seen, stream) } else { stream.write_all(answer.as_bytes()).is_ok() }
        });
        Self { app, desk }
    }

    fn gateway(&self, more: &str) -> TestGateway {
        TestGateway::with_routes(&format!(
            "  - {{ sign_on: {{ digest: true }}, upstream: 'http://{}'{more} }}",
            self.app.address
        ))
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap()
    }

    /// As after a restart: no nonce of before is known.
    fn forget_nonces(&self) {
        self.desk().nonces.clear();
    }

    /// Methods of all requests, with a mark where nobody was named.
    fn methods(&self) -> Vec<String> {
        let method = |seen: &Seen| {
            let mark = if seen.header("authorization").is_some() { "" } else { "?" };
            format!("{}{mark}", seen.line().split(' ').next().unwrap())
        };
        self.app.seen().iter().map(method).collect()
    }
}

impl Desk {
    /// Empty: whoever it is may open a WebSocket.
    fn answer(&mut self, seen: &Seen, manners: Manners) -> String {
        let line: Vec<&str> = seen.line().split(' ').collect();
        if let Some(answer) = manners.head.filter(|_| line[0] == "HEAD") {
            return answer.to_owned();
        }
        let Some(said) = seen.header("authorization") else { return self.challenge(manners, "") };
        let said = parameters(said.strip_prefix("Digest ").unwrap_or_else(|| panic!("{said}")));
        assert_eq!(said["uri"], line[1], "what is hashed is what is sent");
        let is_right = said["username"] == "ann" && said["response"] == response(&said, line[0], PASSWORD);
        let number = said.get("nc").cloned().unwrap_or_else(|| format!("{}", self.given));
        let Some(used) = self.nonces.get_mut(&said["nonce"]).filter(|used| used.len() < manners.uses) else {
            let stale = if is_right && manners.says_stale { ", stale=true" } else { "" };
            return self.challenge(manners, stale);
        };
        assert!(used.insert(number.clone()) || !said.contains_key("nc"), "{number} came twice");
        if !is_right {
            self.refused += 1;
            return self.challenge(manners, "");
        }
        if seen.header("sec-websocket-key").is_some() {
            return String::new();
        }
        let next = match manners.says_next {
            true => format!("Authentication-Info: qop=auth, nextnonce=\"{}\"\r\n", self.nonce()),
            false => "Authentication-Info: rspauth=\"x\"\r\n".to_owned(),
        };
        let page = if line[0] == "HEAD" { String::new() } else { format!("in with {}", seen.body.len()) };
        format!("HTTP/1.1 200 OK\r\n{next}Content-Length: {}\r\n\r\n{page}", page.len())
    }

    fn nonce(&mut self) -> String {
        self.given += 1;
        let nonce = format!("n/{}=", self.given);
        self.nonces.insert(nonce.clone(), HashSet::new());
        nonce
    }

    fn challenge(&mut self, manners: Manners, more: &str) -> String {
        let nonce = self.nonce();
        let comma = if manners.asks.is_empty() { "" } else { ", " };
        format!(
            "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"x\"\r\nWWW-Authenticate: Digest realm=\"An \\\"old\\\" app\", \
             nonce=\"{nonce}\", opaque=\"o\"{comma}{}{more}\r\nContent-Length: 0\r\n\r\n",
            manners.asks
        )
    }
}

/// Of a header whose values hold no commas.
fn parameters(text: &str) -> HashMap<String, String> {
    let pair = |pair: &str| {
        let (name, value) = pair.trim().split_once('=').unwrap();
        (name.to_owned(), value.trim_matches('"').replace('\\', ""))
    };
    text.split(',').map(pair).collect()
}

fn md5(text: String) -> String {
    Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn response(said: &HashMap<String, String>, method: &str, password: &str) -> String {
    let said = |name: &str| said.get(name).map(String::as_str).unwrap_or_default();
    assert_eq!(said("opaque"), "o");
    let mut a1 = md5(format!("{}:An \"old\" app:{password}", said("username")));
    if said("algorithm") == "MD5-sess" {
        a1 = md5(format!("{a1}:{}:{}", said("nonce"), said("cnonce")));
    }
    let a2 = md5(format!("{method}:{}", said("uri")));
    match said("qop") {
        "" => md5(format!("{a1}:{}:{a2}", said("nonce"))),
        qop => md5(format!("{a1}:{}:{}:{}:{qop}:{a2}", said("nonce"), said("nc"), said("cnonce"))),
    }
}

#[test]
fn the_app_asks_once_and_gets_its_answer_with_each_request() {
    for asks in ["qop=\"auth,auth-int\", algorithm=MD5", "qop=auth", "", "qop=\"auth\", algorithm=MD5-sess"] {
        let guarded = Guarded::new(Manners { asks, ..POLITE });
        let gateway = guarded.gateway("");
        let mut browser = gateway.signed_in("ann");
        let page = browser.get("/start?x=1");
        assert_eq!((page.status, page.text().as_str()), (200, "in with 0"), "{asks}");
        assert!(page.header("www-authenticate").is_none() && page.header("authentication-info").is_none());
        let evil = [("Authorization", "Digest username=\"eve\""), ("Accept", "text/html")];
        assert_eq!(browser.request("GET", "/a%20b?c=%22d%22", &evil, b"").text(), "in with 0", "{asks}");
        assert_eq!(browser.request("DELETE", "/c", &[], b"").status, 200, "{asks}");
        assert_eq!(guarded.methods(), ["GET?", "GET", "GET", "DELETE"], "{asks}");
    }
}

#[test]
fn fifty_requests_at_once_use_each_number_once() {
    let guarded = Guarded::new(POLITE);
    let gateway = TestGateway::with_config(&format!(
        "workers: 2\nroutes:\n  - {{ sign_on: {{ digest: true }}, upstream: 'http://{}' }}",
        guarded.app.address
    ));
    let mut browser = gateway.signed_in("ann");
    browser.get("/");
    let (address, id) = (gateway.address(), browser.session_id().unwrap());
    let pages = at_once(50, |number| Browser::holding(address, &id).get(&format!("/{number}")).status);
    assert!(pages.iter().all(|status| *status == 200), "{pages:?}");
    assert_eq!(guarded.methods().iter().filter(|method| *method == "GET?").count(), 1);
    let desk = guarded.desk();
    let numbers: HashSet<String> = (1..=51).map(|number| format!("{number:08x}")).collect();
    assert_eq!(desk.nonces["n/1="], numbers);
}

#[test]
fn for_what_cannot_be_sent_twice_the_app_is_asked_first() {
    let guarded = Guarded::new(POLITE);
    let gateway = guarded.gateway("");
    let mut browser = gateway.signed_in("ann");
    assert_eq!(browser.post("/save", &[("a", "1")]).text(), "in with 3");
    assert_eq!(browser.get("/").text(), "in with 0");
    // It has been used more than once, a moment ago.
    assert_eq!(browser.post("/save", &[("a", "22")]).text(), "in with 4");
    gateway.advance(Duration::from_secs(6));
    assert_eq!(browser.post("/save", &[("a", "333")]).text(), "in with 5");
    assert_eq!(guarded.methods(), ["HEAD?", "POST", "GET", "POST", "HEAD?", "POST"]);
    let asked = &guarded.app.seen()[0];
    assert!(asked.line() == "HEAD /save HTTP/1.1" && asked.header("content-type").is_none(), "{}", asked.head);
}

#[test]
fn where_an_app_knows_no_head_it_is_asked_by_the_request_itself() {
    let head = "HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n";
    let guarded = Guarded::new(Manners { head: Some(head), ..POLITE });
    let gateway = guarded.gateway("");
    let mut browser = gateway.signed_in("ann");
    let lost = browser.post("/save", &[("a", "1")]);
    assert_eq!((lost.status, lost.header("retry-after"), lost.header("www-authenticate")), (503, Some("1"), None));
    assert_eq!(browser.post("/save", &[("a", "1")]).text(), "in with 3");
    assert_eq!(guarded.methods(), ["HEAD?", "POST?", "POST"]);
}

#[test]
fn a_nonce_that_is_too_old_is_replaced_and_the_request_repeated() {
    for says_stale in [true, false] {
        let guarded = Guarded::new(Manners { uses: 1, says_stale, ..POLITE });
        let gateway = guarded.gateway("");
        let mut browser = gateway.signed_in("ann");
        for _ in 0..3 {
            assert_eq!(browser.get("/").text(), "in with 0");
        }
        for _ in 0..3 {
            assert_eq!(browser.post("/save", &[("a", "1")]).text(), "in with 3");
        }
        assert_eq!(guarded.desk().refused, 0);
    }
}

#[test]
fn a_body_that_meets_a_new_nonce_all_the_same_is_to_be_sent_again() {
    for says_stale in [true, false] {
        let guarded = Guarded::new(Manners { says_stale, ..POLITE });
        let gateway = guarded.gateway("");
        let mut browser = gateway.signed_in("ann");
        browser.get("/");
        browser.get("/");
        guarded.forget_nonces();
        let lost = browser.post("/save", &[("a", "1")]);
        assert_eq!((lost.status, lost.header("www-authenticate")), (503, None));
        assert_eq!(browser.post("/save", &[("a", "1")]).text(), "in with 3");
        guarded.forget_nonces();
        assert_eq!(browser.get("/").text(), "in with 0");
    }
}

#[test]
fn the_nonce_that_the_app_names_is_next() {
    let guarded = Guarded::new(Manners { says_next: true, uses: 1, ..POLITE });
    let gateway = guarded.gateway("");
    let mut browser = gateway.signed_in("ann");
    browser.get("/");
    browser.get("/");
    assert_eq!(browser.post("/save", &[("a", "1")]).text(), "in with 3");
    browser.get("/");
    assert_eq!(guarded.methods(), ["GET?", "GET", "GET", "POST", "GET"]);
}

#[test]
fn a_password_that_the_app_does_not_take_shows_our_page_and_never_its_question() {
    let guarded = Guarded::new(POLITE);
    let gateway = guarded.gateway("");
    let mut browser = gateway.signed_in("bob");
    let page = browser.get("/");
    assert_eq!((page.status, page.header("www-authenticate")), (502, None));
    assert!(page.text().contains("did not let you in"), "{}", page.text());
    assert_eq!(guarded.methods(), ["GET?", "GET"]);
    for _ in 0..2 {
        assert_eq!(browser.post("/save", &[("a", "1")]).status, 502);
    }
    assert_eq!(guarded.methods()[2..], ["HEAD?", "POST", "HEAD?", "POST"]);
    assert_eq!(gateway.signed_in("ann").get("/").status, 200);
}

#[test]
fn an_app_that_wants_something_else_gets_nothing() {
    let app = App::answering("HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n");
    let gateway =
        TestGateway::with_routes(&format!("  - {{ sign_on: {{ digest: true }}, upstream: 'http://{}' }}", app.address));
    let mut browser = gateway.signed_in("ann");
    assert_eq!((browser.get("/").status, browser.post("/", &[]).status), (502, 502));
    assert!(app.seen().iter().all(|seen| seen.header("authorization").is_none()));
    let open = App::answering(ok("open to all"));
    let gateway = TestGateway::with_routes(&format!(
        "  - {{ sign_on: {{ digest: true }}, upstream: 'http://{}' }}",
        open.address
    ));
    let mut browser = gateway.signed_in("ann");
    assert_eq!(browser.get("/").text(), "open to all");
    assert_eq!(browser.post("/", &[("a", "1")]).text(), "open to all");
}

#[test]
fn an_app_that_does_not_answer_in_time_gets_no_body() {
    // Says nothing until the gateway has gone.
    let app = App::with(|_, stream| stream.read(&mut [0]).is_err());
    let gateway = TestGateway::with_routes(&format!(
        "  - {{ sign_on: {{ digest: true, timeout: 100ms }}, upstream: 'http://{}' }}",
        app.address
    ));
    assert_eq!(gateway.signed_in("ann").post("/save", &[("a", "1")]).status, 502);
    assert!(app.seen().iter().all(|seen| seen.line().starts_with("HEAD")));
}

/// The app asserts that the address in the answer is the one of the request line.
#[test]
fn a_mounted_app_gets_the_address_that_it_knows() {
    let guarded = Guarded::new(POLITE);
    let gateway = guarded.gateway(", path: /dav, strip_prefix: true");
    let mut browser = gateway.signed_in("ann");
    assert_eq!(browser.get("/dav/folder/?a=b").text(), "in with 0");
    assert_eq!(browser.request("PROPFIND", "/dav/folder/", &[("Depth", "1")], b"<x/>").text(), "in with 4");
    assert_eq!(guarded.app.last().line(), "PROPFIND /folder/ HTTP/1.1");
}

#[test]
fn a_websocket_opens_after_the_app_has_asked() {
    let guarded = Guarded::new(POLITE);
    let gateway = guarded.gateway("");
    let browser = gateway.signed_in("ann");
    Socket::open(&browser, "/chat").echoes();
    Socket::open(&browser, "/chat").echoes();
    assert_eq!(guarded.methods(), ["GET?", "GET", "GET"]);
}

#[test]
fn an_account_for_all_is_used_for_each_of_them() {
    let guarded = Guarded::new(POLITE);
    let gateway = TestGateway::with_routes(&format!(
        "  - {{ sign_on: {{ digest: true, credentials: {{ username: ann, password: '{PASSWORD}' }} }}, \
         upstream: 'http://{}' }}",
        guarded.app.address
    ));
    for user in ["ann", "bob"] {
        assert_eq!(gateway.signed_in(user).get("/").text(), "in with 0");
    }
}
