//! Where Django keeps sessions and users: one way to ask a database or a directory.
//!
//! Called by `import_django`. Reads in batches by key, so that a table of any length takes little memory, and a long
//! import holds no transaction open. Writes nothing, anywhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::Context;
use zeroize::Zeroizing;

use super::Options;
use super::postgres::Postgres;
use super::sqlite::Sqlite;
use crate::clock::Timestamp;
use crate::session::django::{End, Flaw, Users};

/// Rows read at a time.
pub(super) const BATCH: usize = 500;

/// A row as it was found.
pub(super) struct Found {
    /// SECURITY: a session id, perhaps a living one.
    pub key: Zeroizing<String>,
    pub data: String,
    pub end: Result<End, Flaw>,
}

/// Which columns of which table name users.
pub(super) struct UserTable<'a> {
    pub name: &'a str,
    pub key: &'a str,
    pub user: &'a str,
}

/// Sessions, and users if there is a database.
pub(super) struct Source {
    database: Option<Database>,
    directory: Option<Directory>,
    table: String,
    /// The last key that was read.
    after: Zeroizing<String>,
}

enum Database {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// The file engine's: one file for each session.
struct Directory {
    path: PathBuf,
    prefix: String,
    names: std::vec::IntoIter<String>,
}

impl Source {
    pub async fn open(options: &Options) -> anyhow::Result<Self> {
        let database = match options.database.as_deref() {
            None => None,
            Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                Some(Database::Postgres(Postgres::connect(url).await?))
            }
            Some(url) => Some(Database::Sqlite(Sqlite::open(&sqlite_path(url)?)?)),
        };
        let directory = options.directory.as_deref().map(|path| Directory::open(path, options)).transpose()?;
        let (table, after) = (quoted(&options.session_table), Zeroizing::default());
        Ok(Self { database, directory, table, after })
    }

    /// How many rows there are.
    pub async fn count(&mut self) -> anyhow::Result<usize> {
        match (&self.directory, &mut self.database) {
            (Some(directory), _) => Ok(directory.names.len()),
            (None, Some(Database::Sqlite(sqlite))) => sqlite.count(&self.table),
            (None, Some(Database::Postgres(postgres))) => postgres.count(&self.table).await,
            (None, None) => Ok(0),
        }
    }

    /// The next rows; none after the last.
    pub async fn next(&mut self) -> anyhow::Result<Vec<Found>> {
        let rows = match (&mut self.directory, &mut self.database) {
            (Some(directory), _) => directory.next()?,
            (None, Some(Database::Sqlite(sqlite))) => sqlite.next(&self.table, &self.after)?,
            (None, Some(Database::Postgres(postgres))) => postgres.next(&self.table, &self.after).await?,
            (None, None) => Vec::new(),
        };
        if let Some(last) = rows.last() {
            self.after.clone_from(&last.key);
        }
        Ok(rows)
    }

    /// All users; `None` if there is no such table.
    pub async fn users(&mut self, table: &UserTable<'_>) -> anyhow::Result<Option<Users>> {
        match &mut self.database {
            Some(Database::Sqlite(sqlite)) => sqlite.users(table),
            Some(Database::Postgres(postgres)) => postgres.users(table).await,
            None => Ok(None),
        }
    }
}

impl Directory {
    fn open(path: &Path, options: &Options) -> anyhow::Result<Self> {
        let prefix = options.cookie_name.clone();
        let mut names = Vec::new();
        for file in fs::read_dir(path).with_context(|| format!("{} cannot be read", path.display()))? {
            // Temporary files of interrupted writes are called KEY_out_….
            let name = file?.file_name().into_string().unwrap_or_default();
            if name.strip_prefix(&prefix).is_some_and(|key| !key.is_empty() && !key.contains("_out_")) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(Self { path: path.into(), prefix, names: names.into_iter() })
    }

    fn next(&mut self) -> anyhow::Result<Vec<Found>> {
        let mut rows = Vec::new();
        while rows.len() < BATCH {
            let Some(name) = self.names.next() else { break };
            match self.read(&name) {
                Ok(found) => rows.push(found),
                // Signed out since the directory was listed.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                // SECURITY: the name of the file is the id.
                Err(error) => return Err(error).context(format!("a file in {} cannot be read", self.path.display())),
            }
        }
        Ok(rows)
    }

    fn read(&self, name: &str) -> std::io::Result<Found> {
        let path = self.path.join(name);
        let written = fs::metadata(&path)?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let written = Timestamp(0).plus(written);
        // A text that is none is as unreadable as a forged one.
        let data = String::from_utf8(fs::read(&path)?).unwrap_or_default();
        Ok(Found::new(name[self.prefix.len()..].to_owned(), data, Ok(End::After(written))))
    }
}

/// A table or column as SQL names it, perhaps with its schema.
pub(super) fn quoted(name: &str) -> String {
    let parts: Vec<String> = name.split('.').map(|part| format!("\"{}\"", part.replace('"', "\"\""))).collect();
    parts.join(".")
}

/// `sqlite:///path` is absolute to some tools and relative to others: what is there counts.
fn sqlite_path(url: &str) -> anyhow::Result<PathBuf> {
    let Some(rest) = url.strip_prefix("sqlite://") else {
        // SECURITY: what stands before it may be followed by a password.
        anyhow::ensure!(
            !url.contains("://"),
            "--database is postgres://…, sqlite:///path or the path of an SQLite file. From another kind, Django itself \
             copies sessions and users into one: `manage.py dumpdata --natural-foreign sessions auth.group auth.user -o \
             moving.json`; then, with DATABASES set to an SQLite file, `manage.py migrate` and `manage.py loaddata \
             moving.json`"
        );
        return Ok(url.into());
    };
    let absolute = PathBuf::from(rest.replacen("//", "/", 1));
    let relative = PathBuf::from(rest.trim_start_matches('/'));
    Ok(if absolute.exists() || !relative.exists() { absolute } else { relative })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_quotes() {
        assert_eq!(quoted("django_session"), r#""django_session""#);
        assert_eq!(quoted("app.django_session"), r#""app"."django_session""#);
        assert_eq!(quoted(r#"a" ; --"#), r#""a"" ; --""#);
    }

    #[test]
    fn the_path_of_an_sqlite_file_is_found_in_each_spelling() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("db.sqlite3");
        fs::write(&file, "").unwrap();
        let path = file.display().to_string();
        for url in [path.clone(), format!("sqlite://{path}"), format!("sqlite:///{path}")] {
            assert_eq!(sqlite_path(&url).unwrap(), file, "{url}");
        }
        assert_eq!(sqlite_path("sqlite:///Cargo.toml").unwrap(), Path::new("Cargo.toml"));
        let refused = sqlite_path("mysql://app:secret@host/db").unwrap_err().to_string();
        assert!(!refused.contains("secret"), "{refused}");
    }
}
