//! The load of each limit class in each phase of a plan: averages and peaks per second, and billed messages. Used by `plan_capacity`. Pure.
//!
//! A phase stands for a time of the real fleet, which may be much longer than in a run. So token renewals have the rate that they settle at,
//! even if the phase is shorter than a token's lifetime. Devices that connect at once, after a `disconnect` or at the start of a phase,
//! count once, and are kept apart from the rates that last.

use super::blocks::{call_blocks, call_kib, message_blocks};
use crate::iothub::limits::Tier;
use crate::iothub::throttles::Class;
use crate::measure::Operation;
use crate::plan::{CallPlan, DrivePlan, FleetPlan, Plan, Schedule, TokenLife, ns};
use crate::policy::backoff::BackOff;
use std::collections::BTreeMap;

/// The classes with a load in the order of the tables.
pub(super) const CLASSES: [Class; 6] =
    [Class::Connections, Class::D2c, Class::C2d, Class::TwinReads, Class::TwinUpdates, Class::Methods];

/// A rate over a phase.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Load {
    /// Average over the phase, per second, without the devices that connect at once.
    pub(super) average: f64,
    /// Highest rate per second, without the devices that connect at once.
    pub(super) sustained: f64,
    /// Operations that happen once in the phase, because devices connect at once or on a ramp.
    pub(super) once: f64,
    /// Additional rate per second while devices connect at once.
    pub(super) burst: f64,
}

impl Load {
    fn add(&mut self, other: Load) {
        self.average += other.average;
        self.sustained += other.sustained;
        self.once += other.once;
        self.burst += other.burst;
    }

    fn times(self, factor: f64) -> Load {
        Load {
            average: self.average * factor,
            sustained: self.sustained * factor,
            once: self.once * factor,
            burst: self.burst * factor,
        }
    }
}

/// The load of a phase.
#[derive(Clone, Debug)]
pub(super) struct PhaseLoad {
    pub(super) name: String,
    pub(super) warmup: bool,
    pub(super) seconds: f64,
    /// Load by class, in operations (KiB for methods).
    pub(super) classes: BTreeMap<&'static str, Load>,
    /// Billed messages in blocks of 4 KiB.
    pub(super) billed: Load,
    /// Billed messages in blocks of 512 bytes.
    pub(super) billed_free: Load,
    /// Messages and calls, as a load generator sees them.
    pub(super) operations: Load,
}

impl PhaseLoad {
    /// Returns the load of a class.
    pub(super) fn of(&self, class: Class) -> Load {
        self.classes.get(class.name()).copied().unwrap_or_default()
    }

    fn add(&mut self, class: Class, load: Load) {
        self.classes.entry(class.name()).or_default().add(load);
    }

    /// Adds operations that are billed.
    fn add_billed(&mut self, load: Load, blocks: [f64; 2]) {
        self.billed.add(load.times(blocks[0]));
        self.billed_free.add(load.times(blocks[1]));
        self.operations.add(load);
    }
}

/// Returns the load of each phase.
pub(super) fn phase_loads(plan: &Plan) -> Vec<PhaseLoad> {
    let streams = Streams::of(plan);
    let phases = plan.schedule.phases().iter().enumerate();
    phases
        .map(|(number, phase)| {
            let mut load = PhaseLoad {
                name: phase.name.clone(),
                warmup: phase.warmup,
                seconds: (phase.end - phase.start).as_secs_f64(),
                classes: BTreeMap::new(),
                billed: Load::default(),
                billed_free: Load::default(),
                operations: Load::default(),
            };
            for stream in &streams.0 {
                stream.add_to(&mut load, plan, number);
            }
            for fleet in &plan.fleets {
                add_connections(&mut load, plan, fleet, number);
            }
            load
        })
        .collect()
}

/// Operations with a rate that follows the load of the phases.
struct Stream<'p> {
    fleet: &'p FleetPlan,
    class: Class,
    /// Rate per second with all devices online at a load of 100%.
    rate_hz: f64,
    /// What one operation counts in its class.
    each: f64,
    /// Billed messages of one operation, in blocks of 4 KiB and of 512 bytes.
    blocks: [f64; 2],
    /// Whether each operation ends the device's connection.
    reconnects: bool,
}

struct Streams<'p>(Vec<Stream<'p>>);

