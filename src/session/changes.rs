//! What a request wants done to its session: recorded operations, applied to the latest version at commit.
//!
//! Recorded by `auth` and `pipeline`, applied by `manager`. An operation says what to do, never what the
//! result is, so two requests in parallel do not undo each other.

use super::record::Record;
use crate::clock::Timestamp;
use crate::identity::Identity;

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Keep a session even if nothing else happens: there is a form token to remember.
    Begin,
    /// Somebody has proven who they are: a new id, and the data stays unless it was another user's.
    SignIn(Identity),
    /// The session ends: data, id and cookie go.
    End,
}

impl Change {
    /// Whether the browser must get a new id.
    #[must_use]
    pub fn rotates(&self) -> bool {
        matches!(self, Self::SignIn(_))
    }

    /// Applies the operation to `record`.
    pub fn apply(&self, record: &mut Record, now: Timestamp) {
        match self {
            Self::Begin | Self::End => {}
            Self::SignIn(identity) => {
                let other = record.identity.as_ref().is_some_and(|before| before.user != identity.user);
                if other {
                    record.data.clear();
                }
                record.identity = Some(identity.clone());
                record.since = now;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(user: &str) -> Identity {
        Identity {
            user: user.into(),
            name: None,
            email: None,
            groups: vec![],
            since: Timestamp(9),
            proof: [0; 8],
            rendered: Default::default(),
            vouched: Default::default(),
        }
    }

    fn sign_in(before: Option<&str>, user: &str) -> Record {
        let mut record = Record::new(Timestamp(1)).unwrap();
        record.identity = before.map(identity);
        record.data.insert("cart".into(), 3.into());
        Change::SignIn(identity(user)).apply(&mut record, Timestamp(9));
        record
    }

    #[test]
    fn anonymous_data_and_the_same_users_data_stay_at_sign_in() {
        assert_eq!(sign_in(None, "ann").data.len(), 1);
        assert_eq!(sign_in(Some("ann"), "ann").data.len(), 1);
    }

    #[test]
    fn another_users_data_is_flushed_at_sign_in() {
        let record = sign_in(Some("bob"), "ann");
        assert!(record.data.is_empty());
        assert_eq!(&*record.identity.unwrap().user, "ann");
    }

    #[test]
    fn the_absolute_timeout_counts_from_sign_in() {
        assert_eq!(sign_in(None, "ann").since, Timestamp(9));
    }
}
