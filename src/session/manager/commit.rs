//! Committing: what the request recorded is applied to the latest version, before the response head leaves.
//!
//! Compare-and-swap throughout: when somebody else wrote first, the operations are applied again to what they
//! wrote. SECURITY: nothing here inserts under a key that was read, so a session that ended stays ended.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};

use super::super::changes::{Change, Expiry};
use super::super::data::Map;
use super::super::expiry::Times;
use super::super::id::Id;
use super::super::record::{Record, Stored};
use super::super::session::{BeforeSignIn, Found, Hold, Presented, Session, record_of, stored_in};
use super::open::MOST_HOPS;
use super::rotation::Replaced;
use super::{Committed, Error, Event, Manager, Visit};
use crate::clock::Timestamp;
use crate::store::{self, Entry, Key, Updated};

/// So often does a sign-in start over because the same user has signed in elsewhere: each time, that one is through.
const MOST_STARTS: usize = 64;

/// A session as it was last read, with the id under which it lives.
pub(super) struct Live {
    pub id: Id,
    pub key: Key,
    pub entry: Arc<Entry>,
    pub hold: Hold,
}

impl From<&Found> for Live {
    fn from(found: &Found) -> Self {
        Self { id: found.id.clone(), key: found.key, entry: Arc::clone(&found.entry), hold: found.hold() }
    }
}

/// What somebody else has made of a session.
pub(super) enum Reloaded {
    Live(Live),
    /// A sign-in has moved it there.
    SignedIn(BeforeSignIn),
    Ended,
}

/// What becomes of the browser's cookie.
enum Cookie {
    Keep,
    Give(Vec<HeaderValue>),
    Delete,
}

impl Manager {
    /// Applies what the request recorded. `status` is that of the response: when the app has failed (5xx), what
    /// it keeps stays as it was, as in Django; who has ended, has ended all the same.
    ///
    /// # Errors
    /// When the store is unreachable or full, or the user may have no more sessions: nothing has been promised to
    /// the browser then.
    pub async fn commit(&self, session: Session, visit: Visit<'_>, status: StatusCode) -> Result<Committed, Error> {
        // PERF: most requests only look. The rest is boxed, so that their futures need not be large enough for it.
        if self.is_settled(&session, visit.now) {
            return Ok(Committed::default());
        }
        Box::pin(self.apply(session, visit, status)).await
    }

    /// Whether there is nothing to write and nothing to tell the browser.
    fn is_settled(&self, session: &Session, now: Timestamp) -> bool {
        let nothing_recorded = session.changes.is_empty() && session.revoked.is_none() && session.flash.is_empty();
        let settled = match session.found.as_ref().map(|found| (found, found.record())) {
            None => matches!(session.presented, Presented::Nothing | Presented::Replaced),
            Some((found, Some(record))) if !found.offer => {
                let touch = || self.policy.touch_is_due(Times::of(record, found.entry.last_seen()), now);
                let due = || self.save_every_request || touch() || self.rotation_is_due(record, now);
                session.is_no_activity || !due()
            }
            Some(_) => false,
        };
        nothing_recorded && settled
    }

    async fn apply(&self, mut session: Session, visit: Visit<'_>, status: StatusCode) -> Result<Committed, Error> {
        if session.is_cut_off {
            tracing::warn!("the session store does not answer: what an app or a rule recorded is dropped");
            return Ok(Committed::default());
        }
        let failed = status.is_server_error();
        session.has_failed = failed;
        session.may_rotate = !session.is_no_activity && !failed && status != StatusCode::SWITCHING_PROTOCOLS;
        if failed {
            session.changes.retain(|change| !change.is_dropped_on_failure());
        }
        if failed || session.tells_again {
            session.tell_again();
        }
        if session.presented == Presented::Replaced {
            // SECURITY: who comes with the id before a sign-in changes nothing for anybody, until they sign in.
            session.changes.retain(Change::is_open_to_strangers);
        }
        if let Some(record) = session.found.as_ref().and_then(Found::record) {
            // The app may name the user with each of its responses. Of several changes one may depend on another.
            if session.changes.iter().all(|change| change.is_idle(record)) {
                session.changes.clear();
            }
        }
        let ended = self.end_if_recorded(&mut session, visit).await?;
        let mut cookie = match session.changes.is_empty() {
            true => self.keep(&mut session, visit).await?,
            false => self.write(&mut session, visit).await?,
        };
        if ended && matches!(cookie, Cookie::Keep) && session.presented != Presented::Nothing {
            cookie = Cookie::Delete;
        }
        Ok(self.committed(cookie, &session, visit.https))
    }

