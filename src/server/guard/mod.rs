//! A strict reader of HTTP/1.1 request framing that sees every byte before hyper does.
//!
//! `server::io` feeds it each read. hyper lets pass what two parsers may read differently (bare LF,
//! both lengths, repeated lengths, odd transfer codings); here such a byte becomes NUL, so that
//! hyper's own parser refuses the request. Valid requests pass unchanged, and nothing is buffered.
//!
//! **The pact on upgrades.** After a head with an `Upgrade` field the bytes may be another protocol,
//! so the guard looks at none of them any more. `server::http1` therefore closes the connection
//! after every answer to such a request but 101: nothing behind it is ever read as a request.

mod chunked;
mod fields;
#[cfg(test)]
mod tests;
mod value;
mod violation;

use memchr::memchr;

use chunked::Chunked;
use fields::{Field, NameWindow};
use value::{CodingValue, LengthValue};
pub use violation::{Phase, Violation};

/// A violation and the place of its byte in the slice at hand.
#[derive(Debug)]
struct Stop {
    at: usize,
    why: Violation,
}

fn stop<T>(at: usize, why: Violation) -> Result<T, Stop> {
    Err(Stop { at, why })
}

#[derive(Debug, Clone, Copy)]
enum State {
    Start,
    StartLf,
    Method,
    TargetStart,
    Target,
    /// How many bytes of `HTTP/1.x CR LF` were seen.
    Version(u8),
    FieldStart,
    FieldName,
    /// A value nobody here reads; whether its last byte so far was CR.
    Value(bool),
    Length(LengthValue),
    Coding(CodingValue),
    HeadLf,
    Body(u64),
    Chunked(Chunked),
    Opaque,
    Refused,
}

/// What the head in progress has said so far.
#[derive(Debug, Clone, Copy, Default)]
struct Head {
    line: usize,
    http_11: bool,
    host: bool,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
}

/// The tracker of one connection.
#[derive(Debug)]
pub struct Guard {
    state: State,
    head: Head,
    name: NameWindow,
    heads: u64,
    line_limit: usize,
    verdict: Option<Violation>,
    in_body: bool,
}

impl Guard {
    /// A guard for a fresh connection; a request line of more than `line_limit` bytes is refused.
    #[must_use]
    pub fn new(line_limit: usize) -> Self {
        Self {
            state: State::Start,
            head: Head::default(),
            name: NameWindow::default(),
            heads: 0,
            line_limit,
            verdict: None,
            in_body: false,
        }
    }

    /// Looks at the next bytes of the stream and says how many of them may pass.
    ///
    /// Fewer than all means a violation: the last of those that pass has become NUL, the rest must be
    /// thrown away, and nothing may pass from then on (later calls answer 0).
    pub fn inspect(&mut self, bytes: &mut [u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            match self.advance(&bytes[at..]) {
                Ok(used) => at += used,
                Err(stop) => {
                    // A refused guard stays refused for the reason it first had.
                    let Some(poisoned) = self.refuse(stop.why).then_some(at + stop.at) else { return 0 };
                    bytes[poisoned] = 0;
                    return poisoned + 1;
                }
            }
        }
        at
    }

    /// Why the stream was refused, if it was.
    #[must_use]
    pub fn verdict(&self) -> Option<Violation> {
        self.verdict
    }

    /// Whether the violation lies in a head: then hyper still has to answer it.
    #[must_use]
    pub fn refused_in_head(&self) -> bool {
        self.verdict.is_some() && !self.in_body
    }

