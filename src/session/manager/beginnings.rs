//! Beginnings: a session where the browser had none, or none any more.
//!
//! Called by `commit` with what the request recorded; creates under a new id only. SECURITY: nothing of a
//! session that ended, or that a sign-in moved, comes along unless the same user has just proven to be them.

use http::HeaderValue;

use super::super::changes::Change;
use super::super::data::Data;
use super::super::expiry::Times;
use super::super::id::Id;
use super::super::record::{Record, Stored};
use super::super::session::{BeforeSignIn, Session};
use super::{Error, Event, Manager, Visit};
use crate::clock::Timestamp;
use crate::store;

impl Manager {
    /// It ended while this request was served. Only somebody who has just signed in begins another.
    pub(super) async fn begin_after_the_end(
        &self,
        session: &Session,
        before_sign_in: Option<&BeforeSignIn>,
        visit: Visit<'_>,
    ) -> Result<Option<Vec<HeaderValue>>, Error> {
        if !session.changes.iter().any(|change| matches!(change, Change::SignIn { .. })) {
            tracing::debug!("a session ended while a request was served: what the request recorded is dropped");
            return Ok(None);
        }
        self.begin(session, before_sign_in, visit).await
    }

    /// What a sign-in of a moment ago has left to the same user: the form was sent twice, and either response may be
    /// the one that the browser keeps.
    async fn data_of_the_other_sign_in(
        &self,
        session: &Session,
        before: &BeforeSignIn,
        now: Timestamp,
    ) -> Result<Option<Data>, Error> {
        let Some(user) = session.changes.iter().rev().find_map(Change::user) else { return Ok(None) };
        let Some(entry) = self.store.load(before.successor).await? else { return Ok(None) };
        let Some(Stored::Session(record)) = Stored::decode(&entry.bytes(), || Some(before.rest.key.clone())) else {
            return Ok(None);
        };
        // SECURITY: who held the old id may be anybody, but has proven now to be this user.
        let is_theirs = record.identity.as_ref().is_some_and(|identity| &*identity.user == user);
        let lives = self.policy.judge(Times::of(&record, entry.last_seen()), now).is_ok();
        Ok((is_theirs && lives).then_some(record.data))
    }

    /// A new session, if what was recorded leaves something to keep. `before_sign_in`: where a sign-in has
    /// moved the one that the browser came with.
    pub(super) async fn begin(
        &self,
        session: &Session,
        before_sign_in: Option<&BeforeSignIn>,
        visit: Visit<'_>,
    ) -> Result<Option<Vec<HeaderValue>>, Error> {
        let mut before = match &session.fresh {
            Some(fresh) => Record::clone(fresh),
            None => Record::new(visit.now)?,
        };
        if let Some(replaced) = before_sign_in {
            before.data = self.data_of_the_other_sign_in(session, replaced, visit.now).await?.unwrap_or_default();
        }
        let id = Id::generate()?;
        let mut meta = self.envelope(&id, &before, visit);
        let mut record = self.with_bounded_data(&before, session, visit, &meta.handle);
        record.issued = self.issue(&record, visit.now);
        if record.is_empty() && !session.changes.contains(&Change::Begin) {
            return Ok(None);
        }
        meta.user = record.identity.as_ref().map(|identity| identity.user.clone());
        let event = if meta.user.is_some() { Event::SignedIn } else { Event::Created };
        let entry = self.entry(&id, meta.clone(), &record, visit.now, visit.now)?;
        match self.store.create(id.key(), entry).await {
            Ok(_) => {}
            // What the app wanted kept is less than its answer.
            Err(store::Error::Full) if !session.changes.iter().any(Change::is_the_gateways_own) => {
                self.note(Event::Refused, &meta, Some(visit.address), "the session store is full");
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        }
        self.count_in(session.turn, id.key(), visit.now).await?;
        self.note(event, &meta, Some(visit.address), "");
        self.end_others(session, &record, id.key()).await?;
        self.give(&id, &record, visit).await
    }
}
