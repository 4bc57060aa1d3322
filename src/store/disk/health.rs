//! What an error of the disk means: a write that did not happen, or the end of all writing.
//!
//! SECURITY: after a failed sync the kernel forgets what it could not write, and the next sync says "done". Nothing
//! may be acknowledged after that, so the store refuses every write until it is opened anew.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::OnceLock;

use rusqlite::{ErrorCode, ffi};

use super::super::Error;

pub(super) struct Health {
    file: PathBuf,
    /// Why nothing may be written any more.
    failed: OnceLock<String>,
}

impl Health {
    pub fn of(file: PathBuf) -> Self {
        Self { file, failed: OnceLock::new() }
    }

    /// Why nothing may be written any more.
    pub fn failure(&self) -> Option<&str> {
        self.failed.get().map(String::as_str)
    }

    pub fn is_failed(&self) -> bool {
        self.failed.get().is_some()
    }

    /// What a reader's error is to the caller. A page that cannot be read says nothing of the others.
    pub fn of_read(&self, error: &rusqlite::Error) -> Error {
        unreachable(format!("{}: {}", self.file.display(), what(error)))
    }

    /// What the failure of a write or a checkpoint is to the caller; the grave ones end all writing.
    pub fn of_write(&self, error: &rusqlite::Error) -> String {
        let text = format!("{}: {}", self.file.display(), what(error));
        if !is_grave(error) {
            return text;
        }
        let text = format!("{text}; nothing more is written: mend the disk, then restart");
        if self.failed.set(text.clone()).is_ok() {
            let file = self.file.display();
            tracing::error!(%file, %error, "the session store has failed: mend the disk, then restart");
        }
        text
    }
}

/// "Not now", never "absent".
pub(super) fn unreachable(why: impl Into<Cow<'static, str>>) -> Error {
    Error::Unreachable(why.into())
}

pub(super) fn is_disk_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull) || extended_code(error) == Some(ffi::SQLITE_IOERR_SHMSIZE)
}

fn what(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        _ if is_disk_full(error) => "the disk is full".to_owned(),
        _ if is_sync(error) => "the disk did not keep what was written (sync failed)".to_owned(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "another program has locked it".to_owned(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => "the file is damaged".to_owned(),
        _ => error.to_string(),
    }
}

fn is_grave(error: &rusqlite::Error) -> bool {
    let damaged = [Some(ErrorCode::DatabaseCorrupt), Some(ErrorCode::NotADatabase)];
    is_sync(error) || damaged.contains(&error.sqlite_error_code())
}

fn is_sync(error: &rusqlite::Error) -> bool {
    matches!(extended_code(error), Some(ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC))
}

fn extended_code(error: &rusqlite::Error) -> Option<i32> {
    error.sqlite_error().map(|error| error.extended_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
    }

    #[test]
    fn a_full_disk_and_a_lock_pass_a_failed_sync_and_damage_do_not() {
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_BUSY, ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_SHMSIZE] {
            let health = Health::of("s".into());
            health.of_write(&error(code));
            assert!(!health.is_failed(), "{code}");
        }
        for code in [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_DIR_FSYNC, ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB] {
            let health = Health::of("s".into());
            assert!(health.of_write(&error(code)).contains("restart"));
            assert!(health.is_failed(), "{code}");
        }
    }

    #[test]
    fn a_page_that_cannot_be_read_does_not_end_writing() {
        let health = Health::of("s".into());
        assert!(health.of_read(&error(ffi::SQLITE_CORRUPT)).to_string().contains("damaged"));
        assert!(!health.is_failed());
    }
}
