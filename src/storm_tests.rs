//! Storms and churn in virtual time: whole fleets against a hub that answers after a fixed time. Random plans show that every due
//! operation ends once, that all devices return, that their recovery is found, and that a seed gives the same bytes in the same order. There are no sockets.

use crate::clock::{RunClock, WallClock};
use crate::fleet::{ConnectionEnd, Context, Device, DeviceRef, collector};
use crate::link::{Buffers, Deadlines, Endpoint};
use crate::measure::{
    BIN_US, Disturbance, HOLD_US, Measurement, Operation, Outcome, Reached, RecoveryBins, Source,
};
use crate::plan::{self, Plan};
use crate::policy::backoff::Retries;
use crate::result::{StormRecovery, recoveries};
use crate::sansio::{Closed, Machine};
use crate::scenario::Input;
use crate::wire::{self, Packet, Strictness};
use bytes::BytesMut;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The time from a packet to its answer.
const ANSWER: Duration = Duration::from_millis(100);

fn plan_of(text: &str) -> Arc<Plan> {
    let files = &crate::scenario::no_files;
    let input = Input { file: "storm.toml", text, overrides: &[], env: &|_| None, files };
    Arc::new(plan::load(&input, &mut rand::rng()).unwrap_or_else(|errors| panic!("{errors}\n{text}")))
}

/// What happened in a run.
struct Run {
    measurement: Measurement,
    /// For each device, the times from and to which it was online.
    online: Vec<Vec<(u64, u64)>>,
    /// For each device, what it sent.
    sent: Vec<Vec<u8>>,
}

impl Run {
    fn online_at(&self, t_ns: u64) -> u64 {
        let is_online =
            |times: &&Vec<(u64, u64)>| times.iter().any(|(from, to)| (*from..*to).contains(&t_ns));
        self.online.iter().filter(is_online).count() as u64
    }
}

/// A device and its connection to the hub.
struct DeviceRun {
    context: Rc<Context>,
    device: Device,
    now: Instant,
    online: Vec<(u64, u64)>,
    sent: Vec<u8>,
}

impl DeviceRun {
    fn ns(&self) -> u64 {
        self.context.ns(self.now)
    }

    /// Runs the device through the whole plan.
    fn run(&mut self, index: u32) {
        let plan = self.context.plan.clone();
        let schedule = plan.schedule_of(&plan.fleets[0]);
        for stay in schedule.stays(&plan.device_seed(&plan.fleets[0], index)) {
            if stay.span.from_ns >= self.context.load_end_ns() {
                break;
            }
            self.now = self.now.max(self.context.at(stay.span.from_ns));
            self.device.start_stay(stay);
            if self.ns() < self.device.offline_at_ns() {
                self.stay(stay.span.from_ns);
            }
            self.device.end_span(self.now);
        }
        self.now = self.now.max(self.context.at(self.context.drain_end_ns()));
        self.device.settle(self.now);
    }

    fn stay(&mut self, mut due_ns: u64) {
        let mut retries = Retries::default();
        loop {
            self.connection(due_ns);
            let delay = match self.device.connection_end() {
                ConnectionEnd::Finished | ConnectionEnd::Left => None,
                ConnectionEnd::Renewal | ConnectionEnd::Method => Some(Duration::ZERO),
                ConnectionEnd::Lost | ConnectionEnd::Failed | ConnectionEnd::Disconnected => {
                    self.device.back_off(&mut retries, self.now)
                }
            };
            let Some(delay) = delay else { return };
            let next = self.now + delay;
            if self.context.ns(next) >= self.device.offline_at_ns() {
                self.now = self.context.at(self.device.offline_at_ns());
                return;
            }
            (self.now, due_ns) = (next, self.context.ns(next));
        }
    }

