//! How long a response body is (RFC 9112 §6.3), and its bytes taken from what has arrived.
//!
//! `response` decides it from the head, `body` decodes with it. It never waits and never reads.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::chunked::Chunked;

/// What is left of a body.
#[derive(Debug)]
pub(super) enum Framing {
    /// So many bytes; 0 is no body, or no more of it.
    Length(u64),
    Chunked(Chunked),
    /// All until the app closes.
    UntilClose,
}

/// What comes next in a body.
#[derive(Debug)]
pub(super) enum Piece {
    /// Never empty.
    Data(Bytes),
    /// As the app sent them; the end follows.
    Trailers(HeaderMap),
    End,
}

impl Framing {
    /// Takes the next piece off `buffer`; `None` asks for more bytes.
    pub(super) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Piece>, &'static str> {
        match self {
            Self::Length(0) => Ok(Some(Piece::End)),
            Self::Chunked(chunked) => chunked.decode(buffer),
            Self::Length(_) | Self::UntilClose if buffer.is_empty() => Ok(None),
            Self::Length(left) => {
                let taken = buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= taken as u64;
                Ok(Some(Piece::Data(buffer.split_to(taken).freeze())))
            }
            Self::UntilClose => Ok(Some(Piece::Data(buffer.split().freeze()))),
        }
    }

    /// Nothing more will come.
    pub(super) fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunked) => chunked.is_done(),
            Self::UntilClose => false,
        }
    }

    /// Bytes still to come, where that is known.
    pub(super) fn left(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            Self::Chunked(_) | Self::UntilClose => None,
        }
    }

    /// Whether the close of the connection is the end of the body.
    pub(super) fn ends_at_close(&self) -> bool {
        matches!(self, Self::UntilClose)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::response::{self, Asked};
    use super::super::scan::Scanner;
    use super::*;

    /// What a client is told, and what is left on the connection.
    #[derive(Debug, PartialEq)]
    struct Told {
        status: u16,
        headers: HeaderMap,
        body: Vec<u8>,
        trailers: Option<HeaderMap>,
        done: bool,
        left: Vec<u8>,
    }

    /// Reads a response that arrives `cut` bytes at a time, as `exchange` and `body` do.
    fn read(bytes: &[u8], cut: usize) -> Result<Option<Told>, &'static str> {
        let mut pieces = bytes.chunks(cut);
        let (mut buffer, mut scanner) = (BytesMut::new(), Scanner::default());
        let mut head = loop {
            if let Some(end) = scanner.scan(&buffer).map_err(|violation| violation.reason())? {
                scanner = Scanner::default();
                if let Some(head) = response::parse(&buffer.split_to(end).freeze(), Asked::default())? {
                    break head;
                }
                continue;
            }
            let Some(piece) = pieces.next() else { return Ok(None) };
            buffer.extend_from_slice(piece);
        };
        let (mut body, mut trailers, mut done) = (Vec::new(), None, false);
        loop {
            match head.framing.decode(&mut buffer)? {
                Some(Piece::Data(data)) => body.extend_from_slice(&data),
                Some(Piece::Trailers(found)) => trailers = Some(found),
                Some(Piece::End) => {
                    done = true;
                    break;
                }
                None => match pieces.next() {
                    Some(piece) => buffer.extend_from_slice(piece),
                    None => break,
                },
            }
        }
        assert!(!done || head.framing.is_done());
        pieces.for_each(|piece| buffer.extend_from_slice(piece));
        let status = head.status.as_u16();
        Ok(Some(Told { status, headers: head.headers, body, trailers, done, left: buffer.to_vec() }))
    }

    fn response() -> impl Strategy<Value = String> {
        let framed = prop_oneof![
            "[a-z\r\n]{0,40}".prop_map(|body| format!("Content-Length: {}\r\n\r\n{body}", body.len())),
            prop::collection::vec("[a-z\r\n]{1,20}", 0..4).prop_map(|chunks| {
                let coded: String = chunks.iter().map(|chunk| format!("{:X}\r\n{chunk}\r\n", chunk.len())).collect();
                format!("Transfer-Encoding: chunked\r\n\r\n{coded}0\r\nX-Sum: 1\r\n\r\n")
            }),
            "[a-z\r\n]{0,40}".prop_map(|body| format!("\r\n{body}")),
        ];
        let interim = "(HTTP/1[.]1 103 Early Hints\r\nLink: <a>\r\n\r\n){0,3}";
        let lines = "(X-[a-z]{1,4}: [a-z]{0,4}\r\n|Connection: close, x-a\r\n|Keep-Alive: timeout=5\r\n){0,4}";
        (interim, "200 OK|204 No Content|404 Not Found|200 ", lines, framed)
            .prop_map(|(interim, status, lines, framed)| format!("{interim}HTTP/1.1 {status}\r\n{lines}{framed}"))
    }

    #[test]
    fn a_body_of_known_length_ends_there_and_the_rest_is_left_over() {
        let told = read(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef", 4).unwrap().unwrap();
        assert_eq!((&told.body[..], told.done, &told.left[..]), (&b"abc"[..], true, &b"def"[..]));
        let told = read(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\nabc", 4).unwrap().unwrap();
        assert_eq!((&told.body[..], told.done, &told.left[..]), (&b""[..], true, &b"abc"[..]));
    }

    #[test]
    fn a_body_that_stops_early_is_not_done() {
        for text in ["Content-Length: 4\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", "\r\nabc"] {
            let told = read(format!("HTTP/1.1 200 OK\r\n{text}").as_bytes(), 100).unwrap().unwrap();
            assert_eq!((&told.body[..], told.done), (&b"abc"[..], false));
        }
    }

    proptest! {
        #[test]
        fn any_cut_of_a_valid_response_gives_the_same(text in response(), cut in 1_usize..50) {
            let whole = read(text.as_bytes(), text.len()).unwrap().unwrap();
            prop_assert_eq!(read(text.as_bytes(), cut), Ok(Some(whole)));
        }

        #[test]
        fn a_changed_byte_does_not_make_it_panic(text in response(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in 1_usize..50) {
            let mut bytes = text.into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let verdict = read(&bytes, bytes.len());
            prop_assert_eq!(read(&bytes, cut).is_err(), verdict.is_err());
        }

        #[test]
        fn arbitrary_bytes_do_not_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 1..300), cut in 1_usize..50) {
            let _ = read(&bytes, cut);
        }
    }
}
