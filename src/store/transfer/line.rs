//! One line of an export: an entry as JSON, and back.

use std::net::IpAddr;
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Serialize};

use super::super::{Entry, Key, Meta};
use crate::clock::Timestamp;

const FORMAT: &str = "cloakroom-sessions";
const VERSION: u32 = 1;

/// Why a line is no entry. Says nothing of what stands there.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Broken {
    /// Not this program's kind of file.
    #[error(r#"this is no export of sessions: it does not begin with {{"format":"cloakroom-sessions","version":1}}"#)]
    Format,
    /// Of another version of this program.
    #[error("the file is of version {0}, and this program reads version 1")]
    Version(u32),
    /// Not JSON, or not these fields.
    #[error("not an entry: {0}")]
    Json(String),
    /// A field with the wrong content.
    #[error("`{0}` is not {1}")]
    Field(&'static str, &'static str),
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
    version: u32,
}

/// An entry. Fields that a later version may add are not known to this one, which then refuses the line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    /// The store key: base64 of 32 bytes.
    key: String,
    /// The session's public name: 16 hexadecimal digits.
    handle: String,
    user: Option<String>,
    created: Option<u64>,
    last_seen: Option<u64>,
    /// When it ends if nobody uses it.
    deadline: Option<u64>,
    address: Option<IpAddr>,
    agent: Option<String>,
    /// Leads from a replaced id to its successor.
    alias: bool,
    /// Counts the writes.
    version: u64,
    /// The sealed record: base64.
    data: String,
}

pub(super) fn header() -> String {
    json(&Header { format: FORMAT.into(), version: VERSION })
}

pub(super) fn check_header(line: &[u8]) -> Result<(), Broken> {
    let header: Header = serde_json::from_slice(line).map_err(|_| Broken::Format)?;
    match (header.format.as_str(), header.version) {
        (FORMAT, VERSION) => Ok(()),
        (FORMAT, version) => Err(Broken::Version(version)),
        _ => Err(Broken::Format),
    }
}

pub(super) fn write(key: &Key, entry: &Entry) -> String {
    let meta = &entry.meta;
    json(&Line {
        key: BASE64_STANDARD.encode(key.0),
        handle: meta.handle.to_string(),
        user: meta.user.as_deref().map(str::to_owned),
        created: written(meta.created),
        last_seen: written(entry.last_seen()),
        deadline: written(entry.deadline()),
        address: meta.address,
        agent: meta.agent.as_deref().map(str::to_owned),
        alias: meta.alias,
        version: entry.version(),
        data: BASE64_STANDARD.encode(entry.bytes()),
    })
}

pub(super) fn read(line: &[u8]) -> Result<(Key, Entry), Broken> {
    let line: Line = serde_json::from_slice(line).map_err(|error| Broken::Json(reason(&error)))?;
    let decode = |text: &str| BASE64_STANDARD.decode(text).ok();
    let key =
        decode(&line.key).and_then(|key| key.try_into().ok()).ok_or(Broken::Field("key", "base64 of 32 bytes"))?;
    let data = decode(&line.data).ok_or(Broken::Field("data", "base64"))?;
    let handle = line.handle.parse().map_err(|_| Broken::Field("handle", "16 hexadecimal digits"))?;
    let meta = Meta {
        handle,
        user: line.user.map(Into::into),
        created: time(line.created),
        address: line.address,
        agent: line.agent.map(Arc::from),
        alias: line.alias,
    };
    Ok((Key(key), Entry::restored(meta, data.into(), time(line.last_seen), time(line.deadline), line.version)))
}

fn json(line: &impl Serialize) -> String {
    // Plain structs with string keys always serialise.
    serde_json::to_string(line).unwrap_or_default()
}

/// SECURITY: the place and the kind of the mistake, but none of the text.
fn reason(error: &serde_json::Error) -> String {
    match error.classify() {
        serde_json::error::Category::Eof => "the line ends too early".into(),
        serde_json::error::Category::Data => "a field is missing, unknown, or of the wrong type".into(),
        _ => format!("not JSON at column {}", error.column()),
    }
}

/// JSON numbers beyond 2^53 do not survive every tool.
fn written(time: Timestamp) -> Option<u64> {
    Some(time.0).filter(|time| *time != u64::MAX)
}

fn time(written: Option<u64>) -> Timestamp {
    Timestamp(written.unwrap_or(u64::MAX))
}