    /// Runs one connection to its end.
    fn connection(&mut self, due_ns: u64) {
        self.device.start_attempt(due_ns, self.now);
        let mut answers: VecDeque<(Instant, BytesMut)> = VecDeque::new();
        let (mut to_hub, mut from_ns) = (BytesMut::new(), None);
        loop {
            while let Some((_, mut bytes)) = answers.pop_front_if(|(at, _)| *at <= self.now) {
                self.device.handle_input(self.now, &mut bytes).unwrap();
                from_ns.get_or_insert(self.ns());
            }
            self.device.handle_timeout(self.now).unwrap();
            loop {
                let mut out = BytesMut::new();
                self.device.poll_output(self.now, &mut out);
                self.device.handle_flushed(self.now);
                if out.is_empty() {
                    break;
                }
                self.sent.extend_from_slice(&out);
                to_hub.extend_from_slice(&out);
            }
            while let Some(packet) = wire::decode(&mut to_hub, 1 << 20, Strictness::Strict).unwrap() {
                let mut answer = BytesMut::new();
                match packet {
                    Packet::Connect(connect) => wire::encode::connack(&mut answer, !connect.clean_session, 0),
                    Packet::Publish(publish) => wire::encode::puback(&mut answer, publish.pid),
                    _ => continue,
                }
                answers.push_back((self.now + ANSWER, answer));
            }
            if self.device.poll_close().is_some() {
                break;
            }
            let next = [self.device.poll_timeout(), answers.front().map(|(at, _)| *at)];
            self.now = next.into_iter().flatten().min().map_or(self.now, |at| at.max(self.now));
        }
        self.device.handle_closed(self.now, Closed::Local);
        self.online.extend(from_ns.map(|from_ns| (from_ns, self.ns())));
    }
}

fn run(plan: &Arc<Plan>) -> Run {
    let zero = crate::clock::now();
    let (reports, _keep) = tokio::sync::mpsc::unbounded_channel();
    let endpoint =
        |(host, port): (&str, u16)| Endpoint { host: host.to_owned(), port, ..Endpoint::default() };
    let endpoints = plan.target.hosts().map(endpoint).collect();
    let clock = RunClock { zero, zero_unix: Duration::from_secs(1_800_000_000) };
    let clocks = (clock, WallClock::of(zero, clock.zero_unix));
    let shared = (Buffers::shared(), Deadlines::new());
    let context = Rc::new(Context::new(plan.clone(), endpoints, clocks, shared, reports));
    let (mut online, mut sent) = (Vec::new(), Vec::new());
    for index in 0..plan.fleets[0].devices {
        let device = Device::new(context.clone(), DeviceRef { fleet: 0, index });
        let (context, now) = (context.clone(), zero);
        let mut each = DeviceRun { context, device, now, online: Vec::new(), sent: Vec::new() };
        each.run(index);
        online.push(each.online);
        sent.push(each.sent);
    }
    assert_eq!(context.recorder.borrow().open(), 0, "every due operation has ended");
    let mut collector = collector(plan);
    collector.add(&context.recorder.borrow_mut().swap(), Source::Worker(0));
    let loads = plan.run_loads();
    for second in 1..=plan.schedule.end().as_secs() {
        let t_ns = second * 1_000_000_000;
        collector.tick_planned(t_ns, &plan.planned_by_fleet(&loads, t_ns));
    }
    Run { measurement: collector.finish(u64::MAX, Vec::new(), Vec::new()), online, sent }
}

fn scenario(devices: u32, fleet: &str, phases: &str) -> String {
    format!(
        "seed = 5\ndrain = \"5s\"\n[target]\nkind = \"mqtt\"\nhost = \"hub\"\ntls = false\n\
         [fleet.a]\ndevices = {devices}\n{fleet}\n[[fleet.a.send]]\nevery = \"2s\"\ntopic = \"t\"\nqos = 1\npayload = \"x\"\n\
         {phases}"
    )
}

fn phase(name: &str, duration_s: u64, keys: &str) -> String {
    format!("[[phase]]\nname = \"{name}\"\nduration = \"{duration_s}s\"\n{keys}\n")
}

