//! Starts, runs and stops the threads of a hub: the caller's thread accepts connections, and each shard is a thread with its own runtime
//! and its own connections. Called by `app` and by tests. `connection` serves each connection.

use super::accept::Acceptor;
use super::config::Config;
use super::connection;
use super::counts::Stats;
use super::error::EmulatorError;
use super::hub::Hub;
use super::notice::Notice;
use super::shard::Shard;
use super::shard_channel::{Inbox, ShardChannels, ShardMessage};
use super::unadmitted::SWEEP;
use crate::link::{self, Idle};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use tokio::runtime::LocalOptions;
use tokio::sync::{mpsc, oneshot};

/// Creates a hub and serves until `stop` resolves. A shorthand for [`Hub::serve`].
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
    /// Serves the connections of `listener` (non-blocking) until `stop` resolves, and then drops them. The caller's runtime only accepts
    /// connections; the shards do all other work.
    ///
    /// # Errors
    /// The listener cannot be used, a shard cannot be started, or a shard ended unexpectedly.
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
    /// A shard cannot be started, or the hub has already been started.
    pub async fn start(
        self: &Arc<Hub>,
        tls: &Arc<rustls::ServerConfig>,
    ) -> Result<RunningHub, EmulatorError> {
        let (channels, inboxes) = ShardChannels::new(self.shard_count());
        if !self.set_shards(channels.clone()) {
            return Err(EmulatorError::StartedTwice);
        }
        let mut running =
            RunningHub { hub: Arc::clone(self), channels, ended: Vec::with_capacity(inboxes.len()) };
        let mut starting = Vec::with_capacity(inboxes.len());
        let mut all = Ok(());
        for (index, inbox) in inboxes.into_iter().enumerate() {
            let (started, is_started) = oneshot::channel();
            match self.start_shard(index, inbox, &running.channels, tls, started) {
                Ok(ended) => running.ended.push(ended),
                Err(error) => {
                    all = Err(error);
                    break;
                }
            }
            starting.push(is_started);
        }
        // Wait for every shard, even after a failure: a process that exits while another thread uses aws-lc's random generator may abort.
        for (index, is_started) in starting.into_iter().enumerate() {
            if is_started.await.is_err() {
                all = all.and(running.shard_end(index).await);
            }
        }
        all.map(|()| running)
    }

    /// Starts the thread of a shard. The returned channel resolves when the thread ends.
    fn start_shard(
        self: &Arc<Hub>,
        index: usize,
        inbox: Inbox,
        channels: &ShardChannels,
        tls: &Arc<rustls::ServerConfig>,
        started: oneshot::Sender<()>,
    ) -> Result<oneshot::Receiver<std::io::Result<()>>, EmulatorError> {
        let (end, ended) = oneshot::channel();
        let (hub, channels, tls) = (Arc::clone(self), channels.clone(), Arc::clone(tls));
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
                let shard = Rc::new(Shard::new(index, Arc::clone(&hub), tls, channels, idle));
                runtime.block_on(run_shard(shard, inbox, started))
            });
            hub.shard_health(index).end();
            // Ignore the error: the future that serves may already have been dropped.
            let _ = end.send(served);
        };
        std::thread::Builder::new()
            .name(format!("hub-{index}"))
            .spawn(thread)
            .map_err(EmulatorError::shard)?;
        Ok(ended)
    }
}

/// A hub whose shards are running. Dropping it stops the shards.
#[derive(Debug)]
pub struct RunningHub {
    hub: Arc<Hub>,
    channels: ShardChannels,
    /// One per shard; resolves when the thread of the shard ends.
    ended: Vec<oneshot::Receiver<std::io::Result<()>>>,
}

impl RunningHub {
    /// Serves like [`Hub::serve`].
    ///
    /// # Errors
    /// The listener cannot be used, or a shard ended unexpectedly.
    pub async fn serve(
        mut self,
        listener: std::net::TcpListener,
        stop: impl Future<Output = ()>,
    ) -> Result<Stats, EmulatorError> {
        let accepted = self.accept(listener, stop).await;
        self.channels.stop();
        self.all_ended().await?;
        accepted.map(|()| self.hub.stats())
    }

