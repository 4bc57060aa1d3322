//! What a session keeps for the apps behind, and from the browser: each app's cookies, in a jar of their own, the tickets
//! of forms that wait to be sent, and what it takes to sign on there.
//!
//! Part of a `Record`, so it is sealed with it, moves with it when the id changes, and ends with it. Changed by
//! [`Change`](super::Change)s alone, operation by operation, so that answers in parallel lose nothing of each other.

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::changes::CookieChanges;
use super::credentials::SealedCredentials;
use super::parked::{MOST_TICKETS, State, Ticket, TicketChange};
use crate::clock::Timestamp;
use crate::jar::Jar;

/// Which jar, and so which app: routes that name the same vault share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VaultId([u8; 8]);

impl VaultId {
    /// The vault that is called so in the configuration.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let digest = digest(&SHA256, name.as_bytes());
        let mut id = [0; 8];
        id.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
        Self(id)
    }

    /// To be compared with, where an identity rests on that app's word.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

// PERF: most sessions keep nothing here, and then it is one word.
/// All that one session keeps for apps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Custody(Option<Box<Content>>);

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Content {
    jars: Vec<(VaultId, Jar)>,
    tickets: Vec<Ticket>,
    /// Where the gateway has signed the user on, and how often.
    signed_on: Vec<(VaultId, u32)>,
    /// What the user has typed at the gateway's own form.
    credentials: Option<SealedCredentials>,
}

impl Custody {
    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The cookies in a vault; `None` when there are none.
    #[must_use]
    pub fn jar(&self, vault: VaultId) -> Option<&Jar> {
        let jars = &self.0.as_ref()?.jars;
        jars.iter().find(|(id, _)| *id == vault).map(|(_, jar)| jar)
    }

    /// Forms that are kept for this session, or were a moment ago.
    #[must_use]
    pub fn tickets(&self) -> &[Ticket] {
        self.0.as_ref().map_or(&[], |content| &content.tickets)
    }

    /// Does to the tickets what a request asked for.
    pub(super) fn apply_ticket(&mut self, change: &TicketChange, now: Timestamp) {
        self.edit(|content| match change {
            TicketChange::Keep(ticket) => content.keep(ticket, now),
            TicketChange::Mark(handle, state) => {
                content.tickets.iter_mut().filter(|one| one.handle() == *handle).for_each(|one| one.mark(*state));
            }
        });
    }

    /// Somebody has signed in: what was another user's is not for them.
    pub(super) fn claim(&mut self, user: &str) {
        if !self.tickets().is_empty() {
            self.edit(|content| content.tickets.retain(|ticket| ticket.is_of(user)));
        }
    }

    /// How often the gateway has signed the user on to the app of this vault; `None`: not yet.
    #[must_use]
    pub fn signed_on(&self, vault: VaultId) -> Option<u32> {
        let signed_on = &self.0.as_ref()?.signed_on;
        signed_on.iter().find(|(id, _)| *id == vault).map(|(_, times)| *times)
    }

    /// What the user has typed.
    #[must_use]
    pub fn credentials(&self) -> Option<&SealedCredentials> {
        self.0.as_ref()?.credentials.as_ref()
    }

    /// The app of this vault has let the user in, for so many times now.
    pub(super) fn sign_on(&mut self, vault: VaultId, times: u32) {
        self.edit(|content| {
            content.signed_on.retain(|(id, _)| *id != vault);
            content.signed_on.push((vault, times));
        });
    }

    /// Keeps what was typed at a sign-in; `None`: nothing any more.
    pub(super) fn keep_credentials(&mut self, credentials: Option<SealedCredentials>) {
        self.edit(|content| content.credentials = credentials);
    }

    /// Does to a jar what an answer asked for.
    pub(super) fn apply(&mut self, changes: &CookieChanges, now: Timestamp) {
        self.edit(|content| {
            let jar = content.jar(changes.vault);
            if changes.empties {
                *jar = Jar::default();
            }
            changes.operations.iter().for_each(|operation| jar.apply(operation, now));
        });
    }

    /// Another user from here on. SECURITY: an app may go by its own cookie and not look at the user we name, so
    /// nothing of the one before may reach it; only the app that has just signed this user in knows its cookies are theirs.
    pub(super) fn hand_over(&mut self, kept: Option<VaultId>) {
        self.edit(|content| {
            content.jars.retain(|(id, _)| Some(*id) == kept);
            content.tickets.clear();
            content.signed_on.clear();
        });
    }

    fn edit(&mut self, change: impl FnOnce(&mut Content)) {
        let mut content = self.0.take().unwrap_or_default();
        change(&mut content);
        content.jars.retain(|(_, jar)| !jar.is_empty());
        let is_empty = content.jars.is_empty()
            && content.tickets.is_empty()
            && content.signed_on.is_empty()
            && content.credentials.is_none();
        self.0 = (!is_empty).then_some(content);
    }
}

impl Content {
    /// The oldest of those that nobody can send any more make room; a session with too many is not offered another.
    fn keep(&mut self, ticket: &Ticket, now: Timestamp) {
        while self.tickets.len() >= MOST_TICKETS {
            let is_over = |one: &Ticket| one.state == State::Gone || one.ends <= now;
            let at = self.tickets.iter().position(is_over).unwrap_or_default();
            self.tickets.remove(at);
        }
        self.tickets.push(ticket.clone());
    }

    fn jar(&mut self, vault: VaultId) -> &mut Jar {
        let at = self.jars.iter().position(|(id, _)| *id == vault).unwrap_or_else(|| {
            self.jars.push((vault, Jar::default()));
            self.jars.len() - 1
        });
        &mut self.jars[at].1
    }
}
