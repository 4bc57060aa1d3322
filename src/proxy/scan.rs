//! The byte check of response heads that hyper's parser does not make: line ends, size, number of 1xx.
//!
//! `io` feeds it what arrives between a request and the end of its final response head. It looks for
//! nothing the parser rejects itself (control bytes in values, folded lines, bad names).

/// Most bytes of one response head, and so of each 1xx head.
const MAX_HEAD: usize = 64 * 1024;
/// Most 1xx heads before the final one.
const MAX_INTERIM: u8 = 16;
/// `HTTP/1.1 200`: as much of the status line as tells an interim head.
const STATUS_END: usize = 12;

/// What is wrong with a response head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Violation {
    /// A line ended by LF without CR (RFC 9112 §2.2 lets a parser take it; others then see another message).
    BareLineFeed,
    /// More than 64 KiB.
    TooLarge,
    /// More than 16 informational heads.
    TooManyInterim,
    /// An empty line where the status line should be.
    NoStatusLine,
}

impl Violation {
    /// For the log.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::BareLineFeed => "a line of the head ends with LF alone",
            Self::TooLarge => "the head is larger than 64 KiB",
            Self::TooManyInterim => "more than 16 informational (1xx) responses",
            Self::NoStatusLine => "an empty line comes before the status line",
        }
    }
}

/// Where in the head we are. Starts at the first byte after a request was sent.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// Bytes of this head so far.
    head: usize,
    /// Bytes of the current line so far.
    line: usize,
    /// The byte before the next one, within the current line.
    last: u8,
    past_status_line: bool,
    status_line: [u8; STATUS_END],
    interim: u8,
}

impl Scanner {
    /// Looks at the next bytes. `true` once the final head has ended; what follows is body and not looked at.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Result<bool, Violation> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.head += piece.len();
            if self.head > MAX_HEAD {
                return Err(Violation::TooLarge);
            }
            self.keep_status_line(piece);
            let [before @ .., end] = piece else { continue };
            let previous = *before.last().unwrap_or(&self.last);
            self.line += piece.len();
            self.last = *end;
            // SECURITY: hyper takes a bare LF as a line end; a cache or proxy before us may not.
            if *end == b'\n' && previous != b'\r' {
                return Err(Violation::BareLineFeed);
            }
            if *end == b'\n' && self.end_of_line()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn keep_status_line(&mut self, piece: &[u8]) {
        if !self.past_status_line && self.line < STATUS_END {
            let room = &mut self.status_line[self.line..];
            let taken = room.len().min(piece.len());
            room[..taken].copy_from_slice(&piece[..taken]);
        }
    }

    /// `true` when this line ended the final head.
    fn end_of_line(&mut self) -> Result<bool, Violation> {
        let empty = std::mem::take(&mut self.line) == 2;
        self.last = 0;
        if !empty {
            self.past_status_line = true;
            return Ok(false);
        }
        if !self.past_status_line {
            return Err(Violation::NoStatusLine);
        }
        let status = &self.status_line[9..];
        let interim = if status[0] == b'1' && status != b"101" { self.interim + 1 } else { 0 };
        if interim > MAX_INTERIM {
            return Err(Violation::TooManyInterim);
        }
        *self = Self { interim, ..Self::default() };
        Ok(interim == 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(text: &str) -> Result<bool, Violation> {
        Scanner::default().scan(text.as_bytes())
    }

    #[test]
    fn a_plain_head_ends_at_the_empty_line_and_the_body_is_not_looked_at() {
        assert_eq!(scan("HTTP/1.1 200 OK\r\nA: b\r\n\r\nbo\ndy\n"), Ok(true));
        assert_eq!(scan("HTTP/1.1 200 OK\r\n\r\n"), Ok(true));
        assert_eq!(scan("HTTP/1.1 200 OK\r\nA: b\r\n"), Ok(false));
    }

    #[test]
    fn a_bare_line_feed_anywhere_in_the_head_is_a_violation() {
        for head in [
            "HTTP/1.1 200 OK\nA: b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n\n",
            "\nHTTP/1.1 200 OK\r\n\r\n",
        ] {
            assert_eq!(scan(head), Err(Violation::BareLineFeed), "{head:?}");
        }
        assert_eq!(scan("\r\nHTTP/1.1 200 OK\r\n\r\n"), Err(Violation::NoStatusLine));
    }

    #[test]
    fn interim_heads_are_passed_over_up_to_sixteen() {
        let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        let last = "HTTP/1.1 200 OK\r\n\r\n";
        assert_eq!(scan(&interim.repeat(16)), Ok(false));
        assert_eq!(scan(&(interim.repeat(16) + last)), Ok(true));
        assert_eq!(scan(&interim.repeat(17)), Err(Violation::TooManyInterim));
        assert_eq!(scan("HTTP/1.1 101 Switching Protocols\r\n\r\n"), Ok(true));
    }

    #[test]
    fn a_head_over_64_kib_is_a_violation() {
        let head = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "b".repeat(MAX_HEAD));
        assert_eq!(scan(&head), Err(Violation::TooLarge));
    }

    proptest! {
        #[test]
        fn the_verdict_does_not_depend_on_how_the_bytes_are_cut(
            text in "(HTTP/1.1 (100|101|200)( OK)?|[a\r\n]{0,4}|\r\n){0,12}",
            cut in 1_usize..9,
        ) {
            let whole = scan(&text);
            let mut scanner = Scanner::default();
            let mut pieces = Ok(false);
            for piece in text.as_bytes().chunks(cut) {
                pieces = scanner.scan(piece);
                if pieces != Ok(false) {
                    break;
                }
            }
            prop_assert_eq!(whole, pieces);
        }

        #[test]
        fn no_accepted_head_has_a_bare_line_feed(text in "HTTP/1.1 200 OK\r\n([ab\r\n]|\r\n){0,20}") {
            if scan(&text) == Ok(true) {
                let head = &text[..text.find("\r\n\r\n").unwrap() + 4];
                prop_assert_eq!(head.matches('\n').count(), head.matches("\r\n").count());
            }
        }
    }
}
