//! Nonces of an app that signs its users on by Digest: whose is used how often. One [`Nonces`] for each such route, for
//! all workers.
//!
//! SECURITY: no credentials are here, and nothing that follows from them. Who is forgotten is challenged once more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use http::header::HeaderValue;

use super::digest::{Asked, Challenge, NoAnswer};
use crate::clock::Timestamp;
use crate::session::{NoRandomness, Typed, random_bytes};

/// More users at a time and the oldest nonce goes.
const MOST: usize = 4096;

/// So long after it came, a nonce is trusted with what cannot be sent twice. The shortest life that servers are known to
/// give one is 10 s.
const FRESH: Duration = Duration::from_secs(5);

/// The nonces of one route, by user.
#[derive(Debug, Default)]
pub struct Nonces(Mutex<HashMap<Box<str>, Known>>);

#[derive(Debug)]
struct Known {
    nonce: Arc<Nonce>,
    /// How often it was used.
    count: u32,
    trust: Trust,
}

#[derive(Debug)]
struct Nonce {
    challenge: Challenge,
    /// Our own part. One for all uses: servers differ on which of them the key of a `-sess` algorithm is made with.
    cnonce: Box<str>,
    since: Timestamp,
}

/// What the app has shown about a nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trust {
    /// Nothing yet.
    New,
    /// The user is let in.
    Accepted,
    /// It can be used more than once.
    Lasts,
}

/// One use of a nonce.
#[derive(Debug)]
pub struct Turn {
    nonce: Arc<Nonce>,
    count: u32,
    trust: Trust,
}

impl Nonces {
    /// The next use of what the user has.
    #[must_use]
    pub fn next(&self, user: &str) -> Option<Turn> {
        self.lock().get_mut(user)?.turn()
    }

    /// The same for a request that cannot be repeated, if there is hardly any doubt that the app still takes it.
    #[must_use]
    pub fn next_for_a_body(&self, user: &str, now: Timestamp) -> Option<Turn> {
        let mut all = self.lock();
        let known = all.get_mut(user)?;
        let is_fresh = now < known.nonce.since.plus(FRESH) && (known.count == 0 || known.trust == Trust::Lasts);
        is_fresh.then(|| known.turn()).flatten()
    }

    /// Keeps what the app asks for now, for the user's next request.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn keep(&self, user: &str, challenge: Challenge, now: Timestamp) -> Result<(), NoRandomness> {
        self.put(user, Known::new(challenge, now)?);
        Ok(())
    }

    /// The same, and its first use.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn begin(&self, user: &str, challenge: Challenge, now: Timestamp) -> Result<Turn, NoRandomness> {
        let known = Known { count: 1, ..Known::new(challenge, now)? };
        let turn = Turn { nonce: Arc::clone(&known.nonce), count: 1, trust: Trust::New };
        self.put(user, known);
        Ok(turn)
    }

    /// The app has let the user in, and says perhaps which nonce comes next.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn accepted(&self, user: &str, turn: &Turn, answer: &HeaderMap, now: Timestamp) -> Result<(), NoRandomness> {
        let next = turn.nonce.challenge.followed_by(answer).map(|next| Known::new(next, now)).transpose()?;
        let mut all = self.lock();
        let Some(known) = all.get_mut(user).filter(|known| known.is_of(turn)) else { return Ok(()) };
        let shown = if turn.count > 1 { Trust::Lasts } else { Trust::Accepted };
        known.trust = known.trust.max(shown);
        if let Some(next) = next {
            *known = Known { trust: Trust::Accepted, ..next };
        }
        Ok(())
    }

    /// The app did not let the user in with it.
    pub fn forget(&self, user: &str, turn: &Turn) {
        let mut all = self.lock();
        if all.get(user).is_some_and(|known| known.is_of(turn)) {
            all.remove(user);
        }
    }

    fn put(&self, user: &str, known: Known) {
        let mut all = self.lock();
        if all.len() >= MOST && !all.contains_key(user) {
            let oldest = all.iter().min_by_key(|(_, known)| known.nonce.since).map(|(user, _)| user.clone());
            oldest.map(|user| all.remove(&user));
        }
        all.insert(user.into(), known);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn new(challenge: Challenge, now: Timestamp) -> Result<Self, NoRandomness> {
        let random: [u8; 16] = random_bytes()?;
        let cnonce = format!("{:032x}", u128::from_be_bytes(random)).into();
        Ok(Self { nonce: Arc::new(Nonce { challenge, cnonce, since: now }), count: 0, trust: Trust::New })
    }

    fn turn(&mut self) -> Option<Turn> {
        self.count = self.count.checked_add(1)?;
        Some(Turn { nonce: Arc::clone(&self.nonce), count: self.count, trust: self.trust })
    }

    fn is_of(&self, turn: &Turn) -> bool {
        Arc::ptr_eq(&self.nonce, &turn.nonce)
    }
}

