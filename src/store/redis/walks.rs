//! What looks at many entries: lists, pages, counts, sweeps. Called through the store; shard by shard, many shards
//! at once, since a Cluster keeps them in different places.

use std::collections::BTreeMap;
use std::sync::Arc;

use redis::{RedisError, Value};
use tracing::warn;

use super::link::Connection;
use super::names::{Names, SHARDS};
use super::operations::placed;
use super::scripts::Program;
use super::{Failure, Shared, codec};
use crate::clock::Timestamp;
use crate::store::{Cursor, Entry, Error, Key, Page};

/// A user whose sessions move faster than they can be read is not waited for.
const MOST_READINGS: usize = 8;

/// So many expired entries go in one round: about 2 ms of the server's time.
const SWEPT_AT_ONCE: usize = 100;

/// A shard, and where a walk is in it.
#[derive(Clone, Copy)]
struct Place {
    shard: u8,
    cursor: u64,
}

impl Shared {
    /// SECURITY: a session that moves to another key meanwhile, and so perhaps to another shard, must be met under the
    /// one or the other, or it outlives the end of all sessions of its user: the shards are read until two readings
    /// agree.
    pub(super) async fn of_user(self: &Arc<Self>, user: &str) -> Result<Vec<(Key, Arc<Entry>)>, Error> {
        let operation = async |connection: Connection| {
            let mut before = self.of_user_in_passing(&connection, user).await?;
            let mut all = before.clone();
            for _ in 1..MOST_READINGS {
                let latest = self.of_user_in_passing(&connection, user).await?;
                if latest.keys().eq(before.keys()) {
                    return Ok(latest.into_iter().collect());
                }
                all.extend(latest.clone());
                before = latest;
            }
            Ok(all.into_iter().collect())
        };
        self.attempt("list by user", true, operation).await
    }

    async fn of_user_in_passing(
        self: &Arc<Self>,
        connection: &Connection,
        user: &str,
    ) -> Result<BTreeMap<Key, Arc<Entry>>, Failure> {
        let of_shard = |shard| {
            let arguments = vec![self.names.entries_of(shard), format!("+{user}").into_bytes()];
            self.clone().run_in(|shared| &shared.scripts.read, connection.clone(), shard, arguments)
        };
        let found = at_once((0..SHARDS).map(of_shard)).await?.into_iter().flat_map(decoded);
        Ok(found.filter(|(_, entry)| entry.meta.is_session_of(user)).collect())
    }

    pub(super) async fn count(self: &Arc<Self>) -> Result<usize, Error> {
        let operation = async |connection: Connection| {
            let counts = self.of_every_shard(&connection, "ZCARD", &[]).await?;
            Ok(counts.into_iter().sum())
        };
        self.attempt("count", true, operation).await
    }

