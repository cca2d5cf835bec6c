//! Creates TLS certificates for servers: a certificate authority (CA) that devices trust, and a server certificate that the CA signs.
//! [`make`] creates new ones for the hub at each start. [`files`] creates them for another broker under test, for `hubstorm certs`.
//! Independent of how a certificate is served.
//!
//! Both certificates are ECDSA P-256, because an RSA handshake costs the server several times as much. The hub also has an RSA certificate,
//! for devices that cannot verify ECDSA. Generating its key takes 0.1 s to several seconds, so it is created when it is first needed. The
//! same ECDSA CA signs both server certificates. Each copy of the CA's private key is dropped after its last signature, which for the hub is
//! the one on an RSA certificate.
//!
//! The hub has a second pair of server certificates, for faults that change the certificate.

use crate::link::tls::Identity;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize, date_time_ymd,
};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use zeroize::Zeroizing;

/// How far the start of the certificates' validity is backdated, for devices whose clock is behind.
const BACKDATED: Duration = Duration::from_secs(2 * 86_400);
/// How long the certificates of the hub are valid. An emulator that runs longer must be restarted.
const VALID: Duration = Duration::from_secs(365 * 86_400);

/// A certificate cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A name is not allowed in a certificate, or the system cannot provide random numbers.
    #[error("cannot create the certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The time of the system clock is out of range.
    #[error("cannot create the certificate: the system clock is wrong; set it")]
    Clock,
}

/// The certificates of the hub, and the CA that devices trust.
pub struct Certificate {
    /// The CA certificate as PEM, for the `ca` file of devices.
    pub ca_pem: String,
    /// The server certificate as DER, without the CA certificate, which devices already have.
    pub chain: Vec<Vec<u8>>,
    /// The server's private key as PKCS#8 DER. Never written to disk.
    pub key: Vec<u8>,
    /// The RSA certificate, signed by the same CA.
    pub rsa: Arc<RsaCertificate>,
    /// Other certificates for the same names, signed by the same CA.
    pub second: SecondCertificate,
}

/// The certificates to which a fault changes.
pub struct SecondCertificate {
    /// The server certificate as DER.
    pub chain: Vec<Vec<u8>>,
    /// The server's private key as PKCS#8 DER.
    pub key: Vec<u8>,
    /// The RSA certificate.
    pub rsa: Arc<RsaCertificate>,
}

/// The hub's 2,048-bit RSA certificate, created on first use.
pub struct RsaCertificate {
    maker: Mutex<Option<(CertificateParams, Issuer<'static, KeyPair>)>>,
    made: OnceLock<Option<Identity>>,
}

impl RsaCertificate {
    fn new(params: CertificateParams, issuer: Issuer<'static, KeyPair>) -> Arc<RsaCertificate> {
        Arc::new(RsaCertificate { maker: Mutex::new(Some((params, issuer))), made: OnceLock::new() })
    }

    /// Returns the chain as DER and the private key as PKCS#8 DER, or `None` if they cannot be created. The first call creates them and
    /// may take seconds; other calls wait for it.
    pub fn get(&self) -> Option<Identity> {
        let make = || {
            let (params, issuer) = self.maker.lock().unwrap_or_else(PoisonError::into_inner).take()?;
            let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).ok()?;
            let certificate = params.signed_by(&key, &issuer).ok()?;
            Some((vec![certificate.der().to_vec()], key.serialize_der()))
        };
        self.made.get_or_init(make).clone()
    }
}

impl fmt::Debug for RsaCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RsaCertificate").finish_non_exhaustive()
    }
}

/// The certificates of another server, all as PEM.
pub struct Files {
    /// The CA certificate.
    pub ca: String,
    /// The server certificate.
    pub server: String,
    /// The server's private key as PKCS#8.
    pub key: Zeroizing<String>,
}

/// Creates the hub's certificates for `names` (DNS names and IP addresses), with a validity period that includes `unix` (the time since the
/// Unix epoch).
///
/// # Errors
/// A name is not allowed in a certificate, or the time is out of range.
pub fn make(names: &[String], unix: Duration) -> Result<Certificate, CertificateError> {
    let Issued { root, certificate, key, params, issuer, second_issuer } =
        issue("hubstorm emulator", names, unix, VALID)?;
    let second_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let second = SecondCertificate {
        chain: vec![params.signed_by(&second_key, &issuer)?.der().to_vec()],
        key: second_key.serialize_der(),
        rsa: RsaCertificate::new(params.clone(), second_issuer),
    };
    Ok(Certificate {
        ca_pem: root.pem(),
        chain: vec![certificate.der().to_vec()],
        key: key.serialize_der(),
        rsa: RsaCertificate::new(params, issuer),
        second,
    })
}

