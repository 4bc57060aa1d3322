//! Keys for what the gateway signs, derived from `session.keys` by HKDF, one per purpose.
//!
//! Built by `app`, and by `reload` when the configured keys change. The first key derives session handles and seals session cookies, all of
//! them open those; a key is generated into `data_dir` when none is configured, so that both outlive a restart.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::id::{Id, NoRandomness, random_bytes};
use super::seal::SealKey;
use crate::config::Secret;
use crate::store::Handle;

/// The keys that name sessions, and those that seal them into cookies.
#[derive(Debug)]
pub struct Keyring {
    handles: hmac::Key,
    cookies: Box<[SealKey]>,
    credentials: Box<[SealKey]>,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The generated key cannot be read or written.
    #[error(
        "{path}: {source}; the gateway keeps the keys it generates there: make the directory writable, or set session.keys"
    )]
    File {
        /// The key file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// See [`NoRandomness`].
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

impl Keyring {
    /// From the configured keys (the first signs), or from the generated one in `data_dir`.
    ///
    /// # Errors
    /// See [`KeyringError`].
    pub fn from_config(keys: &[Secret], data_dir: &Path) -> Result<Self, KeyringError> {
        match keys {
            [] => Ok(Self::new(&[generated(data_dir)?])),
            keys => Ok(Self::new(keys)),
        }
    }

    /// The public name of the session with this id.
    #[must_use]
    pub fn handle(&self, id: &Id) -> Handle {
        let tag = hmac::sign(&self.handles, id.reveal().as_bytes());
        let mut handle = [0; 8];
        handle.copy_from_slice(&tag.as_ref()[..8]);
        Handle(handle)
    }

    /// What seals session cookies: the first seals, all open.
    #[must_use]
    pub(super) fn cookies(&self) -> &[SealKey] {
        &self.cookies
    }

    /// What seals typed credentials: the first seals, all open.
    #[must_use]
    pub(super) fn credentials(&self) -> &[SealKey] {
        &self.credentials
    }

    fn new(secrets: &[Secret]) -> Self {
        // There is one at least: see `from_config`.
        let first = secrets.first().map_or([0; 32], |secret| derived(secret, b"session handle"));
        Self {
            handles: hmac::Key::new(hmac::HMAC_SHA256, &first),
            cookies: secrets.iter().map(|secret| SealKey::from_bytes(derived(secret, b"session cookie"))).collect(),
            credentials: secrets
                .iter()
                .map(|secret| SealKey::from_bytes(derived(secret, b"typed credentials")))
                .collect(),
        }
    }
}

fn derived(secret: &Secret, purpose: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    let pseudo_random_key = Salt::new(HKDF_SHA256, b"cloakroom").extract(secret.reveal().as_bytes());
    // HKDF fails only for outputs beyond 255 blocks; this is one.
    if let Ok(output) = pseudo_random_key.expand(&[purpose], HKDF_SHA256) {
        let _ = output.fill(&mut key);
    }
    key
}

fn generated(data_dir: &Path) -> Result<Secret, KeyringError> {
    let path = data_dir.join("session.key");
    let at_path = |source| KeyringError::File { path: path.clone(), source };
    match fs::read_to_string(&path) {
        Ok(text) if text.trim().len() >= 32 => Ok(Secret::from(text.trim().to_owned())),
        Ok(_) => Err(at_path(io::Error::new(io::ErrorKind::InvalidData, "holds less than 32 characters"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = URL_SAFE_NO_PAD.encode(random_bytes::<32>()?);
            fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(at_path)?;
            write_private(&path, &key).map_err(at_path)?;
            tracing::info!(path = %path.display(), "generated a session key");
            Ok(Secret::from(key))
        }
        Err(error) => Err(at_path(error)),
    }
}

/// SECURITY: readable by its owner only from the first byte on, and never over an existing file.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_generated_key_is_private_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("data");
        let id = Id::generate().unwrap();
        let first = Keyring::from_config(&[], &data_dir).unwrap().handle(&id);
        let mode = fs::metadata(data_dir.join("session.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::metadata(&data_dir).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(Keyring::from_config(&[], &data_dir).unwrap().handle(&id), first);
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_named_with_the_remedy() {
        let error = Keyring::from_config(&[], Path::new("/proc/nowhere")).unwrap_err().to_string();
        assert!(error.starts_with("/proc/nowhere/session.key: ") && error.contains("session.keys"), "{error}");
    }

    #[test]
    fn a_handle_depends_on_the_key() {
        let id = Id::generate().unwrap();
        let handle = |key: &str| Keyring::from_config(&[key.to_owned().into()], Path::new("/")).unwrap().handle(&id);
        assert_eq!(handle(&"a".repeat(32)), handle(&"a".repeat(32)));
        assert_ne!(handle(&"a".repeat(32)), handle(&"b".repeat(32)));
    }
}
