//! A `Set-Cookie` line taken apart where browsers take it apart (RFC 6265bis §5.6), nothing yet understood.
//!
//! [`read`](super::read) and [`harden`](super::harden()) share it: what the one stores and what the other mends is the same
//! to both.

/// What is longer than this is ignored, as if it were not there.
const LONGEST_VALUE: usize = 1024;

/// One attribute, recognised or not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attribute<'l> {
    /// All between two semicolons.
    pub raw: &'l [u8],
    pub value: &'l [u8],
    name: &'l [u8],
}

impl Attribute<'_> {
    /// Whether it is called `name`; no attribute that browsers ignore for its length is called anything.
    pub fn is(&self, name: &str) -> bool {
        self.value.len() <= LONGEST_VALUE && self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// What stands before the first semicolon, and the attributes behind it.
pub(super) fn split(line: &[u8]) -> (&[u8], impl Iterator<Item = Attribute<'_>> + Clone) {
    let mut parts = line.split(|byte| *byte == b';');
    (parts.next().unwrap_or_default(), parts.map(attribute))
}

/// Name and value of the cookie, trimmed; the name is empty when there is no `=`.
pub(super) fn name_and_value(pair: &[u8]) -> (&[u8], &[u8]) {
    match pair.iter().position(|byte| *byte == b'=') {
        Some(at) => (trim(&pair[..at]), trim(&pair[at + 1..])),
        None => (b"", trim(pair)),
    }
}

fn attribute(raw: &[u8]) -> Attribute<'_> {
    match raw.iter().position(|byte| *byte == b'=') {
        Some(at) => Attribute { raw, name: trim(&raw[..at]), value: trim(&raw[at + 1..]) },
        None => Attribute { raw, name: trim(raw), value: b"" },
    }
}

// SECURITY: space and tab alone; whoever trims more sees other names than browsers do.
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}