    /// Whether the session ended: what was recorded before that is forgotten with it.
    async fn end_if_recorded(&self, session: &mut Session, visit: Visit<'_>) -> Result<bool, Error> {
        let mut ended = false;
        if let Some(revoked) = session.revoked.take() {
            self.end(&revoked, Event::Revoked, visit.address, "account removed, disabled or changed").await?;
            ended = true;
        }
        if let Some(at) = session.changes.iter().rposition(|change| *change == Change::Flush) {
            session.changes.drain(..=at);
            session.fresh = None;
            if let Some(found) = session.found.take() {
                self.end(&found, Event::SignedOut, visit.address, "asked for").await?;
                let user = found.entry.meta.user.as_deref();
                if let (Some(user), true) = (user, session.changes.contains(&Change::RevokeOthers)) {
                    self.revoke_all_but(None, user, "signed out everywhere").await?;
                }
            }
            ended = session.presented != Presented::Replaced;
        }
        Ok(ended)
    }

    /// Nothing was recorded: perhaps it is time for a touch, or for a new id.
    async fn keep(&self, session: &mut Session, visit: Visit<'_>) -> Result<Cookie, Error> {
        let Some(found) = &session.found else {
            let dead = matches!(session.presented, Presented::Dead | Presented::Contradictory);
            return Ok(if dead { Cookie::Delete } else { Cookie::Keep });
        };
        let Some(record) = found.record() else { return Ok(Cookie::Keep) };
        let active = !session.is_no_activity;
        let times = Times::of(record, found.entry.last_seen());
        let saves = self.save_every_request && !session.has_failed;
        let touched = active && (saves || self.policy.touch_is_due(times, visit.now));
        if touched {
            self.touch(found, record, visit.now).await;
        }
        let hold = found.hold();
        if session.may_rotate && hold == Hold::Own && self.rotation_is_due(record, visit.now) {
            let rotated = self.write(session, visit).await;
            // It is tried again with the next request; the answer of the app is worth more.
            return Ok(rotated
                .inspect_err(|error| tracing::warn!(%error, "no new id could be given"))
                .unwrap_or(Cookie::Keep));
        }
        let slides = touched && (saves || matches!(record.expiry, Expiry::Sliding(_)) || self.traveling.is_some());
        Ok(match found.offer || slides && hold != Hold::Withheld {
            true => self.give(&found.id, record, visit).await?.map_or(Cookie::Keep, Cookie::Give),
            false => Cookie::Keep,
        })
    }

    /// A touch that is lost shortens the session by `touch_interval` at most, so its failure is no error.
    async fn touch(&self, found: &Found, record: &Record, now: Timestamp) {
        let deadline = self.policy.deadline(Times::of(record, now));
        for key in std::iter::once(found.key).chain(found.via.iter().copied()) {
            if let Err(error) = self.store.touch(key, now, deadline).await {
                tracing::warn!(%error, "last seen could not be written");
            }
        }
    }

    /// Writes what was recorded: to the session that was found, or to a new one.
    async fn write(&self, session: &mut Session, visit: Visit<'_>) -> Result<Cookie, Error> {
        // Held until the sign-in is written.
        let _gate = self.wait_in_line(session).await;
        let mut written = self.admit_and_write(session, None, visit).await;
        for _ in 1..MOST_STARTS {
            let Err(Error::Outrun) = written else { break };
            // Before the user's sessions are counted again: which of them is this one's may be another by now.
            let latest = match &session.found {
                Some(found) => Some(self.reload(&Live::from(found)).await?),
                None => None,
            };
            written = self.admit_and_write(session, latest, visit).await;
        }
        written
    }

