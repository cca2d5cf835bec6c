//! TLS configurations: one for a whole fleet, one for the emulator. The provider is always passed explicitly.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError};
use rustls::sign::CertifiedKey;
use rustls::{
    CipherSuite, ClientConfig, CommonState, DigitallySignedStruct, ProtocolVersion, RootCertStore,
    ServerConfig, SignatureScheme,
};
use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;

use super::failure::setup_error_in_words;
use super::server_certificates::{Certificates, Identity, MakeRsa};
use super::verifier::CachingVerifier;
use crate::text_file;

/// Whom a fleet trusts.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// A PEM file of roots, instead of the system's.
    pub ca: Option<PathBuf>,
    /// Roots as PEM in memory, instead of the system's: the built-in hub's own certificate.
    pub roots_pem: Option<Vec<u8>>,
    /// False accepts any certificate. Only a long flag or key says so, and it marks the report.
    pub verify: bool,
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions { ca: None, roots_pem: None, verify: true }
    }
}

/// A TLS configuration that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The `ca` file.
    #[error("cannot read certificates from {}: {}", path.display(), pem_problem(source))]
    Ca {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// Roots given in memory.
    #[error("cannot read the given root certificates: {}", pem_problem(.0))]
    Pem(pem::Error),
    /// A certificate in a `ca` file, or in roots in memory, is unusable.
    #[error("cannot use certificate {number}{}: {}", in_file(path.as_ref()), setup_error_in_words(source))]
    Root {
        /// Its number, from 1.
        number: usize,
        /// The file; `None` for roots in memory.
        path: Option<PathBuf>,
        /// Why.
        source: rustls::Error,
    },
    /// The system has no roots where they are looked for.
    #[error("no root certificates on this system: install ca-certificates or name a `ca` file{0}")]
    NoSystemRoots(String),
    /// rustls refuses what it was given.
    #[error("cannot set up TLS: {}", setup_error_in_words(.0))]
    Setup(#[from] rustls::Error),
    /// rustls cannot verify against the roots.
    #[error("cannot set up the verification of certificates: {0}")]
    Verifier(#[from] VerifierBuilderError),
}

/// For all devices of a run: TLS 1.2 and 1.3, chain and server name verified (once for all connections that are shown the
/// same), no resumption.
///
/// rustls's default resumption is one cache per configuration, keyed by server name: a fleet would resume with
/// another device's ticket.
///
/// # Errors
/// The roots cannot be read, or there are none.
pub fn client(options: &ClientOptions) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = provider();
    let verifier: Arc<dyn ServerCertVerifier> = if options.verify {
        let roots = Arc::new(roots(options)?);
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), provider.clone());
        Arc::new(CachingVerifier::new(webpki.build()?, roots))
    } else {
        Arc::new(AnyCertificate(provider.signature_verification_algorithms))
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(NoClientCertificate));
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// The configuration of a server with one certificate: `chain` as DER, the end certificate first, and its key as PKCS#8 DER. It does
/// not request client certificates. Resumption is off, so that every connection costs as much as a device's first.
///
/// # Errors
/// The key is unusable or does not belong to the certificate.
pub fn server(chain: Vec<Vec<u8>>, key: Vec<u8>) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = chain.into_iter().map(CertificateDer::from).collect();
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivatePkcs8KeyDer::from(key).into())?;
    Ok(without_resumption(config))
}

/// As [`server`], with an additional RSA certificate for clients that cannot verify the ECDSA one. The first such client causes one
/// call of `make_rsa`, on the thread that serves it.
///
/// # Errors
/// The ECDSA key is unusable or does not belong to the certificate.
pub fn server_with_rsa(ecdsa: Identity, make_rsa: MakeRsa) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = provider();
    let certificates = Certificates::new(ecdsa, make_rsa, Arc::clone(&provider))?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certificates));
    Ok(without_resumption(config))
}

fn without_resumption(mut config: ServerConfig) -> Arc<ServerConfig> {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Arc::new(config)
}

/// aws-lc-rs with X25519 first, as devices do: the ClientHello has a key share for it only. P-256 is required by TLS 1.2 servers with
/// a P-256 certificate. P-384 comes last, for servers that accept nothing else. The post-quantum hybrid is left out, because devices do
/// not spend its cost.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        kx_groups: vec![
            aws_lc_rs::kx_group::X25519,
            aws_lc_rs::kx_group::SECP256R1,
            aws_lc_rs::kx_group::SECP384R1,
        ],
        ..aws_lc_rs::default_provider()
    })
}

