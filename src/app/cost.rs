//! The cost of a run on a hub that bills: the number of messages, and the share of one S1 unit's daily messages that they use. `check`, `run`
//! and `consent` print it before the load. Uses only the plan.

use crate::iothub::limits::Tier;
use crate::plan::{CallPlan, DrivePlan, FleetPlan, Payload, Plan, SendPlan};
use crate::units::{grouped, human_count, plural};

/// Returns the number of billed messages of a run. A hub bills in blocks of 4 KB. Reading a twin counts as one block, because the plan
/// does not know the twin's size.
pub(super) fn billed(plan: &Plan) -> f64 {
    sum(plan, |count| match count {
        Counted::Messages(fleet, send) => plan.load_seconds(fleet) * send.arrival.rate_hz,
        Counted::Connects(fleet) => plan.planned_connects(fleet),
        Counted::Calls(drive) => plan.planned_calls(drive),
    })
}

/// Operations of a plan whose number a sum needs.
enum Counted<'a> {
    Messages(&'a FleetPlan, &'a SendPlan),
    Connects(&'a FleetPlan),
    Calls(&'a DrivePlan),
}

/// Returns the number of billed messages, given how often each operation is due.
fn sum(plan: &Plan, times: impl Fn(Counted<'_>) -> f64) -> f64 {
    let fleets = plan.fleets.iter().map(|fleet| {
        let sends = fleet.sends.iter().map(|send| {
            times(Counted::Messages(fleet, send)) * blocks(fleet, &send.payload, send.properties_bytes)
        });
        let gets = if fleet.twin.get_on_connect { times(Counted::Connects(fleet)) } else { 0.0 };
        sends.sum::<f64>() + gets
    });
    let calls = plan.drives.iter().filter_map(|drive| {
        let fleet = plan.fleets.get(usize::from(drive.fleet))?;
        Some(times(Counted::Calls(drive)) * call_blocks(fleet, drive))
    });
    fleets.chain(calls).sum()
}

/// Returns the number of blocks billed for one message.
#[expect(clippy::cast_precision_loss, reason = "a message has few blocks")]
fn blocks(fleet: &FleetPlan, payload: &Payload, more_bytes: usize) -> f64 {
    let id_bytes = fleet.device_id(fleet.devices.saturating_sub(1)).len();
    Tier::S1.billed((payload.bytes_max(id_bytes) + more_bytes) as u64) as f64
}

/// Returns the number of blocks billed for one call, including the answer to a method call, or the update message to the device for
/// desired properties (Azure: "Azure IoT Hub pricing information").
fn call_blocks(fleet: &FleetPlan, drive: &DrivePlan) -> f64 {
    match &drive.call {
        CallPlan::Method { name, .. } => {
            let method = fleet.methods.iter().find(|method| method.name == *name);
            let answer = match method.map(|method| &method.answer) {
                Some(Some(answer)) => blocks(fleet, &answer.payload, 0),
                Some(None) => 0.0,
                None => 1.0,
            };
            blocks(fleet, &drive.payload, 0) + answer
        }
        CallPlan::Desired => 2.0 * blocks(fleet, &drive.payload, 0),
        CallPlan::C2d { .. } => blocks(fleet, &drive.payload, drive.call.properties_bytes_max()),
    }
}

/// Returns the number of billed messages of a plan in which every message and call is due once.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of messages")]
pub(super) fn billed_once(plan: &Plan) -> u64 {
    sum(plan, |_| 1.0).round() as u64
}

/// The messages that a hub bills for a plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cost {
    /// Messages of the whole run.
    run: f64,
    /// Messages of 24 hours at the run's average rate.
    day: f64,
    /// Whether the run lasts longer than 24 hours. A hub's quota is for each day.
    over_a_day: bool,
}

/// Returns the cost of a plan.
#[must_use]
pub(super) fn cost(plan: &Plan) -> Cost {
    let run = billed(plan);
    let duration_s = plan.schedule.end().as_secs_f64();
    Cost { run, day: run * DAY_S / duration_s, over_a_day: duration_s > DAY_S }
}

const DAY_S: f64 = 86_400.0;

impl Cost {
    /// Returns the run's share of one S1 unit's daily messages; 1 is all of them. For a run of several days, this is the share on each day.
    #[must_use]
    pub(super) fn share(self) -> f64 {
        if self.over_a_day { self.day / unit_per_day() } else { self.run / unit_per_day() }
    }

    /// Describes the cost of the run in one line, for `run`.
    #[must_use]
    pub(super) fn line(self) -> String {
        format!(
            "sends about {} billed messages, {} of the daily messages of one S1 unit{}\n",
            count(self.run),
            percent(self.share()),
            self.each_day()
        )
    }

    fn each_day(self) -> &'static str {
        if self.over_a_day { ", on each day" } else { "" }
    }

    /// Describes the cost of the run for `check`, and then that of a day.
    #[must_use]
    pub(super) fn description(self) -> [String; 2] {
        let units = self.day / unit_per_day();
        let each_day = self.each_day();
        let more = if units > 1.0 { format!(", or {} S1 units", count(units.ceil())) } else { String::new() };
        [
            format!(
                "about {} in the run: {} of the {} a day of one S1 unit{each_day}",
                plural_messages(self.run),
                percent(self.share()),
                count(unit_per_day())
            ),
            format!(
                "about {} if the run's average rate continues for 24 hours: {} of one S1 unit{more}",
                count(rounded(self.day)),
                percent(units)
            ),
        ]
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52 messages")]
fn unit_per_day() -> f64 {
    Tier::S1.messages_per_day() as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of messages")]
fn count(messages: f64) -> String {
    human_count(messages.round() as u64)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of messages")]
fn plural_messages(messages: f64) -> String {
    plural(messages.round() as u64, "message", "messages")
}

/// Rounds a count to three digits.
fn rounded(count: f64) -> f64 {
    let digit = 10_f64.powf((count.max(1.0).log10().floor() - 2.0).max(0.0));
    (count / digit).round() * digit
}

fn percent(share: f64) -> String {
    match share * 100.0 {
        percent if percent > 0.0 && percent < 0.1 => "less than 0.1%".to_owned(),
        percent if percent >= 100.0 => format!("{}%", grouped(&format!("{percent:.0}"))),
        percent => format!("{percent:.1}%"),
    }
}

#[cfg(test)]
mod tests;
