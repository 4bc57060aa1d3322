//! One request's hold on its session: what was found, and what is to be changed.
//!
//! Made by `manager::open`, given back to `manager::commit`. Owned by the request, so it needs no lock.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use super::alias::Rest;
use super::changes::Change;
use super::credentials::SealedCredentials;
use super::custody::VaultId;
use super::data::Data;
use super::expiry::Remaining;
use super::headers::View;
use super::id::{Id, NoRandomness};
use super::parked::{MOST_TICKETS, Ticket, TicketChange};
use super::record::{Record, Stored};
use super::seal::{Purpose, SealKey};
use crate::clock::Timestamp;
use crate::identity::Identity;
use crate::jar::Jar;
use crate::store::{Entry, Handle, Key};

/// A request's session, perhaps none yet.
#[derive(Debug, Default)]
pub struct Session {
    pub(super) found: Option<Found>,
    /// What `found` was before its account was found gone.
    pub(super) revoked: Option<Box<Found>>,
    /// A session that begins with this request.
    pub(super) fresh: Option<Box<Record>>,
    pub(super) changes: Vec<Change>,
    pub(super) presented: Presented,
    /// Values that are told to the app with this request, and gone from the store already.
    pub(super) flash: Data,
    pub(super) is_no_activity: bool,
    /// Those values have reached nobody, and go back to the store.
    pub(super) tells_again: bool,
    /// The answer is a failure (5xx); settled at commit.
    pub(super) has_failed: bool,
    /// It was said that what the app wanted kept is too large.
    pub(super) has_refused_data: Cell<bool>,
    /// The answer may bring the browser a new id because the old one is old; settled at commit.
    pub(super) may_rotate: bool,
    /// Where a sign-in stands, where sessions per user are limited; settled at commit.
    pub(super) turn: Option<Turn>,
    /// What a sign-in of a moment ago left under the id that the browser presented.
    pub(super) replaced: Option<Box<BeforeSignIn>>,
    /// The browser sent an id of our form, living or not.
    pub(super) came_with_id: bool,
    /// Whose session had expired under the id that the browser sent, if the store still knew.
    pub(super) expired_user: Option<Box<str>>,
    /// When the request was received.
    pub(super) opened: Timestamp,
    /// How many cookies of the session's the browser holds, where a long one is cut in pieces.
    pub(super) pieces: usize,
    /// The store did not answer: whose session it is, if any, is not known.
    pub(super) is_cut_off: bool,
}

/// What a user's counter of sign-ins showed before their sessions were counted: see `manager::limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    pub counter: Key,
    pub seen: u64,
}

/// What is still known of the id before a sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BeforeSignIn {
    /// Where the session went.
    pub successor: Key,
    /// A form that was sent out before the sign-in can still be sent in: it was clicked twice.
    pub rest: Rest,
}

/// What the browser's cookies of our name were.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presented {
    /// There were none.
    #[default]
    Nothing,
    /// None of them names a session, or not any more: the browser may forget them.
    Dead,
    /// One of them is the id before a sign-in of a moment ago: the browser may hold the id after it by now, which a
    /// deletion would take away.
    Replaced,
    /// One of them names a living session.
    Living,
    /// They name several: one was planted, and none is used.
    Contradictory,
}

/// A living session from the store.
#[derive(Debug)]
pub(super) struct Found {
    /// The id under which it lives; the browser may have presented the one before.
    pub id: Id,
    pub key: Key,
    pub entry: Arc<Entry>,
    pub remaining: Remaining,
    /// Keys of the replaced ids that lead here, that which the browser presented first; mostly none.
    pub via: Vec<Key>,
    /// The browser does not have this id under this name yet.
    pub offer: bool,
}

/// What the browser has to do with the id under which its session lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// It came with this id.
    Own,
    /// It came with the one before, and nobody has used this one yet: it is offered.
    Offered,
    /// It came with one before, and this one is in use. SECURITY: the browser has it, or it is a thief that comes:
    /// if it were given the id once more, the two could never be told apart.
    Withheld,
}

impl Found {
    pub(super) fn record(&self) -> Option<&Record> {
        record_of(&self.entry)
    }

    pub(super) fn hold(&self) -> Hold {
        match self.via.is_empty() {
            true => Hold::Own,
            false if self.offer => Hold::Offered,
            false => Hold::Withheld,
        }
    }
}

/// What `entry` holds, opened by its id if it is sealed.
pub(super) fn opened<'e>(entry: &'e Entry, id: &Id) -> Option<&'e Stored> {
    let key = || SealKey::of(id, &Purpose::Record);
    entry.decoded(|bytes| Stored::decode(bytes, key))?.as_ref()
}

/// The same of an entry that was opened before, or that no id is needed for.
pub(super) fn stored_in(entry: &Entry) -> Option<&Stored> {
    match entry.already_decoded::<Option<Stored>>() {
        Some(stored) => stored.as_ref(),
        // Not decoded here: others who share the entry have its id.
        None if Stored::is_sealed(&entry.bytes()) => None,
        None => entry.decoded(|bytes| Stored::decode(bytes, || None))?.as_ref(),
    }
}

pub(super) fn record_of(entry: &Entry) -> Option<&Record> {
    stored_in(entry)?.session()
}

impl<'a> From<&'a Session> for View<'a> {
    fn from(session: &'a Session) -> Self {
        Self {
            handle: session.handle(),
            created: session.created(),
            expires_in: session.expires_in(),
            data: session.data(),
            flash: session.flash(),
        }
    }
}

