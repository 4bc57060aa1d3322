//! Opening: from the browser's cookies to the one living session they name, or none.
//!
//! SECURITY: a malformed id costs no look-up, an unknown one is never adopted and creates nothing.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;

use super::super::alias::Alias;
use super::super::data::Data;
use super::super::expiry::Times;
use super::super::id::Id;
use super::super::recall::Recall;
use super::super::record::{Record, Stored};
use super::super::session::{BeforeSignIn, Found, Presented, Session, opened, record_of, stored_in};
use super::{Error, Event, Manager};
use crate::clock::Timestamp;
use crate::config::schema::Create;
use crate::http::cookies;
use crate::store::{Entry, Key, Updated};

/// A client may send a handful of cookies of our name (sibling domains, other paths); more are not looked up.
pub(super) const MOST_COOKIES: usize = 4;

/// So often may an id be replaced while one request is served, or within one grace; more is no way.
pub(super) const MOST_HOPS: usize = 64;

/// Each time somebody else was faster; what is not done now is done with the next request.
pub(super) const MOST_TRIES: usize = 8;

/// What an id leads to.
pub(super) enum Seen {
    Living(Found),
    /// It was replaced by a sign-in a moment ago.
    Replaced(BeforeSignIn),
    /// It has expired just now; this was its user.
    Expired(Option<Box<str>>),
    Nothing,
}

/// How a session was reached from a replaced id.
#[derive(Default)]
struct Way {
    via: Vec<Key>,
    /// The browser was never seen to use the last id.
    offer: bool,
}