impl<'p> Streams<'p> {
    fn of(plan: &'p Plan) -> Streams<'p> {
        let sends = plan.fleets.iter().flat_map(|fleet| fleet.sends.iter().map(move |send| (fleet, send)));
        let sends = sends.filter_map(|(fleet, send)| {
            let class = match send.operation {
                Operation::Telemetry | Operation::TelemetryQos0 => Class::D2c,
                Operation::TwinGet => Class::TwinReads,
                Operation::TwinReport => Class::TwinUpdates,
                _ => return None,
            };
            Some(Stream {
                fleet,
                class,
                rate_hz: send.arrival.rate_hz * f64::from(fleet.devices),
                each: 1.0,
                blocks: [Tier::S1, Tier::F1].map(|tier| message_blocks(fleet, send, tier)),
                reconnects: false,
            })
        });
        let calls = plan
            .drives
            .iter()
            .filter_map(|drive| Some(call(plan.fleets.get(usize::from(drive.fleet))?, drive)));
        Streams(sends.chain(calls).collect())
    }
}

fn call<'p>(fleet: &'p FleetPlan, drive: &DrivePlan) -> Stream<'p> {
    let (class, each, reconnects) = match &drive.call {
        CallPlan::Method { name, .. } => {
            let method = fleet.methods.iter().find(|method| method.name == *name);
            (Class::Methods, call_kib(fleet, drive), method.is_some_and(|method| method.then_reconnect))
        }
        CallPlan::Desired => (Class::TwinUpdates, 1.0, false),
        CallPlan::C2d { .. } => (Class::C2d, 1.0, false),
    };
    Stream {
        fleet,
        class,
        rate_hz: drive.arrival.rate_hz,
        each,
        blocks: [Tier::S1, Tier::F1].map(|tier| call_blocks(fleet, drive, tier)),
        reconnects,
    }
}

impl Stream<'_> {
    fn add_to(&self, load: &mut PhaseLoad, plan: &Plan, phase: usize) {
        let course = Course::of(plan.schedule_of(self.fleet), phase, self.fleet.devices);
        let rate = Load { average: course.mean(true), sustained: course.most(true), ..Load::default() };
        let rate = rate.times(self.rate_hz);
        load.add(self.class, rate.times(self.each));
        load.add_billed(rate, self.blocks);
        if self.reconnects {
            add_connects(load, self.fleet, rate);
        }
    }
}

/// Adds connections, and the twin reads after them.
fn add_connects(load: &mut PhaseLoad, fleet: &FleetPlan, connects: Load) {
    load.add(Class::Connections, connects);
    if fleet.twin.get_on_connect {
        load.add(Class::TwinReads, connects);
        // The size of the twin is not known, so it counts as one block.
        load.add_billed(connects, [1.0; 2]);
    }
}

/// Adds the connections of a fleet in a phase: renewals, churn, planned connects, and reconnects after a `disconnect`.
#[expect(clippy::cast_precision_loss, reason = "counts of devices are far below 2^52")]
fn add_connections(load: &mut PhaseLoad, plan: &Plan, fleet: &FleetPlan, number: usize) {
    let schedule = plan.schedule_of(fleet);
    let Some(phase) = schedule.phases().get(number) else { return };
    let (devices, seconds) = (f64::from(fleet.devices), load.seconds);
    let course = Course::of(schedule, number, fleet.devices);
    let renewals = fleet.auth.tokens().and_then(renewals_hz).unwrap_or(0.0);
    let churn = phase.churn.map_or(0.0, |churn| churn.rate_hz);
    let each = (renewals + churn) * devices;
    let mut connects =
        Load { average: each * course.mean(false), sustained: each * course.most(false), ..Load::default() };
    let before = number.checked_sub(1).and_then(|before| schedule.phases().get(before));
    let jump = (phase.online[0] - before.map_or(0.0, |before| before.online[1])).max(0.0) * devices;
    let ramp = (phase.online[1] - phase.online[0]).max(0.0) * devices;
    connects.once += jump + ramp;
    match phase.connect_rate_hz {
        // Each fleet has its part of the pace.
        Some(pace_hz) if jump + ramp > 0.0 => connects.sustained += pace_hz.min(jump + ramp),
        _ => {
            connects.sustained += ramp / seconds;
            connects.burst += jump;
        }
    }
    if let Some(storm) = phase.disconnect.filter(|_| !matches!(fleet.reconnect.back_off, BackOff::Never)) {
        let disconnected = schedule.disconnected_in(number, fleet.devices.into()) as f64;
        connects.once += disconnected;
        connects.burst += disconnected / storm.over.as_secs_f64().max(1.0);
    }
    add_connects(load, fleet, connects);
}

