//! What is done to one entry, each within one attempt. Called by the store's methods, and by the link, which repeats
//! deletes after a reconnection; nothing here knows how connections are made.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use redis::{RedisError, Value};
use tokio::time::timeout;
use tracing::warn;

use super::link::{self, Connection};
use super::listener::Announcement;
use super::names::Names;
use super::scripts::Program;
use super::{Failure, Shared, codec, walks};
use crate::clock::Timestamp;
use crate::store::{Entry, Error, Key, Updated};

/// Redis may keep an entry so much longer than it lives: for sweeps, and for clocks that differ.
const MARGIN: Duration = Duration::from_secs(24 * 3600);

/// The longest time to live: for what never ends.
pub(super) const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// How long a deleted key cannot be created again.
const TOMBSTONE: Duration = Duration::from_secs(600);

/// How long the sealed value of a deleted key can be asked for by the delete itself, when its answer was lost.
pub(super) const DELETED: Duration = Duration::from_secs(5);

/// Deletes of so long, and so many, are repeated after a reconnection.
const REPEATED: Duration = Duration::from_secs(60);
const REPEATED_AT_MOST: usize = 4096;

impl Shared {
    pub(super) async fn create(&self, key: Key, entry: Entry) -> Result<bool, Error> {
        let value = self.encoded("create", &entry, entry.version())?;
        let ttl = self.ttl(entry.deadline());
        self.attempt("create", true, async |connection| {
            Ok(redis::from_redis_value(self.run(&self.scripts.create, connection, key, &[&value, &ttl]).await?)
                .map_err(RedisError::from)?)
        })
        .await
    }

    pub(super) async fn load(&self, key: Key) -> Result<Option<Arc<Entry>>, Error> {
        let name = self.names.entry(&key);
        let operation = async |mut connection| {
            let value: Option<Vec<u8>> = redis::cmd("GET").arg(&name).query_async(&mut connection).await?;
            let entry = value.map(|value| codec::decode(&value)).transpose()?.flatten();
            Ok(entry.map(|entry| placed(entry, key)))
        };
        self.attempt("load", true, operation).await
    }

    pub(super) async fn update(&self, key: Key, seen: u64, entry: Entry) -> Result<Updated, Error> {
        let value = self.encoded("update", &entry, seen.wrapping_add(1))?;
        let (ttl, seen) = (self.ttl(entry.deadline()), codec::version(seen));
        let operation = async |connection| {
            let announcement = self.listener.announce();
            let arguments = [&value, &ttl, &seen, &self.channel(), announcement.operation.as_slice()];
            let answer = self.run(&self.scripts.update, connection, key, &arguments).await?;
            let (outcome, told): (u8, usize) = redis::from_redis_value(answer).map_err(RedisError::from)?;
            Ok((outcome, announcement, told))
        };
        let (outcome, announcement, told) = self.attempt("update", true, operation).await?;
        announcement.heard_by(told, self.timeout).await;
        Ok(match outcome {
            0 => Updated::Absent,
            1 => Updated::Conflict,
            _ => Updated::Done,
        })
    }

    pub(super) async fn touch(&self, key: Key, last_seen: Timestamp, deadline: Timestamp) -> Result<(), Error> {
        let arguments = [codec::time(last_seen), codec::time(deadline), self.ttl(deadline)];
        let arguments = arguments.each_ref().map(Vec::as_slice);
        self.attempt("touch", true, async |connection| {
            self.run(&self.scripts.touch, connection, key, &arguments).await.map(drop)
        })
        .await
    }

    pub(super) async fn delete(&self, key: Key) -> Result<Option<Arc<Entry>>, Error> {
        let writer = rand::random();
        let operation = async |mut connection| self.bury(&mut connection, key, writer).await;
        let (value, announcement, told) = self.attempt("delete", true, operation).await?;
        announcement.heard_by(told, self.timeout).await;
        let Some(value) = value else { return Ok(None) };
        self.remember(key);
        match codec::decode(&value) {
            Ok(entry) => Ok(entry.map(|entry| placed(entry, key))),
            Err(malformed) => Err(self.unreachable("delete", &malformed)),
        }
    }

