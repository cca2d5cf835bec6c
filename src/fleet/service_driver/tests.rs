//! When calls are due, which devices they go to, and how each ends.

use super::*;
use crate::iothub::service::{ServiceFailure, ServiceResponse};
use crate::iothub::twin_patch::Properties;
use crate::measure::{Operation, Source, Totals};
use crate::scenario::Input;

const S: Duration = Duration::from_secs(1);

struct Bench {
    driver: ServiceDriver,
    zero: Instant,
    wall: WallClock,
}

fn bench(drive: &str, phases: &str) -> Bench {
    let text =
        format!("[fleet.m]\ndevices = 10\nid = \"d{{index}}\"\n{phases}\n[[drive]]\nfleet = \"m\"\n{drive}");
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
    /// Returns all calls until `to`, each polled exactly when it is due.
    fn calls(&mut self, to: Duration) -> Vec<ServiceCall> {
        let mut calls = Vec::new();
        while let Some(at) = self.driver.poll_timeout().filter(|at| *at <= self.zero + to) {
            calls.extend(self.driver.poll(at));
        }
        calls
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
fn each_error_code_has_an_outcome_and_a_class() {
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
        assert_eq!(outcome_and_class(code), (outcome, class), "{code}");
    }
}

const STEADY: &str = "[[phase]]\nname = \"p\"\nduration = \"10s\"";
const METHOD: &str = "call = \"method\"\nname = \"reboot\"\nrate = \"5/s\"\n";

#[test]
fn calls_are_due_at_their_rate_and_go_to_every_device() {
    let mut bench = bench(METHOD, STEADY);
    let calls = bench.calls(10 * S);
    assert!((49..=51).contains(&calls.len()), "{}", calls.len());
    let mut first: Vec<&str> = calls[..10].iter().map(|call| call.device.as_str()).collect();
    first.sort_unstable();
    assert_eq!(first, ["d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8", "d9"]);
    let (response_timeout, connect_timeout) = (30 * S, Duration::ZERO);
    let (name, payload) = ("reboot".to_owned(), None);
    let expected = ServiceRequest::InvokeMethod { name, payload, response_timeout, connect_timeout };
    assert_eq!(calls[0].request, expected);
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
fn device_that_should_be_offline_is_not_called() {
    let mut bench = bench(METHOD, &format!("{STEADY}\nonline = \"50% -> 50%\""));
    let calls = bench.calls(10 * S);
    assert!((20..=30).contains(&calls.len()), "{}", calls.len());
    assert!(calls.iter().all(|call| ["d0", "d1", "d2", "d3", "d4"].contains(&call.device.as_str())));
}

#[test]
fn each_call_ends_once_with_the_outcome_of_its_result() {
    let mut bench = bench(METHOD, STEADY);
    let calls = bench.calls(2 * S);
    let now = bench.zero + 3 * S;
    let ok = || Ok(ServiceResponse::default());
    let failed = |code| Err(ServiceFailure { code, message: "text".to_owned() });
    for (call, result) in calls.iter().zip([ok(), failed(404_103), failed(429_001), failed(504_101)]) {
        bench.driver.handle_result(&ServiceResult { id: call.id, result }, now);
    }
    bench.driver.handle_result(&ServiceResult { id: calls[0].id, result: ok() }, now);
    bench.driver.handle_result(&ServiceResult { id: u64::MAX, result: ok() }, now);
    bench.driver.stop(now);
    // The other calls time out after 60 s: the response timeout of 30 s, and 30 s for everything else.
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
        let ServiceRequest::SendMessage { properties, payload, .. } = &call.request else {
            panic!("{call:?}")
        };
        assert!(payload.starts_with("2027-01-15T06:00:0"), "{payload}");
        let sent = &properties[properties::SENT];
        assert!(sent.starts_with("180000000"), "{sent}");
    }
}

/// The hub never receives these calls, so none of its error codes may appear.
#[test]
fn an_invalid_payload_is_the_generators_error() {
    let payload = "'{\"a\":1${uniform(min=-1, max=1)}}'";
    let mut bench = bench(&format!("{METHOD}payload = {payload}\n"), STEADY);
    let sent = bench.calls(10 * S).len();
    bench.driver.settle(bench.zero + 10 * S);
    let mut collector = super::super::collector(&bench.driver.plan);
    collector.add(&bench.driver.swap(), Source::Service);
    let measurement = collector.measurement();
    let totals = measurement.of(Operation::ServiceMethod);
    let lost = totals.outcome(Outcome::Lost);
    assert!(lost > 0 && sent > 0, "{totals:?}");
    assert_eq!((totals.excused[Outcome::Lost], totals.due), (lost, lost + sent as u64));
    assert_eq!(totals.outcome(Outcome::Refused), 0, "the hub did not refuse any call");
    let errors: Vec<_> = measurement.errors.iter().map(|e| (e.class.as_str(), e.culprit, e.count)).collect();
    assert_eq!(errors, [("call_payload", Culprit::Generator, lost)]);
}

#[test]
fn a_payload_error_says_what_is_wrong_without_the_value() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for (error, part) in [
        (parse_payload::<serde_json::Value>("{\"a\":").err(), "not JSON: EOF"),
        (parse_payload::<serde_json::Value>(&deep).err(), "not JSON: recursion limit"),
        (parse_payload::<Properties>("\"hidden\"").err(), "not a JSON object"),
        (parse_payload::<Properties>("x").err(), "not JSON: expected value"),
    ] {
        let text = error.unwrap();
        assert!(text.contains(part) && !text.contains("hidden"), "{text}");
    }
}

