//! A long cookie in pieces: browsers drop what is longer than 4096 bytes without a word (RFC 6265bis §6.1).
//!
//! Used by `manager::traveling`. The first piece has the cookie's own name and says how many there are; the others,
//! `NAME.1` and so on, begin as the text does, so that pieces of two texts do not pass for one. That is for order
//! only: what counts is the seal over the whole.

use http::HeaderMap;

use crate::http::cookies;

/// So many cookies at most. Browsers send them all with each request, and they must leave room in a request head of
/// 16 KiB, which is what the gateway and most servers take.
pub(super) const MOST: usize = 3;

/// The longest line `NAME=VALUE; ATTRIBUTES` that every browser keeps.
pub(super) const LONGEST_LINE: usize = 4096;

/// So many characters of the text stand before each further piece.
const TAG: usize = 8;

/// A client may send a handful of cookies of one name (sibling domains, other paths).
const MOST_OF_A_NAME: usize = 4;

/// What a first piece leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// The text.
    Whole(Vec<u8>),
    /// Pieces are missing, or are of another text: the browser was between two answers.
    Torn,
    /// It is no first piece of ours.
    Foreign,
}

/// The name of a piece.
pub(super) fn name(name: &str, place: usize) -> String {
    match place {
        0 => name.to_owned(),
        place => format!("{name}.{place}"),
    }
}

/// How many characters fit into all pieces, each of `room` characters.
pub(super) fn capacity(room: usize) -> usize {
    room.saturating_sub(1) + (MOST - 1) * room.saturating_sub(TAG)
}

/// The pieces' values; `None` when the text is too long or too short to be cut. It is ASCII.
pub(super) fn split(text: &str, room: usize) -> Option<Vec<String>> {
    let tag = text.get(..TAG)?;
    let (first, mut rest) = text.split_at_checked(room.checked_sub(1)?.min(text.len()))?;
    let mut others = Vec::new();
    while !rest.is_empty() {
        let (part, after) = rest.split_at_checked(room.checked_sub(TAG).filter(|part| *part > 0)?.min(rest.len()))?;
        others.push(format!("{tag}{part}"));
        rest = after;
    }
    let count = others.len() + 1;
    (count <= MOST).then(|| std::iter::once(format!("{count}{first}")).chain(others).collect())
}

/// The text that begins with `first`, one of the values under `name`.
pub(super) fn join(headers: &HeaderMap, name: &str, first: &[u8]) -> Joined {
    let Some((count, start)) = first.split_first().filter(|(_, start)| start.len() >= TAG) else {
        return Joined::Foreign;
    };
    let count = usize::from(count.wrapping_sub(b'0'));
    if !(1..=MOST).contains(&count) {
        return Joined::Foreign;
    }
    let mut text = start.to_vec();
    for place in 1..count {
        let name = self::name(name, place);
        let mut values = cookies::values(headers, &name).take(MOST_OF_A_NAME);
        let Some(part) = values.find_map(|value| value.strip_prefix(&start[..TAG])) else { return Joined::Torn };
        text.extend(part);
    }
    Joined::Whole(text)
}

/// How many pieces the browser holds under `name`, needed or not.
pub(super) fn held(headers: &HeaderMap, name: &str) -> usize {
    let is_held = |place: &usize| cookies::values(headers, &self::name(name, *place)).next().is_some();
    (0..MOST).rev().find(is_held).map_or(0, |last| last + 1)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::COOKIE;
    use proptest::prelude::*;

    use super::*;

    fn headers(pieces: &[(usize, &str)]) -> HeaderMap {
        let line = |(place, value): &(usize, &str)| format!("{}={value}", name("s", *place));
        pieces.iter().map(|piece| (COOKIE, HeaderValue::try_from(line(piece)).unwrap())).collect()
    }

    fn joined(pieces: &[(usize, &str)]) -> Joined {
        join(&headers(pieces), "s", pieces[0].1.as_bytes())
    }

    #[test]
    fn pieces_of_two_texts_make_none() {
        let (one, other) = (split(&"abcdefgh".repeat(4), 30).unwrap(), split(&"ijklmnop".repeat(4), 30).unwrap());
        assert_eq!(one.len(), 2);
        assert_eq!(joined(&[(0, &one[0]), (1, &other[1])]), Joined::Torn);
        assert_eq!(joined(&[(0, &one[0])]), Joined::Torn);
        let whole = Joined::Whole("abcdefgh".repeat(4).into_bytes());
        assert_eq!(joined(&[(0, &one[0]), (1, &one[1])]), whole);
        assert_eq!(joined(&[(0, &one[0]), (1, &other[1]), (1, "x"), (1, &one[1])]), whole, "planted beside it");
    }

    #[test]
    fn what_is_no_first_piece_is_foreign() {
        for value in ["", "1", "1abc", "0abcdefghi", "4abcdefghi", "abcdefghij", &"a".repeat(32)] {
            assert_eq!(joined(&[(0, value)]), Joined::Foreign, "{value}");
        }
    }

    #[test]
    fn what_the_browser_holds_is_counted_to_the_last_piece() {
        assert_eq!(held(&headers(&[]), "s"), 0);
        assert_eq!(held(&headers(&[(0, "x")]), "s"), 1);
        assert_eq!(held(&headers(&[(2, "x")]), "s"), 3);
    }

    proptest! {
        #[test]
        fn what_is_cut_is_joined_and_no_piece_is_longer_than_its_room(text in "[a-z]{8,200}", room in 0_usize..100) {
            match split(&text, room) {
                None => prop_assert!(text.len() > capacity(room) || room <= TAG),
                Some(pieces) => {
                    prop_assert!(text.len() <= capacity(room));
                    prop_assert!(pieces.iter().all(|piece| piece.len() <= room));
                    let pieces: Vec<(usize, &str)> = pieces.iter().map(String::as_str).enumerate().collect();
                    prop_assert_eq!(joined(&pieces), Joined::Whole(text.into_bytes()));
                }
            }
        }

        #[test]
        fn arbitrary_cookies_never_panic(value in "[ -:<-~]{0,60}", other in "[ -:<-~]{0,60}") {
            let _ = joined(&[(0, &value), (1, &other)]);
        }
    }
}
