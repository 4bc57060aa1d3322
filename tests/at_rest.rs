//! What lies in a store that outlives the gateway: the envelope's fields, and nothing else that can be read.
//!
//! Secrets of all kinds go through a gateway; then everything the store has written is searched for them, in any
//! encoding that a store may have chosen.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::{App, Browser, PASSWORD, TestGateway, field, ok};

/// An app with a login of its own; what it lets in with is as secret as what it is given.
fn legacy() -> App {
    App::with(|seen, stream| {
        let answer = match seen.line().split(' ').next() {
            Some("POST") => "HTTP/1.1 302 Found\r\nLocation: /signed-on/\r\nSet-Cookie: app=let-in-with-this-one\r\n\
                             Content-Length: 0\r\n\r\n"
                .to_owned(),
            _ => ok("<form><input name=u><input type=password name=p></form>"),
        };
        stream.write_all(answer.as_bytes()).is_ok()
    })
}

/// Drives a gateway on `store`, and returns all that nobody may read there.
fn secrets_on(store: &str) -> Vec<String> {
    let (app, legacy) = (App::obeying(), legacy());
    let gateway = TestGateway::with_config(&format!(
        "store: {store}\nsession: {{ rotate_every: 10s, rotation_grace: 2s, cookie: {{ secure: auto }} }}\n\
         routes:
  - {{ access: public, session_headers: read_write, upstream: 'http://{0}' }}
  \
         - {{ path: /kept, access: user, upstream: 'http://{0}' }}
  \
         - {{ path: /signed-on, cookies: vault, sign_on: {{ login_page: /signed-on/login }}, upstream: 'http://{1}' }}",
        app.address, legacy.address
    ));
    let mut secrets = Vec::new();
    for user in ["ann", "bob"] {
        let mut browser = gateway.browser();
        let page = browser.get("/.session/login");
        secrets.extend([field(&page, "csrf"), browser.session_id()].into_iter().flatten());
        browser.answered("/", &["Session-Set: {\"cart\": \"three pounds of tea\"}"]);
        browser.answered("/", &["Session-Flash: {\"note\": \"told only once\"}"]);
        browser.sign_in(user, PASSWORD);
        secrets.extend(browser.session_id());
        assert_eq!(browser.get("/signed-on/").status, 200);
        assert!(legacy.seen().iter().any(|seen| seen.body.starts_with(format!("u={user}&p=correct").as_bytes())));
        gateway.advance(std::time::Duration::from_secs(11));
        browser.answered("/", &["Session-Set: {\"token\": \"eyJhbGciOiJub25l\"}"]);
        secrets.extend(browser.session_id());
        secrets.extend([format!("{user} Example"), format!("{user}@example.com")]);
    }
    secrets.extend(send_a_form_in_vain(&gateway));
    assert!(secrets.len() >= 12, "{secrets:?}");
    secrets.extend(["three pounds of tea", "told only once", "eyJhbGciOiJub25l", "staff"].map(Into::into));
    secrets.extend([PASSWORD, "correct+horse", "let-in-with-this-one"].map(Into::into));
    secrets
}

/// A form that is kept for who signs in next; what of it nobody may read.
fn send_a_form_in_vain(gateway: &TestGateway) -> [String; 4] {
    let mut browser = Browser::holding(gateway.address(), &"a".repeat(32));
    let (origin, referer) =
        (format!("http://{}", browser.host), format!("http://{}/where-it-was-written", browser.host));
    let headers = [
        ("Content-Type", "text/x-unheard-of"),
        ("Origin", origin.as_str()),
        ("Referer", &referer),
        ("Accept", "text/html"),
    ];
    let answer = browser.request("POST", "/kept/words-in-an-address", &headers, b"a love letter, half finished");
    assert_eq!(answer.header("location"), Some("/.session/login?rd=/.session/parked"));
    ["text/x-unheard-of", "where-it-was-written", "words-in-an-address", "a love letter, half finished"].map(Into::into)
}

