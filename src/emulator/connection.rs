//! The task of one connection: the TLS handshake, then a [`Link`] that drives a [`HubSession`], and the takeover between two connections of
//! one device. Started by `server` on the thread of its shard, which it never leaves. The session decides what a packet means.

use super::address::Address;
use super::admission::Refusal;
use super::mailbox::Mailbox;
use super::notice::Notice;
use super::session::{Event, HubError, HubSession};
use super::shard::Shard;
use super::unadmitted::{BASE_BYTES, CONNECTION_BYTES_MAX, Ticket};
use crate::clock;
use crate::link::{End, HandshakeMemory, Link, accept_tls_bounded};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// Serves `socket` until the connection ends. Drops the ticket after the socket is closed.
pub(super) async fn run(ticket: Ticket, shard: Rc<Shard>, socket: std::net::TcpStream, peer: SocketAddr) {
    let opened = clock::now();
    let counting = Rc::clone(&shard);
    let _open = counting.pulse.open(opened);
    let directory = Arc::clone(shard.directory());
    let connect_by = opened + directory.config().connect_arrival_timeout;
    let Ok(socket) = TcpStream::from_std(socket) else { return };
    let address = ticket.address();
    let mailbox = shard.open_mailbox(address.connection);
    let watch = Bounded { shard: &shard, ticket: &ticket };
    let accepted = tokio::select! {
        biased;
        () = poll_fn(|cx| mailbox.poll_closing(cx, &ticket)) => None,
        accepted = accept_tls_bounded(socket, shard.tls(opened), connect_by, watch) => Some(accepted),
    };
    let transport = match accepted {
        Some(Ok(transport)) => transport,
        failed => {
            shard.counters().tls_failed.add(u64::from(failed.is_some()));
            return shard.close_mailbox(address.connection);
        }
    };
    let session = HubSession::new(directory, opened);
    let link = Link::new(transport, Rc::clone(&shard.buffers), &shard.deadlines);
    let (ticket, previous) = (Some(ticket), None);
    let was_admitted = false;
    let mut connection =
        Connection { link, ticket, shard, peer, session, address, mailbox, previous, was_admitted };
    poll_fn(|cx| connection.poll(cx)).await;
    connection.end().await;
}

/// Keeps a TLS handshake within the memory limit of connections that are not admitted.
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
    /// `None` after admission.
    ticket: Option<Ticket>,
    shard: Rc<Shard>,
    peer: SocketAddr,
    session: HubSession,
    address: Address,
    mailbox: Rc<Mailbox>,
    /// Resolves when the previous connection of the device is closed.
    previous: Option<oneshot::Receiver<()>>,
    was_admitted: bool,
}

impl Connection {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.shard.pulse.touch();
        if self.mailbox.deliver(cx, &mut self.session) {
            // Counted here and not by the new connection, because this one may end for another reason first.
            self.shard.counters().taken_over.add(1);
        }
        match self.ticket.take() {
            None => self.serve(cx),
            Some(ticket) => self.serve_within(cx, ticket),
        }
    }

    /// Serves a connection that is not admitted, within its memory limit.
    fn serve_within(&mut self, cx: &mut Context<'_>, ticket: Ticket) -> Poll<()> {
        if ticket.is_closing() {
            self.session.abandon();
        }
        if self.session.is_opening() && self.link.poll_read_ready(cx).is_ready() {
            // One poll performs several reads, so it needs room for the largest buffers.
            let bytes = (CONNECTION_BYTES_MAX - BASE_BYTES).saturating_sub(self.link.buffer_bytes());
            self.session.may_read(self.shard.poll_room(cx, &ticket, bytes).is_ready());
        }
        let received_bytes = self.link.bytes_in();
        let polled = self.serve(cx);
        // A valid CONNECT that a throttle delays may wait for a minute, so it does not count against the memory of unknown clients.
        if !self.session.is_online() && !self.session.is_throttled() {
            let received = self.link.bytes_in() > received_bytes;
            self.shard.hold(&ticket, received, self.link.buffer_bytes());
            self.ticket = Some(ticket);
        }
        polled
    }

    fn serve(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let end = self.link.poll(cx, &mut self.session);
            let counters = self.shard.counters();
            counters.telemetry.add(self.session.take_telemetry());
            counters.acks.add(self.session.take_acks());
            let event = self.session.poll_event();
            match event {
                Some(Event::Authorized) if end.is_pending() => self.claim(),
                Some(Event::Authorized) | None => {}
                Some(Event::Refused(refusal)) => self.count_refusal(refusal),
                Some(Event::Expired) => counters.expired.add(1),
            }
            if let Poll::Ready(end) = end {
                if let End::Failed(error) = end {
                    self.count_error(error);
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
    fn count_refusal(&self, refusal: Refusal) {
        let counters = self.shard.counters();
        counters.refused.add(1);
        if let Some(reason) = counters.refused_by.get(refusal.reason()) {
            reason.add(1);
        }
        let client_id = || self.session.device().into();
        self.shard.notify(|| Notice::Refused { peer: self.peer, client_id: client_id(), refusal });
    }

    #[cold]
    fn count_error(&self, error: HubError) {
        if matches!(error, HubError::Tier(_) | HubError::QuotaFault) {
            return; // The throttles and the faults count it.
        }
        self.shard.counters().protocol_errors.add(1);
        // An empty device id means that no CONNECT arrived. A silent connection is not worth a notice.
        if self.session.device().is_empty() && error != HubError::ConnectTimeout {
            self.shard.notify(|| Notice::NoConnect { peer: self.peer, error });
        }
    }

    /// Claims the device, and asks the previous connection to close.
    fn claim(&mut self) {
        if let Some(previous) = self.session.claim(self.address) {
            let (closed, previous_closed) = oneshot::channel();
            self.shard.request_takeover(previous, closed);
            self.previous = Some(previous_closed);
        }
    }

    /// Answers CONNECT when the device is free. Returns true if this call answered it.
    fn poll_admit(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.session.is_claiming() {
            return false;
        }
        if let Some(previous) = &mut self.previous {
            // The result does not matter: the sender is dropped without sending, even if the previous connection had already ended.
            if Pin::new(previous).poll(cx).is_pending() {
                return false;
            }
            self.previous = None;
        }
        self.session.admit(clock::now());
        self.was_admitted = self.session.is_online();
        self.shard.counters().accepted.add(u64::from(self.was_admitted));
        true
    }

    /// Releases the device after the socket is closed, so that a connection that waits for the device can continue.
    async fn end(mut self) {
        if let Some(previous) = self.previous.take() {
            // This connection was taken over while it waited for the previous one. The next connection must wait for both.
            let _ = previous.await;
        }
        self.session.release();
        self.shard.counters().ended.add(u64::from(self.was_admitted));
        self.shard.close_mailbox(self.address.connection);
    }
}
