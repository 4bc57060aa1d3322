//! Forms that were sent when their session had ended: what is kept of them, where, and how it is sealed.
//!
//! The form itself lies in the store under a key of its own, sealed; the [`Ticket`] that finds and opens it lies in the
//! custody of the browser's session, so it is sealed with that at rest, moves with it at sign-in and ends with it.
//! `manager::parking` keeps and takes, `pipeline` and `auth` decide when. Nothing here knows a store.

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::HeaderValue;
use serde::{Deserialize, Serialize};

use super::id::{NoRandomness, random_bytes};
use super::record::SEALED_FORM;
use super::seal::SealKey;
use crate::clock::Timestamp;
use crate::store::{Handle, Key};

/// So many forms of one session may wait; two or three open tabs are common.
pub const MOST_TICKETS: usize = 4;

/// A form as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct Form {
    /// `Content-Type`; that of a multipart form says where its parts end.
    pub content_type: Option<HeaderValue>,
    /// Byte for byte.
    pub body: Bytes,
}

/// What the session has of a form that is kept for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    key: SealKey,
    /// Where it goes.
    pub errand: Errand,
    /// Bytes of the form.
    pub size: u64,
    /// From here on it is gone.
    pub ends: Timestamp,
    /// What has become of it.
    pub state: State,
}

/// Where a form was going, and from whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errand {
    /// The host that was asked.
    pub host: Box<str>,
    /// Path and query.
    pub target: Box<str>,
    /// `Referer`: the page with the form.
    pub from: Option<Box<str>>,
    /// Whose session had ended, if that is known. SECURITY: nobody else may send it.
    pub user: Option<Box<str>>,
}

/// What has become of a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// It waits, and nobody was asked.
    Waiting,
    /// The question was shown.
    Asked,
    /// It was sent or discarded. The ticket stays for a while, to know a second click.
    Gone,
}

/// What a request does to the tickets of its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TicketChange {
    /// One more.
    Keep(Ticket),
    /// This one has come so far.
    Mark(Handle, State),
}

impl Ticket {
    /// A new one.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn new(errand: Errand, size: u64, ends: Timestamp) -> Result<Self, NoRandomness> {
        Ok(Self { key: SealKey::from_bytes(random_bytes()?), errand, size, ends, state: State::Waiting })
    }

    /// Its name on pages. Leads to nothing without the session.
    #[must_use]
    pub fn handle(&self) -> Handle {
        let mut handle = [0; 8];
        handle.copy_from_slice(&self.store_key().0[..8]);
        Handle(handle)
    }

    /// Where the form lies. No session id has this key: there is no zero byte in one.
    #[must_use]
    pub fn store_key(&self) -> Key {
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, &[b"parked form\0", self.key.as_bytes().as_slice()].concat()).as_ref());
        Key(key)
    }

    /// Whether `user` on `host` may still send it.
    #[must_use]
    pub fn is_open_to(&self, user: &str, host: &str, now: Timestamp) -> bool {
        self.is_open(host, now) && self.is_of(user)
    }

    /// Whether somebody on `host` may still send it, once signed in.
    #[must_use]
    pub fn is_open(&self, host: &str, now: Timestamp) -> bool {
        self.state != State::Gone && now < self.ends && &*self.errand.host == host
    }

    /// Never back: what has gone stays gone.
    pub(super) fn mark(&mut self, state: State) {
        if self.state != State::Gone {
            self.state = state;
        }
    }

    pub(super) fn is_of(&self, user: &str) -> bool {
        self.errand.user.as_deref().is_none_or(|known| known == user)
    }

    /// The form as the store gets it, whatever the store.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub(super) fn seal(&self, form: &Form) -> Result<Box<[u8]>, NoRandomness> {
        let written = Written { content_type: form.content_type.as_ref().map(HeaderValue::as_bytes), body: &form.body };
        let content = zeroize::Zeroizing::new(postcard::to_allocvec(&written).map_err(|_| NoRandomness)?);
        let sealed = self.key.seal(&SEALED_FORM, &content)?;
        Ok([SEALED_FORM.as_slice(), &sealed].concat().into())
    }

    /// The form again; `None` for what this ticket did not seal.
    pub(super) fn open(&self, stored: &[u8]) -> Option<Form> {
        let content = self.key.open(&SEALED_FORM, stored.strip_prefix(&SEALED_FORM)?)?;
        let Written { content_type, body } = postcard::from_bytes(&content).ok()?;
        let content_type = content_type.map(HeaderValue::from_bytes).transpose().ok()?;
        Some(Form { content_type, body: Bytes::copy_from_slice(body) })
    }
}

#[derive(Serialize, Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    content_type: Option<&'a [u8]>,
    #[serde(borrow)]
    body: &'a [u8],
}

// SECURITY: forms hold what nobody but the app should read.
impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Form").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ticket(user: Option<&str>) -> Ticket {
        let errand = Errand { host: "a.example".into(), target: "/x?y".into(), from: None, user: user.map(Into::into) };
        Ticket::new(errand, 0, Timestamp(10)).unwrap()
    }

    #[test]
    fn another_ticket_opens_nothing_and_no_name_leads_anywhere() {
        let (one, other) = (ticket(None), ticket(None));
        let form = Form { content_type: Some(HeaderValue::from_static("a/b")), body: Bytes::from_static(b"secret") };
        let sealed = one.seal(&form).unwrap();
        assert_eq!(one.open(&sealed), Some(form));
        assert_eq!(other.open(&sealed), None);
        assert_ne!(one.handle(), other.handle());
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
    }

    #[test]
    fn it_is_open_to_its_user_on_its_host_until_its_end() {
        let (anybodys, anns) = (ticket(None), ticket(Some("ann")));
        let now = Timestamp(9);
        assert!(anybodys.is_open_to("bob", "a.example", now) && anns.is_open_to("ann", "a.example", now));
        assert!(!anns.is_open_to("bob", "a.example", now));
        assert!(!anns.is_open_to("ann", "b.example", now) && !anns.is_open_to("ann", "a.example", Timestamp(10)));
        assert!(!Ticket { state: State::Gone, ..anns }.is_open_to("ann", "a.example", now));
    }

    #[test]
    fn debug_output_shows_neither_key_nor_form() {
        let ticket = ticket(None);
        let form = Form { content_type: None, body: Bytes::from_static(b"hunter2") };
        let shown = format!("{ticket:?} {form:?}");
        assert!(shown.contains("SealKey(***)") && !shown.contains("hunter2"), "{shown}");
    }

    proptest! {
        #[test]
        fn every_form_comes_back_byte_for_byte(
            content_type in prop::option::of("[ -~]{0,60}"), body in prop::collection::vec(any::<u8>(), 0..2000),
        ) {
            let content_type = content_type.map(|text| HeaderValue::try_from(text).unwrap());
            let (ticket, form) = (ticket(None), Form { content_type, body: body.into() });
            prop_assert_eq!(ticket.open(&ticket.seal(&form).unwrap()), Some(form));
        }

        #[test]
        fn whatever_lies_there_nothing_panics(stored in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(ticket(None).open(&stored), None);
            prop_assert_eq!(ticket(None).open(&[SEALED_FORM.as_slice(), &stored].concat()), None);
        }
    }
}