    /// `latest`: what has become of the session since it was found, if anybody has looked.
    async fn admit_and_write(
        &self,
        session: &mut Session,
        latest: Option<Reloaded>,
        visit: Visit<'_>,
    ) -> Result<Cookie, Error> {
        session.turn = match self.admit(session, visit).await {
            Err(Error::TooManySessions) if !session.changes.iter().any(Change::is_the_gateways_own) => {
                // It is the app that signs in, and its answer goes out in any case.
                session.changes.retain(|change| change.user().is_none());
                None
            }
            admitted => admitted?,
        };
        let session = &*session;
        let given = match &session.found {
            Some(found) => self.write_to(found, latest, session, visit).await?,
            None => self.begin(session, session.replaced.as_deref(), visit).await?,
        };
        Ok(match (given, session.presented) {
            (Some(lines), _) => Cookie::Give(lines),
            (None, Presented::Dead | Presented::Contradictory) => Cookie::Delete,
            (None, _) => Cookie::Keep,
        })
    }

    async fn write_to(
        &self,
        found: &Found,
        latest: Option<Reloaded>,
        session: &Session,
        visit: Visit<'_>,
    ) -> Result<Option<Vec<HeaderValue>>, Error> {
        if let (false, Some(record)) = (found.via.is_empty(), found.record()) {
            // The way from the old id must last as long as the session does.
            self.touch(found, record, visit.now).await;
        }
        let mut latest = latest.unwrap_or_else(|| Reloaded::Live(Live::from(found)));
        loop {
            let live = match latest {
                Reloaded::Live(live) => live,
                Reloaded::SignedIn(before) => {
                    return self.begin_after_the_end(session, Some(&before), visit).await;
                }
                Reloaded::Ended => return self.begin_after_the_end(session, None, visit).await,
            };
            let Some(before) = record_of(&live.entry) else { return Ok(None) };
            let after = self.with_bounded_data(before, session, visit, &live.entry.meta.handle);
            let rotation = self.rotation(&live, before, &after, session, visit.now);
            let last_seen = if session.is_no_activity { live.entry.last_seen() } else { visit.now };
            let written = match rotation {
                Some(rotation) => match self.replace(&live, before, after, rotation, last_seen, visit).await? {
                    Replaced::By(id, record) => {
                        self.end_others(session, &record, id.key()).await?;
                        return self.give(&id, &record, visit).await;
                    }
                    Replaced::Beaten => None,
                },
                // Another request gave the browser a new id while this one was served, and nothing else is to be done.
                None if session.changes.is_empty() => Some(before.clone()),
                None => {
                    let mut meta = live.entry.meta.clone();
                    meta.user = after.identity.as_ref().map(|identity| identity.user.clone());
                    let entry = self.entry(&live.id, meta, &after, last_seen, live.entry.last_seen())?;
                    let updated = self.store.update(live.key, live.entry.version(), entry).await?;
                    (updated == Updated::Done).then_some(after)
                }
            };
            if let Some(record) = written {
                return match live.hold {
                    Hold::Withheld => Ok(None),
                    Hold::Own | Hold::Offered => self.give(&live.id, &record, visit).await,
                };
            }
            latest = self.reload(&live).await?;
        }
    }

