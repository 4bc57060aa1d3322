//! A second implementation is asked what it would send: tough-cookie, from npm, in a process of its own
//! (`tests/cookie_oracle/oracle.cjs`). It follows RFC 6265 of 2011; [`differs`] lists where 6265bis has moved on.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use ::cookie::time::OffsetDateTime;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::super::attributes;
use super::*;

const HOSTS: [&str; 6] =
    ["app.example.com", "example.com", "b.app.example.com", "shop.example.co.uk", "x.github.io", "127.0.0.1"];
const PATHS: [&str; 7] = ["/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/x.php"];
const DOMAINS: [&str; 16] = [
    "",
    ".",
    "app.example.com",
    "example.com",
    ".example.com",
    "..example.com",
    "EXAMPLE.com",
    "ample.com",
    "example.co.uk",
    "co.uk",
    "com",
    "github.io",
    "x.github.io",
    "127.0.0.1",
    "0.0.1",
    "evil.test",
];

/// One response with a line, and one request elsewhere.
#[derive(Debug, Clone)]
struct Step {
    seconds: u64,
    host: &'static str,
    path: &'static str,
    line: String,
    asks: (&'static str, &'static str),
}

#[test]
#[ignore = "needs tough-cookie: tests/run installs it"]
fn histories_of_cookies_end_as_with_tough_cookie() {
    let cases = std::env::var("CLOAKROOM_COOKIE_HISTORIES").map_or(3000, |cases| cases.parse().unwrap());
    let oracle = RefCell::new(Oracle::start());
    let compared = RefCell::new(BTreeMap::<&str, u32>::new());
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    runner
        .run(&prop::collection::vec(step(), 1..16), |steps| {
            let (history, ours) = play(&steps, &mut compared.borrow_mut());
            let theirs = oracle.borrow_mut().ask(&history);
            for ((step, ours), theirs) in history.iter().zip(&ours).zip(&theirs) {
                prop_assert_eq!(ours, theirs, "ours, theirs: {} in {:#?}", step, history);
            }
            Ok(())
        })
        .unwrap();
    let compared = compared.into_inner();
    println!("{compared:?}");
    for what in ["sessions", "lasting", "deletions", "refused", "requests with several cookies"] {
        assert!(compared.get(what).is_some_and(|count| *count > cases / 4), "hardly any {what}: {compared:?}");
    }
}

/// The history as the oracle is told it, and what is ours to answer.
fn play(steps: &[Step], seen: &mut BTreeMap<&'static str, u32>) -> (Vec<Value>, Vec<Value>) {
    let (mut history, mut ours) = (Vec::new(), Vec::new());
    let (mut jar, mut now, mut hosts_of) = (Jar::default(), NOW, BTreeMap::new());
    for step in steps {
        now = now.plus(std::time::Duration::from_secs(step.seconds));
        let place = Place { hosts: &[step.host], paths: &[step.path] };
        let read = read(&bytes(&step.line), &place, now);
        if !differs(&step.line, step.host) && !differs_by_host(&read, &mut hosts_of) {
            history.push(json!({ "now": now.0, "url": url(step.host, step.path), "set": step.line }));
            ours.push(answer(&read, seen));
            if let Ok(operation) = &read {
                jar.apply(operation, now);
            }
        }
        for (host, path) in [(step.host, step.path), step.asks] {
            history.push(json!({ "now": now.0, "url": url(host, path) }));
            let place = Place { hosts: &[host], paths: &[path] };
            let pairs: Vec<String> = jar.matching(&place, now).map(|cookie| characters(cookie.pair())).collect();
            *seen.entry("requests with several cookies").or_default() += u32::from(pairs.len() > 1);
            ours.push(json!(pairs.join("; ")));
        }
    }
    (history, ours)
}

fn answer(read: &Result<Operation, Refused>, seen: &mut BTreeMap<&'static str, u32>) -> Value {
    let (kind, answer) = match read {
        Ok(Operation::Set(cookie)) => match cookie.expires() {
            Some(expires) => ("lasting", json!({ "expires": expires.0 })),
            None => ("sessions", json!({ "expires": null })),
        },
        Ok(Operation::Delete(_)) => ("deletions", json!("deleted")),
        Err(_) => ("refused", json!(false)),
    };
    *seen.entry(kind).or_default() += 1;
    answer
}

