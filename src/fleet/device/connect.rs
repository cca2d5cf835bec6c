//! Connects a device: credentials, CONNECT, the records at CONNACK, and subscriptions. Part of `device`.

use super::state::{Attempt, Reached, SubscribeState};
use super::{ConnectionEnd, ConnectionState, Device, DeviceRecorder, Excuse};
use crate::fleet::observer::Observed;
use crate::fleet::open::Open;
use crate::measure::{Culprit, Operation, Outcome};
use crate::plan::{PayloadContext, TemplateContext, WillPlan};
use crate::rng::Purpose;
use crate::session::Credentials;
use crate::units::human_duration;
use crate::wire::encode::WillRef;
use crate::wire::{QoS, SUBACK_FAILURE};
use bytes::BytesMut;
use std::time::{Duration, Instant};

impl Device {
    pub(super) fn on_connected(&mut self, now: Instant) {
        self.record_token_accepted(now);
        let Some(Attempt { open, reached, .. }) = self.take_attempt() else { return };
        self.connection = ConnectionState::Online { since: now };
        let recorder = self.recorder();
        let (due_ns, picked_ns) = (open.due_ns(), open.picked_ns());
        recorder.done(open, now);
        if let Reached::Connect(sent) = reached {
            recorder.step_ok(Operation::ConnectMqtt, due_ns, now, now.saturating_duration_since(sent));
        }
        recorder.went_online(now);
        recorder.connected_to_host();
        match self.connect_reason {
            ConnectionEnd::Finished | ConnectionEnd::Left | ConnectionEnd::Failed => {}
            ConnectionEnd::Lost | ConnectionEnd::Method | ConnectionEnd::Disconnected => {
                recorder.count(|counts| counts.reconnects += 1)
            }
            ConnectionEnd::Renewal => recorder.count(|counts| counts.renewals += 1),
        }
        self.end_renewal(picked_ns, now);
        self.plan_disconnect(now);
        self.subscribe = SubscribeState::Due;
        if let Some(open) = self.online_operation.take() {
            let due_ns = open.due_ns();
            self.end_outage(due_ns, now, true);
            self.recorder().done(open, now);
            self.skip_due(due_ns, self.context.ns(now));
        }
    }

    pub(super) fn connect(&mut self, now: Instant, out: &mut BytesMut) {
        let context = self.context.clone();
        let plan = &context.plan;
        let fleet = &plan.fleets[usize::from(self.device.fleet)];
        let id = self.id();
        let host = &context.hosts.endpoint(self.global_index()).host;
        let credentials = fleet.auth.credentials(host, &id, self.device.index, context.compare_clocks(now));
        self.token_expiry_unix = credentials.expiry_unix.unwrap_or(0);
        if let Some(life) = fleet.auth.tokens() {
            self.plan_renewal(life, now);
        }
        let offer = Credentials {
            client_id: &id,
            username: credentials.user_name.as_deref(),
            password: credentials.password.as_ref().map(|password| password.as_slice()),
        };
        let will = fleet.will.as_ref().map(|will| self.will(will, &id, now));
        let will = will.as_ref().map(|(plan, topic, payload)| WillRef {
            topic,
            payload,
            qos: plan.qos,
            retain: plan.retain,
        });
        if let Err(error) = self.session.connect_with_will(now, &offer, will, out) {
            let recorder = DeviceRecorder { context: &context, device: self.device, excuse: self.excuse };
            recorder.error("encode", Culprit::Generator, now, || format!("{id}: {error}"));
            self.excuse = Excuse::Machine;
        }
        if let ConnectionState::Connecting(attempt) = &mut self.connection {
            attempt.reached = Reached::Connect(now);
        }
    }

