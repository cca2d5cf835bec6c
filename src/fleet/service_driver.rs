//! The service side of a run: what the plan has it call, how long each call takes, how it ends. Sans-I/O: the collector
//! (`fleet::run`) asks for what is due and hands in the answers; who carries them is `app`'s business.
//!
//! A call is due to a device, and only while the plan has that device online. Its four instants are those of a message; it
//! is `ok` once the hub has answered it, whatever a device said in that answer.

use super::open::Open;
use super::{DeviceRef, nanos};
use crate::clock::{RunClock, WallClock};
use crate::iothub::properties;
use crate::measure::{Culprit, Key, Outcome, Recorder, Snapshot};
use crate::plan::{
    CallPlan, Cursor, DrivePlan, PayloadContext, PayloadState, Plan, RunLoad, Segment, Span, Spread,
};
use crate::rng::{Purpose, Rng, generator};
use crate::stalls::Stalls;
use rand::RngExt;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Calls that are handed out at once, so that a stall of the collector does not come back as one long list.
const CALLS_AT_ONCE: usize = 256;

/// A call to be carried to the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Comes back with its answer.
    pub id: u64,
    /// To which device.
    pub device: String,
    /// What is asked of the hub.
    pub ask: Ask,
}

/// What is asked of a hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A direct method.
    Method {
        /// Its name.
        name: String,
        /// JSON, or empty.
        payload: String,
        /// How long the hub is to wait for the device's answer.
        response_timeout: Duration,
        /// How long the hub is to wait for the device to connect.
        connect_timeout: Duration,
    },
    /// A change of desired properties.
    Desired {
        /// A JSON object.
        patch: String,
    },
    /// A cloud-to-device message.
    C2d {
        /// Names and values.
        properties: Vec<(String, String)>,
        /// The message.
        payload: String,
        /// How long the hub is to keep it.
        ttl: Option<Duration>,
    },
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The call's id.
    pub id: u64,
    /// Whether it succeeded.
    pub result: Result<(), CallError>,
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The hub answered with a code ("Troubleshoot Azure IoT Hub error codes") and a text.
    Hub(u32, String),
    /// The load generator did not send it: the payload for this device is not valid JSON, or not a JSON object.
    Payload(String),
    /// The load generator did not send it: it could not be encoded.
    Encode(String),
}

/// The service side of a run.
pub(crate) struct ServiceDriver {
    plan: Arc<Plan>,
    clock: RunClock,
    wall: WallClock,
    streams: Vec<Stream>,
    /// Numbers of the cloud-to-device messages to a device, by device.
    numbers: HashMap<DeviceRef, u64>,
    recorder: Recorder,
    next_id: u64,
    load: RunLoad,
    load_end_ns: u64,
}

/// One `[[drive]]`.
struct Stream {
    cursor: Cursor,
    payload: PayloadState,
    /// Whom a Poisson stream calls.
    rng: Rng,
    /// Oldest first: ids grow, and all have the same timeout.
    open: BTreeMap<u64, Open>,
}

impl ServiceDriver {
    /// The service side of a plan; `None` if it has none.
    pub(crate) fn new(
        plan: &Arc<Plan>,
        (clock, wall): (RunClock, WallClock),
        stalls: Rc<Stalls>,
    ) -> Option<ServiceDriver> {
        if plan.drives.is_empty() {
            return None;
        }
        let load = RunLoad::new(plan.schedule.load());
        // As long as the load, which may be extended.
        let whole = Span { from_ns: 0, to_ns: u64::MAX };
        let streams = plan.drives.iter().zip(0_u16..).map(|(drive, number)| {
            let arrivals = Purpose::ServiceArrivals(number);
            let mut cursor = Cursor::new(&drive.arrival, &load, plan.seed, 0, arrivals, 0);
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
            numbers: HashMap::new(),
            recorder: Recorder::new(super::layout(plan), stalls),
            next_id: 0,
            load_end_ns: load.end_ns(),
            load,
        })
    }

    /// Appends a segment to the load.
    pub(crate) fn append(&mut self, segment: Segment) {
        if self.load.append(segment) {
            self.load_end_ns = self.load.end_ns();
        }
    }

