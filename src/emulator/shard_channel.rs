//! The channels to the shards: one message queue per shard. Used by `accept`, `connection` and [`Hub`](super::Hub) to reach another thread.
//! Independent of how a shard handles a message.

use super::address::Address;
use super::unadmitted::Ticket;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// A message to a shard.
#[derive(Debug)]
pub(super) enum ShardMessage {
    /// Serve a new connection.
    Accepted { socket: TcpStream, peer: SocketAddr, ticket: Ticket },
    /// Close a connection that is not admitted yet, to make room for another one. Its ticket is already marked as closing.
    Close { connection: u64 },
    /// Close a connection because another one takes over its device, then drop `closed`. If the connection has already ended, drop `closed`
    /// immediately.
    TakeOver { connection: u64, closed: oneshot::Sender<()> },
    /// Wake a connection that has something to send.
    Wake { connection: u64 },
    /// Notify all connections that the faults of the hub have changed.
    Faults,
    /// Close all connections, each once it has sent its acknowledgments, and then stop.
    Drain,
    /// Drop all connections and stop.
    Stop,
}

/// The receiving end of a shard's channel.
pub(super) type Inbox = mpsc::UnboundedReceiver<ShardMessage>;

/// The channels to all shards.
#[derive(Clone, Debug)]
pub(super) struct ShardChannels(Arc<[mpsc::UnboundedSender<ShardMessage>]>);

impl ShardChannels {
    /// Returns the channels to `count` shards and their receiving ends.
    pub(super) fn new(count: usize) -> (ShardChannels, Vec<Inbox>) {
        let (senders, inboxes): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::unbounded_channel()).unzip();
        (ShardChannels(senders.into()), inboxes)
    }

    /// Returns the number of shards.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Sends a message, or drops it and returns false if the shard has ended. A shard that has ended has closed its connections.
    pub(super) fn send(&self, shard: usize, message: ShardMessage) -> bool {
        self.0.get(shard).is_some_and(|sender| sender.send(message).is_ok())
    }

    /// Wakes a connection that has something to send.
    pub(super) fn wake(&self, address: Address) {
        self.send(address.shard, ShardMessage::Wake { connection: address.connection });
    }

    /// Closes a connection that is not admitted yet.
    pub(super) fn close(&self, address: Address) {
        self.send(address.shard, ShardMessage::Close { connection: address.connection });
    }

    /// Notifies all connections that the faults of the hub have changed.
    pub(super) fn notify_faults(&self) {
        for shard in 0..self.len() {
            self.send(shard, ShardMessage::Faults);
        }
    }

    /// Lets all shards close their connections and stop.
    pub(super) fn drain(&self) {
        for shard in 0..self.len() {
            self.send(shard, ShardMessage::Drain);
        }
    }

    /// Stops all shards.
    pub(super) fn stop(&self) {
        for shard in 0..self.len() {
            self.send(shard, ShardMessage::Stop);
        }
    }
}
