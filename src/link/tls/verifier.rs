//! Verifies a server's certificate chain once a second for all the connections that present it. `tls` puts it into a
//! fleet's configuration; it knows certificates and names, not sockets.
//!
//! Verifying the chain is the dearest thing a connecting client does, and a fleet is shown the same chain
//! thousands of times. Nothing is weakened by remembering it:
//!
//! - What is remembered is one success of rustls's own verifier, for exactly these bytes in this order, this name and **this
//!   second**, which is all that the verifier decides by: asked again, it would say the same. So a chain that expires is
//!   refused from that second on, and nothing here reads certificates. A failure is never remembered.
//! - The handshake's signature is checked on every connection: who presents a remembered chain must still hold its key.
//!
//! A stapled OCSP response plays no part, because rustls's verifier does not read it.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use std::sync::{Arc, RwLock};

use super::signature::{explain_chain, explain_handshake};

/// The most successes that are remembered: a hub shows one chain, behind a balancer perhaps a few.
pub(super) const CACHE_MAX: usize = 8;

/// A verifier that remembers what `inner` accepted. Shared by all workers.
#[derive(Debug)]
pub(super) struct CachingVerifier {
    inner: Arc<dyn ServerCertVerifier>,
    /// The roots of `inner`, to explain its failures.
    roots: Arc<RootCertStore>,
    /// The oldest first.
    cache: RwLock<Vec<Verified>>,
}

/// One success.
#[derive(Debug)]
struct Verified {
    /// The end entity's certificate and then the others, as presented.
    chain: Vec<CertificateDer<'static>>,
    name: ServerName<'static>,
    /// webpki's clock has seconds.
    at: UnixTime,
}

impl CachingVerifier {
    /// Remembers for `inner`, which must decide by chain, name and second alone, and which trusts `roots`.
    pub(super) fn new(inner: Arc<dyn ServerCertVerifier>, roots: Arc<RootCertStore>) -> CachingVerifier {
        CachingVerifier { inner, roots, cache: RwLock::default() }
    }

    fn remember(&self, success: Verified) {
        // A lock that a panic has poisoned costs a verification each time, and no more.
        let Ok(mut cache) = self.cache.write() else { return };
        cache.retain(|cache| cache.at == success.at);
        if cache.len() == CACHE_MAX {
            cache.remove(0);
        }
        cache.push(success);
    }
}

impl ServerCertVerifier for CachingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let is_this = |cache: &Verified| {
            cache.at == now
                && cache.name == *server_name
                && cache.chain.split_first() == Some((end_entity, intermediates))
        };
        if self.cache.read().is_ok_and(|cache| cache.iter().any(is_this)) {
            return Ok(ServerCertVerified::assertion());
        }
        let verified = self
            .inner
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            .map_err(|error| explain_chain(error, end_entity, intermediates, &self.roots.roots))?;
        let chain = std::iter::once(end_entity).chain(intermediates);
        let chain = chain.map(|certificate| certificate.clone().into_owned()).collect();
        self.remember(Verified { chain, name: server_name.to_owned(), at: now });
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = self.inner.verify_tls12_signature(message, certificate, signature);
        verified.map_err(|error| explain_handshake(error, certificate))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = self.inner.verify_tls13_signature(message, certificate, signature);
        verified.map_err(|error| explain_handshake(error, certificate))
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