/// Returns how often a device renews its token, per second. Jitter advances renewals evenly.
fn renewals_hz(tokens: &TokenLife) -> Option<f64> {
    let after = tokens.renewed_after()?.as_secs_f64() * (1.0 - tokens.jitter / 2.0);
    Some(1.0 / after.max(1.0))
}

/// The online share and the load factor of a fleet over a phase.
struct Course<'s> {
    schedule: &'s Schedule,
    phase: usize,
    devices: u32,
}

/// The number of intervals of an integral.
const INTERVALS: u32 = 64;

impl<'s> Course<'s> {
    fn of(schedule: &'s Schedule, phase: usize, devices: u32) -> Course<'s> {
        Course { schedule, phase, devices }
    }

    /// Returns the online share at a position in the phase, from 0 to 1.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a time, and a count of devices, far below 2^52"
    )]
    fn online(&self, at: f64) -> f64 {
        let Some(phase) = self.schedule.phases().get(self.phase) else { return 0.0 };
        let (start, end) = (ns(phase.start), ns(phase.end));
        // The end itself belongs to the next phase.
        let t_ns = (start + ((end - start) as f64 * at) as u64).min(end.saturating_sub(1));
        let devices = f64::from(self.devices.max(1));
        let linear = phase.online[0] + (phase.online[1] - phase.online[0]) * at;
        match (phase.churn, phase.connect_rate_hz) {
            (None, None) if !self.is_after_churn() => linear,
            (_, Some(_)) => self.schedule.planned_online(t_ns, u64::from(self.devices)) as f64 / devices,
            _ => self.schedule.planned_online_share(t_ns),
        }
    }

    /// Returns whether devices that left in an earlier phase may still be away.
    fn is_after_churn(&self) -> bool {
        self.schedule.phases().iter().take(self.phase).any(|phase| phase.churn.is_some())
    }

    /// Returns the parts of the phase with their load factors at start and end. A load in steps has one part per step.
    fn pieces(&self) -> Vec<[f64; 4]> {
        let Some(phase) = self.schedule.phases().get(self.phase) else { return Vec::new() };
        let [from, to] = phase.load;
        let Some(steps) = phase.load_steps else { return vec![[0.0, 1.0, from, to]] };
        let last = f64::from(steps.saturating_sub(1).max(1));
        let piece = |step: u32| {
            let factor = from + (to - from) * f64::from(step) / last;
            [f64::from(step) / f64::from(steps), f64::from(step + 1) / f64::from(steps), factor, factor]
        };
        (0..steps).map(piece).collect()
    }

    /// Returns the mean of the online share over the phase, times the load factor if `loaded`. Exact where both are linear (Simpson's rule).
    fn mean(&self, loaded: bool) -> f64 {
        let pieces = self.pieces();
        let each = |[start, end, from, to]: &[f64; 4]| {
            let intervals = (INTERVALS / u32::try_from(pieces.len()).unwrap_or(1).max(1)).max(2) & !1;
            let value = |n: u32| {
                let at = f64::from(n) / f64::from(intervals);
                let factor = if loaded { from + (to - from) * at } else { 1.0 };
                self.online(start + (end - start) * at) * factor
            };
            let weight = |n: u32| match n {
                0 => 1.0,
                n if n == intervals => 1.0,
                n if n % 2 == 1 => 4.0,
                _ => 2.0,
            };
            let sum: f64 = (0..=intervals).map(|n| weight(n) * value(n)).sum();
            sum * (end - start) / (3.0 * f64::from(intervals))
        };
        pieces.iter().map(each).sum()
    }

    /// Returns the maximum of the online share over the phase, times the load factor if `loaded`.
    fn most(&self, loaded: bool) -> f64 {
        let mut most = 0.0_f64;
        for [start, end, from, to] in self.pieces() {
            for n in 0..=INTERVALS {
                let at = f64::from(n) / f64::from(INTERVALS);
                let factor = if loaded { from + (to - from) * at } else { 1.0 };
                most = most.max(self.online(start + (end - start) * at) * factor);
            }
        }
        most
    }
}
