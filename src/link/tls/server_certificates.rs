//! Chooses the server's certificate: ECDSA for clients that can verify it, RSA for others. Used by `config`. The choice
//! depends only on the ClientHello.

use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, Error, NamedGroup, SignatureScheme, crypto::CryptoProvider};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// A certificate chain as DER, beginning with the server's certificate, and its key as PKCS#8 DER.
pub type Identity = (Vec<Vec<u8>>, Vec<u8>);

/// A function that creates the RSA certificate. Called when the first client needs it; returns `None` on failure.
pub type MakeRsa = Box<dyn Fn() -> Option<Identity> + Send + Sync>;

/// An ECDSA P-256 certificate, and an RSA certificate that is created on demand.
pub(super) struct Certificates {
    ecdsa: Arc<CertifiedKey>,
    rsa: OnceLock<Option<Arc<CertifiedKey>>>,
    make_rsa: MakeRsa,
    provider: Arc<CryptoProvider>,
}

impl Certificates {
    pub(super) fn new(
        ecdsa: Identity,
        make_rsa: MakeRsa,
        provider: Arc<CryptoProvider>,
    ) -> Result<Certificates, Error> {
        let ecdsa = Arc::new(certified_key(ecdsa, &provider)?);
        Ok(Certificates { ecdsa, rsa: OnceLock::new(), make_rsa, provider })
    }

    fn rsa(&self) -> Option<Arc<CertifiedKey>> {
        let make =
            || (self.make_rsa)().and_then(|made| certified_key(made, &self.provider).ok()).map(Arc::new);
        self.rsa.get_or_init(make).clone()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls has already removed the schemes that match no common cipher suite.
        let schemes = hello.signature_schemes();
        if schemes.contains(&SignatureScheme::ECDSA_NISTP256_SHA256)
            && supports_p256(hello.cipher_suites(), hello.named_groups())
        {
            return Some(Arc::clone(&self.ecdsa));
        }
        match self.rsa().filter(|rsa| rsa.key.choose_scheme(schemes).is_some()) {
            Some(rsa) => Some(rsa),
            // The client may support more than it announces. If not, rustls's alert explains the failure.
            None => Some(Arc::clone(&self.ecdsa)),
        }
    }
}

/// Returns true if the client supports P-256 keys. In TLS 1.2 the client's groups also limit the server's key (RFC 8422
/// §5.1). In TLS 1.3 they do not (RFC 8446 §4.2.7).
fn supports_p256(suites: &[CipherSuite], groups: Option<&[NamedGroup]>) -> bool {
    let is_tls13 = |suite: &CipherSuite| {
        matches!(
            suite,
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS13_AES_256_GCM_SHA384
                | CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
        )
    };
    groups.is_none_or(|groups| groups.contains(&NamedGroup::secp256r1)) || suites.iter().any(is_tls13)
}

fn certified_key((chain, key): Identity, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
    let chain = chain.into_iter().map(CertificateDer::from).collect();
    CertifiedKey::from_der(chain, PrivatePkcs8KeyDer::from(key).into(), provider)
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}