impl Session {
    /// The signed-in user.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.record()?.identity.as_ref()
    }

    /// The session's name in logs and lists.
    #[must_use]
    pub fn handle(&self) -> Option<Handle> {
        self.found.as_ref().map(|found| found.entry.meta.handle)
    }

    /// When it began.
    #[must_use]
    pub fn created(&self) -> Option<Timestamp> {
        self.found.as_ref().map(|found| found.entry.meta.created)
    }

    /// What is left of it: until the idle timeout, and until the absolute one.
    #[must_use]
    pub fn remaining(&self) -> Option<(Option<Duration>, Duration)> {
        self.found.as_ref().map(|found| (found.remaining.idle, found.remaining.absolute))
    }

    /// What is left of it if nobody uses it.
    #[must_use]
    pub fn expires_in(&self) -> Option<Duration> {
        self.remaining().map(|(idle, absolute)| idle.map_or(absolute, |idle| idle.min(absolute)))
    }

    /// The app's data, a JSON object on one line of ASCII.
    #[must_use]
    pub fn data(&self) -> &str {
        self.record().map_or("{}", |record| record.data.text())
    }

    /// The cookies that are kept in a vault.
    #[must_use]
    pub fn jar(&self, vault: VaultId) -> Option<&Jar> {
        self.record()?.custody.jar(vault)
    }

    /// Forms that are kept for it, or were a moment ago.
    #[must_use]
    pub fn tickets(&self) -> &[Ticket] {
        self.record().map_or(&[], |record| record.custody.tickets())
    }

    /// Whether a form that finds nobody signed in may be kept for this session: it has ended, or nobody is signed in to
    /// it. SECURITY: not for who never had one, nor for who must not get at the one after a sign-in.
    #[must_use]
    pub fn may_park(&self) -> bool {
        let has_ended = self.presented == Presented::Dead && self.came_with_id && self.revoked.is_none();
        let is_nobodys = self.found.is_some() && self.identity().is_none();
        let waiting = self.tickets().iter().filter(|ticket| ticket.is_open(&ticket.errand.host, self.opened)).count();
        (has_ended || is_nobodys) && waiting < MOST_TICKETS
    }

    /// Whose session had expired, if that is known.
    #[must_use]
    pub fn expired_user(&self) -> Option<&str> {
        self.expired_user.as_deref()
    }

    /// Records what becomes of a form.
    pub fn record_ticket(&mut self, change: TicketChange) {
        self.changes.push(Change::Ticket(Box::new(change)));
    }

    /// How often the gateway has signed the user on to the app of this vault.
    #[must_use]
    pub fn signed_on(&self, vault: VaultId) -> Option<u32> {
        self.record()?.custody.signed_on(vault)
    }

    /// What the user has typed at sign-in, if it is kept.
    pub(super) fn credentials(&self) -> Option<&SealedCredentials> {
        self.record()?.custody.credentials()
    }

    /// Values for this request only, as above.
    #[must_use]
    pub fn flash(&self) -> &str {
        self.flash.text()
    }

    /// The secret behind form tokens, if there is a session.
    #[must_use]
    pub fn csrf(&self) -> Option<&[u8; 16]> {
        let before = self.replaced.as_ref().map(|before| &before.rest.csrf);
        self.record().map(|record| &record.csrf).or(before)
    }

    /// The secret behind form tokens; begins a session if there is none.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn csrf_or_begin(&mut self, now: Timestamp) -> Result<[u8; 16], NoRandomness> {
        if let Some(secret) = self.csrf() {
            return Ok(*secret);
        }
        let record = Record::new(now)?;
        let secret = record.csrf;
        self.fresh = Some(Box::new(record));
        self.changes.push(Change::Begin);
        Ok(secret)
    }

    /// Signs the session in: from the commit on it has a new id.
    pub fn sign_in(&mut self, identity: Identity, remember: bool) {
        self.changes.push(Change::SignIn { identity: Box::new(identity), remember, vault: None });
    }

    /// Keeps what was typed at the sign-in that was just recorded.
    pub fn keep_credentials(&mut self, sealed: SealedCredentials) {
        self.changes.push(Change::Credentials(Box::new(sealed)));
    }

    /// No session, because the store does not answer: nothing that is recorded on it is kept.
    #[must_use]
    pub fn cut_off() -> Self {
        Self { is_cut_off: true, ..Self::default() }
    }

    /// Ends the session.
    pub fn end(&mut self) {
        self.changes.push(Change::Flush);
    }

    /// Records what an app or a rule wants done.
    pub fn record_changes(&mut self, changes: Vec<Change>) {
        self.changes.extend(changes);
    }

    /// The app was not asked, or in vain: what it was told once, it is told once more.
    pub fn was_told_in_vain(&mut self) {
        self.tells_again = true;
    }

    /// Ends the session because its account is gone: from here on the request is anonymous.
    pub fn revoke(&mut self) {
        self.revoked = self.found.take().map(Box::new);
    }

    /// This request does not keep the session alive.
    pub fn not_an_activity(&mut self) {
        self.is_no_activity = true;
    }

    /// Whether a new session may come of this request: one was begun, or one of our own pages may begin it.
    #[must_use]
    pub fn will_change(&self) -> bool {
        !self.is_cut_off && (!self.changes.is_empty() || self.found.is_none())
    }

    fn record(&self) -> Option<&Record> {
        self.fresh.as_deref().or_else(|| self.found.as_ref()?.record())
    }
}
