//! Certificates to trust, from a file.

use anyhow::{Context, Result, bail};
use std::path::Path;
use ureq::tls::{PemItem, RootCerts};

/// The bundles of whole systems are a quarter of a megabyte.
const PEM_BYTES_MAX: u64 = 16 * 1024 * 1024;

pub(super) fn from_file(path: &Path) -> Result<RootCerts> {
    let pem = std::fs::File::open(path)
        .and_then(|file| crate::os::read_up_to(&file, PEM_BYTES_MAX))
        .with_context(|| format!("cannot read the CA file {}", path.display()))?;
    let mut certificates = Vec::new();
    for item in ureq::tls::parse_pem(&pem) {
        let item = item.with_context(|| format!("cannot read the CA file {}", path.display()))?;
        if let PemItem::Certificate(certificate) = item {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        bail!(
            "cannot use the CA file {}: it holds no PEM certificate",
            path.display()
        );
    }
    Ok(RootCerts::new_with_certs(&certificates))
}
