//! Reading a certificate chain and its key, and refusing a pair that does not fit.
//!
//! `tls` calls it at start and after each change of a file.

use std::fs;
use std::path::Path;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use super::TlsError;
use crate::config::schema::Tls;

/// The pair in `files`, known to fit.
pub(super) fn read(files: &Tls) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(&files.certificate)?;
    let key = private_key(&files.key)?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|source| {
        let (certificate, key) = (files.certificate.clone(), files.key.clone());
        match source {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch { certificate, key },
            source => TlsError::Unusable { certificate, key, source },
        }
    })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&contents(path)?).collect();
    let chain = chain.map_err(|source| TlsError::Certificate { path: path.into(), source })?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: path.into() });
    }
    Ok(chain)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = zeroize::Zeroizing::new(contents(path)?);
    warn_if_readable_by_all(path);
    PrivateKeyDer::from_pem_slice(&text).map_err(|source| TlsError::Key { path: path.into(), source })
}

fn contents(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read { path: path.into(), source })
}

fn warn_if_readable_by_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;

    let readable = fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0);
    if readable {
        tracing::warn!(key = %path.display(), "every user of this machine can read the private key; `chmod 600` it");
    }
}
