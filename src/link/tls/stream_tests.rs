//! TLS on real sockets, poll by poll: memory, errors, and data that must not be lost. The peer is tokio-rustls, or rustls's
//! buffered connection.

use bytes::BytesMut;
use rustls::ClientConnection;
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::task::Poll;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::ClientOptions;
use super::failure::TlsFailure;
use super::stream::{CHUNK_BYTES, TlsStream};
use crate::link::testing::{connected, identity, listener, test_deadline};
use crate::link::{Transport, accept_tls};

/// The maximum overhead of a TLS record.
const RECORD_OVERHEAD_BYTES: usize = 256;

fn tls_stream(transport: Transport) -> TlsStream {
    match transport {
        Transport::Tls(stream) => *stream,
        other => panic!("not TLS: {other:?}"),
    }
}

async fn read(ours: &mut TlsStream) -> io::Result<Vec<u8>> {
    let mut plaintext = BytesMut::new();
    let n = poll_fn(|cx| ours.poll_read(cx, &mut plaintext)).await?;
    assert_eq!(n, plaintext.len());
    Ok(plaintext.to_vec())
}

#[tokio::test]
async fn a_slow_reader_causes_back_pressure_after_a_chunk() {
    let (ours, mut theirs) = connected().await;
    let mut ours = tls_stream(ours);
    let chunk = vec![b'x'; 3 * CHUNK_BYTES];
    let mut taken = 0;
    while let Poll::Ready(n) = poll_fn(|cx| Poll::Ready(ours.poll_write(cx, &chunk))).await {
        let n = n.expect("a connection");
        assert!(n <= CHUNK_BYTES, "{n}");
        taken += n;
        assert!(ours.owned_bytes() <= CHUNK_BYTES + RECORD_OVERHEAD_BYTES, "{}", ours.owned_bytes());
        // Lets tokio update the socket's readiness.
        tokio::task::yield_now().await;
    }
    assert!(ours.owned_bytes() > 0);
    let close = async {
        poll_fn(|cx| ours.poll_flush(cx)).await.expect("the peer reads now");
        assert_eq!(ours.owned_bytes(), 0);
        poll_fn(|cx| ours.poll_shutdown(cx)).await.expect("the peer reads now");
    };
    let mut received = Vec::new();
    let ((), read) = tokio::join!(close, theirs.read_to_end(&mut received));
    read.expect("a clean end");
    assert!(received.len() == taken && received.iter().all(|&byte| byte == b'x'));
}

#[tokio::test]
async fn an_idle_connection_owns_no_memory() {
    let (ours, mut theirs) = connected().await;
    let mut ours = tls_stream(ours);
    assert_eq!(ours.owned_bytes(), 0);
    for size in [1, 300, 100_000] {
        let (mut received, sent) = (Vec::new(), vec![b'x'; size]);
        let send = async {
            theirs.write_all(&sent).await.expect("it reads");
            theirs.flush().await.expect("it reads");
        };
        let receive_all = async {
            while received.len() < size {
                received.extend(read(&mut ours).await.expect("a record"));
            }
        };
        tokio::join!(send, receive_all);
        assert_eq!((received == sent, ours.owned_bytes()), (true, 0));
    }
}

#[tokio::test]
async fn data_before_an_error_is_delivered_and_the_error_stays() {
    let (ours, theirs) = connected().await;
    let mut ours = tls_stream(ours);
    let (mut socket, mut tls) = theirs.into_inner();
    let mut bytes = Vec::new();
    tls.writer().write_all(b"whole").expect("memory");
    tls.write_tls(&mut bytes).expect("memory");
    bytes.extend_from_slice(b"this is no TLS record");
    socket.write_all(&bytes).await.expect("it reads");
    assert_eq!(read(&mut ours).await.expect("a record"), b"whole");
    for _ in 0..2 {
        let error = read(&mut ours).await.expect_err("garbage");
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.get_ref().is_some_and(|inner| inner.is::<TlsFailure>()));
    }
    let error = poll_fn(|cx| ours.poll_write(cx, b"more")).await.expect_err("TLS has failed");
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    drop(ours);
    // The peer received an alert.
    let alert = loop {
        receive(&mut socket, |from| tls.read_tls(from)).await;
        match tls.process_new_packets() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(alert, rustls::Error::AlertReceived(rustls::AlertDescription::DecodeError));
}

/// Reads once and passes the data to `take`.
async fn receive(socket: &mut TcpStream, take: impl FnOnce(&mut dyn Read) -> io::Result<usize>) {
    let mut bytes = vec![0; CHUNK_BYTES];
    let n = socket.read(&mut bytes).await.expect("it is open");
    assert!(n > 0, "it was closed");
    take(&mut &bytes[..n]).expect("memory");
}

#[tokio::test]
async fn data_with_the_handshakes_end_needs_no_further_wake() {
    let identity = identity(&["hub.example"]);
    let (listener, address) = listener();
    let trusted = ClientOptions { roots_pem: Some(identity.pem.clone()), ..ClientOptions::default() };
    let config = super::client(&trusted).expect("options are valid");
    let client = async {
        let mut socket = TcpStream::connect(address).await.expect("it listens");
        let name = "hub.example".try_into().expect("a name");
        let mut tls = ClientConnection::new(config, name).expect("a client");
        loop {
            let mut bytes = Vec::new();
            let done = !tls.is_handshaking();
            if done {
                tls.writer().write_all(b"CONNECT").expect("memory");
                tls.send_close_notify();
            }
            while tls.wants_write() {
                tls.write_tls(&mut bytes).expect("memory");
            }
            socket.write_all(&bytes).await.expect("it reads");
            if done {
                return socket;
            }
            receive(&mut socket, |from| tls.read_tls(from)).await;
            tls.process_new_packets().expect("TLS");
        }
    };
    let server = async {
        let (socket, _) = listener.accept().await.expect("a client connects");
        accept_tls(socket, &identity.server(), test_deadline()).await.expect("a handshake")
    };
    let (_socket, transport) = tokio::join!(client, server);
    let mut ours = tls_stream(transport);
    assert_eq!(read(&mut ours).await.expect("data"), b"CONNECT");
    assert_eq!(read(&mut ours).await.expect("close_notify"), b"");
    assert_eq!(ours.owned_bytes(), 0);
}
