//! Sessions as the manager writes them, without the manager: envelopes and records of a realistic size.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use cloakroom::clock::Timestamp;
use cloakroom::store::{Entry, Error, Handle, Key, MemoryStore, Meta, Reply, Store};

/// What a record adds to the data of the app: kind, times, token secret (a test in `session::record` holds it).
const RECORD: usize = 28;

/// And a user of whom the name is known: that, since when, by whom, on what proof.
const IDENTITY: usize = 31;

const AGENTS: [&str; 5] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36",
];

/// Makes sessions; those of one browser version share its name.
pub struct Maker {
    agents: Vec<Arc<str>>,
    data: usize,
    percent_signed_in: u64,
}

impl Maker {
    pub fn new(data: usize, percent_signed_in: u64) -> Self {
        Self { agents: AGENTS.map(Into::into).into(), data, percent_signed_in }
    }

    pub fn entry(&self, n: u64, deadline: Timestamp) -> Entry {
        let signed_in = n % 100 < self.percent_signed_in;
        let meta = Meta {
            handle: Handle(mixed(n).to_ne_bytes()),
            user: signed_in.then(|| format!("user{n:07}").into()),
            created: Timestamp(n),
            address: Some(IpAddr::V4(Ipv4Addr::from_bits(n as u32))),
            agent: Some(Arc::clone(&self.agents[n as usize % self.agents.len()])),
            alias: false,
        };
        let identity = if signed_in { IDENTITY } else { 0 };
        Entry::new(meta, vec![n as u8; RECORD + identity + self.data].into(), Timestamp(n), deadline)
    }
}

/// Looks like a digest.
pub fn key(n: u64) -> Key {
    let mut key = [0; 32];
    for (part, word) in key.as_chunks_mut::<8>().0.iter_mut().zip(0..) {
        *part = mixed(n * 4 + word).to_ne_bytes();
    }
    Key(key)
}

/// SplitMix64.
pub fn mixed(n: u64) -> u64 {
    let n = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// The memory store answers at once.
pub fn now<T>(reply: Reply<'_, T>) -> Result<T, Error> {
    match reply {
        Reply::Now(answer) => answer,
        Reply::Later(_) => Err(Error::Unreachable("the memory store must answer at once".into())),
    }
}

/// A store of `count` sessions; the deadline is for each to choose.
pub fn filled(maker: &Maker, count: u64, deadline: impl Fn(u64) -> Timestamp) -> Result<MemoryStore, Error> {
    let store = MemoryStore::new(count as usize);
    for n in 0..count {
        now(store.create(key(n), maker.entry(n, deadline(n))))?;
    }
    Ok(store)
}
