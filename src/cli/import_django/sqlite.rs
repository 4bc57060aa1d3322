//! Django's tables in an SQLite file, which is only read.
//!
//! Called by `sources`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rusqlite::{Connection, OpenFlags};

use super::sources::{BATCH, Found, UserTable, quoted};
use crate::session::django::{End, User, Users};

/// How long the app may hold the file.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Sqlite {
    connection: Connection,
    path: PathBuf,
}

impl Sqlite {
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let open = || {
            let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            connection.busy_timeout(PATIENCE)?;
            // A file of another kind is opened, and found out at the first question.
            connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
            Ok::<_, rusqlite::Error>(connection)
        };
        let connection = open().with_context(|| format!("{} cannot be opened", path.display()))?;
        Ok(Self { connection, path: path.into() })
    }

    pub fn count(&self, table: &str) -> anyhow::Result<usize> {
        let count = self.connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0));
        Ok(usize::try_from(count.with_context(|| format!("{}: table {table}", self.path.display()))?).unwrap_or(0))
    }

    pub fn next(&self, table: &str, after: &str) -> anyhow::Result<Vec<Found>> {
        let mut statement = self.connection.prepare(&format!(
            "SELECT CAST(session_key AS TEXT), CAST(session_data AS TEXT), CAST(expire_date AS TEXT) FROM {table} \
             WHERE session_key > ?1 ORDER BY session_key LIMIT {BATCH}"
        ))?;
        let rows = statement.query_map([after], |row| {
            let end: Option<String> = row.get(2)?;
            Ok(Found::new(row.get(0)?, row.get(1)?, End::from_text(&end.unwrap_or_default())))
        })?;
        rows.collect::<Result<_, _>>().with_context(|| format!("{}: table {table}", self.path.display()))
    }

    pub fn users(&self, table: &UserTable<'_>) -> anyhow::Result<Option<Users>> {
        let known = "SELECT count(*) FROM sqlite_master WHERE type IN ('table', 'view') AND name = ?1";
        if self.connection.query_row(known, [table.name], |row| row.get::<_, i64>(0))? == 0 {
            return Ok(None);
        }
        self.read_users(table).with_context(|| format!("{}: table {}", self.path.display(), table.name)).map(Some)
    }

    fn read_users(&self, table: &UserTable<'_>) -> rusqlite::Result<Users> {
        let name = quoted(table.name);
        let columns = self.connection.prepare(&format!("SELECT * FROM {name} LIMIT 0"))?;
        let columns: Vec<String> = columns.column_names().map(str::to_owned).collect();
        let has = |column: &str| columns.iter().any(|known| known == column);
        // SECURITY: a column that is there and empty vouches for nobody.
        let password = if has("password") { "coalesce(CAST(password AS TEXT), '')" } else { "NULL" };
        let is_active = if has("is_active") { "coalesce(is_active, 0)" } else { "1" };
        // Not in quotes alone: SQLite takes a quoted name that it does not know for a text.
        let (key, user) = (quoted(table.key), quoted(table.user));
        let mut statement = self.connection.prepare(&format!(
            "SELECT CAST(u.{key} AS TEXT), coalesce(CAST(u.{user} AS TEXT), ''), {password}, {is_active} FROM {name} u"
        ))?;
        let mut rows = statement.query([])?;
        let mut users = Users::default();
        while let Some(row) = rows.next()? {
            let user = User { name: row.get(1)?, password: row.get(2)?, is_active: row.get(3)? };
            users.insert(&row.get::<_, String>(0)?, user);
        }
        Ok(users)
    }
}
