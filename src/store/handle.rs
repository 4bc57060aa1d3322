//! Reading a handle that somebody typed: the public name of a session.
//!
//! For `admin` and `transfer`. SECURITY: the error does not repeat the text: it may be a session id.

use std::str::FromStr;

use super::Handle;

/// A handle is 16 hexadecimal digits, in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a handle is 16 hexadecimal digits")]
pub struct NotAHandle;

impl FromStr for Handle {
    type Err = NotAHandle;

    fn from_str(text: &str) -> Result<Self, NotAHandle> {
        let is_one = text.len() == 16 && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        let number = u64::from_str_radix(text, 16).ok().filter(|_| is_one);
        number.map(|number| Self(number.to_be_bytes())).ok_or(NotAHandle)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_sixteen_small_hexadecimal_digits_are_a_handle() {
        for text in ["", "1", "0123456789abcdeF", "+123456789abcdef", "0123456789abcdef0", "éééééééé"] {
            assert_eq!(text.parse::<Handle>(), Err(NotAHandle), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_handle_reads_as_it_is_written(bytes: [u8; 8]) {
            prop_assert_eq!(Handle(bytes).to_string().parse(), Ok(Handle(bytes)));
        }
    }
}
