//! The id that a client connection presented last, with its store key: a browser repeats it with each request.
//!
//! PERF: spares a digest per request, which costs more than finding and opening the session together.
//! SECURITY: it answers what the client itself has just proven to know, and lives no longer than the
//! connection, whose read buffer (HTTP/2: header table) keeps the same bytes. Whether the session lives is
//! asked of the store each time.

use std::cell::RefCell;

use super::id::Id;
use crate::store::Key;

/// One connection's memory; wiped when it ends.
#[derive(Debug, Default)]
pub struct Recall(RefCell<Option<(Id, Key)>>);

impl Recall {
    /// The store key of a cookie value, and whether it is the one presented last; `None` when the value cannot be an
    /// id of ours.
    pub(super) fn key(&self, value: &[u8]) -> Option<(Key, bool)> {
        if let Some((id, key)) = &*self.0.borrow()
            && id.is(value)
        {
            return Some((*key, true));
        }
        let id = Id::parse(value)?;
        let key = id.key();
        *self.0.borrow_mut() = Some((id, key));
        Some((key, false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_id_has_another_key_and_the_same_one_the_same() {
        let recall = Recall::default();
        let (ann, bob) = (Id::generate().unwrap(), Id::generate().unwrap());
        for id in [&ann, &ann, &bob, &ann, &bob, &bob] {
            assert_eq!(recall.key(id.reveal().as_bytes()).map(|(key, _)| key), Some(id.key()));
        }
        let mut other = *ann.reveal().as_bytes().first_chunk::<32>().unwrap();
        for at in 0..32 {
            recall.key(ann.reveal().as_bytes());
            other[at] = if other[at] == b'a' { b'b' } else { b'a' };
            assert_ne!(
                recall.key(&other),
                Some((ann.key(), true)),
                "they differ from place {at} on only in what came before"
            );
            other[at] = ann.reveal().as_bytes()[at];
        }
    }

    #[test]
    fn what_is_no_id_is_not_recalled() {
        let recall = Recall::default();
        let id = Id::generate().unwrap();
        recall.key(id.reveal().as_bytes());
        for value in ["", "short", &id.reveal()[1..], &id.reveal().to_uppercase().replace(char::is_numeric, "A")] {
            assert_eq!(recall.key(value.as_bytes()), None, "{value}");
        }
    }
}
