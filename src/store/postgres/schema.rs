//! The tables: made and migrated by us, under a lock, by whichever gateway comes first.
//!
//! `pool` has each new connection pass here until the tables are known to be right. A role without CREATE works
//! when they are there already.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use super::options::Target;
use super::pool::Failure;

/// A later version may have to rewrite a large table, and another gateway may be at it.
const LIMIT: Duration = Duration::from_secs(600);

/// What leads from each version to the next; `{p}` stands for the prefix.
///
/// - `due` is the deadline in steps of 2^18 ms (about four minutes), and the deadline itself has no index: so most
///   touches change no indexed column and PostgreSQL rewrites the row in its page alone (HOT), no index grows.
///   `fillfactor` leaves room for that in each page, `autovacuum` comes at a twentieth of dead rows, not a fifth.
/// - `data` is sealed, so trying to compress it is lost work: EXTERNAL.
const STEPS: [&str; 1] = ["
    CREATE TABLE {p}sessions (
        key bytea PRIMARY KEY CHECK (octet_length(key) = 32),
        handle text NOT NULL,
        user_name text,
        created bigint NOT NULL,
        address inet,
        agent text,
        alias boolean NOT NULL,
        version bigint NOT NULL,
        last_seen bigint NOT NULL,
        deadline bigint NOT NULL,
        due bigint NOT NULL GENERATED ALWAYS AS (deadline >> 18) STORED,
        data bytea NOT NULL
    ) WITH (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
    ALTER TABLE {p}sessions ALTER COLUMN data SET STORAGE EXTERNAL;
    CREATE INDEX {p}sessions_user_name ON {p}sessions (user_name) WHERE user_name IS NOT NULL;
    CREATE INDEX {p}sessions_due ON {p}sessions (due);
    COMMENT ON TABLE {p}sessions IS 'Cloakroom: one row per session. Times are milliseconds since 1970 UTC, \
9223372036854775807 is never. Deleting a row ends the session once no gateway keeps a copy.';
"];

const NEWEST: i64 = STEPS.len() as i64;

pub(super) struct Schema {
    prefix: String,
    is_right: AtomicBool,
}

impl Schema {
    pub fn new(prefix: String) -> Self {
        Self { prefix, is_right: AtomicBool::new(false) }
    }

    /// Looks, and creates or migrates what is not as it must be.
    pub async fn ensure(&self, client: &mut Client, target: &Target) -> Result<(), Failure> {
        if self.is_right.load(Ordering::Acquire) {
            return Ok(());
        }
        match timeout(LIMIT, self.look_and_migrate(client)).await {
            Ok(Ok(())) => self.is_right.store(true, Ordering::Release),
            Ok(Err(Wrong::Newer(found))) => return Err(Failure::new(target, self.refuse(found))),
            Ok(Err(Wrong::Server(error))) => {
                let reason = Failure::from_server(target, &error);
                return Err(Failure::new(target, format_args!("tables {}… cannot be used: {reason}", self.prefix)));
            }
            Err(_) => return Err(Failure::new(target, "another gateway has been migrating the tables for long")),
        }
        Ok(())
    }

    /// Has the next connection look again, when a table or column is gone.
    pub fn doubt(&self, error: &Error) {
        if matches!(error.code(), Some(code) if *code == SqlState::UNDEFINED_TABLE || *code == SqlState::UNDEFINED_COLUMN)
        {
            self.is_right.store(false, Ordering::Release);
        }
    }

    fn refuse(&self, found: i64) -> String {
        format!(
            "tables {}… have version {found} and this Cloakroom knows up to {NEWEST}: start the newer Cloakroom, or set \
             another store.prefix",
            self.prefix
        )
    }

    async fn look_and_migrate(&self, client: &mut Client) -> Result<(), Wrong> {
        match self.version(client).await? {
            NEWEST => return Ok(()),
            found if found > NEWEST => return Err(Wrong::Newer(found)),
            _ => {}
        }
        // The lock ends with the transaction, so it also holds behind pgbouncer; a session's would be anybody's.
        let transaction = client.transaction().await?;
        let lock = format!("SELECT pg_advisory_xact_lock(hashtext('{}schema'))", self.prefix);
        transaction.batch_execute(&lock).await?;
        let found = self.version(transaction.client()).await?;
        if found > NEWEST {
            return Err(Wrong::Newer(found));
        }
        for step in STEPS.iter().skip(usize::try_from(found).unwrap_or_default()) {
            transaction.batch_execute(&step.replace("{p}", &self.prefix)).await?;
        }
        if found < NEWEST {
            let p = &self.prefix;
            let record = format!(
                "CREATE TABLE IF NOT EXISTS {p}schema (version bigint NOT NULL); \
                 DELETE FROM {p}schema; INSERT INTO {p}schema VALUES ({NEWEST})"
            );
            transaction.batch_execute(&record).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Zero when there are no tables.
    ///
    /// Asked of the catalogue, not by `to_regclass`: that believes its cache, also after waiting for the lock.
    async fn version(&self, client: &Client) -> Result<i64, Error> {
        let name = format!("{}schema", self.prefix);
        let look = "SELECT EXISTS (SELECT FROM pg_class WHERE relname = $1 AND pg_table_is_visible(oid))";
        let found = client.query_typed(look, &[(&name, Type::TEXT)]).await?;
        if !found.first().is_some_and(|row| row.get(0)) {
            return Ok(0);
        }
        let rows = client.query_typed(&format!("SELECT max(version) FROM {name}"), &[]).await?;
        Ok(rows.first().and_then(|row| row.get(0)).unwrap_or(0))
    }
}

enum Wrong {
    Newer(i64),
    Server(Error),
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Self {
        Self::Server(error)
    }
}
