//! The configuration changes while the gateway runs: what is new, what stays, and what a bad file changes: nothing.
//!
//! The program itself runs, since it is told by a signal and reads its own file.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::process::{Process, write};
use crate::support::socket::{Socket, chatting};
use crate::support::{App, Browser, Client, PASSWORD, Response, hash, ok, user};

const RELOAD: &str = "/api/v1/reload";
const DONE: &str = "\"configuration reloaded\"";
const REFUSED: &str = "configuration not reloaded";

/// A gateway at work, whose file is written again and again.
struct Site {
    process: Process,
    dir: tempfile::TempDir,
    admin: SocketAddr,
    generation: AtomicUsize,
}

impl Site {
    fn start(rest: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // The file has to name the operators' port before the gateway can be asked for it.
        let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let process = Process::start(dir.path(), &complete(rest, admin), 2, &[]);
        Self { process, dir, admin, generation: AtomicUsize::new(1) }
    }

    fn browser(&self) -> Browser {
        Browser::at(self.process.addresses()[0])
    }

    fn signed_in(&self, user: &str) -> Browser {
        let mut browser = self.browser();
        assert_eq!(browser.sign_in(user, PASSWORD).status, 303);
        browser
    }

    fn write(&self, rest: &str) {
        write(self.dir.path(), "cloakroom.yaml", &complete(rest, self.admin));
    }

    /// As an operator does it who has the program's id.
    fn reload_by_signal(&mut self, rest: &str) {
        self.write(rest);
        self.process.signal("HUP");
        let generation = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(self.process.wait_for(&format!("\"generation\":{generation}}}")).contains(DONE));
    }

    /// As one does it who has the API.
    fn reload(&self, rest: &str) -> Response {
        self.write(rest);
        let answer = self.post("");
        if answer.status == 200 {
            let generation = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
            assert_eq!(answer.json()["generation"], generation);
        }
        answer
    }

    fn post(&self, headers: &str) -> Response {
        self.ask("POST", RELOAD, headers)
    }

    fn ask(&self, method: &str, path: &str, headers: &str) -> Response {
        let mut client = Client::connect(self.admin);
        client.send(format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n",
            self.admin
        ));
        client.response()
    }

    fn number(&self, line: &str) -> Option<u64> {
        let text = self.ask("GET", "/metrics", "").text();
        text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
    }
}

/// A configuration that works, with `rest` in place of what it says.
fn complete(rest: &str, admin: SocketAddr) -> String {
    let mut text = format!("{rest}\n");
    for (key, value) in [
        ("listeners", "[{ address: '127.0.0.1:0' }]".to_owned()),
        ("admin", format!("{{ address: '{admin}' }}")),
        ("workers", "2".to_owned()),
        ("session", "{ cookie: { secure: auto } }".to_owned()),
        ("login", users(&["ann", "bob"])),
        // What is here after a reload has outlived it in memory.
        ("store", "{ type: memory }".to_owned()),
    ] {
        if !rest.lines().any(|line| line.starts_with(&format!("{key}:"))) {
            text.push_str(&format!("{key}: {value}\n"));
        }
    }
    text
}

fn users(names: &[&str]) -> String {
    let list: Vec<_> = names.iter().map(|name| user(name, "wiki")).collect();
    format!("{{ form: {{ users: [{}] }} }}", list.join(", "))
}

fn routes(apps: &[(&str, &App)]) -> String {
    let route = |(path, app): &(&str, &App)| format!("{{ path: {path}, upstream: 'http://{}' }}", app.address);
    format!("routes: [{}]", apps.iter().map(route).collect::<Vec<_>>().join(", "))
}

