//! Explains rejected signatures of server certificates. rustls reports an RSA key that is too short as a wrong
//! signature, and does not say whether it is the chain's signature or the handshake's that is wrong. `verifier` calls
//! this after a failure; `failure` has the messages.
//!
//! Certificates come from the network: every length is checked, and if a certificate is unreadable, only the
//! explanation is lost.

use rustls::pki_types::{CertificateDer, TrustAnchor};
use rustls::{CertificateError, Error, OtherError};
use std::fmt;
use std::sync::Arc;

/// The minimum size of an RSA key, in bits. rustls's verifier rejects signatures made with shorter keys.
pub(super) const RSA_BITS_MIN: usize = 2048;

/// The reason why a signature was rejected, in cases where rustls only reports that the signature is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignatureProblem {
    /// The server's own RSA key is too short.
    ShortKey { bits: usize },
    /// The RSA key of a CA in the chain is too short.
    ShortCaKey { bits: usize },
    /// The server signed the handshake with a key other than the certificate's.
    Handshake,
}

impl fmt::Display for SignatureProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `OtherError` requires `Display`. The messages are in `failure`.
        write!(f, "{self:?}")
    }
}

impl std::error::Error for SignatureProblem {}

impl SignatureProblem {
    /// Returns the problem inside an error from [`explain_handshake`] or [`explain_chain`].
    pub(super) fn of(error: &CertificateError) -> Option<SignatureProblem> {
        let CertificateError::Other(other) = error else { return None };
        other.0.downcast_ref().copied()
    }

    fn into_error(self) -> Error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(self))))
    }
}

/// Adds the cause, if known, to an error about the handshake's signature, which was verified with the key in
/// `certificate`.
pub(super) fn explain_handshake(error: Error, certificate: &[u8]) -> Error {
    if !is_bad_signature(&error) {
        return error;
    }
    match CertificateFields::parse(certificate).and_then(|fields| short_rsa_bits(fields.key)) {
        Some(bits) => SignatureProblem::ShortKey { bits }.into_error(),
        None => SignatureProblem::Handshake.into_error(),
    }
}

/// Adds the cause, if known, to an error about a chain that was verified against `roots`.
pub(super) fn explain_chain(
    error: Error,
    end_entity: &[u8],
    intermediates: &[CertificateDer<'_>],
    roots: &[TrustAnchor<'_>],
) -> Error {
    if !is_bad_signature(&error) {
        return error;
    }
    let signers = intermediates.iter().filter_map(|certificate| CertificateFields::parse(certificate));
    let issued = signers.clone().chain(CertificateFields::parse(end_entity));
    let issuers: Vec<&[u8]> = issued.map(|fields| fields.issuer).collect();
    let roots = roots.iter().filter(|root| issuers.contains(&root.subject.as_ref()));
    let keys =
        signers.map(|fields| fields.key).chain(roots.map(|root| root.subject_public_key_info.as_ref()));
    let short = keys.filter_map(|key| Some((key, short_rsa_bits(key)?))).next();
    match short {
        // A self-signed certificate is its own root.
        Some((key, bits)) if CertificateFields::parse(end_entity).is_some_and(|fields| fields.key == key) => {
            SignatureProblem::ShortKey { bits }.into_error()
        }
        Some((_, bits)) => SignatureProblem::ShortCaKey { bits }.into_error(),
        None => error,
    }
}

fn is_bad_signature(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(CertificateError::BadSignature))
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// The tag of a certificate's version, which is explicitly tagged `[0]`; version 1 omits it.
const VERSION: u8 = 0xa0;
/// 1.2.840.113549.1.1.1, `rsaEncryption` (RFC 3279 §2.3.1).
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// Two fields of a certificate (RFC 5280 §4.1), as the contents of their SEQUENCE.
struct CertificateFields<'a> {
    issuer: &'a [u8],
    key: &'a [u8],
}

impl CertificateFields<'_> {
    fn parse(certificate: &[u8]) -> Option<CertificateFields<'_>> {
        let (certificate, _) = der_element(certificate, SEQUENCE)?;
        let (mut rest, _) = der_element(certificate, SEQUENCE)?;
        if let Some((_, after)) = der_element(rest, VERSION) {
            rest = after;
        }
        let (_serial, rest) = der_element(rest, INTEGER)?;
        let (_algorithm, rest) = der_element(rest, SEQUENCE)?;
        let (issuer, rest) = der_element(rest, SEQUENCE)?;
        let (_validity, rest) = der_element(rest, SEQUENCE)?;
        let (_subject, rest) = der_element(rest, SEQUENCE)?;
        let (key, _) = der_element(rest, SEQUENCE)?;
        Some(CertificateFields { issuer, key })
    }
}

