//! Certificates for scripted peers: valid ones, and ones with a single defect. The peers use rustls's buffered API, which the product does
//! not use.

use super::address::own_address;
use hubstorm::emulator::certificate::{self, Certificate};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tempfile::NamedTempFile;

/// The certificate of a server, and a file with the roots for its clients.
pub struct Identity {
    pub config: Arc<ServerConfig>,
    pub ca: NamedTempFile,
}

impl Identity {
    /// Makes a valid certificate.
    pub fn good() -> Identity {
        Identity::of(own_address())
    }

    /// Makes a valid certificate for an address.
    pub fn of(address: IpAddr) -> Identity {
        let certificate = certificate(&address.to_string(), today());
        Identity::new(&certificate, &certificate.ca_pem)
    }

    /// Makes a certificate for another host.
    pub fn of_another_host() -> Identity {
        let certificate = certificate("other.test", today());
        Identity::new(&certificate, &certificate.ca_pem)
    }

    /// Makes a certificate that expired ten years ago.
    pub fn expired() -> Identity {
        let certificate =
            certificate(&own_address().to_string(), today() - Duration::from_secs(10 * 365 * 86_400));
        Identity::new(&certificate, &certificate.ca_pem)
    }

    /// Makes a certificate of an authority that the client does not trust.
    pub fn of_an_unknown_authority() -> Identity {
        let address = own_address().to_string();
        Identity::new(&certificate(&address, today()), &certificate(&address, today()).ca_pem)
    }

    fn new(certificate: &Certificate, roots: &str) -> Identity {
        let chain = certificate.chain.iter().cloned().map(CertificateDer::from).collect();
        let key = PrivatePkcs8KeyDer::from(certificate.key.clone());
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_no_client_auth()
            .with_single_cert(chain, key.into())
            .expect("the key belongs to the certificate");
        let mut ca = NamedTempFile::new().expect("a temporary file");
        ca.write_all(roots.as_bytes()).expect("the file is writable");
        Identity { config: Arc::new(config), ca }
    }
}

fn certificate(name: &str, unix: Duration) -> Certificate {
    certificate::make(&[name.to_owned()], unix).expect("a name that a certificate can carry")
}

#[expect(clippy::disallowed_methods, reason = "the program under test reads the real clock")]
fn today() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970")
}
