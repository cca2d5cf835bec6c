//! One simulated device as a `Machine`: it puts the plan's messages into a session, reads what came of them, and
//! decides when this connection should end. Driven by `link`, which `life` starts; it touches neither socket
//! nor clock, so a whole fleet of them runs in virtual time in tests.

mod c2d;
mod clock_step;
mod connect;
mod connection_loss;
mod deliveries;
mod disconnect;
mod events;
mod iot_hub;
mod methods;
mod received;
mod renewal;
mod settle;
mod twin;

#[cfg(test)]
mod tests;

use super::delivery_tracker::Inbox;
use super::device_recorder::{DeviceRecorder, Excuse};
use super::messages::Messages;
use super::open::{Open, Outgoing};
use super::trace::Tracer;
use super::{Context, DeviceRef};
use crate::measure::{Culprit, Operation, Outcome};
use crate::plan::{FleetPlan, Span};
use crate::rng::{Purpose, Rng, generator};
use crate::sansio::{Close, Closed, Machine};
use crate::session::{Session, SessionError, Settings, State};
use bytes::BytesMut;
use connect::{Attempt, Reached, SubscribeState};
use disconnect::Disconnecting;
use iot_hub::IotHubState;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Where a device stands with its connection.
#[derive(Debug)]
enum Stage {
    /// It has none, and none is under way.
    Offline,
    /// It dials, or waits for CONNACK.
    Connecting(Attempt),
    /// It is online, and nobody wants that to end.
    Online { since: Instant },
    /// It is to go.
    Disconnecting(Disconnecting),
}

/// Why a connection ends. While it is open, this is why its device leaves; later, it is why the device makes the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionEnd {
    /// The plan takes the device offline, or the run is over.
    Finished,
    /// Its token is about to expire: the device connects again at once, with a new one.
    Renewal,
    /// A method asked the device to disconnect and to connect again.
    Method,
    /// It was lost.
    Lost,
    /// It was never made: the attempt failed.
    Failed,
}

/// One simulated device. Operations that are open for moments only are boxed: there are tens of thousands of devices.
pub struct Device {
    context: Rc<Context>,
    device: DeviceRef,
    session: Session<Outgoing>,
    messages: Messages,
    rng: Rng,
    span: Span,
    stage: Stage,
    /// How the latest attempt or connection ended.
    end: ConnectionEnd,
    /// How the latest connection ended, and so why the next one is made. `Finished` before the first one of a span.
    connect_reason: ConnectionEnd,
    /// How long the latest connection was online; none after an attempt that failed.
    online_for: Option<Duration>,
    /// Open since it ought to be online, while it is not.
    online: Option<Open>,
    renew_at: Option<Instant>,
    /// What the latest token says of its end, in seconds since the Unix epoch; 0 without one.
    token_expiry_unix: u64,
    /// The renewal that is due, until the device is online again.
    renewal: Option<Box<Open>>,
    subscribe: SubscribeState,
    /// A PINGREQ without its answer.
    ping: Option<Box<Open>>,
    /// What it has to do with an IoT hub besides its messages; made when there is something.
    iot_hub: Option<Box<IotHubState>>,
    /// How many connections in a row the peer has closed soon after CONNACK.
    short_connections: u8,
    /// QoS 0 messages that were handed to the kernel since the last byte was received.
    qos0_unconfirmed: u32,
    /// The latest attempt was refused, for good as far as CONNACK says.
    refused: bool,
    /// Its connection was lost soon after a long stall of this worker, failed for lack of a resource of this machine, or was refused or
    /// lost because this machine's clock had stepped.
    /// Until the device is online again and has no backlog, its failures may be the load generator's.
    excuse: Excuse,
    /// It may still publish what the run's own subscribers are to receive.
    is_sender: bool,
    /// What came to it of what the run has published.
    inbox: Option<Box<Inbox>>,
    /// When `poll_output` wants to be called again.
    wake: Option<Instant>,
}

