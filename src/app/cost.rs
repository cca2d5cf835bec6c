//! The cost of a run on a hub that bills: the number of messages, and their share of the hub's daily messages, or of one S1 unit's if the
//! hub's size is not known. `check`, `run` and `consent` print it before the load, and `limits` compares a run with the daily quota. Uses
//! only the plan.

use crate::capacity::{call_blocks, message_blocks};
use crate::iothub::limits::Tier;
use crate::iothub::throttles::HubSize;
use crate::measure::Operation;
use crate::plan::{DrivePlan, FleetPlan, Plan, SendPlan};
use crate::units::{grouped, human_count, plural};

/// Returns the number of billed messages of a run. A hub bills in blocks of 4 KB (0.5 KB in the tier F1). Reading a twin counts as one
/// block, because the plan does not know the twin's size.
fn billed(plan: &Plan) -> f64 {
    sum(plan, |count| match count {
        Counted::Messages(fleet, send) => plan.load_seconds(fleet) * send.arrival.rate_hz,
        Counted::Connects(fleet) => plan.planned_connects(fleet),
        Counted::Calls(drive) => plan.planned_calls(drive),
    })
}

/// Returns the mean number of billed blocks of a message that devices send, weighted by their rates.
#[must_use]
pub(super) fn blocks_per_message(plan: &Plan) -> f64 {
    let tier = size(plan).tier;
    let sends = plan.fleets.iter().flat_map(|fleet| fleet.sends.iter().map(move |send| (fleet, send)));
    let (blocks, rate) = sends.fold((0.0, 0.0), |(blocks, rate), (fleet, send)| {
        let rate_hz = send.arrival.rate_hz * f64::from(fleet.devices);
        (blocks + rate_hz * message_blocks(fleet, send, tier), rate + rate_hz)
    });
    if rate > 0.0 && blocks > 0.0 { blocks / rate } else { 1.0 }
}

