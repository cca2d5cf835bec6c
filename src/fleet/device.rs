//! One simulated device as a [`Machine`]: it passes the plan's messages to a session, records their outcomes, and decides when a
//! connection ends. `device_task` connects it, `link` drives it. It uses neither sockets nor clocks, so that tests can run whole
//! fleets in virtual time.

mod c2d;
mod c2d_sequence;
mod clock_step;
mod connect;
mod connection_loss;
mod deliveries;
mod desired_versions;
mod disconnect;
mod events;
mod iot_hub;
mod methods;
mod pending_calls;
mod received;
mod renewal;
mod settle;
mod state;
mod twin;

#[cfg(test)]
mod tests;

pub(crate) use connect::connack_class;

use super::delivery_tracker::Inbox;
use super::device_faults::DeviceFaults;
use super::device_recorder::{DeviceRecorder, Excuse};
use super::messages::Messages;
use super::open::{Open, Outgoing};
use super::trace::Tracer;
use super::{Context, DeviceRef};
use crate::measure::{Culprit, Offline, Operation, Outcome};
use crate::plan::{FleetPlan, Span, Stay};
use crate::policy::disconnect::Disconnect;
use crate::rng::{Purpose, Rng, generator};
use crate::sansio::{Close, Closed, Machine};
use crate::session::{Session, SessionError, Settings, State};
use bytes::BytesMut;
use state::{Attempt, ConnectionState, Disconnecting, IotHubState, Reached, SubscribeState};
use std::rc::Rc;
use std::time::{Duration, Instant};

pub(crate) use state::ConnectionEnd;

/// One simulated device. Short-lived operations are boxed to keep the struct small, because there are tens of thousands of
/// devices.
pub struct Device {
    context: Rc<Context>,
    device: DeviceRef,
    session: Session<Outgoing>,
    messages: Messages,
    rng: Rng,
    span: Span,
    connection: ConnectionState,
    /// How the latest attempt or connection ended.
    end: ConnectionEnd,
    /// How the latest connection ended, which is the reason for the next one. `Finished` before the first connection of a span.
    connect_reason: ConnectionEnd,
    /// How long the latest connection was online. `None` after a failed attempt.
    online_for: Option<Duration>,
    /// The `Online` operation, while the device should be online and is not.
    online_operation: Option<Open>,
    /// When to renew the token. `u64::MAX`: never in this connection.
    renew_at_ns: u64,
    /// Expiry of the latest token, in seconds since the Unix epoch; 0 without a token.
    token_expiry_unix: u64,
    /// The current renewal, until the device is online again.
    renewal: Option<Box<Open>>,
    subscribe: SubscribeState,
    /// The operation of the unanswered PINGREQ.
    ping: Option<Box<Open>>,
    /// State that only devices of an IoT hub have. Allocated when first needed.
    iot_hub: Option<Box<IotHubState>>,
    /// Number of connection attempts since the latest connection ended.
    attempts: u16,
    /// Number of successive connections that the peer closed soon after CONNACK.
    short_connections: u8,
    /// Number of QoS 0 messages flushed since the last received byte.
    qos0_unconfirmed: u32,
    /// Whether the latest attempt was refused with a CONNACK code that does not suggest a retry.
    refused: bool,
    /// Why the load generator may have caused the device's failures: a long stall of this worker just before a loss, a missing
    /// local resource, or a step of this machine's clock. Cleared when the device is online and has no backlog.
    excuse: Excuse,
    /// Whether the device may still publish messages that other devices of the run receive.
    is_sender: bool,
    /// Messages received from other devices of the run.
    inbox: Option<Box<Inbox>>,
    /// When to call `poll_output` again.
    wake_at: Option<Instant>,
    /// When the scenario next disconnects the device, and how. `u64::MAX`: never again in this connection.
    disconnect_at_ns: u64,
    disconnect: Disconnect,
    /// How churn ends the connection at the end of the span. `None` if something else ends the span.
    leaves: Option<Disconnect>,
}

