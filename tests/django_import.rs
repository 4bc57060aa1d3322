//! Users of a Django app stay signed in when the gateway is put before it: `cloakroom import django`.
//!
//! The sessions are written by a real Django (`django_import/sessions.py`), and go through the shipped program.

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
        let dir = tempfile::tempdir().unwrap();
        let ids = serde_json::from_str(&django(&["write", &dir.path().display().to_string()], "")).unwrap();
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
             session: {{ cookie: {{ secure: auto }}, max_data_size: 8KiB }}\n\
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

/// 2000 random sessions both ways; those that are not compressed byte for byte.
#[test]
#[ignore = "needs a Python with Django: tests/run makes one"]
fn a_real_django_reads_what_we_write_and_writes_what_we_read() {
    let keys = Keys::new([SECRET, BEFORE], "SessionStore");
    let (mut ours, mut compressed, mut undecided) = (String::new(), 0, 0);
    for line in django(&["encode", "2000"], "").lines() {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let (kept, data) = (line["kept"].as_str().unwrap(), line["data"].as_str().unwrap());
        let Signed { bytes, at } = keys.loads(data).unwrap();
        assert_eq!(std::str::from_utf8(&bytes).unwrap(), kept);
        let written = keys.dumps(&bytes, at.unwrap()).unwrap();
        match (written.starts_with('.'), data.starts_with('.')) {
            (false, false) => assert_eq!(written, data),
            (true, true) => compressed += 1,
            // Django's zlib and ours differ by a byte or two, which decides at the border.
            _ => undecided += 1,
        }
        line["data"] = written.into();
        ours.push_str(&format!("{line}\n"));
    }
    assert!((200..1800).contains(&compressed) && undecided < 100, "{compressed} {undecided}");
    assert_eq!(django(&["decode"], &ours).trim(), "2000");
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

/// The tables of `db.sqlite3` in a schema of PostgreSQL, as Django makes them there.
fn copy_to_postgres(url: &str, directory: &Path, schema: &str) {
    let from = rusqlite::Connection::open(directory.join("db.sqlite3")).unwrap();
    let quote = |text: String| format!("'{}'", text.replace('\'', "''"));
    let mut sql = format!(
        "DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}; SET search_path = {schema};
         CREATE TABLE django_session (session_key varchar(40) PRIMARY KEY, session_data text NOT NULL, expire_date timestamptz NOT NULL);
         CREATE TABLE auth_user (id integer PRIMARY KEY, username varchar(150), password varchar(128), is_active boolean NOT NULL);"
    );
    let mut rows = from.prepare("SELECT session_key, session_data, expire_date || '+00' FROM django_session").unwrap();
    for row in rows.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?])).unwrap() {
        sql += &format!("INSERT INTO django_session VALUES ({});", row.unwrap().map(quote).join(","));
    }
    let mut users = from.prepare("SELECT id || '', username, password, is_active || '' FROM auth_user").unwrap();
    for user in users.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])).unwrap() {
        sql += &format!("INSERT INTO auth_user VALUES ({});", user.unwrap().map(quote).join(","));
    }
    run_sql(url, &sql);
}

fn run_sql(url: &str, sql: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(sql).await.unwrap();
    });
}

#[test]
#[ignore = "needs a Python with Django and a PostgreSQL server: tests/run starts them"]
fn sessions_of_a_postgresql_database_go_on_behind_the_gateway() {
    let url = std::env::var("CLOAKROOM_TEST_POSTGRES").expect("CLOAKROOM_TEST_POSTGRES: tests/run starts a server");
    let (moving, schema) = (Moving::new(), format!("django_{}", std::process::id()));
    copy_to_postgres(&url, moving.path(), &schema);
    let tables = [format!("{schema}.django_session"), format!("{schema}.auth_user")];
    let done = moving.import(&["--database", &url, "--session-table", &tables[0], "--user-table", &tables[1]]);
    let missing = moving.import(&["--database", &url, "--session-table", "nowhere.django_session"]);
    run_sql(&url, &format!("DROP SCHEMA {schema} CASCADE"));
    assert!(done.stdout.starts_with("8 sessions imported (7 signed in), 1 expired, 1 unreadable"), "{done:?}");
    assert!(done.stdout.contains("2 left out"), "{done:?}");
    assert!(missing.code == Some(1) && missing.stderr.contains("nowhere"), "{missing:?}");
    assert_eq!(user_of(&moving.told("db"), "sliding").as_deref(), Some("bob"));
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
        (["--database", "mysql://app:hush@host/db"], &key, "postgres://…, sqlite:///path"),
        (["--database", "postgres://app:hush@127.0.0.1:1/db"], &key, "postgres://127.0.0.1/db cannot be reached"),
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
