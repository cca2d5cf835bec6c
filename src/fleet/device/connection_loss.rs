//! Handles a lost connection. Determines the error class from the evidence on the wire and from the device's token, updates the
//! counters that findings need, and computes the delay before the next attempt. Part of `device`.

use super::clock_step::CLOCK_TOLERANCE;
use super::{ConnectionState, Device};
use crate::fleet::observer::Observed;
use crate::fleet::open::Open;
use crate::iothub::limits::EXPIRY_GRACE_MAX;
use crate::measure::Culprit;
use crate::policy::backoff::{Loss, Retries};
use crate::sansio::Closed;
use crate::units::{human_duration, human_us, plural};
use std::borrow::Cow;
use std::time::{Duration, Instant};

/// A connection that the peer closes sooner than this after CONNACK counts as short (our choice).
const SHORT_CONNECTION: Duration = Duration::from_secs(60);

/// A stall excuses the failures of a device for this many times the stall's duration. By then the target should have handled the
/// reconnects of all devices (our choice, the same factor as for an echo).
const EXCUSED_STALLS: u64 = 20;

/// Number of consecutive short connections that are not a coincidence (our choice).
const SHORT_CONNECTIONS_MAX: u8 = 3;

/// The unacknowledged messages of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unacknowledged {
    count: usize,
    /// When the oldest one was sent.
    since: Option<Instant>,
}

impl Device {
    /// Returns the unacknowledged messages.
    pub(super) fn unacknowledged(&self) -> Unacknowledged {
        let since = self.session.open().map(|(_, sent)| sent).min();
        Unacknowledged { count: self.session.open().count(), since }
    }

    /// Returns true if a stall of this worker may be why the peer closed the connection. The stall must last at least half the
    /// keep-alive and be at most one keep-alive old. Extends the worker's excuse until the target should have handled the
    /// reconnects of all devices.
    pub(super) fn is_excused_by_stall(&self, now_ns: u64) -> bool {
        let keep_alive_ns = u64::from(self.plan().keep_alive_s) * 1_000_000_000;
        let stalls = self.context.deadlines.stalls();
        let recent_ns = now_ns.saturating_sub(keep_alive_ns);
        if keep_alive_ns == 0 || stalls.last_to_ns() <= recent_ns {
            return false;
        }
        let longest_ns = stalls.longest_ns(recent_ns.saturating_sub(keep_alive_ns), now_ns);
        if longest_ns < keep_alive_ns / 2 {
            return false;
        }
        let until_ns = now_ns.saturating_add(longest_ns.saturating_mul(EXCUSED_STALLS));
        // A stall affects all devices of the worker.
        self.context.stall_excuse_ns.set(until_ns.max(self.context.stall_excuse_ns.get()));
        true
    }

    /// Records why the connection ended unexpectedly, as far as the wire shows it. `stepped` is the step of this machine's clock
    /// that may be the cause. `open` are the messages that were unacknowledged before the end.
    pub(super) fn record_loss(
        &mut self,
        why: Closed,
        stepped: Option<i64>,
        open: Unacknowledged,
        now: Instant,
    ) {
        if matches!(why, Closed::Reset | Closed::Unreachable | Closed::Fault) {
            self.record_dead_connection();
        }
        if let Some(by_us) = stepped {
            let is_counted =
                self.online_since().is_some() || matches!(self.connection, ConnectionState::Connecting(_));
            return if is_counted {
                self.record_clock_step_failure(by_us, || "the hub closed the connection".to_owned(), now)
            };
        }
        let expired = self.token_expired_for(now).filter(|_| matches!(why, Closed::Eof | Closed::Reset));
        let (class, culprit) = match why {
            // The expiry of the device's token is certain, whatever the peer's reason was.
            _ if expired.is_some() => ("closed_after_expiry", Culprit::Target),
            Closed::Eof => ("closed_by_peer", Culprit::Target),
            Closed::Reset => ("reset", Culprit::Network),
            Closed::Unreachable => ("tcp_timeout", Culprit::Network),
            Closed::TlsAlert(_) => ("tls_alert", Culprit::Target),
            Closed::Fault => ("fault", Culprit::Network),
            // A session error, which `record_session_error` counts.
            Closed::Local => return,
        };
        let Some(online_since) = self.online_since() else {
            // After a refusal, the attempt is over and has already been counted.
            if matches!(self.connection, ConnectionState::Connecting(_)) {
                let words = in_words(why);
                let recorder = self.recorder();
                recorder.error(class, culprit, now, || format!("{}: {words} before CONNACK", self.id()));
                recorder.ended_before_connack(class);
            }
            return;
        };
        let online_for = now.saturating_duration_since(online_since);
        self.recorder().error(class, culprit, now, || {
            let (id, words) = (self.id(), in_words(why));
            let expired = expired.map(|ago| format!(", {} after its token expired", human_duration(ago)));
            format!(
                "{id}: {words} {} after CONNACK{}, {} unacknowledged",
                human_us(u64::try_from(online_for.as_micros()).unwrap_or(u64::MAX)),
                expired.unwrap_or_default(),
                plural(open.count as u64, "message", "messages"),
            )
        });
        if expired.is_none() && matches!(why, Closed::Eof | Closed::Reset) {
            if let Some(since) = open.since {
                self.record_unacknowledged_close(since.max(online_since), now);
            }
            self.count_short_connection(now.saturating_duration_since(online_since) < SHORT_CONNECTION);
        }
    }

