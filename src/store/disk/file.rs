//! The directory and the file: made if absent, locked, and refused when anything about them is doubtful.
//!
//! SECURITY: what cannot be opened is left as it is. Nobody's sessions are deleted to get a gateway started.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::checkpoint::KEPT_BYTES;
use super::row::{APPLICATION_ID, FORMAT, SCHEMA};

const FILE: &str = "sessions.sqlite3";
const LOCK: &str = "sessions.lock";

/// How long an operator's shell may hold the file before a write is refused: less than the deadline of the caller.
const BUSY: Duration = Duration::from_millis(150);

/// Why a disk store cannot be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory, or a file in it, cannot be made, read or written.
    #[error("{}: {source}: the disk store needs a directory that it may write to", path.display())]
    Io {
        /// What it was about.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else has it open.
    #[error("{} is in use by {holder}: two gateways cannot share a disk store; stop that process, ask it through its \
             admin listener, or set store.path", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The other process, as far as it told.
        holder: String,
    },
    /// May be read, not written.
    #[error("{} cannot be written: check its permissions, and whether the file system is mounted read-only",
            .0.display())]
    ReadOnly(PathBuf),
    /// No file of ours.
    #[error("{} is not a session store of Cloakroom: move it away, or set store.path", .0.display())]
    Foreign(PathBuf),
    /// A later version has written it.
    #[error("{} has format {found}, and this version knows formats up to {FORMAT}: run the later version of Cloakroom \
             again, or move the file away (everybody signs in anew)", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i32,
    },
    /// Cut off, or overwritten in part.
    #[error("{} is damaged ({what}): restore it from a backup, try `sqlite3 FILE .recover`, or move it away together \
             with its -wal (everybody signs in anew); it was left as it is", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How it shows.
        what: String,
    },
    /// SQLite cannot open it.
    #[error("{}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The system gives no further thread.
    #[error("no thread for the disk store: {0}")]
    Thread(#[source] io::Error),
}

/// The store's file while nobody else may open it; the lock goes with the process, however it ends.
pub(super) struct Place {
    pub file: PathBuf,
    _lock: File,
}

impl Place {
    /// Locks the directory, and makes directory and file if absent.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let at = |path: &Path| io_error(path.to_owned());
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(at(directory))?;
        // Absolute: SQLite takes a name that begins with `file:` for a URI.
        let directory = directory.canonicalize().map_err(at(directory))?;
        let lock = lock(&directory)?;
        let file = directory.join(FILE);
        match read_head(&file).map_err(at(&file))? {
            Some(head) => check_head(&head, &file)?,
            None => create(&directory, &file)?,
        }
        warn_of_permissions(&directory, 0o006);
        warn_of_permissions(&file, 0o077);
        Ok(Self { file, _lock: lock })
    }

    /// The connection that writes, after a look at the whole file; with the number of its rows.
    pub fn writer(&self) -> Result<(Connection, usize), OpenError> {
        let connection = self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let refused = |error| self.refused(error);
        // The header on the disk may be older than what the log says.
        let found = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(refused)?;
        if found != FORMAT {
            return Err(OpenError::Newer { path: self.file.clone(), found });
        }
        if connection.is_readonly("main").map_err(refused)? {
            return Err(OpenError::ReadOnly(self.file.clone()));
        }
        let count = self.look_through(&connection).map_err(refused)?;
        Ok((connection, count))
    }

    /// A connection that reads.
    pub fn reader(&self) -> Result<Connection, OpenError> {
        let connection = self.connect(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        // A first read makes SQLite read the schema now rather than for the first browser.
        let read = connection.prepare_cached("SELECT 1 FROM sessions LIMIT 1").and_then(|mut select| select.exists([]));
        read.map_err(|error| self.refused(error))?;
        Ok(connection)
    }

    /// The connection that moves the log.
    pub fn checkpointer(&self) -> Result<Connection, OpenError> {
        self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE)
    }

    fn connect(&self, access: OpenFlags) -> Result<Connection, OpenError> {
        // Each connection stays on one thread: it needs no lock of its own.
        let connection = Connection::open_with_flags(&self.file, access | OpenFlags::SQLITE_OPEN_NO_MUTEX);
        let connection = connection.map_err(|error| self.refused(error))?;
        configure(&connection).map_err(|error| self.refused(error))?;
        Ok(connection)
    }

    /// Counts the rows, by an index that touches a part of the file. If the log is not empty, the file may rightly be
    /// shorter than it says: a checkpoint was cut off. Only then every page is looked at.
    fn look_through(&self, connection: &Connection) -> rusqlite::Result<usize> {
        let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        let count = number("SELECT count(*) FROM sessions")?;
        let bytes = number("PRAGMA page_count")? * number("PRAGMA page_size")?;
        if fs::metadata(&self.file).is_ok_and(|file| i64::try_from(file.len()).is_ok_and(|len| len < bytes)) {
            let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
            if found != "ok" {
                let damaged = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
                return Err(rusqlite::Error::SqliteFailure(damaged, Some(found)));
            }
        }
        if !connection.pragma_query_value(None, "journal_mode", |row| Ok(row.get_ref(0)?.as_str() == Ok("wal")))? {
            connection.pragma_update(None, "journal_mode", "wal")?;
        }
        Ok(usize::try_from(count).unwrap_or_default())
    }

    fn refused(&self, source: rusqlite::Error) -> OpenError {
        let path = self.file.clone();
        match source.sqlite_error_code() {
            // Its head was ours.
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                OpenError::Damaged { path, what: source.to_string() }
            }
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => OpenError::ReadOnly(path),
            _ => OpenError::Sqlite { path, source },
        }
    }
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join(LOCK);
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let mut file = opened.map_err(io_error(path.clone()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Only for the message.
            let _ = file.read_to_string(&mut holder);
            let holder = if holder.is_empty() { "another process".to_owned() } else { format!("process {holder}") };
            return Err(OpenError::Locked { path: directory.to_owned(), holder });
        }
        Err(TryLockError::Error(source)) => return Err(OpenError::Io { path, source }),
    }
    let told = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
    told.map_err(io_error(path))?;
    Ok(file)
}

