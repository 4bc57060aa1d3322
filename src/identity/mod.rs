//! Who somebody is, once proven, and how an app is told so.
//!
//! `auth` makes an [`Identity`], `session` keeps it, `policy` judges by it, `headers` writes it into
//! requests. Nothing here decides who may do what.

pub mod headers;
mod template;

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// A signed-in user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The canonical account name.
    pub user: Box<str>,
    /// Name for people.
    pub name: Option<Box<str>>,
    /// E-mail address.
    pub email: Option<Box<str>>,
    /// Groups, in the order of their source.
    pub groups: Vec<Box<str>>,
    /// When this was proven.
    pub since: Timestamp,
    /// Who vouches for it.
    pub source: Source,
    /// What the sign-in rested on, for its source to compare: see `auth::users::Proof`.
    pub proof: [u8; 8],
    /// The state of its source in which it was last found to hold.
    #[serde(skip)]
    pub vouched: Vouched,
    /// PERF: the headers as they were last written for an app.
    #[serde(skip)]
    pub rendered: headers::Rendered,
}

/// A number that its source makes something of; a fresh identity has 0. It takes no part in comparisons.
#[derive(Debug, Default)]
pub struct Vouched(AtomicU64);

impl Vouched {
    /// The number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Another number.
    pub fn set(&self, number: u64) {
        self.0.store(number, Ordering::Relaxed);
    }
}

impl Clone for Vouched {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Vouched {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Vouched {}

/// Who vouches for an identity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// The gateway's own form: its users table is asked for as long as the session lives.
    #[default]
    Form,
    /// The app itself.
    App,
}

impl Identity {
    /// A user of whom nothing but the name is known.
    #[must_use]
    pub fn named(user: &str) -> Self {
        Self {
            user: user.into(),
            name: None,
            email: None,
            groups: Vec::new(),
            since: Timestamp(0),
            source: Source::Form,
            proof: [0; 8],
            vouched: Vouched::default(),
            rendered: headers::Rendered::default(),
        }
    }

    /// Whether both are the same person with the same rights and the same voucher.
    #[must_use]
    pub fn is_the_same_as(&self, other: &Self) -> bool {
        let facts =
            |identity: &Self| (identity.source, identity.user.clone(), identity.name.clone(), identity.email.clone());
        facts(self) == facts(other) && self.groups == other.groups
    }

    /// Whether the user is in at least one of `groups`.
    #[must_use]
    pub fn is_in_any(&self, groups: &[String]) -> bool {
        self.groups.iter().any(|own| groups.iter().any(|wanted| **own == **wanted))
    }
}