impl Device {
    /// Creates a device from the plan. It is offline at first.
    #[must_use]
    pub fn new(context: Rc<Context>, device: DeviceRef) -> Device {
        let plan = context.plan.clone();
        let fleet_plan = device.fleet(&plan);
        let session = Session::new(Settings {
            keep_alive_s: fleet_plan.keep_alive_s,
            clean_session: fleet_plan.clean_session,
            in_flight: fleet_plan.in_flight,
            ack_timeout: fleet_plan.ack_timeout,
            connack_timeout: fleet_plan.connect_timeout,
            pings: fleet_plan.pings,
            frame_mib_max: plan.packet_mib_max,
        });
        let messages = Messages::new(&plan, context.loads.of(device.fleet), device);
        let is_sender = plan.deliveries.sends_tracked(device.fleet);
        if is_sender {
            context.delivery_tracker.borrow_mut().add_sender();
        }
        let rng = generator(plan.seed, device.global(&plan), Purpose::Connection);
        Device {
            context,
            device,
            session,
            messages,
            rng,
            span: Span { from_ns: 0, to_ns: 0 },
            connection: ConnectionState::Offline,
            end: ConnectionEnd::Failed,
            connect_reason: ConnectionEnd::Finished,
            online_for: None,
            online_operation: None,
            renew_at_ns: u64::MAX,
            token_expiry_unix: 0,
            renewal: None,
            subscribe: SubscribeState::Done,
            ping: None,
            iot_hub: None,
            attempts: 0,
            short_connections: 0,
            qos0_unconfirmed: 0,
            refused: false,
            excuse: Excuse::None,
            is_sender,
            inbox: None,
            wake_at: None,
            disconnect_at_ns: u64::MAX,
            disconnect: Disconnect::Close,
            leaves: None,
        }
    }

