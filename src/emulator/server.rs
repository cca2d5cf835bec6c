//! Sockets and shards: one thread accepts, each shard is a thread with its own runtime that serves its connections alone.
//! Called by `app` and by tests. Shards share the directory, and talk to each other by message.

use super::Config;
use super::accept::Acceptor;
use super::admission::Refusal;
use super::connection::{self, Mailbox};
use super::counts::{Counter, Counters, Stats};
use super::directory::{Address, Directory};
use super::health::{Health, Pulse, ShardHealth};
use super::notice::{NOTICES_MAX, Notice};
use super::service::{CallDeadline, PendingRequest};
use super::telemetry::Telemetry;
use super::unadmitted::{SWEEP, Ticket, Unadmitted};
use crate::clock;
use crate::iothub::service::{ServiceError, ServiceRequest, ServiceResponse};
use crate::link::{self, Buffers, Deadlines, Idle, SharedBuffers};
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::mpsc::{self as mpsc_std, Receiver, SyncSender};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use tokio::runtime::LocalOptions;
use tokio::sync::{mpsc, oneshot};

/// The hub cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorError {
    /// The listener cannot be used.
    #[error("the emulator cannot listen: {0}")]
    Listen(#[source] std::io::Error),
    /// A thread or its runtime cannot be made.
    #[error("the emulator cannot start a shard: {0}")]
    Shard(#[source] std::io::Error),
    /// There are not enough descriptors for the shards.
    #[error(
        "the emulator cannot start a shard: {0} file descriptors may be open, and none is left; start it with more, such as `ulimit -n 65536`"
    )]
    Descriptors(u64),
    /// A hub serves once.
    #[error("the emulator was started twice")]
    Twice,
    /// A shard's thread is gone.
    #[error("a shard of the emulator died")]
    Died,
}

impl EmulatorError {
    fn shard(error: std::io::Error) -> EmulatorError {
        if error.raw_os_error().map(Errno::from_raw) != Some(Errno::EMFILE) {
            return EmulatorError::Shard(error);
        }
        EmulatorError::Descriptors(getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft))
    }
}

/// What a shard is told.
#[derive(Debug)]
pub(super) enum Message {
    /// A new connection to serve.
    Accepted { socket: std::net::TcpStream, peer: SocketAddr, ticket: Ticket },
    /// Close this connection, which is not admitted yet, to make room for another one. Its ticket is marked as closing.
    Close { connection: u64 },
    /// Close a connection of yours, then drop `gone`. One that is over already is closed.
    TakeOver { connection: u64, gone: oneshot::Sender<()> },
    /// A connection of yours has something to tell its device.
    Wake { connection: u64 },
    /// Drop everything.
    Stop,
}

/// The hub: its devices, and what it counted.
#[derive(Debug)]
pub struct Hub {
    directory: Arc<Directory>,
    unadmitted: Arc<Unadmitted>,
    counters: Box<[Counters]>,
    health: Box<[Health]>,
    /// The channel of [`Hub::notices`], once it was called.
    notices: OnceLock<SyncSender<Notice>>,
    /// How the shards are reached, once they are there.
    shards: OnceLock<Arc<[mpsc::UnboundedSender<Message>]>>,
}

/// Serves until `stop` resolves: the short form of [`Hub::serve`].
///
/// # Errors
/// See [`Hub::serve`].
pub async fn serve(
    listener: std::net::TcpListener,
    tls: Arc<rustls::ServerConfig>,
    config: Config,
    stop: impl Future<Output = ()>,
) -> Result<Stats, EmulatorError> {
    Hub::new(config).serve(listener, tls, stop).await
}

impl Hub {
    /// A hub that serves nobody yet.
    #[must_use]
    pub fn new(config: Config) -> Arc<Hub> {
        let counters = (0..config.shards.max(1)).map(|_| Counters::default()).collect();
        let zero = clock::now();
        let health = (0..config.shards.max(1)).map(|_| Health::new(zero)).collect();
        let unadmitted =
            Unadmitted::new(config.unadmitted_bytes_max, config.silence_max, config.first_byte_max);
        let directory = Arc::new(Directory::new(config));
        Arc::new(Hub {
            directory,
            unadmitted,
            counters,
            health,
            notices: OnceLock::new(),
            shards: OnceLock::new(),
        })
    }

