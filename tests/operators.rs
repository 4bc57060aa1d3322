//! What operators ask of the running gateway: numbers, and its sessions seen and ended; by HTTP and by command.

use std::time::Duration;

use serde_json::Value;

use crate::support::process::{Ended, run, write};
use crate::support::{App, Browser, Client, Response, TestGateway, user};

const HOUR: Duration = Duration::from_secs(3600);
const API: &str = "/api/v1";

fn gateway(app: &App) -> TestGateway {
    with_admin(app, "address: '127.0.0.1:0'")
}

fn with_admin(app: &App, admin: &str) -> TestGateway {
    TestGateway::with_config(&format!(
        "admin: {{ {admin} }}\nsession: {{ idle_timeout: 1h, cookie: {{ secure: auto }} }}\nroutes: [{{ name: wiki, access: user, upstream: 'http://{}', session_headers: read_write }}]",
        app.address
    ))
}

fn ask(gateway: &TestGateway, method: &str, path: &str, headers: &str) -> Response {
    send(gateway, method, path, headers, "")
}

fn send(gateway: &TestGateway, method: &str, path: &str, headers: &str, body: &str) -> Response {
    let address = gateway.admin_address();
    let mut client = Client::connect(address);
    let host = if headers.contains("Host:") { String::new() } else { format!("Host: {address}\r\n") };
    let length = body.len();
    client.send(format!(
        "{method} {path} HTTP/1.1\r\n{host}{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    ));
    if method == "HEAD" { client.head_response() } else { client.response() }
}

/// The sessions of one answer.
fn sessions(answer: &Response) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["sessions"].as_array().unwrap().clone()
}

fn handles(gateway: &TestGateway, query: &str) -> Vec<String> {
    let answer = ask(gateway, "GET", &format!("{API}/sessions{query}"), "");
    sessions(&answer).iter().map(|session| session["handle"].as_str().unwrap().to_owned()).collect()
}

/// A directory with a configuration that leads to this gateway.
fn at(gateway: &TestGateway, token: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let config = format!(
        "listeners: [{{ address: '127.0.0.1:8080' }}]\nadmin: {{ address: '{}', token: {token} }}\nroutes: [{{ access: public, upstream: 'http://a' }}]",
        gateway.admin_address()
    );
    write(dir.path(), "cloakroom.yaml", &config);
    dir
}

fn command(dir: &tempfile::TempDir, arguments: &[&str]) -> Ended {
    run(dir.path(), &[&["sessions"], arguments].concat(), &[], "")
}

/// The value of a line of the metrics.
fn number(gateway: &TestGateway, line: &str) -> Option<u64> {
    let answer = ask(gateway, "GET", "/metrics", "");
    assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(answer.text().ends_with("# EOF\n"));
    answer.text().lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
}

fn events(gateway: &TestGateway, event: &str) -> u64 {
    number(gateway, &format!("cloakroom_session_events_total{{event=\"{event}\"}}")).unwrap()
}

#[test]
fn metrics_count_the_turns_in_the_lives_of_sessions() {
    let gateway = gateway(&App::echoing());
    assert_eq!((events(&gateway, "signed_in"), number(&gateway, "cloakroom_store_entries")), (0, Some(0)));
    let mut ann = gateway.signed_in("ann");
    gateway.signed_in("bob");
    ann.sign_out();
    assert_eq!((events(&gateway, "signed_in"), events(&gateway, "signed_out")), (2, 1));
    assert_eq!(events(&gateway, "theft_suspected"), 0);
}

/// Row 37, `test_clearsessions_command`.
#[test]
fn expired_sessions_are_deleted_on_demand_and_others_stay() {
    let app = App::echoing();
    let gateway = gateway(&app);
    gateway.signed_in("ann");
    gateway.clock.advance(HOUR / 2);
    let mut bob = gateway.signed_in("bob");
    gateway.clock.advance(HOUR / 2);
    let dir = at(&gateway, "null");
    let clear = || command(&dir, &["clear-expired"]);
    let ended = clear();
    assert_eq!((ended.code, ended.stdout.trim()), (Some(0), "1 expired session deleted"), "{ended:?}");
    assert_eq!(clear().stdout.trim(), "0 expired sessions deleted");
    assert_eq!((bob.get("/").status, events(&gateway, "expired")), (200, 1));
    drop(gateway);
    let ended = clear();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("is the gateway running?"), "{ended:?}");
}

