//! What a request wants done to its session: recorded operations, applied to the latest version at commit.
//!
//! Recorded by `auth`, `rules`, `headers` and `pipeline`, applied by `commit`. An operation says what to do,
//! never what the result is, so two requests in parallel do not undo each other.

use std::time::Duration;

use serde_json::Value;

use super::credentials::SealedCredentials;
use super::custody::VaultId;
use super::data::{self, Map};
use super::parked::TicketChange;
use super::record::Record;
use crate::clock::Timestamp;
use crate::identity::Identity;
use crate::jar;

/// One operation.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Keep a session even if nothing else happens: there is a form token to remember.
    Begin,
    /// Somebody has proven to the gateway who they are: a new id, and the data stays unless it was another user's.
    SignIn {
        /// Who.
        identity: Box<Identity>,
        /// The box "remember me" was ticked.
        remember: bool,
        /// Where the cookies of the app lie that has signed them in; those stay, whoever was there before.
        vault: Option<VaultId>,
    },
    /// The app says who it is: as above, and nothing at all when that is known already.
    AppSignIn {
        /// Who.
        identity: Box<Identity>,
        /// Where its cookies lie.
        vault: Option<VaultId>,
    },
    /// An app sets and deletes cookies that the browser does not see.
    Cookies(Box<CookieChanges>),
    /// A form is kept for the session, or one that was has come further.
    Ticket(Box<TicketChange>),
    /// Keeps what was typed at the sign-in before it.
    Credentials(Box<SealedCredentials>),
    /// The gateway has signed the user on to the app of this vault, for so many times now.
    SignedOn(VaultId, u32),
    /// Sets one value.
    Set(Box<str>, Value),
    /// Removes one value.
    Unset(Box<str>),
    /// A JSON merge patch (RFC 7396) on the data.
    Merge(Map),
    /// Adds to a number; what is absent or no number counts as 0.
    Increment(Box<str>, Step),
    /// Sets a value that the app is told once, with the next request.
    Flash(Box<str>, Value),
    /// Empties the data; id and user stay (Django's `clear`).
    Clear,
    /// Gives the browser a new id (Django's `cycle_key`).
    Rotate,
    /// Ends all other sessions of the user and gives this one a new id: a password was changed.
    RevokeOthers,
    /// When the session ends, instead of the policy's times (Django's `set_expiry`).
    Expiry(Expiry),
    /// The session ends: data, user, id and cookie go. What is recorded after it begins another.
    Flush,
}

/// What [`Change::Increment`] adds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// A whole number.
    Whole(i64),
    /// Any other.
    Real(f64),
}

/// What one answer does to the cookies of its app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieChanges {
    /// Where they lie.
    pub vault: VaultId,
    /// All that were there go first (`Clear-Site-Data`).
    pub empties: bool,
    /// In the order of the answer's lines.
    pub operations: Vec<jar::Operation>,
}

/// When a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub enum Expiry {
    /// As configured.
    #[default]
    Policy,
    /// So long after the last activity, instead of the idle timeout.
    Sliding(Duration),
    /// At this moment, used or not.
    At(Timestamp),
    /// As configured, and when the browser closes.
    Browser,
}

impl Change {
    /// Whether the operation concerns what an app keeps: dropped when the app has failed (5xx), as Django does.
    #[must_use]
    pub fn is_dropped_on_failure(&self) -> bool {
        match self {
            Self::Begin | Self::SignIn { .. } | Self::Credentials(_) | Self::Flush | Self::RevokeOthers => false,
            // Browsers keep the cookies of an error page; and a form that was sent is sent.
            Self::Cookies(_) | Self::Ticket(_) => false,
            _ => true,
        }
    }

    /// Whether who comes with the id before a sign-in may want it.
    #[must_use]
    pub fn is_open_to_strangers(&self) -> bool {
        matches!(self, Self::Begin | Self::SignIn { .. } | Self::Credentials(_) | Self::Flush | Self::RevokeOthers)
    }