    fn recorder(&self) -> DeviceRecorder<'_> {
        DeviceRecorder { context: &self.context, device: self.device, excuse: self.excuse }
    }

    /// Returns the device id. It is built on demand: an idle device holds no strings.
    fn id(&self) -> String {
        self.plan().device_id(self.device.index)
    }

    /// Returns which device this is.
    pub(crate) fn device_ref(&self) -> DeviceRef {
        self.device
    }

    /// Returns the device's index over all fleets.
    pub(crate) fn global_index(&self) -> u64 {
        self.device.global(&self.context.plan)
    }

    fn plan(&self) -> &FleetPlan {
        self.device.fleet(&self.context.plan)
    }

    // Called by `device_task` between connections.

    /// Returns the tracer of this device, if it is traced.
    pub(crate) fn tracer<'a>(&self, context: &'a Context) -> Option<&'a Tracer> {
        context.tracer(self.device)
    }

    /// Returns the faults of this device on the generator's side; `None` if no fault affects it.
    pub(crate) fn faults(&self, context: &Context) -> Option<Rc<DeviceFaults>> {
        context.faults_of(self.device)
    }

    /// Starts a stay: a span during which the device should be online.
    pub(crate) fn start_stay(&mut self, stay: Stay) {
        self.start_span(stay.span);
        self.leaves = stay.left;
    }

    /// Starts a span during which the device should be online.
    pub(crate) fn start_span(&mut self, span: Span) {
        self.span = span;
        self.connect_reason = ConnectionEnd::Finished;
        self.online_operation = Some(self.recorder().due(Operation::Online, span.from_ns));
        self.messages.start_span(span);
    }

    /// Returns the end of the span, as far as it is known: commands may end it before the plan does.
    fn span_end_ns(&self) -> u64 {
        self.span.to_ns.min(self.context.offline_from_ns(self.device))
    }

    /// Returns when the device must go offline: at the end of its span or of the load.
    pub(crate) fn offline_at_ns(&self) -> u64 {
        self.span_end_ns().min(self.context.load_end_ns())
    }

    /// Returns when to give up an attempt to connect. An attempt that is in progress at the load's end may finish during the
    /// drain.
    pub(crate) fn give_up_ns(&self) -> u64 {
        let span_end_ns = self.span_end_ns();
        if span_end_ns < self.context.load_end_ns() { span_end_ns } else { self.context.drain_end_ns() }
    }

    /// Starts an attempt to connect that was due at `due_ns`. Returns its deadline.
    pub(crate) fn start_attempt(&mut self, due_ns: u64, now: Instant) -> Instant {
        let deadline = now + self.plan().connect_timeout;
        let picked_ns = self.context.ns(now).max(due_ns);
        let open = self.recorder().due(Operation::Connect, due_ns).picked(picked_ns);
        self.context.recorder.borrow_mut().connection_attempt(self.device.fleet, picked_ns);
        self.attempts = self.attempts.saturating_add(1);
        self.connection = ConnectionState::Connecting(Attempt { open, deadline, reached: Reached::Nothing });
        (self.end, self.online_for) = (ConnectionEnd::Failed, None);
        self.refused = false;
        deadline
    }

    /// Handles an attempt that failed before CONNECT.
    pub(crate) fn dial_failed(&mut self, error: &crate::link::DialError, now: Instant) {
        let Some(due_ns) = self.attempt_due_ns() else { return };
        match self.clock_step_behind_certificate_error(error, now) {
            Some(by_us) => self.record_clock_step_failure(by_us, || error.to_string(), now),
            None => self.recorder().dial_failed(error, || self.id(), now),
        }
        let recorder = self.recorder();
        recorder.steps(&error.steps, due_ns, now);
        let outcome = if error.is_timeout() {
            Outcome::TimedOut
        } else if error.is_refused() {
            Outcome::Refused
        } else {
            Outcome::Lost
        };
        recorder.step_failed(error.step.into(), outcome, due_ns, now);
        if error.culprit() == crate::link::Culprit::Generator {
            self.excuse = Excuse::Machine;
        }
        self.end_attempt(outcome, now);
    }

    /// Handles an attempt whose TCP connection and TLS handshake have succeeded.
    pub(crate) fn on_dialed(&mut self, dialed: &crate::link::Dialed, now: Instant) {
        let Some(due_ns) = self.attempt_due_ns() else { return };
        self.recorder().steps(&dialed.steps, due_ns, now);
        if let ConnectionState::Connecting(attempt) = &mut self.connection {
            attempt.reached = Reached::Transport;
        }
        if let Some(facts) = &dialed.tls {
            self.context.report_tls(*facts);
            if let Some(took) = dialed.steps.tls.filter(|_| facts.resumed) {
                self.recorder().step_ok(Operation::ConnectTlsResumed, due_ns, now, took);
            }
        }
    }

    /// Ends the current attempt because the span is over.
    pub(crate) fn give_up(&mut self, now: Instant) {
        self.end_attempt(Outcome::Unfinished, now);
        self.end = ConnectionEnd::Finished;
    }

    /// Returns how the latest attempt or connection ended.
    pub(crate) fn connection_end(&self) -> ConnectionEnd {
        self.end
    }

    /// Aborts the run for this device. Open operations end in `settle`.
    pub(crate) fn abort(&mut self) {
        if self.online_since().is_some() {
            self.recorder().went_offline(self.context.now(), Offline::Planned);
        }
        if !matches!(self.connection, ConnectionState::Connecting(_)) {
            self.connection = ConnectionState::Offline;
        }
        self.end = ConnectionEnd::Finished;
    }

    /// Adds to the byte counters.
    pub(crate) fn count_bytes(&self, sent: u64, received: u64) {
        self.recorder().count(|counts| {
            counts.bytes_sent += sent;
            counts.bytes_received += received;
        });
    }

    /// Records an error that the session reported.
    pub(crate) fn record_session_error(&self, error: &SessionError, now: Instant) {
        self.recorder().error(error.class(), Culprit::Target, now, || format!("{}: {error}", self.id()));
    }

    // State of the current connection.

    /// Returns when the current attempt was due.
    fn attempt_due_ns(&self) -> Option<u64> {
        match &self.connection {
            ConnectionState::Connecting(attempt) => Some(attempt.open.due_ns()),
            _ => None,
        }
    }

    /// Starts the `Online` operation of a device whose connection ended for this reason although it should be online. After the planned
    /// end, the device need not be online.
    fn expect_online(&mut self, reason: Option<ConnectionEnd>, now_ns: u64) {
        if let Some(reason) = reason.filter(|_| now_ns < self.offline_at_ns()) {
            self.online_operation = Some(self.recorder().due(Operation::Online, now_ns));
            (self.connect_reason, self.attempts) = (reason, 0);
        }
    }

    fn has_backlog(&self, now: Instant) -> bool {
        self.messages.has_backlog(self.context.load_end_ns(), self.context.ns(now))
    }

    fn online_since(&self) -> Option<Instant> {
        match &self.connection {
            ConnectionState::Online { since } => Some(*since),
            ConnectionState::Disconnecting(disconnecting) => disconnecting.online_since,
            ConnectionState::Offline | ConnectionState::Connecting(_) => None,
        }
    }
}

impl Machine for Device {
    type Error = SessionError;

