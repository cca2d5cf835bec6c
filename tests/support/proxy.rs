//! A TCP proxy that can freeze both directions without breaking connections or losing data. It can also delay answers, reset its
//! connections, and record their bytes and times.

use super::TEST_TIMEOUT;
use super::address::listen;
use socket2::SockRef;
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    frozen_until: Option<Instant>,
    /// Data from the server is held back.
    answers_held: bool,
    /// Delay of all data from the server.
    answer_delay: Duration,
    /// A freeze holds back data from a client.
    holds: bool,
    /// Number of bytes that were forwarded from clients to the server.
    upstream_bytes: u64,
    stopped: bool,
    streams: Vec<TcpStream>,
    /// Number of resets of all open connections.
    resets: u64,
    /// Every connection so far, in the order of arrival, if the proxy records.
    recorded: Option<Vec<Recorded>>,
    /// When each client connected, with or without a server.
    accepted: Vec<Instant>,
}

/// The bytes that a connection carried through the proxy, and when.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    pub from_client: Vec<u8>,
    pub from_server: Vec<u8>,
    /// Before the client received the first bytes of the server.
    pub answered: Option<Instant>,
    /// When the client sent its next bytes.
    pub confirmed: Option<Instant>,
    /// Before the client saw that the server had ended the connection.
    pub ended: Option<Instant>,
}

/// One direction of a connection.
struct Pipe {
    from: TcpStream,
    to: TcpStream,
    upstream: bool,
    /// Index of the connection in the record.
    number: usize,
    /// Number of resets before the connection.
    resets: u64,
}

impl Proxy {
    /// Starts a proxy on a free port of `address` that forwards to `upstream`.
    pub fn start(address: IpAddr, upstream: SocketAddr) -> Proxy {
        Proxy::launch(address, upstream, State::default())
    }

    /// Like [`Proxy::start`], and records the forwarded bytes.
    pub fn recording(address: IpAddr, upstream: SocketAddr) -> Proxy {
        Proxy::launch(address, upstream, State { recorded: Some(Vec::new()), ..State::default() })
    }