impl Turn {
    /// The `Authorization` of a request.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn answer(&self, asked: Asked<'_>, credentials: &Typed) -> Result<HeaderValue, NoAnswer> {
        self.nonce.challenge.answer(asked, self.count, &self.nonce.cnonce, credentials)
    }

    /// Whether a refusal with this challenge speaks of the nonce and not of the credentials. Not all apps say `stale` when
    /// they should; another nonce then says it, where it costs no more than a second try or where this one did serve.
    #[must_use]
    pub fn was_too_old(&self, challenge: &Challenge, can_repeat: bool) -> bool {
        let is_another = challenge.nonce() != self.nonce.challenge.nonce();
        challenge.is_stale() || is_another && (can_repeat || self.trust > Trust::New)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::thread;

    use http::header::WWW_AUTHENTICATE;

    use super::super::digest::AUTHENTICATION_INFO;
    use super::*;

    fn challenge(nonce: &str) -> Challenge {
        let line = HeaderValue::try_from(format!("Digest realm=x, qop=auth, nonce=\"{nonce}\"")).unwrap();
        Challenge::read(&HeaderMap::from_iter([(WWW_AUTHENTICATE, line)])).unwrap()
    }

    fn next_nonce(nonce: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHENTICATION_INFO, HeaderValue::try_from(format!("nextnonce={nonce}")).unwrap())])
    }

    const NOW: Timestamp = Timestamp(1_000_000);

    #[test]
    fn each_use_has_its_own_number_even_at_once() {
        let nonces = Nonces::default();
        let mut counts = HashSet::from([nonces.begin("ann", challenge("n"), NOW).unwrap().count]);
        let taken: Vec<u32> = thread::scope(|scope| {
            let each = || (0..500).map(|_| nonces.next("ann").unwrap().count).collect::<Vec<_>>();
            let all: Vec<_> = (0..4).map(|_| scope.spawn(each)).collect();
            all.into_iter().flat_map(|one| one.join().unwrap()).collect()
        });
        assert!(taken.into_iter().all(|count| counts.insert(count)));
        assert_eq!((counts.len(), counts.iter().max()), (2001, Some(&2001)));
        assert!(nonces.next("bob").is_none());
    }

    #[test]
    fn what_cannot_be_repeated_gets_a_nonce_that_is_fresh_and_proven() {
        let nonces = Nonces::default();
        let first = nonces.begin("ann", challenge("n"), NOW).unwrap();
        assert!(nonces.next_for_a_body("ann", NOW).is_none());
        nonces.accepted("ann", &first, &HeaderMap::new(), NOW).unwrap();
        assert!(nonces.next_for_a_body("ann", NOW).is_none(), "perhaps it can be used once only");
        let second = nonces.next("ann").unwrap();
        nonces.accepted("ann", &second, &HeaderMap::new(), NOW).unwrap();
        assert!(nonces.next_for_a_body("ann", NOW.plus(FRESH / 2)).is_some());
        assert!(nonces.next_for_a_body("ann", NOW.plus(FRESH)).is_none());
        nonces.accepted("ann", &nonces.next("ann").unwrap(), &next_nonce("m"), NOW.plus(FRESH)).unwrap();
        let next = nonces.next_for_a_body("ann", NOW.plus(FRESH)).unwrap();
        assert_eq!((next.count, next.nonce.challenge.nonce()), (1, "m"));
        assert!(nonces.next_for_a_body("ann", NOW.plus(FRESH)).is_none());
    }

    #[test]
    fn a_refusal_is_about_the_nonce_or_about_the_credentials() {
        let nonces = Nonces::default();
        let first = nonces.begin("ann", challenge("n"), NOW).unwrap();
        assert!(!first.was_too_old(&challenge("other"), false) && first.was_too_old(&challenge("other"), true));
        assert!(!first.was_too_old(&challenge("n"), true));
        nonces.accepted("ann", &first, &HeaderMap::new(), NOW).unwrap();
        assert!(nonces.next("ann").unwrap().was_too_old(&challenge("other"), false));
    }

    #[test]
    fn a_refusal_forgets_its_own_nonce_only() {
        let nonces = Nonces::default();
        let old = nonces.begin("ann", challenge("n"), NOW).unwrap();
        let new = nonces.begin("ann", challenge("m"), NOW).unwrap();
        nonces.forget("ann", &old);
        nonces.accepted("ann", &old, &next_nonce("x"), NOW).unwrap();
        assert_eq!(nonces.next("ann").unwrap().count, 2);
        nonces.forget("ann", &new);
        assert!(nonces.next("ann").is_none());
        nonces.keep("ann", challenge("k"), NOW).unwrap();
        assert_eq!(nonces.next("ann").unwrap().count, 1);
    }

    #[test]
    fn there_are_so_many_and_no_more() {
        let nonces = Nonces::default();
        for number in 0..MOST as u64 + 100 {
            nonces.keep(&number.to_string(), challenge("n"), NOW.plus(Duration::from_millis(number))).unwrap();
        }
        assert_eq!(nonces.lock().len(), MOST);
        assert!(nonces.next("99").is_none() && nonces.next("100").is_some());
    }
}