/// Lines that the two may treat differently, each for a reason; what is ours stands in `reading.rs` and `merging.rs`.
fn differs(line: &str, host: &str) -> bool {
    let line = bytes(line);
    let (pair, attributes) = attributes::split(&line);
    let (name, value) = attributes::name_and_value(pair);
    let domains: Vec<_> = attributes.clone().filter(|attribute| attribute.is("domain")).collect();
    let paths = attributes.filter(|attribute| attribute.is("path"));
    let empty = |value: &[u8]| value.is_empty() || value == b".";
    // 6265bis §5.7 step 2: a cookie with neither name nor value is none.
    name.is_empty() && value.is_empty()
        // §5.6 step 3: the first `=` alone separates; theirs takes a name from behind a leading one.
        || name.is_empty() && value.contains(&b'=')
        // §5.6.3: an empty Domain takes back the one before; RFC 6265 leaves that one.
        || domains.len() > 1 && domains.iter().any(|domain| empty(domain.value))
        // §5.6.3: one leading dot is dropped; theirs drops two.
        || domains.iter().any(|domain| domain.value.starts_with(b".."))
        // §5.7 step 9: a public suffix may set cookies for itself; theirs refuses.
        || domains.last().is_some_and(|domain| domain.value.eq_ignore_ascii_case(host.as_bytes()) && is_suffix(host))
        // §5.7 step 21: a Path that is no path is the default, and `/` may be that; theirs wants it said.
        || name.starts_with(b"__Host-") && paths.last().is_some_and(|path| !path.value.starts_with(b"/"))
}

fn is_suffix(host: &str) -> bool {
    place::is_public_suffix(host)
}

/// §5.7 step 23: a cookie for the host alone and one for its domain are two; theirs are one. A history has either.
fn differs_by_host(read: &Result<Operation, Refused>, seen: &mut BTreeMap<(Vec<u8>, String, Vec<u8>), bool>) -> bool {
    let (key, host_only) = match read {
        Err(_) => return false,
        Ok(Operation::Set(it)) => ((it.name().to_vec(), it.domain().to_owned(), it.path().to_vec()), it.host_only()),
        Ok(Operation::Delete(it)) => ((it.name.to_vec(), it.domain.to_string(), it.path.to_vec()), it.host_only),
    };
    *seen.entry(key).or_insert(host_only) != host_only
}

fn step() -> impl Strategy<Value = Step> {
    let asks = (prop::sample::select(&HOSTS[..]), prop::sample::select(&PATHS[..]));
    let answers = (prop::sample::select(&HOSTS[..3]), prop::sample::select(&PATHS[..]));
    let anywhere = (prop::sample::select(&HOSTS[..]), prop::sample::select(&PATHS[..]));
    let seconds = prop_oneof![4 => Just(0_u64), 2 => 1_u64..20, 1 => 20_u64..4000];
    (seconds, prop_oneof![3 => answers, 1 => anywhere], line(), asks)
        .prop_map(|(seconds, (host, path), line, asks)| Step { seconds, host, path, line, asks })
}

fn line() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        8 => "[ab]", 1 => "[A-B]", 1 => "__Secure-a", 1 => "__Host-a", 1 => "[!#$&'*+.^_`|~a-z0-9\" \u{c0}-\u{ff}-]{0,4}",
    ];
    let value =
        prop_oneof![4 => "[a-z0-9]{1,3}", 2 => "[!-:<-~]{0,6}", 1 => "[ -:<-~\u{a1}-\u{ff}]{0,6}", 1 => "\"[a-z,]*\""];
    let pair = prop_oneof![
        12 => (name, " ?= ?", value).prop_map(|(name, equals, value)| format!("{name}{equals}{value}")),
        1 => "[a-z ]{0,3}=?",
    ];
    let attributes = prop::collection::vec((" ?; ?|;|;\t", attribute()), 0..5);
    (pair, attributes).prop_map(|(pair, attributes)| {
        attributes.iter().fold(pair, |line, (separator, attribute)| format!("{line}{separator}{attribute}"))
    })
}

