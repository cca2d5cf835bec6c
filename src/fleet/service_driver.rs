//! The service client of a run, sans-I/O. It determines when each of the plan's calls is due and for which device, and records
//! how the call ends. [`ServiceTask`](super::service_task) polls it for due calls and hands it the results. It does not know how
//! calls are carried to the hub.
//!
//! A call is due only while its device should be online. Like a message, it has four times: due, picked, sent and
//! acknowledged (see [`measure::Times`](crate::measure::Times)). It is `ok` once the hub has answered it, regardless of the status
//! that the device returned.

use super::observer::{Observed, Observer};
use super::open::Open;
use super::{DeviceRef, nanos};
use crate::clock::{RunClock, WallClock};
use crate::iothub::service::{Feedback, ServiceCall, ServiceRequest, ServiceResult};
use crate::iothub::{error_code, properties};
use crate::measure::{Culprit, Key, Outcome, Recorder, Snapshot};
use crate::plan::{
    CallPlan, Cursor, DrivePlan, OnlineChange, PayloadContext, PayloadState, Plan, RunLoads, Segment, Span,
    Spread,
};
use crate::rng::{Purpose, Rng, generator};
use crate::stalls::Stalls;
use rand::RngExt;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Maximum number of calls that [`ServiceDriver::poll`] returns in one batch, so that they do not all start together after a
/// stall.
const CALLS_AT_ONCE: usize = 256;

/// The service client of a run.
pub(crate) struct ServiceDriver {
    plan: Arc<Plan>,
    clock: RunClock,
    wall: WallClock,
    streams: Vec<Stream>,
    /// Number of cloud-to-device messages sent to each device.
    message_counts: HashMap<DeviceRef, u64>,
    recorder: Recorder,
    next_id: u64,
    loads: RunLoads,
    load_end_ns: u64,
    /// Receives the end of each call of a staged run.
    observer: Option<Observer>,
    /// In a staged run, calls wait if they are due at this time or later.
    released_ns: u64,
}

/// The calls of one `[[drive]]`.
struct Stream {
    cursor: Cursor,
    payload: PayloadState,
    /// Chooses the device of each call in a Poisson stream.
    rng: Rng,
    /// Calls without a result, by id. Ids grow and all timeouts are equal, so the first entry times out first.
    open: BTreeMap<u64, Open>,
}

impl ServiceDriver {
    /// Returns the service client of a plan; `None` if the plan makes no calls.
    pub(crate) fn new(
        plan: &Arc<Plan>,
        (clock, wall): (RunClock, WallClock),
        stalls: Rc<Stalls>,
    ) -> Option<ServiceDriver> {
        if plan.drives.is_empty() {
            return None;
        }
        let loads = plan.run_loads();
        // Open-ended, because the load may be extended.
        let whole = Span { from_ns: 0, to_ns: u64::MAX };
        let streams = plan.drives.iter().zip(0_u16..).map(|(drive, number)| {
            let arrivals = Purpose::ServiceArrivals(number);
            let mut cursor = Cursor::new(&drive.arrival, loads.of(drive.fleet), plan.seed, 0, arrivals, 0);
            cursor.enter(whole);
            let rng = generator(plan.seed, 0, Purpose::ServiceDevice(number));
            let payload = drive.payload.state(plan.seed, 0, Purpose::ServicePayload(number));
            Stream { cursor, payload, rng, open: BTreeMap::new() }
        });
        Some(ServiceDriver {
            streams: streams.collect(),
            plan: plan.clone(),
            clock,
            wall,
            message_counts: HashMap::new(),
            recorder: Recorder::new(super::layout(plan), stalls),
            next_id: 0,
            load_end_ns: loads.end_ns(),
            loads,
            observer: None,
            released_ns: u64::MAX,
        })
    }

    /// Makes this a staged run: reports the end of each call, and holds the calls until they are released.
    pub(crate) fn observe(&mut self, observer: Observer) {
        (self.observer, self.released_ns) = (Some(observer), 0);
    }

    /// Releases the calls that are due before `until`.
    pub(crate) fn release(&mut self, until: Duration) {
        self.released_ns = nanos(until);
    }

    /// Returns the time before which a call must be due to be made.
    fn due_before_ns(&self) -> u64 {
        self.load_end_ns.min(self.released_ns)
    }

    /// Appends a segment to the load.
    pub(crate) fn append(&mut self, segment: Segment) {
        if self.loads.append(segment) {
            self.load_end_ns = self.loads.end_ns();
        }
    }

    /// Changes the number of online devices. The coordinator has checked that the change is not too late.
    pub(crate) fn change_online(&mut self, change: OnlineChange) {
        let _ = self.loads.change_online(change);
    }

    /// Ends the load: no further call becomes due.
    pub(crate) fn stop(&mut self, now: Instant) {
        self.load_end_ns = self.load_end_ns.min(self.clock.ns(now));
    }

