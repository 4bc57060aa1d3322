//! An entry as one Redis string: a head of fixed width, which the scripts read and write in place, the user, the
//! rest of the envelope, and the sealed bytes. Used by the store alone; what it reads may be anything.
//!
//! One string, not a hash: a hash with a field above 64 bytes is a table of its own, about 600 bytes more for each
//! session. With a head of fixed width a touch still writes 15 bytes.
//!
//! | from | bytes | |
//! |---|---|---|
//! | 0 | 1 | format, `1`; a tombstone is `x` and 8 bytes drawn for the delete |
//! | 1 | 10 | version, decimal |
//! | 11 | 8 | drawn anew for each write, so that one that is sent again knows itself |
//! | 19 | 15 | last seen, decimal milliseconds |
//! | 34 | 15 | deadline |
//! | 49 | 1 | `u` a user's session, `-` nobody's, `a` an alias, `A` an alias with a user |
//! | 50 | 6 | length of the user, decimal |
//! | 56 | | user, postcard of [`Envelope`], sealed bytes |

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::store::{Entry, Handle, Meta};

/// Where the user begins.
const HEAD: usize = 56;

/// All later times are "never", for [`Entry`] too. Fifteen digits, and exact as a score of a sorted set.
const NEVER: u64 = u64::MAX >> 16;

/// What no store of ours writes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Malformed {
    #[error("an entry has a format that this version does not know: {0:#04x}")]
    Format(u8),
    #[error("an entry is damaged")]
    Damaged,
    #[error("a user name is too long")]
    User,
}

/// What the scripts need not know of.
#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    handle: [u8; 8],
    created: u64,
    address: Option<IpAddr>,
    agent: Option<&'a str>,
}

/// The value of `entry` at `version`.
pub(super) fn encode(entry: &Entry, version: u64, writer: [u8; 8]) -> Result<Vec<u8>, Malformed> {
    let meta = &entry.meta;
    let user = meta.user.as_deref().unwrap_or_default();
    let kind = match (meta.alias, &meta.user) {
        (true, None) => 'a',
        (true, Some(_)) => 'A',
        (false, None) => '-',
        (false, Some(_)) => 'u',
    };
    if user.len() > 999_999 {
        return Err(Malformed::User);
    }
    let bytes = entry.bytes();
    let mut value = Vec::with_capacity(HEAD + user.len() + 64 + bytes.len());
    value.push(b'1');
    value.extend(self::version(version));
    value.extend(writer);
    value.extend(time(entry.last_seen()));
    value.extend(time(entry.deadline()));
    value.extend(format!("{kind}{:06}", user.len()).into_bytes());
    value.extend(user.as_bytes());
    let envelope = Envelope {
        handle: meta.handle.0,
        created: meta.created.0,
        address: meta.address,
        agent: meta.agent.as_deref(),
    };
    let mut value = postcard::to_extend(&envelope, value).map_err(|_| Malformed::Damaged)?;
    value.extend(&*bytes);
    Ok(value)
}

/// `None` for a tombstone.
pub(super) fn decode(value: &[u8]) -> Result<Option<Entry>, Malformed> {
    match value.first() {
        Some(b'1') => whole(value).ok_or(Malformed::Damaged).map(Some),
        Some(b'x') => Ok(None),
        Some(other) => Err(Malformed::Format(*other)),
        None => Err(Malformed::Damaged),
    }
}

fn whole(value: &[u8]) -> Option<Entry> {
    let version = number(value.get(1..11)?)?;
    let last_seen = number(value.get(19..34)?)?;
    let deadline = number(value.get(34..49)?)?;
    let length = usize::try_from(number(value.get(50..HEAD)?)?).ok()?;
    let (user, rest) = value.get(HEAD..)?.split_at_checked(length)?;
    let (alias, has_user) = match value.get(49)? {
        b'u' => (false, true),
        b'-' => (false, false),
        b'a' => (true, false),
        b'A' => (true, true),
        _ => return None,
    };
    let user: Box<str> = str::from_utf8(user).ok()?.into();
    let (envelope, bytes) = postcard::take_from_bytes::<Envelope>(rest).ok()?;
    let meta = Meta {
        handle: Handle(envelope.handle),
        user: has_user.then_some(user),
        created: Timestamp(envelope.created),
        address: envelope.address,
        agent: envelope.agent.map(Arc::from),
        alias,
    };
    Some(Entry::restored(meta, bytes.into(), Timestamp(last_seen), Timestamp(deadline), version))
}

/// A time as the head holds it.
pub(super) fn time(time: Timestamp) -> Vec<u8> {
    digits(time.0.min(NEVER), 15)
}

/// A version as the head holds it; it counts 32 bits, as in [`Entry`].
pub(super) fn version(version: u64) -> Vec<u8> {
    digits(version & u64::from(u32::MAX), 10)
}

fn digits(number: u64, width: usize) -> Vec<u8> {
    format!("{number:0width$}").into_bytes()
}

fn number(digits: &[u8]) -> Option<u64> {
    let all = digits.iter().all(u8::is_ascii_digit);
    all.then(|| str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::conformance;

    #[test]
    fn the_scripts_find_the_fields_where_the_table_says() {
        let entry = conformance::entry(Some("ann"));
        let value = encode(&entry, 7, *b"somebody").unwrap();
        assert_eq!(&value[..59], b"10000000007somebody000000000000000000000000001000u000003ann");
    }

    #[test]
    fn a_tombstone_is_no_entry_and_a_newer_format_is_no_absence() {
        assert!(decode(b"xsomebody").unwrap().is_none());
        assert_eq!(decode(b"2whatever").unwrap_err(), Malformed::Format(b'2'));
        assert_eq!(decode(b"").unwrap_err(), Malformed::Damaged);
    }

    proptest! {
        #[test]
        fn whatever_is_read_nothing_panics(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&value);
            let _ = decode(&[b"1".as_slice(), &value].concat());
        }

        #[test]
        fn a_cut_or_altered_head_is_no_entry_or_another(cut in 0usize..100, at in 0usize..100, byte: u8) {
            let mut value = encode(&conformance::entry(Some("ann")), 1, [0; 8]).unwrap();
            let _ = decode(&value[..cut.min(value.len())]);
            let at = at % value.len();
            value[at] = byte;
            let _ = decode(&value);
        }

        #[test]
        fn everything_comes_back(
            user: Option<String>, agent: Option<String>, address: Option<IpAddr>, alias: bool,
            handle: [u8; 8], created: u64, bytes: Vec<u8>, seen: u64, deadline: u64, version: u32,
        ) {
            let meta = Meta {
                handle: Handle(handle),
                user: user.map(Into::into),
                created: Timestamp(created),
                address,
                agent: agent.map(Into::into),
                alias,
            };
            let entry = Entry::new(meta, bytes.into(), Timestamp(seen), Timestamp(deadline));
            let back = decode(&encode(&entry, version.into(), [0xff; 8]).unwrap()).unwrap().unwrap();
            prop_assert_eq!(&back.meta, &entry.meta);
            prop_assert_eq!(back.bytes(), entry.bytes());
            prop_assert_eq!((back.last_seen(), back.deadline()), (entry.last_seen(), entry.deadline()));
            prop_assert_eq!(back.version(), u64::from(version));
        }
    }
}
