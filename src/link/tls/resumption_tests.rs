//! Resumption against a server that counts its handshakes: each device resumes its own sessions only.

use std::sync::Arc;

use super::{self as tls, DeviceSessions};
use crate::link::testing::{self, Identity, identity, listener, test_deadline};
use crate::link::{Endpoint, Resolver, Transport, accept_tls, dial_device};
use bytes::BytesMut;
use rustls::ServerConfig;
use std::future::poll_fn;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// A server with tickets, and how many of its handshakes were full and resumed.
struct Counting {
    config: Arc<ServerConfig>,
    listener: TcpListener,
    address: SocketAddr,
    full: u32,
    resumed: u32,
}

impl Counting {
    fn new(identity: &Identity, tickets: bool) -> Counting {
        let ecdsa = (vec![identity.certificate.clone()], identity.key.clone());
        let config = tls::server_with_rsa(ecdsa, Box::new(|| None), tickets).expect("a valid configuration");
        let (listener, address) = listener();
        Counting { config, listener, address, full: 0, resumed: 0 }
    }

    /// Serves one connection of a device: both ends agree whether the handshake was resumed. Exchanges a byte in each direction, so that
    /// the ticket arrives.
    async fn connect(&mut self, endpoint: &Endpoint, device: u64) -> bool {
        let resolver = Resolver::default();
        let served = async {
            let (stream, _) = self.listener.accept().await.expect("a device connects");
            accept_tls(stream, &self.config, test_deadline()).await.expect("the handshake succeeds")
        };
        let (dialed, mut server) =
            tokio::join!(dial_device(endpoint, &resolver, device, test_deadline(), None), served);
        let mut dialed = dialed.expect("the server is trusted");
        let resumed = dialed.tls.expect("it is TLS").resumed;
        assert_eq!(server.tls_facts().expect("it is TLS").resumed, resumed);
        if resumed {
            self.resumed += 1
        } else {
            self.full += 1
        }
        exchange(&mut server, &mut dialed.transport).await;
        resumed
    }
}

async fn exchange(from: &mut Transport, to: &mut Transport) {
    poll_fn(|cx| from.poll_write(cx, b"x")).await.expect("connected");
    poll_fn(|cx| from.poll_flush(cx)).await.expect("connected");
    let mut read = BytesMut::new();
    poll_fn(|cx| to.poll_read(cx, &mut read)).await.expect("connected");
    assert_eq!(&read[..], b"x");
}

fn resuming(identity: &Identity, address: SocketAddr, devices: u64) -> Endpoint {
    let endpoint = testing::endpoint("127.0.0.1", address.port(), &identity.trusted());
    let config = endpoint.tls.as_ref().expect("it is TLS");
    let sessions = Some(Arc::new(DeviceSessions::new(config, devices)));
    Endpoint { sessions, ..endpoint }
}

#[tokio::test]
async fn devices_resume_their_own_sessions_only() {
    let identity = identity(&["127.0.0.1"]);
    let mut server = Counting::new(&identity, true);
    let endpoint = resuming(&identity, server.address, 2);
    // Device 1 connects when device 0 already has a ticket.
    let devices = [0, 1, 0, 1, 0, 0];
    let mut resumed = Vec::new();
    for device in devices {
        resumed.push(server.connect(&endpoint, device).await);
    }
    assert_eq!(resumed, [false, false, true, true, true, true]);
    assert_eq!((server.full, server.resumed), (2, 4));
    // A device without a number of its own has no store.
    assert!(!server.connect(&endpoint, 2).await && !server.connect(&endpoint, 2).await);
}

#[tokio::test]
async fn sessions_are_bound_to_the_server_and_its_key() {
    let identity = identity(&["127.0.0.1", "localhost"]);
    let mut server = Counting::new(&identity, true);
    let endpoint = resuming(&identity, server.address, 1);
    assert!(!server.connect(&endpoint, 0).await);
    // The same address by another name is another server.
    let renamed = Endpoint { host: "localhost".to_owned(), ..endpoint.clone() };
    assert!(!server.connect(&renamed, 0).await);
    assert!(server.connect(&renamed, 0).await);
    // A server that restarted cannot read its old tickets.
    let mut restarted = Counting { ..Counting::new(&identity, true) };
    let endpoint = Endpoint { port: restarted.address.port(), ..renamed };
    assert!(!restarted.connect(&endpoint, 0).await);
    assert!(restarted.connect(&endpoint, 0).await);
}

#[tokio::test]
async fn handshakes_are_full_unless_both_sides_resume() {
    let identity = identity(&["127.0.0.1"]);
    for (client, tickets) in [(false, true), (true, false), (false, false)] {
        let mut server = Counting::new(&identity, tickets);
        let mut endpoint = resuming(&identity, server.address, 1);
        endpoint.sessions.take_if(|_| !client);
        for _ in 0..3 {
            assert!(!server.connect(&endpoint, 0).await, "client {client}, server {tickets}");
        }
    }
}

/// Like OpenSSL and mbed TLS in many brokers: TLS 1.2 with tickets, or with sessions that the server keeps.
#[tokio::test]
async fn sessions_of_tls_1_2_are_resumed() {
    let identity = identity(&["127.0.0.1"]);
    let config =
        identity.old_server(&[&rustls::version::TLS12], rustls::crypto::aws_lc_rs::kx_group::SECP256R1);
    let mut with_tickets = ServerConfig::clone(&config);
    with_tickets.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().expect("random numbers");
    for config in [config, Arc::new(with_tickets)] {
        let mut server = Counting { config, ..Counting::new(&identity, false) };
        let endpoint = resuming(&identity, server.address, 2);
        let mut resumed = Vec::new();
        for device in [0, 1, 0, 1] {
            resumed.push(server.connect(&endpoint, device).await);
        }
        assert_eq!(resumed, [false, false, true, true]);
    }
}
