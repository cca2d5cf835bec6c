//! The cost of a run on a hub that bills: the number of messages, and the share of one S1 unit's daily messages that they use. `run` and
//! `consent` print it before the load. Uses only the plan.

use crate::iothub::limits::Tier;
use crate::plan::{CallPlan, DrivePlan, FleetPlan, Payload, Plan};
use crate::units::{grouped, human_count};

/// Returns the number of billed messages of the plan. A hub bills in blocks of 4 KB. Reading a twin counts as one block, because the plan
/// does not know the twin's size.
fn billed(plan: &Plan) -> f64 {
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

/// Returns the plan's share of one S1 unit's daily messages; 1 is all of them.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "far below 2^52 messages")]
pub(super) fn share(plan: &Plan) -> f64 {
    billed(plan) / Tier::S1.messages_per_day() as f64
}

/// Describes the cost in one line.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of messages")]
pub(super) fn line(plan: &Plan) -> String {
    format!(
        "sends about {} billed messages, {}% of the daily messages of one S1 unit\n",
        human_count(billed(plan).round() as u64),
        grouped(&format!("{:.1}", share(plan) * 100.0)),
    )
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
        assert!(line(&plan).starts_with("sends about 5,000 billed messages, 1.2% of"), "{}", line(&plan));
        let much = line(&load(&["fleet.a.devices=100000".to_owned()]));
        assert!(much.starts_with("sends about 5,000,000 billed messages, 1,250.0% of"), "{much}");
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
