//! Turns a plan into that of a search for capacity: the phases before one phase run once, and then slots for trials of that phase
//! follow. The load of the slots is left open: commands append it. Called by `app`. Pure.

use super::deliveries::Deliveries;
use super::model::{FleetPlan, Plan, Threshold};
use super::schedule::{PhasePlan, Schedule};
use std::time::Duration;

/// Length of the phase in which devices connect if the scenario has no phase before the searched one: this many connects per second, within
/// these limits (our choice).
const CONNECTS_PER_S: u64 = 200;
const CONNECTING_S: [u64; 2] = [3, 60];

/// The slots for the trials of a search. Every slot has the same parts, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrialSlots {
    /// Time without load, in which the backlog of the previous trial drains.
    pub idle: Duration,
    /// Time under load before the judged part.
    pub settle: Duration,
    /// Length of the judged part.
    pub judged: Duration,
    /// Number of slots.
    pub count: u16,
}

impl TrialSlots {
    /// Returns the length of a slot.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.idle + self.settle + self.judged
    }

    /// Returns the name of the phase that the trial in a slot is judged by. Slots are numbered from 1.
    #[must_use]
    pub fn phase_name(slot: u16) -> String {
        format!("slot {slot}")
    }
}

impl Plan {
    /// Returns the phase with the largest load outside warm-ups: the messages per second of all fleets together.
    #[must_use]
    pub fn heaviest_phase(&self) -> Option<usize> {
        let phases = self.schedule.phases().iter().enumerate().filter(|(_, phase)| !phase.warmup);
        let rates = phases.map(|(number, _)| (number, self.phase_rate(number)));
        // Of phases with the same load, the first one.
        rates.rev().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(number, _)| number)
    }

    /// Returns the messages per second of a phase, at the highest load in it.
    #[must_use]
    pub fn phase_rate(&self, number: usize) -> f64 {
        let rate = |fleet: &FleetPlan| {
            let phase = self.schedule_of(fleet).phases().get(number)?;
            let rate_hz: f64 = fleet.sends.iter().map(|send| send.arrival.rate_hz).sum();
            Some(rate_hz * f64::from(fleet.devices) * highest(phase.load) * phase.online[1])
        };
        self.fleets.iter().filter_map(rate).sum()
    }

    /// Returns the number of messages per second that a threshold covers in a phase, at the highest load in it. `None` if the plan does not
    /// determine it.
    #[must_use]
    pub fn phase_samples_per_s(&self, threshold: &Threshold, number: usize) -> Option<f64> {
        if !threshold.metric.is_message() {
            return None;
        }
        let fleets =
            self.fleets.iter().zip(0_u16..).filter(|(_, i)| threshold.fleet.is_none_or(|fleet| fleet == *i));
        let rate = |(fleet, _): (&FleetPlan, u16)| {
            let phase = self.schedule_of(fleet).phases().get(number)?;
            let sends = fleet.sends.iter().filter(|send| send.operation == threshold.metric);
            let rate_hz: f64 = sends.map(|send| send.arrival.rate_hz).sum();
            Some(rate_hz * f64::from(fleet.devices) * highest(phase.load) * phase.online[1])
        };
        Some(fleets.filter_map(rate).sum())
    }

    /// Replaces the phase and everything after it by slots for trials. Faults that would act during the slots are left out, and the
    /// thresholds are removed: the search judges each trial itself.
    #[must_use]
    pub fn into_trials(self, phase: usize, slots: &TrialSlots) -> Plan {
        self.with_slots(phase, slots, None)
    }

    /// Like [`into_trials`](Plan::into_trials), for trials with different numbers of devices. In the phases before the slots, only `share` of
    /// the devices of this plan take part. In the slots, commands set the number of online devices.
    #[must_use]
    pub fn into_device_trials(self, phase: usize, slots: &TrialSlots, share: f64) -> Plan {
        self.with_slots(phase, slots, Some(share))
    }

    /// Returns, for each fleet, the share of its devices that is online at the end of a phase.
    #[must_use]
    pub fn online_shares(&self, phase: usize) -> Vec<f64> {
        let share = |fleet: &FleetPlan| {
            self.schedule_of(fleet).phases().get(phase).map_or(0.0, |phase| phase.online[1])
        };
        self.fleets.iter().map(share).collect()
    }

    fn with_slots(mut self, phase: usize, slots: &TrialSlots, share: Option<f64>) -> Plan {
        let devices = self.devices();
        let fleets = self.fleets.iter_mut().filter_map(|fleet| fleet.own_schedule.as_mut());
        for schedule in std::iter::once(&mut self.schedule).chain(fleets) {
            replace_phases(schedule, phase, (devices, share), slots);
        }
        let start = self.schedule.load_end();
        self.faults.retain(|fault| fault.fault.end() <= start);
        for fleet in &mut self.fleets {
            fleet.faults.retain(|fault| fault.fault.end() <= start);
        }
        self.chaos = None;
        self.thresholds.clear();
        if self.deliveries.tracks_any() {
            // Which deliveries to expect depends on the phases.
            let run = self.deliveries.run();
            self.deliveries = Deliveries::resolve(&mut self.fleets, &self.schedule, run);
        }
        self
    }
}

