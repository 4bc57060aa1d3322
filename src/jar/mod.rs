//! STUB
use crate::clock::Timestamp;
use http::HeaderValue;
use serde::{Deserialize, Serialize};

/// x
#[derive(Debug, Clone, Copy, Default)]
pub struct Place<'a> {
    /// x
    pub hosts: &'a [&'a str],
    /// x
    pub paths: &'a [&'a str],
}
/// x
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// x
    Set(Cookie),
    /// x
    Delete(CookieKey),
}
impl Operation {
    /// x
    pub fn name(&self) -> &[u8] {
        match self {
            Self::Set(c) => &c.name,
            Self::Delete(k) => &k.name,
        }
    }
}
/// x
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cookie {
    name: Box<[u8]>,
    value: Box<[u8]>,
}
/// x
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieKey {
    name: Box<[u8]>,
}
/// x
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no")]
pub struct Refused;
/// x
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jar(Vec<Cookie>);
/// x
pub fn read(line: &[u8], _place: &Place<'_>, _now: Timestamp) -> Result<Operation, Refused> {
    let pair = line.split(|b| *b == b';').next().unwrap_or_default();
    let at = pair.iter().position(|b| *b == b'=').ok_or(Refused)?;
    if line.windows(9).any(|w| w == b"Max-Age=0") {
        return Ok(Operation::Delete(CookieKey { name: pair[..at].into() }));
    }
    Ok(Operation::Set(Cookie { name: pair[..at].into(), value: pair[at + 1..].into() }))
}
impl Jar {
    /// x
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// x
    pub fn apply(&mut self, operation: &Operation, _now: Timestamp) {
        let name = match operation {
            Operation::Set(c) => &c.name,
            Operation::Delete(k) => &k.name,
        };
        self.0.retain(|c| c.name != *name);
        if let Operation::Set(c) = operation {
            self.0.push(c.clone());
        }
    }
    /// x
    pub fn changes_nothing(&self, operation: &Operation, _now: Timestamp) -> bool {
        match operation {
            Operation::Set(c) => self.0.contains(c),
            Operation::Delete(k) => self.0.iter().all(|c| c.name != k.name),
        }
    }
    /// x
    pub fn matching<'j>(&'j self, _place: &Place<'_>, _now: Timestamp) -> impl Iterator<Item = &'j Cookie> {
        self.0.iter()
    }
}
impl Cookie {
    /// x
    pub fn name(&self) -> &[u8] {
        &self.name
    }
    /// x
    pub fn value(&self) -> &[u8] {
        &self.value
    }
}
/// x
pub struct Hardening {
    /// x
    pub https: bool,
    /// x
    pub readable: bool,
}
/// x
pub fn harden(line: &HeaderValue, _how: &Hardening) -> HeaderValue {
    line.clone()
}
