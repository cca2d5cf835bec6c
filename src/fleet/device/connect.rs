//! How a device comes online: credentials, CONNECT, what CONNACK means for the books, subscriptions. A part of
//! `device`.

use super::{Account, Device, Stage};
use crate::measure::{Culprit, Operation, Outcome, Times};
use crate::plan::{Names, PayloadContext, Subscription, WillPlan};
use crate::session::Credentials;
use crate::units::human_duration;
use crate::wire::encode::WillRef;
use crate::wire::{QoS, SUBACK_FAILURE};
use bytes::BytesMut;
use std::time::Instant;

/// The connection attempt under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) due_ns: u64,
    pub(super) picked: Instant,
    /// When it has taken too long, CONNACK included.
    pub(super) deadline: Instant,
    pub(super) connect_sent: Option<Instant>,
}

/// Why a connection is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The plan wants the device online.
    Plan,
    /// The one before went away.
    Loss,
    /// Its token was about to expire.
    Renewal,
    /// A method asked for it.
    Method,
}

/// How far the connection's subscriptions are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subscribe {
    Due,
    /// SUBSCRIBE is out, and without its answer.
    Sent(Instant),
    /// Answered, or not in time, or there was nothing to ask.
    Done,
    /// UNSUBSCRIBE is out, and without its answer.
    Ending,
    /// Nothing is subscribed to any more.
    Ended,
}

impl Device {
    pub(super) fn on_connected(&mut self, now: Instant) {
        let Stage::Connecting(attempt) = self.stage else { return };
        self.stage = Stage::Online { since: now };
        let account = self.account();
        let acked = self.context.ns(now);
        let picked = self.context.ns(attempt.picked).max(attempt.due_ns);
        account.ok(Operation::Connect, &Times { due: attempt.due_ns, picked, sent: picked, acked });
        if let Some(sent) = attempt.connect_sent {
            account.step_ok(Operation::ConnectMqtt, attempt.due_ns, now, now.saturating_duration_since(sent));
        }
        account.online(1);
        self.context.understood.set(true);
        match self.reason {
            Reason::Plan => {}
            Reason::Loss | Reason::Method => account.count(|counts| counts.reconnects += 1),
            Reason::Renewal => account.count(|counts| counts.renewals += 1),
        }
        self.end_renewal(picked, acked);
        self.subscribe = Subscribe::Due;
        if let Some(due) = self.online_due_ns.take() {
            self.account().ok(Operation::Online, &Times { due, picked: due, sent: due, acked });
            self.miss(due, acked);
        }
    }