    pub(super) async fn bury(
        &self,
        connection: &mut Connection,
        key: Key,
        writer: [u8; 8],
    ) -> Result<(Option<Vec<u8>>, Announcement<'_>, usize), Failure> {
        let announcement = self.listener.announce();
        let (life, moment) = (TOMBSTONE.as_millis().to_string(), DELETED.as_millis().to_string());
        let channel = self.channel();
        let arguments = [&writer, life.as_bytes(), moment.as_bytes(), &channel, &announcement.operation];
        let answer = self.run(&self.scripts.delete, connection.clone(), key, &arguments).await?;
        let (value, told) = redis::from_redis_value(answer).map_err(RedisError::from)?;
        Ok((value, announcement, told))
    }

    fn remember(&self, key: Key) {
        let mut deleted = self.deleted.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while deleted.len() >= REPEATED_AT_MOST || deleted.front().is_some_and(|(then, _)| *then + REPEATED < now) {
            deleted.pop_front();
        }
        deleted.push_back((now, key));
    }

    /// SECURITY: the server may have lost them: a master that replaced another, or one that came back from its last
    /// fsync. Before anything is read from it, or in a Cluster soon after. Answers whether all could be repeated.
    pub(super) async fn repeat_deletes(self: &Arc<Self>, connection: &Connection) -> bool {
        let keys: Vec<Key> = {
            let deleted = self.deleted.lock().unwrap_or_else(PoisonError::into_inner);
            deleted.iter().filter(|(then, _)| then.elapsed() < REPEATED).map(|(_, key)| *key).collect()
        };
        let count = keys.len();
        let repeat = |key| {
            let (shared, mut connection) = (self.clone(), connection.clone());
            async move { shared.bury(&mut connection, key, rand::random()).await.map(drop) }
        };
        let repeated = timeout(link::CONNECT, walks::at_once(keys.into_iter().map(repeat)));
        let done = matches!(repeated.await, Ok(Ok(_)));
        if !done {
            warn!(sessions = count, "deletes of the last minute could not be repeated, lest a new master lack them");
        }
        done
    }

    pub(super) async fn ping(&self) -> Result<(), Error> {
        let operation = async |mut connection| {
            redis::cmd("PING").query_async::<Value>(&mut connection).await?;
            Ok(())
        };
        self.attempt("ping", true, operation).await
    }

    pub(super) async fn run(
        &self,
        script: &Program,
        mut connection: Connection,
        key: Key,
        arguments: &[&[u8]],
    ) -> Result<Value, Failure> {
        let shard = Names::shard(&key);
        let names = [self.names.entry(&key), self.names.deadlines(shard), self.names.deleted(&key)];
        let users = self.names.users(shard);
        let arguments = [&[key.0.as_slice(), users.as_slice()], arguments].concat();
        Ok(script.run(&mut connection, &names, &arguments).await?)
    }

    pub(super) fn encoded(&self, what: &str, entry: &Entry, version: u64) -> Result<Vec<u8>, Error> {
        codec::encode(entry, version, rand::random()).map_err(|malformed| self.unreachable(what, &malformed))
    }

    /// By our clock, from now: Redis's may be wrong.
    fn ttl(&self, deadline: Timestamp) -> Vec<u8> {
        let left = deadline.since(self.clock.now()).min(LONGEST) + MARGIN;
        left.as_millis().to_string().into_bytes()
    }

    /// Empty where nobody can count the listeners.
    fn channel(&self) -> Vec<u8> {
        if self.address.is_cluster() { Vec::new() } else { self.names.changes() }
    }
}

pub(super) fn placed(mut entry: Entry, key: Key) -> Arc<Entry> {
    entry.place(key.words());
    Arc::new(entry)
}