    /// Nothing is due from here on.
    pub(crate) fn stop(&mut self, now: Instant) {
        self.load_end_ns = self.load_end_ns.min(self.clock.ns(now));
    }

    /// Whether a call has no answer yet.
    pub(crate) fn waits_for_answers(&self) -> bool {
        self.streams.iter().any(|stream| !stream.open.is_empty())
    }

    /// When `poll` has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let next = self.streams.iter().zip(&self.plan.drives).flat_map(|(stream, drive)| {
            let due = stream.cursor.peek().map(|due| due.at_ns).filter(|due| *due < self.load_end_ns);
            let oldest = stream.open.first_key_value();
            [due, oldest.map(|(_, open)| open.picked_ns().saturating_add(nanos(drive.timeout)))]
        });
        next.flatten().min().map(|ns| self.clock.at(ns))
    }

    /// The calls that are due; and those that nobody answered in time end.
    pub(crate) fn poll(&mut self, now: Instant) -> Vec<Call> {
        let now_ns = self.clock.ns(now);
        let mut calls = Vec::new();
        for number in 0..self.streams.len() {
            self.expire(number, now_ns);
            while calls.len() < CALLS_AT_ONCE {
                let due = self.streams[number].cursor.peek();
                let Some(due) = due.filter(|due| due.at_ns <= now_ns && due.at_ns < self.load_end_ns) else {
                    break;
                };
                self.streams[number].cursor.advance();
                calls.extend(self.call(number, due.seq, due.at_ns, now_ns));
            }
        }
        calls
    }

    /// The n-th call of a stream; `None` if the plan has its device offline.
    fn call(&mut self, number: usize, n: u64, due_ns: u64, now_ns: u64) -> Option<Call> {
        let plan = self.plan.clone();
        let drive = &plan.drives[number];
        let fleet = &plan.fleets[usize::from(drive.fleet)];
        let stream = &mut self.streams[number];
        let index = match drive.arrival.spread {
            Spread::Poisson => stream.rng.random_range(0..fleet.devices),
            Spread::Regular | Spread::Stratified(_) | Spread::Closed { .. } => drive.order.nth(n),
        };
        if u64::from(index) >= plan.schedule.planned_online(due_ns, fleet.devices.into()) {
            return None;
        }
        let key = key(&plan, drive, due_ns);
        let open = Open::due(&mut self.recorder, key, due_ns).picked(now_ns);
        let device = fleet.device_id(index);
        let uptime = Duration::from_nanos(now_ns);
        let now = self.clock.at(now_ns);
        let now_unix = if drive.payload.has_now() { self.wall.unix(now) } else { Duration::ZERO };
        let mut payload = Vec::new();
        let facts = PayloadContext { device: &device, index, seq: n, now_unix, uptime };
        drive.payload.render(&mut stream.payload, &facts, &mut payload);
        // Templates are text.
        let payload = String::from_utf8_lossy(&payload).into_owned();
        let ask = match &drive.call {
            CallPlan::Method { name, response_timeout, connect_timeout } => Ask::Method {
                name: name.clone(),
                payload,
                response_timeout: *response_timeout,
                connect_timeout: *connect_timeout,
            },
            CallPlan::Desired => Ask::Desired { patch: payload },
            CallPlan::C2d { properties, ttl } => {
                let number = self.numbers.entry(DeviceRef { fleet: drive.fleet, index }).or_default();
                // The run's own devices compute the age with this clock, so that a step of the wall clock does not affect it.
                let sent_unix = self.clock.unstepped_unix(now);
                let stamps = [
                    (properties::SENT.to_owned(), sent_unix.as_micros().to_string()),
                    (properties::SEQ.to_owned(), number.to_string()),
                ];
                *number += 1;
                let properties = properties.iter().cloned().chain(stamps).collect();
                Ask::C2d { properties, payload, ttl: *ttl }
            }
        };
        self.next_id += 1;
        stream.open.insert(self.next_id, open);
        Some(Call { id: self.next_id, device, ask })
    }

    /// An answer came. One that is too late, or to nothing, means nothing any more.
    pub(crate) fn answered(&mut self, answered: &Answered, now: Instant) {
        let now_ns = self.clock.ns(now);
        let found = self.streams.iter_mut().find_map(|stream| stream.open.remove(&answered.id));
        let Some(open) = found else { return };
        let (operation, sent_ns) = (open.operation(), open.picked_ns());
        match &answered.result {
            Ok(()) => open.ok(&mut self.recorder, sent_ns, now_ns),
            Err(CallError::Hub(code, text)) => {
                let (outcome, class) = meaning(*code);
                open.ended(&mut self.recorder, outcome, now_ns, false);
                self.recorder.error(class, Culprit::Peer, now_ns, || format!("{operation}: {code} {text}"));
            }
            Err(CallError::Payload(text)) => self.not_sent(open, "call_payload", text, now_ns),
            Err(CallError::Encode(text)) => self.not_sent(open, "encode", text, now_ns),
        }
    }

    /// Ends a call that the hub never received: the failure is the load generator's.
    fn not_sent(&mut self, open: Open, class: &'static str, text: &str, now_ns: u64) {
        let operation = open.operation();
        open.ended(&mut self.recorder, Outcome::Lost, now_ns, true);
        self.recorder.error(class, Culprit::Us, now_ns, || format!("{operation}: {text}"));
    }

    fn expire(&mut self, number: usize, now_ns: u64) {
        let plan = self.plan.clone();
        let drive = &plan.drives[number];
        let timeout_ns = nanos(drive.timeout);
        while let Some(oldest) = self.streams[number].open.first_entry()
            && oldest.get().picked_ns().saturating_add(timeout_ns) <= now_ns
        {
            let open = oldest.remove();
            let operation = open.operation();
            open.ended(&mut self.recorder, Outcome::TimedOut, now_ns, false);
            let example = || format!("{operation}: no answer at all");
            self.recorder.error("call_timeout", Culprit::Peer, now_ns, example);
        }
    }

    /// The run is over: what has no answer is unfinished.
    pub(crate) fn settle(&mut self, now: Instant) {
        let now_ns = self.clock.ns(now);
        for stream in &mut self.streams {
            for (_, open) in std::mem::take(&mut stream.open) {
                open.ended(&mut self.recorder, Outcome::Unfinished, now_ns, false);
            }
        }
    }

    /// What was counted since the last time.
    pub(crate) fn swap(&mut self) -> Snapshot {
        self.recorder.swap()
    }

    /// Gives cleared histograms back.
    pub(crate) fn recycle(&mut self, snapshot: Snapshot) {
        self.recorder.recycle(snapshot);
    }
}

