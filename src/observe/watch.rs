//! A request that may sign in or out, while the app has it: what was typed, and what the answer makes of it.
//!
//! Made by [`Observer::watch`](super::Observer::watch), asked by the pipeline before and after the app.

use http::HeaderMap;

use super::asked::{Credentials, UserSource};
use super::{Answer, LONGEST_FORM, Login, Logout, Observer, fields, fits_any};
use crate::http::body::Capture;
use crate::session::Claims;

/// A request that may sign in or out, on its way to the app.
#[derive(Debug)]
pub struct Watch<'o> {
    pub(super) observer: &'o Observer,
    pub(super) logins: Vec<&'o Login>,
    pub(super) logouts: Vec<&'o Logout>,
    /// Whether it is a sign-in only if the form says so.
    pub(super) needs_form: bool,
    /// Whether it brings something that was typed: a look at the form is no try.
    pub(super) brings_body: bool,
    pub(super) path: Box<str>,
    pub(super) query: Option<Box<str>>,
    /// Those of the request that matter.
    pub(super) headers: HeaderMap,
    pub(super) body: Capture,
}

/// Somebody tries to sign in.
#[derive(Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Under this name.
    pub user: Option<String>,
    /// Whether who has signed in tries again with every request.
    pub repeats: bool,
}

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing; or somebody who tried to sign in did not.
    Nothing,
    /// Somebody signed in, and nothing says who.
    Unnamed,
    /// Somebody signed in.
    SignedIn {
        /// Who, if the request or the answer say so.
        claims: Option<Claims>,
        /// Whether it is said with every request: then it is news once only.
        repeats: bool,
    },
    /// Somebody signed out.
    SignedOut,
}

impl Watch<'_> {
    /// Keeps the body of the request as it goes by.
    #[must_use]
    pub fn capture(&self) -> Capture {
        self.body.clone()
    }

    /// The request's headers, as far as they matter.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Whether the request may sign in: another site must not have sent it.
    #[must_use]
    pub fn may_sign_in(&self) -> bool {
        !self.logins.is_empty()
    }

    /// Whether a stranger's body must be read, no longer than this, before the app may see the request. SECURITY:
    /// where other forms have the same path, they are not for strangers.
    #[must_use]
    pub fn needs_form(&self) -> Option<usize> {
        self.needs_form.then_some(LONGEST_FORM)
    }

    /// Whether the body that went by makes it a sign-in.
    #[must_use]
    pub fn is_sign_in(&self) -> bool {
        self.body.with(|body| {
            let sent = self.sent(body);
            self.logins.iter().any(|login| login.is_meant(&sent, body.is_some()))
        })
    }

    /// How much of a body must be read, before the app may see the request, to know who tries to sign in.
    #[must_use]
    pub fn names_user_in(&self) -> Option<usize> {
        let reads = self.observer.regulates && self.logins.iter().any(|login| login.reads_form());
        reads.then_some(LONGEST_FORM)
    }

    /// Whether somebody tries to sign in with this request, and under which name, if that is known; where such tries
    /// count. Of a body that is too long it is not known; where the path alone tells the sign-in it is a try even so.
    #[must_use]
    pub fn attempt(&self) -> Option<Attempt> {
        if !self.observer.regulates {
            return None;
        }
        self.body.with(|body| {
            let sent = self.sent(body);
            let is_tried = |login: &&&Login| match login.user {
                Some(UserSource::Basic) => Credentials::read(&self.headers).is_some(),
                _ => self.brings_body && body != Some(b"") && login.is_meant(&sent, body.is_some()),
            };
            let login = self.logins.iter().find(is_tried)?;
            Some(Attempt {
                user: login.user.as_ref().and_then(|source| source.typed(&sent)),
                repeats: matches!(login.user, Some(UserSource::Basic)),
            })
        })
    }

    fn sent<'s>(&'s self, body: Option<&'s [u8]>) -> fields::Sent<'s> {
        fields::Sent { query: self.query.as_deref(), headers: &self.headers, body: body.unwrap_or_default() }
    }

    /// Whether the answer's body will be read, so that it must not be compressed.
    #[must_use]
    pub fn reads_answers(&self) -> bool {
        self.logins.iter().any(|login| login.reads_answer())
    }

    /// Whether the head of the answer leaves it open, and the body must be read.
    #[must_use]
    pub fn must_read(&self, answer: &Answer<'_>) -> bool {
        self.logins.iter().any(|login| login.reads_answer() && login.success.fits_head(&self.path, answer))
    }

    /// What the answer means.
    #[must_use]
    pub fn judge(&self, answer: &Answer<'_>) -> Verdict {
        self.body.with(|body| {
            let sent = self.sent(body);
            let has_succeeded = |login: &&&Login| {
                login.is_meant(&sent, body.is_some())
                    && login.has_succeeded(&self.path, answer)
                    && !login.may_be_repeated(&sent, body.is_some())
            };
            let login = self.logins.iter().find(has_succeeded);
            if let Some(login) = login {
                return login.verdict(&sent, answer, self.observer.probe.is_some());
            }
            let ended = |logout: &&&Logout| logout.asked.fits_form(&sent) && fits_any(&logout.statuses, answer.status);
            self.logouts.iter().find(ended).map_or(Verdict::Nothing, |_| Verdict::SignedOut)
        })
    }
}
