//! The certificate authorities that we trust: those of the system (or of `SSL_CERT_FILE` and
//! `SSL_CERT_DIR`, if set), so that a company's own count; or Mozilla's list if the system has
//! none.

use std::sync::OnceLock;
use ureq::tls::{Certificate, RootCerts};

/// Returns the authorities, a few hundred. The first HTTP client of the run reads them.
pub fn roots() -> RootCerts {
    static ROOTS: OnceLock<RootCerts> = OnceLock::new();
    ROOTS.get_or_init(read).clone()
}

fn read() -> RootCerts {
    // Unreadable certificates are skipped, as in other programs.
    let found = rustls_native_certs::load_native_certs().certs;
    match found.is_empty() {
        true => RootCerts::WebPki,
        false => RootCerts::from(
            found
                .iter()
                .map(|certificate| Certificate::from_der(certificate).to_owned()),
        ),
    }
}
