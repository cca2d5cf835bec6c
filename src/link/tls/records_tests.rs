//! `records` against rustls's buffered connections, in memory. However the input is split, nothing is lost, an idle
//! connection owns no memory, and an error is reported to both sides once.

use bytes::BytesMut;
use proptest::prelude::*;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, Connection, Error, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
};
use std::io::{Read, Write};
use std::sync::{Arc, LazyLock};

use super::records::{Outgoing, Records};
use super::{self as tls, ClientOptions, TlsFacts};

/// One certificate, and configurations that use it, for all tests in this file.
struct Configs {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

static CONFIGS: LazyLock<Configs> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(["hub.example".to_owned()]).expect("a valid name");
    let (certificate, key) = (made.cert.der().clone(), made.signing_key.serialize_der());
    let trusted = ClientOptions { roots_pem: Some(made.cert.pem().into_bytes()), ..ClientOptions::default() };
    Configs {
        client: tls::client(&trusted).expect("options are valid"),
        server: tls::server(vec![certificate.to_vec()], key.clone()).expect("key and certificate match"),
        certificate,
        key,
    }
});

const TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
const TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// Returns a server configuration that supports one version, and otherwise has rustls's defaults, which include
/// tickets.
fn server_config(versions: &[&'static SupportedProtocolVersion]) -> ServerConfig {
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions are supported")
        .with_no_client_auth()
        .with_single_cert(
            vec![CONFIGS.certificate.clone()],
            PrivatePkcs8KeyDer::from(CONFIGS.key.clone()).into(),
        )
        .expect("key and certificate match")
}

/// Returns a client configuration that supports one version.
fn client_config(versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CONFIGS.certificate.clone()).expect("a certificate");
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions are supported")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Our end, rustls's buffered connection as the other end, and what each has received.
struct Pair {
    ours: Records,
    theirs: Connection,
    /// The buffer for `encrypt`, as a worker lends it.
    buffer: Vec<u8>,
    received: BytesMut,
    peer_received: Vec<u8>,
}

impl Pair {
    /// Returns a pair in which our end is the client. The handshake has not started.
    fn client_to(server: ServerConfig) -> Pair {
        let name = "hub.example".try_into().expect("a name");
        let ours = Records::client(Arc::clone(&CONFIGS.client), name).expect("a client");
        Pair::new(ours, ServerConnection::new(Arc::new(server)).expect("a server").into())
    }

    /// Returns a pair in which our end is the server. The handshake has not started.
    fn server_to(client: ClientConfig) -> Pair {
        let name = "hub.example".try_into().expect("a name");
        let ours = Records::server(Arc::clone(&CONFIGS.server)).expect("a server");
        Pair::new(ours, ClientConnection::new(Arc::new(client), name).expect("a client").into())
    }

    fn new(ours: Records, theirs: Connection) -> Pair {
        Pair { ours, theirs, buffer: Vec::new(), received: BytesMut::new(), peer_received: Vec::new() }
    }

    /// Returns pairs for both roles and both versions, after the handshake.
    fn each() -> Vec<Pair> {
        let mut pairs = Vec::new();
        for versions in [TLS12, TLS13] {
            pairs.push(Pair::client_to(server_config(versions)));
            pairs.push(Pair::server_to(client_config(versions)));
        }
        for pair in &mut pairs {
            pair.settle(&mut || usize::MAX).expect("a handshake");
        }
        pairs
    }

    /// Takes the peer's output.
    fn drain_peer(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.theirs.wants_write() {
            self.theirs.write_tls(&mut bytes).expect("memory");
        }
        bytes
    }

    /// Lets our end read `bytes`, as `stream` would.
    fn receive(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut input = vec![0xee; self.ours.partial_bytes()];
        input.extend_from_slice(bytes);
        self.ours.decrypt(&mut input, &mut self.received)
    }

    /// Encrypts at our end, and appends the ciphertext to the unsent output.
    fn send(&mut self, outgoing: Outgoing<'_>) {
        let n = self.ours.encrypt(outgoing, &mut self.buffer).expect("it may write");
        self.ours.unsent.extend_from_slice(&self.buffer[..n]);
    }

    /// Lets the peer read all of our unsent output.
    fn deliver(&mut self) -> Result<(), Error> {
        let bytes = std::mem::take(&mut self.ours.unsent);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            self.theirs.read_tls(&mut rest).expect("memory");
            self.theirs.process_new_packets()?;
            // Ignore the error: the reader may report that there is no more data for now.
            let _ = self.theirs.reader().read_to_end(&mut self.peer_received);
        }
        Ok(())
    }

    /// Exchanges bytes until neither end has output. Our end reads in pieces of the size that `cut` returns.
    fn settle(&mut self, cut: &mut dyn FnMut() -> usize) -> Result<(), Error> {
        loop {
            self.deliver()?;
            let bytes = self.drain_peer();
            if bytes.is_empty() && self.ours.unsent.is_empty() {
                return Ok(());
            }
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (piece, later) = rest.split_at(cut().clamp(1, rest.len()));
                self.receive(piece)?;
                rest = later;
            }
        }
    }

    /// Lets each end send a message and receive the other's. Afterwards, our end owns no memory.
    fn talk(&mut self, cut: &mut dyn FnMut() -> usize) {
        self.received.clear();
        self.peer_received.clear();
        self.theirs.writer().write_all(b"to ours").expect("memory");
        self.send(Outgoing::Data(b"to theirs"));
        self.settle(cut).expect("TLS works");
        assert_eq!((&self.received[..], &self.peer_received[..]), (&b"to ours"[..], &b"to theirs"[..]));
        assert_eq!(self.ours.owned_bytes(), 0);
    }

    fn version(&self) -> &'static str {
        TlsFacts::of(self.ours.common().expect("no error")).version
    }
}

