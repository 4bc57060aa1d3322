//! The chunked coding of response bodies (RFC 9112 §7.1), read strictly: sizes, line ends, bounds.
//!
//! `framing` decodes with it. Extensions are dropped; trailers are handed on as they are, for `trailers`
//! to filter. It works on the bytes that are there and never waits.

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use super::framing::Piece;
use super::scan::Scanner;

/// Longest size line, extensions included.
const MAX_SIZE_LINE: usize = 4 * 1024;
/// Most bytes of extensions in one body: they cost us and serve nobody.
const MAX_EXTENSIONS: usize = 16 * 1024;
const MAX_TRAILERS: usize = 16 * 1024;
const MAX_TRAILER_LINES: usize = 100;
/// Hexadecimal digits of the largest size.
const MAX_DIGITS: usize = 16;

/// A body in the middle of being decoded.
#[derive(Debug, Default)]
pub(super) struct Chunked {
    state: State,
    extensions: usize,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Size,
    /// So much of the chunk is still to come.
    Data(u64),
    DataEnd,
    /// After the last chunk.
    Last,
    Trailers(Scanner),
    Done,
    Broken(&'static str),
}

impl Chunked {
    /// Takes the next piece off `buffer`; `None` asks for more bytes.
    pub(super) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Piece>, &'static str> {
        self.advance(buffer)?;
        match &mut self.state {
            State::Data(left) if !buffer.is_empty() => {
                let taken = buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                let data = buffer.split_to(taken).freeze();
                *left -= taken as u64;
                if *left == 0 {
                    self.state = State::DataEnd;
                    self.look_ahead(buffer);
                }
                Ok(Some(Piece::Data(data)))
            }
            State::Trailers(scanner) => {
                let trailers = read_trailers(scanner, buffer)?;
                if trailers.is_some() {
                    self.state = State::Done;
                }
                Ok(trailers.map(Piece::Trailers))
            }
            State::Done => Ok(Some(Piece::End)),
            _ => Ok(None),
        }
    }

    /// The body is at its end, trailers included.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// PERF: the end of a body mostly arrives with its last data. Then nothing waits for another turn, and
    /// the connection is free at once. What is wrong is told after the data before it.
    fn look_ahead(&mut self, buffer: &mut BytesMut) {
        if let Err(reason) = self.advance(buffer) {
            self.state = State::Broken(reason);
        }
    }

    /// Passes over what is between data.
    fn advance(&mut self, buffer: &mut BytesMut) -> Result<(), &'static str> {
        loop {
            let next = match self.state {
                State::Size => self.read_size(buffer)?,
                // SECURITY: anything but CRLF here means that two readers count this chunk differently.
                State::DataEnd => match line_end(buffer) {
                    Some(true) => Some(State::Size),
                    Some(false) => return Err("a chunk does not end with CRLF"),
                    None => None,
                },
                State::Last => {
                    line_end(buffer).map(|end| if end { State::Done } else { State::Trailers(Scanner::default()) })
                }
                State::Broken(reason) => return Err(reason),
                State::Data(_) | State::Trailers(_) | State::Done => None,
            };
            match next {
                Some(state) => self.state = state,
                None => return Ok(()),
            }
        }
    }

    fn read_size(&mut self, buffer: &mut BytesMut) -> Result<Option<State>, &'static str> {
        let window = &buffer[..buffer.len().min(MAX_SIZE_LINE)];
        let Some(end) = memchr::memchr(b'\n', window) else {
            return if window.len() == MAX_SIZE_LINE { Err("a chunk size line is too long") } else { Ok(None) };
        };
        // SECURITY: CRLF and nothing else; a bare LF ends the line for some readers and not for others.
        let line = window[..end].strip_suffix(b"\r").ok_or("a chunk size line ends with LF alone")?;
        let (size, extension) = parse_size_line(line).ok_or("a malformed chunk size")?;
        self.extensions += extension;
        if self.extensions > MAX_EXTENSIONS {
            return Err("too many chunk extensions");
        }
        buffer.advance(end + 1);
        Ok(Some(if size == 0 { State::Last } else { State::Data(size) }))
    }
}

