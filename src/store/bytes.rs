//! The bytes of one record, in the room they need.
//!
//! PERF: allocators have four sizes in each doubling (mimalloc, jemalloc): a record of 1054 bytes in one piece
//! takes 1280. Where a second piece saves more than it costs, there are two; reading joins them, once per load
//! from a cold entry.

use std::borrow::Cow;

/// A record, encoded.
pub(super) enum Bytes {
    Whole(Box<[u8]>),
    /// The first is as long as the allocator's size below the whole.
    Split(Box<[Box<[u8]>; 2]>),
}

impl Bytes {
    pub fn joined(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Whole(bytes) => Cow::Borrowed(bytes),
            Self::Split(pieces) => Cow::Owned(pieces.concat()),
        }
    }
}

impl From<Box<[u8]>> for Bytes {
    fn from(bytes: Box<[u8]>) -> Self {
        match split_at(bytes.len()) {
            Some(at) => {
                let (head, tail) = bytes.split_at(at);
                Self::Split(Box::new([head.into(), tail.into()]))
            }
            None => Self::Whole(bytes),
        }
    }
}

/// Where a record of this length is worth splitting: a sixteenth of its room must be won.
fn split_at(len: usize) -> Option<usize> {
    let whole = allocated(len);
    let head = whole.checked_sub(step(len))?;
    let split = allocated(head) + allocated(len.checked_sub(head)?) + size_of::<[Box<[u8]>; 2]>();
    (split + whole / 16 < whole).then_some(head)
}

/// What the allocator gives for `len` bytes.
fn allocated(len: usize) -> usize {
    len.next_multiple_of(step(len))
}

fn step(len: usize) -> usize {
    (len.next_power_of_two() / 8).max(16)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_kilobyte_and_a_little_is_kept_in_two_pieces() {
        assert_eq!((allocated(130), allocated(1024), allocated(1054)), (160, 1024, 1280));
        assert_eq!([130, 1024, 1054, 1200, 1280].map(split_at), [None, None, Some(1024), None, None]);
    }

    proptest! {
        #[test]
        fn pieces_join_to_what_they_were_and_never_take_more_room(len in 0..10_000usize) {
            let bytes: Box<[u8]> = (0..len).map(|n| n as u8).collect();
            let kept = Bytes::from(bytes.clone());
            prop_assert_eq!(&*kept.joined(), &*bytes);
            if let Bytes::Split(pieces) = kept {
                let room: usize = pieces.iter().map(|piece| allocated(piece.len())).sum();
                prop_assert!(room + 32 < allocated(len));
            }
        }
    }
}