/// A page in a browser on the same machine can reach this listener, and must not command it.
#[test]
fn a_page_of_any_site_cannot_command_the_gateway() {
    let gateway = gateway(&App::echoing());
    let path = "/api/v1/sessions/clear-expired";
    for headers in ["Origin: http://evil.example\r\n", "Origin: null\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
        assert_eq!(ask(&gateway, "POST", path, headers).status, 403, "{headers}");
    }
    assert_eq!(ask(&gateway, "GET", path, "").status, 405);
    assert_eq!(ask(&gateway, "POST", path, "").text(), "{\"deleted\":0}");
}

#[test]
fn the_list_shows_who_is_there_and_never_an_id() {
    let gateway = gateway(&App::echoing());
    let ids: Vec<String> = (0..5).map(|_| gateway.signed_in("ann").session_id().unwrap()).collect();
    gateway.advance(HOUR / 60);
    gateway.signed_in("bob");
    let answer = ask(&gateway, "GET", &format!("{API}/sessions"), "");
    assert_eq!((sessions(&answer).len(), &answer.json()["next"]), (6, &Value::Null));
    assert!(ids.iter().all(|id| !answer.text().contains(id.as_str())));
    let bobs = ask(&gateway, "GET", &format!("{API}/sessions?user=bob"), "");
    let session = &sessions(&bobs)[0];
    assert_eq!(sessions(&bobs).len(), 1);
    assert_eq!((&session["user"], &session["created"]), (&"bob".into(), &"2026-01-01T00:01:00.000Z".into()));
    assert_eq!(session["last_seen"], "2026-01-01T00:01:00.000Z");
    assert_eq!(session["expires"], "2026-01-01T01:01:00.000Z");
    assert_eq!((&session["address"], &session["agent"]), (&"127.0.0.1".into(), &Value::Null));
    gateway.advance(HOUR);
    assert_eq!(handles(&gateway, ""), [""; 0], "what has expired is not shown");
}

#[test]
fn the_list_comes_in_pages_that_miss_nobody() {
    let gateway = gateway(&App::echoing());
    for n in 0..7 {
        gateway.signed_in(if n % 2 == 0 { "ann" } else { "bob" });
    }
    for (filter, count) in [("", 7), ("&user=ann", 4), ("&user=nobody", 0)] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let answer = ask(&gateway, "GET", &format!("{API}/sessions?limit=2{filter}&cursor={cursor}"), "");
            seen.extend(sessions(&answer).iter().map(|session| session["handle"].to_string()));
            match answer.json()["next"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), count, "{filter}");
    }
    for wrong in ["limit=0", "limit=1001", "cursor=%21", "usr=ann"] {
        let answer = ask(&gateway, "GET", &format!("{API}/sessions?{wrong}"), "");
        assert_eq!((answer.status, &answer.json()["error"]), (400, &"bad_request".into()), "{wrong}");
    }
}

#[test]
fn one_session_is_shown_and_ended_by_its_handle() {
    let gateway = gateway(&App::echoing());
    let (mut ann, mut bob) = (gateway.signed_in("ann"), gateway.signed_in("bob"));
    let handle = handles(&gateway, "?user=ann").remove(0);
    let path = format!("{API}/sessions/{handle}");
    let shown = ask(&gateway, "GET", &path, "");
    assert_eq!((shown.status, &shown.json()["user"]), (200, &"ann".into()));
    assert_eq!(ask(&gateway, "DELETE", &path, "").text(), "{\"deleted\":1}");
    assert_eq!((ann.get("/").status, bob.get("/").status), (302, 200));
    for method in ["GET", "DELETE"] {
        let answer = ask(&gateway, method, &path, "");
        assert_eq!((answer.status, &answer.json()["error"]), (404, &"no_such_session".into()), "{method}");
    }
    assert_eq!(events(&gateway, "revoked"), 1);
    assert_eq!(number(&gateway, "cloakroom_sessions_ended_total{reason=\"revoked\"}"), Some(1));
}