    /// Serves until `stop` resolves. Then stops listening, sends the acknowledgments of accepted messages, also those that a throttle
    /// delays, and closes each connection. When `limit` resolves, drops the connections that are still open.
    ///
    /// # Errors
    /// The listener cannot be used, or a shard ended unexpectedly.
    pub async fn serve_and_drain(
        mut self,
        listener: std::net::TcpListener,
        stop: impl Future<Output = ()>,
        limit: impl Future<Output = ()>,
    ) -> Result<Stats, EmulatorError> {
        self.accept(listener, stop).await?;
        self.channels.drain();
        tokio::select! {
            ended = self.all_ended() => return ended.map(|()| self.hub.stats()),
            () = limit => {}
        }
        match self.hub.stats().online() {
            0 => {}
            connections => self.hub.notify(|| Notice::CutOff { connections }),
        }
        self.channels.stop();
        self.all_ended().await?;
        Ok(self.hub.stats())
    }

    /// Accepts connections until `stop` resolves, and then closes the listener.
    async fn accept(
        &self,
        listener: std::net::TcpListener,
        stop: impl Future<Output = ()>,
    ) -> Result<(), EmulatorError> {
        let listener = tokio::net::TcpListener::from_std(listener).map_err(EmulatorError::Listen)?;
        Acceptor::new(&self.hub, &self.channels).run(&listener, stop).await
    }

    /// Waits for the end of all shards. May be canceled and called again.
    async fn all_ended(&mut self) -> Result<(), EmulatorError> {
        while let Some(last) = self.ended.len().checked_sub(1) {
            let ended = self.shard_end(last).await;
            self.ended.pop();
            ended?;
        }
        Ok(())
    }

    /// Waits for the end of a shard and returns its result.
    async fn shard_end(&mut self, index: usize) -> Result<(), EmulatorError> {
        let Some(ended) = self.ended.get_mut(index) else { return Ok(()) };
        ended.await.map_err(|_| EmulatorError::ShardEnded)?.map_err(EmulatorError::shard)
    }
}

impl Drop for RunningHub {
    fn drop(&mut self) {
        self.channels.stop();
    }
}

/// Runs a shard until it is stopped. Returns an error if its timer fails, because without a timer no connection would ever time out.
async fn run_shard(shard: Rc<Shard>, mut inbox: Inbox, started: oneshot::Sender<()>) -> std::io::Result<()> {
    let mut timer = pin!(shard.deadlines.run());
    // The first poll opens the timer's descriptor.
    if let Poll::Ready(error) = poll_fn(|cx| Poll::Ready(timer.as_mut().poll(cx))).await {
        return Err(error);
    }
    // Ignore the error: the future that starts the hub may already have been dropped.
    let _ = started.send(());
    let beating = Rc::clone(&shard);
    tokio::task::spawn_local(async move {
        beating.pulse.run(&beating.deadlines, beating.health()).await;
    });
    let sweeping = Rc::clone(&shard);
    tokio::task::spawn_local(async move {
        // Sweeps run in a task, as connections do, so that bytes that arrived before a sweep are handled first.
        loop {
            tokio::time::sleep(SWEEP).await;
            sweeping.sweep_unadmitted();
        }
    });
    // Each connection holds a sender, so the channel closes when all connections have ended. `None` while the shard drains.
    let (open, mut all_closed) = mpsc::channel::<()>(1);
    let mut open = Some(open);
    loop {
        let message = tokio::select! {
            message = inbox.recv() => message,
            error = &mut timer => return Err(error),
            _ = all_closed.recv(), if open.is_none() => return Ok(()),
        };
        match message {
            Some(ShardMessage::Accepted { socket, peer, ticket }) => {
                let (shard, open) = (Rc::clone(&shard), open.clone());
                tokio::task::spawn_local(async move {
                    connection::run(ticket, shard, socket, peer).await;
                    drop(open);
                });
            }
            Some(ShardMessage::Drain) => {
                shard.drain();
                open = None;
            }
            Some(ShardMessage::Close { connection }) => {
                if let Some(mailbox) = shard.mailbox(connection) {
                    mailbox.wake();
                }
            }
            Some(ShardMessage::TakeOver { connection, closed }) => {
                if let Some(mailbox) = shard.mailbox(connection) {
                    mailbox.take_over(closed);
                }
            }
            Some(ShardMessage::Wake { connection }) => {
                if let Some(mailbox) = shard.mailbox(connection) {
                    mailbox.notify_outbound();
                }
            }
            Some(ShardMessage::Faults) => shard.notify_faults(),
            Some(ShardMessage::Stop) | None => return Ok(()),
        }
    }
}
