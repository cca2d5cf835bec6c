//! The task of one connection: TLS, then a [`Link`] that drives a [`HubSession`], and the takeover between two connections
//! of one device. Started by [`super::server`], on the shard's thread, where it stays.
//!
//! What a packet means is the session's business.

use super::admission::Refusal;
use super::directory::Address;
use super::notice::Notice;
use super::server::{Message, Shard};
use super::session::{Event, HubError, HubSession};
use super::unadmitted::{BASE_BYTES, CONNECTION_BYTES_MAX, Ticket};
use crate::clock;
use crate::link::{End, HandshakeMemory, Link, accept_tls_bounded};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// How the shard reaches a connection.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    /// A request to make room, which is answered by dropping it.
    taken: RefCell<Option<oneshot::Sender<()>>>,
    /// There is something to tell the device.
    rung: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Mailbox {
    /// Another connection takes over; `gone` is dropped once this one is closed.
    pub(super) fn take_over(&self, gone: oneshot::Sender<()>) {
        self.taken.replace(Some(gone));
        self.wake();
    }

    /// There is something to tell the device.
    pub(super) fn ring(&self) {
        self.rung.set(true);
        self.wake();
    }

    /// Ready once the connection must be closed to make room for another one, before it is admitted.
    fn poll_closing(&self, cx: &Context<'_>, ticket: &Ticket) -> Poll<()> {
        if ticket.is_closing() {
            return Poll::Ready(());
        }
        self.listen(cx);
        Poll::Pending
    }

    /// Wakes the connection's task.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Hands over what came; `cx` is woken when more comes.
    fn poll(&self, cx: &Context<'_>, session: &mut HubSession) {
        if self.taken.borrow().is_some() {
            session.take_over();
        }
        if self.rung.take() {
            session.wake();
        }
        self.listen(cx);
    }

    fn listen(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }
}

/// Serves `socket` until the connection is over. Drops the ticket after the socket is closed.
pub(super) async fn run(ticket: Ticket, shard: Rc<Shard>, socket: std::net::TcpStream, peer: SocketAddr) {
    let opened = clock::now();
    let counting = Rc::clone(&shard);
    let _counted = counting.pulse.open(opened);
    let directory = Arc::clone(shard.directory());
    let connect_by = opened + directory.config().connect_arrival_timeout;
    let Ok(socket) = TcpStream::from_std(socket) else { return };
    let address = ticket.address();
    let mailbox = shard.open_mailbox(address.connection);
    let watch = Bounded { shard: &shard, ticket: &ticket };
    let accepted = tokio::select! {
        biased;
        () = poll_fn(|cx| mailbox.poll_closing(cx, &ticket)) => None,
        accepted = accept_tls_bounded(socket, shard.tls(), connect_by, watch) => Some(accepted),
    };
    let transport = match accepted {
        Some(Ok(transport)) => transport,
        failed => {
            shard.stats().tls_failed.add(u64::from(failed.is_some()));
            return shard.close_mailbox(address.connection);
        }
    };
    let session = HubSession::new(directory, opened);
    let link = Link::new(transport, Rc::clone(&shard.buffers), &shard.deadlines);
    let (ticket, previous) = (Some(ticket), None);
    let mut connection = Connection { link, ticket, shard, peer, session, address, mailbox, previous };
    poll_fn(|cx| connection.poll(cx)).await;
    connection.end().await;
}

/// A handshake within the memory that connections may hold before they are admitted.
struct Bounded<'a> {
    shard: &'a Shard,
    ticket: &'a Ticket,
}

impl HandshakeMemory for Bounded<'_> {
    fn poll_room(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<()> {
        self.shard.poll_room(cx, self.ticket, bytes)
    }

    fn after_read(&mut self, received: bool, buffers_bytes: usize) {
        self.shard.hold(self.ticket, received, buffers_bytes);
    }
}

struct Connection {
    link: Link,
    /// `None` once it is admitted.
    ticket: Option<Ticket>,
    shard: Rc<Shard>,
    peer: SocketAddr,
    session: HubSession,
    address: Address,
    mailbox: Rc<Mailbox>,
    /// Resolves once the connection that had the device before is closed.
    previous: Option<oneshot::Receiver<()>>,
}