    pub(super) fn connect(&mut self, now: Instant, out: &mut BytesMut) {
        let context = self.context.clone();
        let plan = &context.plan;
        let fleet = &plan.fleets[usize::from(self.fleet)];
        let id = self.id();
        let credentials = fleet.auth.credentials(&plan.target, &id, self.index, context.unix(now));
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
            let account = Account { context: &context, fleet: self.fleet };
            account.error("encode", Culprit::Us, now, || format!("{id}: {error}"));
        }
        if let Stage::Connecting(attempt) = &mut self.stage {
            attempt.connect_sent = Some(now);
        }
    }

    /// Its topic and payload for this connection. Made anew each time: most devices connect once.
    fn will<'a>(&self, will: &'a WillPlan, id: &str, now: Instant) -> (&'a WillPlan, String, Vec<u8>) {
        let context = &self.context;
        let global = self.plan().first + u64::from(self.index);
        let facts = PayloadContext {
            device: id,
            index: self.index,
            seq: 0,
            now_unix: context.unix(now),
            uptime: context.clock.since(now),
        };
        let mut payload = Vec::new();
        // No stream has this number: a fleet's are counted from 0.
        let mut state = will.payload.state(context.plan.seed, global, u16::MAX);
        will.payload.render(&mut state, &facts, &mut payload);
        (will, will.topic.render(&Names { device: id, index: self.index }), payload)
    }

    /// When SUBACK ought to have come, if it is awaited.
    pub(super) fn suback_by(&self) -> Option<Instant> {
        match self.subscribe {
            Subscribe::Sent(sent) => Some(sent + self.plan().ack_timeout),
            _ => None,
        }
    }

    /// SUBACK came. What was granted counts also when the answer is late, or another filter was refused.
    pub(super) fn on_suback(&mut self, sent: Instant, granted: &[u8], now: Instant) {
        let account = self.account();
        if !matches!(self.subscribe, Subscribe::Sent(_)) {
            account.count(|counts| counts.late_acks += 1);
        } else if !granted.contains(&SUBACK_FAILURE) {
            account.took(Operation::Subscribe, sent, now);
        } else {
            let (due_ns, at_ns) = (self.context.ns(sent), self.context.ns(now));
            account.ended(Operation::Subscribe, Outcome::Refused, due_ns, at_ns);
            account.error("subscribe_refused", Culprit::Peer, now, || {
                let filters = self.filters();
                let mut refused = granted.iter().zip(&filters).filter(|(code, _)| **code == SUBACK_FAILURE);
                format!("{}: {}", self.id(), refused.next().map_or("", |(_, (filter, _))| filter))
            });
        }
        if let Subscribe::Sent(_) = self.subscribe {
            self.subscribe = Subscribe::Done;
        }
        self.subscribed(granted, now);
    }

    /// SUBACK did not come in time. The connection goes on: what is published may be taken all the same.
    pub(super) fn heed_suback(&mut self, now: Instant) {
        let Subscribe::Sent(sent) = self.subscribe else { return };
        if self.suback_by().is_none_or(|by| now < by) {
            return;
        }
        self.subscribe = Subscribe::Done;
        let account = self.account();
        account.ended(Operation::Subscribe, Outcome::TimedOut, self.context.ns(sent), self.context.ns(now));
        account.error("subscribe_timeout", Culprit::Peer, now, || {
            format!("{}: no SUBACK within {}", self.id(), human_duration(self.plan().ack_timeout))
        });
    }

    /// What a connection subscribes to, in this order.
    pub(super) fn filters(&self) -> Vec<(String, QoS)> {
        let fleet = self.plan();
        let id = self.id();
        let names = Names { device: &id, index: self.index };
        let mut filters: Vec<(String, QoS)> = Vec::new();
        for subscription in &fleet.subscribe {
            match subscription {
                Subscription::C2d => {
                    filters.push((crate::iothub::topics::c2d(&id), fleet.subscribe_qos.c2d));
                }
                Subscription::Twin => {
                    let twin = [crate::iothub::topics::TWIN_RESPONSES, crate::iothub::topics::TWIN_DESIRED];
                    filters.extend(twin.map(|filter| (filter.to_owned(), fleet.subscribe_qos.twin)));
                }
                Subscription::Methods => {
                    let methods = crate::iothub::topics::METHODS.to_owned();
                    filters.push((methods, fleet.subscribe_qos.methods));
                }
                Subscription::Filter(filter, qos) => filters.push((filter.render(&names), *qos)),
            }
        }
        filters
    }

    pub(super) fn subscribe(&mut self, now: Instant, out: &mut BytesMut) {
        self.subscribe = Subscribe::Done;
        let filters = self.filters();
        if filters.is_empty() {
            return;
        }
        let filters: Vec<(&str, QoS)> = filters.iter().map(|(filter, qos)| (filter.as_str(), *qos)).collect();
        match self.session.subscribe(now, &filters, out) {
            Ok(_) => self.subscribe = Subscribe::Sent(now),
            Err(error) => {
                self.account().error("encode", Culprit::Us, now, || format!("{}: {error}", self.id()));
            }
        }
    }
}

/// The one CONNACK code that asks to try again (MQTT 3.1.1 §3.2.2.3).
pub(super) const CONNACK_UNAVAILABLE: u8 = 3;

/// A stable class for each CONNACK return code (MQTT 3.1.1 §3.2.2.3).
pub(super) fn connack_class(code: u8) -> &'static str {
    match code {
        1 => "connack_1",
        2 => "connack_2",
        3 => "connack_3",
        4 => "connack_4",
        5 => "connack_5",
        _ => "connack_unknown",
    }
}

/// What the standard calls it (MQTT 3.1.1 §3.2.2.3).
pub(super) fn connack_meaning(code: u8) -> &'static str {
    match code {
        1 => "unacceptable protocol version",
        2 => "identifier rejected",
        3 => "server unavailable",
        4 => "bad user name or password",
        5 => "not authorised",
        _ => "not defined by MQTT 3.1.1",
    }
}
