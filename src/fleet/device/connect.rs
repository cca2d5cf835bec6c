//! How a device comes online: credentials, CONNECT, what CONNACK means for the books, subscriptions. A part of
//! `device`.

use super::{Account, Device};
use crate::fleet::nanos;
use crate::measure::{Culprit, Operation, Outcome, Times};
use crate::plan::{Names, Offline, Subscription};
use crate::session::Credentials;
use crate::wire::QoS;
use bytes::BytesMut;
use rand::RngExt;
use std::time::Instant;

/// Renewals happen in the last tenth before `renew_at`, spread evenly: a ramp must not come back as a storm.
const RENEWAL_JITTER: f64 = 0.10;

impl Device {
    pub(super) fn on_connected(&mut self, now: Instant) {
        let context = self.context.clone();
        let account = Account { context: &context, fleet: self.fleet };
        let Some(attempt) = self.attempt.take() else { return };
        let acked = context.ns(now);
        let picked = context.ns(attempt.picked).max(attempt.due_ns);
        account.ok(Operation::Connect, &Times { due: attempt.due_ns, picked, sent: picked, acked });
        if let Some(sent) = attempt.connect_sent {
            let key = context.key(Operation::ConnectMqtt, self.fleet, attempt.due_ns);
            let took = nanos(now.saturating_duration_since(sent));
            context.recorder.borrow_mut().duration(key, took);
        }
        if let Some(due) = self.online_due_ns.take() {
            account.ok(Operation::Online, &Times { due, picked: due, sent: due, acked });
        }
        account.online(1);
        (self.connected, self.was_online) = (true, true);
        self.subscribed = false;
        let fleet = &context.plan.fleets[usize::from(self.fleet)];
        if fleet.offline == Offline::Skip {
            self.messages.skip(account, acked, Outcome::Offline);
        }
    }

    pub(super) fn connect(&mut self, now: Instant, out: &mut BytesMut) {
        let context = self.context.clone();
        let plan = &context.plan;
        let fleet = &plan.fleets[usize::from(self.fleet)];
        let credentials = fleet.auth.credentials(&plan.target, &self.id, self.index, context.unix(now));
        self.renew_at = credentials
            .renew_after
            .map(|after| now + after.mul_f64(1.0 - RENEWAL_JITTER * self.rng.random::<f64>()));
        let offer = Credentials {
            client_id: &self.id,
            username: credentials.user_name.as_deref(),
            password: credentials.password.as_ref().map(|password| password.as_slice()),
        };
        if let Err(error) = self.session.connect(now, &offer, out) {
            let account = Account { context: &context, fleet: self.fleet };
            account.error("encode", Culprit::Us, now, || format!("{}: {error}", self.id));
        }
        if let Some(attempt) = &mut self.attempt {
            attempt.connect_sent = Some(now);
        }
    }

    pub(super) fn subscribe(&mut self, now: Instant, out: &mut BytesMut) {
        self.subscribed = true;
        let context = self.context.clone();
        let fleet = &context.plan.fleets[usize::from(self.fleet)];
        let names = Names { device: &self.id, index: self.index };
        let mut filters: Vec<(String, QoS)> = Vec::new();
        for subscription in &fleet.subscribe {
            match subscription {
                Subscription::C2d => {
                    filters.push((crate::iothub::topics::c2d(&self.id), QoS::AtLeastOnce));
                }
                Subscription::Twin => {
                    let twin = [crate::iothub::topics::TWIN_RESPONSES, crate::iothub::topics::TWIN_DESIRED];
                    filters.extend(twin.map(|filter| (filter.to_owned(), QoS::AtMostOnce)));
                }
                Subscription::Filter(filter) => filters.push((filter.render(&names), QoS::AtLeastOnce)),
            }
        }
        if filters.is_empty() {
            return;
        }
        let filters: Vec<(&str, QoS)> = filters.iter().map(|(filter, qos)| (filter.as_str(), *qos)).collect();
        self.subscribe_sent = Some(now);
        if let Err(error) = self.session.subscribe(now, &filters, out) {
            self.subscribe_sent = None;
            let account = Account { context: &context, fleet: self.fleet };
            account.error("encode", Culprit::Us, now, || format!("{}: {error}", self.id));
        }
    }
}

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