/// Creates the certificates for another server with these `names`, valid from two days before `unix` until `valid` after it.
///
/// # Errors
/// A name is not allowed in a certificate, or the time is out of range.
pub fn files(names: &[String], unix: Duration, valid: Duration) -> Result<Files, CertificateError> {
    let Issued { root, certificate, key, .. } = issue("hubstorm test", names, unix, valid)?;
    Ok(Files { ca: root.pem(), server: certificate.pem(), key: Zeroizing::new(key.serialize_pem()) })
}

/// A CA certificate, a server certificate signed by that CA, the server's key, and everything needed to sign another server certificate.
struct Issued {
    root: rcgen::Certificate,
    certificate: rcgen::Certificate,
    key: KeyPair,
    params: CertificateParams,
    issuer: Issuer<'static, KeyPair>,
    /// Like `issuer`, with a copy of the CA's key.
    second_issuer: Issuer<'static, KeyPair>,
}

/// Creates a CA named `title CA`, and a server certificate named `title` that the CA signs.
fn issue(title: &str, names: &[String], unix: Duration, valid: Duration) -> Result<Issued, CertificateError> {
    let mut names = names.to_vec();
    names.dedup();
    let mut server = CertificateParams::new(names)?;
    let mut authority = CertificateParams::new(Vec::new())?;

    authority.distinguished_name.push(DnType::CommonName, format!("{title} CA"));
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    server.distinguished_name.push(DnType::CommonName, title);
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    for params in [&mut authority, &mut server] {
        let (year, month, day) = date(unix.saturating_sub(BACKDATED))?;
        params.not_before = date_time_ymd(year, month, day);
        let (year, month, day) = date(unix.saturating_add(valid))?;
        params.not_after = date_time_ymd(year, month, day);
    }

    let authority_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let root = authority.self_signed(&authority_key)?;
    let copied_key = KeyPair::try_from(Zeroizing::new(authority_key.serialize_der()).as_slice())?;
    let second_issuer = Issuer::new(authority.clone(), copied_key);
    let issuer = Issuer::new(authority, authority_key);
    let certificate = server.signed_by(&key, &issuer)?;
    Ok(Issued { root, certificate, key, params: server, issuer, second_issuer })
}

/// Returns the date in UTC.
fn date(unix: Duration) -> Result<(i32, u8, u8), CertificateError> {
    let seconds = i64::try_from(unix.as_secs()).map_err(|_| CertificateError::Clock)?;
    let at = jiff::Timestamp::from_second(seconds).map_err(|_| CertificateError::Clock)?;
    let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
    let part = |part: i8| u8::try_from(part).map_err(|_| CertificateError::Clock);
    Ok((i32::from(date.year()), part(date.month())?, part(date.day())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::tls;

    #[test]
    fn a_certificate_can_be_served_and_names_are_checked() {
        let names = ["localhost", "127.0.0.1", "::1", "hub.test"].map(str::to_owned);
        let made = make(&names, Duration::from_secs(1_800_000_000)).unwrap();
        let first_chain = made.chain.clone();
        tls::server(made.chain, made.key).unwrap();
        assert_ne!(made.second.chain, first_chain, "a fault changes to another certificate");
        tls::server(made.second.chain, made.second.key).unwrap();
        let other = make(&names, Duration::from_secs(1_800_000_000)).unwrap();
        assert_ne!(made.ca_pem, other.ca_pem, "each start has its own CA");
        assert!(make(&["hüb".to_owned()], Duration::ZERO).is_err());
        assert!(make(&names, Duration::MAX).is_err());
    }

    #[test]
    fn the_rsa_certificate_is_created_once() {
        let made = make(&["localhost".to_owned()], Duration::from_secs(1_800_000_000)).unwrap();
        let (chain, key) = made.rsa.get().unwrap();
        assert_eq!(made.rsa.get(), Some((chain.clone(), key.clone())));
        assert!(made.rsa.maker.lock().unwrap().is_none(), "the private key of the CA was dropped");
        tls::server(chain, key).unwrap();
    }

    #[test]
    fn dates_are_in_utc() {
        assert_eq!(date(Duration::from_secs(1_893_456_000)).unwrap(), (2030, 1, 1));
        assert_eq!(date(Duration::from_secs(1_893_455_999)).unwrap(), (2029, 12, 31));
    }
}