/// Seeds this thread's random generator. Its first use costs aws-lc tens of milliseconds, which must not fall into the
/// first handshake of a measurement.
pub fn warm_up() {
    let mut seed = [0; 32];
    // What fails here fails again, and is told, at the first handshake.
    let _ = provider().secure_random.fill(&mut seed);
}

fn roots(options: &ClientOptions) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &options.ca {
        let failed = |source| TlsError::Ca { path: path.clone(), source };
        let pem = std::fs::read(path).map_err(|error| failed(pem::Error::Io(error)))?;
        let pem = text_file::skip_bom(&pem).map_err(|error| failed(pem::Error::Io(error.into())))?;
        add_pem(&mut roots, pem, Some(path), failed)?;
    }
    if let Some(pem) = &options.roots_pem {
        add_pem(&mut roots, pem, None, TlsError::Pem)?;
    }
    if options.ca.is_none() && options.roots_pem.is_none() {
        let found = rustls_native_certs::load_native_certs();
        // Systems carry odd certificates: what cannot be used is left out, as long as something remains.
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
            return Err(TlsError::NoSystemRoots(why));
        }
    }
    Ok(roots)
}

fn in_file(path: Option<&PathBuf>) -> String {
    path.map_or_else(String::new, |path| format!(" in {}", path.display()))
}

/// Describes a PEM error. Keys, DER files and any other text give "no items found". Two of the other errors would print the file's
/// bytes as numbers.
fn pem_problem(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => {
            "no PEM certificate in it; one begins with -----BEGIN CERTIFICATE-----".to_owned()
        }
        pem::Error::MissingSectionEnd { .. } => {
            "a certificate in it is cut off: its -----END CERTIFICATE----- is missing".to_owned()
        }
        pem::Error::IllegalSectionStart { .. } => "a line that begins with ----- is damaged".to_owned(),
        pem::Error::Base64Decode(_) => "a certificate in it is damaged: it is not base64".to_owned(),
        pem::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}

fn add_pem(
    roots: &mut RootCertStore,
    pem: &[u8],
    path: Option<&PathBuf>,
    failed: impl Fn(pem::Error) -> TlsError,
) -> Result<(), TlsError> {
    let before = roots.len();
    for (number, certificate) in (1..).zip(CertificateDer::pem_slice_iter(pem)) {
        let added = roots.add(certificate.map_err(&failed)?);
        added.map_err(|source| TlsError::Root { number, path: path.cloned(), source })?;
    }
    if roots.len() > before { Ok(()) } else { Err(failed(pem::Error::NoItemsFound)) }
}

thread_local! {
    /// A server has requested a certificate since this was last read.
    static REQUESTED: Cell<bool> = const { Cell::new(false) };
}

/// Offers no client certificate and records the request, which explains the refusal that may follow.
#[derive(Debug)]
pub(in crate::link) struct NoClientCertificate;

impl NoClientCertificate {
    /// Returns true once after a request on this thread. Read it after each step of a handshake: a step is one call on one thread, so
    /// the request belongs to that handshake.
    pub(in crate::link) fn take_request() -> bool {
        REQUESTED.replace(false)
    }
}

impl ResolvesClientCert for NoClientCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        REQUESTED.set(true);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// What TLS agreed on, in the field's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// The cipher suite, IANA's name.
    pub suite: &'static str,
    /// The key-exchange group: `X25519`, `secp256r1`.
    pub group: &'static str,
}

impl TlsFacts {
    pub(in crate::link) fn of(connection: &CommonState) -> TlsFacts {
        TlsFacts {
            version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "1.3",
                Some(ProtocolVersion::TLSv1_2) => "1.2",
                _ => "unknown",
            },
            suite: match connection.negotiated_cipher_suite().map(|suite| suite.suite()) {
                // rustls prefixes these three with TLS13_.
                Some(CipherSuite::TLS13_AES_128_GCM_SHA256) => "TLS_AES_128_GCM_SHA256",
                Some(CipherSuite::TLS13_AES_256_GCM_SHA384) => "TLS_AES_256_GCM_SHA384",
                Some(CipherSuite::TLS13_CHACHA20_POLY1305_SHA256) => "TLS_CHACHA20_POLY1305_SHA256",
                other => other.and_then(|suite| suite.as_str()).unwrap_or("unknown"),
            },
            group: connection
                .negotiated_key_exchange_group()
                .and_then(|group| group.name().as_str())
                .unwrap_or("unknown"),
        }
    }
}

/// Accepts every certificate, also one that rustls cannot read, such as X.509 version 1. The handshake's signature is not verified
/// either: it shows that the server has the key of its certificate, and no one vouches for that certificate.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