    /// Returns true if some calls have no result yet.
    pub(crate) fn has_open_calls(&self) -> bool {
        self.streams.iter().any(|stream| !stream.open.is_empty())
    }

    /// Returns when to call [`ServiceDriver::poll`] next: when a call is due or times out.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let next = self.streams.iter().zip(&self.plan.drives).flat_map(|(stream, drive)| {
            let due = stream.cursor.peek().map(|due| due.at_ns).filter(|due| *due < self.due_before_ns());
            let oldest = stream.open.first_key_value();
            [due, oldest.map(|(_, open)| open.picked_ns().saturating_add(nanos(drive.timeout)))]
        });
        next.flatten().min().map(|ns| self.clock.at(ns))
    }

    /// Returns the due calls, and ends the calls that have timed out.
    pub(crate) fn poll(&mut self, now: Instant) -> Vec<ServiceCall> {
        let now_ns = self.clock.ns(now);
        let mut calls = Vec::new();
        for number in 0..self.streams.len() {
            self.expire(number, now_ns);
            while calls.len() < CALLS_AT_ONCE {
                let due = self.streams[number].cursor.peek();
                let Some(due) = due.filter(|due| due.at_ns <= now_ns && due.at_ns < self.due_before_ns())
                else {
                    break;
                };
                self.streams[number].cursor.advance();
                calls.extend(self.call(number, due.seq, due.at_ns, now_ns));
            }
        }
        calls
    }

    /// Makes the n-th call of a stream. Returns `None` if the device should be offline, or if the payload for this device is
    /// invalid. The second case is recorded as the load generator's error.
    fn call(&mut self, number: usize, n: u64, due_ns: u64, now_ns: u64) -> Option<ServiceCall> {
        let plan = self.plan.clone();
        let drive = &plan.drives[number];
        let fleet = &plan.fleets[usize::from(drive.fleet)];
        let stream = &mut self.streams[number];
        let index = match drive.arrival.spread {
            Spread::Poisson => stream.rng.random_range(0..fleet.devices),
            Spread::Regular | Spread::Stratified(_) | Spread::Closed { .. } | Spread::Replay => {
                drive.order.nth(n)
            }
        };
        if u64::from(index) >= plan.planned_online_of((fleet, drive.fleet), &self.loads, due_ns) {
            return None;
        }
        let key = key(&plan, drive, due_ns);
        let open = Open::due(&mut self.recorder, key, due_ns).picked(now_ns);
        let device = fleet.device_id(index);
        match self.request(number, (index, &device), n, now_ns) {
            Ok(request) => {
                self.next_id += 1;
                self.streams[number].open.insert(self.next_id, open);
                Some(ServiceCall { id: self.next_id, device, request })
            }
            Err(error) => {
                let class = ("call_payload", Culprit::Generator);
                self.fail(open, Outcome::Lost, class, now_ns, || error.clone());
                None
            }
        }
    }

    /// Renders the n-th request of a stream. The plan checks each payload for only one device; for another device it may not be
    /// valid JSON.
    fn request(
        &mut self,
        number: usize,
        (index, device): (u32, &str),
        n: u64,
        now_ns: u64,
    ) -> Result<ServiceRequest, String> {
        let drive = &self.plan.drives[number];
        let uptime = Duration::from_nanos(now_ns);
        let now = self.clock.at(now_ns);
        let now_unix = if drive.payload.has_now() { self.wall.unix(now) } else { Duration::ZERO };
        let mut payload = Vec::new();
        let facts = PayloadContext { device, index, seq: n, now_unix, uptime };
        drive.payload.render(&mut self.streams[number].payload, &facts, &mut payload);
        // Nothing is lost: templates are text.
        let payload = String::from_utf8_lossy(&payload).into_owned();
        Ok(match &drive.call {
            CallPlan::Method { name, response_timeout, connect_timeout } => ServiceRequest::InvokeMethod {
                name: name.clone(),
                // Without a payload the device gets an empty body, not `null`.
                payload: if payload.is_empty() { None } else { Some(parse_payload(&payload)?) },
                response_timeout: *response_timeout,
                connect_timeout: *connect_timeout,
            },
            CallPlan::Desired => ServiceRequest::UpdateDesired { patch: parse_payload(&payload)? },
            CallPlan::C2d { properties, ttl } => {
                let count = self.message_counts.entry(DeviceRef { fleet: drive.fleet, index }).or_default();
                // Devices compute the age of a message with the same clock, so that a step of the wall clock does not affect it.
                let sent_unix = self.clock.unstepped_unix(now);
                let stamps = [
                    (properties::SENT.to_owned(), sent_unix.as_micros().to_string()),
                    (properties::SEQ.to_owned(), count.to_string()),
                ];
                *count += 1;
                ServiceRequest::SendMessage {
                    message_id: None,
                    properties: properties.iter().cloned().chain(stamps).collect(),
                    payload,
                    ttl: *ttl,
                    ack: Feedback::None,
                }
            }
        })
    }

    /// Ends the call that a result belongs to. A result after the timeout has no effect.
    pub(crate) fn handle_result(&mut self, result: &ServiceResult, now: Instant) {
        let now_ns = self.clock.ns(now);
        let found = self.streams.iter_mut().find_map(|stream| stream.open.remove(&result.id));
        let Some(open) = found else { return };
        let sent_ns = open.picked_ns();
        match &result.result {
            Ok(response) => {
                if let Some(observer) = &self.observer {
                    let took = Duration::from_nanos(now_ns.saturating_sub(sent_ns));
                    let (key, status) = (open.key(), response.status);
                    observer.send(Observed::Ended { key, outcome: Outcome::Ok, took, status });
                }
                open.ok(&mut self.recorder, sent_ns, now_ns);
            }
            Err(failure) => {
                let (outcome, class) = outcome_and_class(failure.code);
                let text = || format!("{} {}", failure.code, failure.message);
                self.fail(open, outcome, (class, Culprit::Target), now_ns, text);
            }
        }
    }

    /// Ends a call that failed, and counts the error. Only a call that could not be made is the load generator's fault.
    fn fail(
        &mut self,
        open: Open,
        outcome: Outcome,
        (class, culprit): (&'static str, Culprit),
        now_ns: u64,
        what: impl Fn() -> String,
    ) {
        let (key, sent_ns) = (open.key(), open.picked_ns());
        let text = || format!("{}: {}", key.operation, what());
        if let Some(observer) = &self.observer {
            observer.send(Observed::Failed { fleet: key.fleet, class, text: text() });
            observer.ended(key, outcome, [sent_ns, now_ns]);
        }
        open.ended(&mut self.recorder, outcome, now_ns, culprit == Culprit::Generator);
        self.recorder.error(class, culprit, now_ns, text);
    }

    /// Ends the calls of a stream that have timed out.
    fn expire(&mut self, number: usize, now_ns: u64) {
        let timeout_ns = nanos(self.plan.drives[number].timeout);
        while let Some(oldest) = self.streams[number].open.first_entry()
            && oldest.get().picked_ns().saturating_add(timeout_ns) <= now_ns
        {
            let open = oldest.remove();
            let class = ("call_timeout", Culprit::Target);
            self.fail(open, Outcome::TimedOut, class, now_ns, || "no answer from the hub".to_owned());
        }
    }

    /// Ends all calls without a result at the end of the run.
    pub(crate) fn settle(&mut self, now: Instant) {
        let now_ns = self.clock.ns(now);
        for stream in &mut self.streams {
            for (_, open) in std::mem::take(&mut stream.open) {
                open.ended(&mut self.recorder, Outcome::Unfinished, now_ns, false);
            }
        }
    }

    /// Returns the numbers recorded since the previous call.
    pub(crate) fn swap(&mut self) -> Snapshot {
        self.recorder.swap()
    }

    /// Takes back a snapshot to reuse its memory.
    pub(crate) fn recycle(&mut self, snapshot: Snapshot) {
        self.recorder.recycle(snapshot);
    }
}

