//! A gateway behind TLS with a certificate of its own, and clients that trust it.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::TestGateway;

/// The name in the certificate.
pub const HOST: &str = "a.test";

/// A running gateway whose one listener speaks TLS.
pub struct TlsGateway {
    pub gateway: TestGateway,
    roots: RootCertStore,
    _files: tempfile::TempDir,
}

impl TlsGateway {
    /// The configuration without its `listeners`.
    pub fn with_config(yaml: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        let (certificate, key) = (files.path().join("tls.crt"), files.path().join("tls.key"));
        let pair = rcgen::generate_simple_self_signed(vec![HOST.to_owned()]).unwrap();
        std::fs::write(&certificate, pair.cert.pem()).unwrap();
        std::fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(pair.cert.der().clone()).unwrap();
        let tls = format!("{{ certificate: '{}', key: '{}' }}", certificate.display(), key.display());
        let listeners = format!("listeners: [{{ address: '127.0.0.1:0', tls: {tls} }}]");
        let gateway = TestGateway::with_config(&format!("{listeners}\n{yaml}"));
        Self { gateway, roots, _files: files }
    }

    /// What a client needs to shake hands, offering `alpn`.
    pub fn client_config(&self, alpn: &str) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = versions.with_root_certificates(self.roots.clone()).with_no_client_auth();
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        Arc::new(config)
    }

    /// An asynchronous stream after the handshake.
    pub async fn connect(&self, alpn: &str) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.gateway.address()).await.unwrap();
        let name = ServerName::try_from(HOST).unwrap();
        TlsConnector::from(self.client_config(alpn)).connect(name, stream).await.unwrap()
    }
}