impl Manager {
    /// Finds the living session that the client's cookie names.
    ///
    /// # Errors
    /// When the store is unreachable, or the client presents too many ids of nobody; an unknown, expired or
    /// malformed id is no error but no session.
    pub async fn open(
        &self,
        headers: &HeaderMap,
        recall: &Recall,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Session, Error> {
        let mut session = Session { opened: now, ..Session::default() };
        if let Some(traveling) = &self.traveling {
            Box::pin(self.open_traveling(traveling, &mut session, headers, address, now)).await?;
        }
        let names = if self.traveling.is_some() { &[] } else { &*self.names };
        for (place, name) in names.iter().enumerate() {
            if session.found.is_some() {
                break;
            }
            for value in cookies::values(headers, name).take(MOST_COOKIES) {
                let seen = match recall.key(value) {
                    Some((key, known)) => {
                        session.came_with_id = true;
                        self.check_guesses(known, address, now)?;
                        let entry = self.store.load(key).await?;
                        match entry.as_ref().and_then(|entry| self.usual(value, key, entry, now)) {
                            Some(found) => Seen::Living(found),
                            // PERF: boxed, as most requests come with the id of a living session, or none.
                            None => Box::pin(self.look_closer(value, key, entry, address, now)).await?,
                        }
                    }
                    None => Seen::Nothing,
                };
                session.saw(seen, place > 0);
            }
        }
        if session.presented == Presented::Contradictory {
            // SECURITY: one of them was planted, and we cannot know which (RFC 6265bis §8.6).
            self.note_for(Event::Refused, None, None, Some(address), "several living sessions in one request");
            session.found = None;
        }
        if self.create == Create::Always && session.found.is_none() && session.presented != Presented::Replaced {
            session.csrf_or_begin(now)?;
        }
        Ok(session)
    }

    /// Takes the values that are told once out of the store; of several requests one gets them.
    ///
    /// # Errors
    /// When the store is unreachable.
    pub async fn take_flash(&self, session: &mut Session) -> Result<(), Error> {
        for _ in 0..MOST_TRIES {
            let Some(found) = &mut session.found else { break };
            let Some(record) = found.record().filter(|record| !record.flash.is_empty()) else { break };
            let flash = record.flash.clone();
            let without = Record { flash: Data::default(), ..record.clone() };
            let meta = found.entry.meta.clone();
            let without = self.entry(&found.id, meta, &without, found.entry.last_seen(), session.opened)?;
            let updated = self.store.update(found.key, found.entry.version(), without).await?;
            if updated == Updated::Done {
                session.flash = flash;
            }
            let latest = self.load(found.key, &found.id).await?.filter(|entry| record_of(entry).is_some());
            match (latest, updated) {
                (Some(latest), Updated::Conflict) => found.entry = latest,
                (latest, _) => {
                    found.entry = latest.unwrap_or_else(|| Arc::clone(&found.entry));
                    // A cookie that still told them would tell them again.
                    found.offer |= self.traveling.is_some() && found.via.is_empty();
                    break;
                }
            }
        }
        Ok(())
    }

    /// A client that presents ids of nobody one after the other is not listened to for a while.
    pub(super) fn check_guesses(&self, known: bool, address: IpAddr, now: Timestamp) -> Result<(), Error> {
        let Some(guesses) = self.guesses.as_ref().filter(|_| !known) else { return Ok(()) };
        match guesses.is_exhausted(address, now) {
            true => Err(Error::Guessing),
            false => Ok(()),
        }
    }

    /// PERF: the usual case, without a suspension point: a living session under the id that was presented.
    pub(super) fn usual(&self, value: &[u8], key: Key, entry: &Arc<Entry>, now: Timestamp) -> Option<Found> {
        let id = Id::parse(value)?;
        let record = opened(entry, &id)?.session().filter(|record| record.predecessor.is_none())?;
        let remaining = self.policy.judge(Times::of(record, entry.last_seen()), now).ok()?;
        Some(Found { id, key, entry: Arc::clone(entry), remaining, via: Vec::new(), offer: false })
    }

    /// No session, one that has expired, one under a new id, or a replaced id.
    pub(super) async fn look_closer(
        &self,
        value: &[u8],
        key: Key,
        entry: Option<Arc<Entry>>,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Seen, Error> {
        let seen = match (Id::parse(value), entry) {
            (Some(id), Some(entry)) => self.find(id, key, entry, address, now).await?,
            _ => Seen::Nothing,
        };
        if let (Seen::Nothing | Seen::Expired(_), Some(guesses)) = (&seen, &self.guesses) {
            // One line a minute and address: a flood must not fill the log too.
            if guesses.count(address, now) {
                self.note_for(Event::Refused, None, None, Some(address), "too many unknown session ids");
            }
        }
        Ok(seen)
    }

    async fn find(&self, id: Id, key: Key, entry: Arc<Entry>, address: IpAddr, now: Timestamp) -> Result<Seen, Error> {
        match opened(&entry, &id) {
            Some(Stored::Session(record)) => {
                let settled = match record.predecessor {
                    None => entry,
                    Some(_) => self.settle_rotation(&id, key, entry, now).await?,
                };
                self.judge(id, key, settled, Way::default(), address, now).await
            }
            Some(Stored::Alias(_)) => self.follow(id, key, entry, address, now).await,
            None => {
                tracing::warn!(event = "undecodable", handle = %entry.meta.handle, "a stored session cannot be read");
                Ok(Seen::Nothing)
            }
        }
    }

    /// From a replaced id to the living session.
    async fn follow(
        &self,
        mut id: Id,
        presented: Key,
        mut entry: Arc<Entry>,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Seen, Error> {
        let mut way = Way { via: Vec::new(), offer: true };
        let mut key = presented;
        for _ in 0..MOST_HOPS {
            let Some(Stored::Alias(alias)) = stored_in(&entry) else { break };
            let is_over = alias.used.is_some_and(|used| !self.policy.is_in_grace(used, now));
            if alias.is_of_sign_in() {
                let rest = alias.rest(&id).filter(|_| !is_over);
                let successor = Key(alias.successor);
                return Ok(rest.map_or(Seen::Nothing, |rest| Seen::Replaced(BeforeSignIn { successor, rest })));
            }
            if is_over {
                self.end_stolen(presented, Key(alias.successor), address).await?;
                return Ok(Seen::Nothing);
            }
            let Some(next) = alias.open(&id) else { break };
            way.via.push(key);
            way.offer &= alias.used.is_none();
            key = next.key();
            let Some(successor) = self.load(key, &next).await? else { break };
            id = next;
            entry = successor;
            if record_of(&entry).is_some() {
                self.counters.grace_hit();
                return self.judge(id, key, entry, way, address, now).await;
            }
        }
        Ok(Seen::Nothing)
    }

    async fn judge(
        &self,
        id: Id,
        key: Key,
        entry: Arc<Entry>,
        way: Way,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Seen, Error> {
        let living = |entry: Arc<Entry>| {
            let remaining = self.policy.judge(Times::of(record_of(&entry)?, entry.last_seen()), now).ok()?;
            Some((entry, remaining))
        };
        let user = entry.meta.user.clone();
        let mut found = living(entry);
        if found.is_none() {
            // It may have been a copy: another gateway has seen the user since.
            let latest = self.store.load_latest(key).await?;
            found = latest.filter(|entry| opened(entry, &id).is_some()).and_then(living);
        }
        match found {
            Some((entry, remaining)) => {
                Ok(Seen::Living(Found { id, key, entry, remaining, via: way.via, offer: way.offer }))
            }
            None => {
                self.end_expired(key, address).await;
                Ok(Seen::Expired(user))
            }
        }
    }

    /// The browser uses the id it was given: from now on the grace of the one before runs.
    ///
    /// The alias is written first: if we end in between, the next request does it again.
    async fn settle_rotation(
        &self,
        id: &Id,
        key: Key,
        mut entry: Arc<Entry>,
        now: Timestamp,
    ) -> Result<Arc<Entry>, Error> {
        for _ in 0..MOST_TRIES {
            let Some(record) = record_of(&entry) else { break };
            let mut next = record.predecessor;
            if next.is_none() {
                break;
            }
            for _ in 0..MOST_HOPS {
                let Some(alias) = next.take() else { break };
                next = self.start_grace(Key(alias), now).await?;
            }
            let record = Record { predecessor: None, ..record.clone() };
            let settled = self.entry(id, entry.meta.clone(), &record, entry.last_seen(), now)?;
            self.store.update(key, entry.version(), settled).await?;
            self.supersede_older_ids(&entry.meta, &record);
            match self.load(key, id).await?.filter(|entry| record_of(entry).is_some()) {
                Some(latest) => entry = latest,
                None => break,
            }
        }
        Ok(entry)
    }

    /// Returns the alias before this one, if that one's grace does not run either.
    async fn start_grace(&self, key: Key, now: Timestamp) -> Result<Option<[u8; 32]>, Error> {
        let Some(entry) = self.store.load(key).await? else { return Ok(None) };
        let Some(Stored::Alias(alias)) = stored_in(&entry) else { return Ok(None) };
        if alias.used.is_some() {
            return Ok(None);
        }
        let used = Alias { used: Some(now), predecessor: None, ..alias.clone() };
        let successor = Entry::new(entry.meta.clone(), used.encode(), now, self.policy.end_of_watch(now));
        match self.store.update(key, entry.version(), successor).await? {
            Updated::Done => Ok(alias.predecessor),
            Updated::Conflict | Updated::Absent => Ok(None),
        }
    }
}

impl Session {
    pub(super) fn saw(&mut self, seen: Seen, under_a_previous_name: bool) {
        match seen {
            Seen::Living(mut found) => {
                found.offer |= under_a_previous_name && found.via.is_empty();
                match &self.found {
                    Some(other) if other.key != found.key => self.presented = Presented::Contradictory,
                    // The replaced id and its successor: the browser has both, so nothing need be offered.
                    Some(_) if !found.via.is_empty() => {}
                    _ => {
                        self.presented = Presented::Living;
                        self.found = Some(found);
                    }
                }
            }
            Seen::Replaced(before) if matches!(self.presented, Presented::Nothing | Presented::Dead) => {
                self.presented = Presented::Replaced;
                self.replaced = Some(Box::new(before));
            }
            Seen::Nothing | Seen::Expired(_) if matches!(self.presented, Presented::Nothing | Presented::Dead) => {
                self.presented = Presented::Dead;
                if let Seen::Expired(user) = seen {
                    self.expired_user = user;
                }
            }
            Seen::Replaced(_) | Seen::Expired(_) | Seen::Nothing => {}
        }
    }
}