    fn launch(address: IpAddr, upstream: SocketAddr, state: State) -> Proxy {
        let listener = listen(address);
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let mut state = accepting.lock();
                if state.stopped {
                    return;
                }
                state.accepted.push(now());
                drop(state);
                // Without a server, the client's connection closes.
                if let Ok(server) = TcpStream::connect(upstream) {
                    accepting.connect(&client, &server);
                }
            }
        });
        Proxy { address, shared }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the proxy has forwarded this number of bytes from clients.
    pub fn wait_for_upstream_bytes(&self, bytes: u64) {
        let state = self.shared.lock();
        let wait =
            self.shared.changed.wait_timeout_while(state, TEST_TIMEOUT, |state| state.upstream_bytes < bytes);
        let (state, timeout) = wait.expect("no thread panics with the lock");
        assert!(!timeout.timed_out(), "only {} of {bytes} bytes arrived", state.upstream_bytes);
    }

    /// Waits until a freeze holds back data from a client.
    pub fn wait_until_it_holds(&self) {
        let state = self.shared.lock();
        let (_state, timeout) = self
            .shared
            .changed
            .wait_timeout_while(state, TEST_TIMEOUT, |state| !state.holds)
            .expect("no thread panics with the lock");
        assert!(!timeout.timed_out(), "no client sends data");
    }

    /// Freezes both directions for `duration`. Returns at once.
    pub fn freeze_for(&self, duration: Duration) {
        self.shared.lock().frozen_until = Some(now() + duration);
    }

    /// Holds back data from the server from now on.
    pub fn hold_answers(&self) {
        self.shared.lock().answers_held = true;
    }

    /// Delays data from the server by `delay` from now on.
    pub fn delay_answers(&self, delay: Duration) {
        self.shared.lock().answer_delay = delay;
    }

    /// Resets every open connection on both sides (RST). Data that was held back is lost. Later connections are forwarded. Returns the number
    /// of reset connections.
    pub fn reset(&self) -> usize {
        let mut state = self.shared.lock();
        let streams = std::mem::take(&mut state.streams);
        let open = streams.iter().filter(|stream| stream.peer_addr().is_ok()).count();
        for stream in &streams {
            // The last close of a socket with zero linger sends RST. The shutdown wakes its readers, which close it.
            SockRef::from(stream).set_linger(Some(Duration::ZERO)).expect("it is a TCP socket");
            drop(stream.shutdown(Shutdown::Read));
        }
        state.resets += 1;
        (state.frozen_until, state.holds, state.answers_held) = (None, false, false);
        drop(state);
        self.shared.changed.notify_all();
        open / 2
    }

    /// Returns the bytes of the connections, in the order of arrival.
    pub fn recorded(&self) -> Vec<Recorded> {
        self.shared.lock().recorded.clone().expect("it records")
    }

    /// Returns when each client connected, with or without a server, in the order of arrival.
    pub fn accepted(&self) -> Vec<Instant> {
        self.shared.lock().accepted.clone()
    }

    /// Ends a freeze early.
    pub fn thaw(&self) {
        self.shared.lock().frozen_until = None;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the lock")
    }

    fn connect(self: &Arc<Shared>, client: &TcpStream, server: &TcpStream) {
        let clone = |stream: &TcpStream| stream.try_clone().expect("descriptors are left");
        let mut state = self.lock();
        state.streams.extend([clone(client), clone(server)]);
        let number = state.recorded.as_mut().map_or(0, |recorded| {
            recorded.push(Recorded::default());
            recorded.len() - 1
        });
        let resets = state.resets;
        for (from, to, upstream) in [(client, server, true), (server, client, false)] {
            to.set_nodelay(true).expect("a TCP socket");
            let pipe = Pipe { from: clone(from), to: clone(to), upstream, number, resets };
            let shared = Arc::clone(self);
            thread::spawn(move || shared.forward(pipe));
        }
    }

    fn forward(&self, mut pipe: Pipe) {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = pipe.from.read(&mut buffer) {
            self.wait_for_thaw(pipe.upstream);
            let bytes = &buffer[..length];
            self.lock().time(&pipe);
            if self.lock().resets > pipe.resets || pipe.to.write_all(bytes).is_err() {
                break;
            }
            self.lock().count(&pipe, bytes);
            self.changed.notify_all();
        }
        self.lock().end(&pipe);
        if self.lock().resets == pipe.resets {
            // Both ends may have closed already.
            let _ = pipe.to.shutdown(Shutdown::Write);
        }
    }

    fn wait_for_thaw(&self, upstream: bool) {
        let mut state = self.lock();
        let resets = state.resets;
        let delayed_until = (!upstream).then(|| now() + state.answer_delay);
        while !state.stopped && state.resets == resets {
            if state.answers_held && !upstream {
                state = self.changed.wait(state).expect("no thread panics with the lock");
                continue;
            }
            let until = state.frozen_until.max(delayed_until);
            let left = until.and_then(|until| until.checked_duration_since(now()));
            let Some(left) = left else { return };
            if upstream && !state.holds {
                state.holds = true;
                self.changed.notify_all();
            }
            state = self.changed.wait_timeout(state, left).expect("no thread panics with the lock").0;
        }
    }
}

impl State {
    /// Records the time of bytes before they are forwarded.
    fn time(&mut self, pipe: &Pipe) {
        let Some(recorded) = &mut self.recorded else { return };
        let connection = &mut recorded[pipe.number];
        if !pipe.upstream {
            connection.answered.get_or_insert_with(now);
        } else if connection.answered.is_some() {
            connection.confirmed.get_or_insert_with(now);
        }
    }

    fn end(&mut self, pipe: &Pipe) {
        if let Some(recorded) = self.recorded.as_mut().filter(|_| !pipe.upstream) {
            recorded[pipe.number].ended.get_or_insert_with(now);
        }
    }

    fn count(&mut self, pipe: &Pipe, bytes: &[u8]) {
        if pipe.upstream {
            self.upstream_bytes += bytes.len() as u64;
        }
        if let Some(recorded) = &mut self.recorded {
            let Recorded { from_client, from_server, .. } = &mut recorded[pipe.number];
            if pipe.upstream { from_client } else { from_server }.extend_from_slice(bytes);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.stopped = true;
        state.streams.drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        drop(state);
        self.shared.changed.notify_all();
        // Wakes the accepting thread, so that it ends.
        drop(TcpStream::connect(self.address));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a freeze lasts in real time: the program under test is another process"
)]
fn now() -> Instant {
    Instant::now()
}