    /// Records that the connection turned out to be dead, so QoS 0 messages sent since the last received byte may be lost. Not
    /// used when the peer closes the connection: as far as TCP shows, the peer has read everything sent before.
    pub(super) fn record_dead_connection(&mut self) {
        let unconfirmed = std::mem::take(&mut self.qos0_unconfirmed);
        if unconfirmed > 0 {
            self.recorder().count(|counts| counts.qos0_on_dead_connections += u64::from(unconfirmed));
        }
    }

    /// Returns the delay before the next attempt. `None` means never.
    pub(crate) fn back_off(&mut self, retries: &mut Retries, now: Instant) -> Option<Duration> {
        if self.context.ns(now) >= self.offline_at_ns() {
            return None; // The plan no longer needs the connection. This does not count as giving up.
        }
        let offline_since = self.online_operation.as_ref().map_or_else(|| self.context.ns(now), Open::due_ns);
        let offline_for = Duration::from_nanos(self.context.ns(now).saturating_sub(offline_since));
        let loss = Loss { online_for: self.online_for, offline_for, refused: self.refused };
        let policy = self.plan().reconnect;
        let delay = retries.next_delay(&policy, loss, &mut self.rng);
        if delay.is_some() {
            self.context.hosts.fail_over(self.global_index());
        } else {
            self.recorder().count(|counts| counts.gave_up += 1);
            self.recorder().report(|fleet| Observed::GaveUp { fleet });
        }
        delay
    }

    /// Counts successive short connections. A longer connection, or one that ended as planned, resets the count.
    pub(super) fn count_short_connection(&mut self, soon: bool) {
        self.short_connections = if soon { self.short_connections.saturating_add(1) } else { 0 };
        if self.short_connections == SHORT_CONNECTIONS_MAX {
            self.recorder().count(|counts| counts.closed_soon_devices += 1);
        }
    }

    /// Records how long the oldest unacknowledged message had waited when the peer closed the connection.
    fn record_unacknowledged_close(&self, since: Instant, now: Instant) {
        let waited = now.saturating_duration_since(since);
        self.recorder().count(|counts| {
            counts.closed_waiting += 1;
            counts.closed_waiting_us += u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        });
    }

    /// Returns how long ago the token expired, if that is recent enough to be the reason for the end of the connection.
    fn token_expired_for(&self, now: Instant) -> Option<Duration> {
        let expiry = Duration::from_secs(self.token_expiry_unix);
        let ago = (self.context.unix(now) + CLOCK_TOLERANCE).checked_sub(expiry)?;
        // Without a token, the expiry is in 1970, which is never recent enough.
        let lately = ago <= EXPIRY_GRACE_MAX + CLOCK_TOLERANCE && self.online_since().is_some();
        lately.then_some(ago.saturating_sub(CLOCK_TOLERANCE))
    }
}

/// Describes the end of a connection. The caller appends when it ended, such as "5 s after CONNACK".
fn in_words(why: Closed) -> Cow<'static, str> {
    match why {
        Closed::Eof => "the server closed the connection".into(),
        Closed::Reset => "the connection was reset".into(),
        Closed::Unreachable => "the connection failed (it timed out, or the host is unreachable)".into(),
        Closed::TlsAlert(end) => format!("TLS failed ({})", end.cause).into(),
        Closed::Fault => "a fault of the scenario ended the connection".into(),
        Closed::Local => "the device closed the connection".into(),
    }
}
