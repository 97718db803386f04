//! The authority that the clients are told to trust, and the server's certificate under it.

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::fs;
use std::path::{Path, PathBuf};

/// Where the PEM files are.
pub struct Certificate {
    pub authority: PathBuf,
    pub server: PathBuf,
    pub key: PathBuf,
}

/// Makes all of it anew, with keys on the curve P-256.
pub fn make(folder: &Path) -> Result<Certificate> {
    let files = Certificate {
        authority: folder.join("authority.pem"),
        server: folder.join("server.pem"),
        key: folder.join("server-key.pem"),
    };
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new([])?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs::write(
        &files.authority,
        authority.self_signed(&authority_key)?.pem(),
    )?;
    let key = KeyPair::generate()?;
    let issuer = Issuer::new(authority, authority_key);
    let server = CertificateParams::new(["localhost".to_owned()])?;
    fs::write(&files.server, server.signed_by(&key, &issuer)?.pem())?;
    fs::write(&files.key, key.serialize_pem())?;
    Ok(files)
}