    /// Where the bytes seen so far end.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Start | State::StartLf => Phase::Idle,
            State::Body(_) | State::Chunked(_) => Phase::Body,
            State::Opaque => Phase::Opaque,
            State::Refused => Phase::Refused,
            _ => Phase::Head,
        }
    }

    /// How many complete heads went by.
    #[must_use]
    pub fn heads(&self) -> u64 {
        self.heads
    }

    fn refuse(&mut self, why: Violation) -> bool {
        let first = self.verdict.is_none();
        self.in_body |= first && self.phase() == Phase::Body;
        self.verdict.get_or_insert(why);
        self.state = State::Refused;
        first
    }

    /// Reads as far as the present state reaches into `rest`, which is not empty.
    fn advance(&mut self, rest: &[u8]) -> Result<usize, Stop> {
        match self.state {
            State::Start => self.start(rest[0]),
            State::StartLf => self.expect_lf(rest[0], State::Start),
            State::Method => self.method(rest),
            State::TargetStart => self.target_start(rest[0]),
            State::Target => self.target(rest),
            State::Version(seen) => self.version(seen, rest[0]),
            State::FieldStart => self.field_start(rest[0]),
            State::FieldName => self.field_name(rest),
            State::Value(after_cr) => self.value(after_cr, rest),
            State::Length(value) => self.length(value, rest[0]),
            State::Coding(value) => self.coding(value, rest[0]),
            State::HeadLf => self.head_end(rest[0]),
            State::Body(left) => Ok(self.body(left, rest.len())),
            State::Chunked(body) => self.chunked(body, rest),
            State::Opaque => Ok(rest.len()),
            State::Refused => stop(0, Violation::RequestLine),
        }
    }

    /// RFC 9112 §2.2: empty lines before a request are ignored.
    fn start(&mut self, byte: u8) -> Result<usize, Stop> {
        match byte {
            b'\r' => self.go(State::StartLf, 1),
            b'\n' => stop(0, Violation::BareLf),
            b' ' => stop(0, Violation::RequestLine),
            _ => {
                self.head = Head::default();
                self.go(State::Method, 0)
            }
        }
    }

    fn method(&mut self, rest: &[u8]) -> Result<usize, Stop> {
        let room = self.line_room(rest)?;
        match room.iter().position(|byte| !byte.is_ascii_graphic()) {
            None => self.keep_line(room.len()),
            Some(at) if room[at] == b' ' => {
                self.head.line += at + 1;
                self.go(State::TargetStart, at + 1)
            }
            Some(at) if room[at] == b'\n' => stop(at, Violation::BareLf),
            Some(at) => stop(at, Violation::RequestLine),
        }
    }

    fn target_start(&mut self, byte: u8) -> Result<usize, Stop> {
        match byte {
            b' ' | b'\t' => stop(0, Violation::RequestLine),
            _ => self.go(State::Target, 0),
        }
    }

    fn target(&mut self, rest: &[u8]) -> Result<usize, Stop> {
        let room = self.line_room(rest)?;
        // SECURITY: `#` is refused here because hyper drops a fragment before anybody can see it (PA-06).
        match room.iter().position(|byte| !byte.is_ascii_graphic() || *byte == b'#') {
            None => self.keep_line(room.len()),
            Some(at) if room[at] == b' ' => self.go(State::Version(0), at + 1),
            Some(at) => stop(at, Violation::Target),
        }
    }

    /// What of `rest` still fits into the request line.
    fn line_room<'a>(&self, rest: &'a [u8]) -> Result<&'a [u8], Stop> {
        match self.line_limit.saturating_sub(self.head.line) {
            0 => stop(0, Violation::TargetTooLong),
            room => Ok(&rest[..rest.len().min(room)]),
        }
    }

    fn keep_line(&mut self, used: usize) -> Result<usize, Stop> {
        self.head.line += used;
        Ok(used)
    }

    fn version(&mut self, seen: u8, byte: u8) -> Result<usize, Stop> {
        const PREFIX: &[u8] = b"HTTP/1.";
        let expected = match seen {
            7 => {
                self.head.http_11 = byte == b'1';
                matches!(byte, b'0' | b'1')
            }
            8 => byte == b'\r',
            9 => return self.expect_lf(byte, State::FieldStart),
            _ => PREFIX.get(usize::from(seen)) == Some(&byte),
        };
        match (expected, byte) {
            (true, _) => self.go(State::Version(seen + 1), 1),
            (false, b'\n') => stop(0, Violation::BareLf),
            (false, _) => stop(0, Violation::Version),
        }
    }

    fn field_start(&mut self, byte: u8) -> Result<usize, Stop> {
        match byte {
            b'\r' => self.go(State::HeadLf, 1),
            b'\n' => stop(0, Violation::BareLf),
            b' ' | b'\t' => stop(0, Violation::ObsFold),
            b':' => stop(0, Violation::FieldName),
            _ => {
                self.name = NameWindow::default();
                self.go(State::FieldName, 0)
            }
        }
    }

    fn field_name(&mut self, rest: &[u8]) -> Result<usize, Stop> {
        let end = rest.iter().position(|byte| !byte.is_ascii_graphic() || *byte == b':');
        self.name.extend(&rest[..end.unwrap_or(rest.len())]);
        match end {
            None => Ok(rest.len()),
            Some(at) if rest[at] == b':' => {
                self.state = self.begin_value().or_else(|why| stop(at, why))?;
                Ok(at + 1)
            }
            Some(at) if rest[at] == b'\n' => stop(at, Violation::BareLf),
            Some(at) => stop(at, Violation::FieldName),
        }
    }

    fn begin_value(&mut self) -> Result<State, Violation> {
        match self.name.field() {
            Field::Host if self.head.host => return Err(Violation::RepeatedHost),
            Field::Host => self.head.host = true,
            Field::ContentLength if self.head.length.is_some() => return Err(Violation::RepeatedContentLength),
            Field::ContentLength => return Ok(State::Length(LengthValue::default())),
            Field::TransferEncoding if self.head.chunked => return Err(Violation::TransferEncoding),
            Field::TransferEncoding if !self.head.http_11 => return Err(Violation::TransferEncodingIn10),
            Field::TransferEncoding => return Ok(State::Coding(CodingValue::default())),
            Field::Upgrade => self.head.upgrade = true,
            Field::Other => {}
        }
        Ok(State::Value(false))
    }

    /// Skips to the end of a line nobody here reads. A lone CR or NUL in it is hyper's to refuse.
    fn value(&mut self, after_cr: bool, rest: &[u8]) -> Result<usize, Stop> {
        let Some(lf) = memchr(b'\n', rest) else {
            return self.go(State::Value(rest.last() == Some(&b'\r')), rest.len());
        };
        let crlf = if lf == 0 { after_cr } else { rest[lf - 1] == b'\r' };
        // SECURITY: hyper takes a bare LF for a line end, others take it for part of the value (FR-10).
        if crlf { self.go(State::FieldStart, lf + 1) } else { stop(lf, Violation::BareLf) }
    }

    fn length(&mut self, mut value: LengthValue, byte: u8) -> Result<usize, Stop> {
        match value.push(byte) {
            Ok(None) => self.go(State::Length(value), 1),
            Ok(Some(length)) => {
                self.head.length = Some(length);
                self.go(State::FieldStart, 1)
            }
            Err(why) => stop(0, why),
        }
    }

    fn coding(&mut self, mut value: CodingValue, byte: u8) -> Result<usize, Stop> {
        match value.push(byte) {
            Ok(false) => self.go(State::Coding(value), 1),
            Ok(true) => {
                self.head.chunked = true;
                self.go(State::FieldStart, 1)
            }
            Err(why) => stop(0, why),
        }
    }

    fn head_end(&mut self, byte: u8) -> Result<usize, Stop> {
        let head = self.head;
        let why = match byte {
            b'\n' if head.http_11 && !head.host => Violation::NoHost,
            // SECURITY: hyper would take it as chunked and drop the length (FR-01).
            b'\n' if head.chunked && head.length.is_some() => Violation::BothLengths,
            b'\n' => {
                self.heads += 1;
                return self.go(after_head(head), 1);
            }
            _ => Violation::LoneCr,
        };
        stop(0, why)
    }

    fn body(&mut self, left: u64, have: usize) -> usize {
        let used = usize::try_from(left).map_or(have, |left| left.min(have));
        let left = left - used as u64;
        self.state = if left == 0 { State::Start } else { State::Body(left) };
        used
    }

    fn chunked(&mut self, mut body: Chunked, rest: &[u8]) -> Result<usize, Stop> {
        let (used, ended) = body.advance(rest)?;
        self.go(if ended { State::Start } else { State::Chunked(body) }, used)
    }

    fn expect_lf(&mut self, byte: u8, next: State) -> Result<usize, Stop> {
        if byte == b'\n' { self.go(next, 1) } else { stop(0, Violation::LoneCr) }
    }

    fn go(&mut self, state: State, used: usize) -> Result<usize, Stop> {
        self.state = state;
        Ok(used)
    }
}

fn after_head(head: Head) -> State {
    match head.length {
        _ if head.upgrade => State::Opaque,
        _ if head.chunked => State::Chunked(Chunked::default()),
        Some(length) if length > 0 => State::Body(length),
        _ => State::Start,
    }
}
