//! Accepts connections and passes them to the shards in turn, as far as memory for connections that are not admitted yet and file
//! descriptors allow. Used by `server`, on the thread that serves the hub.

use super::notice::{Notice, Shortage};
use super::server::{EmulatorError, Hub, Message};
use crate::clock;
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::pin::pin;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// How long accepting pauses when there is no room.
const PAUSE: Duration = Duration::from_millis(50);

/// The least time between two notices about the same shortage.
const NOTICE_INTERVAL: Duration = Duration::from_secs(60);

pub(super) struct Acceptor<'a> {
    hub: &'a Hub,
    senders: &'a [mpsc::UnboundedSender<Message>],
    /// The shard that gets the next connection.
    shard: usize,
    /// The last `accept` failed for lack of a system resource.
    lacking: bool,
    told: [Option<Instant>; 2],
}

impl<'a> Acceptor<'a> {
    pub(super) fn new(hub: &'a Hub, senders: &'a [mpsc::UnboundedSender<Message>]) -> Acceptor<'a> {
        Acceptor { hub, senders, shard: 0, lacking: false, told: [None; 2] }
    }

    /// Accepts until `stop` resolves.
    ///
    /// # Errors
    /// A shard died.
    pub(super) async fn run(
        mut self,
        listener: &TcpListener,
        stop: impl Future<Output = ()>,
    ) -> Result<(), EmulatorError> {
        let mut stop = pin!(stop);
        loop {
            let room = self.make_room();
            let accepted = tokio::select! {
                () = &mut stop => return Ok(()),
                accepted = listener.accept(), if room => accepted.and_then(|(socket, peer)| Ok((socket.into_std()?, peer))),
                () = self.hub.unadmitted().freed(), if !room => {
                    self.lacking = false;
                    continue;
                }
                () = tokio::time::sleep(PAUSE), if !room => {
                    self.lacking = false;
                    continue;
                }
            };
            match accepted {
                Ok((socket, peer)) => self.hand_over(socket, peer)?,
                Err(error) => self.failed(&error),
            }
        }
    }

    /// If there is no room, closes an idle connection. Returns true if there is room.
    fn make_room(&mut self) -> bool {
        let unadmitted = self.hub.unadmitted();
        if !self.lacking && !unadmitted.is_full() {
            return true;
        }
        if let Some(closed) = unadmitted.close_idle() {
            self.hub.close(closed);
            if !self.lacking {
                self.tell(Shortage::Memory);
            }
        }
        // The descriptor is free only once the shard has closed the connection.
        !self.lacking && !unadmitted.is_full()
    }

    fn hand_over(&mut self, socket: TcpStream, peer: SocketAddr) -> Result<(), EmulatorError> {
        let shard = self.shard;
        self.shard = (shard + 1) % self.senders.len().max(1);
        let ticket = self.hub.unadmitted().enter(shard);
        let sender = self.senders.get(shard).ok_or(EmulatorError::Died)?;
        sender.send(Message::Accepted { socket, peer, ticket }).map_err(|_| EmulatorError::Died)
    }

    /// ECONNABORTED means that the peer gave up in the queue: accepting goes on at once. After other errors it pauses, because they
    /// may pass.
    fn failed(&mut self, error: &io::Error) {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ECONNABORTED) => {}
            Some(Errno::EMFILE) => {
                self.lacking = true;
                self.tell(Shortage::Descriptors(
                    getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft),
                ));
            }
            Some(Errno::ENFILE) => {
                self.lacking = true;
                self.tell(Shortage::SystemDescriptors);
            }
            _ => self.lacking = true,
        }
    }

    fn tell(&mut self, shortage: Shortage) {
        let now = clock::now();
        let told = match shortage {
            Shortage::Memory => &mut self.told[0],
            Shortage::Descriptors(_) | Shortage::SystemDescriptors => &mut self.told[1],
        };
        if told.is_none_or(|told| now >= told + NOTICE_INTERVAL) {
            *told = Some(now);
            self.hub.tell(|| Notice::Short(shortage));
        }
    }
}
