//! Who may pass: judges an identity against a route's `access`, and hands out the [`Permit`].
//!
//! Called by `pipeline`, once per request; `proxy::forward` takes nothing without a permit, and only a
//! permit carries an identity to the app. Sessions and headers are unknown here.

use crate::config::schema::Access;
use crate::identity::Identity;

/// Proof that the policy was asked. Only [`decide`] makes one.
#[derive(Debug)]
pub struct Permit<'a> {
    identity: Option<&'a Identity>,
}

impl<'a> Permit<'a> {
    /// The user the app is told of, if somebody is signed in.
    #[must_use]
    pub fn identity(&self) -> Option<&'a Identity> {
        self.identity
    }
}

/// The answer.
#[derive(Debug)]
pub enum Decision<'a> {
    /// Go on.
    Allow(Permit<'a>),
    /// Nobody is signed in, and somebody must be.
    Login,
    /// The user is known and not entitled.
    Deny,
}

/// Judges `identity` against `access`.
#[must_use]
pub fn decide<'a>(access: &Access, identity: Option<&'a Identity>) -> Decision<'a> {
    match (access, identity) {
        (Access::Public, _) | (Access::User, Some(_)) => Decision::Allow(Permit { identity }),
        (Access::Groups(groups), Some(user)) if user.is_in_any(groups) => Decision::Allow(Permit { identity }),
        (Access::Groups(_), Some(_)) => Decision::Deny,
        (Access::User | Access::Groups(_), None) => Decision::Login,
    }
}

/// The way to the app's own sign-in, which strangers must be able to go: a permit that names nobody.
#[must_use]
pub fn to_the_sign_in() -> Permit<'static> {
    Permit { identity: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn ann(groups: &[&str]) -> Identity {
        let groups = groups.iter().map(|group| (*group).into()).collect();
        Identity {
            user: "ann".into(),
            name: None,
            email: None,
            groups,
            since: Timestamp(0),
            source: Default::default(),
            proof: [0; 8],
            rendered: Default::default(),
            vouched: Default::default(),
        }
    }

    #[test]
    fn a_public_route_names_the_user_when_there_is_one() {
        let ann = ann(&[]);
        assert!(matches!(decide(&Access::Public, None), Decision::Allow(Permit { identity: None })));
        assert!(matches!(decide(&Access::Public, Some(&ann)), Decision::Allow(Permit { identity: Some(_) })));
    }

    #[test]
    fn a_user_route_asks_strangers_to_sign_in() {
        assert!(matches!(decide(&Access::User, None), Decision::Login));
        assert!(matches!(decide(&Access::User, Some(&ann(&[]))), Decision::Allow(_)));
    }

    #[test]
    fn a_group_route_takes_members_only() {
        let access = Access::Groups(vec!["staff".into(), "ops".into()]);
        assert!(matches!(decide(&access, Some(&ann(&["ops"]))), Decision::Allow(_)));
        assert!(matches!(decide(&access, Some(&ann(&["Staff", "op"]))), Decision::Deny));
        assert!(matches!(decide(&access, None), Decision::Login));
        assert!(matches!(decide(&Access::Groups(vec![]), Some(&ann(&["ops"]))), Decision::Deny));
    }
}
