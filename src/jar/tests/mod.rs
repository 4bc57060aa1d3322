//! The jar as a whole: what lines do to it, and what it then sends.

mod against_tough_cookie;
mod laws;
mod merging;
mod reading;

use super::*;

/// 2026-03-04 05:06:07.
const NOW: Timestamp = Timestamp(1_772_600_767_000);
const DAY: u64 = 86_400;

fn later(seconds: u64) -> Timestamp {
    Timestamp(NOW.0 + seconds * 1000)
}

/// What the line does when `https://app.example.com/a/b` answers with it.
fn line(line: &str) -> Result<Operation, Refused> {
    read(line.as_bytes(), &Place { hosts: &["app.example.com"], paths: &["/a/b"] }, NOW)
}

fn cookie(text: &str) -> Cookie {
    match line(text) {
        Ok(Operation::Set(cookie)) => cookie,
        other => panic!("{text}: {other:?}"),
    }
}

/// A jar after these lines, all of them now.
fn jar(lines: &[&str]) -> Jar {
    let mut jar = Jar::default();
    for text in lines {
        jar.apply(&line(text).unwrap(), NOW);
    }
    jar
}

/// The `Cookie` line of a request.
fn sent(jar: &Jar, host: &str, path: &str, now: Timestamp) -> String {
    let place = Place { hosts: &[host], paths: &[path] };
    let pairs: Vec<_> = jar.matching(&place, now).map(|cookie| String::from_utf8_lossy(cookie.pair())).collect();
    pairs.join("; ")
}