    fn handle_input(&mut self, now: Instant, input: &mut BytesMut) -> Result<(), SessionError> {
        if !input.is_empty() {
            self.qos0_unconfirmed = 0;
        }
        while self.session.wants_input() && self.session.handle_input(now, input)? {
            self.drain_events(now);
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), SessionError> {
        let result = self.session.handle_timeout(now);
        self.drain_events(now);
        if matches!(result, Err(SessionError::PingTimeout | SessionError::AckStall)) {
            self.record_dead_connection();
        }
        result?;
        self.on_timeout_iot_hub(now);
        // Clear an expired wake time here, because `poll_output` is not called while the output has no room: a past instant would
        // hide later ones.
        self.wake_at.take_if(|at| *at <= now);
        self.on_timeout_connection(now)
    }

    fn handle_flushed(&mut self, now: Instant) {
        self.session.handle_flushed(now);
        self.drain_events(now);
    }

    fn handle_closed(&mut self, now: Instant, why: Closed) {
        let now_ns = self.context.ns(now);
        let planned = match &self.connection {
            // After DISCONNECT, the peer may close the connection first (MQTT 3.1.1 §3.14.4).
            ConnectionState::Disconnecting(disconnecting) if disconnecting.close.is_some() => {
                Some(disconnecting.reason)
            }
            _ => None,
        };
        let stepped = match why {
            _ if planned.is_some() => None,
            Closed::Eof | Closed::Reset => self.clock_step_behind_close(now),
            Closed::Unreachable | Closed::TlsAlert(_) | Closed::Fault | Closed::Local => None,
        };
        if stepped.is_some() {
            self.excuse = Excuse::Machine;
        } else if planned.is_none() && self.excuse != Excuse::Machine && self.is_excused_by_stall(now_ns) {
            self.excuse = Excuse::Stall;
        }
        // Messages that a planned end cuts off are unfinished, unless a persistent session will resend them in the next span.
        let over = now_ns >= self.context.load_end_ns();
        let is_cut_off = planned.is_some()
            && (over || (planned == Some(ConnectionEnd::Finished) && self.plan().clean_session));
        if is_cut_off {
            self.settle_open(now);
        }
        // A device that vanishes does not wait for its acknowledgments and answers.
        let is_orderly =
            planned.is_some_and(|end| !matches!(end, ConnectionEnd::Disconnected | ConnectionEnd::Left));
        self.end_pending(is_orderly, now);
        self.subscribe = SubscribeState::Done;
        // Count the unacknowledged messages before the session forgets them.
        let unacknowledged = if planned.is_none() { self.unacknowledged() } else { Default::default() };
        self.session.handle_closed(now);
        self.drain_events(now);
        let online_for = self.online_since().map(|since| now.saturating_duration_since(since));
        if planned.is_none() {
            self.record_loss(why, stepped, unacknowledged, now);
            let timed_out =
                matches!(&self.connection, ConnectionState::Connecting(attempt) if now >= attempt.deadline);
            self.end_attempt(if timed_out { Outcome::TimedOut } else { Outcome::Lost }, now);
            self.expect_online(online_for.and(Some(ConnectionEnd::Lost)), now_ns);
        } else {
            self.expect_online(planned.filter(|end| *end == ConnectionEnd::Disconnected), now_ns);
            self.count_short_connection(false);
            self.connect_reason = planned.unwrap_or(self.connect_reason);
        }
        if online_for.is_some() {
            let how = if planned.is_some() { Offline::Planned } else { Offline::Lost };
            self.recorder().went_offline(now, how);
            self.messages.block(now_ns);
        }
        if let Some(requests) = self.messages.requests_mut() {
            requests.stop_listening(now_ns);
        }
        self.connection = ConnectionState::Offline;
        self.wake_at = None;
        self.qos0_unconfirmed = 0;
        let unplanned = if online_for.is_some() { ConnectionEnd::Lost } else { ConnectionEnd::Failed };
        (self.end, self.online_for) = (planned.unwrap_or(unplanned), online_for);
    }

    fn poll_output(&mut self, now: Instant, out: &mut BytesMut) {
        if matches!(&self.connection, ConnectionState::Connecting(attempt) if !matches!(attempt.reached, Reached::Connect(_)))
        {
            self.connect(now, out);
        }
        self.session.poll_output(now, out);
        if self.session.state() != State::Online {
            return;
        }
        self.record_ping();
        if matches!(self.subscribe, SubscribeState::Due) {
            self.subscribe(now, out);
        }
        self.wake_at = None;
        self.answer_methods(now, out);
        if !self.is_reconnecting() {
            let recorder =
                DeviceRecorder { context: &self.context, device: self.device, excuse: self.excuse };
            let wake = self.messages.send_due(recorder, &mut self.session, now, out);
            self.wake_at = wake.map(|ns| self.context.at(ns));
            if self.excuse != Excuse::None && !self.has_backlog(now) {
                self.excuse = Excuse::None;
            }
        }
        self.disconnect_when_done(now, out);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let timeouts =
            [self.session.poll_timeout(), self.wake_at, self.next_boundary(), self.iot_hub_timeout()];
        timeouts.into_iter().flatten().min()
    }

    fn wants_input(&self) -> bool {
        self.session.wants_input()
    }

    fn poll_close(&self) -> Option<Close> {
        match &self.connection {
            ConnectionState::Disconnecting(Disconnecting { close: Some(close), .. }) => Some(*close),
            _ => self.session.poll_close(),
        }
    }
}
