//! A TCP proxy that can freeze: both directions stand still, no connection breaks, nothing is lost.

use super::PATIENCE;
use super::address::listen;
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    frozen_until: Option<Instant>,
    /// Something from a client has met a freeze.
    holds: bool,
    /// Bytes from clients that went on to the server.
    upstream_bytes: u64,
    stopped: bool,
    streams: Vec<TcpStream>,
}

impl Proxy {
    /// Listens on `address`, on a port that the kernel picks, and forwards to `upstream`.
    pub fn start(address: IpAddr, upstream: SocketAddr) -> Proxy {
        let listener = listen(address);
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.lock().stopped {
                    return;
                }
                let Ok(server) = TcpStream::connect(upstream) else { return };
                accepting.forward(&client, &server, true);
                accepting.forward(&server, &client, false);
            }
        });
        Proxy { address, shared }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Waits until clients have sent that much in all.
    pub fn wait_for_upstream_bytes(&self, bytes: u64) {
        let state = self.shared.lock();
        let wait =
            self.shared.changed.wait_timeout_while(state, PATIENCE, |state| state.upstream_bytes < bytes);
        let (state, timeout) = wait.expect("no thread panics with the lock");
        assert!(!timeout.timed_out(), "only {} of {bytes} bytes came", state.upstream_bytes);
    }

    /// Waits until a client has sent something that does not pass, because of a freeze.
    pub fn wait_until_it_holds(&self) {
        let state = self.shared.lock();
        let (_state, timeout) = self
            .shared
            .changed
            .wait_timeout_while(state, PATIENCE, |state| !state.holds)
            .expect("no thread panics with the lock");
        assert!(!timeout.timed_out(), "nobody sends anything");
    }

    /// From now on for `duration`, nothing passes in either direction. Returns at once.
    pub fn freeze_for(&self, duration: Duration) {
        self.shared.lock().frozen_until = Some(now() + duration);
    }

    /// Ends a freeze before its time.
    pub fn thaw(&self) {
        self.shared.lock().frozen_until = None;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the lock")
    }

    fn forward(self: &Arc<Shared>, from: &TcpStream, to: &TcpStream, upstream: bool) {
        let clone = |stream: &TcpStream| stream.try_clone().expect("descriptors are left");
        let (mut from, mut to) = (clone(from), clone(to));
        to.set_nodelay(true).expect("a TCP socket");
        let shared = Arc::clone(self);
        shared.lock().streams.push(clone(&from));
        thread::spawn(move || {
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(length @ 1..) = from.read(&mut buffer) {
                shared.wait_for_thaw(upstream);
                if to.write_all(&buffer[..length]).is_err() {
                    break;
                }
                if upstream {
                    shared.lock().upstream_bytes += length as u64;
                    shared.changed.notify_all();
                }
            }
            // Either may be gone already.
            let _ = to.shutdown(Shutdown::Write);
        });
    }

    fn wait_for_thaw(&self, upstream: bool) {
        let mut state = self.lock();
        while let Some(left) = state.frozen_until.and_then(|until| until.checked_duration_since(now())) {
            if state.stopped {
                return;
            }
            if upstream && !state.holds {
                state.holds = true;
                self.changed.notify_all();
            }
            state = self.changed.wait_timeout(state, left).expect("no thread panics with the lock").0;
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
        // Wakes the accepting thread, which then sees that it is over.
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
