//! The handle of a hub: its shared state, its counters, and the requests of a service client. Used from any thread: by `app`, by tests and
//! by the shards. It does not start threads; `server` does.

use super::address::Address;
use super::admission::Refusal;
use super::config::Config;
use super::counts::{Counter, Counters, Stats};
use super::directory::Directory;
use super::faults::FaultStats;
use super::health::{Health, ShardHealth};
use super::notice::{NOTICES_MAX, Notice};
use super::service::{CallDeadline, PendingRequest};
use super::shard_channel::ShardChannels;
use super::telemetry::Telemetry;
use super::throttle::ThrottleStats;
use super::unadmitted::Unadmitted;
use crate::clock::{self, Reading};
use crate::iothub::service::{ServiceError, ServiceRequest, ServiceResponse};
use crate::policy::fault::Fault;
use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A hub: its devices and its counters.
#[derive(Debug)]
pub struct Hub {
    directory: Arc<Directory>,
    unadmitted: Arc<Unadmitted>,
    /// One per shard.
    counters: Box<[Counters]>,
    /// One per shard.
    health: Box<[Health]>,
    /// The channel of [`Hub::notices`], set by its first call.
    notices: OnceLock<SyncSender<Notice>>,
    /// The channels to the shards, set when they start.
    shards: OnceLock<ShardChannels>,
}

impl Hub {
    /// Creates a hub that is not serving yet.
    #[must_use]
    pub fn new(config: Config) -> Arc<Hub> {
        let shards = config.shards.max(1);
        let zero = clock::now();
        let unadmitted =
            Unadmitted::new(config.unadmitted_bytes_max, config.silence_max, config.first_byte_max);
        Arc::new(Hub {
            directory: Arc::new(Directory::new(config)),
            unadmitted,
            counters: (0..shards).map(|_| Counters::default()).collect(),
            health: (0..shards).map(|_| Health::new(zero)).collect(),
            notices: OnceLock::new(),
            shards: OnceLock::new(),
        })
    }

