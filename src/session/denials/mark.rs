//! One thing that `denials` remembers, and how it is written: a line of words.
//!
//! Names of users are written as digests: the file tells nobody who signed out when.

use std::fmt;
use std::str::{FromStr, SplitAsciiWhitespace};

use aws_lc_rs::digest::{SHA256, digest};

use crate::clock::Timestamp;
use crate::store::Handle;

/// Ids given out up to `at` are dead; all of them are by `until`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mark {
    /// Those of one session.
    Session { handle: Handle, at: Timestamp, until: Timestamp },
    /// Those of a user.
    User { user: UserHash, at: Timestamp, until: Timestamp, kept: Option<Kept> },
    /// All.
    Everyone { at: Timestamp },
}

/// The user's session that goes on, under ids given out from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    pub handle: Handle,
    pub since: Timestamp,
}

/// A user's name, not to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct UserHash(pub [u8; 16]);

/// It is no line of ours.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

impl UserHash {
    pub fn of(user: &str) -> Self {
        let mut hash = [0; 16];
        hash.copy_from_slice(&digest(&SHA256, user.as_bytes()).as_ref()[..16]);
        Self(hash)
    }
}

impl Mark {
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Session { at, .. } | Self::User { at, .. } | Self::Everyone { at } => *at,
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session { handle, at, until } => write!(f, "session {handle} {} {}", at.0, until.0),
            Self::User { user: UserHash(user), at, until, kept } => {
                write!(f, "user {:032x} {} {}", u128::from_be_bytes(*user), at.0, until.0)?;
                kept.map_or(Ok(()), |kept| write!(f, " {} {}", kept.handle, kept.since.0))
            }
            Self::Everyone { at } => write!(f, "everyone {}", at.0),
        }
    }
}

impl FromStr for Mark {
    type Err = Unreadable;

    fn from_str(line: &str) -> Result<Self, Unreadable> {
        let mut words = Words(line.split_ascii_whitespace());
        let mark = match words.next()? {
            "session" => Self::Session { handle: words.handle()?, at: words.time()?, until: words.time()? },
            "user" => {
                let user = u128::from_str_radix(words.next()?, 16).map_err(|_| Unreadable)?;
                let (at, until) = (words.time()?, words.time()?);
                let kept = match words.0.clone().next() {
                    Some(_) => Some(Kept { handle: words.handle()?, since: words.time()? }),
                    None => None,
                };
                Self::User { user: UserHash(user.to_be_bytes()), at, until, kept }
            }
            "everyone" => Self::Everyone { at: words.time()? },
            _ => return Err(Unreadable),
        };
        // Byte for byte what would be written: a line in pieces is none, even if it could be read.
        (mark.to_string() == line).then_some(mark).ok_or(Unreadable)
    }
}

struct Words<'l>(SplitAsciiWhitespace<'l>);

impl<'l> Words<'l> {
    fn next(&mut self) -> Result<&'l str, Unreadable> {
        self.0.next().ok_or(Unreadable)
    }

    fn time(&mut self) -> Result<Timestamp, Unreadable> {
        self.next()?.parse().map(Timestamp).map_err(|_| Unreadable)
    }

    fn handle(&mut self) -> Result<Handle, Unreadable> {
        u64::from_str_radix(self.next()?, 16).map(|handle| Handle(handle.to_be_bytes())).map_err(|_| Unreadable)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn times() -> impl Strategy<Value = Timestamp> {
        prop_oneof![any::<u64>(), Just(u64::MAX)].prop_map(Timestamp)
    }

    fn marks() -> impl Strategy<Value = Mark> {
        let handle = || any::<[u8; 8]>().prop_map(Handle);
        let kept = proptest::option::of((handle(), times()).prop_map(|(handle, since)| Kept { handle, since }));
        prop_oneof![
            (handle(), times(), times()).prop_map(|(handle, at, until)| Mark::Session { handle, at, until }),
            (any::<[u8; 16]>(), times(), times(), kept).prop_map(|(user, at, until, kept)| Mark::User {
                user: UserHash(user),
                at,
                until,
                kept
            }),
            times().prop_map(|at| Mark::Everyone { at }),
        ]
    }

    proptest! {
        #[test]
        fn a_mark_survives_the_file(mark in marks()) {
            prop_assert_eq!(mark.to_string().parse(), Ok(mark));
        }

        #[test]
        fn a_line_that_ends_early_is_none_or_says_less(mark in marks(), end in any::<prop::sample::Index>()) {
            let line = mark.to_string();
            // A number cut short is a number: that is why a line counts only with its end (`file`).
            let _ = line[..end.index(line.len())].parse::<Mark>();
        }

        #[test]
        fn arbitrary_lines_never_panic(line in "(session|user|everyone)? ?[0-9a-f +-]{0,60}\\PC{0,5}") {
            let _ = line.parse::<Mark>();
        }
    }
}