#[test]
fn messages_carry_the_time_they_were_sent_and_a_number() {
    let mut bench =
        bench("call = \"c2d\"\nevery = \"1s\"\npayload = \"${seq}\"\nproperties = { a = \"b\" }", STEADY);
    let calls = bench.calls(3 * S);
    let mut counts: HashMap<String, u64> = HashMap::new();
    for call in &calls {
        let ServiceRequest::SendMessage { properties, .. } = &call.request else { panic!("{call:?}") };
        let number = counts.entry(call.device.clone()).or_default();
        assert_eq!(properties[properties::SEQ], number.to_string());
        *number += 1;
        let sent_us: u64 = properties[properties::SENT].parse().unwrap();
        assert!((1_800_000_000_000_000..1_800_000_003_000_001).contains(&sent_us));
        assert_eq!(properties["a"], "b");
    }
    assert_eq!(counts.len(), 10);
}

#[test]
fn held_calls_wait_for_their_release_and_are_observed() {
    let mut bench = bench(METHOD, STEADY);
    let (observer, mut observed) = Observer::new();
    bench.driver.observe(observer);
    assert!(bench.calls(10 * S).is_empty(), "nothing was released");
    bench.driver.release(S);
    let calls = bench.driver.poll(bench.zero + 10 * S);
    assert!((4..=6).contains(&calls.len()), "one second's calls: {}", calls.len());
    let response = ServiceResponse { status: Some(204), ..ServiceResponse::default() };
    let failure = ServiceFailure { code: 404_103, message: "the device is not online".to_owned() };
    for (call, result) in calls.iter().zip([Ok(response), Err(failure)]) {
        bench.driver.handle_result(&ServiceResult { id: call.id, result }, bench.zero + 11 * S);
    }
    let observed: Vec<_> = std::iter::from_fn(|| observed.try_recv().ok()).collect();
    let [first, error, second] = &observed[..] else { panic!("{observed:?}") };
    assert!(matches!(first, Observed::Ended { outcome: Outcome::Ok, status: Some(204), .. }), "{first:?}");
    let text = "service.method: 404103 the device is not online";
    assert!(
        matches!(error, Observed::Failed { fleet: 0, class: "call_device_not_online", text: found } if found == text),
        "{error:?}"
    );
    assert!(matches!(second, Observed::Ended { outcome: Outcome::Refused, status: None, .. }), "{second:?}");
}
