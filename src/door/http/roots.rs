//! Whose certificates are believed: those that the system names (`SSL_CERT_FILE` and
//! `SSL_CERT_DIR` say where, if set), so that a company's own count; the built-in ones of
//! Mozilla where the system has none.

use std::sync::OnceLock;
use ureq::tls::{Certificate, RootCerts};

/// They are read once, by whoever makes the first HTTP client. There are some hundred.
pub fn roots() -> RootCerts {
    static ROOTS: OnceLock<RootCerts> = OnceLock::new();
    ROOTS.get_or_init(read).clone()
}

fn read() -> RootCerts {
    // What can't be read of them is left out, as everybody does.
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