#[test]
fn a_storm_moves_each_disconnected_device_once() {
    let phases = phase("calm", 20, "")
        + &phase("storm", 60, "disconnect = { how = \"reset\", share = \"50%\", over = \"1s\" }");
    let fixed = "reconnect = { kind = \"fixed\", delay = \"5s\" }";
    for (failover, moves) in [("next", 50), ("none", 0)] {
        let hosts = format!("host = [\"hub\", \"other:1884\"]\nfailover = \"{failover}\"");
        let run = run(&plan_of(&scenario(100, fixed, &phases).replace("host = \"hub\"", &hosts)));
        let [one, other] = &run.measurement.targets[..] else { panic!("two hosts") };
        assert_eq!([(one.port, one.devices), (other.port, other.devices)], [(1883, 50), (1884, 50)]);
        assert_eq!((one.moved_in + other.moved_in, one.moved_out), (moves, other.moved_in), "{failover}");
        assert_eq!(one.attempts() + other.attempts(), 150);
        if moves > 0 {
            // Each device that arrives has connected once, in addition to those that started here.
            assert_eq!([one.attempts(), other.attempts()], [50 + one.moved_in, 50 + other.moved_in]);
        }
        let messages = run.measurement.sum(|part| part.operation.is_message());
        assert_eq!(one.messages.count() + other.messages.count(), messages.outcome(Outcome::Ok));
    }
}

#[test]
fn storm_recovers_as_computed_by_hand() {
    let phases = phase("calm", 20, "")
        + &phase("storm", 60, "disconnect = { how = \"reset\", share = \"50%\", over = \"1s\" }");
    let fixed = "reconnect = { kind = \"fixed\", delay = \"5s\" }";
    let run = run(&plan_of(&scenario(100, fixed, &phases)));
    let ms = 1_000_000;
    // A disconnect every 20 ms from 20 s; each device is back 5 s and one answer later.
    assert_eq!(run.online_at(20_000 * ms - 1), 100);
    for (t_ms, online) in [(20_000, 99), (20_019, 99), (20_500, 74), (20_980, 50), (25_099, 50), (25_101, 51)]
    {
        assert_eq!(run.online_at(t_ms * ms), online, "at {t_ms} ms");
    }
    assert_eq!([26_079, 26_081].map(|t_ms| run.online_at(t_ms * ms)), [99, 100]);
    let connects = run.measurement.of(Operation::Connect);
    assert_eq!((connects.due, connects.outcome(Outcome::Ok)), (150, 150), "one attempt for each disconnect");
    let online = run.measurement.sum(|part| part.operation == Operation::Online && part.phase == "storm");
    // Histograms have three digits.
    let between =
        [online.response.min(), online.response.max()].map(|us| us.unwrap().abs_diff(5_100_000) < 5_000);
    assert_eq!((online.due, between), (50, [true; 2]));
    let fleet = &run.measurement.fleets[0];
    assert_eq!((fleet.counts.disconnects, fleet.counts.reconnects), (50, 50));
    let recoveries = recoveries(&run.measurement);
    assert_eq!(recoveries.len(), 1);
    let StormRecovery { reached_us, attempts_per_device, .. } = &recoveries[0];
    let reached = reached_us.list().map(|(_, us)| us);
    assert_eq!(reached, [None, Some(5_900_000), Some(6_100_000), Some(6_100_000)], "never below 50%");
    assert_eq!((recoveries[0].lowest_online, recoveries[0].attempts_per_s_peak), (50, 50));
    assert_eq!((attempts_per_device.count, attempts_per_device.max), (50, 1));
    assert!(recoveries[0].outage.max().unwrap().abs_diff(5_100_000) < 5_000);
}

/// Returns when the devices were online as planned again after a disturbance, from the times at which each device was online.
fn expected_recovery(plan: &Plan, run: &Run, disturbance: &Disturbance) -> Reached {
    let Disturbance { start_us, settled_us, until_us, .. } = *disturbance;
    let bins = start_us / BIN_US..until_us / BIN_US;
    // At the end of a bin: whether enough devices are online, and whether they always were in the bin.
    let states = bins.clone().map(|bin| {
        let [from_ns, to_ns] = [bin, bin + 1].map(|bin| bin * BIN_US * 1_000);
        let planned = plan.planned_online(to_ns - 1);
        let ends = run.online.iter().flatten().filter(|(_, to)| (from_ns..to_ns).contains(to)).count() as u64;
        let before = if from_ns == 0 { 0 } else { run.online_at(from_ns - 1) };
        let online = run.online_at(to_ns - 1);
        (online >= planned, online >= planned && before.saturating_sub(ends) >= planned)
    });
    let states: Vec<(bool, bool)> = states.collect();
    let Some(below) = states.iter().position(|(_, always)| !always) else { return Reached::NotDisturbed };
    let hold = (HOLD_US / BIN_US) as usize;
    let is_reached = |bin: &usize| {
        let end_us = (bins.start + *bin as u64 + 1) * BIN_US;
        let held = states.get(*bin..=*bin + hold);
        end_us >= settled_us && held.is_some_and(|held| held.iter().all(|(enough, _)| *enough))
    };
    match (below..states.len()).find(is_reached) {
        Some(bin) => Reached::After { us: (bins.start + bin as u64 + 1) * BIN_US - start_us },
        None => Reached::Never { searched_us: until_us - start_us, excluded_us: until_us - start_us },
    }
}