/// Returns how long a share of the devices connects, in seconds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a device count; the cast saturates"
)]
fn connecting_s(devices: u64, share: f64) -> u64 {
    let devices = (devices as f64 * share) as u64;
    (devices / CONNECTS_PER_S).clamp(CONNECTING_S[0], CONNECTING_S[1])
}

fn highest([from, to]: [f64; 2]) -> f64 {
    from.max(to)
}

fn replace_phases(
    schedule: &mut Schedule,
    number: usize,
    (devices, share): (u64, Option<f64>),
    slots: &TrialSlots,
) {
    let Some(searched) = schedule.phases().get(number).cloned() else { return };
    let online = searched.online[1];
    schedule.truncate(number);
    schedule.scale_online(share.unwrap_or(1.0));
    let connecting_s = connecting_s(devices, share.unwrap_or(1.0));
    // Trials begin at a whole second, because everything is counted by the second.
    let end = schedule.end();
    let until = if end.is_zero() { connecting_s } else { end.as_secs() + u64::from(end.subsec_nanos() > 0) };
    if end.as_secs() < until {
        let from =
            if end.is_zero() { 0.0 } else { schedule.phases().last().map_or(0.0, |last| last.online[1]) };
        let connecting = PhasePlan {
            name: "connecting".to_owned(),
            warmup: true,
            online: [from, online * share.unwrap_or(1.0)],
            ..PhasePlan::default()
        };
        schedule.push(Duration::from_secs(until) - end, connecting);
    }
    let part = |name: String, warmup: bool| PhasePlan {
        name,
        warmup,
        // If commands set the number of online devices, the phases do not limit it.
        online: [share.map_or(online, |_| 1.0); 2],
        churn: searched.churn,
        ..PhasePlan::default()
    };
    let phases = (1..=slots.count).flat_map(|slot| {
        let name = TrialSlots::phase_name(slot);
        let settling = part(format!("before {name}"), true);
        [(slots.idle + slots.settle, settling), (slots.judged, part(name, false))]
    });
    schedule.push_unloaded(phases);
    schedule.set_reference_load(highest(searched.load));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Segment, load};
    use crate::scenario::Input;

    const SLOTS: TrialSlots = TrialSlots {
        idle: Duration::from_secs(5),
        settle: Duration::from_secs(5),
        judged: Duration::from_secs(30),
        count: 3,
    };

    fn plan(phases: &str) -> Plan {
        let text = format!(
            "[target]\nkind = \"mqtt\"\nhost = \"h\"\n[fleet.a]\ndevices = 100\n[[fleet.a.send]]\nevery = \"1s\"\ntopic = \"t\"\n\
             payload = \"x\"\n[fleet.b]\ndevices = 10\n[[fleet.b.send]]\nevery = \"1s\"\ntopic = \"t\"\npayload = \"x\"\n{phases}"
        );
        let files = &crate::scenario::no_files;
        load(&Input { file: "t.toml", text: &text, overrides: &[], env: &|_| None, files }, &mut rand::rng())
            .unwrap()
    }

    const PHASES: &str = "[[phase]]\nname = \"ramp\"\nduration = \"2500ms\"\nonline = \"0% -> 100%\"\nwarmup = true\nload = \"900%\"\n\
                          [[phase]]\nname = \"steady\"\nduration = \"1m\"\n\
                          [[phase]]\nname = \"peak\"\nduration = \"1m\"\nload = \"100% -> 300%\"\n\
                          [phase.fleet.b]\nload = \"600%\"\n";

    #[test]
    fn heaviest_phase_is_not_a_warmup() {
        let plan = plan(PHASES);
        assert_eq!(plan.heaviest_phase(), Some(2));
        assert!((plan.phase_rate(2) - 360.0).abs() < 1e-9, "{}", plan.phase_rate(2));
        assert!((plan.phase_rate(1) - 110.0).abs() < 1e-9);
    }

    #[test]
    fn slots_follow_the_phases_before_the_searched_one() {
        let plan = plan(PHASES).into_trials(1, &SLOTS);
        let names: Vec<(&str, u64)> =
            plan.schedule.phases().iter().map(|phase| (&*phase.name, phase.end.as_secs())).collect();
        let expected = [
            ("ramp", 2),
            ("connecting", 3),
            ("before slot 1", 13),
            ("slot 1", 43),
            ("before slot 2", 53),
            ("slot 2", 83),
            ("before slot 3", 93),
            ("slot 3", 123),
        ];
        assert_eq!(names, expected);
        assert_eq!(plan.schedule.load_end(), Duration::from_secs(3));
        assert_eq!(plan.schedule.end(), Duration::from_secs(123));
        assert!(plan.thresholds.is_empty());
    }

    #[test]
    fn devices_connect_first_if_no_phase_precedes() {
        let plan = plan("[[phase]]\nname = \"steady\"\nduration = \"1m\"\nonline = \"80%\"\n")
            .into_trials(0, &SLOTS);
        let first = &plan.schedule.phases()[0];
        assert_eq!((first.name.as_str(), first.online, first.end.as_secs()), ("connecting", [0.0, 0.8], 3));
    }

    #[test]
    fn trials_with_fewer_devices_ramp_to_the_lowest_number() {
        let plan = plan(PHASES).into_device_trials(2, &SLOTS, 0.1);
        let online: Vec<[f64; 2]> = plan.schedule.phases().iter().map(|phase| phase.online).take(5).collect();
        assert_eq!(online, [[0.0, 0.1], [0.1, 0.1], [0.1, 0.1], [1.0; 2], [1.0; 2]]);
        assert_eq!(plan.schedule.phases()[2].name, "connecting");
        let loads = plan.run_loads();
        let from = plan.schedule.load_end();
        let change = |devices| crate::plan::OnlineChange { from, over: Duration::ZERO, devices };
        assert!(loads.change_online(change([10, 1].into())));
        let at = |time: Duration| u64::try_from(time.as_nanos()).unwrap();
        assert_eq!(plan.planned_online_in(&loads, at(from) - 1), 11);
        assert_eq!(plan.planned_online_in(&loads, at(from)), 11);
        assert_eq!(plan.planned_online(at(from)), 110, "the phases do not limit the devices");
    }

    #[test]
    fn level_multiplies_each_fleets_own_load() {
        let plan = plan(PHASES).into_trials(2, &SLOTS);
        let loads = plan.run_loads();
        let from = plan.schedule.load_end();
        assert!(loads.append(Segment { until: from + Duration::from_secs(10), factor: [0.5; 2] }));
        let due = |fleet| {
            let load = loads.of(fleet).read();
            load.total() - load.integral(u64::try_from(from.as_nanos()).unwrap())
        };
        assert!((due(0) - 15.0).abs() < 1e-9, "300% at a level of 50%: {}", due(0));
        assert!((due(1) - 30.0).abs() < 1e-9, "600% at a level of 50%: {}", due(1));
    }
}
