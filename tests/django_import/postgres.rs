//! A Django app whose sessions lie in PostgreSQL: local time, and TLS with each `sslmode`.
//!
//! The tables are copies of what a real Django has written into SQLite.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Moving, user_of};
use crate::support::process::{Ended, write};

/// What Django makes of `expire_date` in PostgreSQL, and what other tools that move tables make of it.
const MOMENT: &str = "timestamptz";
const LOCAL: &str = "timestamp";

/// The tables of `db.sqlite3` in a schema of PostgreSQL.
fn copy_to_postgres(url: &str, directory: &Path, schema: &str, expire_date: &str) {
    let from = rusqlite::Connection::open(directory.join("db.sqlite3")).unwrap();
    let quote = |text: String| format!("'{}'", text.replace('\'', "''"));
    let mut sql = format!(
        "SET TimeZone = UTC; CREATE SCHEMA {schema}; SET search_path = {schema};
         CREATE TABLE django_session (session_key varchar(40) PRIMARY KEY, session_data text NOT NULL, expire_date {expire_date} NOT NULL);
         CREATE TABLE auth_user (id integer PRIMARY KEY, username varchar(150), password varchar(128), is_active boolean NOT NULL);"
    );
    let mut rows = from.prepare("SELECT session_key, session_data, expire_date FROM django_session").unwrap();
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

/// A copy of a Django app's tables in PostgreSQL, for as long as it lives.
struct Copied {
    /// For us; the command is told another where that is what a test is about.
    url: String,
    schema: String,
}

impl Copied {
    fn of(moving: &Moving, url: String, expire_date: &str) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let schema = format!("django_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        copy_to_postgres(&url, moving.path(), &schema, expire_date);
        Self { url, schema }
    }

    fn import(&self, moving: &Moving, url: &str, more: &[&str]) -> Ended {
        let tables = [format!("{}.django_session", self.schema), format!("{}.auth_user", self.schema)];
        let arguments = ["--database", url, "--session-table", &tables[0], "--user-table", &tables[1]];
        moving.import(&[&arguments, more].concat())
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        run_sql(&self.url, &format!("DROP SCHEMA {} CASCADE", self.schema));
    }
}

fn postgres() -> String {
    std::env::var("CLOAKROOM_TEST_POSTGRES").expect("CLOAKROOM_TEST_POSTGRES: tests/run starts a server")
}

#[test]
#[ignore = "needs a Python with Django and a PostgreSQL server: tests/run starts them"]
fn sessions_of_a_postgresql_database_go_on_behind_the_gateway() {
    let (moving, url) = (Moving::new(), postgres());
    let done = Copied::of(&moving, url.clone(), MOMENT).import(&moving, &url, &[]);
    let missing = moving.import(&["--database", &url, "--session-table", "nowhere.django_session"]);
    assert!(done.stdout.starts_with("8 sessions imported (7 signed in), 1 expired, 1 unreadable"), "{done:?}");
    assert!(done.stdout.contains("2 left out"), "{done:?}");
    assert!(missing.code == Some(1) && missing.stderr.contains("nowhere"), "{missing:?}");
    assert_eq!(user_of(&moving.told("db"), "sliding").as_deref(), Some("bob"));
}

#[test]
#[ignore = "needs a Python with Django and a PostgreSQL server: tests/run starts them"]
fn local_time_in_postgresql_needs_a_zone_or_must_be_seen_to_be_utc() {
    let (url, zone) = (postgres(), "Asia/Kathmandu");
    let moving = Moving::in_zone(zone);
    let copied = Copied::of(&moving, url.clone(), LOCAL);
    let unknown = copied.import(&moving, &url, &[]);
    assert!(unknown.stdout.starts_with("0 sessions imported (0 signed in), "), "{unknown:?}");
    assert!(unknown.stderr.contains("say --time-zone"), "{unknown:?}");
    let done = copied.import(&moving, &url, &["--time-zone", zone]);
    assert!(done.stdout.starts_with("8 sessions imported (7 signed in), 1 expired, 1 unreadable"), "{done:?}");
    assert_eq!(moving.minutes_left("db", "sliding"), 59);

    let moving = Moving::new();
    let copied = Copied::of(&moving, url.clone(), LOCAL);
    run_sql(
        &url,
        &format!(
            "UPDATE {}.django_session SET expire_date = 'infinity' WHERE session_key = '{}'",
            copied.schema, moving.ids["db"]["ann"]
        ),
    );
    let done = copied.import(&moving, &url, &[]);
    assert!(done.stdout.starts_with("7 sessions imported (6 signed in), 1 expired, 2 unreadable"), "{done:?}");
    assert_eq!(moving.minutes_left("db", "sliding"), 59);
}

#[test]
#[ignore = "needs a Python with Django and a PostgreSQL server with TLS: tests/run starts them"]
fn djangos_database_is_reached_by_tls_and_the_server_is_whom_it_says() {
    let url = std::env::var("CLOAKROOM_TEST_POSTGRES_TLS").expect("CLOAKROOM_TEST_POSTGRES_TLS: tests/run starts it");
    let dir = std::env::var("CLOAKROOM_TEST_POSTGRES_TLS_DIRECTORY").expect("set beside CLOAKROOM_TEST_POSTGRES_TLS");
    let moving = Moving::new();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    write(moving.path(), "other.crt", &other.cert.pem());
    let socket = url.replace("localhost", &dir.replace('/', "%2F"));
    let copied = Copied::of(&moving, socket, MOMENT);
    let number = url.replace("localhost", "127.0.0.1");
    let own = format!("sslrootcert={dir}/server.crt");
    for (url, query, why_not) in [
        (&url, "sslmode=disable".to_owned(), Some("no encryption")),
        (&url, format!("sslmode=verify-full&{own}"), None),
        (&number, format!("sslmode=verify-full&{own}"), Some("certificate not valid for name")),
        (&number, format!("sslmode=verify-ca&{own}"), None),
        (&url, "sslmode=verify-ca&sslrootcert=other.crt".to_owned(), Some("invalid peer certificate")),
        // As libpq has it.
        (&url, "sslmode=require&sslrootcert=other.crt".to_owned(), Some("invalid peer certificate")),
        (&url, "sslmode=verify-full".to_owned(), Some("needs sslrootcert=FILE")),
        (&url, "sslmode=verify-full&sslrootcert=none.crt".to_owned(), Some("none.crt")),
        (&url, "sslmode=perhaps".to_owned(), Some("disable, prefer, require, verify-ca, verify-full")),
        (&number, "sslmode=require".to_owned(), None),
        (&number, String::new(), None),
    ] {
        let done = copied.import(&moving, &format!("{url}?{query}"), &["--dry-run"]);
        match why_not {
            None => assert!(done.stdout.starts_with("8 sessions would be imported"), "{query}: {done:?}"),
            Some(why) => assert!(done.code == Some(1) && done.stderr.contains(why), "{query}: {done:?}"),
        }
    }
}
