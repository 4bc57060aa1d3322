//! Chunked framing (RFC 9112 §7.1): sizes, extensions, data, trailers, with CRLF and nothing else.
//!
//! The guard runs it for each chunked body to know where the next request begins.

use memchr::memchr2;

use super::{Stop, Violation, stop};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Step {
    #[default]
    SizeStart,
    Size,
    Space,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
}

/// Where in a chunked body the bytes seen so far end.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Chunked {
    step: Step,
    /// Of the chunk at hand: first its size as far as read, then how much of it is left.
    left: u64,
    digits: u8,
}

/// Enough for any 64-bit size; more would be zeros to keep somebody busy.
const MAX_DIGITS: u8 = 16;

impl Chunked {
    /// Reads into `rest`; how many bytes, and whether the body ended with them.
    pub(super) fn advance(&mut self, rest: &[u8]) -> Result<(usize, bool), Stop> {
        match self.step {
            Step::Data => Ok((self.data(rest.len()), false)),
            Step::Extension => self.skip(rest, Step::SizeLf),
            Step::Trailer => self.skip(rest, Step::TrailerLf),
            Step::EndLf if rest[0] == b'\n' => Ok((1, true)),
            _ => {
                self.step = self.next(rest[0]).or_else(|why| stop(0, why))?;
                Ok((1, false))
            }
        }
    }

    fn next(&mut self, byte: u8) -> Result<Step, Violation> {
        match (self.step, byte) {
            (Step::SizeStart | Step::Size, _) if byte.is_ascii_hexdigit() => self.digit(byte),
            (Step::Size | Step::Space, b' ' | b'\t') => Ok(Step::Space),
            (Step::Size | Step::Space, b';') => Ok(Step::Extension),
            (Step::Size | Step::Space, b'\r') => Ok(Step::SizeLf),
            (Step::SizeLf, b'\n') => Ok(self.size_known()),
            (Step::DataCr, b'\r') => Ok(Step::DataLf),
            (Step::DataLf, b'\n') => Ok(Step::SizeStart),
            (Step::TrailerStart, b'\r') => Ok(Step::EndLf),
            (Step::TrailerStart, b'\n') => Err(Violation::BareLf),
            (Step::TrailerStart, _) => Ok(Step::Trailer),
            (Step::TrailerLf, b'\n') => Ok(Step::TrailerStart),
            _ => Err(Violation::Chunk),
        }
    }

    fn digit(&mut self, byte: u8) -> Result<Step, Violation> {
        let value = char::from(byte).to_digit(16).ok_or(Violation::Chunk)?;
        self.digits += 1;
        if self.digits > MAX_DIGITS {
            return Err(Violation::Chunk);
        }
        // Sixteen digits fill 64 bits exactly: nothing is shifted out.
        self.left = self.left << 4 | u64::from(value);
        Ok(Step::Size)
    }

    fn size_known(&mut self) -> Step {
        self.digits = 0;
        if self.left == 0 { Step::TrailerStart } else { Step::Data }
    }

    fn data(&mut self, have: usize) -> usize {
        let used = usize::try_from(self.left).map_or(have, |left| left.min(have));
        self.left -= used as u64;
        if self.left == 0 {
            self.step = Step::DataCr;
        }
        used
    }

    /// Skips to the end of a line whose text is of no interest.
    fn skip(&mut self, rest: &[u8], at_cr: Step) -> Result<(usize, bool), Stop> {
        match memchr2(b'\r', b'\n', rest) {
            None => Ok((rest.len(), false)),
            Some(at) if rest[at] == b'\r' => {
                self.step = at_cr;
                Ok((at + 1, false))
            }
            Some(at) => stop(at, Violation::BareLf),
        }
    }
}
