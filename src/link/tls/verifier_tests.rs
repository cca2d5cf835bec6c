//! The memory of verified chains against rustls's own verifier: with it, nothing is accepted that is refused without it.

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

/// 2030-01-01 and 2031-01-01, 00:00:00 UTC: from when and until when a chain of these tests is valid.
const FROM_S: u64 = 1_893_456_000;
const UNTIL_S: u64 = 1_924_992_000;
const WITHIN_S: u64 = FROM_S + 1_000;

/// What a server presents: its certificate, then an intermediate.
type Chain = Vec<CertificateDer<'static>>;

/// A root and an intermediate that it has signed.
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
    /// Valid during 2030.
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

    fn remembering(&self) -> (CachingVerifier, Arc<Counting>) {
        let inner = Arc::new(Counting { webpki: self.webpki(), chains: AtomicUsize::new(0) });
        (CachingVerifier::new(inner.clone(), Arc::new(rustls::RootCertStore::empty())), inner)
    }
}

/// rustls's verifier, and how often it had to verify a chain.
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

fn ask(
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
fn a_chain_is_verified_once_a_second_for_all_its_connections() {
    let authority = authority("a");
    let chain = authority.chain(&["hub.test", "127.0.0.1"]);
    let (verifier, inner) = authority.remembering();
    for second in 0..5 {
        for _ in 0..100 {
            ask(&verifier, &chain, "hub.test", WITHIN_S + second).unwrap();
        }
    }
    assert_eq!(inner.chains(), 5);
    // An address is another name.
    for _ in 0..2 {
        ask(&verifier, &chain, "127.0.0.1", WITHIN_S).unwrap();
    }
    assert_eq!(inner.chains(), 6);
}

#[test]
fn a_wrong_name_is_refused_although_the_chain_is_known() {
    let authority = authority("a");
    let chain = authority.chain(&["hub.test"]);
    let (verifier, inner) = authority.remembering();
    ask(&verifier, &chain, "hub.test", WITHIN_S).unwrap();
    for asked in 2..5 {
        let refused = why(ask(&verifier, &chain, "other.test", WITHIN_S));
        assert!(matches!(refused, CertificateError::NotValidForNameContext { .. }), "{refused:?}");
        assert_eq!(inner.chains(), asked, "a failure is verified anew every time");
    }
}

#[test]
fn a_chain_that_expires_in_mid_run_is_refused_from_that_second_on() {
    let authority = authority("a");
    let chain = authority.chain(&["hub.test"]);
    let (verifier, _) = authority.remembering();
    ask(&verifier, &chain, "hub.test", UNTIL_S).unwrap();
    let refused = why(ask(&verifier, &chain, "hub.test", UNTIL_S + 1));
    assert!(matches!(refused, CertificateError::ExpiredContext { .. }), "{refused:?}");
    // A clock that is set back: valid again, and before the beginning no more.
    ask(&verifier, &chain, "hub.test", FROM_S).unwrap();
    let refused = why(ask(&verifier, &chain, "hub.test", FROM_S - 1));
    assert!(matches!(refused, CertificateError::NotValidYetContext { .. }), "{refused:?}");
}

#[test]
fn an_expired_certificate_is_refused_and_never_remembered() {
    let authority = authority("a");
    let chain = authority.chain(&["hub.test"]);
    let (verifier, inner) = authority.remembering();
    for asked in 1..4 {
        let refused = why(ask(&verifier, &chain, "hub.test", UNTIL_S + 1));
        assert!(matches!(refused, CertificateError::ExpiredContext { .. }), "{refused:?}");
        assert_eq!(inner.chains(), asked);
    }
}

#[test]
fn a_strangers_chain_is_refused_although_the_name_is_known() {
    let (ours, theirs) = (authority("a"), authority("a"));
    let (verifier, _) = ours.remembering();
    ask(&verifier, &ours.chain(&["hub.test"]), "hub.test", WITHIN_S).unwrap();
    let stranger = theirs.chain(&["hub.test"]);
    for _ in 0..2 {
        why(ask(&verifier, &stranger, "hub.test", WITHIN_S));
    }
    // Nor does a known end entity carry another chain, or a known intermediate another end entity.
    let mixed = [stranger[0].clone(), ours.chain(&["hub.test"])[1].clone()];
    why(ask(&verifier, &mixed, "hub.test", WITHIN_S));
}

#[test]
fn order_and_every_certificate_count() {
    let authority = authority("a");
    let chain = authority.chain(&["hub.test"]);
    let (verifier, inner) = authority.remembering();
    ask(&verifier, &chain, "hub.test", WITHIN_S).unwrap();
    let swapped = [chain[1].clone(), chain[0].clone()];
    why(ask(&verifier, &swapped, "hub.test", WITHIN_S));
    why(ask(&verifier, &chain[..1], "hub.test", WITHIN_S));
    let longer = [chain[0].clone(), chain[1].clone(), authority.root.clone()];
    ask(&verifier, &longer, "hub.test", WITHIN_S).unwrap();
    assert_eq!(inner.chains(), 4, "none of them was taken for the known one");
}

#[test]
fn one_changed_byte_is_another_chain() {
    let authority = authority("a");
    let chain = authority.chain(&["hub.test"]);
    let (verifier, inner) = authority.remembering();
    ask(&verifier, &chain, "hub.test", WITHIN_S).unwrap();
    let mut asked = 1;
    for which in 0..chain.len() {
        for at in 0..chain[which].len() {
            let mut bytes = chain[which].to_vec();
            bytes[at] ^= 1;
            let mut changed = chain.clone();
            changed[which] = bytes.into();
            asked += 1;
            assert!(ask(&verifier, &changed, "hub.test", WITHIN_S).is_err(), "byte {at} of {which}");
            assert_eq!(inner.chains(), asked);
        }
    }
    ask(&verifier, &chain, "hub.test", WITHIN_S).unwrap();
    assert_eq!(inner.chains(), asked, "the known one is still known");
}

#[test]
fn no_more_is_remembered_than_the_bound() {
    let authority = authority("a");
    let (verifier, inner) = authority.remembering();
    let chains: Vec<Chain> = (0..=CACHE_MAX).map(|_| authority.chain(&["hub.test"])).collect();
    for chain in &chains {
        ask(&verifier, chain, "hub.test", WITHIN_S).unwrap();
    }
    let full = inner.chains();
    assert_eq!(full, CACHE_MAX + 1);
    for chain in &chains[1..] {
        ask(&verifier, chain, "hub.test", WITHIN_S).unwrap();
    }
    assert_eq!(inner.chains(), full);
    ask(&verifier, &chains[0], "hub.test", WITHIN_S).unwrap();
    assert_eq!(inner.chains(), full + 1, "the oldest has made room");
}
