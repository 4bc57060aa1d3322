//! Two gateway processes that share a store are, for a browser, one: nothing written is lost, an id is replaced once,
//! and after an answered sign-out neither knows the session. Nor has a user more sessions than allowed.
//!
//! Each keeps copies near, as by default, and then none. `CLOAKROOM_ROUNDS` plays more of them than the 150 of every run: 2500 are 10 000 interleavings of four browsers.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::process::Process;
use crate::support::socket::{Socket, chatting};
use crate::support::{App, Browser, at_once, issued};

/// Windows of one browser that act at the same time.
const WINDOWS: usize = 4;

struct Pair {
    app: App,
    addresses: [SocketAddr; 2],
    _gateways: [Process; 2],
    _dir: tempfile::TempDir,
}

impl Pair {
    fn on(store: &str) -> Self {
        Self::with(store, "")
    }

    fn with(store: &str, session: &str) -> Self {
        Self::before(App::obeying(), store, session)
    }

    fn before(app: App, store: &str, session: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let yaml = format!(
            "listeners: [{{ address: '127.0.0.1:0' }}]\nadmin: {{ address: null }}\nworkers: 1\nlog: {{ access: false }}\n\
             limits: {{ unknown_ids_per_minute: null }}\n\
             store: {store}\nsession: {{ keys: [0123456789abcdef0123456789abcdef], cookie: {{ secure: auto }}{session} }}\n\
             routes: [{{ access: public, session_headers: read_write, upstream: 'http://{}' }}]",
            app.address
        );
        let start = || Process::start(dir.path(), &yaml, 1, &[]);
        let gateways = [start(), start()];
        let addresses = gateways.each_ref().map(|gateway| gateway.addresses()[0]);
        Self { app, addresses, _gateways: gateways, _dir: dir }
    }

    fn address(&self, number: u64) -> SocketAddr {
        self.addresses[(number % 2) as usize]
    }

    /// A window of the browser that holds `id`, at one of the gateways.
    fn window(&self, number: u64, id: &str) -> Browser {
        Browser::holding(self.address(number), id)
    }

    fn is_signed_in(&self, number: u64, id: &str) -> bool {
        let told = self.window(number, id).get("/.session/me").json();
        told["authenticated"].as_bool().unwrap()
    }

    fn data(&self, number: u64, id: &str) -> Value {
        assert_eq!(self.window(number, id).get("/").status, 200);
        self.app.last().session_data()
    }

    /// Returns how many increments were answered, and every id that was given out.
    fn play(&self, random: u64, id: &str) -> (u64, BTreeSet<String>) {
        let addresses = self.addresses;
        let act = move |window: u64| {
            let mut random = spread(random ^ window << 17);
            let mut browser = Browser::holding(addresses[0], id);
            let (mut added, mut ids) = (0, BTreeSet::new());
            for _ in 0..3 {
                random = spread(random);
                let (line, adds) = match random >> 8 & 3 {
                    0 => ("Session-Rotate: true", 0),
                    1 => ("X-Nothing: said", 0),
                    _ => ("Session-Increment: {\"n\": 1}", 1),
                };
                // The next request goes to whichever gateway the balancer likes.
                let jar = std::mem::take(&mut browser.jar);
                browser = Browser::at(addresses[(random >> 4 & 1) as usize]);
                browser.jar = jar;
                assert_eq!(browser.answered("/", &[line]).status, 200);
                added += adds;
                ids.extend(browser.session_id());
            }
            (added, ids)
        };
        std::thread::scope(|scope| {
            let windows: Vec<_> = (0..WINDOWS as u64).map(|window| scope.spawn(move || act(window))).collect();
            let played = windows.into_iter().map(|window| window.join().unwrap());
            played.fold((0, BTreeSet::new()), |(added, mut ids), (more, mut others)| {
                ids.append(&mut others);
                (added + more, ids)
            })
        })
    }

    fn round(&self, random: u64) {
        let mut first = Browser::at(self.address(random));
        first.answered("/", &["Session-User: ann", "Session-Set: {\"n\": 0}"]);
        let id = first.session_id().expect("an id");
        let (added, mut ids) = self.play(random, &id);
        let latest = ids.last().unwrap_or(&id).clone();
        assert_eq!(self.data(random >> 3, &latest), json!({ "n": added }), "an increment was lost");
        // A rotation that forked would leave an id that the end of the other does not reach.
        ids.insert(id);
        let mut ending = self.window(random >> 5, &latest);
        assert_eq!(ending.answered("/", &["Session-Flush: true"]).status, 200);
        for gateway in [random >> 5 ^ 1, random >> 5] {
            for id in &ids {
                assert!(!self.is_signed_in(gateway, id), "signed out at one gateway, signed in at the other");
            }
        }
    }
}

/// Sign-ins of one user that come at the same time, to either gateway by turns.
const AT_ONCE: usize = 6;

/// Of them so many may stay.
const MOST: usize = 2;