    /// What was counted so far; from any thread, at any time.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let sum = |counter: fn(&Counters) -> &Counter| self.counters.iter().map(|c| counter(c).get()).sum();
        Stats {
            accepted: sum(|c| &c.accepted),
            refused: sum(|c| &c.refused),
            telemetry: sum(|c| &c.telemetry),
            taken_over: sum(|c| &c.taken_over),
            expired: sum(|c| &c.expired),
            protocol_errors: sum(|c| &c.protocol_errors),
            tls_failed: sum(|c| &c.tls_failed),
            closed_for_others: self.unadmitted.closed(),
        }
    }

    /// Refused CONNECTs by reason, without reasons that did not occur. Can be called from any thread at any time.
    #[must_use]
    pub fn refused_by(&self) -> BTreeMap<String, u64> {
        let sum = |reason: usize| {
            self.counters.iter().filter_map(|c| c.refused_by.get(reason)).map(Counter::get).sum()
        };
        let counted =
            Refusal::REASONS.iter().enumerate().map(|(reason, name)| ((*name).to_owned(), sum(reason)));
        counted.filter(|(_, count)| *count > 0).collect()
    }

    /// Returns a channel of the notices from now on. It ends with the hub. Only the first caller gets notices.
    #[must_use]
    pub fn notices(&self) -> Receiver<Notice> {
        let (sender, receiver) = mpsc_std::sync_channel(NOTICES_MAX);
        // A second caller gets a channel that has already ended.
        let _ = self.notices.set(sender);
        receiver
    }

    /// Sends a notice, or drops it if there is no reader or the channel is full.
    pub(super) fn tell(&self, notice: impl FnOnce() -> Notice) {
        if let Some(notices) = self.notices.get() {
            let _ = notices.try_send(notice());
        }
    }

    /// How well each shard's thread could run so far; from any thread, at any time, also when a shard is stuck.
    #[must_use]
    pub fn health(&self) -> Vec<ShardHealth> {
        let reading = self.directory.config().wall.read(clock::now());
        self.health.iter().map(|health| health.read(reading)).collect()
    }

    /// The last telemetry that was accepted since the last call, as many as [`Config::telemetry_kept`] says.
    pub fn take_telemetry(&self) -> Vec<Telemetry> {
        self.directory.take_telemetry()
    }

    /// Carries out a request for a device and waits for its result. Can be called from any thread, on a runtime with a timer.
    ///
    /// # Errors
    /// See [`ServiceError`]. If the hub does not serve, no device is online.
    pub async fn call(&self, device: &str, request: ServiceRequest) -> Result<ServiceResponse, ServiceError> {
        let PendingRequest { wake, deadline, mut result } = {
            let now = clock::now();
            self.directory.request(now, self.directory.config().wall.unix(now), device, request)
        };
        if let (Some(address), Some(shards)) = (wake, self.shards.get()) {
            send(shards, address.shard, Message::Wake { connection: address.connection });
        }
        if let Some(CallDeadline { at, call }) = deadline {
            tokio::select! {
                _ = tokio::time::sleep_until(at.into()) => self.directory.expire_call(device, call),
                result = &mut result => return result.unwrap_or(Err(ServiceError::NotOnline)),
            }
        }
        result.await.unwrap_or(Err(ServiceError::NotOnline))
    }

    /// What the connections hold that are not admitted yet, in bytes, those included that are being closed: at most
    /// [`Config::unadmitted_bytes_max`].
    #[must_use]
    pub fn unadmitted_bytes(&self) -> usize {
        self.unadmitted.held_bytes()
    }

    pub(super) fn unadmitted(&self) -> &Arc<Unadmitted> {
        &self.unadmitted
    }

    /// Tells a connection's shard to close it.
    pub(super) fn close(&self, address: Address) {
        if let Some(shards) = self.shards.get() {
            send(shards, address.shard, Message::Close { connection: address.connection });
        }
    }

    /// Serves what `listener` (not blocking) accepts until `stop` resolves; then every connection is dropped. Runs on the
    /// caller's runtime, which only accepts: the work is done by the shards' threads.
    ///
    /// # Errors
    /// The listener cannot be used; a shard cannot be started, or died.
    pub async fn serve(
        self: &Arc<Hub>,
        listener: std::net::TcpListener,
        tls: Arc<rustls::ServerConfig>,
        stop: impl Future<Output = ()>,
    ) -> Result<Stats, EmulatorError> {
        self.start(&tls).await?.serve(listener, stop).await
    }

    /// Starts the shards.
    ///
    /// # Errors
    /// A shard cannot be started; the hub was started before.
    pub async fn start(self: &Arc<Hub>, tls: &Arc<rustls::ServerConfig>) -> Result<Started, EmulatorError> {
        let (senders, inboxes): (Vec<_>, Vec<_>) =
            self.counters.iter().map(|_| mpsc::unbounded_channel()).unzip();
        let senders: Arc<[_]> = senders.into();
        self.shards.set(Arc::clone(&senders)).map_err(|_| EmulatorError::Twice)?;
        let mut started =
            Started { hub: Arc::clone(self), senders, ended: Vec::with_capacity(inboxes.len()) };
        let mut starting = Vec::with_capacity(inboxes.len());
        let mut all = Ok(());
        for (index, inbox) in inboxes.into_iter().enumerate() {
            let (start, is_started) = oneshot::channel();
            match self.start_shard(index, inbox, &started.senders, tls, start) {
                Ok(ended) => started.ended.push(ended),
                Err(error) => {
                    all = Err(error);
                    break;
                }
            }
            starting.push(is_started);
        }
        // All are waited for, also after a failure: a process that exits while another thread uses aws-lc's random generator may abort.
        for (index, is_started) in starting.into_iter().enumerate() {
            if is_started.await.is_err() {
                all = all.and(started.end(index).await);
            }
        }
        all.map(|()| started)
    }

    /// Starts a shard's thread; what it returns resolves when the thread is through.
    fn start_shard(
        self: &Arc<Hub>,
        index: usize,
        inbox: mpsc::UnboundedReceiver<Message>,
        senders: &Arc<[mpsc::UnboundedSender<Message>]>,
        tls: &Arc<rustls::ServerConfig>,
        started: oneshot::Sender<()>,
    ) -> Result<oneshot::Receiver<std::io::Result<()>>, EmulatorError> {
        let (end, ended) = oneshot::channel();
        let (hub, senders, tls) = (Arc::clone(self), Arc::clone(senders), Arc::clone(tls));
        let thread = move || {
            link::tls::warm_up();
            let idle = Arc::new(Idle::default());
            let (parks, unparks) = (Arc::clone(&idle), Arc::clone(&idle));
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .on_thread_park(move || parks.begins())
                .on_thread_unpark(move || unparks.ends())
                .build_local(LocalOptions::default());
            let served = runtime.and_then(|runtime| {
                let shard = Rc::new(Shard::new(index, Arc::clone(&hub), tls, senders, idle));
                runtime.block_on(shard.serve(inbox, started))
            });
            hub.health[index].end();
            // Nobody listens when serving itself was dropped.
            let _ = end.send(served);
        };
        std::thread::Builder::new()
            .name(format!("hub-{index}"))
            .spawn(thread)
            .map_err(EmulatorError::shard)?;
        Ok(ended)
    }
}

