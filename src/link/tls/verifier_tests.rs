//! The cache of verified chains, compared with rustls's own verifier: it must not accept anything that rustls refuses.

use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::verifier::{CACHE_MAX, CachingVerifier};

/// 2030-01-01 and 2031-01-01, 00:00:00 UTC: the validity of the chains in these tests.
const FROM_S: u64 = 1_893_456_000;
const UNTIL_S: u64 = 1_924_992_000;
const WITHIN_S: u64 = FROM_S + 1_000;

/// A server's certificate, then an intermediate.
type Chain = Vec<CertificateDer<'static>>;

/// A root and an intermediate signed by it.
struct Authority {
    root: CertificateDer<'static>,
    intermediate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

fn authority(name: &str) -> Authority {
    let params = |suffix: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("{name} {suffix}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let (root_key, key) = (key(), key());
    let root = params("root").self_signed(&root_key).unwrap();
    let root_issuer = Issuer::new(params("root"), root_key);
    let intermediate = params("intermediate").signed_by(&key, &root_issuer).unwrap();
    Authority {
        root: root.der().clone(),
        intermediate: intermediate.der().clone(),
        issuer: Issuer::new(params("intermediate"), key),
    }
}

impl Authority {
    /// Returns a chain that is valid during 2030.
    fn chain(&self, names: &[&str]) -> Chain {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(2030, 1, 1);
        params.not_after = date_time_ymd(2031, 1, 1);
        let certificate = params.signed_by(&key(), &self.issuer).unwrap();
        vec![certificate.der().clone(), self.intermediate.clone()]
    }

    fn webpki(&self) -> Arc<WebPkiServerVerifier> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap()
    }

    fn caching(&self) -> (CachingVerifier, Arc<Counting>) {
        let inner = Arc::new(Counting { webpki: self.webpki(), chains: AtomicUsize::new(0) });
        (CachingVerifier::new(inner.clone(), Arc::new(rustls::RootCertStore::empty())), inner)
    }
}

/// rustls's verifier, with a counter of verified chains.
#[derive(Debug)]
struct Counting {
    webpki: Arc<WebPkiServerVerifier>,
    chains: AtomicUsize,
}

impl Counting {
    fn chains(&self) -> usize {
        self.chains.load(Ordering::Relaxed)
    }
}

impl ServerCertVerifier for Counting {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.chains.fetch_add(1, Ordering::Relaxed);
        self.webpki.verify_server_cert(end_entity, intermediates, name, ocsp, now)
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, certificate, signature)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, certificate, signature)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

fn verify(
    verifier: &dyn ServerCertVerifier,
    chain: &[CertificateDer<'_>],
    name: &str,
    now_s: u64,
) -> Result<(), Error> {
    let (end_entity, intermediates) = chain.split_first().unwrap();
    let name = ServerName::try_from(name).unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now_s));
    verifier.verify_server_cert(end_entity, intermediates, &name, &[], now).map(drop)
}

fn why(result: Result<(), Error>) -> CertificateError {
    match result {
        Err(Error::InvalidCertificate(why)) => why,
        other => panic!("not refused for its certificate: {other:?}"),
    }
}

#[test]
fn a_chain_is_verified_once_per_second() {
    let authority = authority("a");
    let chain = authority.chain(&["hub.test", "127.0.0.1"]);
    let (verifier, inner) = authority.caching();
    for second in 0..5 {
        for _ in 0..100 {
            verify(&verifier, &chain, "hub.test", WITHIN_S + second).unwrap();
        }
    }
    assert_eq!(inner.chains(), 5);
    // An IP address counts as a different name.
    for _ in 0..2 {
        verify(&verifier, &chain, "127.0.0.1", WITHIN_S).unwrap();
    }
    assert_eq!(inner.chains(), 6);
}

#[test]
fn a_wrong_name_is_refused_for_a_cached_chain() {
    let authority = authority("a");
    let chain = authority.chain(&["hub.test"]);
    let (verifier, inner) = authority.caching();
    verify(&verifier, &chain, "hub.test", WITHIN_S).unwrap();
    for expected in 2..5 {
        let refused = why(verify(&verifier, &chain, "other.test", WITHIN_S));
        assert!(matches!(refused, CertificateError::NotValidForNameContext { .. }), "{refused:?}");
        assert_eq!(inner.chains(), expected, "failures are not cached");
    }
}