impl Device {
    /// A device of the plan; offline.
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
        let messages = Messages::new(&plan, &context.load, device);
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
            stage: Stage::Offline,
            end: ConnectionEnd::Failed,
            connect_reason: ConnectionEnd::Finished,
            online_for: None,
            online: None,
            renew_at: None,
            token_expiry_unix: 0,
            renewal: None,
            subscribe: SubscribeState::Done,
            ping: None,
            iot_hub: None,
            short_connections: 0,
            qos0_unconfirmed: 0,
            refused: false,
            excuse: Excuse::None,
            is_sender,
            inbox: None,
            wake: None,
        }
    }

    fn recorder(&self) -> DeviceRecorder<'_> {
        DeviceRecorder { context: &self.context, device: self.device, excuse: self.excuse }
    }

    /// Made when it is needed: a device that waits has no strings.
    fn id(&self) -> String {
        self.plan().device_id(self.device.index)
    }

    /// Its number among the devices of all fleets.
    pub(crate) fn global_index(&self) -> u64 {
        self.device.global(&self.context.plan)
    }

    fn plan(&self) -> &FleetPlan {
        self.device.fleet(&self.context.plan)
    }

    // What `life` asks and says between connections.

    /// The one who tells this device's packets, if somebody asked to see them.
    pub(crate) fn tracer<'a>(&self, context: &'a Context) -> Option<&'a Tracer> {
        context.tracer(self.device)
    }

    /// The plan has the device online for this span.
    pub(crate) fn start_span(&mut self, span: Span) {
        self.span = span;
        self.connect_reason = ConnectionEnd::Finished;
        self.online = Some(self.recorder().due(Operation::Online, span.from_ns));
        self.messages.start_span(span);
    }

    /// When the plan wants the device gone: its span or the load is over.
    pub(crate) fn offline_at_ns(&self) -> u64 {
        self.span.to_ns.min(self.context.load_end_ns())
    }

    /// When an attempt to connect is given up, however far it is. What is under way as the load ends may still
    /// be finished while the others drain.
    pub(crate) fn give_up_ns(&self) -> u64 {
        if self.span.to_ns < self.context.load_end_ns() {
            self.span.to_ns
        } else {
            self.context.drain_end_ns()
        }
    }

    /// An attempt to connect begins; it was due at `due_ns`.
    pub(crate) fn start_attempt(&mut self, due_ns: u64, now: Instant) -> Instant {
        let deadline = now + self.plan().connect_timeout;
        let picked_ns = self.context.ns(now).max(due_ns);
        let open = self.recorder().due(Operation::Connect, due_ns).picked(picked_ns);
        self.stage = Stage::Connecting(Attempt { open, deadline, reached: Reached::Nothing });
        (self.end, self.online_for) = (ConnectionEnd::Failed, None);
        self.refused = false;
        deadline
    }

    /// The attempt did not get as far as MQTT.
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
        if error.culprit() == crate::link::Culprit::Us {
            self.excuse = Excuse::Machine;
        }
        self.end_attempt(outcome, now);
    }

    /// The attempt got as far as MQTT.
    pub(crate) fn on_dialed(&mut self, dialed: &crate::link::Dialed, now: Instant) {
        let Some(due_ns) = self.attempt_due_ns() else { return };
        self.recorder().steps(&dialed.steps, due_ns, now);
        if let Stage::Connecting(attempt) = &mut self.stage {
            attempt.reached = Reached::Transport;
        }
        if let Some(facts) = &dialed.tls {
            self.context.report_tls(*facts);
        }
    }

    /// The attempt under way came too late for the plan.
    pub(crate) fn give_up(&mut self, now: Instant) {
        self.end_attempt(Outcome::Unfinished, now);
        self.end = ConnectionEnd::Finished;
    }

    /// How the latest attempt or connection ended.
    pub(crate) fn connection_end(&self) -> ConnectionEnd {
        self.end
    }

    /// The run is cut short: open operations stay open, and end in `settle`.
    pub(crate) fn abort(&mut self) {
        if self.online_since().is_some() {
            self.recorder().online(-1);
        }
        if !matches!(self.stage, Stage::Connecting(_)) {
            self.stage = Stage::Offline;
        }
        self.end = ConnectionEnd::Finished;
    }

    /// What went over the wire.
    pub(crate) fn count_bytes(&self, sent: u64, received: u64) {
        self.recorder().count(|counts| {
            counts.bytes_sent += sent;
            counts.bytes_received += received;
        });
    }

    /// The connection failed in a way that only the session could see.
    pub(crate) fn record_session_error(&self, error: &SessionError, now: Instant) {
        self.recorder().error(error.class(), Culprit::Peer, now, || format!("{}: {error}", self.id()));
    }

    // What happens on a connection.

    /// When the attempt under way was due.
    fn attempt_due_ns(&self) -> Option<u64> {
        match &self.stage {
            Stage::Connecting(attempt) => Some(attempt.open.due_ns()),
            _ => None,
        }
    }

    fn has_backlog(&self, now: Instant) -> bool {
        self.messages.has_backlog(self.context.load_end_ns(), self.context.ns(now))
    }

    fn online_since(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Online { since } => Some(*since),
            Stage::Disconnecting(disconnecting) => disconnecting.online_since,
            Stage::Offline | Stage::Connecting(_) => None,
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
        // Also when there is no room for output: time is decided here, and only bytes are made in `poll_output`.
        self.wake.take_if(|at| *at <= now);
        self.on_timeout_connection(now)
    }

    fn handle_flushed(&mut self, now: Instant) {
        self.session.handle_flushed(now);
        self.drain_events(now);
    }

    fn handle_closed(&mut self, now: Instant, why: Closed) {
        let now_ns = self.context.ns(now);
        let planned = match &self.stage {
            // After DISCONNECT the peer may be faster to close than we are (MQTT 3.1.1 §3.14.4).
            Stage::Disconnecting(disconnecting) if disconnecting.close.is_some() => Some(disconnecting.why),
            _ => None,
        };
        let stepped = match why {
            _ if planned.is_some() => None,
            Closed::Eof | Closed::Reset => self.clock_step_behind_close(now),
            Closed::Unreachable | Closed::TlsAlert(_) | Closed::Local => None,
        };
        if stepped.is_some() {
            self.excuse = Excuse::Machine;
        } else if planned.is_none() && self.excuse != Excuse::Machine && self.is_excused_by_stall(now_ns) {
            self.excuse = Excuse::Stall;
        }
        // What we cut and nobody will send again is unfinished. A kept session sends it again when the plan has the device back.
        let over = now_ns >= self.context.load_end_ns();
        let cut = planned.is_some()
            && (over || (planned == Some(ConnectionEnd::Finished) && self.plan().clean_session));
        if cut {
            self.settle_open(now);
        }
        self.end_pending(planned.is_some(), now);
        self.subscribe = SubscribeState::Done;
        // A clean session forgets it with the connection.
        let unacknowledged = if planned.is_none() { self.unacknowledged() } else { Default::default() };
        self.session.handle_closed(now);
        self.drain_events(now);
        let online_for = self.online_since().map(|since| now.saturating_duration_since(since));
        if planned.is_none() {
            self.record_loss(why, stepped, unacknowledged, now);
            let timed_out = matches!(&self.stage, Stage::Connecting(attempt) if now >= attempt.deadline);
            self.end_attempt(if timed_out { Outcome::TimedOut } else { Outcome::Lost }, now);
            // What the plan wanted gone is not missed.
            if online_for.is_some() && now_ns < self.offline_at_ns() {
                self.online = Some(self.recorder().due(Operation::Online, now_ns));
                self.connect_reason = ConnectionEnd::Lost;
            }
        } else {
            self.record_connection_length(false);
            self.connect_reason = planned.unwrap_or(self.connect_reason);
        }
        if online_for.is_some() {
            self.recorder().online(-1);
            self.messages.block(now_ns);
        }
        if let Some(requests) = self.messages.requests_mut() {
            requests.stop_listening(now_ns);
        }
        self.stage = Stage::Offline;
        self.wake = None;
        self.qos0_unconfirmed = 0;
        let unplanned = if online_for.is_some() { ConnectionEnd::Lost } else { ConnectionEnd::Failed };
        (self.end, self.online_for) = (planned.unwrap_or(unplanned), online_for);
    }

    fn poll_output(&mut self, now: Instant, out: &mut BytesMut) {
        if matches!(&self.stage, Stage::Connecting(attempt) if !matches!(attempt.reached, Reached::Connect(_)))
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
        self.wake = None;
        self.answer_methods(now, out);
        if !self.is_reconnecting() {
            let recorder =
                DeviceRecorder { context: &self.context, device: self.device, excuse: self.excuse };
            let wake = self.messages.send_due(recorder, &mut self.session, now, out);
            self.wake = wake.map(|ns| self.context.at(ns));
            if self.excuse != Excuse::None && !self.has_backlog(now) {
                self.excuse = Excuse::None;
            }
        }
        self.disconnect_when_done(now, out);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let timeouts = [self.session.poll_timeout(), self.wake, self.next_boundary(), self.iot_hub_timeout()];
        timeouts.into_iter().flatten().min()
    }

    fn wants_input(&self) -> bool {
        self.session.wants_input()
    }

    fn poll_close(&self) -> Option<Close> {
        match &self.stage {
            Stage::Disconnecting(Disconnecting { close: Some(close), .. }) => Some(*close),
            _ => self.session.poll_close(),
        }
    }
}