fn within(what: &str, mut reached: impl FnMut() -> bool) {
    let start = Instant::now();
    while !reached() {
        assert!(start.elapsed() < Duration::from_secs(15), "{what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn a_new_route_answers_and_who_was_signed_in_still_is() {
    let (wiki, shop) = (App::answering(ok("wiki")), App::answering(ok("shop")));
    let mut site = Site::start(&routes(&[("/", &wiki)]));
    let mut ann = site.signed_in("ann");
    assert_eq!(ann.get("/shop").text(), "wiki");
    site.reload_by_signal(&routes(&[("/shop", &shop), ("/", &wiki)]));
    assert_eq!((ann.get("/shop").text(), ann.get("/").text()), ("shop".into(), "wiki".into()));
    assert_eq!(ann.get("/.session/me").json()["user"], "ann");
    let old = site.number("cloakroom_requests_total{route=\"*/\",code=\"200\"}");
    assert_eq!(old, Some(2), "the route of before goes on counting");
}

/// The next request of a connection is under the new rules, on every worker.
#[test]
fn a_connection_that_stays_open_meets_the_new_configuration() {
    let (one, two) = (App::answering(ok("one")), App::answering(ok("two")));
    let public = |app: &App| format!("routes: [{{ access: public, upstream: 'http://{}' }}]", app.address);
    let site = Site::start(&public(&one));
    let mut clients: Vec<_> = (0..8).map(|_| Client::connect(site.process.addresses()[0])).collect();
    let mut ask = |text: &str| {
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(client.response().text(), text);
        }
    };
    ask("one");
    assert_eq!(site.reload(&public(&two)).status, 200);
    ask("two");
}

#[test]
fn connections_to_an_app_outlive_a_reload_and_those_to_another_are_not_mixed_up() {
    let (one, two) = (App::echoing(), App::echoing());
    let text = |apps: &[(&str, &App)]| format!("workers: 1\n{}", routes(apps));
    let site = Site::start(&text(&[("/one", &one), ("/two", &two)]));
    let mut ann = site.signed_in("ann");
    let mut visit = || ["/one", "/two"].map(|path| ann.get(path).status);
    assert_eq!(visit(), [200, 200]);
    assert_eq!(site.reload(&text(&[("/two", &two), ("/one", &one)])).status, 200);
    assert_eq!(visit(), [200, 200]);
    for (app, path) in [(&one, "GET /one "), (&two, "GET /two ")] {
        assert!(app.seen().iter().all(|seen| seen.line().starts_with(path)), "{:?}", app.seen());
        assert_eq!(app.connections(), 1);
    }
}

#[test]
fn a_broken_file_changes_nothing_and_every_problem_is_told() {
    let app = App::answering(ok("served"));
    let mut site = Site::start(&routes(&[("/", &app)]));
    let mut ann = site.signed_in("ann");
    let good = routes(&[("/", &app)]);
    let success = site.number("cloakroom_config_last_reload_success_timestamp_seconds").unwrap();
    assert!(success > 1_700_000_000);
    assert_eq!(site.number("cloakroom_config_last_reload_successful"), Some(1));
    let answer = site.reload(&format!("{good}\nprefix: 5/\nsesion: {{}}"));
    assert_eq!((answer.status, &answer.json()["error"]), (422, &"invalid_configuration".into()));
    let problems = answer.json()["problems"].as_array().unwrap().clone();
    let places: Vec<_> = problems.iter().map(|p| (p["line"].clone(), p["path"].clone())).collect();
    assert_eq!(places, [(json!(2), json!("prefix")), (json!(3), json!("sesion"))]);
    assert!(problems[0]["file"].as_str().unwrap().ends_with("cloakroom.yaml"));
    assert!(problems.iter().all(|problem| problem["column"].is_u64() && problem["message"].is_string()));
    assert_eq!(site.number("cloakroom_config_last_reload_successful"), Some(0));
    assert_eq!(ann.get("/").text(), "served");
    assert!(site.process.wait_for("cloakroom.yaml:2:9: prefix: ").contains("ERROR"));
    site.process.wait_for("sesion: unknown key; did you mean `session`?");
    site.process.wait_for(REFUSED);
    site.write("routes: [");
    site.process.signal("HUP");
    site.process.wait_for(REFUSED);
    std::fs::remove_file(site.dir.path().join("cloakroom.yaml")).unwrap();
    site.process.signal("HUP");
    site.process.wait_for("there is no such file");
    assert_eq!(ann.get("/").text(), "served");
    assert_eq!(site.reload(&good).json()["reloaded"], true);
    assert_eq!(site.number("cloakroom_config_last_reload_successful"), Some(1));
}

/// A page template is read when a generation is built: later than the checks of the file.
#[test]
fn what_only_shows_in_the_building_is_placed_in_the_file_too() {
    let app = App::answering(ok("served"));
    let mut site = Site::start(&routes(&[("/", &app)]));
    std::fs::create_dir(site.dir.path().join("pages")).unwrap();
    write(&site.dir.path().join("pages"), "login.html", "a\n{{ usr }}");
    let login = users(&["ann"]).replacen("{ form", "{ templates_dir: pages, form", 1);
    let answer = site.reload(&format!("login: {login}\n{}", routes(&[("/", &app)])));
    let problem = &answer.json()["problems"][0];
    assert_eq!((answer.status, &problem["path"], &problem["line"]), (422, &json!("login.templates_dir"), &json!(1)));
    assert!(problem["message"].as_str().unwrap().contains("login.html:2"), "{problem}");
    site.process.wait_for(REFUSED);
    assert_eq!(site.signed_in("bob").get("/").status, 200);
}

#[test]
fn what_needs_a_restart_refuses_the_whole_file_and_is_named() {
    let (old, new) = (App::answering(ok("old")), App::answering(ok("new")));
    let site = Site::start(&routes(&[("/", &old)]));
    let mut ann = site.signed_in("ann");
    let answer = site.reload(&format!(
        "listeners: [{{ address: '127.0.0.1:1' }}]\nworkers: 3\nstore: {{ type: disk }}\ndata_dir: other\n{}",
        routes(&[("/", &new)])
    ));
    assert_eq!(answer.status, 422);
    let problems = answer.json();
    let paths: Vec<&Value> = problems["problems"].as_array().unwrap().iter().map(|problem| &problem["path"]).collect();
    assert_eq!(paths, ["listeners[0].address", "workers", "data_dir", "store.type"]);
    assert!(answer.text().contains("restart it for this, or write `127.0.0.1:0` again"), "{}", answer.text());
    assert_eq!(ann.get("/").text(), "old");
}

#[test]
fn only_operators_reload() {
    let app = App::echoing();
    let token = |site: &SocketAddr, token: &str| format!("admin: {{ address: '{site}', token: {token} }}");
    let site = Site::start(&routes(&[("/", &app)]));
    for headers in ["Origin: http://evil.example\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
        assert_eq!(site.post(headers).status, 403, "{headers}");
    }
    assert_eq!(site.ask("GET", RELOAD, "").status, 405);
    let with = |word: &str| format!("{}\n{}", token(&site.admin, word), routes(&[("/", &app)]));
    // Without a token so far; with one from here on, and with another one after that.
    let first = site.reload(&with("first-token-of-operators")).json();
    assert_eq!((&first["reloaded"], &first["generation"]), (&json!(true), &json!(2)));
    assert_eq!(site.post("").status, 401);
    assert_eq!(site.post("Authorization: Bearer wrong\r\n").status, 401);
    site.write(&with("second-token-of-operators"));
    let bearer = |word: &str| site.post(&format!("Authorization: Bearer {word}-token-of-operators\r\n")).status;
    assert_eq!((bearer("first"), bearer("first"), bearer("second")), (200, 401, 200));
}

#[test]
fn a_websocket_outlives_a_reload_and_not_its_user() {
    let (app, _ended) = chatting();
    let text = |names: &[&str]| format!("login: {}\n{}", users(names), routes(&[("/", &app)]));
    let site = Site::start(&text(&["ann", "bob"]));
    let (ann, bob) = (site.signed_in("ann"), site.signed_in("bob"));
    let [mut anns, mut bobs] = [&ann, &bob].map(|browser| Socket::open(browser, "/"));
    assert_eq!(site.reload(&text(&["ann", "bob"])).status, 200);
    anns.echoes();
    assert_eq!(site.reload(&text(&["bob"])).status, 200);
    anns.is_ended();
    bobs.echoes();
    // It still ends with its session, also where another route is in the place of its own by now.
    assert_eq!(site.reload(&format!("login: {}\n{}", users(&["bob"]), routes(&[("/new", &app)]))).status, 200);
    bobs.echoes();
    let mut bob = bob;
    assert_eq!(bob.sign_out().status, 200);
    bobs.is_ended();
}

#[test]
fn a_user_who_is_taken_from_the_list_is_signed_out() {
    let app = App::echoing();
    let text = |names: &[&str]| format!("login: {}\n{}", users(names), routes(&[("/", &app)]));
    let mut site = Site::start(&text(&["ann", "bob"]));
    let (mut ann, mut bob) = (site.signed_in("ann"), site.signed_in("bob"));
    site.reload_by_signal(&text(&["bob", "eve"]));
    assert_eq!((ann.fetch("/").status, bob.fetch("/").status), (401, 200));
    assert_eq!(site.browser().sign_in("ann", PASSWORD).status, 401);
    site.signed_in("eve");
    let jar = site.signed_in("bob").jar;
    let other = text(&["bob", "eve"]).replace(&hash(), &bcrypt::hash("another", 4).unwrap());
    site.reload_by_signal(&other);
    bob.jar = jar;
    assert_eq!((bob.fetch("/").status, site.browser().sign_in("bob", "another").status), (401, 303));
    // Back again: what has ended stays so.
    site.reload_by_signal(&text(&["ann", "bob"]));
    assert_eq!((ann.fetch("/").status, bob.fetch("/").status), (401, 401));
}

/// The sessions end in the store, and not only in the eyes of the next request.
#[test]
fn without_a_form_nobody_is_signed_in_by_it() {
    let app = App::echoing();
    let open =
        |login: &str| format!("login: {login}\nroutes: [{{ access: public, upstream: 'http://{}' }}]", app.address);
    let mut site = Site::start(&open(&users(&["ann"])));
    let mut ann = site.signed_in("ann");
    site.reload_by_signal(&open("{ form: null }"));
    within("her session is still listed", || {
        site.ask("GET", "/api/v1/sessions?user=ann", "").json()["sessions"].as_array().unwrap().is_empty()
    });
    site.reload_by_signal(&open(&users(&["ann"])));
    ann.get("/");
    assert_eq!(app.last().header("remote-user"), None);
}

#[test]
fn a_users_file_may_take_the_place_of_the_list_and_is_followed() {
    let app = App::echoing();
    let routes = routes(&[("/", &app)]);
    let mut site = Site::start(&routes);
    let (mut ann, mut bob) = (site.signed_in("ann"), site.signed_in("bob"));
    let file = |name: &str, list: &[&str]| {
        let lines: String = list.iter().map(|name| format!("- {}\n", user(name, "wiki"))).collect();
        write(site.dir.path(), name, &lines);
    };
    file("one.yaml", &["ann"]);
    file("two.yaml", &["ann", "carol"]);
    let named =
        |name: &str| format!("login: {{ form: {{ users_file: {name} }}, regulation: {{ max_retries: 0 }} }}\n{routes}");
    assert_eq!(site.reload(&named("one.yaml")).status, 200);
    assert_eq!((ann.fetch("/").status, bob.fetch("/").status), (200, 401));
    assert_eq!(site.reload(&named("two.yaml")).status, 200);
    let mut carol = site.signed_in("carol");
    file("one.yaml", &[]);
    file("two.yaml", &["ann", "carol", "dave"]);
    within("the file is not followed", || site.browser().sign_in("dave", PASSWORD).status == 303);
    assert_eq!((ann.fetch("/").status, carol.fetch("/").status), (200, 200));
    // A reload reads it at once.
    file("two.yaml", &["ann"]);
    site.reload_by_signal(&named("two.yaml"));
    assert_eq!((ann.fetch("/").status, carol.fetch("/").status), (200, 401));
}

#[test]
fn tries_that_have_failed_count_on() {
    let app = App::echoing();
    let regulated = |tries: u32, title: &str| {
        let login = users(&["ann", "bob"]);
        let login = login.strip_suffix('}').unwrap();
        let regulation = format!("regulation: {{ max_retries: {tries} }}, title: {title}");
        format!("login: {login}, {regulation} }}\n{}", routes(&[("/", &app)]))
    };
    let site = Site::start(&regulated(3, "One"));
    let fail = || assert_eq!(site.browser().sign_in("ann", "wrong").status, 401);
    fail();
    assert_eq!(site.reload(&regulated(2, "Two")).status, 200);
    assert!(site.browser().get("/.session/login").text().contains("Two"));
    fail();
    assert_eq!(site.browser().sign_in("ann", PASSWORD).status, 429);
    assert_eq!(site.reload(&regulated(2, "Three")).status, 200);
    assert_eq!(site.browser().sign_in("ann", PASSWORD).status, 429);
    assert_eq!(site.number("cloakroom_logins_total{result=\"failed\"}"), Some(2));
}

#[test]
fn cookie_limits_prefix_access_and_log_are_those_of_the_new_file() {
    let app = App::echoing();
    let routes = routes(&[("/", &app)]);
    let mut site = Site::start(&routes);
    let mut ann = site.signed_in("ann");
    let text = |most: u32| {
        format!(
            "session: {{ cookie: {{ secure: auto, name: sid, previous_names: [sessionid], same_site: strict }} }}\n\
         prefix: /.own\nlimits: {{ max_head_size: 4KiB, max_connections: {most} }}\nlog: {{ level: info, access: false }}\n{routes}"
        )
    };
    site.reload_by_signal(&text(100));
    // An old cookie leads to the session, which goes on under the new name.
    let answer = ann.get("/.own/me");
    assert_eq!((answer.status, &answer.json()["user"]), (200, &json!("ann")));
    assert_eq!(ann.get("/.session/me").status, 200);
    assert!(app.last().line().contains("/.session/me"), "an app's path like any other");
    let long = [("X-Long", &*"x".repeat(5000))];
    assert_eq!(ann.request("GET", "/", &long, b"").status, 431);
    site.reload_by_signal(&text(1));
    let mut held = Client::connect(site.process.addresses()[0]);
    // Connections of before may still be closing.
    within("there is room for nobody", || {
        held = Client::connect(site.process.addresses()[0]);
        held.send("GET /.own/me HTTP/1.1\r\nHost: a\r\n\r\n").response_or_close().is_some()
    });
    assert!(Client::connect(site.process.addresses()[0]).is_closed(), "limits.max_connections");
    drop(held);
    let (_, log) = site.process.terminate();
    let after = log.split(DONE).nth(1).unwrap();
    assert!(log.contains("\"path\":\"/.session/login\"") && !after.contains("\"path\":\"/.own/me\""), "{log}");
}

#[test]
fn the_log_speaks_as_much_as_the_new_file_says() {
    let app = App::echoing();
    let text =
        |level: &str, access: bool| format!("log: {{ level: {level}, access: {access} }}\n{}", routes(&[("/", &app)]));
    let mut site = Site::start(&text("info", false));
    assert_eq!(site.reload(&text("error", false)).status, 200);
    site.signed_in("ann");
    assert_eq!(site.reload(&text("info", true)).status, 200);
    site.signed_in("bob").get("/asked");
    site.process.wait_for("\"path\":\"/asked\"");
    let (_, log) = site.process.terminate();
    assert!(!log.contains("\"user\":\"ann\"") && log.contains("\"event\":\"signed_in\",\"user\":\"bob\""), "{log}");
}

/// The way to retire a key: the new one first, the old one out when every cookie has been renewed.
#[test]
fn keys_of_sealed_cookies_are_replaced_without_signing_anybody_out() {
    let app = App::echoing();
    let key = |letter: &str| letter.repeat(32);
    let keys = |list: &[String]| {
        let list = list.join(", ");
        format!(
            "session: {{ cookie: {{ secure: auto }}, keys: [{list}] }}\nstore: {{ type: cookie }}\n{}",
            routes(&[("/", &app)])
        )
    };
    let site = Site::start(&keys(&[key("a")]));
    let mut ann = site.signed_in("ann");
    let old = ann.jar.clone();
    assert_eq!(site.reload(&keys(&[key("b"), key("a")])).status, 200);
    assert_eq!(ann.get("/").status, 200);
    assert_eq!(site.reload(&keys(&[key("b")])).status, 200);
    assert_eq!(ann.get("/").status, 200);
    ann.jar = old;
    assert_eq!(ann.get("/").status, 302);
}

/// Opened by the test, awaited by the app.
#[derive(Default)]
struct Gate(Mutex<bool>, Condvar);

impl Gate {
    fn wait(&self) {
        drop(self.1.wait_while(self.0.lock().unwrap(), |open| !*open).unwrap());
    }

    fn open(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }
}

#[test]
fn a_download_under_way_comes_to_its_end() {
    let gate = Arc::new(Gate::default());
    let at_the_app = Arc::clone(&gate);
    let app = App::with(move |_, stream| {
        let half = "x".repeat(500_000);
        let began = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{half}").is_ok();
        at_the_app.wait();
        began && stream.write_all(half.as_bytes()).is_ok()
    });
    let other = App::answering(ok("other"));
    let public = |app: &App| format!("routes: [{{ access: public, upstream: 'http://{}' }}]", app.address);
    let site = Site::start(&public(&app));
    let mut client = Client::connect(site.process.addresses()[0]);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").wait_for(b"xxx");
    for _ in 0..3 {
        assert_eq!(site.reload(&public(&other)).status, 200);
    }
    assert_eq!(site.browser().get("/").text(), "other");
    gate.open();
    let answer = client.response();
    assert_eq!((answer.status, answer.complete, answer.body.len()), (200, true, 1_000_000));
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().text(), "other");
}

