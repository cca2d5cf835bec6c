//! The mailbox through which a shard notifies one of its connections: the shard leaves a note and wakes the connection's task. Filled by
//! `server` and read by `connection`, both on the shard's thread.

use super::session::HubSession;
use super::unadmitted::Ticket;
use crate::clock;
use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};
use tokio::sync::oneshot;

/// The mailbox of a connection.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    /// Set when another connection takes over. Dropped when this connection is closed.
    takeover: RefCell<Option<oneshot::Sender<()>>>,
    /// True if there is something to send to the device.
    has_outbound: Cell<bool>,
    /// True if the faults of the hub have changed.
    has_faults: Cell<bool>,
    /// True if the hub is stopping.
    is_draining: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Mailbox {
    /// Closes the connection because another one takes over. `closed` is dropped when this connection is closed.
    pub(super) fn take_over(&self, closed: oneshot::Sender<()>) {
        self.takeover.replace(Some(closed));
        self.wake();
    }

    /// Notes that there is something to send to the device.
    pub(super) fn notify_outbound(&self) {
        self.has_outbound.set(true);
        self.wake();
    }

    /// Notes that the faults of the hub have changed.
    pub(super) fn notify_faults(&self) {
        self.has_faults.set(true);
        self.wake();
    }

    /// Closes the connection because the hub is stopping, once it has sent its acknowledgments.
    pub(super) fn drain(&self) {
        self.is_draining.set(true);
        self.wake();
    }

    /// Wakes the connection's task.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Returns ready when a connection that is not admitted must close: to make room for another one, or because the hub is stopping.
    pub(super) fn poll_closing(&self, cx: &Context<'_>, ticket: &Ticket) -> Poll<()> {
        if ticket.is_closing() || self.is_draining.get() {
            return Poll::Ready(());
        }
        self.register(cx);
        Poll::Pending
    }

    /// Passes the notes to the session. The next note wakes `cx`. Returns true if the session closes now because of a takeover.
    pub(super) fn deliver(&self, cx: &Context<'_>, session: &mut HubSession) -> bool {
        let is_taken_over = self.takeover.borrow().is_some() && session.take_over();
        if self.has_outbound.take() {
            session.wake();
        }
        if self.has_faults.take() {
            session.update_faults(clock::now());
        }
        if self.is_draining.get() {
            session.drain();
        }
        self.register(cx);
        is_taken_over
    }

    fn register(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }
}
