//! TLS as rustls has it: why a server was not trusted, and the emulator's end of a connection.

use anyhow::{Context, Result, anyhow, bail};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

/// A certificate with its chain, or a key, has a few KB.
const PEM_BYTES_MAX: u64 = 1024 * 1024;

/// Whether the certificate is what is wrong. Only a handshake can fail so.
pub(crate) fn is_untrusted(err: &io::Error) -> bool {
    let of_tls = err.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(of_tls, Some(rustls::Error::InvalidCertificate(_)))
}

/// A certificate and its key, to serve with.
#[derive(Clone, Debug)]
pub struct Identity(Arc<ServerConfig>);

impl Identity {
    /// Reads both from PEM files, the certificate with its chain.
    ///
    /// # Errors
    /// A file that cannot be read or holds nothing of the kind, or a key of another certificate.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Identity> {
        let chain: Vec<CertificateDer> = CertificateDer::pem_slice_iter(&read(certificate)?)
            .collect::<Result<_, _>>()
            .with_context(|| format!("cannot use the certificate {}", certificate.display()))?;
        if chain.is_empty() {
            bail!(
                "cannot use the certificate {}: it holds no PEM certificate",
                certificate.display()
            );
        }
        let secret = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|_| {
            anyhow!(
                "cannot use the key {}: it holds no PEM private key without a passphrase",
                key.display()
            )
        })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("cannot serve TLS")?
            .with_no_client_auth()
            .with_single_cert(chain, secret)
            .map_err(|err| {
                let why = match err {
                    rustls::Error::InconsistentKeys(_) => {
                        "the key belongs to another certificate".to_owned()
                    }
                    err => err.to_string(),
                };
                let (certificate, key) = (certificate.display(), key.display());
                anyhow!("cannot use the certificate {certificate} with the key {key}: {why}")
            })?;
        Ok(Identity(Arc::new(config)))
    }

    /// Begins a session; the client speaks first.
    pub(crate) fn session(&self) -> io::Result<Session> {
        let connection = ServerConnection::new(self.0.clone()).map_err(io::Error::other)?;
        Ok(Session(connection))
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::File::open(path)
        .and_then(|file| crate::os::read_up_to(&file, PEM_BYTES_MAX))
        .with_context(|| format!("cannot read {}", path.display()))
}

/// The server's end of TLS on one connection.
#[derive(Debug)]
pub(crate) struct Session(ServerConnection);

impl Session {
    /// Shakes hands.
    ///
    /// # Errors
    /// `InvalidData`, with TLS's words, if the two do not agree; another kind if the client left.
    pub(crate) fn shake_hands(&mut self, mut stream: &TcpStream) -> io::Result<()> {
        while self.0.is_handshaking() {
            self.0.complete_io(&mut stream)?;
        }
        Ok(())
    }

    pub(crate) fn read(&mut self, mut stream: &TcpStream, into: &mut [u8]) -> io::Result<usize> {
        Stream::new(&mut self.0, &mut stream).read(into)
    }

    pub(crate) fn write(&mut self, mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        Stream::new(&mut self.0, &mut stream).write(bytes)
    }

    pub(crate) fn flush(&mut self, mut stream: &TcpStream) -> io::Result<()> {
        Stream::new(&mut self.0, &mut stream).flush()
    }

    /// Says that nothing follows, so that the client can tell the end from a cut.
    pub(crate) fn end(&mut self, stream: &TcpStream) -> io::Result<()> {
        self.0.send_close_notify();
        self.flush(stream)
    }
}