    /// The session as somebody else has left it, under the id they have given it.
    pub(super) async fn reload(&self, live: &Live) -> Result<Reloaded, Error> {
        let (mut id, mut key, mut hold) = (live.id.clone(), live.key, live.hold);
        for _ in 0..MOST_HOPS {
            let Some(entry) = self.load(key, &id).await? else { break };
            let next = match stored_in(&entry) {
                Some(Stored::Session(_)) => return Ok(Reloaded::Live(Live { id, key, entry, hold })),
                Some(Stored::Alias(alias)) if alias.is_of_sign_in() => {
                    let Some(rest) = alias.rest(&id) else { break };
                    return Ok(Reloaded::SignedIn(BeforeSignIn { successor: Key(alias.successor), rest }));
                }
                Some(Stored::Alias(alias)) => {
                    let is_unused = alias.used.is_none() && hold != Hold::Withheld;
                    hold = if is_unused { Hold::Offered } else { Hold::Withheld };
                    alias.open(&id)
                }
                None => None,
            };
            let Some(next) = next else { break };
            key = next.key();
            id = next;
        }
        Ok(Reloaded::Ended)
    }

    pub(super) async fn end_others(&self, session: &Session, record: &Record, kept: Key) -> Result<(), Error> {
        if let (true, Some(identity)) = (session.changes.contains(&Change::RevokeOthers), &record.identity) {
            self.revoke_all_but(Some(kept), &identity.user, "ended from another session").await?;
        }
        Ok(())
    }

    /// Applies the changes; those of the data not, if it would become larger than allowed. Where sessions lie in
    /// cookies a sign-in is worth more than data, and an app's answer more than its sign-in.
    pub(super) fn with_bounded_data(
        &self,
        before: &Record,
        session: &Session,
        visit: Visit<'_>,
        handle: &store::Handle,
    ) -> Record {
        let changes = &session.changes;
        let apply = |changes: &mut dyn Iterator<Item = &Change>| {
            let mut record = before.clone();
            changes.for_each(|change| change.apply(&mut record, visit.now));
            record
        };
        let mut record = apply(&mut changes.iter());
        let size = record.data.size() + record.flash.size();
        if size <= self.max_data_size && self.travels(&record) {
            return record;
        }
        if changes.iter().any(Change::is_of_data) {
            self.refuse_data(session, size, handle);
            record = apply(&mut changes.iter().filter(|change| !change.is_of_data()));
        }
        if !self.travels(&record) && changes.iter().any(|change| change.user().is_some()) {
            self.refuse_data(session, record.data.size() + record.flash.size(), handle);
            (record.data, record.flash) = Default::default();
        }
        let says_app = |change: &Change| matches!(change, Change::AppSignIn { .. });
        if !self.travels(&record) && changes.iter().any(says_app) {
            tracing::warn!(event = "user_too_large", %handle, "an app's user does not fit into cookies, and is not signed in");
            record = apply(&mut changes.iter().filter(|change| !change.is_of_data() && !says_app(change)));
        }
        record
    }

    /// Says so once: the changes are applied again whenever somebody else has written first.
    fn refuse_data(&self, session: &Session, size: usize, handle: &store::Handle) {
        if session.has_refused_data.replace(true) {
            return;
        }
        self.counters.data_too_large();
        tracing::warn!(
            event = "data_too_large", %handle, size_bytes = size, limit_bytes = self.max_data_size,
            "what an app wanted kept in a session is larger than session.max_data_size, or than cookies: it keeps what it had"
        );
    }

    fn committed(&self, cookie: Cookie, session: &Session, https: bool) -> Committed {
        let clear_cookies = session.presented == Presented::Contradictory;
        let previous = || self.previous.iter().filter_map(|cookie| cookie.delete(https));
        let set_cookie = match cookie {
            Cookie::Keep => Vec::new(),
            Cookie::Give(lines) => {
                let surplus = self.delete_pieces(lines.len(), session.pieces, https);
                lines.into_iter().chain(previous()).chain(surplus).collect()
            }
            Cookie::Delete => {
                let pieces = self.delete_pieces(1, session.pieces, https);
                self.cookie.delete(https).into_iter().chain(previous()).chain(pieces).collect()
            }
        };
        Committed { set_cookie, clear_cookies }
    }
}

impl Session {
    /// The values that are told once, back into the store.
    fn tell_again(&mut self) {
        let flash: Map = std::mem::take(&mut self.flash).map();
        self.changes.extend(flash.into_iter().map(|(key, value)| Change::Flash(key.into(), value)));
    }
}