    /// Whether the gateway itself wants it, not the app.
    #[must_use]
    pub fn is_the_gateways_own(&self) -> bool {
        matches!(self, Self::Begin | Self::SignIn { .. })
    }

    /// Whether it makes the data larger.
    #[must_use]
    pub fn is_of_data(&self) -> bool {
        matches!(self, Self::Set(..) | Self::Merge(_) | Self::Increment(..) | Self::Flash(..))
    }

    /// Whom it signs in.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::SignIn { identity, .. } | Self::AppSignIn { identity, .. } => Some(&identity.user),
            _ => None,
        }
    }

    /// Whether it says of a session what is known already, or takes away what is not there.
    #[must_use]
    pub fn is_idle(&self, record: &Record) -> bool {
        match self {
            Self::AppSignIn { identity, .. } => {
                record.identity.as_ref().is_some_and(|known| identity.is_the_same_as(known))
            }
            Self::Unset(key) => !record.data.map().contains_key(&**key),
            Self::Merge(patch) if patch.values().all(Value::is_null) => {
                let data = record.data.map();
                !patch.keys().any(|key| data.contains_key(key))
            }
            Self::Expiry(expiry) => *expiry == Expiry::Policy && record.expiry == Expiry::Policy,
            _ => false,
        }
    }

    /// The sign-in, if it is one, is by the word of the app whose cookies lie in `vault`.
    #[must_use]
    pub fn vouched_for_in(self, vault: Option<VaultId>) -> Self {
        match self {
            Self::AppSignIn { identity, .. } => Self::AppSignIn { identity, vault },
            other => other,
        }
    }

    /// Whether what was kept before may be gone after it.
    #[must_use]
    pub fn may_end_custody(&self) -> bool {
        matches!(self, Self::Flush) || self.user().is_some()
    }

    /// Applies the operation to what is kept.
    pub(super) fn apply(&self, record: &mut Record, now: Timestamp) {
        match self {
            Self::Begin | Self::Rotate | Self::RevokeOthers | Self::Flush => {}
            Self::SignIn { identity, remember, vault } => {
                sign_in(record, identity, *vault, now);
                record.remember = *remember;
            }
            Self::AppSignIn { .. } if self.is_idle(record) => {}
            Self::AppSignIn { identity, vault } => sign_in(record, identity, *vault, now),
            Self::Cookies(changes) => record.custody.apply(changes, now),
            Self::Ticket(change) => record.custody.apply_ticket(change, now),
            Self::Credentials(sealed) => record.custody.keep_credentials(Some((**sealed).clone())),
            Self::SignedOn(vault, times) => record.custody.sign_on(*vault, *times),
            Self::Expiry(expiry) => record.expiry = *expiry,
            Self::Clear => {
                record.data.clear();
                // In Django the expiry is part of the data.
                record.expiry = Expiry::Policy;
            }
            Self::Flash(key, value) => record.flash.edit(|map| drop(map.insert((**key).into(), value.clone()))),
            Self::Set(key, value) => record.data.edit(|map| drop(map.insert((**key).into(), value.clone()))),
            Self::Unset(key) => record.data.edit(|map| drop(map.shift_remove(&**key))),
            Self::Merge(patch) => record.data.edit(|map| data::merge(map, patch)),
            Self::Increment(key, step) => record.data.edit(|map| increment(map, key, *step)),
        }
    }
}

fn sign_in(record: &mut Record, identity: &Identity, vault: Option<VaultId>, now: Timestamp) {
    let other = record.identity.as_ref().is_some_and(|before| before.user != identity.user);
    if other {
        record.data.clear();
        record.flash.clear();
        record.custody.hand_over(vault);
        record.expiry = Expiry::Policy;
    }
    record.custody.claim(&identity.user);
    // SECURITY: they were typed at another sign-in, perhaps by another person with the same name.
    if record.custody.credentials().is_some() {
        record.custody.keep_credentials(None);
    }
    record.identity = Some(identity.clone());
    record.remember = false;
    record.since = now;
}

