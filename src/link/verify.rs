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

use super::public_key::{explain_chain, explain_handshake};

/// The most successes that are remembered: a hub shows one chain, behind a balancer perhaps a few.
pub(super) const KNOWN_MAX: usize = 8;

/// A verifier that remembers what `inner` accepted. Shared by all workers.
#[derive(Debug)]
pub(super) struct Remembering {
    inner: Arc<dyn ServerCertVerifier>,
    /// The roots of `inner`, to explain its failures.
    roots: Arc<RootCertStore>,
    /// The oldest first.
    known: RwLock<Vec<Known>>,
}

/// One success.
#[derive(Debug)]
struct Known {
    /// The end entity's certificate and then the others, as presented.
    chain: Vec<CertificateDer<'static>>,
    name: ServerName<'static>,
    /// webpki's clock has seconds.
    at: UnixTime,
}

impl Remembering {
    /// Remembers for `inner`, which must decide by chain, name and second alone, and which trusts `roots`.
    pub(super) fn new(inner: Arc<dyn ServerCertVerifier>, roots: Arc<RootCertStore>) -> Remembering {
        Remembering { inner, roots, known: RwLock::default() }
    }

    fn remember(&self, success: Known) {
        // A lock that a panic has poisoned costs a verification each time, and no more.
        let Ok(mut known) = self.known.write() else { return };
        known.retain(|known| known.at == success.at);
        if known.len() == KNOWN_MAX {
            known.remove(0);
        }
        known.push(success);
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
        let is_this = |known: &Known| {
            known.at == now
                && known.name == *server_name
                && known.chain.split_first() == Some((end_entity, intermediates))
        };
        if self.known.read().is_ok_and(|known| known.iter().any(is_this)) {
            return Ok(ServerCertVerified::assertion());
        }
        let verified = self
            .inner
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            .map_err(|error| explain_chain(error, end_entity, intermediates, &self.roots.roots))?;
        let chain = std::iter::once(end_entity).chain(intermediates);
        let chain = chain.map(|certificate| certificate.clone().into_owned()).collect();
        self.remember(Known { chain, name: server_name.to_owned(), at: now });
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
