//! What differs where sessions lie in the browsers' cookies: they are checked in when they come, and sealed when
//! they go.
//!
//! The store is then the memory of this process: while it holds a session, requests in parallel share it, as they
//! do elsewhere, and an older copy of the cookie leads to the newest state. SECURITY: what the memory cannot say any
//! more, `denials` does. What neither knows: an older copy of a living session under its present id, presented
//! after a restart, is taken for the newest.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

use super::super::changes::Expiry;
use super::super::chunks::{self, Joined};
use super::super::cookie::SessionCookie;
use super::super::denials::Denials;
use super::super::expiry::Times;
use super::super::id::Id;
use super::super::keyring::Keyring;
use super::super::record::{Open, Record};
use super::super::session::{Session, record_of};
use super::super::traveling::{Sealer, Traveler};
use super::open::{MOST_COOKIES, MOST_TRIES, Seen};
use super::{Error, Event, Manager, Visit};
use crate::clock::Timestamp;
use crate::config::schema;
use crate::http::cookies;
use crate::store::{Entry, Handle, Key, Meta, Updated};

/// How sessions travel.
pub(super) struct Traveling {
    sealer: Sealer,
    pub denials: Arc<Denials>,
    /// Within this every cookie ends that exists now.
    longest: Duration,
}

/// How long a cookie lasts.
#[derive(Clone, Copy)]
pub(super) struct Lasting {
    /// In the browser.
    pub left: Duration,
    /// Whether it outlives the browser, if not as configured.
    pub persistent: Option<bool>,
    /// Here, however long the policy may let sessions live by then.
    pub ends: Timestamp,
}

/// The names of the further pieces of a cookie.
pub(super) fn names_of_pieces(name: &str) -> impl Iterator<Item = String> + use<> {
    let name = name.to_owned();
    (1..chunks::MOST).map(move |place| chunks::name(&name, place))
}

impl Traveling {
    pub fn new(session: &schema::Session, keyring: &Keyring, cookie: &SessionCookie, denials: Arc<Denials>) -> Self {
        let remembered = session.remember_me.map_or(Duration::ZERO, schema::Duration::get);
        let longest = session.absolute_timeout.get().max(remembered);
        Self { sealer: Sealer::new(keyring.cookies(), cookie), denials, longest }
    }

    /// Whether no cookie of the session is believed any more.
    pub fn denies(&self, handle: Handle, user: &str, issued: Timestamp) -> bool {
        self.denials.deny(handle, Some(user), issued)
    }

    /// SECURITY: cookies of the policy before this one are still about, and what ends one must outlive it.
    pub fn after(self, before: Option<&Self>) -> Self {
        let longest = before.map_or(self.longest, |before| before.longest.max(self.longest));
        Self { longest, ..self }
    }
}