/// Beyond 64 bits a whole number goes on as a real one, as JavaScript's do.
fn increment(map: &mut Map, key: &str, step: Step) {
    let present = map.get(key);
    let sum = match (present.and_then(Value::as_i64), step) {
        (Some(number), Step::Whole(by)) if number.checked_add(by).is_some() => Value::from(number + by),
        (None, Step::Whole(by)) if !present.is_some_and(Value::is_number) => Value::from(by),
        (_, step) => {
            let number = present.and_then(Value::as_f64).unwrap_or_default();
            let by = match step {
                Step::Whole(by) => by as f64,
                Step::Real(by) => by,
            };
            // Not a number and infinity have no JSON: the value then stays as it is.
            serde_json::Number::from_f64(number + by).map_or_else(|| number.into(), Value::Number)
        }
    };
    map.insert(key.into(), sum);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn record(user: Option<&str>) -> Record {
        let mut record = Record::new(Timestamp(1)).unwrap();
        record.identity = user.map(Identity::named);
        record.data.edit(|map| drop(map.insert("cart".into(), 3.into())));
        record
    }

    fn after(changes: &[Change]) -> Value {
        let mut record = record(None);
        changes.iter().for_each(|change| change.apply(&mut record, Timestamp(9)));
        Value::Object(record.data.map())
    }

    fn sign_in(before: Option<&str>, user: &str) -> Record {
        let mut record = record(before);
        let identity = Box::new(Identity::named(user));
        Change::SignIn { identity, remember: false, vault: None }.apply(&mut record, Timestamp(9));
        record
    }

    #[test]
    fn anonymous_data_and_the_same_users_data_stay_at_sign_in() {
        assert_eq!(sign_in(None, "ann").data.map().len(), 1);
        assert_eq!(sign_in(Some("ann"), "ann").data.map().len(), 1);
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

    #[test]
    fn values_are_set_removed_merged_and_cleared() {
        let set = |key: &str, value| Change::Set(key.into(), value);
        assert_eq!(after(&[set("a", json!([1]))]), json!({"cart": 3, "a": [1]}));
        assert_eq!(after(&[Change::Unset("cart".into()), Change::Unset("none".into())]), json!({}));
        assert_eq!(after(&[Change::Clear, set("a", Value::Null)]), json!({"a": null}));
        let patch = json!({"cart": null, "a": {"b": 1, "c": null}}).as_object().cloned().unwrap();
        assert_eq!(after(&[Change::Merge(patch)]), json!({"a": {"b": 1}}));
    }

    #[test]
    fn increments_add_up_and_never_wrap() {
        let add = |key: &str, by| Change::Increment(key.into(), by);
        let two = after(&[add("cart", Step::Whole(2)), add("n", Step::Whole(-1)), add("x", Step::Real(0.5))]);
        assert_eq!(two, json!({"cart": 5, "n": -1, "x": 0.5}));
        let far = after(&[add("n", Step::Whole(i64::MAX)), add("n", Step::Whole(1))]);
        assert_eq!(far["n"], json!(9_223_372_036_854_775_808.0));
        assert_eq!(after(&[Change::Set("n".into(), json!("text")), add("n", Step::Whole(1))])["n"], json!(1));
    }

    proptest! {
        #[test]
        fn increments_commute(steps in proptest::collection::vec(-1000..1000_i64, 0..20)) {
            let all = |steps: &mut dyn Iterator<Item = &i64>| {
                after(&steps.map(|by| Change::Increment("n".into(), Step::Whole(*by))).collect::<Vec<_>>())
            };
            prop_assert_eq!(all(&mut steps.iter()), all(&mut steps.iter().rev()));
        }
    }
}