    /// Returns the counters so far. Can be called from any thread at any time.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let sum = |counter: fn(&Counters) -> &Counter| self.counters.iter().map(|c| counter(c).get()).sum();
        Stats {
            accepted: sum(|c| &c.accepted),
            refused: sum(|c| &c.refused),
            telemetry: sum(|c| &c.telemetry),
            acks: sum(|c| &c.acks),
            ended: sum(|c| &c.ended),
            taken_over: sum(|c| &c.taken_over),
            expired: sum(|c| &c.expired),
            protocol_errors: sum(|c| &c.protocol_errors),
            tls_failed: sum(|c| &c.tls_failed),
            closed_for_others: self.unadmitted.closed(),
        }
    }

    /// Returns the number of refused CONNECT packets by reason, omitting reasons that did not occur. Can be called from any thread at any
    /// time.
    #[must_use]
    pub fn refused_by(&self) -> BTreeMap<String, u64> {
        let sum = |reason: usize| {
            self.counters.iter().filter_map(|c| c.refused_by.get(reason)).map(Counter::get).sum()
        };
        let counted =
            Refusal::REASONS.iter().enumerate().map(|(reason, name)| ((*name).to_owned(), sum(reason)));
        counted.filter(|(_, count)| *count > 0).collect()
    }

    /// Returns a channel that receives all notices from now on and closes when the hub is dropped. Only the first caller receives notices.
    #[must_use]
    pub fn notices(&self) -> Receiver<Notice> {
        let (sender, receiver) = mpsc::sync_channel(NOTICES_MAX);
        // A second caller gets a channel that is already closed.
        let _ = self.notices.set(sender);
        receiver
    }

    /// Returns the health of each shard so far. Can be called from any thread at any time, even if a shard is not running.
    #[must_use]
    pub fn health(&self) -> Vec<ShardHealth> {
        let reading = self.directory.config().wall.read(clock::now());
        self.health.iter().map(|health| health.read(reading)).collect()
    }

    /// Returns the counts of the throttles and of the quota, or `None` without a tier. Can be called from any thread at any time.
    #[must_use]
    pub fn throttle_stats(&self) -> Option<ThrottleStats> {
        self.directory.throttle().map(|throttle| throttle.stats(clock::now()))
    }

    /// Starts the clock of the faults in [`Config::faults`]: their times count from `unix` (the time since the Unix epoch). Can be called
    /// from any thread; only the first call has an effect.
    pub fn start_faults(&self, unix: Duration) {
        let Reading { at, unix: now } = self.directory.config().wall.read(clock::now());
        let ago = now.saturating_sub(unix);
        let zero = (at + unix.saturating_sub(now)).checked_sub(ago).unwrap_or(at);
        if self.directory.faults().start(zero) {
            self.notify_faults();
        }
    }

    /// Adds a fault whose times count from now. Can be called from any thread. Returns its number, or `None` if there are too many faults
    /// ([`FAULTS_MAX`](super::faults::FAULTS_MAX)).
    pub fn add_fault(&self, fault: Fault) -> Option<usize> {
        let number = self.directory.faults().add(clock::now(), fault);
        self.notify_faults();
        number
    }

    /// Returns the counts of all faults. Can be called from any thread at any time.
    #[must_use]
    pub fn fault_stats(&self) -> Vec<FaultStats> {
        self.directory.faults().stats()
    }

    fn notify_faults(&self) {
        if let Some(shards) = self.shards.get() {
            shards.notify_faults();
        }
    }

    /// Returns the latest telemetry since the previous call: at most [`Config::telemetry_kept`] messages.
    pub fn take_telemetry(&self) -> Vec<Telemetry> {
        self.directory.take_telemetry()
    }

    /// Carries out a request for a device and waits for its result. Can be called from any thread, on a runtime with a timer.
    ///
    /// # Errors
    /// See [`ServiceError`]. If the hub is not serving, no device is online.
    pub async fn call(&self, device: &str, request: ServiceRequest) -> Result<ServiceResponse, ServiceError> {
        let PendingRequest { wake, deadline, held, mut result } = {
            let now = clock::now();
            self.directory.request(now, self.directory.config().wall.unix(now), device, request)
        };
        if let (Some(address), Some(shards)) = (wake, self.shards.get()) {
            shards.wake(address);
        }
        let known = match deadline {
            Some(CallDeadline { at, call }) => tokio::select! {
                _ = tokio::time::sleep_until(at.into()) => {
                    self.directory.expire_call(device, call);
                    None
                }
                result = &mut result => Some(result),
            },
            None => None,
        };
        let result = match known {
            Some(result) => result,
            None => result.await,
        };
        if let Some(at) = held {
            tokio::time::sleep_until(at.into()).await;
        }
        result.unwrap_or(Err(ServiceError::NotOnline))
    }

    /// Returns the memory, in bytes, of the connections that are not admitted, including those that are closing: at most
    /// [`Config::unadmitted_bytes_max`].
    #[must_use]
    pub fn unadmitted_bytes(&self) -> usize {
        self.unadmitted.held_bytes()
    }

    pub(super) fn unadmitted(&self) -> &Arc<Unadmitted> {
        &self.unadmitted
    }

    pub(super) fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Returns the number of shards.
    pub(super) fn shard_count(&self) -> usize {
        self.counters.len()
    }

    pub(super) fn counters(&self, shard: usize) -> &Counters {
        &self.counters[shard]
    }

    pub(super) fn shard_health(&self, shard: usize) -> &Health {
        &self.health[shard]
    }

    /// Sets the channels to the shards. Returns false if they are already set.
    pub(super) fn set_shards(&self, shards: ShardChannels) -> bool {
        self.shards.set(shards).is_ok()
    }

    /// Closes a connection that is not admitted yet.
    pub(super) fn close(&self, address: Address) {
        if let Some(shards) = self.shards.get() {
            shards.close(address);
        }
    }

    /// Sends a notice, or drops it if there is no reader or the channel is full.
    pub(super) fn notify(&self, notice: impl FnOnce() -> Notice) {
        if let Some(notices) = self.notices.get() {
            let _ = notices.try_send(notice());
        }
    }
}