/// Operations of a plan whose number a sum needs.
enum Counted<'a> {
    Messages(&'a FleetPlan, &'a SendPlan),
    Connects(&'a FleetPlan),
    Calls(&'a DrivePlan),
}

/// Returns the number of billed messages, given how often each operation is due.
fn sum(plan: &Plan, times: impl Fn(Counted<'_>) -> f64) -> f64 {
    let tier = size(plan).tier;
    let fleets = plan.fleets.iter().map(|fleet| {
        let sends = fleet
            .sends
            .iter()
            .map(|send| times(Counted::Messages(fleet, send)) * message_blocks(fleet, send, tier));
        let gets = if fleet.twin.get_on_connect { times(Counted::Connects(fleet)) } else { 0.0 };
        sends.sum::<f64>() + gets
    });
    let calls = plan.drives.iter().filter_map(|drive| {
        let fleet = plan.fleets.get(usize::from(drive.fleet))?;
        Some(times(Counted::Calls(drive)) * call_blocks(fleet, drive, tier))
    });
    fleets.chain(calls).sum()
}

/// Returns the mean number of blocks billed for an operation of a fleet; 0 if the operation is free.
pub(super) fn blocks_each(plan: &Plan, fleet: usize, operation: Operation, tier: Tier) -> f64 {
    let Some(of) = plan.fleets.get(fleet) else { return 0.0 };
    let sends = of.sends.iter().filter(|send| send.operation == operation);
    let sends = sends.map(|send| (send.arrival.rate_hz, message_blocks(of, send, tier)));
    let calls = plan
        .drives
        .iter()
        .filter(|drive| usize::from(drive.fleet) == fleet && drive.call.operation() == operation);
    let calls = calls.map(|drive| (drive.arrival.rate_hz, call_blocks(of, drive, tier)));
    let (blocks, rate) = sends
        .chain(calls)
        .fold((0.0, 0.0), |(blocks, rate), (rate_hz, each)| (blocks + rate_hz * each, rate + rate_hz));
    match operation {
        _ if rate > 0.0 => blocks / rate,
        // Twins that are read only on connect have no stream.
        Operation::TwinGet => 1.0,
        _ => 0.0,
    }
}

/// Returns the number of billed messages of a plan in which every message and call is due once.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of messages")]
pub(super) fn billed_once(plan: &Plan) -> u64 {
    sum(plan, |_| 1.0).round() as u64
}

/// Returns the size of the hub, or one S1 unit if it is not known.
fn size(plan: &Plan) -> HubSize {
    plan.hub_size().unwrap_or(HubSize { tier: Tier::S1, units: 1 })
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
    /// The hub whose daily messages the run uses.
    size: HubSize,
}

/// Returns the cost of a plan.
#[must_use]
pub(super) fn cost(plan: &Plan) -> Cost {
    let run = billed(plan);
    let duration_s = plan.schedule.end().as_secs_f64();
    Cost { run, day: run * DAY_S / duration_s, over_a_day: duration_s > DAY_S, size: size(plan) }
}

const DAY_S: f64 = 86_400.0;

impl Cost {
    /// Returns the run's share of the hub's daily messages; 1 is all of them. For a run of several days, this is the share on each day.
    #[must_use]
    pub(super) fn share(self) -> f64 {
        if self.over_a_day { self.day / self.per_day() } else { self.run / self.per_day() }
    }

    /// Describes the cost of the run in one line, for `run`.
    #[must_use]
    pub(super) fn line(self) -> String {
        format!(
            "sends about {} billed messages, {} of the daily messages of {}{}\n",
            count(self.run),
            percent(self.share()),
            self.hub(),
            self.each_day()
        )
    }

    /// Returns the hub in words.
    #[must_use]
    pub(super) fn hub(self) -> String {
        units(f64::from(self.size.units), self.size.tier)
    }

    /// Returns hubs whose daily quota is enough, in words.
    fn enough(self) -> String {
        let own = self.size.tier;
        let needed = |tier: Tier| (self.day / f64_of(tier.messages_per_day())).ceil();
        let most = |tier: Tier| f64::from(tier.units_max());
        let fits = |tier: &Tier| needed(*tier) <= most(*tier);
        if fits(&own) {
            return units(needed(own), own);
        }
        let larger = own.larger().iter().copied();
        let enough: Vec<String> = larger.clone().filter(fits).map(|tier| units(needed(tier), tier)).collect();
        let text = if enough.is_empty() {
            let largest = larger.last().unwrap_or(own);
            let hubs = count((needed(largest) / most(largest)).ceil());
            format!("{hubs} hubs with {} each", units(most(largest), largest))
        } else {
            enough.join(" or ")
        };
        format!("{text} (a hub can have at most {})", units(most(own), own))
    }

    fn each_day(self) -> &'static str {
        if self.over_a_day { ", on each day" } else { "" }
    }

    /// Describes the cost of the run for `check`, and then that of a day.
    #[must_use]
    pub(super) fn description(self) -> [String; 2] {
        let hub = self.hub();
        let each_day = self.each_day();
        let more = if self.day > self.per_day() { format!(", or {}", self.enough()) } else { String::new() };
        [
            format!(
                "about {} in the run: {} of the {} a day of {hub}{each_day}",
                plural_messages(self.run),
                percent(self.share()),
                count(self.per_day())
            ),
            format!(
                "about {} if the run's average rate continues for 24 hours: {} of {hub}{more}",
                count(rounded(self.day)),
                percent(self.day / self.per_day())
            ),
        ]
    }

    fn per_day(self) -> f64 {
        f64_of(self.size.messages_per_day())
    }
}

/// Returns a number of units in words.
fn units(number: f64, tier: Tier) -> String {
    match count(number).as_str() {
        "1" => format!("one {} unit", tier.name()),
        number => format!("{number} {} units", tier.name()),
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52 messages")]
fn f64_of(messages: u64) -> f64 {
    messages as f64
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