/// The handle is that of the session, whatever its ids; a replaced id is in no list.
#[test]
fn a_session_keeps_its_handle_through_a_rotation() {
    let app = App::obeying();
    let gateway = gateway(&app);
    let mut ann = gateway.signed_in("ann");
    let (before, id) = (handles(&gateway, ""), ann.session_id());
    ann.answered("/", &["Session-Rotate: true"]);
    assert_ne!(ann.session_id(), id);
    assert_eq!(number(&gateway, "cloakroom_session_grace_hits_total"), Some(0));
    assert_eq!(Browser::holding(gateway.address(), &id.unwrap()).get("/").status, 200);
    assert_eq!(number(&gateway, "cloakroom_session_grace_hits_total"), Some(1));
    assert_eq!(number(&gateway, "cloakroom_session_rotations_total"), Some(1));
    assert_eq!((handles(&gateway, ""), number(&gateway, "cloakroom_sessions_active")), (before.clone(), Some(1)));
    assert_eq!(ask(&gateway, "DELETE", &format!("{API}/sessions/{}", before[0]), "").status, 200);
    assert_eq!(ann.get("/").status, 302);
}

#[test]
fn all_sessions_of_a_user_end_at_once() {
    let gateway = TestGateway::with_config(&format!(
        "admin: {{ address: '127.0.0.1:0' }}\nsession: {{ cookie: {{ secure: auto }} }}\nlogin: {{ form: {{ users: [{}, {}] }} }}\nroutes: [{{ access: user, upstream: 'http://{}' }}]",
        user("ann/o b", "staff"),
        user("bob", "staff"),
        App::echoing().address
    ));
    let mut anns = [gateway.signed_in("ann/o b"), gateway.signed_in("ann/o b")];
    gateway.signed_in("bob");
    let path = format!("{API}/users/ann%2Fo%20b/sessions");
    assert_eq!(ask(&gateway, "DELETE", &path, "").text(), "{\"deleted\":2}");
    assert_eq!(ask(&gateway, "DELETE", &path, "").text(), "{\"deleted\":0}");
    assert!(anns.iter_mut().all(|ann| ann.get("/").status == 302));
    assert_eq!(handles(&gateway, "").len(), 1);
}

#[test]
fn who_has_the_id_sees_what_is_in_the_session() {
    let app = App::obeying();
    let gateway = gateway(&app);
    let mut ann = gateway.signed_in("ann");
    ann.answered("/", &["Session-Set: {\"cart\": [1, 2]}"]);
    let id = ann.session_id().unwrap();
    let look_up = |body: &str| send(&gateway, "POST", &format!("{API}/sessions/lookup"), "", body);
    let answer = look_up(&format!("{{\"id\": \"{id}\"}}"));
    let session = answer.json();
    assert_eq!((answer.status, &session["data"]["cart"]), (200, &serde_json::json!([1, 2])), "{}", answer.text());
    assert_eq!((&session["identity"]["user"], &session["identity"]["source"]), (&"ann".into(), &"form".into()));
    assert_eq!((&session["since"], &session["expiry"]), (&"2026-01-01T00:00:00.000Z".into(), &"default".into()));
    assert_eq!(session["handle"].as_str(), handles(&gateway, "").first().map(String::as_str));
    assert!(!answer.text().contains(&id));
    let unknown = format!("{{\"id\": \"{}\"}}", "a".repeat(32));
    for (body, status) in [
        (unknown.as_str(), 404),
        ("{\"id\": \"short\"}", 404),
        ("{\"id\": 7}", 400),
        ("{\"id\": \"x\", \"more\": 1}", 400),
        ("", 400),
        ("[", 400),
        (&format!("{{\"id\": \"{}\"}}", "a".repeat(5000)), 400),
    ] {
        assert_eq!(look_up(body).status, status, "{body}");
    }
    gateway.advance(HOUR);
    assert_eq!(look_up(&format!("{{\"id\": \"{id}\"}}")).status, 404, "expired");
}

