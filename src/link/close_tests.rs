//! A reset and an end of stream each have one class, in every step of a dial and on an open connection, whichever system
//! call reports them.

use super::testing::{self, dial, listener, run_to_close, test_deadline};
use super::tls::ClientOptions;
use super::{Buffers, Culprit, Deadlines, DialError, Dialed, Endpoint, Link, Step, Transport, listen};
use crate::sansio::{Close, Closed, Machine};
use bytes::BytesMut;
use socket2::SockRef;
use std::future::poll_fn;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

fn endpoint(address: SocketAddr, tls: bool) -> Endpoint {
    let unverified = ClientOptions { verify: false, ..ClientOptions::default() };
    let host = address.ip().to_string();
    match tls {
        true => testing::endpoint(&host, address.port(), &unverified),
        false => Endpoint { host, port: address.port(), ..Endpoint::default() },
    }
}

/// A listener for peers that act without waiting for the runtime.
fn blocking_listener() -> TcpListener {
    let listener = listen::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    listener.set_nonblocking(false).expect("a socket");
    listener
}

/// How the peer ends a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    Reset,
    Fin,
    /// An end of stream, then a reset.
    FinAndReset,
}

impl Ending {
    const ALL: [Ending; 3] = [Ending::Reset, Ending::Fin, Ending::FinAndReset];

    fn perform(self, socket: TcpStream) {
        if self == Ending::FinAndReset {
            socket.shutdown(Shutdown::Write).expect("it is connected");
        }
        if self != Ending::Fin {
            SockRef::from(&socket).set_linger(Some(Duration::ZERO)).expect("a socket");
        }
    }

    fn class(self) -> (&'static str, Culprit) {
        match self {
            Ending::Reset => ("reset", Culprit::Network),
            Ending::Fin | Ending::FinAndReset => ("closed_by_peer", Culprit::Target),
        }
    }

    fn closed(self) -> Closed {
        if self == Ending::Reset { Closed::Reset } else { Closed::Eof }
    }
}

/// Dials a peer that ends the connection before this side polls it.
async fn dial_ended(tls: bool, ending: Ending) -> Result<Dialed, DialError> {
    let listener = blocking_listener();
    let endpoint = endpoint(listener.local_addr().expect("bound"), tls);
    let mut dialing = pin!(dial(&endpoint, 0, test_deadline()));
    poll_fn(|cx| {
        assert!(dialing.as_mut().poll(cx).is_pending(), "the runtime has not seen the connection yet");
        Poll::Ready(())
    })
    .await;
    ending.perform(listener.accept().expect("it is connecting").0);
    dialing.await
}

#[tokio::test]
async fn a_close_before_the_dial_returns_is_not_a_refusal() {
    for (tls, step) in [(false, Step::AfterTcp), (true, Step::Tls)] {
        for ending in [Ending::Reset, Ending::FinAndReset] {
            let error = dial_ended(tls, ending).await.expect_err("the connection ended");
            assert_eq!((error.class, error.culprit()), ending.class(), "{tls} {ending:?}: {error}");
            assert_eq!((error.step, error.is_refused()), (step, false), "{tls} {ending:?}");
            assert!(error.steps.tcp.is_some() && error.steps.tls.is_none(), "the TCP handshake was finished");
        }
    }
}

/// The peer runs on its own thread and resets each connection as soon as it accepts it.
#[tokio::test]
async fn an_immediate_reset_always_has_the_same_class() {
    for tls in [false, true] {
        let listener = blocking_listener();
        let endpoint = endpoint(listener.local_addr().expect("bound"), tls);
        let peer = std::thread::spawn(move || {
            for _ in 0..100 {
                Ending::Reset.perform(listener.accept().expect("a client connects").0);
            }
        });
        for _ in 0..100 {
            match dial(&endpoint, 0, test_deadline()).await {
                Ok(dialed) => {
                    assert_eq!((tls, drive(dialed.transport, Talk::default()).await), (false, Closed::Reset))
                }
                Err(error) => assert_eq!((error.class, error.culprit()), Ending::Reset.class(), "{error}"),
            }
        }
        peer.join().expect("the peer does not panic");
    }
}

/// A machine that writes. Its peer may end the connection between the first read and the first write.
#[derive(Default)]
struct Talk {
    peer: Option<(TcpStream, Ending)>,
    writes: usize,
    closed: Vec<Closed>,
}

impl Machine for Talk {
    type Error = std::convert::Infallible;
    fn handle_input(&mut self, _: Instant, input: &mut BytesMut) -> Result<(), Self::Error> {
        input.clear();
        Ok(())
    }
    fn handle_timeout(&mut self, _: Instant) -> Result<(), Self::Error> {
        Ok(())
    }
    fn handle_flushed(&mut self, _: Instant) {}
    fn handle_closed(&mut self, _: Instant, why: Closed) {
        self.closed.push(why);
    }
    fn poll_output(&mut self, _: Instant, out: &mut BytesMut) {
        if let Some((socket, ending)) = self.peer.take() {
            ending.perform(socket);
        }
        if self.writes < 3 && out.is_empty() {
            self.writes += 1;
            out.extend_from_slice(b"x");
        }
    }
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

async fn drive(transport: Transport, mut machine: Talk) -> Closed {
    let mut link = Link::new(transport, Buffers::shared(), &Deadlines::new());
    let why = run_to_close(&mut link, &mut machine).await;
    assert_eq!(machine.closed, [why]);
    why
}

#[tokio::test]
async fn reads_and_writes_report_the_same_end() {
    for ending in Ending::ALL {
        for at_write in [false, true] {
            let (listener, address) = listener();
            let endpoint = endpoint(address, false);
            let (dialed, accepted) = tokio::join!(dial(&endpoint, 0, test_deadline()), listener.accept());
            let transport = dialed.expect("it listens").transport;
            let peer = accepted.expect("a client connected").0.into_std().expect("a socket");
            let peer = if at_write {
                Some((peer, ending))
            } else {
                ending.perform(peer);
                None
            };
            let why = drive(transport, Talk { peer, ..Talk::default() }).await;
            assert_eq!(why, ending.closed(), "{ending:?}, before a write: {at_write}");
        }
    }
}
