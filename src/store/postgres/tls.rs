//! TLS to the server, with libpq's meanings of `sslmode`.
//!
//! Called by `options`. Uses the one crypto library that the listeners use.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Why a connection could not be protected as asked.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not one of libpq's.
    #[error("sslmode is one of disable, prefer, require, verify-ca, verify-full")]
    Mode,
    /// Nothing to verify against.
    #[error("sslmode=verify-… needs sslrootcert=FILE; the system's own is often /etc/ssl/certs/ca-certificates.crt")]
    NoRoots,
    /// Not readable, or no certificates in it.
    #[error("sslrootcert {0} holds no certificates that can be read: {1}")]
    Roots(PathBuf, String),
    /// The crypto library refuses.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

/// How far the server is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Disable,
    /// Encrypts if the server can, and verifies nothing: the default of libpq, fit for a private network only.
    Prefer,
    /// Encrypts, and verifies nothing.
    Require,
    /// Whoever an authority vouches for, under any name.
    VerifyCa,
    VerifyFull,
}

impl Mode {
    pub fn negotiated(self) -> SslMode {
        match self {
            Self::Disable => SslMode::Disable,
            Self::Prefer => SslMode::Prefer,
            Self::Require | Self::VerifyCa | Self::VerifyFull => SslMode::Require,
        }
    }

    fn verifies(self) -> bool {
        matches!(self, Self::VerifyCa | Self::VerifyFull)
    }
}

impl FromStr for Mode {
    type Err = TlsError;

    fn from_str(text: &str) -> Result<Self, TlsError> {
        Ok(match text {
            "disable" => Self::Disable,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => return Err(TlsError::Mode),
        })
    }
}

pub(super) fn connector(mode: Mode, roots: Option<&Path>) -> Result<MakeRustlsConnect, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain = match (mode.verifies(), roots) {
        (false, _) => None,
        (true, None) => return Err(TlsError::NoRoots),
        (true, Some(path)) => Some(chain_verifier(path, &provider)?),
    };
    let trust = Trust { provider: Arc::clone(&provider), chain, any_name: mode == Mode::VerifyCa };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Setup(error.to_string()))?
        // `dangerous` is rustls' word for a verifier of one's own; what this one lets pass is at [`Trust`].
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trust))
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn chain_verifier(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
    let wrong = |reason: String| TlsError::Roots(path.into(), reason);
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
    roots.add_parsable_certificates(certificates.filter_map(Result::ok));
    WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(provider))
        .build()
        .map_err(|error| wrong(error.to_string()))
}

/// SECURITY: without `chain` (`prefer`, `require`) every certificate passes, as libpq has it: that keeps listeners
/// out, not impostors. Signatures of the handshake are always checked.
#[derive(Debug)]
struct Trust {
    provider: Arc<CryptoProvider>,
    chain: Option<Arc<WebPkiServerVerifier>>,
    any_name: bool,
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is looked at last: everything else was in order.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.any_name => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Whether a certificate for `db.example` is accepted from a server that was called `name`.
    fn accepts(mode: Mode, knows_authority: bool, name: &str) -> bool {
        let own = rcgen::generate_simple_self_signed(["db.example".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["db.example".to_owned()]).unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(if knows_authority { own.cert.pem() } else { other.cert.pem() }.as_bytes()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let chain = mode.verifies().then(|| chain_verifier(file.path(), &provider).unwrap());
        let trust = Trust { provider, chain, any_name: mode == Mode::VerifyCa };
        let name = ServerName::try_from(name).unwrap();
        trust.verify_server_cert(own.cert.der(), &[], &name, &[], UnixTime::now()).is_ok()
    }

    #[test]
    fn modes_mean_what_they_mean_to_libpq() {
        assert!(accepts(Mode::Require, false, "elsewhere.example"));
        assert!(accepts(Mode::VerifyCa, true, "elsewhere.example"));
        assert!(!accepts(Mode::VerifyCa, false, "db.example"));
        assert!(accepts(Mode::VerifyFull, true, "db.example"));
        assert!(!accepts(Mode::VerifyFull, true, "elsewhere.example"));
        assert!(!accepts(Mode::VerifyFull, false, "db.example"));
    }
}