/// A hub whose shards run. They end with it.
#[derive(Debug)]
pub struct Started {
    hub: Arc<Hub>,
    senders: Arc<[mpsc::UnboundedSender<Message>]>,
    /// Each resolves when that shard's thread is through.
    ended: Vec<oneshot::Receiver<std::io::Result<()>>>,
}

impl Started {
    /// As [`Hub::serve`].
    ///
    /// # Errors
    /// The listener cannot be used; a shard died.
    pub async fn serve(
        mut self,
        listener: std::net::TcpListener,
        stop: impl Future<Output = ()>,
    ) -> Result<Stats, EmulatorError> {
        let listener = tokio::net::TcpListener::from_std(listener).map_err(EmulatorError::Listen)?;
        let accepted = Acceptor::new(&self.hub, &self.senders).run(&listener, stop).await;
        self.stop();
        for index in 0..self.ended.len() {
            self.end(index).await?;
        }
        accepted.map(|()| self.hub.stats())
    }

    fn stop(&self) {
        for sender in self.senders.iter() {
            // A shard that is gone needs no telling.
            let _ = sender.send(Message::Stop);
        }
    }

    /// How a shard ended.
    async fn end(&mut self, index: usize) -> Result<(), EmulatorError> {
        let Some(ended) = self.ended.get_mut(index) else { return Ok(()) };
        ended.await.map_err(|_| EmulatorError::Died)?.map_err(EmulatorError::shard)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A shard that is gone has closed its connections: the message is dropped, and its `gone` with it.
fn send(shards: &[mpsc::UnboundedSender<Message>], shard: usize, message: Message) {
    if let Some(sender) = shards.get(shard) {
        let _ = sender.send(message);
    }
}

/// One shard, seen from its connections.
pub(super) struct Shard {
    pub(super) index: usize,
    pub(super) buffers: SharedBuffers,
    pub(super) deadlines: Rc<Deadlines>,
    hub: Arc<Hub>,
    tls: Arc<rustls::ServerConfig>,
    senders: Arc<[mpsc::UnboundedSender<Message>]>,
    mailboxes: RefCell<HashMap<u64, Rc<Mailbox>>>,
    pub(super) pulse: Pulse,
}

impl Shard {
    fn new(
        index: usize,
        hub: Arc<Hub>,
        tls: Arc<rustls::ServerConfig>,
        senders: Arc<[mpsc::UnboundedSender<Message>]>,
        idle: Arc<Idle>,
    ) -> Shard {
        let (buffers, deadlines) = (Buffers::shared(), Deadlines::precise());
        let mailboxes = RefCell::default();
        let pulse = Pulse::new(idle);
        Shard { index, buffers, deadlines, hub, tls, senders, mailboxes, pulse }
    }

    /// An error is one of the shard's timer: without it no connection would ever time out.
    async fn serve(
        self: Rc<Shard>,
        mut inbox: mpsc::UnboundedReceiver<Message>,
        started: oneshot::Sender<()>,
    ) -> std::io::Result<()> {
        let mut timer = pin!(self.deadlines.run());
        // Its first poll takes the timer's descriptor.
        if let Poll::Ready(error) = poll_fn(|cx| Poll::Ready(timer.as_mut().poll(cx))).await {
            return Err(error);
        }
        // Nobody waits for it when starting itself was dropped.
        let _ = started.send(());
        let shard = Rc::clone(&self);
        tokio::task::spawn_local(async move {
            shard.pulse.run(&shard.deadlines, &shard.hub.health[shard.index]).await;
        });
        let shard = Rc::clone(&self);
        tokio::task::spawn_local(async move {
            // A task beside those of the connections, so that bytes which arrived before a sweep are handled before it.
            loop {
                tokio::time::sleep(SWEEP).await;
                shard.hub.unadmitted.sweep(shard.index);
            }
        });
        loop {
            let message = tokio::select! {
                message = inbox.recv() => message,
                error = &mut timer => return Err(error),
            };
            match message {
                Some(Message::Accepted { socket, peer, ticket }) => {
                    tokio::task::spawn_local(connection::run(ticket, Rc::clone(&self), socket, peer));
                }
                Some(Message::Close { connection }) => {
                    if let Some(mailbox) = self.mailboxes.borrow().get(&connection) {
                        mailbox.wake();
                    }
                }
                Some(Message::TakeOver { connection, gone }) => {
                    if let Some(mailbox) = self.mailboxes.borrow().get(&connection) {
                        mailbox.take_over(gone);
                    }
                }
                Some(Message::Wake { connection }) => {
                    if let Some(mailbox) = self.mailboxes.borrow().get(&connection) {
                        mailbox.ring();
                    }
                }
                Some(Message::Stop) | None => return Ok(()),
            }
        }
    }

    pub(super) fn directory(&self) -> &Arc<Directory> {
        &self.hub.directory
    }

    pub(super) fn tls(&self) -> &Arc<rustls::ServerConfig> {
        &self.tls
    }

    pub(super) fn tell(&self, notice: impl FnOnce() -> Notice) {
        self.hub.tell(notice);
    }

    /// Ready once a connection that is not admitted may grow by `bytes`. Others may have to go for it.
    pub(super) fn poll_room(&self, cx: &Context<'_>, ticket: &Ticket, bytes: usize) -> Poll<()> {
        ticket.poll_room(cx, bytes, |closed| self.hub.close(closed))
    }

    /// A connection that is not admitted may have read, and holds so much in its buffers.
    pub(super) fn hold(&self, ticket: &Ticket, received: bool, buffers_bytes: usize) {
        ticket.hold(received, buffers_bytes, |closed| self.hub.close(closed));
    }

    pub(super) fn stats(&self) -> &Counters {
        &self.hub.counters[self.index]
    }

    pub(super) fn send(&self, shard: usize, message: Message) {
        send(&self.senders, shard, message);
    }

    pub(super) fn open_mailbox(&self, connection: u64) -> Rc<Mailbox> {
        let mailbox = Rc::<Mailbox>::default();
        self.mailboxes.borrow_mut().insert(connection, Rc::clone(&mailbox));
        mailbox
    }

    pub(super) fn close_mailbox(&self, connection: u64) {
        self.mailboxes.borrow_mut().remove(&connection);
    }
}
