//! The byte check of response heads that the parser does not make: line ends and size.
//!
//! `exchange` asks it where a head ends before anything is parsed, `chunked` where trailers end. It looks
//! for nothing the parser rejects itself (control bytes in values, folded lines, bad names).

/// Most bytes of one response head, and so of each 1xx head.
const MAX_HEAD: usize = 64 * 1024;

/// What is wrong with a response head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Violation {
    /// A line ended by LF without CR (RFC 9112 §2.2 lets a parser take it; others then see another message).
    BareLineFeed,
    /// More than 64 KiB.
    TooLarge,
    /// An empty line where the first line should be.
    NoFirstLine,
}

impl Violation {
    /// For the log.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::BareLineFeed => "a line of the head ends with LF alone",
            Self::TooLarge => "the head is larger than 64 KiB",
            Self::NoFirstLine => "an empty line comes before the status line",
        }
    }
}

/// How far a growing buffer has been looked at: no byte is looked at twice.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// Where the current line starts.
    line: usize,
    seen: usize,
}

impl Scanner {
    /// The length of the head, empty line included, once it is all there. `bytes` starts with the head, and
    /// at each call holds at least what it held at the one before.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, Violation> {
        let seen = std::mem::replace(&mut self.seen, bytes.len());
        for at in memchr::memchr_iter(b'\n', &bytes[seen..]) {
            let at = seen + at;
            if at >= MAX_HEAD {
                return Err(Violation::TooLarge);
            }
            // SECURITY: the parser takes a bare LF as a line end; a cache or proxy before us may not.
            if at == 0 || bytes[at - 1] != b'\r' {
                return Err(Violation::BareLineFeed);
            }
            match (at - self.line, self.line) {
                (1, 0) => return Err(Violation::NoFirstLine),
                (1, _) => return Ok(Some(at + 1)),
                _ => self.line = at + 1,
            }
        }
        if bytes.len() > MAX_HEAD { Err(Violation::TooLarge) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(text: &str) -> Result<Option<usize>, Violation> {
        Scanner::default().scan(text.as_bytes())
    }

    #[test]
    fn a_plain_head_ends_at_the_empty_line_and_the_body_is_not_looked_at() {
        assert_eq!(scan("HTTP/1.1 200 OK\r\nA: b\r\n\r\nbo\ndy\n"), Ok(Some(25)));
        assert_eq!(scan("HTTP/1.1 200 OK\r\n\r\n"), Ok(Some(19)));
        assert_eq!(scan("HTTP/1.1 200 OK\r\nA: b\r\n"), Ok(None));
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
        assert_eq!(scan("\r\nHTTP/1.1 200 OK\r\n\r\n"), Err(Violation::NoFirstLine));
    }

    #[test]
    fn a_head_over_64_kib_is_a_violation() {
        let head = |size: usize| format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "b".repeat(size - 24));
        assert_eq!(scan(&head(MAX_HEAD)), Ok(Some(MAX_HEAD)));
        assert_eq!(scan(&head(MAX_HEAD + 1)), Err(Violation::TooLarge));
        assert_eq!(scan(&"b".repeat(MAX_HEAD + 1)), Err(Violation::TooLarge));
    }

    proptest! {
        #[test]
        fn the_verdict_does_not_depend_on_how_the_bytes_are_cut(
            text in "(HTTP/1.1 (100|101|200)( OK)?|[a\r\n]{0,4}|\r\n){0,12}",
            cut in 1_usize..9,
        ) {
            let whole = scan(&text);
            let mut scanner = Scanner::default();
            let mut pieces = Ok(None);
            for end in (0..text.len()).step_by(cut).map(|start| text.len().min(start + cut)) {
                pieces = scanner.scan(&text.as_bytes()[..end]);
                if pieces != Ok(None) {
                    break;
                }
            }
            prop_assert_eq!(whole, pieces);
        }

        #[test]
        fn no_accepted_head_has_a_bare_line_feed(text in "HTTP/1.1 200 OK\r\n([ab\r\n]|\r\n){0,20}") {
            if let Ok(Some(end)) = scan(&text) {
                let head = &text[..end];
                prop_assert_eq!(head.find("\r\n\r\n"), Some(end - 4));
                prop_assert_eq!(head.matches('\n').count(), head.matches("\r\n").count());
            }
        }
    }
}