/// Returns the size of an RSA key in bits if it is too short. `key` is the contents of a SubjectPublicKeyInfo.
fn short_rsa_bits(key: &[u8]) -> Option<usize> {
    let (algorithm, rest) = der_element(key, SEQUENCE)?;
    if der_element(algorithm, OID)?.0 != RSA_ENCRYPTION {
        return None;
    }
    let (bits, _) = der_element(rest, BIT_STRING)?;
    // The first byte is the number of unused bits, which is 0 in DER.
    let (numbers, _) = der_element(bits.strip_prefix(&[0])?, SEQUENCE)?;
    let (modulus, _) = der_element(numbers, INTEGER)?;
    let zeros = modulus.iter().take_while(|&&byte| byte == 0).count();
    let modulus = &modulus[zeros..];
    let bits = modulus.len() * 8 - modulus.first()?.leading_zeros() as usize;
    (bits < RSA_BITS_MIN).then_some(bits)
}

/// Returns the contents of the DER element with this tag at the start of `input`, and the bytes after it.
fn der_element(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[first, length], rest) = input.split_first_chunk()?;
    if first != tag {
        return None;
    }
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length - 0x80))?;
            (bytes.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncated_certificates_do_not_panic() {
        let made = rcgen::generate_simple_self_signed(vec!["hub.example".to_owned()]).expect("a name");
        let whole = made.cert.der();
        assert!(
            CertificateFields::parse(whole).is_some_and(|fields| short_rsa_bits(fields.key).is_none()),
            "P-256"
        );
        for length in 0..whole.len() {
            assert!(CertificateFields::parse(&whole[..length]).is_none());
        }
        let mut changed = whole.to_vec();
        for at in 0..changed.len() {
            let before = std::mem::replace(&mut changed[at], 0x84);
            let _ = CertificateFields::parse(&changed).and_then(|fields| short_rsa_bits(fields.key));
            changed[at] = before;
        }
    }

    #[test]
    fn the_size_of_a_short_rsa_key_is_read() {
        let key = |modulus: &[u8]| {
            let wrap = |tag: u8, contents: &[u8]| {
                let length = u16::try_from(contents.len()).expect("short").to_be_bytes();
                [&[tag, 0x82, length[0], length[1]], contents].concat()
            };
            let numbers = wrap(SEQUENCE, &[wrap(INTEGER, modulus), wrap(INTEGER, &[1, 0, 1])].concat());
            let algorithm = wrap(SEQUENCE, &wrap(OID, RSA_ENCRYPTION));
            [algorithm, wrap(BIT_STRING, &[&[0], &numbers[..]].concat())].concat()
        };
        for (modulus, bits) in [
            ([&[0], &[0xff; 128][..]].concat(), Some(1024)),
            ([&[0x7f], &[0xff; 255][..]].concat(), Some(2047)),
            ([&[0], &[0xff; 256][..]].concat(), None),
            (vec![0], None),
        ] {
            assert_eq!(short_rsa_bits(&key(&modulus)), bits);
        }
    }
}
