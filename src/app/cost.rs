//! The cost of a run on a hub that bills: the number of messages, and the share of one S1 unit's daily messages that they use. `check`, `run`
//! and `consent` print it before the load. Uses only the plan.

use crate::iothub::limits::Tier;
use crate::plan::{CallPlan, DrivePlan, FleetPlan, Payload, Plan};
use crate::units::{grouped, human_count, plural};

/// Returns the number of billed messages of a run. A hub bills in blocks of 4 KB. Reading a twin counts as one block, because the plan
/// does not know the twin's size.
pub(super) fn billed(plan: &Plan) -> f64 {
    let fleets = plan.fleets.iter().map(|fleet| {
        let per_second: f64 = fleet
            .sends
            .iter()
            .map(|send| send.arrival.rate_hz * blocks(fleet, &send.payload, send.properties_bytes))
            .sum();
        let gets = if fleet.twin.get_on_connect { plan.planned_connects(fleet) } else { 0.0 };
        plan.load_seconds(fleet) * per_second + gets
    });
    let calls = plan.drives.iter().filter_map(|drive| {
        let fleet = plan.fleets.get(usize::from(drive.fleet))?;
        Some(plan.planned_calls(drive) * call_blocks(fleet, drive))
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
    let fleets = plan.fleets.iter().map(|fleet| {
        let sends = fleet.sends.iter().map(|send| blocks(fleet, &send.payload, send.properties_bytes));
        sends.sum::<f64>() + f64::from(u8::from(fleet.twin.get_on_connect))
    });
    let fleets: f64 = fleets.sum();
    let calls = plan
        .drives
        .iter()
        .filter_map(|drive| Some(call_blocks(plan.fleets.get(usize::from(drive.fleet))?, drive)));
    (fleets + calls.sum::<f64>()).round() as u64
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
mod tests {
    use super::*;
    use crate::scenario::Input;

    #[test]
    fn blocks_of_4_kb_are_billed() {
        let text = r#"
            name = "cost"
            [fleet.a]
            devices = 100
            [[fleet.a.send]]
            every = "1s"
            payload = { size = 5000 }
            [[phase]]
            name = "ramp"
            duration = "10s"
            online = "0% -> 100%"
            [[phase]]
            name = "steady"
            duration = "10s"
            load = "100% -> 300%"
        "#;
        let load = |overrides: &[String]| {
            let input = Input {
                file: "cost.toml",
                text,
                overrides,
                env: &|_| None,
                files: &crate::scenario::no_files,
            };
            crate::plan::load(&input, &mut rand::rng()).unwrap()
        };
        let plan = load(&[]);
        // 100 devices x (5 s in the ramp + 20 s of load in the second phase); each message is two blocks of 4 KB.
        assert!((billed(&plan) - 5_000.0).abs() < 1.0, "{}", billed(&plan));
        // 8,192 bytes fill two blocks; a property makes them three.
        let full = "fleet.a.send.0.payload.size=8192".to_owned();
        assert!((billed(&load(std::slice::from_ref(&full))) - 5_000.0).abs() < 1.0);
        let property = "fleet.a.send.0.properties={ a = \"b\" }".to_owned();
        assert!((billed(&load(&[full, property])) - 7_500.0).abs() < 1.0);
        let line = cost(&plan).line();
        assert!(line.starts_with("sends about 5,000 billed messages, 1.2% of"), "{line}");
        let much = cost(&load(&["fleet.a.devices=100000".to_owned()])).line();
        assert!(much.starts_with("sends about 5,000,000 billed messages, 1,250% of"), "{much}");
    }

    #[test]
    fn cost_of_a_day_is_at_the_average_rate_of_the_run() {
        let text = "[fleet.a]\ndevices = 10\n[[fleet.a.send]]\nevery = \"1s\"\npayload = \"x\"\n\
                    [[phase]]\nname = \"p\"\nduration = \"60s\"\n";
        let plan_for = |duration: &str, devices: u32| {
            let overrides = [format!("fleet.a.devices={devices}"), format!("phase.p.duration={duration}")];
            let input = Input {
                file: "cost.toml",
                text,
                overrides: &overrides,
                env: &|_| None,
                files: &crate::scenario::no_files,
            };
            crate::plan::load(&input, &mut rand::rng()).unwrap()
        };
        let plan = |devices| plan_for("60s", devices);
        assert_eq!(
            cost(&plan(10)).description(),
            [
                "about 600 messages in the run: 0.1% of the 400,000 a day of one S1 unit",
                "about 864,000 if the run's average rate continues for 24 hours: 216% of one S1 unit, or 3 S1 units"
            ]
        );
        let month = cost(&plan_for("30d", 10));
        assert_eq!(
            month.description()[0],
            "about 25,920,000 messages in the run: 216% of the 400,000 a day of one S1 unit, on each day"
        );
        assert!(
            month.line().ends_with("216% of the daily messages of one S1 unit, on each day\n"),
            "{}",
            month.line()
        );
        let [run, day] = cost(&plan(1)).description();
        assert!(run.contains("in the run: less than 0.1% of"), "{run}");
        assert!(day.ends_with("24 hours: 21.6% of one S1 unit"), "{day}");
    }

    #[test]
    fn twins_methods_and_c2d_messages_are_billed() {
        let text = r#"
            [fleet.a]
            devices = 10
            subscribe = ["twin", "methods", "c2d"]
            twin = { get = "on-connect", every = "10s" }
            [[fleet.a.report]]
            every = "10s"
            payload = '{"n":${seq}}'
            [fleet.a.methods.read]
            payload = { size = 5000 }
            [fleet.a.methods.never]
            answer = false
            [[drive]]
            call = "method"
            fleet = "a"
            name = "read"
            rate = "1/s"
            [[phase]]
            name = "p"
            duration = "100s"
        "#;
        let of = |call: &str| {
            let text = text
                .replace("call = \"method\"\n            fleet = \"a\"\n            name = \"read\"", call);
            let input = Input {
                file: "cost.toml",
                text: &text,
                overrides: &[],
                env: &|_| None,
                files: &crate::scenario::no_files,
            };
            let plan =
                crate::plan::load(&input, &mut rand::rng()).unwrap_or_else(|errors| panic!("{errors}"));
            billed(&plan).round()
        };
        // Ten reads on connect, then ten reads and ten reports per device.
        let twins = 10.0 + 100.0 + 100.0;
        let call = |more: &str| format!("fleet = \"a\"\n{more}");
        for (call, blocks) in [
            (call("call = \"method\"\nname = \"read\""), 3.0),
            (call("call = \"method\"\nname = \"never\""), 1.0),
            (call("call = \"method\"\nname = \"other\""), 2.0),
            (call("call = \"desired\"\npayload = '{}'"), 2.0),
            (call("call = \"c2d\"\npayload = { size = 5000 }"), 2.0),
        ] {
            assert!((of(&call) - twins - 100.0 * blocks).abs() < 0.5, "{call}: {}", of(&call));
        }
    }
}
