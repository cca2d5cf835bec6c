//! Accepts connections and passes them to the shards in turn, as long as there are enough file descriptors and enough memory. The memory
//! for connections that are not admitted yet is limited. Used by `server`, on the thread that serves the hub. This module never
//! reads from a connection.

use super::error::{EmulatorError, descriptor_limit};
use super::hub::Hub;
use super::notice::{Notice, Shortage};
use super::shard_channel::{ShardChannels, ShardMessage};
use crate::clock;
use nix::errno::Errno;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::pin::pin;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// How long to pause accepting when there is no room for another connection.
const PAUSE: Duration = Duration::from_millis(50);

/// The minimum time between two notices about the same shortage.
const NOTICE_INTERVAL: Duration = Duration::from_secs(60);

pub(super) struct Acceptor<'a> {
    hub: &'a Hub,
    channels: &'a ShardChannels,
    /// The shard that gets the next connection.
    shard: usize,
    /// True if the last `accept` failed for lack of a system resource.
    lacks_resource: bool,
    /// Times of the last notices about memory and about descriptors.
    last_notices: [Option<Instant>; 2],
}

impl<'a> Acceptor<'a> {
    pub(super) fn new(hub: &'a Hub, channels: &'a ShardChannels) -> Acceptor<'a> {
        Acceptor { hub, channels, shard: 0, lacks_resource: false, last_notices: [None; 2] }
    }

    /// Accepts connections until `stop` resolves.
    ///
    /// # Errors
    /// A shard ended unexpectedly.
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
                    self.lacks_resource = false;
                    continue;
                }
                () = tokio::time::sleep(PAUSE), if !room => {
                    self.lacks_resource = false;
                    continue;
                }
            };
            match accepted {
                Ok((socket, peer)) => self.hand_over(socket, peer)?,
                Err(error) => self.handle_error(&error),
            }
        }
    }

    /// Closes an idle connection if there is no room. Returns true if there is room.
    fn make_room(&mut self) -> bool {
        let unadmitted = self.hub.unadmitted();
        if !self.lacks_resource && !unadmitted.is_full() {
            return true;
        }
        if let Some(closed) = unadmitted.close_idle() {
            self.hub.close(closed);
            if !self.lacks_resource {
                self.notify(Shortage::Memory);
            }
        }
        // The descriptor becomes free only once the shard has closed the connection.
        !self.lacks_resource && !unadmitted.is_full()
    }

    fn hand_over(&mut self, socket: TcpStream, peer: SocketAddr) -> Result<(), EmulatorError> {
        let shard = self.shard;
        self.shard = (shard + 1) % self.channels.len().max(1);
        let ticket = self.hub.unadmitted().enter(shard);
        let sent = self.channels.send(shard, ShardMessage::Accepted { socket, peer, ticket });
        sent.then_some(()).ok_or(EmulatorError::ShardEnded)
    }

    /// Handles an error from `accept`. After ECONNABORTED, which means that the peer gave up while its connection was queued, accepting
    /// continues immediately. After any other error it pauses, because the error may be temporary.
    fn handle_error(&mut self, error: &io::Error) {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ECONNABORTED) => {}
            Some(Errno::EMFILE) => {
                self.lacks_resource = true;
                self.notify(Shortage::Descriptors(descriptor_limit()));
            }
            Some(Errno::ENFILE) => {
                self.lacks_resource = true;
                self.notify(Shortage::SystemDescriptors);
            }
            _ => self.lacks_resource = true,
        }
    }

    fn notify(&mut self, shortage: Shortage) {
        let now = clock::now();
        let last = match shortage {
            Shortage::Memory => &mut self.last_notices[0],
            Shortage::Descriptors(_) | Shortage::SystemDescriptors => &mut self.last_notices[1],
        };
        if last.is_none_or(|last| now >= last + NOTICE_INTERVAL) {
            *last = Some(now);
            self.hub.notify(|| Notice::Shortage(shortage));
        }
    }
}