/// As it is, in hex and in the three ways in which base64 may meet it.
fn spellings(secret: &str) -> Vec<Vec<u8>> {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let shifted = (0..3).map(|shift| {
        let text = STANDARD.encode([&b"xxx"[..shift], secret.as_bytes()].concat());
        // The characters at both ends depend on the neighbours.
        text.as_bytes()[4..text.len() - 4].to_vec()
    });
    shifted.chain([secret.into(), hex.to_uppercase().into(), hex.into()]).collect()
}

fn assert_hidden(stored: &[u8], secrets: &[String]) {
    assert!(stored.windows(3).any(|part| part == b"ann"), "the envelope names the user");
    for secret in secrets {
        for spelling in spellings(secret).iter().filter(|spelling| spelling.len() >= 5) {
            let is_there = stored.windows(spelling.len()).any(|part| part == spelling);
            assert!(!is_there, "{secret} lies open as {}", String::from_utf8_lossy(spelling));
        }
    }
}

fn files(directory: &Path) -> Vec<u8> {
    fs::read_dir(directory).unwrap().flatten().flat_map(|file| fs::read(file.path()).unwrap()).collect()
}

#[test]
fn the_disk_shows_the_envelope_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessions");
    let secrets = secrets_on(&format!("{{ type: disk, path: '{}' }}", path.display()));
    assert_hidden(&files(&path), &secrets);
}

#[test]
#[ignore = "needs a Redis server: tests/run starts one"]
fn redis_shows_the_envelope_and_nothing_else() {
    let url = std::env::var("CLOAKROOM_TEST_REDIS").expect("CLOAKROOM_TEST_REDIS");
    let prefix = format!("at-rest-{:016x}:", rand::random::<u64>());
    let secrets = secrets_on(&format!("{{ type: redis, url: '{url}', prefix: '{prefix}' }}"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stored = runtime.block_on(async {
        let client = redis::Client::open(url).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let keys: Vec<Vec<u8>> =
            redis::cmd("KEYS").arg(format!("{prefix}*")).query_async(&mut connection).await.unwrap();
        let mut stored = keys.concat();
        for key in keys {
            // DUMP compresses: each kind of value is read as what it is.
            let kind: String = redis::cmd("TYPE").arg(&key).query_async(&mut connection).await.unwrap();
            let mut read = match &*kind {
                "string" => redis::cmd("GET"),
                "hash" => redis::cmd("HGETALL"),
                "set" => redis::cmd("SMEMBERS"),
                _ => redis::cmd("ZRANGE"),
            };
            read.arg(&key);
            if kind == "zset" {
                read.arg(0).arg(-1);
            }
            let value: redis::Value = read.query_async(&mut connection).await.unwrap();
            collect(&value, &mut stored);
        }
        stored
    });
    assert_hidden(&stored, &secrets);
}

fn collect(value: &redis::Value, stored: &mut Vec<u8>) {
    match value {
        redis::Value::BulkString(bytes) => stored.extend(bytes),
        redis::Value::Array(values) | redis::Value::Set(values) => {
            values.iter().for_each(|value| collect(value, stored))
        }
        redis::Value::Map(pairs) => pairs.iter().for_each(|(key, value)| {
            collect(key, stored);
            collect(value, stored);
        }),
        other => stored.extend(format!("{other:?}").bytes()),
    }
}

#[test]
#[ignore = "needs a PostgreSQL server: tests/run starts one"]
fn the_table_shows_the_envelope_and_nothing_else() {
    let url = std::env::var("CLOAKROOM_TEST_POSTGRES").expect("CLOAKROOM_TEST_POSTGRES");
    let prefix = format!("rest{:08x}_", rand::random::<u32>());
    let secrets = secrets_on(&format!("{{ type: postgres, url: '{url}', prefix: '{prefix}' }}"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stored: String = runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        // As text: bytea in hex.
        let rows = client.query(&format!("SELECT t::text FROM {prefix}sessions t"), &[]).await.unwrap();
        assert!(rows.len() >= 2);
        rows.iter().map(|row| row.get::<_, String>(0)).collect()
    });
    assert_hidden(stored.as_bytes(), &secrets);
}
