//! A session that travels: sealed into the cookie, for gateways that keep nothing.
//!
//! Used by `manager::traveling`. Only this gateway's keys make or open a cookie (AES-256-GCM under a key of its own
//! for each message, RFC 5116 and 5869); whether the session was ended meanwhile is asked elsewhere (`denials`).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::chunks;
use super::cookie::SessionCookie;
use super::id::{Id, NoRandomness, random_bytes};
use super::record::{Record, Stored};
use super::seal::SealKey;
use crate::clock::Timestamp;
use crate::store::{Entry, Handle, Meta};

const VERSION: u8 = 1;

/// Salt, nonce and tag.
const SEAL: usize = 12 + 12 + 16;

/// The envelope without the name of the browser: see `tests::the_envelope_is_never_longer`.
const LONGEST_ENVELOPE: usize = 1 + 32 + 8 + 5 * 10 + 1 + 17 + 1;

/// A session as a cookie brings it.
#[derive(Debug)]
pub(super) struct Traveler {
    pub id: Id,
    pub meta: Meta,
    pub record: Record,
    pub last_seen: Timestamp,
    pub version: u64,
    /// Whatever the policy says by now, it ends here.
    pub ends: Timestamp,
    /// It was sealed with a key that is not the first any more.
    pub by_an_older_key: bool,
}

/// Seals sessions into cookies, and opens them.
#[derive(Debug)]
pub(super) struct Sealer {
    keys: Box<[SealKey]>,
    /// Characters of a cookie's value.
    room: usize,
}

#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    id: [u8; 32],
    handle: [u8; 8],
    created: Timestamp,
    last_seen: Timestamp,
    ends: Timestamp,
    version: u64,
    address: Option<IpAddr>,
    agent: Option<&'a str>,
}

impl Sealer {
    /// For cookies like `cookie`, with the first of `keys`.
    #[must_use]
    pub fn new(keys: &[SealKey], cookie: &SessionCookie) -> Self {
        let longest_name = cookie.renamed(&chunks::name(cookie.name(), chunks::MOST));
        let line = longest_name.set_value("", Duration::MAX, Some(true), true);
        let room = chunks::LONGEST_LINE.saturating_sub(line.map_or(chunks::LONGEST_LINE, |line| line.len()));
        Self { keys: keys.into(), room }
    }

    /// Whether a cookie has room for this.
    #[must_use]
    pub fn has_room_for(&self, record: &Record) -> bool {
        let bytes = SEAL + LONGEST_ENVELOPE + record.encode().len();
        text_length(bytes) <= chunks::capacity(self.room)
    }

    /// The values of the cookie's pieces; `None` when it would be too long.
    ///
    /// # Errors
    /// [`NoRandomness`].
    // SECURITY: never compressed: what an app keeps and what a visitor makes it keep would share one stream, and the
    // length of the cookie would tell how alike they are (CRIME, BREACH).
    pub fn seal(
        &self,
        name: &str,
        id: &Id,
        entry: &Entry,
        ends: Timestamp,
    ) -> Result<Option<Vec<String>>, NoRandomness> {
        let record = entry.bytes();
        let mut content = self.content(id, entry, ends, entry.meta.agent.as_deref(), &record);
        if text_length(SEAL + content.len()) >= self.room {
            // The browser's name is worth no second cookie.
            content = self.content(id, entry, ends, None, &record);
        }
        let key = self.keys.first().ok_or(NoRandomness)?;
        let salt: [u8; 12] = random_bytes()?;
        let sealed = key.of_message(&salt).ok_or(NoRandomness)?.seal(name.as_bytes(), &content)?;
        let text = URL_SAFE_NO_PAD.encode([&salt, sealed.as_slice()].concat());
        Ok(chunks::split(&text, self.room))
    }

    fn content(
        &self,
        id: &Id,
        entry: &Entry,
        ends: Timestamp,
        agent: Option<&str>,
        record: &[u8],
    ) -> Zeroizing<Vec<u8>> {
        let Meta { handle, created, address, .. } = entry.meta;
        let mut own = [0; 32];
        own.copy_from_slice(id.reveal().as_bytes());
        let (last_seen, version) = (entry.last_seen(), entry.version());
        let envelope = Envelope { id: own, handle: handle.0, created, last_seen, ends, version, address, agent };
        // Room for all of it, so that no copy is left behind where it would have grown.
        let mut bytes = Vec::with_capacity(LONGEST_ENVELOPE + agent.map_or(0, str::len) + 2 + record.len());
        bytes.push(VERSION);
        // Plain data always serialises into a growing buffer; what were cut short would open as no session.
        bytes = postcard::to_extend(&envelope, bytes).unwrap_or_default();
        bytes.extend(record);
        Zeroizing::new(bytes)
    }

    /// What was sealed under this cookie name, with any of the keys.
    #[must_use]
    pub fn open(&self, name: &str, text: &[u8]) -> Option<Traveler> {
        let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (salt, sealed) = sealed.split_first_chunk::<12>()?;
        let open = |key: &SealKey| key.of_message(salt)?.open(name.as_bytes(), sealed);
        let (place, content) = self.keys.iter().enumerate().find_map(|(place, key)| Some((place, open(key)?)))?;
        let mut traveler = Traveler::decode(&content)?;
        traveler.by_an_older_key = place > 0;
        Some(traveler)
    }
}

impl Traveler {
    fn decode(content: &[u8]) -> Option<Self> {
        let [VERSION, rest @ ..] = content else { return None };
        let (envelope, rest) = postcard::take_from_bytes::<Envelope<'_>>(rest).ok()?;
        let Stored::Session(record) = Stored::decode(rest, || None)? else { return None };
        let Envelope { id, handle, created, last_seen, ends, version, address, agent } = envelope;
        let meta = Meta {
            handle: Handle(handle),
            user: record.identity.as_ref().map(|identity| identity.user.clone()),
            created,
            address,
            agent: agent.map(Arc::from),
            alias: false,
        };
        Some(Self { id: Id::parse(&id)?, meta, record, last_seen, version, ends, by_an_older_key: false })
    }

    /// As the table takes it.
    #[must_use]
    pub fn entry(&self, deadline: Timestamp) -> Entry {
        Entry::restored(self.meta.clone(), self.record.encode(), self.last_seen, deadline, self.version)
    }
}

/// Characters of base64 without padding.
fn text_length(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

#[cfg(test)]
mod tests;
