//! What the session engine adds to a request: open and commit in memory, without HTTP around them.
//!
//! Each row runs its kind of request over ten thousand sessions in turn, a new connection each time, as the
//! digest of the id is part of it; `hit, same connection` is what a browser's further requests pay.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cloakroom::clock::Timestamp;
use cloakroom::config::schema;
use cloakroom::identity::Identity;
use cloakroom::session::{AtRest, Change, Keyring, Manager, Recall, Session, Step, Visit};
use cloakroom::store::MemoryStore;
use http::{HeaderMap, HeaderValue, StatusCode};

const SESSIONS: usize = 10_000;
const START: Timestamp = Timestamp(1_800_000_000_000);

/// One kind of request.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Hit,
    HitSameConnection,
    Touch,
    Write,
    Rotation,
    SignIn,
}

/// Prints the time of one open and commit of this kind.
pub fn print(kind: Kind, quick: bool) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else { return };
    let rounds = if quick { 5 } else { 30 };
    match runtime.block_on(measure(kind, rounds)) {
        Some(each) => println!("{:7} ns", each.as_nanos()),
        None => println!("the engine gave no cookie"),
    }
}

/// The fastest round's mean: what disturbs the machine only ever adds.
async fn measure(kind: Kind, rounds: usize) -> Option<Duration> {
    let manager = manager()?;
    let mut browsers = Vec::with_capacity(SESSIONS);
    for n in 0..SESSIONS {
        browsers.push(sign_in(&manager, n, START).await?);
    }
    let mut fastest = Duration::MAX;
    for round in 1..=rounds as u64 {
        let now = START.plus(Duration::from_secs(if kind == Kind::Touch { 61 * round } else { 1 }));
        let start = Instant::now();
        for (n, browser) in browsers.iter_mut().enumerate() {
            one(&manager, kind, n, browser, now).await?;
        }
        fastest = fastest.min(start.elapsed() / u32::try_from(SESSIONS).ok()?);
    }
    Some(fastest)
}

/// A browser's cookie, and what its connection remembers.
struct Browser {
    headers: HeaderMap,
    recall: Recall,
}

async fn one(manager: &Manager, kind: Kind, n: usize, browser: &mut Browser, now: Timestamp) -> Option<()> {
    if kind == Kind::SignIn {
        return sign_in(manager, n, now).await.map(drop);
    }
    if kind != Kind::HitSameConnection {
        browser.recall = Recall::default();
    }
    let visit = visit(now);
    let mut session = manager.open(&browser.headers, &browser.recall, visit.address, now).await.ok()?;
    match kind {
        Kind::Write => session.record_changes(vec![Change::Increment("visits".into(), Step::Whole(1))]),
        Kind::Rotation => session.record_changes(vec![Change::Rotate]),
        _ => {}
    }
    let committed = manager.commit(session, visit, StatusCode::OK).await.ok()?;
    if let Some(line) = committed.set_cookie.first() {
        browser.headers = cookie(line)?;
    }
    Some(())
}

async fn sign_in(manager: &Manager, n: usize, now: Timestamp) -> Option<Browser> {
    let mut session = Session::default();
    session.sign_in(Identity::named(&format!("user{n:07}")), false);
    let committed = manager.commit(session, visit(now), StatusCode::OK).await.ok()?;
    Some(Browser { headers: cookie(committed.set_cookie.first()?)?, recall: Recall::default() })
}

fn manager() -> Option<Manager> {
    // A rotation is asked for where it is measured.
    let config = schema::Session { rotate_every: None, ..schema::Session::default() };
    let keyring = Keyring::from_config(&["k".repeat(32).into()], Path::new("/")).ok()?;
    Some(Manager::new(&config, Some(600), keyring, Arc::new(MemoryStore::new(1_000_000)), AtRest::Open))
}

fn visit(now: Timestamp) -> Visit<'static> {
    Visit { now, address: IpAddr::V4(Ipv4Addr::LOCALHOST), agent: None, https: true }
}

fn cookie(line: &HeaderValue) -> Option<HeaderMap> {
    let pair = line.to_str().ok()?.split(';').next()?;
    let mut headers = HeaderMap::new();
    headers.insert(http::header::COOKIE, pair.parse().ok()?);
    Some(headers)
}