#[test]
fn byte_by_byte_input_works() {
    for versions in [TLS12, TLS13] {
        for mut pair in [Pair::client_to(server_config(versions)), Pair::server_to(client_config(versions))] {
            let mut byte_by_byte = || 1;
            pair.settle(&mut byte_by_byte).expect("a handshake");
            assert!(!pair.ours.is_handshaking() && !pair.theirs.is_handshaking());
            pair.talk(&mut byte_by_byte);
            assert_eq!(pair.version(), if versions == TLS12 { "1.2" } else { "1.3" });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// An exchange whose input is split anywhere, with our writes in between and fragmented handshake messages.
    #[test]
    fn no_split_loses_or_changes_data(
        cuts in prop::collection::vec(1_usize..5_000, 1..200),
        sizes in prop::collection::vec(0_usize..40_000, 1..8),
        client in any::<bool>(),
        old in any::<bool>(),
        fragment in prop_oneof![Just(None), (64_usize..1_000).prop_map(Some)],
    ) {
        let versions = if old { TLS12 } else { TLS13 };
        let mut pair = if client {
            let mut config = server_config(versions);
            config.max_fragment_size = fragment;
            Pair::client_to(config)
        } else {
            let mut config = client_config(versions);
            config.max_fragment_size = fragment;
            Pair::server_to(config)
        };
        let mut cuts = cuts.iter().copied().cycle();
        let mut cut = || cuts.next().unwrap_or(1);
        pair.settle(&mut cut).expect("a handshake");
        pair.theirs.set_buffer_limit(None);
        let sent: Vec<u8> = (0..sizes.iter().sum()).map(|n: usize| n.to_le_bytes()[0]).collect();
        let mut rest = &sent[..];
        for size in sizes {
            let (part, later) = rest.split_at(size);
            pair.theirs.writer().write_all(part).expect("memory");
            for chunk in part.chunks(16 * 1024) {
                pair.send(Outgoing::Data(chunk));
            }
            // Half of the peer's output arrives before our next write, the other half after it.
            let bytes = pair.drain_peer();
            let (early, late) = bytes.split_at(bytes.len() / 2);
            pair.receive(early).expect("TLS");
            pair.send(Outgoing::Data(b""));
            pair.receive(late).expect("TLS");
            rest = later;
        }
        pair.settle(&mut cut).expect("TLS works");
        prop_assert!(pair.received == sent && pair.peer_received == sent);
        prop_assert_eq!(pair.ours.owned_bytes(), 0);
    }
}

#[test]
fn many_records_in_one_read_are_all_decrypted() {
    for mut pair in Pair::each() {
        for n in 0..200_u8 {
            pair.theirs.writer().write_all(&[n; 3]).expect("memory");
        }
        let bytes = pair.drain_peer();
        pair.receive(&bytes).expect("TLS");
        let sent: Vec<u8> = (0..200).flat_map(|n| [n; 3]).collect();
        assert_eq!(pair.received, sent);
        assert_eq!(pair.ours.owned_bytes(), 0);
    }
}

#[test]
fn data_with_the_last_handshake_message_is_kept() {
    for versions in [TLS12, TLS13] {
        let mut pair = Pair::server_to(client_config(versions));
        // The last handshake message comes from the client in TLS 1.3, and from the server in TLS 1.2.
        while pair.theirs.is_handshaking() {
            let bytes = pair.drain_peer();
            pair.receive(&bytes).expect("TLS");
            pair.deliver().expect("TLS");
        }
        assert_eq!(pair.ours.is_handshaking(), versions == TLS13);
        for part in [&b"CON"[..], b"NE", b"CT"] {
            pair.theirs.writer().write_all(part).expect("memory");
        }
        let bytes = pair.drain_peer();
        let (segment, late) = bytes.split_at(bytes.len() - 1);
        pair.receive(segment).expect("TLS");
        assert!(!pair.ours.is_handshaking());
        assert_eq!(&pair.received[..], b"CONNE");
        pair.receive(late).expect("TLS");
        assert_eq!(&pair.received[..], b"CONNECT");
        pair.talk(&mut || usize::MAX);
    }
}

#[test]
fn a_key_update_is_answered_with_the_next_record() {
    for mut pair in Pair::each() {
        if pair.version() == "1.2" {
            continue;
        }
        for cut in [1, 7, usize::MAX] {
            pair.theirs.refresh_traffic_keys().expect("TLS 1.3");
            pair.talk(&mut || cut);
            // The reply uses the old keys, everything after it the new ones.
            pair.talk(&mut || cut);
        }
    }
}

#[test]
fn writes_work_between_fragments_of_a_handshake_message() {
    // Tickets arrive in fragments after the handshake, so part of the kept input is already decrypted.
    let mut config = server_config(TLS13);
    config.max_fragment_size = Some(48);
    let mut pair = Pair::client_to(config);
    while pair.ours.is_handshaking() {
        pair.deliver().expect("TLS");
        let bytes = pair.drain_peer();
        pair.receive(&bytes).expect("TLS");
    }
    pair.deliver().expect("TLS");
    let tickets = pair.drain_peer();
    let first_record_bytes = 5 + u16::from_be_bytes([tickets[3], tickets[4]]);
    assert!(tickets.len() > 3 * usize::from(first_record_bytes), "tickets in fragments: {}", tickets.len());
    for byte in &tickets {
        pair.receive(&[*byte]).expect("TLS");
        pair.send(Outgoing::Data(b"x"));
    }
    pair.deliver().expect("TLS");
    assert_eq!(pair.peer_received, vec![b'x'; tickets.len()]);
    pair.talk(&mut || usize::MAX);
}

#[test]
fn an_endless_handshake_message_is_refused() {
    let mut pair = Pair::client_to(server_config(TLS13));
    // A ServerHello in records of one byte each: a 64 KiB message would take six times as much memory.
    let mut sent = 0;
    let error = [&[2, 0, 0xff, 0xff][..], &[0; 0xffff][..]].concat().iter().find_map(|&byte| {
        sent += 6;
        pair.receive(&[22, 3, 3, 0, 1, byte]).err()
    });
    assert!(matches!(error, Some(Error::InvalidMessage(_))), "{error:?}");
    assert!((64 * 1024..64 * 1024 + 6).contains(&sent), "{sent}");
    assert_eq!(pair.ours.partial_bytes(), 0);
}

#[test]
fn after_the_peers_close_notify_we_may_still_send() {
    for mut pair in Pair::each() {
        pair.theirs.writer().write_all(b"last").expect("memory");
        pair.theirs.send_close_notify();
        let mut bytes = pair.drain_peer();
        bytes.extend_from_slice(b"data after close_notify is ignored");
        pair.receive(&bytes).expect("TLS");
        assert_eq!(&pair.received[..], b"last");
        assert!(pair.ours.peer_closed());
        assert_eq!(pair.ours.owned_bytes(), 0);
        // The other direction is still open.
        pair.send(Outgoing::Data(b"still here"));
        pair.send(Outgoing::CloseNotify);
        pair.ours
            .encrypt(Outgoing::Data(b"no more"), &mut pair.buffer)
            .expect_err("both ends have sent close_notify");
        pair.deliver().expect("TLS");
        assert_eq!(pair.peer_received, b"still here");
        assert!(pair.theirs.process_new_packets().expect("TLS").peer_has_closed());
    }
}

#[test]
fn a_broken_record_ends_tls_with_an_alert() {
    for mut pair in Pair::each() {
        pair.theirs.writer().write_all(b"whole").expect("memory");
        let whole = pair.drain_peer();
        pair.theirs.writer().write_all(b"broken").expect("memory");
        let mut bytes = pair.drain_peer();
        *bytes.last_mut().expect("a record") ^= 1;
        let error = pair.receive(&[whole, bytes.clone()].concat()).expect_err("it is broken");
        assert_eq!(error, Error::DecryptError);
        assert_eq!(&pair.received[..], b"whole");
        let received = pair.deliver().expect_err("an alert");
        assert_eq!(received, Error::AlertReceived(AlertDescription::BadRecordMac));
        // After that nothing is encrypted or decrypted.
        assert_eq!(pair.receive(&bytes), Err(Error::DecryptError));
        let sealed = pair.ours.encrypt(Outgoing::Data(b"more"), &mut pair.buffer);
        assert_eq!((sealed, pair.ours.failure()), (Err(Error::DecryptError), Some(&Error::DecryptError)));
        assert_eq!((pair.ours.owned_bytes(), pair.ours.common().is_none()), (0, true));
    }
}

#[test]
fn an_alert_ends_tls() {
    for mut pair in Pair::each() {
        // The peer answers a damaged record with an alert.
        pair.send(Outgoing::Data(b"changed"));
        *pair.ours.unsent.last_mut().expect("a record") ^= 1;
        pair.deliver().expect_err("it is broken");
        let alert = pair.drain_peer();
        let error = pair.receive(&alert).expect_err("an alert");
        assert_eq!(error, Error::AlertReceived(AlertDescription::BadRecordMac));
        assert!(pair.ours.unsent.is_empty());
    }
}

#[test]
fn garbage_and_untrusted_certificates_cause_an_alert() {
    for mut pair in [Pair::client_to(server_config(TLS13)), Pair::server_to(client_config(TLS13))] {
        pair.ours.unsent.clear();
        let error = pair.receive(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect_err("not TLS");
        assert!(matches!(error, Error::InvalidMessage(_)), "{error:?}");
        // An unencrypted alert: fatal, decode_error.
        assert_eq!(&pair.ours.unsent[..], [21, 3, 3, 0, 2, 2, 50]);
    }

    let name = "another.example".try_into().expect("a name");
    let ours = Records::client(Arc::clone(&CONFIGS.client), name).expect("a client");
    let theirs = ServerConnection::new(Arc::new(server_config(TLS13))).expect("a server");
    let mut pair = Pair::new(ours, theirs.into());
    let error = pair.settle(&mut || usize::MAX).expect_err("not the name that was dialed");
    assert!(matches!(error, Error::InvalidCertificate(_)), "{error:?}");
    let received = pair.deliver().expect_err("an alert");
    assert!(matches!(received, Error::AlertReceived(_)), "{received:?}");
}
