//! A server's TLS certificate: an authority that devices are told to trust, and a certificate signed by it. ECDSA P-256,
//! because an RSA handshake costs the server several times as much. [`make`] makes the hub's, at every start; [`files`]
//! that of another broker under test, for `hubstorm certs`.
//!
//! The authority's private key is dropped as soon as it has signed.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
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
    let (authority, server, key) = issue("hubstorm emulator", names, unix, VALID)?;
    Ok(Certificate { ca_pem: authority.pem(), chain: vec![server.der().to_vec()], key: key.serialize_der() })
}

/// Makes a certificate for another server with these `names`, valid from two days before `unix` to `valid` after it.
///
/// # Errors
/// A name that cannot stand in a certificate; a clock that is off.
pub fn files(names: &[String], unix: Duration, valid: Duration) -> Result<Files, CertificateError> {
    let (authority, server, key) = issue("hubstorm test", names, unix, valid)?;
    Ok(Files { ca: authority.pem(), server: server.pem(), key: Zeroizing::new(key.serialize_pem()) })
}

/// An authority called `title CA` and a certificate called `title` that it has signed, with its key.
fn issue(
    title: &str,
    names: &[String],
    unix: Duration,
    valid: Duration,
) -> Result<(rcgen::Certificate, rcgen::Certificate, KeyPair), CertificateError> {
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
    let server_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let root = authority.self_signed(&authority_key)?;
    let certificate = server.signed_by(&server_key, &Issuer::new(authority, authority_key))?;
    Ok((root, certificate, server_key))
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
    fn dates_are_in_utc() {
        assert_eq!(date(Duration::from_secs(1_893_456_000)).unwrap(), (2030, 1, 1));
        assert_eq!(date(Duration::from_secs(1_893_455_999)).unwrap(), (2029, 12, 31));
    }
}