fn key(plan: &Plan, drive: &DrivePlan, due_ns: u64) -> Key {
    Key { operation: drive.call.operation(), fleet: drive.fleet, phase: plan.schedule.phase_at(due_ns) }
}

/// What a hub's code means to a call, and its error class
/// ("Troubleshoot Azure IoT Hub error codes"; the first three digits are those of HTTP).
fn meaning(code: u32) -> (Outcome, &'static str) {
    match code {
        404_103 => (Outcome::Refused, "call_device_not_online"),
        404_001 => (Outcome::Refused, "call_device_not_found"),
        403_004 => (Outcome::Refused, "call_queue_full"),
        403_800 => (Outcome::Refused, "call_methods_in_flight"),
        504_101 => (Outcome::TimedOut, "call_no_answer"),
        429_000..=429_999 => (Outcome::Throttled, "call_throttled"),
        400_000..=499_999 => (Outcome::Refused, "call_refused"),
        _ => (Outcome::Refused, "call_failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Operation, Source, Totals};
    use crate::scenario::Input;

    const S: Duration = Duration::from_secs(1);

    struct Bench {
        driver: ServiceDriver,
        zero: Instant,
        wall: WallClock,
    }

    fn bench(drive: &str, phases: &str) -> Bench {
        let text = format!(
            "[fleet.m]\ndevices = 10\nid = \"d{{index}}\"\n{phases}\n[[drive]]\nfleet = \"m\"\n{drive}"
        );
        let files = &crate::scenario::no_files;
        let input = Input { file: "d.toml", text: &text, overrides: &[], env: &|_| None, files };
        let plan = Arc::new(crate::plan::load(&input, &mut rand::rng()).unwrap());
        let zero = crate::clock::now();
        let clock = RunClock { zero, zero_unix: Duration::from_secs(1_800_000_000) };
        let wall = WallClock::of(zero, clock.zero_unix);
        let driver = ServiceDriver::new(&plan, (clock, wall.clone()), Rc::new(Stalls::new(zero))).unwrap();
        Bench { driver, zero, wall }
    }

    impl Drop for Bench {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                self.driver.settle(self.zero);
            }
        }
    }

    impl Bench {
        /// Every call until `to`, each picked exactly when it was due.
        fn calls(&mut self, to: Duration) -> Vec<Call> {
            let mut found = Vec::new();
            while let Some(at) = self.driver.poll_timeout().filter(|at| *at <= self.zero + to) {
                found.extend(self.driver.poll(at));
            }
            found
        }

        fn totals(&mut self, operation: Operation) -> Totals {
            let mut collector = super::super::collector(&self.driver.plan);
            collector.add(&self.driver.swap(), Source::Service);
            let totals = collector.measurement().of(operation);
            assert_eq!(totals.due, totals.ended(), "each call ends once");
            totals
        }
    }

    #[test]
    fn each_code_has_its_outcome_and_its_class() {
        for (code, outcome, class) in [
            (404_103, Outcome::Refused, "call_device_not_online"),
            (404_001, Outcome::Refused, "call_device_not_found"),
            (403_004, Outcome::Refused, "call_queue_full"),
            (403_800, Outcome::Refused, "call_methods_in_flight"),
            (504_101, Outcome::TimedOut, "call_no_answer"),
            (429_001, Outcome::Throttled, "call_throttled"),
            (400_004, Outcome::Refused, "call_refused"),
            (413_001, Outcome::Refused, "call_refused"),
            (500_001, Outcome::Refused, "call_failed"),
            (7, Outcome::Refused, "call_failed"),
        ] {
            assert_eq!(meaning(code), (outcome, class), "{code}");
        }
    }

    const STEADY: &str = "[[phase]]\nname = \"p\"\nduration = \"10s\"";
    const METHOD: &str = "call = \"method\"\nname = \"reboot\"\nrate = \"5/s\"\n";

    #[test]
    fn calls_come_at_their_rate_and_every_device_has_its_turn() {
        let mut bench = bench(METHOD, STEADY);
        let calls = bench.calls(10 * S);
        assert!((49..=51).contains(&calls.len()), "{}", calls.len());
        let mut first: Vec<&str> = calls[..10].iter().map(|call| call.device.as_str()).collect();
        first.sort_unstable();
        assert_eq!(first, ["d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8", "d9"]);
        let (response_timeout, connect_timeout) = (30 * S, Duration::ZERO);
        let (name, payload) = ("reboot".to_owned(), String::new());
        assert_eq!(calls[0].ask, Ask::Method { name, payload, response_timeout, connect_timeout });
    }

    #[test]
    fn calls_continue_in_appended_load() {
        let mut bench = bench(METHOD, STEADY);
        assert!((49..=51).contains(&bench.calls(10 * S).len()));
        assert_eq!(bench.calls(11 * S).len(), 0, "the load is over");
        bench.driver.append(Segment { until: 20 * S, factor: [2.0; 2] });
        assert!((99..=101).contains(&bench.calls(20 * S).len()));
        assert_eq!(bench.calls(30 * S).len(), 0, "the load is over again");
    }

    #[test]
    fn a_device_that_the_plan_has_offline_is_not_called() {
        let mut bench = bench(METHOD, &format!("{STEADY}\nonline = \"50% -> 50%\""));
        let calls = bench.calls(10 * S);
        assert!((20..=30).contains(&calls.len()), "{}", calls.len());
        assert!(calls.iter().all(|call| ["d0", "d1", "d2", "d3", "d4"].contains(&call.device.as_str())));
    }

    #[test]
    fn every_call_ends_once_in_the_outcome_that_its_answer_says() {
        let mut bench = bench(METHOD, STEADY);
        let calls = bench.calls(2 * S);
        let now = bench.zero + 3 * S;
        let failed = |code| Err(CallError::Hub(code, "why".to_owned()));
        for (call, result) in calls.iter().zip([Ok(()), failed(404_103), failed(429_001), failed(504_101)]) {
            bench.driver.answered(&Answered { id: call.id, result }, now);
        }
        bench.driver.answered(&Answered { id: calls[0].id, result: Ok(()) }, now);
        bench.driver.answered(&Answered { id: u64::MAX, result: Ok(()) }, now);
        bench.driver.stop(now);
        // What was called by then times out 60 s after it was picked: the answer's 30 s, and 30 s for everyone else.
        let rest = bench.calls(61 * S).len();
        assert_eq!(rest, 5, "due in the third second");
        bench.driver.settle(bench.zero + 61 * S + S / 2);
        let totals = bench.totals(Operation::ServiceMethod);
        let count = |outcome| totals.outcome(outcome);
        assert_eq!(
            (count(Outcome::Ok), count(Outcome::Refused), count(Outcome::Throttled)),
            (1, 1, 1),
            "{totals:?}"
        );
        assert!(count(Outcome::TimedOut) > 1 && count(Outcome::Unfinished) > 0);
    }

    #[test]
    fn now_follows_clock_steps_and_stamps_do_not() {
        let mut bench = bench("call = \"c2d\"\nevery = \"1s\"\npayload = \"${now}\"", STEADY);
        bench.wall.step(-7_200_000_000);
        let calls = bench.calls(3 * S);
        assert!(!calls.is_empty());
        for call in &calls {
            let Ask::C2d { properties, payload, .. } = &call.ask else { panic!("{call:?}") };
            assert!(payload.starts_with("2027-01-15T06:00:0"), "{payload}");
            let sent = properties.iter().find(|(name, _)| name == properties::SENT).unwrap();
            assert!(sent.1.starts_with("180000000"), "{sent:?}");
        }
    }

    #[test]
    fn calls_that_were_not_sent_are_the_generators_error() {
        let mut bench = bench(METHOD, STEADY);
        let calls = bench.calls(S);
        let why = [CallError::Payload("not JSON".to_owned()), CallError::Encode("too deep".to_owned())];
        for (call, why) in calls.iter().zip(why) {
            bench.driver.answered(&Answered { id: call.id, result: Err(why) }, bench.zero + S);
        }
        bench.driver.settle(bench.zero + S);
        let mut collector = super::super::collector(&bench.driver.plan);
        collector.add(&bench.driver.swap(), Source::Service);
        let measurement = collector.measurement();
        let totals = measurement.of(Operation::ServiceMethod);
        assert_eq!((totals.outcome(Outcome::Lost), totals.excused[Outcome::Lost]), (2, 2));
        assert_eq!(totals.outcome(Outcome::Refused), 0, "the hub refused nothing");
        let errors: Vec<_> =
            measurement.errors.iter().map(|e| (e.class.as_str(), e.culprit, e.count)).collect();
        assert_eq!(errors, [("call_payload", Culprit::Us, 1), ("encode", Culprit::Us, 1)]);
    }

    #[test]
    fn cloud_to_device_messages_carry_when_they_were_sent_and_their_number() {
        let mut bench =
            bench("call = \"c2d\"\nevery = \"1s\"\npayload = \"${seq}\"\nproperties = { a = \"b\" }", STEADY);
        let calls = bench.calls(3 * S);
        let mut seen: HashMap<String, u64> = HashMap::new();
        for call in &calls {
            let Ask::C2d { properties, .. } = &call.ask else { panic!("{call:?}") };
            let value = |name: &str| properties.iter().find(|(n, _)| n == name).unwrap().1.clone();
            let number = seen.entry(call.device.clone()).or_default();
            assert_eq!(value(properties::SEQ), number.to_string());
            *number += 1;
            let sent_us: u64 = value(properties::SENT).parse().unwrap();
            assert!((1_800_000_000_000_000..1_800_000_003_000_001).contains(&sent_us));
            assert_eq!(value("a"), "b");
        }
        assert_eq!(seen.len(), 10);
    }
}