fn attribute() -> impl Strategy<Value = String> {
    let equals = |name: &'static str| move |value: String| format!("{name}={value}");
    prop_oneof![
        3 => "(/|/a|/a/|/a/b|/ab|/x\\.php|a|\"/a\"|)".prop_map(equals("Path")),
        3 => prop::sample::select(&DOMAINS[..]).prop_map(str::to_owned).prop_map(equals("dOMAIN")),
        3 => "(-?[0-9]{1,3}|-?[0-9]{30}|[0-9]\\.|\\+5|-|)".prop_map(equals("Max-Age")),
        3 => date().prop_map(equals("Expires")),
        2 => Just("Secure".to_owned()),
        1 => "(httponly|SameSite(=(lax|Strict|None|x|))?|Partitioned|path|domain|expires|max-age|[ -:<-~]{0,12})",
    ]
}

/// Moments around [`NOW`], in the spellings of servers, and what is nearly a date.
fn date() -> impl Strategy<Value = String> {
    let near = -4000_i64..4000;
    let far = -3_000_000_000_i64..300_000_000_000;
    let moment = prop_oneof![4 => near, 1 => far].prop_map(|offset| {
        let seconds = i64::try_from(NOW.unix_seconds()).unwrap() + offset;
        OffsetDateTime::from_unix_timestamp(seconds.min(253_402_300_799)).unwrap()
    });
    let spelled = (moment, 0..4).prop_map(|(moment, spelling)| {
        let (day, month, year) = (moment.day(), &moment.month().to_string()[..3], moment.year());
        let time = format!("{:02}:{:02}:{:02}", moment.hour(), moment.minute(), moment.second());
        match spelling {
            0 => format!("Wed, {day:02} {month} {year} {time} GMT"),
            1 => format!("Wednesday, {day:02}-{month}-{:02} {time} GMT", year % 100),
            2 => format!("Wed {month} {day:2} {time} {year}"),
            _ => format!("{year} {time},{month}_{day}"),
        }
    });
    let token = "([0-9]{1,5}|[0-9]{1,2}:[0-9]{1,3}:[0-9]{1,2}[a-z.]?|(jan|FEB|Apr|decade)|(0?[1-9]|[23][0-9])|20[0-9]{2}|[a-z]{1,4})";
    let tokens = prop::collection::vec((token, "[ ,/_-]|%"), 2..7);
    let odd = tokens.prop_map(|tokens| tokens.into_iter().map(|(token, delimiter)| token + &delimiter).collect());
    prop_oneof![3 => spelled, 1 => odd]
}

fn url(host: &str, path: &str) -> String {
    format!("https://{host}{path}")
}

/// Between processes, a byte travels as the character of its number.
fn characters(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn bytes(characters: &str) -> Vec<u8> {
    characters.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

/// The other implementation.
struct Oracle {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Oracle {
    fn start() -> Self {
        let directory =
            std::env::var("CLOAKROOM_TEST_TOUGH_COOKIE").expect("CLOAKROOM_TEST_TOUGH_COOKIE names a directory");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cookie_oracle/oracle.cjs");
        let mut command = Command::new("node");
        command.args([script, &directory]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("node starts");
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    fn ask(&mut self, history: &[Value]) -> Vec<Value> {
        writeln!(self.input, "{}", Value::from(history)).unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        let answers: Vec<Value> = serde_json::from_str(&answer).expect("the oracle answers");
        answers.into_iter().zip(history).map(|(answer, step)| as_ours(answer, step)).collect()
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// §5.5: theirs knows no limit of 400 days; and it stores what is to be deleted, with its expiry.
fn as_ours(answer: Value, step: &Value) -> Value {
    let now = step["now"].as_i64().unwrap();
    match answer["expires"].as_i64() {
        Some(expires) if expires <= now => json!("deleted"),
        Some(expires) => json!({ "expires": expires.min(now + 400 * 86_400_000) }),
        None => answer,
    }
}
