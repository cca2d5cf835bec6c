//! TLS configurations: one for all devices of a run, one for the emulator. Created by `app`, `emulator` and tests. The
//! configurations name the crypto provider explicitly, so that no global default is needed.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError};
use rustls::sign::CertifiedKey;
use rustls::{
    CipherSuite, ClientConfig, CommonState, DigitallySignedStruct, HandshakeKind, ProtocolVersion,
    RootCertStore, ServerConfig, SignatureScheme,
};
use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;

use super::failure::setup_error_in_words;
use super::server_certificates::{Certificates, Identity, MakeRsa};
use super::verifier::CachingVerifier;
use crate::text_file;

/// The certificates that a client trusts.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// PEM file with the trusted roots, instead of the system's roots.
    pub ca: Option<PathBuf>,
    /// Trusted roots as PEM, instead of the system's roots. Used for the built-in hub's certificate.
    pub roots_pem: Option<Vec<u8>>,
    /// If false, any certificate is accepted. Only an explicit flag or key sets this to false, and the report shows it.
    pub verify: bool,
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions { ca: None, roots_pem: None, verify: true }
    }
}

/// The reason why a TLS configuration cannot be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The `ca` file cannot be read.
    #[error("cannot read certificates from {}: {}", path.display(), pem_problem(source))]
    Ca {
        /// Path of the file.
        path: PathBuf,
        /// Cause.
        source: pem::Error,
    },
    /// The roots in memory cannot be read.
    #[error("cannot read the given root certificates: {}", pem_problem(.0))]
    Pem(pem::Error),
    /// A certificate in a `ca` file, or in roots in memory, is unusable.
    #[error("cannot use certificate {number}{}: {}", in_file(path.as_ref()), setup_error_in_words(source))]
    Root {
        /// Position of the certificate, from 1.
        number: usize,
        /// Path of the file; `None` for roots in memory.
        path: Option<PathBuf>,
        /// Cause.
        source: rustls::Error,
    },
    /// The system's certificate store is empty or missing.
    #[error(
        "this system has no root certificates{0}. Install ca-certificates, or set `ca` to a file of root certificates"
    )]
    NoSystemRoots(String),
    /// rustls rejects the configuration.
    #[error("cannot set up TLS: {}", setup_error_in_words(.0))]
    Setup(#[from] rustls::Error),
    /// rustls cannot verify certificates with these roots.
    #[error("cannot set up certificate verification: {0}")]
    Verifier(#[from] VerifierBuilderError),
}

/// Creates the configuration for all devices of a run: TLS 1.2 and 1.3, with verification of the chain and the server
/// name, and without resumption, which [`DeviceSessions`] adds. A chain is verified once per second for all connections that present it.
///
/// rustls's default resumption keeps one cache per configuration, keyed by server name. With it, a device would resume
/// with another device's ticket.
///
/// [`DeviceSessions`]: super::DeviceSessions
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

/// Creates the configuration of a server with one certificate: `chain` as DER, beginning with the server's certificate,
/// and its key as PKCS#8 DER. It does not request client certificates. Resumption is off, so that every connection
/// costs as much as a device's first connection.
///
/// # Errors
/// The key is unusable or does not belong to the certificate.
pub fn server(chain: Vec<Vec<u8>>, key: Vec<u8>) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = chain.into_iter().map(CertificateDer::from).collect();
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivatePkcs8KeyDer::from(key).into())?;
    with_resumption(config, false)
}

/// Creates a configuration like [`server`] with an additional RSA certificate, for clients that cannot verify ECDSA.
/// The first such client causes one call to `make_rsa`, on the thread that serves the client. With `resumption`, clients
/// can resume their sessions with tickets.
///
/// # Errors
/// The ECDSA key is unusable or does not belong to the certificate, or the system provides no random numbers.
pub fn server_with_rsa(
    ecdsa: Identity,
    make_rsa: MakeRsa,
    resumption: bool,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = provider();
    let certificates = Certificates::new(ecdsa, make_rsa, Arc::clone(&provider))?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certificates));
    with_resumption(config, resumption)
}

/// Sets whether clients can resume their sessions. The server then keeps no state: a ticket contains the encrypted session. One ticket per
/// connection is enough, because a device has one connection.
fn with_resumption(mut config: ServerConfig, on: bool) -> Result<Arc<ServerConfig>, TlsError> {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = usize::from(on);
    if on {
        config.ticketer = aws_lc_rs::Ticketer::new()?;
    }
    Ok(Arc::new(config))
}

/// Returns the crypto provider: aws-lc-rs, with the key-exchange groups that devices use. X25519 comes first, and the
/// ClientHello has a key share for it only. TLS 1.2 servers with a P-256 certificate require P-256. P-384 comes last,
/// for servers that accept nothing else. The post-quantum hybrid is omitted, because devices avoid its cost.
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

/// Seeds this thread's random number generator. Its first use takes tens of milliseconds in aws-lc, which must not
/// delay the first measured handshake.
pub fn warm_up() {
    let mut seed = [0; 32];
    // Ignore the error: a failure here recurs in the first handshake, which reports it.
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
        // Some systems have unusable certificates, which are ignored as long as others remain.
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

/// Describes a PEM error. Keys, DER files and any other text give "no items found". Two of the other errors would print
/// the file's bytes as numbers.
fn pem_problem(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => {
            "it contains no PEM certificate. A PEM certificate begins with -----BEGIN CERTIFICATE-----"
                .to_owned()
        }
        pem::Error::MissingSectionEnd { .. } => {
            "a certificate in it is incomplete: its -----END CERTIFICATE----- is missing".to_owned()
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
    /// True if a server has requested a client certificate since this was last read.
    static REQUESTED: Cell<bool> = const { Cell::new(false) };
}

/// Offers no client certificate, but records that the server requested one, because the request explains a refusal.
#[derive(Debug)]
pub(in crate::link) struct NoClientCertificate;

impl NoClientCertificate {
    /// Returns true if a server has requested a client certificate on this thread since the previous call. Call this
    /// after each handshake step: a step runs on one thread, so the request belongs to that handshake.
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

/// Negotiated TLS parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// Protocol version: `1.2` or `1.3`.
    pub version: &'static str,
    /// Cipher suite, by its IANA name.
    pub suite: &'static str,
    /// Key-exchange group, such as `X25519` or `secp256r1`.
    pub group: &'static str,
    /// True if the handshake resumed an earlier session.
    pub resumed: bool,
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
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }
}

/// Accepts every certificate, even one that rustls cannot read, such as X.509 version 1. It does not verify the
/// handshake's signature either, which would only show that the server has the key for an untrusted certificate.
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