    /// A little at a time: while a script runs, the server answers nobody else.
    pub(super) async fn sweep(self: &Arc<Self>, now: Timestamp, limit: usize) -> Result<Vec<Arc<Entry>>, Error> {
        let mut swept: Vec<Arc<Entry>> = Vec::new();
        while swept.len() < limit {
            let wanted = SWEPT_AT_ONCE.min(limit - swept.len());
            match self.sweep_some(now, wanted).await {
                Ok(some) => {
                    let found = some.len();
                    swept.extend(some);
                    if found < wanted {
                        break;
                    }
                }
                // What is gone must be told all the same.
                Err(error) if swept.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(swept)
    }

    /// First how many there are where, so that no more than `limit` are taken in all.
    async fn sweep_some(self: &Arc<Self>, now: Timestamp, limit: usize) -> Result<Vec<Arc<Entry>>, Error> {
        let now = codec::time(now);
        // Not repeatable: what was swept the first time would be told to nobody.
        let operation = async |connection: Connection| {
            let expired = self.of_every_shard(&connection, "ZCOUNT", &[b"-inf", &now]).await?;
            let mut left = limit;
            let shares = (0..SHARDS).zip(expired).map(|(shard, expired)| {
                let share = expired.min(left);
                left -= share;
                (shard, share)
            });
            let sweep = |(shard, share): (u8, usize)| {
                let arguments = vec![self.names.entries_of(shard), now.clone(), share.to_string().into_bytes()];
                self.clone().run_in(|shared| &shared.scripts.sweep, connection.clone(), shard, arguments)
            };
            let swept = at_once(shares.filter(|(_, share)| *share > 0).map(sweep)).await?;
            Ok(swept.into_iter().flat_map(decoded).map(|(_, entry)| entry).collect())
        };
        self.attempt("sweep", false, operation).await
    }

    /// `ZSCAN` returns at least once what is there all the while.
    pub(super) async fn page(self: &Arc<Self>, from: Option<&Cursor>, limit: usize) -> Result<Page, Error> {
        let from = match from {
            None => Place { shard: 0, cursor: 0 },
            Some(cursor) => match Place::of(cursor) {
                Some(place) => place,
                None => return Ok(Page { entries: Vec::new(), next: None }),
            },
        };
        let operation = async |connection: Connection| self.page_from(connection, from, limit.max(1)).await;
        self.attempt("page", true, operation).await
    }

    /// Asks one shard, then two, then four at once while they give too little: an almost empty store is not asked
    /// 64 times in a row.
    async fn page_from(self: &Arc<Self>, connection: Connection, from: Place, limit: usize) -> Result<Page, Failure> {
        let (mut entries, mut next, mut width) = (Vec::new(), Some(from), 1);
        while let Some(place) = next.filter(|_| entries.len() < limit) {
            let wanted = limit - entries.len();
            let scan = |shard| {
                let cursor = if shard == place.shard { place.cursor } else { 0 };
                scan(connection.clone(), self.names.deadlines(shard), cursor, wanted)
            };
            let stretch = place.shard..place.shard.saturating_add(width).min(SHARDS);
            let scanned = at_once(stretch.clone().map(scan)).await?;
            let mut reads = Vec::new();
            next = (stretch.end < SHARDS).then_some(Place { shard: stretch.end, cursor: 0 });
            for (shard, (cursor, keys)) in stretch.zip(scanned) {
                let mut arguments = vec![self.names.entries_of(shard), Vec::new()];
                arguments.extend(keys);
                reads.push(self.clone().run_in(|shared| &shared.scripts.read, connection.clone(), shard, arguments));
                if cursor != 0 {
                    next = Some(Place { shard, cursor });
                    break;
                }
            }
            entries.extend(at_once(reads).await?.into_iter().flat_map(decoded));
            width = width.saturating_mul(2);
        }
        Ok(Page { entries, next: next.map(Place::cursor) })
    }

    async fn of_every_shard(
        &self,
        connection: &Connection,
        command: &str,
        arguments: &[&[u8]],
    ) -> Result<Vec<usize>, Failure> {
        let of_shard = |shard| {
            let mut command = redis::cmd(command);
            command.arg(self.names.deadlines(shard)).arg(arguments);
            let mut connection = connection.clone();
            async move { Ok(command.query_async(&mut connection).await?) }
        };
        at_once((0..SHARDS).map(of_shard)).await
    }

    /// A script that concerns a shard, not one entry: answers keys and values by turns.
    async fn run_in(
        self: Arc<Self>,
        script: impl Fn(&Self) -> &Program + Send,
        mut connection: Connection,
        shard: u8,
        arguments: Vec<Vec<u8>>,
    ) -> Result<Vec<Vec<u8>>, Failure> {
        let (deadlines, users) = (self.names.deadlines(shard), self.names.users(shard));
        let mut all = vec![b"".as_slice(), &users];
        all.extend(arguments.iter().map(Vec::as_slice));
        let answer = script(&self).run(&mut connection, &[deadlines.clone(), deadlines], &all).await?;
        Ok(redis::from_redis_value(answer).map_err(RedisError::from)?)
    }
}

impl Place {
    fn of(Cursor(bytes): &Cursor) -> Option<Self> {
        let (shard, cursor) = bytes.split_first()?;
        let cursor = u64::from_be_bytes(cursor.try_into().ok()?);
        (*shard < SHARDS).then_some(Self { shard: *shard, cursor })
    }

    fn cursor(self) -> Cursor {
        Cursor([&[self.shard], self.cursor.to_be_bytes().as_slice()].concat().into())
    }
}

/// A step through the keys of one shard: where it goes on, 0 at the end, and what it met.
async fn scan(
    mut connection: Connection,
    deadlines: Vec<u8>,
    cursor: u64,
    count: usize,
) -> Result<(u64, Vec<Vec<u8>>), Failure> {
    let mut command = redis::cmd("ZSCAN");
    command.arg(deadlines).arg(cursor).arg("COUNT").arg(count);
    let (next, members): (u64, Vec<Value>) = command.query_async(&mut connection).await?;
    let keys = members.into_iter().step_by(2).map(redis::from_redis_value);
    Ok((next, keys.collect::<Result<_, _>>().map_err(RedisError::from)?))
}

/// All on their way before the first answer is awaited.
pub(super) async fn at_once<T: Send + 'static, F>(all: impl IntoIterator<Item = F>) -> Result<Vec<T>, Failure>
where
    F: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let tasks: Vec<_> = all.into_iter().map(tokio::spawn).collect();
    let mut answers = Vec::with_capacity(tasks.len());
    for task in tasks {
        answers.push(task.await.map_err(|_| Failure::Task)??);
    }
    Ok(answers)
}

/// Keys and values by turns; what is damaged stops no walk.
fn decoded(found: Vec<Vec<u8>>) -> Vec<(Key, Arc<Entry>)> {
    let entry = |pair: &[Vec<u8>; 2]| {
        let key = Key(pair[0].as_slice().try_into().ok()?);
        match codec::decode(&pair[1]) {
            Ok(entry) => Some((key, placed(entry?, key))),
            Err(error) => {
                warn!(shard = Names::shard(&key), %error, "an entry in Redis cannot be read");
                None
            }
        }
    };
    found.as_chunks().0.iter().filter_map(entry).collect()
}
