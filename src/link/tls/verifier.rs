//! Verifies each server certificate chain once per second, for all connections that present it. `config` adds the
//! verifier to the client's configuration. Independent of sockets.
//!
//! Verifying the chain is the most expensive thing that a connecting client does, and a fleet sees the same chain
//! thousands of times. The cache does not weaken verification:
//!
//! - An entry is one success of rustls's own verifier for exactly these bytes in this order, this name and **this
//!   second**. The verifier's decision depends on nothing else, so it would be the same again. A chain that expires is
//!   refused from that second on. Failures are not cached.
//! - The handshake's signature is checked on every connection: a server that presents a cached chain must have the
//!   chain's private key.
//!
//! A stapled OCSP response has no effect, because rustls's verifier does not read it.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use std::sync::{Arc, RwLock};

use super::signature::{explain_chain, explain_handshake};

/// The maximum number of cached successes. A hub presents one chain, or perhaps a few if it is behind a load balancer.
pub(super) const CACHE_MAX: usize = 8;

/// A verifier that caches what `inner` accepts. Shared by all workers.
#[derive(Debug)]
pub(super) struct CachingVerifier {
    inner: Arc<dyn ServerCertVerifier>,
    /// The roots of `inner`, used to explain its failures.
    roots: Arc<RootCertStore>,
    /// Oldest entry first.
    cache: RwLock<Vec<Verified>>,
}

/// A cached success.
#[derive(Debug)]
struct Verified {
    /// The server's certificate and then the others, as presented.
    chain: Vec<CertificateDer<'static>>,
    name: ServerName<'static>,
    /// The second in which the chain was verified. webpki's clock has a resolution of one second.
    at: UnixTime,
}

impl CachingVerifier {
    /// Creates a cache for `inner`, which trusts `roots` and whose decisions must depend only on the chain, the name
    /// and the second.
    pub(super) fn new(inner: Arc<dyn ServerCertVerifier>, roots: Arc<RootCertStore>) -> CachingVerifier {
        CachingVerifier { inner, roots, cache: RwLock::default() }
    }

    fn remember(&self, success: Verified) {
        // If a panic has poisoned the lock, every connection verifies its chain.
        let Ok(mut cache) = self.cache.write() else { return };
        cache.retain(|entry| entry.at == success.at);
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
        let is_same = |entry: &Verified| {
            entry.at == now
                && entry.name == *server_name
                && entry.chain.split_first() == Some((end_entity, intermediates))
        };
        if self.cache.read().is_ok_and(|cached| cached.iter().any(is_same)) {
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
