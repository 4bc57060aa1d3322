//! Users of a Django app stay signed in when the gateway is put before it: `cloakroom import django`.
//!
//! The sessions are written by a real Django (`django_import/sessions.py`), and go through the shipped program.

mod postgres;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use cloakroom::session::django::{Keys, Signed};
use serde_json::Value;

use crate::support::process::{Ended, Process, run, write};
use crate::support::{App, Browser, user};

const SECRET: &str = "the secret key of this test, now";
const BEFORE: &str = "the secret key of this test, before";

/// What `sessions.py` prints.
fn django(arguments: &[&str], stdin: &str) -> String {
    let python = std::env::var("DJANGO_PYTHON").expect("DJANGO_PYTHON: a python3 with Django, made by tests/run");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/django_import/sessions.py");
    let mut child =
        Command::new(python).arg(script).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let text = stdin.to_owned();
    // On a thread of its own: it may want to print before it has read everything.
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap()
}

/// Ids by engine and name.
type Ids = BTreeMap<String, BTreeMap<String, String>>;

/// A Django app's files, a configuration for the gateway before it, and nothing imported yet.
struct Moving {
    dir: tempfile::TempDir,
    ids: Ids,
    app: App,
}

impl Moving {
    fn new() -> Self {
        Self::written(&[])
    }

    /// By an app with `USE_TZ = False`.
    fn in_zone(zone: &str) -> Self {
        Self::written(&[zone])
    }

