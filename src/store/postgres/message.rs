//! What gateways tell each other by NOTIFY: text in a payload.
//!
//! Written by `postgres` and `channel`, read by `channel`. Whoever may write the table may also send these, so a
//! payload that is none is ignored.

use std::fmt;

use crate::store::Key;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    /// The entry was written or deleted by `writer`, who waits for a signature under `receipt` if there is one.
    Forget { writer: u64, receipt: Option<u64>, key: Key },
    /// `who` has forgotten.
    Signed { receipt: u64, who: u64 },
    /// From ourselves by the way that writes take, in this attempt: the channel works.
    Proof(u64),
    /// From ourselves by the channel's own connection: it still does.
    Ping,
}

impl Message {
    pub fn parse(payload: &str) -> Option<Self> {
        let mut words = payload.split(' ');
        let message = match words.next()? {
            "forget" => {
                let (writer, receipt) = (hex(words.next()?)?, words.next()?);
                let receipt = if receipt == "-" { None } else { Some(hex(receipt)?) };
                Self::Forget { writer, receipt, key: key(words.next()?)? }
            }
            "signed" => Self::Signed { receipt: hex(words.next()?)?, who: hex(words.next()?)? },
            "proof" => Self::Proof(hex(words.next()?)?),
            "ping" => Self::Ping,
            _ => return None,
        };
        words.next().is_none().then_some(message)
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forget { writer, receipt, key } => {
                write!(f, "forget {writer:016x} ")?;
                match receipt {
                    Some(receipt) => write!(f, "{receipt:016x} ")?,
                    None => f.write_str("- ")?,
                }
                key.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Self::Signed { receipt, who } => write!(f, "signed {receipt:016x} {who:016x}"),
            Self::Proof(attempt) => write!(f, "proof {attempt:016x}"),
            Self::Ping => f.write_str("ping"),
        }
    }
}

/// Sixteen lower-case hexadecimal digits.
pub(super) fn hex(text: &str) -> Option<u64> {
    let is_plain = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    is_plain.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

fn key(text: &str) -> Option<Key> {
    let mut key = [0; 32];
    let (digits, rest) = text.as_bytes().as_chunks::<16>();
    if digits.len() != 4 || !rest.is_empty() {
        return None;
    }
    for (to, digits) in key.as_chunks_mut::<8>().0.iter_mut().zip(digits) {
        *to = hex(str::from_utf8(digits).ok()?)?.to_be_bytes();
    }
    Some(Key(key))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_message_comes_back(writer: u64, receipt: Option<u64>, key: [u8; 32]) {
            let signed = Message::Signed { receipt: writer, who: writer };
            for message in [Message::Forget { writer, receipt, key: Key(key) }, signed, Message::Proof(writer), Message::Ping] {
                prop_assert_eq!(Message::parse(&message.to_string()), Some(message));
            }
        }

        #[test]
        fn what_is_none_is_ignored(payload in "(forget|signed|ping)?[ 0-9a-f-]{0,120}") {
            if let Some(message) = Message::parse(&payload) {
                prop_assert_eq!(message.to_string(), payload);
            }
        }

        #[test]
        fn nothing_makes_it_panic(payload in ".{0,80}") {
            let _ = Message::parse(&payload);
        }
    }
}