fn key(plan: &Plan, drive: &DrivePlan, due_ns: u64) -> Key {
    Key { operation: drive.call.operation(), fleet: drive.fleet, phase: plan.schedule.phase_at(due_ns) }
}

/// Parses the JSON payload of a call.
fn parse_payload<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| {
        let what = match error.classify() {
            // serde's message would repeat the value, which may contain a secret.
            serde_json::error::Category::Data => "not a JSON object".to_owned(),
            _ => format!("not JSON: {error}"),
        };
        format!("the payload for this device is {what}")
    })
}

/// Returns the outcome and the error class of a call that failed with an error code from the hub.
fn outcome_and_class(code: u32) -> (Outcome, &'static str) {
    match code {
        error_code::DEVICE_NOT_ONLINE => (Outcome::Refused, "call_device_not_online"),
        error_code::DEVICE_NOT_FOUND => (Outcome::Refused, "call_device_not_found"),
        error_code::DEVICE_MAXIMUM_QUEUE_DEPTH_EXCEEDED => (Outcome::Refused, "call_queue_full"),
        error_code::DEVICE_MAXIMUM_INFLIGHT_METHOD_EXCEEDED => (Outcome::Refused, "call_methods_in_flight"),
        error_code::GATEWAY_TIMEOUT => (Outcome::TimedOut, "call_no_answer"),
        _ => match error_code::status(code) {
            429 => (Outcome::Throttled, "call_throttled"),
            400..=499 => (Outcome::Refused, "call_refused"),
            _ => (Outcome::Refused, "call_failed"),
        },
    }
}

#[cfg(test)]
mod tests;