#[test]
fn with_a_token_only_health_is_for_everybody() {
    let token = "t".repeat(32);
    let gateway = with_admin(&App::echoing(), &format!("address: '127.0.0.1:0', token: {token}"));
    gateway.signed_in("ann");
    let right = format!("Authorization: Bearer {token}\r\n");
    for path in ["/healthz", "/readyz"] {
        assert_eq!(ask(&gateway, "GET", path, "").status, 200, "{path}");
    }
    let list = format!("{API}/sessions");
    for path in ["/metrics", &list, &format!("{API}/sessions/0000000000000000"), "/nothing"] {
        for wrong in ["", "Authorization: Bearer wrong\r\n", "Authorization: Basic dDp0\r\n"] {
            let answer = ask(&gateway, "GET", path, wrong);
            assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{path} {wrong}");
            assert_eq!(answer.json()["error"], "unauthorized");
        }
        assert_ne!(ask(&gateway, "GET", path, &right).status, 401, "{path}");
    }
    assert_eq!(sessions(&ask(&gateway, "GET", &list, &format!("Host: cloakroom:9600\r\n{right}"))).len(), 1);
    let dir = at(&gateway, &token);
    assert_eq!(command(&dir, &["list", "--json"]).stdout.lines().count(), 1);
    let ended = command(&at(&gateway, &"x".repeat(32)), &["list"]);
    assert!(ended.code == Some(1) && ended.stderr.contains("refuses the token"), "{ended:?}");
    assert_eq!(run(dir.path(), &["healthcheck"], &[], "").code, Some(0));
}

/// DNS rebinding: the page's own host name leads to this listener.
#[test]
fn a_name_that_is_not_ours_is_not_answered() {
    let gateway = gateway(&App::echoing());
    for path in ["/metrics", "/api/v1/sessions", "/nothing"] {
        let answer = ask(&gateway, "GET", path, "Host: evil.example:9600\r\n");
        assert_eq!((answer.status, &answer.json()["error"]), (421, &"host_not_allowed".into()), "{path}");
        assert_ne!(ask(&gateway, "GET", path, "Host: localhost:9600\r\n").status, 421, "{path}");
    }
}

#[test]
fn each_resource_says_which_methods_it_takes() {
    let gateway = gateway(&App::echoing());
    for (path, method, allow) in [
        ("/healthz", "POST", "GET, HEAD"),
        ("/metrics", "DELETE", "GET, HEAD"),
        ("/api/v1/sessions", "POST", "GET, HEAD"),
        ("/api/v1/sessions/0000000000000000", "PUT", "GET, HEAD, DELETE"),
        ("/api/v1/sessions/lookup", "GET", "POST"),
        ("/api/v1/users/ann/sessions", "GET", "DELETE"),
        ("/api/v1/reload", "GET", "POST"),
    ] {
        let answer = ask(&gateway, method, path, "");
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allow)), "{method} {path}");
        assert_eq!(answer.json()["error"], "method_not_allowed");
    }
    assert_eq!(ask(&gateway, "HEAD", "/api/v1/sessions", "").status, 200);
    let missing = ask(&gateway, "GET", "/api/v1/restart", "");
    assert_eq!((missing.status, &missing.json()["error"]), (404, &"not_found".into()));
    let reload = ask(&gateway, "POST", "/api/v1/reload", "");
    assert_eq!((reload.status, &reload.json()["error"]), (409, &"no_configuration_file".into()));
}

