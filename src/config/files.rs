//! The files a configuration names: where they are, and reading them within a bound.
//!
//! Relative paths are relative to the file that names them. Called by `config::mod`, `secret_files`,
//! `users` and `check`; knows no keys.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::problem::Mark;

/// The largest configuration or users file, in bytes.
pub(super) const MAX_CONFIG_BYTES: usize = 1024 * 1024;
/// The largest file that holds secrets, in bytes.
pub(super) const MAX_SECRET_BYTES: usize = 64 * 1024;

/// Why a file could not be read, with the place in it where that shows.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadFailure {
    #[error("cannot be read: {}", reason(.0))]
    Io(#[from] io::Error),
    #[error("is larger than {0} bytes")]
    TooLarge(usize),
    #[error("is not UTF-8 text")]
    NotText(Mark),
}

impl ReadFailure {
    pub(super) fn mark(&self) -> Mark {
        match self {
            Self::NotText(mark) => *mark,
            _ => Mark::START,
        }
    }
}

/// The reason in the words of the manual, without the number of the error.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::IsADirectory => "it is a directory".into(),
        _ => error.to_string(),
    }
}

/// Reads a file of at most `max_bytes`; never reads more, however large it is.
pub(super) fn read_text(path: &Path, max_bytes: usize) -> Result<Zeroizing<String>, ReadFailure> {
    let file = File::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    // SECURITY: reserved at once, since a growing buffer would leave copies of secrets behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.min(max_bytes) + 1));
    file.take(max_bytes as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > max_bytes {
        return Err(ReadFailure::TooLarge(max_bytes));
    }
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let bytes = Zeroizing::new(error.into_bytes());
            Err(ReadFailure::NotText(mark_after(&String::from_utf8_lossy(&bytes[..valid]))))
        }
    }
}

fn mark_after(text: &str) -> Mark {
    let last_line = text.rsplit('\n').next().unwrap_or_default();
    Mark { line: text.matches('\n').count() + 1, column: last_line.chars().count() + 1 }
}

/// The directory that paths in `file` are relative to.
pub(super) fn base_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

/// Makes `path` relative to `base`, unless it is absolute or empty.
pub(super) fn anchor(path: &mut PathBuf, base: &Path) {
    if !path.as_os_str().is_empty() {
        *path = base.join(&*path);
    }
}

/// Whether every user of this machine may read the file.
pub(super) fn is_world_readable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_gigabyte_is_refused_without_reading_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 30).unwrap();
        let failure = read_text(file.path(), MAX_CONFIG_BYTES).unwrap_err();
        assert_eq!(failure.to_string(), "is larger than 1048576 bytes");
    }

    #[test]
    fn an_endless_file_is_refused() {
        assert!(matches!(read_text(Path::new("/dev/zero"), 100), Err(ReadFailure::TooLarge(100))));
    }

    #[test]
    fn a_byte_that_is_not_utf8_is_named_by_its_place() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), b"a: 1\nb: \xff").unwrap();
        let failure = read_text(file.path(), 100).unwrap_err();
        assert_eq!(failure.mark(), Mark { line: 2, column: 4 });
    }

    #[test]
    fn a_missing_file_and_a_directory_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let message = |path: &Path| read_text(path, 100).unwrap_err().to_string();
        assert_eq!(message(&directory.path().join("x")), "cannot be read: there is no such file");
        assert_eq!(message(directory.path()), "cannot be read: it is a directory");
    }
}
