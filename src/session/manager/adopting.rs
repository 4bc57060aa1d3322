//! Adopting: sessions that another keeper of sessions issued go on under their ids.
//!
//! SECURITY: the only place that takes an id that we did not issue. Only `cloakroom import django` calls it, with
//! what an operator has read from the app's own, signed table; no request ever leads here.

use std::time::Duration;

use super::super::changes::Expiry;
use super::super::claims::{self, Claims};
use super::super::data::{Data, Map};
use super::super::expiry::Times;
use super::super::id::{Id, NoRandomness};
use super::super::record::Record;
use super::{Manager, Visit};
use crate::clock::Timestamp;
use crate::store::{self, Handle};

/// A session from elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Foreign {
    /// Whom the app has signed in.
    pub user: Option<String>,
    /// The app's data.
    pub data: Map,
    /// When it ends, if not by the policy.
    pub expiry: Expiry,
    /// When it ends at the latest if nobody uses it.
    pub end: Timestamp,
    /// When it was last written, if that is known.
    pub saved: Option<Timestamp>,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adoption {
    /// It is ours now; in a rehearsal, it would be.
    Done,
    /// There is a session, or a way to one, under that id.
    Known,
    /// Its time is over.
    Expired,
}

/// Why it could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// Ids are 32 characters a-z0-9.
    #[error("its id is not of the form that session ids have")]
    Id,
    /// A name that no header could carry.
    #[error("the name of its user is empty, longer than 256 bytes, or has control characters or blanks around it")]
    User,
    /// Too much.
    #[error("its data takes {size} bytes: raise session.max_data_size ({most})")]
    Large {
        /// What it takes.
        size: usize,
        /// What is allowed.
        most: usize,
    },
    /// The store is at fault.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// See [`NoRandomness`].
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

impl Manager {
    /// Keeps a session under the id that the browser has already. `rehearse`: only says what would become of it.
    ///
    /// # Errors
    /// See [`AdoptError`].
    pub async fn adopt(
        &self,
        id: &str,
        session: Foreign,
        now: Timestamp,
        rehearse: bool,
    ) -> Result<Adoption, AdoptError> {
        let id = Id::parse(id.as_bytes()).ok_or(AdoptError::Id)?;
        if session.end <= now {
            return Ok(Adoption::Expired);
        }
        let (end, saved) = (session.end, session.saved);
        let record = self.record_of_foreign(session, now)?;
        let last_seen = match record.expiry {
            // As long as the app has left it.
            Expiry::Sliding(idle) => Timestamp(end.0.saturating_sub(millis(idle))).min(now),
            _ => now,
        };
        if self.policy.judge(Times::of(&record, last_seen), now).is_err() {
            return Ok(Adoption::Expired);
        }
        if rehearse {
            let known = self.store.load(id.key()).await?.is_some();
            return Ok(if known { Adoption::Known } else { Adoption::Done });
        }
        let visit =
            Visit { now: saved.unwrap_or(now).min(now), address: [0, 0, 0, 0].into(), agent: None, https: true };
        let mut meta = self.envelope(&id, &record, visit);
        meta.address = None;
        let entry = self.entry(&id, meta, &record, last_seen, now)?;
        let created = self.store.create(id.key(), entry).await?;
        Ok(if created { Adoption::Done } else { Adoption::Known })
    }

    /// The name under which a session would stand in logs and lists; `None` when its id is not of our form.
    #[must_use]
    pub fn handle_of(&self, id: &str) -> Option<Handle> {
        Id::parse(id.as_bytes()).map(|id| self.keyring.handle(&id))
    }

    fn record_of_foreign(&self, session: Foreign, now: Timestamp) -> Result<Record, AdoptError> {
        let mut data = Data::default();
        data.edit(|map| *map = session.data);
        if data.size() > self.max_data_size {
            return Err(AdoptError::Large { size: data.size(), most: self.max_data_size });
        }
        let since = match session.expiry {
            // So that the policy's end falls on the one that the app has named.
            Expiry::Policy | Expiry::Browser => {
                Timestamp(session.end.0.saturating_sub(millis(self.absolute_timeout()))).min(now)
            }
            Expiry::Sliding(_) | Expiry::At(_) => now,
        };
        let mut record = Record::new(now)?;
        record.since = since;
        // SECURITY: the app's own table holds the id in clear, so where ids are replaced, this one is at its first use.
        record.issued = Timestamp(0);
        record.expiry = session.expiry;
        record.data = data;
        if let Some(user) = session.user {
            let user = claims::judge(user).ok().filter(|user| !user.is_empty()).ok_or(AdoptError::User)?;
            // SECURITY: nobody knows when the password was last asked for, so it must not look fresh.
            let identity = Claims { user, ..Claims::default() }.identity(Timestamp(0));
            record.identity = Some(*identity);
        }
        Ok(record)
    }

