//! TLS towards clients: certificate and key from files, replaced in flight when the files change.
//!
//! `listener` loads, `connection` shakes hands. Never: early data (it can be replayed), other
//! providers than aws-lc-rs, a certificate whose key does not fit.

mod files;
mod watch;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use crate::config::schema;

/// Why certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}. Check `tls` and the file's permissions", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// The system's own words.
        source: io::Error,
    },
    /// The certificate file is not PEM.
    #[error("{}: {source}. Expected PEM: the certificate first, then its chain", path.display())]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// Where it breaks.
        source: rustls::pki_types::pem::Error,
    },
    /// There is no certificate in the certificate file.
    #[error("{}: no certificate in it. Expected PEM: the certificate first, then its chain", path.display())]
    NoCertificate {
        /// Which file.
        path: PathBuf,
    },
    /// The key file holds no private key in PEM.
    #[error("{}: {source}. Expected one private key in PEM (PKCS#8, PKCS#1 or SEC1), not encrypted", path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// Where it breaks.
        source: rustls::pki_types::pem::Error,
    },
    /// The two files do not belong together.
    #[error("the key in {} does not belong to the certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// rustls takes the files apart but cannot use what is in them.
    #[error("cannot use {} with {}: {source}", certificate.display(), key.display())]
    Unusable {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
        /// In rustls' words.
        source: rustls::Error,
    },
    /// The TLS library itself does not start.
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] rustls::Error),
}

/// A certificate in use and its watcher.
#[derive(Debug)]
pub struct Tls {
    config: Arc<ServerConfig>,
    current: Arc<Current>,
    files: schema::Tls,
}

impl Tls {
    /// Loads certificate and key and keeps watching both files until the last `Arc` is dropped.
    ///
    /// # Errors
    /// [`TlsError`], which names the file at fault.
    pub fn load(files: &schema::Tls) -> Result<Arc<Self>, TlsError> {
        let key = files::read(files)?;
        let current = Arc::new(Current(ArcSwap::from_pointee(key)));
        let config = Arc::new(server_config(current.clone())?);
        let tls = Arc::new(Self { config, current, files: files.clone() });
        watch::start(&tls);
        Ok(tls)
    }

    /// Shakes hands with the certificate of the moment.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.clone())
    }

    /// Reads the files again; on failure the last good pair stays in use.
    fn reload(&self) {
        let certificate = self.files.certificate.display();
        match files::read(&self.files) {
            Ok(key) => {
                self.current.0.store(Arc::new(key));
                tracing::info!(%certificate, "certificate reloaded");
            }
            Err(error) => tracing::error!(%error, "certificate not reloaded; the previous one stays in use"),
        }
    }
}

fn server_config(resolver: Arc<Current>) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // PERF: tickets instead of a store behind a lock; both TLS versions resume by them.
    config.ticketer = ticketer()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // SECURITY: early data can be replayed by whoever recorded it (RFC 8446 §8).
    config.max_early_data_size = 0;
    Ok(config)
}

/// One for the process: a reload must not throw away everybody's resumption.
fn ticketer() -> Result<Arc<dyn ProducesTickets>, TlsError> {
    static TICKETER: OnceLock<Arc<dyn ProducesTickets>> = OnceLock::new();
    if let Some(ticketer) = TICKETER.get() {
        return Ok(ticketer.clone());
    }
    let fresh = aws_lc_rs::Ticketer::new()?;
    Ok(TICKETER.get_or_init(|| fresh).clone())
}

#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}
