//! The two field values that decide framing, read byte by byte up to their line end.
//!
//! The guard calls these for `Content-Length` and `Transfer-Encoding` only.

use super::Violation;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Step {
    #[default]
    Before,
    Inside,
    After,
    Lf,
}

/// `1*DIGIT` between optional white space.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LengthValue {
    step: Step,
    value: u64,
}

/// The most a body may claim: beyond it sums of lengths could overflow somewhere.
const MAX: u64 = i64::MAX as u64;

impl LengthValue {
    /// Takes the next byte; the number once the line has ended.
    pub(super) fn push(&mut self, byte: u8) -> Result<Option<u64>, Violation> {
        self.step = match (self.step, byte) {
            (Step::Lf, b'\n') => return Ok(Some(self.value)),
            (Step::Lf, _) => return Err(Violation::LoneCr),
            (_, b'\n') => return Err(Violation::BareLf),
            (Step::Before | Step::Inside, b'0'..=b'9') => {
                self.value = times_ten_plus(self.value, byte - b'0').ok_or(Violation::ContentLength)?;
                Step::Inside
            }
            (Step::Before, b' ' | b'\t') => Step::Before,
            (Step::Inside | Step::After, b' ' | b'\t') => Step::After,
            (Step::Inside | Step::After, b'\r') => Step::Lf,
            _ => return Err(Violation::ContentLength),
        };
        Ok(None)
    }
}

fn times_ten_plus(value: u64, digit: u8) -> Option<u64> {
    value.checked_mul(10)?.checked_add(u64::from(digit)).filter(|value| *value <= MAX)
}

/// `chunked`, in any case, between optional white space.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CodingValue {
    step: Step,
    matched: usize,
}

const CHUNKED: &[u8] = b"chunked";

impl CodingValue {
    /// Takes the next byte; true once the line has ended and said `chunked`.
    pub(super) fn push(&mut self, byte: u8) -> Result<bool, Violation> {
        let whole = self.matched == CHUNKED.len();
        self.step = match (self.step, byte) {
            (Step::Lf, b'\n') => return Ok(true),
            (Step::Lf, _) => return Err(Violation::LoneCr),
            (_, b'\n') => return Err(Violation::BareLf),
            (Step::Before, b' ' | b'\t') => Step::Before,
            (Step::Inside | Step::After, b' ' | b'\t') if whole => Step::After,
            (Step::Inside | Step::After, b'\r') if whole => Step::Lf,
            (Step::Before | Step::Inside, _) if CHUNKED.get(self.matched) == Some(&byte.to_ascii_lowercase()) => {
                self.matched += 1;
                Step::Inside
            }
            _ => return Err(Violation::TransferEncoding),
        };
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(text: &str) -> Result<u64, Violation> {
        let mut value = LengthValue::default();
        for byte in text.bytes().chain(*b"\r\n") {
            if let Some(length) = value.push(byte)? {
                return Ok(length);
            }
        }
        Err(Violation::LoneCr)
    }

    fn coding(text: &str) -> Result<bool, Violation> {
        let mut value = CodingValue::default();
        let mut last = false;
        for byte in text.bytes().chain(*b"\r\n") {
            last = value.push(byte)?;
        }
        Ok(last)
    }

    #[test]
    fn a_length_is_digits_and_nothing_else() {
        assert_eq!(length(" 010\t"), Ok(10));
        assert_eq!(length("9223372036854775807"), Ok(MAX));
        for text in ["", " ", "+1", "-1", "0x1", "1_0", "1, 1", "1 1", "9223372036854775808", "1\r2"] {
            assert!(length(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn only_chunked_is_a_transfer_coding() {
        assert_eq!(coding(" ChUnKeD \t"), Ok(true));
        for text in
            ["", ",chunked", "gzip, chunked", "chunked, chunked", "xchunked", "\"chunked\"", "\x0bchunked", "chunk ed"]
        {
            assert!(coding(text).is_err(), "{text:?}");
        }
    }
}