#[test]
fn a_chain_is_refused_from_the_second_it_expires() {
    let authority = authority("a");
    let chain = authority.chain(&["hub.test"]);
    let (verifier, _) = authority.caching();
    verify(&verifier, &chain, "hub.test", UNTIL_S).unwrap();
    let refused = why(verify(&verifier, &chain, "hub.test", UNTIL_S + 1));
    assert!(matches!(refused, CertificateError::ExpiredContext { .. }), "{refused:?}");
    // After the clock is set back, the chain is valid again, but not before its validity begins.
    verify(&verifier, &chain, "hub.test", FROM_S).unwrap();
    let refused = why(verify(&verifier, &chain, "hub.test", FROM_S - 1));
    assert!(matches!(refused, CertificateError::NotValidYetContext { .. }), "{refused:?}");
}

#[test]
fn an_expired_certificate_is_not_cached() {
    let authority = authority("a");
    let chain = authority.chain(&["hub.test"]);
    let (verifier, inner) = authority.caching();
    for expected in 1..4 {
        let refused = why(verify(&verifier, &chain, "hub.test", UNTIL_S + 1));
        assert!(matches!(refused, CertificateError::ExpiredContext { .. }), "{refused:?}");
        assert_eq!(inner.chains(), expected);
    }
}

#[test]
fn an_untrusted_chain_is_refused_for_a_cached_name() {
    let (ours, theirs) = (authority("a"), authority("a"));
    let (verifier, _) = ours.caching();
    verify(&verifier, &ours.chain(&["hub.test"]), "hub.test", WITHIN_S).unwrap();
    let untrusted = theirs.chain(&["hub.test"]);
    for _ in 0..2 {
        why(verify(&verifier, &untrusted, "hub.test", WITHIN_S));
    }
    // A trusted intermediate does not make another server's certificate valid.
    let mixed = [untrusted[0].clone(), ours.chain(&["hub.test"])[1].clone()];
    why(verify(&verifier, &mixed, "hub.test", WITHIN_S));
}

#[test]
fn order_and_number_of_certificates_matter() {
    let authority = authority("a");
    let chain = authority.chain(&["hub.test"]);
    let (verifier, inner) = authority.caching();
    verify(&verifier, &chain, "hub.test", WITHIN_S).unwrap();
    let swapped = [chain[1].clone(), chain[0].clone()];
    why(verify(&verifier, &swapped, "hub.test", WITHIN_S));
    why(verify(&verifier, &chain[..1], "hub.test", WITHIN_S));
    let longer = [chain[0].clone(), chain[1].clone(), authority.root.clone()];
    verify(&verifier, &longer, "hub.test", WITHIN_S).unwrap();
    assert_eq!(inner.chains(), 4, "none of them is the cached chain");
}

#[test]
fn one_changed_byte_makes_a_different_chain() {
    let authority = authority("a");
    let chain = authority.chain(&["hub.test"]);
    let (verifier, inner) = authority.caching();
    verify(&verifier, &chain, "hub.test", WITHIN_S).unwrap();
    let mut expected = 1;
    for which in 0..chain.len() {
        for at in 0..chain[which].len() {
            let mut bytes = chain[which].to_vec();
            bytes[at] ^= 1;
            let mut changed = chain.clone();
            changed[which] = bytes.into();
            expected += 1;
            assert!(verify(&verifier, &changed, "hub.test", WITHIN_S).is_err(), "byte {at} of {which}");
            assert_eq!(inner.chains(), expected);
        }
    }
    verify(&verifier, &chain, "hub.test", WITHIN_S).unwrap();
    assert_eq!(inner.chains(), expected, "the first chain is still cached");
}

#[test]
fn the_cache_has_a_limit() {
    let authority = authority("a");
    let (verifier, inner) = authority.caching();
    let chains: Vec<Chain> = (0..=CACHE_MAX).map(|_| authority.chain(&["hub.test"])).collect();
    for chain in &chains {
        verify(&verifier, chain, "hub.test", WITHIN_S).unwrap();
    }
    let full = inner.chains();
    assert_eq!(full, CACHE_MAX + 1);
    for chain in &chains[1..] {
        verify(&verifier, chain, "hub.test", WITHIN_S).unwrap();
    }
    assert_eq!(inner.chains(), full);
    verify(&verifier, &chains[0], "hub.test", WITHIN_S).unwrap();
    assert_eq!(inner.chains(), full + 1, "the oldest entry was replaced");
}
