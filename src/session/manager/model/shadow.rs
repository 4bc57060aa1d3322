//! What must hold of the store after each of its calls, whoever made it: no update lost, no session back from the end.
//!
//! Follows the families of sessions through the effects that the store notes. It knows what an alias is, and nothing
//! of how the manager comes to write one.

use std::collections::{HashMap, HashSet};

use super::super::super::session::record_of;
use super::super::interleave::{Did, Effect};
use super::*;
use crate::store::Entry;

/// Sessions that became each other by rotation and sign-in.
type Family = usize;

/// So long it is remembered where a replaced id went.
const LONGEST_REQUEST: Duration = Duration::from_secs(4 * 3600);

pub const IDLE_TIMEOUT: Duration = Duration::from_secs(2 * 3600);

#[derive(Default)]
pub struct Shadow {
    places: HashMap<Key, Place>,
    families: Vec<State>,
    /// What each request found when it looked for its session.
    found: HashMap<usize, Found>,
    /// The requests whose mark stands in a session, and in which.
    landed: HashMap<usize, Key>,
    /// The sessions that a request has seen in a user's list.
    listed: HashMap<usize, Vec<Key>>,
}

#[derive(Clone, Copy)]
struct Place {
    family: Family,
    /// The family's sign-ins before the id was given out.
    epoch: usize,
}

#[derive(Default)]
struct State {
    epoch: usize,
    /// Somebody has begun to end it: there is no way to the session any more.
    ending: bool,
    ended: bool,
}

/// What a request found.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    family: Family,
    /// Whether its id may lead to the session that lives.
    is_current: bool,
    /// When the session had been used last.
    last_seen: Option<Timestamp>,
}

impl Shadow {
    pub fn see(&mut self, effect: &Effect) {
        let Effect { by, key, did } = effect;
        match did {
            Did::Load(loaded) => {
                let found = self.look(*key);
                let found = self.found.entry(*by).or_insert(found);
                let session = loaded.as_ref().filter(|entry| record_of(entry).is_some());
                found.last_seen = found.last_seen.or(session.map(|entry| entry.last_seen()));
            }
            Did::Create(entry) => self.created(*by, *key, entry),
            Did::Update(before, after) => self.updated(*by, *key, before, after),
            Did::Delete(Some(gone)) => self.deleted(*by, *key, gone),
            Did::List(listed) => {
                self.listed.insert(*by, listed.iter().map(|(key, _)| *key).collect());
            }
            Did::Conflict | Did::Touch | Did::Delete(None) => {}
        }
    }

    /// What has vanished without a call of ours was swept.
    pub fn swept(&mut self, store: &Stepped) {
        let gone = self.places.iter().filter(|(key, _)| store.peek(**key).is_none());
        let gone = gone.map(|(_, place)| place.family).filter(|family| !self.lives(store, *family));
        for family in gone.collect::<Vec<_>>() {
            self.families[family].ended = true;
        }
    }

    /// A request is over, and `answer` is what came of it.
    pub fn acknowledged(&self, number: usize, request: &Request, now: Timestamp, answer: &Answer) {
        let found = self.found.get(&number).copied();
        let current = found.filter(|found| found.is_current);
        if answer.user.is_some() {
            assert!(current.is_some(), "request {number} is served as somebody with an id that is nobody's");
        }
        // Whose session was over by then has nothing to sign out of, while it may have been saved by a sign-in.
        let is_too_late = |found: &Found| {
            found.last_seen.is_none_or(|seen| request.at.since(seen) >= IDLE_TIMEOUT)
                || now.since(request.at) >= LONGEST_REQUEST
        };
        let living = current.filter(|found| !is_too_late(found));
        if let (true, Some(found)) = (request.changes.contains(&Change::Flush), living) {
            assert!(self.families[found.family].ended, "request {number} has signed out, and the session lives");
        }
        let is_marked = request.changes.contains(&count()) && !request.changes.contains(&Change::Flush);
        if is_marked && !request.status.is_server_error() && !self.landed.contains_key(&number) {
            let found = found.expect("who has no session begins one");
            let state = &self.families[found.family];
            let place = self.places[&key_of(request.id.as_ref().unwrap())];
            assert!(
                state.ended || state.ending || state.epoch > place.epoch,
                "what request {number} has written is lost"
            );
        }
        if request.changes.contains(&Change::RevokeOthers) {
            self.revoked(number, found.map(|found| found.family));
        }
    }

    /// A request has ended the sessions of a user, but for the family `kept`.
    pub fn revoked(&self, number: usize, kept: Option<Family>) {
        for key in self.listed.get(&number).into_iter().flatten() {
            let family = self.places[key].family;
            assert!(Some(family) == kept || self.families[family].ended, "request {number} left a session");
        }
    }