/// The first bytes; `None` when there is no file.
fn read_head(file: &Path) -> io::Result<Option<Vec<u8>>> {
    let opened = match File::open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut head = Vec::new();
    opened.take(100).read_to_end(&mut head)?;
    Ok(Some(head))
}

/// Before SQLite sees it, which would put files of its own beside it. The header is described in SQLite's file format,
/// section 1.3; it is ours from the first moment on, see [`create`].
fn check_head(head: &[u8], file: &Path) -> Result<(), OpenError> {
    let path = file.to_owned();
    let Some(head) = head.first_chunk::<100>() else {
        return Err(OpenError::Damaged { path, what: format!("only {} bytes are left of it", head.len()) });
    };
    let number = |at: usize| i32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if !head.starts_with(b"SQLite format 3\0") || number(68) != APPLICATION_ID {
        return Err(OpenError::Foreign(path));
    }
    match number(60) {
        found if found > FORMAT => Err(OpenError::Newer { path, found }),
        _ => Ok(()),
    }
}

/// Made whole under another name first: there is never a file that is half ours.
fn create(directory: &Path, file: &Path) -> Result<(), OpenError> {
    let log = directory.join(format!("{FILE}-wal"));
    if fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        let what = format!("it is missing, but {} is there", log.display());
        return Err(OpenError::Damaged { path: file.to_owned(), what });
    }
    let new = directory.join(format!("{FILE}.new"));
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let old = directory.join(format!("{FILE}.new{suffix}"));
        match fs::remove_file(&old) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(OpenError::Io { path: old, source }),
            _ => {}
        }
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(io_error(new.clone()))?;
    fill(&new).map_err(|source| OpenError::Sqlite { path: new.clone(), source })?;
    let renamed = fs::rename(&new, file).and_then(|()| File::open(directory)?.sync_all());
    renamed.map_err(io_error(file.to_owned()))
}

fn fill(new: &Path) -> rusqlite::Result<()> {
    let connection = Connection::open_with_flags(new, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.execute_batch(&format!(
        "PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA synchronous = FULL;
         BEGIN; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; {SCHEMA} COMMIT;
         PRAGMA journal_mode = WAL;"
    ))?;
    connection.close().map_err(|(_, error)| error)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    // The last to close would move the log even after a failed sync: `checkpoint` does it, when it may be done.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -16_384)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cell_size_check", true)?;
    // These answer with a row.
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_size_limit", KEPT_BYTES, |_| Ok(()))?;
    // SECURITY: who was signed in from where does not stay in the pages of a table that goes on living.
    connection.pragma_update_and_check(None, "secure_delete", "FAST", |_| Ok(()))
}

fn warn_of_permissions(path: &Path, others: u32) {
    let Ok(mode) = fs::metadata(path).map(|found| found.permissions().mode()) else { return };
    if mode & others != 0 {
        let (path, mode) = (path.display(), format!("{:o}", mode & 0o777));
        tracing::warn!(%path, mode, "other users of this machine can get at the session store: chmod go= it");
    }
}

fn io_error(path: PathBuf) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Io { path, source }
}
