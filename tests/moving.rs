//! Sessions that move from one store to another, by the shipped program, and browsers that notice nothing of it.

use std::path::Path;

use serde_json::json;

use crate::support::process::{Process, run, write};
use crate::support::{App, Browser, PASSWORD, user};

fn configuration(app: &App, store: &str) -> String {
    format!(
        "listeners: [{{ address: '127.0.0.1:0' }}]\nadmin: {{ address: null }}\nworkers: 1\nlog: {{ access: false }}\n\
         data_dir: data\nstore: {store}\n\
         session: {{ keys: [0123456789abcdef0123456789abcdef], cookie: {{ secure: auto }} }}\n\
         login: {{ form: {{ users: [{}, {}] }} }}\n\
         routes: [{{ access: user, session_headers: read_write, upstream: 'http://{}' }}]",
        user("ann", "staff"),
        user("bob", "wiki"),
        app.address
    )
}

/// From the store of the configuration that is there into the next one; returns how many there were.
fn move_sessions(dir: &Path, file: &str, next: &str) -> u64 {
    let exported = run(dir, &["sessions", "export", "--output", file], &[], "");
    assert_eq!(exported.code, Some(0), "{exported:?}");
    let count = exported.stdout.split(' ').next().unwrap().parse().unwrap();
    write(dir, "cloakroom.yaml", next);
    for (imported, there) in [(count, 0), (0, count)] {
        let ended = run(dir, &["sessions", "import", file], &[], "");
        let words = format!("{imported} entries imported, {there} were there already");
        assert_eq!((ended.code, ended.stdout.trim()), (Some(0), &*words), "{ended:?}");
    }
    count
}

/// The same browser, at the gateway as it listens now.
fn again(process: &Process, before: Browser) -> Browser {
    let mut browser = Browser::at(process.addresses()[0]);
    browser.jar = before.jar;
    browser
}

#[test]
#[ignore = "needs a Redis and a PostgreSQL server: tests/run starts them"]
fn browsers_stay_signed_in_from_disk_to_redis_to_postgres_to_disk() {
    let redis = std::env::var("CLOAKROOM_TEST_REDIS").expect("CLOAKROOM_TEST_REDIS");
    let postgres = std::env::var("CLOAKROOM_TEST_POSTGRES").expect("CLOAKROOM_TEST_POSTGRES");
    let unique: u32 = rand::random();
    let stores = [
        "{ type: disk }".to_owned(),
        format!("{{ type: redis, url: '{redis}', prefix: 'move-{unique:08x}:', timeout: 5s }}"),
        format!("{{ type: postgres, url: '{postgres}', prefix: 'move{unique:08x}_', timeout: 5s }}"),
        "{ type: disk, path: other }".to_owned(),
    ];
    let (app, dir) = (App::obeying(), tempfile::tempdir().unwrap());
    let mut process = Process::start(dir.path(), &configuration(&app, &stores[0]), 1, &[]);
    let mut ann = Browser::at(process.addresses()[0]);
    let mut bob = Browser::at(process.addresses()[0]);
    for (browser, name) in [(&mut ann, "ann"), (&mut bob, "bob")] {
        assert_eq!(browser.sign_in(name, PASSWORD).status, 303);
    }
    assert_eq!(ann.answered("/", &["Session-Set: {\"stores\": 1}"]).status, 200);
    let ended = bob.session_id().unwrap();
    bob.sign_out();
    assert!(bob.session_id().is_none());
    for (n, store) in stores.iter().enumerate().skip(1) {
        process.terminate();
        let next = configuration(&app, store);
        assert!(move_sessions(dir.path(), &format!("{n}.jsonl"), &next) >= 1);
        process = Process::start(dir.path(), &next, 1, &[]);
        ann = again(&process, ann);
        assert_eq!(ann.get("/.session/me").json()["user"], "ann", "{store}");
        // The record can be read and written, and its id replaced.
        let lines = ["Session-Increment: {\"stores\": 1}", "Session-Rotate: true"];
        assert_eq!(ann.answered("/", &lines).status, 200, "{store}");
        assert_eq!(app.last().session_data(), json!({ "stores": n }), "{store}");
        let mut bob = Browser::holding(process.addresses()[0], &ended);
        assert_eq!(bob.get("/.session/me").json()["authenticated"], false, "{store}");
    }
    ann.sign_out();
    assert!(ann.session_id().is_none());
}
