//! Helpers that several tests of `link` share: certificates, listeners, connected pairs, and a machine that discards
//! its input.

use bytes::BytesMut;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::tls::{self, ClientOptions};
use super::{Buffers, Deadlines, DialError, Dialed, End, Endpoint, Link, Resolver, Transport, listen};
use crate::clock;
use crate::sansio::{Close, Closed, Machine};

/// A server's certificate, its key, and the roots that a client must trust.
pub(in crate::link) struct Identity {
    pub(in crate::link) certificate: Vec<u8>,
    pub(in crate::link) key: Vec<u8>,
    pub(in crate::link) pem: Vec<u8>,
}

pub(in crate::link) fn identity(names: &[&str]) -> Identity {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).expect("names are valid");
    Identity {
        certificate: made.cert.der().to_vec(),
        key: made.signing_key.serialize_der(),
        pem: made.cert.pem().into_bytes(),
    }
}

impl Identity {
    pub(in crate::link) fn server(&self) -> Arc<ServerConfig> {
        tls::server(vec![self.certificate.clone()], self.key.clone()).expect("key and certificate match")
    }

    /// Returns a server that supports only these TLS versions and this group.
    pub(in crate::link) fn old_server(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        group: &'static dyn rustls::crypto::SupportedKxGroup,
    ) -> Arc<ServerConfig> {
        let provider = rustls::crypto::CryptoProvider {
            kx_groups: vec![group],
            ..rustls::crypto::aws_lc_rs::default_provider()
        };
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .expect("versions are supported")
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from(self.certificate.clone())],
                PrivatePkcs8KeyDer::from(self.key.clone()).into(),
            );
        Arc::new(config.expect("key and certificate match"))
    }

    /// Returns options that trust only this server.
    pub(in crate::link) fn trusted(&self) -> ClientOptions {
        ClientOptions { roots_pem: Some(self.pem.clone()), ..ClientOptions::default() }
    }
}

pub(in crate::link) fn listener() -> (TcpListener, SocketAddr) {
    let listener = listen::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = listener.local_addr().expect("bound");
    (TcpListener::from_std(listener).expect("inside a runtime"), address)
}

/// Returns a deadline that is far enough away even for a loaded machine. No successful test waits for it.
pub(in crate::link) fn test_deadline() -> Instant {
    clock::now() + Duration::from_secs(30)
}

pub(in crate::link) fn endpoint(host: &str, port: u16, options: &ClientOptions) -> Endpoint {
    let tls = Some(tls::client(options).expect("options are valid"));
    Endpoint { host: host.to_owned(), port, tls, ..Endpoint::default() }
}

pub(in crate::link) async fn dial(
    endpoint: &Endpoint,
    turn: u64,
    deadline: Instant,
) -> Result<Dialed, DialError> {
    super::dial(endpoint, &Resolver::default(), turn, deadline).await
}

/// Returns two connected ends, ours first. tokio-rustls drives the other one, not the code under test.
pub(in crate::link) async fn connected() -> (Transport, TlsStream<TcpStream>) {
    let identity = identity(&["127.0.0.1"]);
    let (listener, address) = listener();
    let endpoint = endpoint("127.0.0.1", address.port(), &identity.trusted());
    let serve = async {
        let (stream, _) = listener.accept().await.expect("a client connects");
        TlsAcceptor::from(identity.server()).accept(stream).await
    };
    let (client, server) = tokio::join!(dial(&endpoint, 0, test_deadline()), serve);
    (client.expect("trusted").transport, server.expect("it accepts"))
}

/// Presents a fixed certificate and signs with its key, even if the two do not belong together.
#[derive(Debug)]
pub(in crate::link) struct FixedCertificate(pub(in crate::link) Arc<CertifiedKey>);

impl ResolvesServerCert for FixedCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// Discards its input and sends nothing.
#[derive(Debug, Default)]
pub(in crate::link) struct Discard {
    pub(in crate::link) received: usize,
}

impl Machine for Discard {
    type Error = std::convert::Infallible;

    fn handle_input(&mut self, _: Instant, input: &mut BytesMut) -> Result<(), Self::Error> {
        self.received += input.len();
        input.clear();
        Ok(())
    }

    fn handle_timeout(&mut self, _: Instant) -> Result<(), Self::Error> {
        Ok(())
    }

    fn handle_flushed(&mut self, _: Instant) {}

    fn handle_closed(&mut self, _: Instant, _: Closed) {}

    fn poll_output(&mut self, _: Instant, _: &mut BytesMut) {}

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn wants_input(&self) -> bool {
        true
    }

    fn poll_close(&self) -> Option<Close> {
        None
    }
}

/// Returns a link over an in-memory pipe, and the other end of the pipe.
pub(in crate::link) fn piped_link(pipe_bytes: usize) -> (Link, DuplexStream) {
    let (ours, theirs) = duplex(pipe_bytes);
    (Link::new(Transport::Duplex(ours), Buffers::shared(), &Deadlines::new()), theirs)
}

/// Drives a link until the connection ends, and returns why it ended.
pub(in crate::link) async fn run_to_close<M>(link: &mut Link, machine: &mut M) -> Closed
where
    M: Machine<Error = std::convert::Infallible>,
{
    let End::Closed(why) = run(link, machine).await;
    why
}

/// Drives a link and its timer until the connection ends.
pub(in crate::link) async fn run<M: Machine>(link: &mut Link, machine: &mut M) -> End<M::Error> {
    let deadlines = link.deadlines();
    tokio::select! {
        biased;
        end = poll_fn(|cx| link.poll(cx, machine)) => end,
        error = deadlines.run() => panic!("{error}"),
    }
}