#[test]
fn two_hundred_reloads_lose_no_request_and_no_session() {
    let apps = [App::answering(ok("one")), App::answering(ok("two"))];
    let text = |turn: usize| routes(&[("/a", &apps[turn % 2]), ("/", &apps[(turn + 1) % 2])]);
    let site = Site::start(&text(0));
    let jar = site.signed_in("ann").jar;
    let cookie = jar.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
    let (over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let address = site.process.addresses()[0];
    let visit = |path: &str| {
        let mut client = Client::connect(address);
        while !over.load(Ordering::Relaxed) {
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n"));
            let answer = client.response();
            assert!(answer.status == 200 && ["one", "two"].contains(&&*answer.text()), "{answer:?}");
            served.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        for path in ["/", "/a", "/", "/a"] {
            scope.spawn(move || visit(path));
        }
        for turn in 1..=200 {
            let answer = site.reload(&text(turn));
            assert_eq!((answer.status, &answer.json()["generation"]), (200, &json!(turn + 1)));
        }
        over.store(true, Ordering::Relaxed);
    });
    let served = served.into_inner() as u64;
    assert!(served > 400, "{served}");
    let counted =
        |name: &str| site.number(&format!("cloakroom_requests_total{{route=\"{name}\",code=\"200\"}}")).unwrap();
    assert_eq!(counted("*/") + counted("*/a"), served, "no number is lost");
    let (_, log) = site.process.terminate();
    assert!(!log.contains("panicked") && !log.contains("\"ERROR\""), "{log}");
}

/// `Authorization: Basic` of somebody at the app.
fn basic(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

#[test]
fn what_was_typed_for_an_app_outlives_a_reload_and_accounts_are_read_again() {
    let app = App::echoing();
    let accounts = tempfile::tempdir().unwrap();
    let file = write(accounts.path(), "apps.yaml", "ann: { username: a.smith, password: first }\n");
    let routes = |more: &str| {
        let (address, file) = (app.address, file.display());
        format!(
            "routes: [{{ path: /typed, sign_on: {{ basic: true }}, upstream: 'http://{address}' }}, {{ path: /file, \
             sign_on: {{ basic: true, credentials: {{ file: '{file}' }} }}, upstream: 'http://{address}' }}{more}]"
        )
    };
    let mut site = Site::start(&routes(""));
    let mut ann = site.signed_in("ann");
    let mut given = |path: &str| {
        let status = ann.get(path).status;
        (status, app.last().header("authorization").unwrap_or_default().to_owned())
    };
    let typed = basic(&format!("ann:{PASSWORD}"));
    assert_eq!((given("/typed"), given("/file")), ((200, typed.clone()), (200, basic("a.smith:first"))));
    write(accounts.path(), "apps.yaml", "ann: { username: a.smith, password: second }\n");
    site.reload_by_signal(&routes(""));
    assert_eq!((given("/typed"), given("/file")), ((200, typed.clone()), (200, basic("a.smith:second"))));
    // A file that cannot be read changes nothing.
    write(accounts.path(), "apps.yaml", "ann: { username: a.smith, pasword: third }\n");
    assert_eq!(site.reload(&routes("")).status, 422);
    assert_eq!((given("/typed"), given("/file")), ((200, typed.clone()), (200, basic("a.smith:second"))));
    write(accounts.path(), "apps.yaml", "bob: { username: b, password: b }\n");
    site.reload_by_signal(&routes(", { path: /new, upstream: 'http://127.0.0.1:1' }"));
    assert_eq!((given("/typed"), given("/file").0), ((200, typed), 403));
}
