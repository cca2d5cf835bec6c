//! One shard as its connections see it: buffers, deadlines, counters and the mailboxes of all connections on the thread. `server` creates
//! it and runs its loop; `connection` uses it. Independent of how a connection is served.

use super::address::Address;
use super::counts::Counters;
use super::directory::Directory;
use super::health::{Health, Pulse};
use super::hub::Hub;
use super::mailbox::Mailbox;
use super::notice::Notice;
use super::shard_channel::{ShardChannels, ShardMessage};
use super::unadmitted::Ticket;
use crate::link::{Buffers, Deadlines, Idle, SharedBuffers};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::sync::oneshot;

/// A shard: one thread that serves its own connections.
pub(super) struct Shard {
    index: usize,
    pub(super) buffers: SharedBuffers,
    pub(super) deadlines: Rc<Deadlines>,
    hub: Arc<Hub>,
    tls: Arc<rustls::ServerConfig>,
    channels: ShardChannels,
    mailboxes: RefCell<HashMap<u64, Rc<Mailbox>>>,
    /// True if the hub is stopping.
    is_draining: Cell<bool>,
    pub(super) pulse: Pulse,
}

impl Shard {
    pub(super) fn new(
        index: usize,
        hub: Arc<Hub>,
        tls: Arc<rustls::ServerConfig>,
        channels: ShardChannels,
        idle: Arc<Idle>,
    ) -> Shard {
        let (buffers, deadlines) = (Buffers::shared(), Deadlines::precise());
        let (mailboxes, is_draining) = (RefCell::default(), Cell::default());
        let pulse = Pulse::new(idle);
        Shard { index, buffers, deadlines, hub, tls, channels, mailboxes, is_draining, pulse }
    }

    pub(super) fn directory(&self) -> &Arc<Directory> {
        self.hub.directory()
    }

    /// Returns the TLS configuration for a connection that was accepted at `now`. Faults that change the certificate alternate between two.
    pub(super) fn tls(&self, now: Instant) -> &Arc<rustls::ServerConfig> {
        let directory = self.directory();
        match &directory.config().second_tls {
            Some(second) if directory.faults().certificate_changes(now) % 2 == 1 => second,
            _ => &self.tls,
        }
    }

    pub(super) fn counters(&self) -> &Counters {
        self.hub.counters(self.index)
    }

    pub(super) fn health(&self) -> &Health {
        self.hub.shard_health(self.index)
    }

    pub(super) fn notify(&self, notice: impl FnOnce() -> Notice) {
        self.hub.notify(notice);
    }

    /// Updates the silence and age counters of the shard's connections that are not admitted.
    pub(super) fn sweep_unadmitted(&self) {
        self.hub.unadmitted().sweep(self.index);
    }

    /// Returns ready when a connection that is not admitted may grow by `bytes`. Other connections may have to close to make room.
    pub(super) fn poll_room(&self, cx: &Context<'_>, ticket: &Ticket, bytes: usize) -> Poll<()> {
        ticket.poll_room(cx, bytes, |closed| self.hub.close(closed))
    }

    /// Records the size of the buffers of a connection that is not admitted, and whether it has received anything.
    pub(super) fn hold(&self, ticket: &Ticket, received: bool, buffers_bytes: usize) {
        ticket.hold(received, buffers_bytes, |closed| self.hub.close(closed));
    }

    /// Closes `previous`, a connection on any shard, because a new connection takes over its device. `closed` is dropped once
    /// `previous` is closed.
    pub(super) fn request_takeover(&self, previous: Address, closed: oneshot::Sender<()>) {
        let message = ShardMessage::TakeOver { connection: previous.connection, closed };
        self.channels.send(previous.shard, message);
    }

    /// Returns the mailbox of an open connection.
    pub(super) fn mailbox(&self, connection: u64) -> Option<Rc<Mailbox>> {
        self.mailboxes.borrow().get(&connection).cloned()
    }

    /// Notifies all connections that the faults of the hub have changed.
    pub(super) fn notify_faults(&self) {
        self.mailboxes.borrow().values().for_each(|mailbox| mailbox.notify_faults());
    }

    pub(super) fn open_mailbox(&self, connection: u64) -> Rc<Mailbox> {
        let mailbox = Rc::<Mailbox>::default();
        self.mailboxes.borrow_mut().insert(connection, Rc::clone(&mailbox));
        if self.is_draining.get() {
            mailbox.drain();
        }
        mailbox
    }

    /// Closes all connections, each once it has sent its acknowledgments. A connection whose task has not begun yet closes when it begins.
    pub(super) fn drain(&self) {
        self.is_draining.set(true);
        self.mailboxes.borrow().values().for_each(|mailbox| mailbox.drain());
    }

    pub(super) fn close_mailbox(&self, connection: u64) {
        self.mailboxes.borrow_mut().remove(&connection);
    }
}