/// The size, and how many bytes of extensions follow it.
// SECURITY: hexadecimal digits only: no sign, prefix, underscore or leading space; and no number that
// does not fit. White space may only stand before the end of the line or an extension.
fn parse_size_line(line: &[u8]) -> Option<(u64, usize)> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, rest) = line.split_at(digits);
    if digits.is_empty() || digits.len() > MAX_DIGITS {
        return None;
    }
    let extension = rest.trim_ascii_start();
    let harmless = rest.iter().all(|byte| *byte == b'\t' || (b' '..=b'~').contains(byte) || *byte >= 0x80);
    if !harmless || !(extension.is_empty() || extension.starts_with(b";")) {
        return None;
    }
    let size = digits.iter().fold(0, |size, digit| size << 4 | u64::from(hex(*digit)));
    Some((size, rest.len()))
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// Takes CRLF off the front: `false` when something else stands there, `None` when it cannot be said yet.
fn line_end(buffer: &mut BytesMut) -> Option<bool> {
    match &buffer[..] {
        [] | [b'\r'] => None,
        [b'\r', b'\n', ..] => {
            buffer.advance(2);
            Some(true)
        }
        _ => Some(false),
    }
}

fn read_trailers(scanner: &mut Scanner, buffer: &mut BytesMut) -> Result<Option<HeaderMap>, &'static str> {
    let found = scanner.scan(buffer).map_err(|_| "malformed trailers")?;
    if found.unwrap_or(buffer.len()) > MAX_TRAILERS {
        return Err("the trailers are too large");
    }
    let Some(end) = found else { return Ok(None) };
    let bytes = buffer.split_to(end).freeze();
    parse_trailers(&bytes).map(Some).ok_or("malformed trailers")
}