    /// When no request is under way: every session that lives can be reached, and is the only one of its family.
    pub fn at_rest(&self, store: &Stepped, issued: &[String]) {
        let issued: HashSet<Key> = issued.iter().map(|id| key_of(id)).collect();
        let mut living = HashSet::new();
        for (key, place) in &self.places {
            let Some(entry) = store.peek(*key) else { continue };
            let Some(record) = record_of(&entry) else { continue };
            assert!(!self.families[place.family].ended, "a session is back from the end");
            assert!(living.insert(place.family), "two living sessions of one family");
            assert!(issued.contains(key), "a session that nobody was told of");
            assert_counted(record);
        }
    }

    fn lives(&self, store: &Stepped, family: Family) -> bool {
        let mut own = self.places.iter().filter(|(_, place)| place.family == family);
        own.any(|(key, _)| store.peek(*key).is_some_and(|entry| record_of(&entry).is_some()))
    }

    fn look(&self, key: Key) -> Found {
        // Keys of ids that were never issued are in no place: a family of its own that is over.
        let Some(place) = self.places.get(&key) else {
            return Found { family: usize::MAX, is_current: false, last_seen: None };
        };
        let state = &self.families[place.family];
        Found { family: place.family, is_current: !state.ended && state.epoch == place.epoch, last_seen: None }
    }

    fn created(&mut self, by: usize, key: Key, entry: &Arc<Entry>) {
        let record = record_of(entry).expect("only sessions are created");
        assert_counted(record);
        self.families.push(State::default());
        let place = Place { family: self.families.len() - 1, epoch: 0 };
        assert!(self.places.insert(key, place).is_none(), "a key is used again");
        if marks(record).contains(&mark(by)) {
            self.landed.insert(by, key);
        }
    }

    fn updated(&mut self, by: usize, key: Key, before: &Arc<Entry>, after: &Arc<Entry>) {
        match (stored_in(before).unwrap(), stored_in(after).unwrap()) {
            (Stored::Session(before), Stored::Session(after)) => {
                assert!(!self.families[self.places[&key].family].ended, "request {by} writes after the end");
                assert_kept(before, after);
                assert_counted(after);
                if marks(after).contains(&mark(by)) {
                    self.landed.insert(by, key);
                }
            }
            (Stored::Session(_), Stored::Alias(alias)) => self.moved(key, alias),
            (Stored::Alias(before), Stored::Alias(after)) => assert_eq!(before.successor, after.successor),
            (Stored::Alias(_), Stored::Session(_)) => panic!("an alias became a session again"),
        }
    }

    fn moved(&mut self, key: Key, alias: &super::super::super::alias::Alias) {
        let old = self.places[&key];
        let new = self.places[&Key(alias.successor)];
        let state = &self.families[old.family];
        assert!(!state.ended && state.epoch == old.epoch, "it moves after the end");
        // It may have ended before anybody could know where it leads.
        let ended = self.families[new.family].ended;
        let state = &mut self.families[old.family];
        state.ended |= ended;
        state.epoch += usize::from(alias.is_of_sign_in());
        let place = Place { family: old.family, epoch: state.epoch };
        self.places.insert(Key(alias.successor), place);
    }

    fn deleted(&mut self, by: usize, key: Key, gone: &Arc<Entry>) {
        if record_of(gone).is_none() {
            self.families[self.places[&key].family].ending = true;
        } else {
            self.families[self.places[&key].family].ended = true;
            // Its own successor that was not needed: what it wrote must stand elsewhere.
            if self.landed.get(&by) == Some(&key) {
                self.landed.remove(&by);
            }
        }
    }
}

/// The mark that request `number` leaves beside its increment.
pub fn mark(number: usize) -> String {
    format!("m{number}")
}

fn marks(record: &Record) -> HashSet<String> {
    record.data.map().into_iter().map(|(key, _)| key).filter(|key| key.starts_with('m')).collect()
}

/// Each increment was applied once.
fn assert_counted(record: &Record) {
    let n = record.data.map().get("n").and_then(Value::as_u64).unwrap_or_default();
    assert_eq!(n, marks(record).len() as u64, "increments are lost, or applied twice: {}", record.data.text());
}

/// Nothing written is taken away, unless another user signs in.
pub fn assert_kept(before: &Record, after: &Record) {
    let user = |record: &Record| record.identity.as_ref().map(|identity| identity.user.clone());
    let is_anothers = user(before).is_some() && user(before) != user(after);
    assert!(is_anothers || marks(before).is_subset(&marks(after)), "an update is lost");
}