fn crowd(store: &str) {
    let rounds = std::env::var("CLOAKROOM_ROUNDS").map_or(60, |rounds| rounds.parse().unwrap());
    for (on_limit, let_in) in [("evict_oldest", AT_ONCE), ("deny", MOST)] {
        let pair = Pair::with(
            &format!("{{ {store}, timeout: 5s }}"),
            &format!(", max_per_user: {MOST}, on_limit: {on_limit}"),
        );
        let addresses = pair.addresses;
        for round in 0..rounds {
            let says = format!("Session-User: {on_limit}-{round}");
            let answers = at_once(AT_ONCE, |number| Browser::at(addresses[number % 2]).answered("/", &[&says]));
            assert!(answers.iter().all(|answer| answer.status == 200));
            let ids: Vec<String> = answers.iter().filter_map(issued).collect();
            assert_eq!(ids.len(), let_in, "{on_limit}, round {round}");
            for gateway in [0, 1] {
                let living = ids.iter().filter(|id| pair.is_signed_in(gateway, id)).count();
                assert_eq!(living, MOST, "{on_limit}, round {round}");
            }
        }
    }
    println!("{rounds} rounds of {AT_ONCE} sign-ins at two gateways, both ways of on_limit");
}

/// What is open at either gateway ends with the session, wherever that ends, and not when its id is replaced.
fn close(store: &str) {
    let (app, _ended) = chatting();
    let pair = Pair::before(app, &format!("{{ {store}, timeout: 5s }}"), "");
    for ending in [0, 1] {
        let mut ann = Browser::at(pair.address(0));
        ann.answered("/", &["Session-User: ann"]);
        let mut open = [0, 1].map(|n| Socket::open(&pair.window(n, &ann.session_id().unwrap()), "/"));
        ann.answered("/", &["Session-Rotate: true"]);
        ann.get("/");
        let id = ann.session_id().unwrap();
        let mut later = [0, 1].map(|n| Socket::open(&pair.window(n, &id), "/"));
        let mut bob = Browser::at(pair.address(1));
        bob.answered("/", &["Session-User: bob"]);
        // When bob's are closed, those of the session with the new id have been looked at as well.
        let mut bobs = [0, 1].map(|n| Socket::open(&pair.window(n, &bob.session_id().unwrap()), "/"));
        bob.answered("/", &["Session-Flush: true"]);
        bobs.iter_mut().for_each(Socket::is_ended);
        open.iter_mut().chain(&mut later).for_each(Socket::echoes);
        let mut window = pair.window(ending, &id);
        assert_eq!(window.answered("/", &["Session-Flush: true"]).status, 200);
        open.iter_mut().chain(&mut later).for_each(Socket::is_ended);
    }
}

/// Steele and Vigna's SplitMix64.
fn spread(state: u64) -> u64 {
    let mixed = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// `store` without its braces. Patient: the machine that runs the tests may be busy, and a 503 is an honest answer.
fn play_on(store: &str) {
    let rounds = std::env::var("CLOAKROOM_ROUNDS").map_or(150, |rounds| rounds.parse().unwrap());
    let pair = Pair::on(&format!("{{ {store}, timeout: 5s }}"));
    for round in 0..rounds {
        pair.round(spread(round));
    }
    println!("{rounds} rounds of {WINDOWS} windows at two gateways");
}

fn redis() -> String {
    let url = std::env::var("CLOAKROOM_TEST_REDIS").expect("CLOAKROOM_TEST_REDIS");
    format!("type: redis, url: '{url}', prefix: 'two-{:016x}:'", rand::random::<u64>())
}

fn postgres() -> String {
    let url = std::env::var("CLOAKROOM_TEST_POSTGRES").expect("CLOAKROOM_TEST_POSTGRES");
    format!("type: postgres, url: '{url}', prefix: 'two{:08x}_'", rand::random::<u32>())
}

#[test]
#[ignore = "needs a Redis server: tests/run starts one"]
fn two_gateways_on_one_redis_are_one() {
    play_on(&redis());
}

#[test]
#[ignore = "needs a Redis server: tests/run starts one"]
fn two_gateways_on_one_redis_are_one_without_copies() {
    play_on(&format!("{}, cache: null", redis()));
}

#[test]
#[ignore = "needs a PostgreSQL server: tests/run starts one"]
fn two_gateways_on_one_table_are_one() {
    play_on(&postgres());
}

#[test]
#[ignore = "needs a PostgreSQL server: tests/run starts one"]
fn two_gateways_on_one_table_are_one_without_copies() {
    play_on(&format!("{}, cache: null", postgres()));
}

#[test]
#[ignore = "needs a Redis server: tests/run starts one"]
fn a_websocket_ends_with_its_session_at_two_gateways_on_one_redis() {
    close(&redis());
    close(&format!("{}, cache: null", redis()));
}

#[test]
#[ignore = "needs a PostgreSQL server: tests/run starts one"]
fn a_websocket_ends_with_its_session_at_two_gateways_on_one_table() {
    close(&postgres());
    close(&format!("{}, cache: null", postgres()));
}

#[test]
#[ignore = "needs a Redis server: tests/run starts one"]
fn a_user_has_no_more_sessions_than_allowed_at_two_gateways_on_one_redis() {
    crowd(&redis());
}

#[test]
#[ignore = "needs a PostgreSQL server: tests/run starts one"]
fn a_user_has_no_more_sessions_than_allowed_at_two_gateways_on_one_table() {
    crowd(&postgres());
}