#[test]
fn metrics_count_sign_ins_requests_and_what_apps_answer() {
    let gateway = TestGateway::with_config(&format!(
        "admin: {{ address: '127.0.0.1:0' }}\nstore: {{ type: memory }}\nsession: {{ cookie: {{ secure: auto }} }}\nroutes:\n  - {{ name: wiki, access: user, upstream: 'http://{}' }}\n  - {{ name: gone, path: /gone, access: public, upstream: 'http://127.0.0.1:1' }}",
        App::echoing().address
    ));
    let mut ann = gateway.signed_in("ann");
    gateway.browser().sign_in("ann", "wrong");
    assert_eq!((ann.get("/").status, gateway.browser().get("/").status, ann.get("/gone").status), (200, 302, 502));
    let is = |line: &str, count: u64| assert_eq!(number(&gateway, line), Some(count), "{line}");
    is("cloakroom_logins_total{result=\"succeeded\"}", 1);
    is("cloakroom_logins_total{result=\"failed\"}", 1);
    is("cloakroom_sessions_active", 2);
    is("cloakroom_sessions_started_total{kind=\"signed_in\"}", 1);
    is("cloakroom_requests_total{route=\"wiki\",code=\"200\"}", 1);
    is("cloakroom_requests_total{route=\"wiki\",code=\"302\"}", 1);
    is("cloakroom_requests_total{route=\"gone\",code=\"502\"}", 1);
    is("cloakroom_requests_total{route=\"-\",code=\"303\"}", 1);
    is("cloakroom_upstream_errors_total{route=\"gone\",reason=\"connect\"}", 1);
    is("cloakroom_upstream_errors_total{route=\"wiki\",reason=\"connect\"}", 0);
    is("cloakroom_upstream_seconds_count{route=\"wiki\"}", 1);
    is("cloakroom_upstream_seconds_bucket{le=\"+Inf\",route=\"wiki\"}", 1);
    is("cloakroom_session_grace_hits_total", 0);
    is("cloakroom_session_thefts_suspected_total", 0);
    is("cloakroom_store_errors_total{operation=\"load\"}", 0);
    is("cloakroom_store_operation_seconds_count{operation=\"load\"}", 0);
}

#[test]
fn commands_list_show_and_revoke() {
    let app = App::obeying();
    let gateway = gateway(&app);
    let (mut ann, mut bob) = (gateway.signed_in("ann"), gateway.signed_in("bob"));
    gateway.signed_in("bob");
    ann.answered("/", &["Session-Set: {\"cart\": 3}"]);
    let dir = at(&gateway, "null");

    let table = command(&dir, &["list"]).stdout;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines.len() == 4 && lines[0].starts_with("HANDLE            USER  CREATED (UTC)"), "{table}");
    assert!(lines[1..].iter().all(|line| line[16..].starts_with("  ") && line.contains("2026-01-01 00:00")), "{table}");
    let json = command(&dir, &["list", "--json", "--user", "ann"]).stdout;
    let session: Value = serde_json::from_str(json.trim()).unwrap();
    let handle = session["handle"].as_str().unwrap();
    assert_eq!((session["user"].as_str(), json.lines().count()), (Some("ann"), 1));
    assert_eq!(command(&dir, &["list", "--json", "--limit", "2"]).stdout.lines().count(), 2);

    let shown = command(&dir, &["show", handle]).stdout;
    assert!(shown.lines().any(|line| line == "user:       ann"), "{shown}");
    let id = ann.session_id().unwrap();
    let opened = run(dir.path(), &["sessions", "show", "--id-stdin", "--json"], &[], &format!("{id}\n"));
    let opened: Value = serde_json::from_str(&opened.stdout).unwrap();
    assert_eq!((&opened["data"]["cart"], &opened["handle"]), (&3.into(), &session["handle"]));

    assert_eq!(command(&dir, &["revoke", handle]).stdout, format!("{handle}: ended\n"));
    let again = command(&dir, &["revoke", handle]);
    assert!(again.code == Some(1) && again.stderr.contains("no living session"), "{again:?}");
    let mistaken = command(&dir, &["revoke", &id]);
    assert!(mistaken.code == Some(1) && !mistaken.stderr.contains(&id), "{mistaken:?}");
    assert_eq!(command(&dir, &["revoke", "--user", "bob"]).stdout, "2 sessions ended\n");
    assert_eq!((ann.get("/").status, bob.get("/").status), (302, 302));
    for usage in [&["revoke"][..], &["show"], &["revoke", "x", "--user", "y"], &["list", "--limit", "0"]] {
        assert_eq!(command(&dir, usage).code, Some(2), "{usage:?}");
    }
}

#[test]
fn what_is_in_memory_alone_cannot_be_moved() {
    let dir = at(&gateway(&App::echoing()), "null");
    write(dir.path(), "cloakroom.yaml", "store: { type: memory }\nroutes: [{ access: public, upstream: 'http://a' }]");
    for arguments in [&["export", "--output", "sessions.jsonl"][..], &["import", "sessions.jsonl"]] {
        let ended = command(&dir, arguments);
        assert!(ended.code == Some(1) && ended.stderr.contains("store.type is memory"), "{ended:?}");
    }
    assert!(!dir.path().join("sessions.jsonl").exists());
}
