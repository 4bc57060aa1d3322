//! Header lines written as the wire has them, for what the gateway itself says to an app.
//!
//! PERF: what follows from a connection or a session is written once and copied into each request as one piece,
//! where a `HeaderMap` would hash, allocate and drop every line. SECURITY: a line is made of a `HeaderName` and a
//! `HeaderValue` only, so none can end early; and names that stand here were taken out of the request before.

use std::io::Write as _;

use http::header::{HeaderName, HeaderValue};

/// Some header lines, each with its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderLines(Vec<u8>);

impl HeaderLines {
    /// None yet, with room for `bytes`.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Adds a line.
    pub fn push(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.0.extend_from_slice(name.as_str().as_bytes());
        self.0.extend_from_slice(b": ");
        self.0.extend_from_slice(value.as_bytes());
        self.0.extend_from_slice(b"\r\n");
    }

    /// Adds a line with a number.
    pub fn push_number(&mut self, name: &HeaderName, number: u16) {
        self.0.extend_from_slice(name.as_str().as_bytes());
        // Writing to a `Vec` does not fail.
        let _ = write!(self.0, ": {number}\r\n");
    }

    /// Adds a line with text; left out when the text cannot be a header value.
    pub fn push_text(&mut self, name: &HeaderName, text: &str) {
        if let Ok(value) = HeaderValue::from_str(text) {
            self.push(name, &value);
        }
    }

    /// Adds a line of several parts, each a piece of a header value; no line when there are none.
    pub(super) fn push_joined<'a>(
        &mut self,
        name: &HeaderName,
        separator: &[u8],
        parts: impl Iterator<Item = &'a [u8]>,
    ) {
        let mut first = true;
        for part in parts {
            match first {
                true => {
                    self.0.extend_from_slice(name.as_str().as_bytes());
                    self.0.extend_from_slice(b": ");
                }
                false => self.0.extend_from_slice(separator),
            }
            first = false;
            self.0.extend_from_slice(part);
        }
        if !first {
            self.0.extend_from_slice(b"\r\n");
        }
    }

    /// Adds lines that were written before.
    pub fn append(&mut self, lines: &Self) {
        self.0.extend_from_slice(&lines.0);
    }

    /// The lines as they go out.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
pub(crate) fn parsed(lines: &HeaderLines) -> http::HeaderMap {
    let text = std::str::from_utf8(lines.as_bytes()).unwrap();
    let pair = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
    };
    text.split_terminator("\r\n").map(pair).collect()
}