    fn absolute_timeout(&self) -> Duration {
        // A session of time zero whose own end never comes.
        let never = Expiry::At(Timestamp(u64::MAX));
        let times = Times { since: Timestamp(0), last_seen: Timestamp(0), remember: false, expiry: never };
        Duration::from_millis(self.policy.deadline(times).0)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use serde_json::json;

    use super::super::super::keyring::Keyring;
    use super::super::super::recall::Recall;
    use super::super::super::session::Session;
    use super::super::AtRest;
    use super::*;
    use crate::config::schema;
    use crate::identity::Source;
    use crate::store::{MemoryStore, Store};

    const NOW: Timestamp = Timestamp(1_700_000_000_000);
    const ID: &str = "abcdefghijklmnopqrstuvwxyz012345";

    fn manager() -> (Manager, Arc<MemoryStore>) {
        let keyring = Keyring::from_config(&["k".repeat(32).into()], Path::new("/")).unwrap();
        let store = Arc::new(MemoryStore::new(100));
        let session = schema::Session::default();
        (Manager::new(&session, None, keyring, Arc::clone(&store) as _, AtRest::Sealed), store)
    }

    fn hours(n: u64) -> Timestamp {
        NOW.plus(Duration::from_secs(n * 3600))
    }

    fn anns(expiry: Expiry, end: Timestamp) -> Foreign {
        let data = json!({"cart": ["tea"], "_csrftoken": "t"}).as_object().cloned().unwrap();
        Foreign { user: Some("ann".into()), data, expiry, end, saved: Some(Timestamp(NOW.0 - 5000)) }
    }

    async fn open(manager: &Manager, now: Timestamp) -> Session {
        let mut headers = http::HeaderMap::new();
        headers.insert("cookie", format!("sessionid={ID}").parse().unwrap());
        manager.open(&headers, &Recall::default(), [192, 0, 2, 1].into(), now).await.unwrap()
    }

    async fn adopted(expiry: Expiry, end: Timestamp) -> Manager {
        let (manager, _) = manager();
        assert_eq!(manager.adopt(ID, anns(expiry, end), NOW, false).await.unwrap(), Adoption::Done);
        manager
    }

    #[tokio::test]
    async fn the_browser_goes_on_with_the_id_that_it_has() {
        let manager = adopted(Expiry::Policy, hours(100)).await;
        let session = open(&manager, hours(1)).await;
        let identity = session.identity().unwrap();
        assert_eq!((&*identity.user, identity.source, identity.since), ("ann", Source::App, Timestamp(0)));
        assert_eq!(session.data(), r#"{"cart":["tea"],"_csrftoken":"t"}"#);
        assert_eq!(session.created(), Some(Timestamp(NOW.0 - 5000)));
        assert_eq!(session.handle(), manager.handle_of(ID));
    }

    #[tokio::test]
    async fn it_lies_sealed_like_any_other() {
        let (manager, store) = manager();
        manager.adopt(ID, anns(Expiry::Policy, hours(100)), NOW, false).await.unwrap();
        let key = Id::parse(ID.as_bytes()).unwrap().key();
        let bytes = store.load(key).await.unwrap().unwrap().bytes().into_owned();
        assert!([&b"ann"[..], b"cart", ID.as_bytes()].iter().all(|word| bytes.windows(word.len()).all(|w| w != *word)));
    }

    #[tokio::test]
    async fn it_ends_when_the_app_would_have_ended_it() {
        for (expiry, end, last_hour) in [
            (Expiry::Policy, hours(20), 19),
            (Expiry::Policy, hours(10_000), 23),
            (Expiry::Browser, hours(20), 19),
            (Expiry::At(hours(40)), hours(40), 39),
            (Expiry::Sliding(Duration::from_secs(7200)), hours(1), 0),
            (Expiry::Sliding(Duration::from_secs(7200)), hours(9), 1),
        ] {
            let lives = async |at| open(&adopted(expiry, end).await, at).await.identity().is_some();
            let (last, next) = (hours(last_hour), hours(last_hour + 1));
            assert!(lives(last).await && !lives(next).await, "{expiry:?} {end:?}");
        }
    }

    #[tokio::test]
    async fn its_id_is_replaced_at_the_first_use() {
        let manager = adopted(Expiry::Policy, hours(100)).await;
        let mut session = open(&manager, NOW).await;
        session.may_rotate = true;
        let visit = Visit { now: NOW, address: [192, 0, 2, 1].into(), agent: None, https: true };
        let committed = manager.commit(session, visit, http::StatusCode::OK).await.unwrap();
        let line = committed.set_cookie[0].to_str().unwrap();
        assert!(line.starts_with("sessionid=") && !line.contains(ID) && !line.contains("Max-Age=0"));
        assert!(open(&manager, NOW).await.identity().is_some(), "and the old one has its grace");
    }

    #[tokio::test]
    async fn what_is_there_stays_as_it_is() {
        let manager = adopted(Expiry::Policy, hours(100)).await;
        let bobs = || Foreign { user: Some("bob".into()), ..anns(Expiry::Policy, hours(50)) };
        assert_eq!(manager.adopt(ID, bobs(), NOW, true).await.unwrap(), Adoption::Known);
        assert_eq!(manager.adopt(ID, bobs(), NOW, false).await.unwrap(), Adoption::Known);
        assert_eq!(&*open(&manager, NOW).await.identity().unwrap().user, "ann");
    }

    #[tokio::test]
    async fn a_rehearsal_keeps_nothing_and_the_dead_stay_dead() {
        let (manager, store) = manager();
        let policy = Expiry::Policy;
        assert_eq!(manager.adopt(ID, anns(policy, hours(1)), NOW, true).await.unwrap(), Adoption::Done);
        assert_eq!(manager.adopt(ID, anns(policy, NOW), NOW, false).await.unwrap(), Adoption::Expired);
        assert_eq!(store.count().await.unwrap(), 0);
    }

    #[tokio::test]
    async fn what_could_not_be_ours_is_refused() {
        let (manager, _) = manager();
        let session = || anns(Expiry::Policy, hours(1));
        let why = async |id: &str, session| manager.adopt(id, session, NOW, false).await.unwrap_err();
        assert!(matches!(why("short", session()).await, AdoptError::Id));
        for user in ["", " ann", "a\nb"] {
            let session = Foreign { user: Some(user.into()), ..session() };
            assert!(matches!(why(ID, session).await, AdoptError::User), "{user:?}");
        }
        let mut large = session();
        large.data.insert("k".into(), "v".repeat(70_000).into());
        assert!(matches!(why(ID, large).await, AdoptError::Large { most: 65_536, .. }));
    }
}
