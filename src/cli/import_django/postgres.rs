//! Django's tables in PostgreSQL, which are only read.
//!
//! Called by `sources`. SECURITY: no error repeats the URL, which may hold a password.

use std::time::Duration;

use anyhow::Context;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::sources::{BATCH, Found, UserTable, quoted};
use crate::clock::Timestamp;
use crate::session::django::{End, Flaw, User, Users};
use crate::store::postgres::Target;

/// How long the server may take to answer the door.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Postgres {
    client: Client,
    /// For messages.
    place: String,
}

impl Postgres {
    pub async fn connect(url: &str) -> anyhow::Result<Self> {
        let Target { mut config, tls, place } = Target::parse("--database", url)?;
        config.application_name("cloakroom import").connect_timeout(PATIENCE);
        let place = format!("postgres://{place}/{}", config.get_dbname().unwrap_or_default());
        let (client, connection) = config.connect(tls).await.with_context(|| format!("{place} cannot be reached"))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(%error, "the connection to Django's database broke");
            }
        });
        Ok(Self { client, place })
    }

    pub async fn count(&self, table: &str) -> anyhow::Result<usize> {
        let row = self.client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await;
        let count: i64 = row.with_context(|| format!("{}: table {table}", self.place))?.get(0);
        Ok(usize::try_from(count).unwrap_or(0))
    }

    pub async fn next(&self, table: &str, after: &str) -> anyhow::Result<Vec<Found>> {
        let rows = self.read_rows(table, after).await;
        rows.with_context(|| format!("{}: table {table}", self.place))
    }

    async fn read_rows(&self, table: &str, after: &str) -> Result<Vec<Found>, tokio_postgres::Error> {
        let column = self.client.prepare(&format!("SELECT expire_date FROM {table} LIMIT 0")).await?;
        // Django's own column names a moment, with USE_TZ = False too; that of a table made otherwise may not.
        let is_local = column.columns().first().is_some_and(|column| *column.type_() == Type::TIMESTAMP);
        let shown = if is_local {
            r#"to_char(expire_date, 'YYYY-MM-DD"T"HH24:MI:SS.US')"#
        } else {
            "extract(epoch FROM expire_date)::float8"
        };
        let statement = format!(
            "SELECT session_key::text, coalesce(session_data::text, ''), {shown} FROM {table} \
             WHERE session_key > $1::text ORDER BY session_key LIMIT {BATCH}"
        );
        let rows = self.client.query(&statement, &[&after]).await?;
        let end_of = |row: &Row| match is_local {
            true => End::from_text(row.get::<_, Option<&str>>(2).unwrap_or_default()),
            false => end(row.get(2)),
        };
        Ok(rows.iter().map(|row| Found::new(row.get(0), row.get(1), end_of(row))).collect())
    }

    pub async fn users(&self, table: &UserTable<'_>) -> anyhow::Result<Option<Users>> {
        let name = quoted(table.name);
        let known = self.client.query_one("SELECT to_regclass($1::text) IS NOT NULL", &[&name]).await?;
        if !known.get::<_, bool>(0) {
            return Ok(None);
        }
        let users = self.read_users(table, &name).await;
        users.with_context(|| format!("{}: table {}", self.place, table.name)).map(Some)
    }

    async fn read_users(&self, table: &UserTable<'_>, name: &str) -> Result<Users, tokio_postgres::Error> {
        let columns = self.client.prepare(&format!("SELECT * FROM {name} LIMIT 0")).await?;
        let has = |column: &str| columns.columns().iter().any(|known| known.name() == column);
        // SECURITY: a column that is there and empty vouches for nobody.
        let password = if has("password") { "coalesce(password::text, '')" } else { "NULL::text" };
        let is_active = if has("is_active") { "coalesce(is_active::boolean, false)" } else { "true" };
        let (key, user) = (quoted(table.key), quoted(table.user));
        let statement = format!("SELECT {key}::text, coalesce({user}::text, ''), {password}, {is_active} FROM {name}");
        let mut users = Users::default();
        for row in self.client.query(&statement, &[]).await? {
            let user = User { name: row.get(1), password: row.get(2), is_active: row.get(3) };
            users.insert(row.get(0), user);
        }
        Ok(users)
    }
}

/// Seconds since 1970; `infinity` is one of them to PostgreSQL, and never to us.
fn end(seconds: Option<f64>) -> Result<End, Flaw> {
    // Saturates at both ends.
    seconds.map(|seconds| End::At(Timestamp((seconds * 1000.0).round() as u64))).ok_or(Flaw::Expiry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_message_holds_the_password() {
        for url in
            ["postgres://app:secret@127.0.0.1:1/db", "postgres://app:secret@[::1", "postgres://app:secret@h:port/d"]
        {
            let error = Postgres::connect(url).await.err().unwrap();
            assert!(!format!("{error:#} {error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn ends_are_read_to_the_millisecond() {
        assert_eq!(end(Some(1_700_000_000.25)), Ok(End::At(Timestamp(1_700_000_000_250))));
        assert_eq!(end(Some(f64::INFINITY)), Ok(End::At(Timestamp(u64::MAX))));
        assert_eq!(end(Some(-5.0)), Ok(End::At(Timestamp(0))));
        assert_eq!(end(None), Err(Flaw::Expiry));
    }
}