impl Manager {
    /// Finds the living session among those that the client's cookies hold.
    pub(super) async fn open_traveling(
        &self,
        traveling: &Traveling,
        session: &mut Session,
        headers: &HeaderMap,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<(), Error> {
        traveling.denials.saw(now);
        for (place, cookie) in std::iter::once(&self.cookie).chain(&self.previous).enumerate() {
            session.pieces = session.pieces.max(chunks::held(headers, cookie.name()));
            if session.found.is_some() {
                continue;
            }
            for first in cookies::values(headers, cookie.name()).take(MOST_COOKIES) {
                let seen = match chunks::join(headers, cookie.name(), first) {
                    Joined::Whole(text) => self.look_into(traveling, cookie.name(), &text, address, now).await?,
                    // Another answer is replacing the pieces: a deletion now would take the new ones away.
                    Joined::Torn => continue,
                    Joined::Foreign => Seen::Nothing,
                };
                session.saw(seen, place > 0);
            }
        }
        Ok(())
    }

    async fn look_into(
        &self,
        traveling: &Traveling,
        name: &str,
        text: &[u8],
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Seen, Error> {
        let Some(traveler) = traveling.sealer.open(name, text) else {
            self.check_guesses(false, address, now)?;
            return self.look_closer(b"", Key([0; 32]), None, address, now).await;
        };
        let (id, key) = (traveler.id.clone(), traveler.id.key());
        let (version, by_an_older_key) = (traveler.version, traveler.by_an_older_key);
        if !self.check_in(traveling, key, traveler, now).await? {
            return Ok(Seen::Nothing);
        }
        let value = id.reveal().as_bytes();
        let entry = self.store.load(key).await?;
        let mut seen = match entry.as_ref().and_then(|entry| self.usual(value, key, entry, now)) {
            Some(found) => Seen::Living(found),
            None => self.look_closer(value, key, entry, address, now).await?,
        };
        if let Seen::Living(found) = &mut seen {
            let meta = &found.entry.meta;
            let issued = found.record().map_or(Timestamp(0), |record| record.issued);
            if traveling.denials.deny(meta.handle, meta.user.as_deref(), issued) {
                // It came back in between, or never knew of its end.
                self.store.delete(found.key).await?;
                return Ok(Seen::Nothing);
            }
            // The browser has an older state of it, or its key will be gone one day.
            found.offer |= found.key == key && (by_an_older_key || found.entry.version() != version);
        }
        Ok(seen)
    }

    /// The id inside a cookie that an operator has: its value, or several as a browser sends them
    /// (`VALUE; sessionid.1=VALUE`).
    pub(super) async fn id_inside(
        &self,
        traveling: &Traveling,
        value: &[u8],
        now: Timestamp,
    ) -> Result<Option<Id>, Error> {
        let name = self.cookie.name();
        let Ok(line) = HeaderValue::from_bytes(&[name.as_bytes(), b"=", value].concat()) else { return Ok(None) };
        let headers = HeaderMap::from_iter([(header::COOKIE, line)]);
        let joined = cookies::values(&headers, name).next().map(|first| chunks::join(&headers, name, first));
        let Some(Joined::Whole(text)) = joined else { return Ok(None) };
        let Some(traveler) = traveling.sealer.open(name, &text) else { return Ok(None) };
        let id = traveler.id.clone();
        Ok(self.check_in(traveling, id.key(), traveler, now).await?.then_some(id))
    }

    /// Puts the session into the memory of this process, unless that knows better; `false` when it has ended.
    async fn check_in(
        &self,
        traveling: &Traveling,
        key: Key,
        traveler: Traveler,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let Traveler { meta, record, last_seen, version, ends, .. } = &traveler;
        let deadline = self.policy.deadline(Times::of(record, *last_seen));
        for _ in 0..MOST_TRIES {
            let Some(known) = self.store.load(key).await? else {
                // SECURITY: asked before, so that no flood of old cookies fills the memory, and again when it is found,
                // as it may end in between.
                if now >= *ends || traveling.denials.deny(meta.handle, meta.user.as_deref(), record.issued) {
                    return Ok(false);
                }
                if self.store.create(key, traveler.entry(deadline)).await? {
                    return Ok(true);
                }
                continue;
            };
            if *last_seen > known.last_seen() && record_of(&known).is_some() {
                self.store.touch(key, *last_seen, deadline).await?;
            }
            if known.meta.alias || known.version() >= *version {
                return Ok(true);
            }
            // Another gateway has written since.
            if self.store.update(key, known.version(), traveler.entry(deadline)).await? == Updated::Done {
                return Ok(true);
            }
        }
        Ok(true)
    }

    /// The lines that send the session on its way, as the memory of this process has it by now; none when it has
    /// ended, or lives under another id.
    pub(super) async fn send_on(
        &self,
        traveling: &Traveling,
        id: &Id,
        lasting: Lasting,
        visit: Visit<'_>,
    ) -> Result<Option<Vec<HeaderValue>>, Error> {
        let Some(entry) = self.load(id.key(), id).await?.filter(|entry| record_of(entry).is_some()) else {
            return Ok(None);
        };
        let Some(values) = traveling.sealer.seal(self.cookie.name(), id, &entry, lasting.ends)? else {
            tracing::error!(
                event = "cookie_too_large", handle = %entry.meta.handle,
                "a session does not fit into cookies: let its users be in fewer groups, or its apps keep less"
            );
            return Err(Error::TooLargeForCookies);
        };
        let line = |(place, value): (usize, &String)| {
            let cookie = self.cookie.renamed(&chunks::name(self.cookie.name(), place));
            cookie.set_value(value, lasting.left, lasting.persistent, visit.https)
        };
        Ok(values.iter().enumerate().map(line).collect())
    }

    /// Takes further pieces away, under every name: those from `first` on that the browser holds.
    pub(super) fn delete_pieces(&self, first: usize, held: usize, https: bool) -> impl Iterator<Item = HeaderValue> {
        let cookies = std::iter::once((&self.cookie, first)).chain(self.previous.iter().map(|cookie| (cookie, 1)));
        cookies.flat_map(move |(cookie, first)| {
            let piece = |place| cookie.renamed(&chunks::name(cookie.name(), place));
            (first..held).filter_map(|place| piece(place).delete(https)).collect::<Vec<_>>()
        })
    }

    /// Whether cookies have room for it, if that is where it goes.
    pub(super) fn travels(&self, record: &Record) -> bool {
        self.traveling.as_ref().is_none_or(|traveling| traveling.sealer.has_room_for(record))
    }

    /// When an id that is given out `now`, or later, counts as given out: after all that is denied to its user.
    pub(super) fn issue(&self, record: &Record, now: Timestamp) -> Timestamp {
        let Some(traveling) = &self.traveling else { return now };
        let user = record.identity.as_ref().map(|identity| &*identity.user);
        let denied = traveling.denials.not_before(user);
        let issued = now.max(Timestamp(denied.0.saturating_add(1)));
        traveling.denials.saw(issued);
        issued
    }

    /// None of its cookies is believed any more.
    ///
    /// # Errors
    /// When that could not be written down: it holds until this process ends, and is tried again.
    pub(super) async fn deny(&self, gone: &Entry, event: Event) -> Result<(), Error> {
        let Some(traveling) = &self.traveling else { return Ok(()) };
        let Some(Open::Session(outline)) = Open::decode(&gone.bytes()) else { return Ok(()) };
        let Traveling { denials, longest, .. } = traveling;
        let Meta { handle, user, .. } = &gone.meta;
        let until = outline.since.plus(*longest);
        if event == Event::Expired {
            // Its cookie says so itself, unless the clock is set back; that is worth no waiting.
            denials.supersede(*handle, denials.latest(), until);
        } else if !denials.deny(*handle, user.as_deref(), outline.issued) {
            denials.end(*handle, until).await?;
        }
        Ok(())
    }

    /// No cookie of the user is believed any more, but those of the session under `kept`.
    pub(super) async fn deny_user(&self, kept: Option<Key>, user: &str) -> Result<(), Error> {
        let Some(traveling) = &self.traveling else { return Ok(()) };
        let kept = match kept {
            Some(key) => self.store.load(key).await?,
            None => None,
        };
        let kept = kept.and_then(|entry| match Open::decode(&entry.bytes()) {
            Some(Open::Session(outline)) => Some((entry.meta.handle, outline.issued)),
            _ => None,
        });
        Ok(traveling.denials.revoke(user, kept, traveling.longest).await?)
    }

    /// That a session has expired is told by its cookie, but for one that its app has shortened: older copies say more.
    pub(super) fn forget_what_was_shortened(&self, gone: &Entry) {
        let Some(traveling) = &self.traveling else { return };
        if let Some(Open::Session(outline)) = Open::decode(&gone.bytes())
            && outline.expiry != Expiry::Policy
        {
            let Traveling { denials, longest, .. } = traveling;
            denials.supersede(gone.meta.handle, denials.latest(), outline.since.plus(*longest));
        }
    }

    /// The browser has used the id it was given: those before it are dead when their grace is over.
    pub(super) fn supersede_older_ids(&self, meta: &Meta, record: &Record) {
        if let Some(traveling) = &self.traveling {
            let before = Timestamp(record.issued.0.saturating_sub(1));
            traveling.denials.supersede(meta.handle, before, record.since.plus(traveling.longest));
        }
    }

    /// The session that signed in has another name now; the one before is dead if it was somebody's.
    pub(super) fn forget_before_sign_in(&self, before: &Meta, record: &Record) {
        if let (Some(traveling), true) = (&self.traveling, record.identity.is_some()) {
            traveling.denials.supersede(before.handle, record.issued, record.since.plus(traveling.longest));
        }
    }
}

#[cfg(test)]
mod tests;