    /// Returns the topic and payload of the will for this connection. Not cached, because most devices connect only once.
    fn will<'a>(&self, will: &'a WillPlan, id: &str, now: Instant) -> (&'a WillPlan, String, Vec<u8>) {
        let context = &self.context;
        let global = self.plan().first + u64::from(self.device.index);
        let facts = PayloadContext {
            device: id,
            index: self.device.index,
            seq: 0,
            now_unix: if will.payload.has_now() { context.unix(now) } else { Duration::ZERO },
            uptime: context.clock.since(now),
        };
        let mut payload = Vec::new();
        let mut state = will.payload.state(context.plan.seed, global, Purpose::Will);
        will.payload.render(&mut state, &facts, &mut payload);
        (will, will.topic.render(&TemplateContext { device: id, index: self.device.index }), payload)
    }

    /// Ends the wait for SUBACK. Returns the operation if it was open.
    fn take_subscribe(&mut self) -> Option<Open> {
        match std::mem::replace(&mut self.subscribe, SubscribeState::Done) {
            SubscribeState::Sent(open) => Some(*open),
            other => {
                self.subscribe = other;
                None
            }
        }
    }

    /// Returns the deadline for SUBACK, if it has not arrived.
    pub(super) fn suback_by(&self) -> Option<Instant> {
        match &self.subscribe {
            SubscribeState::Sent(open) => Some(self.context.at(open.due_ns()) + self.plan().ack_timeout),
            _ => None,
        }
    }

    /// Handles SUBACK. Granted filters count even if the packet is late or another filter was refused.
    pub(super) fn on_suback(&mut self, granted: &[u8], now: Instant) {
        let open = self.take_subscribe();
        let recorder = self.recorder();
        recorder.report(|fleet| Observed::Subscribed { fleet, granted: granted.to_vec() });
        match open {
            None => recorder.count(|counts| counts.late_subacks += 1),
            Some(open) if !granted.contains(&SUBACK_FAILURE) => recorder.done(open, now),
            Some(open) => {
                recorder.error("subscribe_refused", Culprit::Target, now, || {
                    let filters = self.filters();
                    let mut refused =
                        granted.iter().zip(&filters).filter(|(code, _)| **code == SUBACK_FAILURE);
                    let filter = refused.next().map_or("", |(_, (filter, _))| filter);
                    format!("{}: the server refused the subscription to {filter}", self.id())
                });
                recorder.ended(open, Outcome::Refused, now);
            }
        }
        self.on_subscriptions_granted(granted, now);
    }

    /// Handles a SUBACK that did not arrive in time. The connection continues, because messages can still be published.
    pub(super) fn on_timeout_suback(&mut self, now: Instant) {
        if self.suback_by().is_none_or(|by| now < by) {
            return;
        }
        let Some(open) = self.take_subscribe() else { return };
        let recorder = self.recorder();
        recorder.error("subscribe_timeout", Culprit::Target, now, || {
            format!("{}: no SUBACK within {}", self.id(), human_duration(self.plan().ack_timeout))
        });
        recorder.ended(open, Outcome::TimedOut, now);
    }

    /// Returns the filters of a connection, in the order in which SUBSCRIBE lists them.
    pub(super) fn filters(&self) -> Vec<(String, QoS)> {
        self.plan().filters(self.device.index)
    }

    pub(super) fn subscribe(&mut self, now: Instant, out: &mut BytesMut) {
        self.subscribe = SubscribeState::Done;
        let filters = self.filters();
        if filters.is_empty() {
            return;
        }
        let filters: Vec<(&str, QoS)> = filters.iter().map(|(filter, qos)| (filter.as_str(), *qos)).collect();
        match self.session.subscribe(now, &filters, out) {
            Ok(_) => {
                let open = self.recorder().due(Operation::Subscribe, self.context.ns(now));
                self.subscribe = SubscribeState::Sent(Box::new(open));
            }
            Err(error) => {
                self.recorder()
                    .error("encode", Culprit::Generator, now, || format!("{}: {error}", self.id()));
            }
        }
    }
}

/// The only CONNACK code that suggests trying again (MQTT 3.1.1 §3.2.2.3).
pub(super) const CONNACK_UNAVAILABLE: u8 = 3;

/// Returns true if a CONNACK code may refer to the token (MQTT 3.1.1 §3.2.2.3).
pub(super) fn is_about_credentials(code: u8) -> bool {
    matches!(code, 4 | 5)
}

/// Returns the error class of a CONNACK return code (MQTT 3.1.1 §3.2.2.3).
pub(crate) fn connack_class(code: u8) -> &'static str {
    match code {
        1 => "connack_1",
        2 => "connack_2",
        3 => "connack_3",
        4 => "connack_4",
        5 => "connack_5",
        _ => "connack_unknown",
    }
}

/// Returns the standard's name for a CONNACK return code (MQTT 3.1.1 §3.2.2.3).
pub(super) fn connack_meaning(code: u8) -> &'static str {
    match code {
        1 => "unacceptable protocol version",
        2 => "identifier rejected",
        3 => "server unavailable",
        4 => "bad user name or password",
        5 => "not authorized",
        _ => "not defined by MQTT 3.1.1",
    }
}