    fn written(zone: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().display().to_string();
        let ids = serde_json::from_str(&django(&[&["write", &place], zone].concat(), "")).unwrap();
        let app = App::echoing();
        let moving = Self { dir, ids, app };
        write(moving.path(), "cloakroom.yaml", &moving.yaml("{ type: disk }"));
        write(moving.path(), "secret.key", &format!("{SECRET}\n{BEFORE}\n"));
        moving
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn yaml(&self, store: &str) -> String {
        format!(
            "listeners: [{{ address: '127.0.0.1:0' }}]\nadmin: {{ address: null }}\nstore: {store}\n\
             session: {{ cookie: {{ secure: auto }}, idle_timeout: null, max_data_size: 8KiB }}\n\
             routes: [{{ upstream: 'http://{}', session_headers: read }}]\n\
             login: {{ form: {{ users: [{}] }} }}\n",
            self.app.address,
            user("erin", "")
        )
    }

    fn import(&self, arguments: &[&str]) -> Ended {
        let arguments = [&["import", "django", "--secret-key-file", "secret.key"], arguments].concat();
        run(self.path(), &arguments, &[], "")
    }

    /// How long a session lives if nobody comes back to it.
    fn minutes_left(&self, engine: &str, name: &str) -> u64 {
        let gateway = Process::start(self.path(), &self.yaml("{ type: disk }"), 1, &[]);
        let me = Browser::holding(gateway.addresses()[0], &self.ids[engine][name]).get("/.session/me").json();
        let left = me["idle_expires_in"].as_u64().or(me["expires_in"].as_u64());
        left.unwrap() / 60
    }

    /// Each session's user and data as the app behind the gateway is told; `None` for those who must sign in.
    fn told(&self, engine: &str) -> BTreeMap<String, Option<(String, Value)>> {
        let gateway = Process::start(self.path(), &self.yaml("{ type: disk }"), 1, &[]);
        let address = gateway.addresses()[0];
        let told = self.ids[engine].iter().map(|(name, id)| {
            let answer = Browser::holding(address, id).get("/");
            let seen = (answer.status == 200).then(|| self.app.last());
            let told =
                seen.map(|seen| (seen.header("remote-user").unwrap_or_default().to_owned(), seen.session_data()));
            (name.clone(), told)
        });
        told.collect()
    }
}

fn user_of(told: &BTreeMap<String, Option<(String, Value)>>, name: &str) -> Option<String> {
    told[name].as_ref().map(|(user, _)| user.clone())
}

/// 3000 random sessions both ways, byte for byte.
#[test]
#[ignore = "needs a Python with Django: tests/run makes one"]
fn a_real_django_and_we_write_the_same_bytes_and_read_each_other() {
    let (mut ours, mut packed, mut plain) = (String::new(), 0, 0);
    for line in django(&["encode", "3000"], "").lines() {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| line[key].as_str().unwrap();
        let (kept, data, class, secret) = (text("kept"), text("data"), text("class"), text("secret"));
        // Of every third the key is only a fallback now.
        let Signed { bytes, at } = Keys::new([SECRET, BEFORE], class).loads(data).unwrap();
        assert_eq!(std::str::from_utf8(&bytes).unwrap(), kept);
        let written = Keys::new([secret], class).dumps(&bytes, at.unwrap()).unwrap();
        assert_eq!(written, data, "{kept}");
        *if written.starts_with('.') { &mut packed } else { &mut plain } += 1;
        line["data"] = written.into();
        ours.push_str(&format!("{line}\n"));
    }
    assert!(packed > 500 && plain > 500, "{packed} {plain}");
    assert_eq!(django(&["decode"], &ours).trim(), "3000");
}

#[test]
#[ignore = "needs a Python with Django: tests/run makes one"]
fn sessions_of_a_database_go_on_behind_the_gateway() {
    let moving = Moving::new();
    let database = ["--database", "sqlite:///db.sqlite3"];
    let rehearsed = moving.import(&[&database[..], &["--dry-run"]].concat());
    assert!(
        rehearsed.stdout.starts_with("8 sessions would be imported (7 signed in), 1 expired, 1 unreadable"),
        "{rehearsed:?}"
    );
    let done = moving.import(&database);
    assert_eq!(
        done.stdout.lines().collect::<Vec<_>>(),
        [
            "8 sessions imported (7 signed in), 1 expired, 1 unreadable, 0 already there",
            "2 left out: their users are gone, inactive or have a new password since",
            "1 of those imported held values that JSON does not have (NaN, huge numbers): changed",
        ],
        "{done:?}"
    );
    assert_eq!(done.code, Some(0));
    assert!(done.stderr.contains("signed with none of the keys") && done.stderr.contains("(handle "), "{done:?}");
    for id in moving.ids["db"].values() {
        assert!(!format!("{done:?}").contains(id), "an id was printed");
    }

    let told = moving.told("db");
    for (name, user) in [
        ("ann", "ann"),
        ("compressed", "ann"),
        ("fallback", "ann"),
        ("browser", "bob"),
        ("sliding", "bob"),
        ("moment", "bob"),
        ("nan", "bob"),
    ] {
        assert_eq!(user_of(&told, name).as_deref(), Some(user), "{name}");
    }
    for name in ["anonymous", "inactive", "changed", "expired", "forged"] {
        assert_eq!(user_of(&told, name), None, "{name}");
    }
    assert_eq!(told["ann"].as_ref().unwrap().1, serde_json::json!({"step": 3, "_messages": "[]"}));

    let again = moving.import(&database);
    assert!(
        again.stdout.starts_with("0 sessions imported (0 signed in), 1 expired, 1 unreadable, 8 already there"),
        "{again:?}"
    );
    assert_eq!(moving.import(&[&database[..], &["--strict"]].concat()).code, Some(1));
}

#[test]
#[ignore = "needs a Python with Django: tests/run makes one"]
fn sessions_in_files_go_on_behind_the_gateway() {
    let moving = Moving::new();
    let done = moving.import(&["--directory", "files", "--database", "db.sqlite3"]);
    assert!(done.stdout.starts_with("8 sessions imported (7 signed in), 1 expired, 1 unreadable"), "{done:?}");
    let told = moving.told("file");
    assert_eq!(user_of(&told, "ann").as_deref(), Some("ann"));
    assert_eq!(user_of(&told, "changed"), None);
}

#[test]
#[ignore = "needs a Python with Django: tests/run makes one"]
fn without_a_user_table_users_are_named_by_id_and_a_warning_says_so() {
    let moving = Moving::new();
    let done = moving.import(&["--directory", "files"]);
    assert!(done.stdout.starts_with("10 sessions imported (9 signed in), 1 expired, 1 unreadable"), "{done:?}");
    assert!(done.stderr.contains("named by their ids"), "{done:?}");
    assert_eq!(user_of(&moving.told("file"), "ann").as_deref(), Some("1"));
}

/// Far east and far west: either way `expire_date` is hours away from UTC.
#[test]
#[ignore = "needs a Python with Django: tests/run makes one"]
fn sessions_of_an_app_in_local_time_end_when_they_should() {
    for zone in ["Pacific/Kiritimati", "America/Los_Angeles", "Asia/Kathmandu"] {
        let moving = Moving::in_zone(zone);
        let unknown = moving.import(&["--database", "db.sqlite3"]);
        // Refused or dead, never adopted.
        assert!(unknown.stdout.starts_with("0 sessions imported (0 signed in), "), "{zone}: {unknown:?}");
        assert!(unknown.stderr.contains("say --time-zone (TIME_ZONE of an app with USE_TZ = False"), "{unknown:?}");
        let wrong = moving.import(&["--database", "db.sqlite3", "--time-zone", "Middle/Earth"]);
        assert!(wrong.code == Some(2) && wrong.stderr.contains("Europe/Berlin"), "{wrong:?}");
        let done = moving.import(&["--database", "db.sqlite3", "--time-zone", zone]);
        assert!(
            done.stdout.starts_with("8 sessions imported (7 signed in), 1 expired, 1 unreadable"),
            "{zone}: {done:?}"
        );
        let left = |name| moving.minutes_left("db", name);
        assert_eq!([left("sliding"), left("moment"), left("ann")], [59, 119, 20_159], "{zone}");
    }
}

#[test]
#[ignore = "needs a Python with Django: tests/run makes one"]
fn session_files_of_an_app_in_local_time_end_when_they_should() {
    let moving = Moving::in_zone("Pacific/Kiritimati");
    let unknown = moving.import(&["--directory", "files", "--database", "db.sqlite3"]);
    // `set_expiry` with a moment wrote local time into two of them; the files' own times are moments.
    assert!(unknown.stdout.starts_with("7 sessions imported (6 signed in), 0 expired, 3 unreadable"), "{unknown:?}");
    let rest = ["--directory", "files", "--database", "db.sqlite3", "--time-zone", "Pacific/Kiritimati"];
    let done = moving.import(&rest);
    assert!(done.stdout.starts_with("1 session imported (1 signed in), 1 expired, 1 unreadable, 7"), "{done:?}");
    assert_eq!(moving.minutes_left("file", "moment"), 119);
}

/// What is wrong with the command is said before anything is read.
#[test]
fn an_import_that_cannot_work_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = |store: &str| {
        format!("store: {{ type: {store} }}\nroutes: [{{ access: public, upstream: 'http://127.0.0.1:1' }}]\n")
    };
    let import = |arguments: &[&str], environment: &[(&str, &str)]| {
        run(dir.path(), &[&["import", "django"], arguments].concat(), environment, "")
    };
    let key = [("DJANGO_SECRET_KEY", SECRET)];
    write(dir.path(), "cloakroom.yaml", &yaml("memory"));
    let ended = import(&["--database", "db.sqlite3"], &key);
    assert!(ended.code == Some(1) && ended.stderr.contains("store.type is memory"), "{ended:?}");
    write(dir.path(), "cloakroom.yaml", &yaml("disk"));
    assert_eq!(import(&[], &key).code, Some(2), "neither --database nor --directory");
    for (arguments, environment, why) in [
        (["--database", "db.sqlite3"], &[][..], "SECRET_KEY is needed"),
        (["--database", "db.sqlite3"], &key, "db.sqlite3 cannot be opened"),
        (["--database", "mysql://app:hush@host/db"], &key, "manage.py dumpdata"),
        (["--database", "postgres://app:hush@127.0.0.1:1/db"], &key, "postgres://127.0.0.1:1/db cannot be reached"),
        (["--directory", "nowhere"], &key, "nowhere cannot be read"),
    ] {
        let ended = import(&arguments, environment);
        assert!(ended.code == Some(1) && ended.stderr.contains(why), "{arguments:?}: {ended:?}");
        assert!(!ended.stderr.contains("hush"), "{ended:?}");
    }
    let database = dir.path().join("db.sqlite3");
    let database = rusqlite::Connection::open(database).unwrap();
    database.execute_batch("CREATE TABLE other (a)").unwrap();
    let ended = import(&["--database", "db.sqlite3"], &key);
    assert!(ended.code == Some(1) && ended.stderr.contains("django_session"), "{ended:?}");
    database.execute_batch("CREATE TABLE django_session (session_key, session_data, expire_date)").unwrap();
    let ended = import(&["--database", "db.sqlite3", "--user-table", "people"], &key);
    assert!(ended.code == Some(1) && ended.stderr.contains("no table people"), "{ended:?}");
}