impl Connection {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.shard.pulse.touch();
        self.mailbox.poll(cx, &mut self.session);
        match self.ticket.take() {
            None => self.serve(cx),
            Some(ticket) => self.serve_within(cx, ticket),
        }
    }

    /// Serves one that is not admitted yet, within what it may hold.
    fn serve_within(&mut self, cx: &mut Context<'_>, ticket: Ticket) -> Poll<()> {
        if ticket.is_closing() {
            self.session.abandon();
        }
        if self.session.is_opening() && self.link.poll_read_ready(cx).is_ready() {
            // One turn has several reads: room for all that it may ever hold.
            let bytes = (CONNECTION_BYTES_MAX - BASE_BYTES).saturating_sub(self.link.buffer_bytes());
            self.session.may_read(self.shard.poll_room(cx, &ticket, bytes).is_ready());
        }
        let received_bytes = self.link.bytes_in();
        let polled = self.serve(cx);
        if !self.session.is_online() {
            let received = self.link.bytes_in() > received_bytes;
            self.shard.hold(&ticket, received, self.link.buffer_bytes());
            self.ticket = Some(ticket);
        }
        polled
    }

    fn serve(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let end = self.link.poll(cx, &mut self.session);
            let stats = self.shard.stats();
            stats.telemetry.add(self.session.take_telemetry());
            let event = self.session.poll_event();
            match event {
                Some(Event::Authorized) if end.is_pending() => self.claim(),
                Some(Event::Authorized) | None => {}
                Some(Event::Refused(refusal)) => self.refused(refusal),
                Some(Event::Expired) => stats.expired.add(1),
            }
            if let Poll::Ready(end) = end {
                if let End::Failed(error) = end {
                    self.failed(error);
                }
                return Poll::Ready(());
            }
            let admitted = self.poll_admit(cx);
            if event.is_none() && !admitted {
                return Poll::Pending;
            }
        }
    }

    #[cold]
    fn refused(&self, refusal: Refusal) {
        let stats = self.shard.stats();
        stats.refused.add(1);
        if let Some(reason) = stats.refused_by.get(refusal.reason()) {
            reason.add(1);
        }
        let client_id = || self.session.device().into();
        self.shard.tell(|| Notice::Refused { peer: self.peer, client_id: client_id(), refusal });
    }

    #[cold]
    fn failed(&self, error: HubError) {
        self.shard.stats().protocol_errors.add(1);
        // Without a device there was no CONNECT. Silent connections are not worth a notice.
        if self.session.device().is_empty() && error != HubError::ConnectTimeout {
            self.shard.tell(|| Notice::NoConnect { peer: self.peer, error });
        }
    }

    /// Takes the device, and asks the connection that has it to go.
    fn claim(&mut self) {
        if let Some(previous) = self.session.claim(self.address) {
            let (gone, closed) = oneshot::channel();
            self.shard.stats().taken_over.add(1);
            self.shard.send(previous.shard, Message::TakeOver { connection: previous.connection, gone });
            self.previous = Some(closed);
        }
    }

    /// Answers CONNECT once the device is free; true when it just was.
    fn poll_admit(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.session.is_claiming() {
            return false;
        }
        if let Some(previous) = &mut self.previous {
            // The sender is dropped, not used: it may be gone before our request came.
            if Pin::new(previous).poll(cx).is_pending() {
                return false;
            }
            self.previous = None;
        }
        self.session.admit(clock::now());
        self.shard.stats().accepted.add(u64::from(self.session.is_online()));
        true
    }

    /// The socket is closed: gives the device back, and lets whoever waits for it go on.
    async fn end(mut self) {
        if let Some(previous) = self.previous.take() {
            // Taken over while waiting ourselves: whoever waits for us waits for that one too.
            let _ = previous.await;
        }
        self.session.release();
        self.shard.close_mailbox(self.address.connection);
    }
}