fn phases() -> impl Strategy<Value = String> {
    let how = prop::sample::select(vec!["close", "reset", "silent"]);
    let online = (0..=10_u32, 0..=10_u32)
        .prop_map(|(from, to)| format!("online = \"{}% -> {}%\"\n", from * 10, to * 10));
    let storm = (1..=10_u32, how.clone(), 0..=8_u32).prop_map(|(share, how, over)| {
        format!("disconnect = {{ share = \"{}%\", how = \"{how}\", over = \"{over}s\" }}\n", share * 10)
    });
    let churn = (1..=100_u32, how, 1..=40_u32).prop_map(|(rate, how, away)| {
        format!("churn = {{ rate = \"{rate}%/1m\", how = \"{how}\", away = \"{away}s\" }}\n")
    });
    let keys = (prop::option::of(online), prop::option::of(storm), prop::option::of(churn)).prop_map(
        |(online, storm, churn)| {
            // A ramp may leave nothing to disconnect.
            let storm = storm.filter(|_| online.is_none()).unwrap_or_default();
            online.unwrap_or_default() + &storm + &churn.unwrap_or_default()
        },
    );
    prop::collection::vec((8..40_u64, keys), 1..4).prop_map(|phases| {
        let mut text = phase("first", 10, "");
        for (number, (duration_s, keys)) in phases.into_iter().enumerate() {
            text += &phase(&format!("p{number}"), duration_s, &keys);
            // Everyone is online again before the next storm.
            text += &phase(&format!("rest{number}"), 60, "");
        }
        text
    })
}

fn policies() -> impl Strategy<Value = String> {
    let policy = prop::sample::select(vec![
        "reconnect = { kind = \"fixed\", delay = \"3s\" }",
        "reconnect = { kind = \"exponential\", base = \"1s\", max = \"8s\", jitter = \"full\" }",
        "reconnect = { kind = \"exponential\", base = \"500ms\", max = \"4s\", jitter = \"none\" }",
    ]);
    let offline = prop::sample::select(vec!["queue", "skip"]);
    (policy, offline, any::<bool>()).prop_map(|(policy, offline, clean)| {
        format!("{policy}\noffline = \"{offline}\"\nclean_session = {clean}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_operation_ends_once_and_every_device_returns(fleet in policies(), phases in phases()) {
        let plan = plan_of(&scenario(12, &fleet, &phases));
        let run = run(&plan);
        for part in &run.measurement.operations {
            prop_assert_eq!(part.totals.due, part.totals.ended(), "{}", part.operation);
        }
        for phase in plan.schedule.phases().iter().filter(|phase| !phase.name.starts_with('p')) {
            let end_ns = plan::ns(phase.end) - 1;
            prop_assert_eq!(run.online_at(end_ns), 12, "at the end of {}", &phase.name);
        }
        prop_assert!(run.measurement.errors.is_empty(), "{:?}", run.measurement.errors);
        let planned = plan.schedule.phases().iter().filter(|phase| phase.disconnect.is_some()).count();
        prop_assert!(run.measurement.disturbances.len() <= planned);
        for disturbance in &run.measurement.disturbances {
            let bins = RecoveryBins::of(disturbance, None).expect("all fleets");
            if bins.planned_at_start() > 0 {
                prop_assert_eq!(bins.reached(1.0), expected_recovery(&plan, &run, disturbance));
            }
        }
        prop_assert_eq!(&self::run(&plan).sent, &run.sent, "the same seed gives the same bytes");
    }
}
