//! Verifies a server's certificate chain once for all the connections that present it. `tls` puts it into a fleet's
//! configuration; it knows certificates and names, not sockets.
//!
//! Verifying the chain is the dearest thing a connecting client does, and a fleet is shown the same chain
//! thousands of times. Nothing is weakened by remembering it:
//!
//! - What is remembered is one success of rustls's own verifier, for exactly these bytes in this order and this name. A failure
//!   is never remembered.
//! - It counts only while **every** certificate presented is within its validity, so that the verifier would find the same path
//!   again. A trust anchor's own validity plays no part, because webpki checks none; nor does a stapled OCSP response, which rustls
//!   does not read.
//! - The handshake's signature is checked on every connection: who presents a remembered chain must still hold its key.
//! - What cannot be read here is not remembered, and is verified every time.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use std::ops::RangeInclusive;
use std::sync::{Arc, RwLock};

/// The most successes that are remembered: a hub shows one chain, behind a balancer perhaps a few.
pub(super) const KNOWN_MAX: usize = 8;

/// A verifier that remembers what `inner` accepted. Shared by all workers.
#[derive(Debug)]
pub(super) struct Remembering {
    inner: Arc<dyn ServerCertVerifier>,
    /// The oldest first.
    known: RwLock<Vec<Known>>,
}

/// One success.
#[derive(Debug)]
struct Known {
    /// The end entity's certificate and then the others, as presented.
    chain: Vec<CertificateDer<'static>>,
    name: ServerName<'static>,
    /// In which all of the chain is valid; seconds since the Unix epoch.
    valid_s: RangeInclusive<u64>,
}

impl Known {
    fn covers(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> bool {
        self.valid_s.contains(&now.as_secs())
            && self.name == *name
            && self.chain.split_first() == Some((end_entity, intermediates))
    }
}

impl Remembering {
    /// Remembers for `inner`, which must decide by chain, name and time alone.
    pub(super) fn new(inner: Arc<dyn ServerCertVerifier>) -> Remembering {
        Remembering { inner, known: RwLock::default() }
    }

    fn remember(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) {
        let mut valid_s = 0..=u64::MAX;
        for certificate in std::iter::once(end_entity).chain(intermediates) {
            let Some(one) = validity_s(certificate) else { return };
            valid_s = *valid_s.start().max(one.start())..=*valid_s.end().min(one.end());
        }
        // Of several threads that verified the same chain at once, one remembers it.
        let Ok(mut known) = self.known.write() else { return };
        if known.iter().any(|known| known.covers(end_entity, intermediates, name, now)) {
            return;
        }
        if known.len() == KNOWN_MAX {
            known.remove(0);
        }
        let chain = std::iter::once(end_entity).chain(intermediates);
        let chain = chain.map(|certificate| certificate.clone().into_owned()).collect();
        known.push(Known { chain, name: name.to_owned(), valid_s });
    }
}

impl ServerCertVerifier for Remembering {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let covered = self.known.read().is_ok_and(|known| {
            known.iter().any(|known| known.covers(end_entity, intermediates, server_name, now))
        });
        if covered {
            return Ok(ServerCertVerified::assertion());
        }
        let verified =
            self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        self.remember(end_entity, intermediates, server_name, now);
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.inner.requires_raw_public_keys()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        self.inner.root_hint_subjects()
    }
}

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0]`, constructed: the version, absent in the first one.
const VERSION: u8 = 0xa0;

/// From `notBefore` to `notAfter` (RFC 5280 §4.1.2.5), in seconds since the Unix epoch. webpki reads it and does not give it away;
/// a parser of certificates would bring a dozen crates for these two times.
pub(super) fn validity_s(certificate: &[u8]) -> Option<RangeInclusive<u64>> {
    let (certificate, _) = expect(SEQUENCE, certificate)?;
    let (mut fields, _) = expect(SEQUENCE, certificate)?;
    if fields.first() == Some(&VERSION) {
        (_, _, fields) = element(fields)?;
    }
    // serialNumber, signature, issuer.
    for _ in 0..3 {
        (_, _, fields) = element(fields)?;
    }
    let (validity, _) = expect(SEQUENCE, fields)?;
    let (not_before, rest) = time_s(validity)?;
    let (not_after, _) = time_s(rest)?;
    Some(not_before..=not_after)
}

/// The first DER element: its tag, its contents, and what follows. `None` for what no certificate holds at this depth: a tag
/// of several bytes, an indefinite length, a length beyond the input.
fn element(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, input) = input.split_first()?;
    let (&first, input) = input.split_first()?;
    let (length, input) = match first {
        0..=0x7f => (usize::from(first), input),
        0x81..=0x83 => {
            let (bytes, input) = input.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)), input)
        }
        _ => return None,
    };
    let (contents, rest) = input.split_at_checked(length)?;
    (tag & 0x1f != 0x1f).then_some((tag, contents, rest))
}

fn expect(tag: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, contents, rest) = element(input)?;
    (found == tag).then_some((contents, rest))
}

/// A time in one of the two forms that RFC 5280 allows, both in UTC and to the second, and what follows it.
fn time_s(input: &[u8]) -> Option<(u64, &[u8])> {
    let (tag, text, rest) = element(input)?;
    let (text, zone) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let two = |at: usize| -> Option<i8> {
        let digits = text.get(at..at + 2)?;
        std::str::from_utf8(digits).ok().filter(|_| digits.iter().all(u8::is_ascii_digit))?.parse().ok()
    };
    let (year, at) = match (tag, text.len()) {
        (UTC_TIME, 12) => {
            let year = i16::from(two(0)?);
            (if year < 50 { 2000 + year } else { 1900 + year }, 2)
        }
        (GENERALIZED_TIME, 14) => (i16::from(two(0)?) * 100 + i16::from(two(2)?), 4),
        _ => return None,
    };
    let date = jiff::civil::Date::new(year, two(at)?, two(at + 2)?).ok()?;
    let time = jiff::civil::Time::new(two(at + 4)?, two(at + 6)?, two(at + 8)?, 0).ok()?;
    let zoned = date.to_datetime(time).to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    let seconds = u64::try_from(zoned.timestamp().as_second()).ok()?;
    (zone == b"Z").then_some((seconds, rest))
}
