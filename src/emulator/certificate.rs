//! A server's TLS certificate: an authority that devices are told to trust, and a certificate signed by it. ECDSA P-256,
//! because an RSA handshake costs the server several times as much. [`make`] makes the hub's, at every start; [`files`]
//! that of another broker under test, for `hubstorm certs`.
//!
//! The hub also has an RSA certificate, for devices that cannot verify ECDSA. Generating its key takes 0.1 s to several seconds, so
//! it is made when it is first needed. The CA is ECDSA for both certificates.
//!
//! The CA's private key is dropped after its last signature: for the hub, that of the RSA certificate.

use crate::link::tls::Identity;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize, date_time_ymd,
};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use zeroize::Zeroizing;

/// How long before now the certificates begin: devices whose clock is behind connect too.
const BACKDATED: Duration = Duration::from_secs(2 * 86_400);
/// How long the hub's last. An emulator that runs longer is restarted.
const VALID: Duration = Duration::from_secs(365 * 86_400);

/// The certificate cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A name cannot stand in a certificate, or the system gave no randomness.
    #[error("the certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// The clock says something that no certificate can.
    #[error("the certificate cannot be made: the system clock is off")]
    Clock,
}

/// What the server presents and what devices trust.
pub struct Certificate {
    /// The authority, as PEM: the `ca` file of devices.
    pub ca_pem: String,
    /// The server's certificate, as DER; devices have the authority.
    pub chain: Vec<Vec<u8>>,
    /// The server's private key, as PKCS#8 DER. Never written to disk.
    pub key: Vec<u8>,
    /// The RSA certificate of the same CA.
    pub rsa: Arc<RsaCertificate>,
}

/// The hub's RSA certificate with 2,048 bits, made on first use.
pub struct RsaCertificate {
    maker: Mutex<Option<(CertificateParams, Issuer<'static, KeyPair>)>>,
    made: OnceLock<Option<Identity>>,
}

impl RsaCertificate {
    /// Returns the chain as DER and the private key as PKCS#8 DER, or `None` if they cannot be made. The first call makes them and
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

/// The same for a server that reads files, all PEM.
pub struct Files {
    /// The authority.
    pub ca: String,
    /// The server's certificate.
    pub server: String,
    /// The server's private key, PKCS#8.
    pub key: Zeroizing<String>,
}

/// Makes the hub's certificate for `names` (DNS names and IP addresses), valid around `unix` (since the Unix epoch).
///
/// # Errors
/// A name that cannot stand in a certificate; a clock that is off.
pub fn make(names: &[String], unix: Duration) -> Result<Certificate, CertificateError> {
    let Issued { root, certificate, key, params, issuer } = issue("hubstorm emulator", names, unix, VALID)?;
    let rsa = RsaCertificate { maker: Mutex::new(Some((params, issuer))), made: OnceLock::new() };
    Ok(Certificate {
        ca_pem: root.pem(),
        chain: vec![certificate.der().to_vec()],
        key: key.serialize_der(),
        rsa: Arc::new(rsa),
    })
}

/// Makes a certificate for another server with these `names`, valid from two days before `unix` to `valid` after it.
///
/// # Errors
/// A name that cannot stand in a certificate; a clock that is off.
pub fn files(names: &[String], unix: Duration, valid: Duration) -> Result<Files, CertificateError> {
    let Issued { root, certificate, key, .. } = issue("hubstorm test", names, unix, valid)?;
    Ok(Files { ca: root.pem(), server: certificate.pem(), key: Zeroizing::new(key.serialize_pem()) })
}

/// A CA certificate, a certificate that it signed with the key of that one, and everything needed to sign another.
struct Issued {
    root: rcgen::Certificate,
    certificate: rcgen::Certificate,
    key: KeyPair,
    params: CertificateParams,
    issuer: Issuer<'static, KeyPair>,
}

/// Makes a CA named `title CA` and a certificate named `title` that it signs.
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
    let issuer = Issuer::new(authority, authority_key);
    let certificate = server.signed_by(&key, &issuer)?;
    Ok(Issued { root, certificate, key, params: server, issuer })
}

/// The day in UTC.
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
    fn it_can_be_served_and_names_are_checked() {
        let names = ["localhost", "127.0.0.1", "::1", "hub.test"].map(str::to_owned);
        let made = make(&names, Duration::from_secs(1_800_000_000)).unwrap();
        tls::server(made.chain, made.key).unwrap();
        let other = make(&names, Duration::from_secs(1_800_000_000)).unwrap();
        assert_ne!(made.ca_pem, other.ca_pem, "made anew at every start");
        assert!(make(&["hüb".to_owned()], Duration::ZERO).is_err());
        assert!(make(&names, Duration::MAX).is_err());
    }

    #[test]
    fn the_rsa_certificate_is_made_once() {
        let made = make(&["localhost".to_owned()], Duration::from_secs(1_800_000_000)).unwrap();
        let (chain, key) = made.rsa.get().unwrap();
        assert_eq!(made.rsa.get(), Some((chain.clone(), key.clone())));
        assert!(made.rsa.maker.lock().unwrap().is_none(), "the authority's key is gone");
        tls::server(chain, key).unwrap();
    }

    #[test]
    fn dates_are_in_utc() {
        assert_eq!(date(Duration::from_secs(1_893_456_000)).unwrap(), (2030, 1, 1));
        assert_eq!(date(Duration::from_secs(1_893_455_999)).unwrap(), (2029, 12, 31));
    }
}