fn parse_trailers(bytes: &Bytes) -> Option<HeaderMap> {
    let mut lines = [httparse::EMPTY_HEADER; MAX_TRAILER_LINES];
    let Ok(httparse::Status::Complete((_, lines))) = httparse::parse_headers(bytes, &mut lines) else { return None };
    let mut trailers = HeaderMap::with_capacity(lines.len());
    for line in lines {
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(line.value)).ok()?;
        trailers.append(HeaderName::from_bytes(line.name.as_bytes()).ok()?, value);
    }
    Some(trailers)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Data, trailers, what is left over.
    type Decoded = (Vec<u8>, Option<HeaderMap>, Vec<u8>);

    /// All that can be decoded when the bytes come `cut` at a time.
    fn decode(bytes: &[u8], cut: usize) -> Result<Option<Decoded>, &'static str> {
        let (mut chunked, mut buffer) = (Chunked::default(), BytesMut::new());
        let (mut data, mut trailers) = (Vec::new(), None);
        let mut pieces = bytes.chunks(cut.max(1));
        loop {
            match chunked.decode(&mut buffer)? {
                Some(Piece::Data(piece)) => {
                    assert!(!piece.is_empty());
                    data.extend_from_slice(&piece);
                }
                Some(Piece::Trailers(found)) => trailers = Some(found),
                Some(Piece::End) => {
                    pieces.for_each(|piece| buffer.extend_from_slice(piece));
                    return Ok(Some((data, trailers, buffer.to_vec())));
                }
                None => match pieces.next() {
                    Some(piece) => buffer.extend_from_slice(piece),
                    None => return Ok(None),
                },
            }
        }
    }

    fn data(text: &str) -> Result<Option<String>, &'static str> {
        Ok(decode(text.as_bytes(), usize::MAX)?.map(|(data, ..)| String::from_utf8(data).unwrap()))
    }

    #[test]
    fn sizes_are_plain_hexadecimal() {
        for size in ["a", "A", "00a", "000000000000000a", "a ", "a\t ", "a;x=y", "a ;x=\"\u{e9};\"", "a;"] {
            assert_eq!(data(&format!("{size}\r\n0123456789\r\n0\r\n\r\n")), Ok(Some("0123456789".into())), "{size:?}");
        }
        for size in [
            "0xa",
            "+a",
            "-a",
            "0_a",
            " a",
            "\ta",
            "",
            " ",
            ";x",
            "a x",
            "a,",
            "ag",
            "\u{b}a",
            "a\u{b}",
            "a\0",
            "a;\0",
            "a;x\ry",
            "0000000000000000a",
            "1ffffffffffffffff",
            "10000000000000000",
        ] {
            assert!(data(&format!("{size}\r\n0123456789\r\n0\r\n\r\n")).is_err(), "{size:?}");
        }
    }

    #[test]
    fn the_largest_size_is_no_overflow() {
        assert_eq!(data("ffffffffffffffff\r\nabc"), Ok(None));
    }

    #[test]
    fn every_line_ends_with_crlf_and_nothing_else() {
        for text in [
            "1\na\r\n0\r\n\r\n",
            "1;x\na\r\n0\r\n\r\n",
            "1\r\r\na\r\n0\r\n\r\n",
            "1\r\na\n0\r\n\r\n",
            "1\r\naXX0\r\n\r\n",
            "1\r\naa\r\n0\r\n\r\n",
            "1\r\na\r\r\n0\r\n\r\n",
            "1\r\na\r\n0\n\r\n",
            "1\r\na\r\n0\r\n\n",
            "0\r\nX: y\n\r\n",
            "0\r\nX: y\r\n\n",
        ] {
            assert!(data(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_body_ends_at_its_empty_line_and_not_before() {
        let text = "3\r\nabc\r\n0\r\n\r\nextra";
        for end in 0..13 {
            assert_eq!(data(&text[..end]), Ok(None), "{end}");
        }
        assert_eq!(decode(text.as_bytes(), 1), Ok(Some((b"abc".to_vec(), None, b"extra".to_vec()))));
    }

    #[test]
    fn the_end_that_came_with_the_last_data_is_seen_at_once() {
        let (mut chunked, mut buffer) = (Chunked::default(), BytesMut::from(&b"3\r\nabc\r\n0\r\n\r\n"[..]));
        assert!(matches!(chunked.decode(&mut buffer), Ok(Some(Piece::Data(_)))));
        assert!(chunked.is_done() && buffer.is_empty());
    }

    #[test]
    fn what_is_wrong_is_told_after_the_data_before_it() {
        let (mut chunked, mut buffer) = (Chunked::default(), BytesMut::from(&b"3\r\nabcXX"[..]));
        assert!(matches!(chunked.decode(&mut buffer), Ok(Some(Piece::Data(_)))));
        assert!(chunked.decode(&mut buffer).is_err());
    }

    #[test]
    fn trailers_are_bounded_and_strict() {
        let decoded = decode(b"0\r\nX-Sum: 7\r\nA: b\r\n\r\n", 1).unwrap().unwrap();
        let trailers = decoded.1.unwrap();
        assert_eq!((trailers.len(), &trailers["x-sum"]), (2, &HeaderValue::from_static("7")));
        let long = format!("X: {}", "y".repeat(MAX_TRAILERS));
        let many = "X: y\r\n".repeat(MAX_TRAILER_LINES) + "X: y";
        for line in ["X : y", " X: y", "X: y\r\n z", "nothing", "X: a\0", "X: a\u{1}", &*long, &*many] {
            assert!(data(&format!("0\r\n{line}\r\n\r\n")).is_err(), "{line:.40?}");
        }
    }

    #[test]
    fn extensions_are_bounded_in_a_line_and_in_a_body() {
        let chunk = |extension: usize| format!("1;{}\r\na\r\n", "x".repeat(extension));
        assert!(data(&(chunk(MAX_SIZE_LINE) + "0\r\n\r\n")).is_err());
        assert!(data(&(chunk(1000).repeat(16) + "0\r\n\r\n")).is_ok());
        assert!(data(&(chunk(1000).repeat(17) + "0\r\n\r\n")).is_err());
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same(
            chunks in prop::collection::vec("[a-z]{1,20}", 0..6),
            trailers in prop::collection::vec("x-[a-z]{1,4}: [a-z]{0,4}\r\n", 0..3),
            cut in 1_usize..40,
        ) {
            let coded: String = chunks.iter().map(|chunk| format!("{:x};e\r\n{chunk}\r\n", chunk.len())).collect();
            let text = format!("{coded}0\r\n{}\r\nleft", trailers.concat());
            let decoded = decode(text.as_bytes(), cut).unwrap().unwrap();
            prop_assert_eq!(&decoded, &decode(text.as_bytes(), usize::MAX).unwrap().unwrap());
            prop_assert_eq!(decoded.0, chunks.concat().into_bytes());
            prop_assert_eq!(decoded.1.map_or(0, |map| map.len()), trailers.len());
            prop_assert_eq!(decoded.2, b"left");
        }

        #[test]
        fn no_bytes_make_it_panic_and_no_cut_changes_the_verdict(text in "([0-9a-fx;: ]{0,3}|\r\n|\n|\r){0,12}", cut in 1_usize..5) {
            prop_assert_eq!(decode(text.as_bytes(), cut).is_err(), decode(text.as_bytes(), usize::MAX).is_err());
        }

        #[test]
        fn arbitrary_bytes_do_not_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 1_usize..50) {
            let _ = decode(&bytes, cut);
        }
    }
}
