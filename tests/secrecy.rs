//! What no log may hold: session ids, passwords, form tokens; and what no visitor may write into it.
//!
//! The shipped program runs at its most talkative level; everything it wrote is searched.

use serde_json::Value;

use crate::support::process::Process;
use crate::support::{App, Browser, Client, PASSWORD, Response, field, ok, user};

/// Everything secret that came by.
#[derive(Default)]
struct Secrets(Vec<String>);

impl Secrets {
    fn of(&mut self, response: &Response) {
        for line in response.all("set-cookie") {
            let value = line.split(';').next().unwrap().split_once('=').unwrap().1;
            if value.len() > 8 {
                self.0.push(value.to_owned());
            }
        }
        self.0.extend(field(response, "csrf"));
    }
}

fn yaml(app: &App) -> String {
    format!(
        "listeners: [{{ address: '127.0.0.1:0' }}]\nadmin: {{ address: null }}\nworkers: 1\n\
         log: {{ level: trace, access: true }}\nsession: {{ cookie: {{ secure: auto }} }}\n\
         login: {{ form: {{ users: [{}] }} }}\n\
         routes:\n  - {{ path: /down, access: public, upstream: 'http://127.0.0.1:1' }}\n  - {{ upstream: 'http://{}' }}\n",
        user("ann", "wiki"),
        app.address
    )
}

/// SM-19.
#[test]
fn no_id_password_or_token_is_ever_logged() {
    let app = App::with(|seen, stream| {
        use std::io::Write;
        let cookie = "HTTP/1.1 200 OK\r\nSet-Cookie: sessionid=the-apps-own-cookie\r\nContent-Length: 0\r\n\r\n";
        let answer = if seen.line().contains("/clash") { cookie.to_owned() } else { ok("x") };
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path(), &yaml(&app), 1, &[]);
    let mut secrets = Secrets::default();
    secrets.0.extend(["wrong-but-private", "in-the-query", "the-apps-own-cookie", "in-a-header"].map(Into::into));
    secrets.0.extend([PASSWORD.to_owned(), PASSWORD.replace(' ', "+"), PASSWORD.replace(' ', "%20")]);

    let mut browser = Browser::at(process.addresses()[0]);
    secrets.of(&browser.get("/.session/login?rd=/&token=in-the-query"));
    for answer in [browser.sign_in("ann", "wrong-but-private"), browser.sign_in("ann", PASSWORD)] {
        secrets.of(&answer);
    }
    let first = browser.jar.clone();
    for path in ["/?token=in-the-query", "/clash", "/down?x=in-the-query", "/.session/me", "/.session/none", "/%00"] {
        secrets.of(&browser.get(path));
        secrets.of(&browser.request("GET", path, &[("Authorization", "Bearer in-a-header")], b""));
    }
    secrets.of(&browser.post_from("https://evil.example", "/.session/logout", &[("csrf", "x")]));
    secrets.of(&browser.sign_in("ann", PASSWORD));
    // Two living sessions at once, and an id that has ended.
    let mut other = Browser::at(process.addresses()[0]);
    secrets.of(&other.sign_in("ann", PASSWORD));
    let both = format!("sessionid={}; sessionid={}", browser.session_id().unwrap(), other.session_id().unwrap());
    other.jar.clear();
    secrets.of(&other.request("GET", "/", &[("Cookie", &both)], b""));
    secrets.of(&browser.sign_out());
    browser.jar = first;
    secrets.of(&browser.get("/"));
    // Broken requests are logged too.
    for head in ["GET / HTTP/1.1\r\nHost: a\r\nCookie: SECRET\r\nCookie : SECRET\r\n\r\n", "GET /?SECRET\r\n\r\n"] {
        let secret = secrets.0.last().unwrap().clone();
        let mut client = Client::connect(process.addresses()[0]);
        client.send(head.replace("SECRET", &secret)).finish().rest();
    }

    assert!(secrets.0.len() >= 14, "only {} secrets", secrets.0.len());
    let (status, log) = process.terminate();
    assert!(status.success());
    assert!(log.contains("signed_in") && log.contains("\"path\":\"/clash\""), "the log is there: {log}");
    for secret in &secrets.0 {
        assert!(!log.contains(secret.as_str()), "{secret} is in the log: {log}");
    }
}

/// SM-20 (ASVS 16.4.1): one line is one JSON object, whatever a visitor types.
#[test]
fn what_visitors_send_cannot_forge_a_line_of_the_log() {
    let app = App::answering(ok("x"));
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path(), &yaml(&app), 1, &[]);
    let forged = "a\r\n{\"level\":\"INFO\",\"message\":\"forged\"}\x1b[2J\u{2028}\u{9b}31m\0";
    let mut browser = Browser::at(process.addresses()[0]);
    for _ in 0..4 {
        browser.sign_in(forged, "wrong");
    }
    browser.get("/a%0d%0aforged");
    browser.request("GET", "/\"forged\\", &[("User-Agent", "\"forged\x1b[2J")], b"");
    let (_, log) = process.terminate();
    assert!(log.matches("forged").count() >= 4, "{log}");
    for line in log.lines() {
        let json: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_ne!(json["message"], "forged");
        assert!(!line.contains('\x1b') && !line.contains('\r') && !line.contains('\0'), "{line:?}");
    }
}

/// SM-20: what an investigation needs, by handle, user, address and UTC time.
#[test]
fn sign_in_failure_ban_and_sign_out_are_events_with_user_address_and_time() {
    let app = App::answering(ok("x"));
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path(), &yaml(&app), 1, &[]);
    let address = process.addresses()[0];
    let mut browser = Browser::at(address);
    browser.sign_in("Ann", PASSWORD);
    browser.get("/page?x=1");
    browser.sign_out();
    for _ in 0..4 {
        Browser::at(address).sign_in("ann", "wrong");
    }
    let (_, log) = process.terminate();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let event = |name: &str| lines.iter().find(|line| line["event"] == name).unwrap_or_else(|| panic!("{name}: {log}"));
    for name in ["signed_in", "signed_out", "login_failed", "login_banned"] {
        let event = event(name);
        assert_eq!((&event["user"], &event["address"]), (&"ann".into(), &"127.0.0.1".into()), "{name}");
        assert!(event["timestamp"].as_str().unwrap().ends_with('Z'), "{name}");
    }
    let handle = event("signed_in")["handle"].as_str().unwrap();
    assert_eq!(handle.len(), 16);
    assert_eq!(event("signed_out")["handle"], handle);
    let request = lines.iter().find(|line| line["path"] == "/page").unwrap();
    assert_eq!(
        (&request["user"], &request["session"], &request["status"]),
        (&"ann".into(), &handle.into(), &200.into())
    );
    assert_eq!((&request["method"], &request["client"]), (&"GET".into(), &"127.0.0.1".into()));
}
