//! What a run will cost a hub that bills: messages, and their share of one unit's day. Told before the load starts;
//! called by
//! `run` and `consent`.

use crate::iothub::limits::Tier;
use crate::plan::Plan;
use crate::units::human_count;

/// Messages that a hub bills for the whole plan: it meters in blocks of 4 KB.
#[expect(clippy::cast_precision_loss, reason = "a handful of blocks")]
fn billed(plan: &Plan) -> f64 {
    let fleets = plan.fleets.iter().map(|fleet| {
        let id_bytes = fleet.device_id(fleet.devices.saturating_sub(1)).len();
        let blocks = fleet.sends.iter().map(|send| {
            let bytes = send.payload.bytes_max(id_bytes) + send.properties_bytes;
            send.arrival.rate_hz * Tier::S1.billed(bytes as u64) as f64
        });
        plan.load_seconds(fleet) * blocks.sum::<f64>()
    });
    fleets.sum()
}

/// The plan's share of what one S1 unit takes in a day; 1 is all of it.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a share of some hundred thousands")]
pub(super) fn share(plan: &Plan) -> f64 {
    billed(plan) / Tier::S1.messages_per_day() as f64
}

/// One line: how many billed messages, and how much of an S1 unit's day that is.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of messages")]
pub(super) fn line(plan: &Plan) -> String {
    format!(
        "sends about {} billed messages, {:.1}% of one S1 unit's day\n",
        human_count(billed(plan).round() as u64),
        share(plan) * 100.0,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Input;

    #[test]
    fn blocks_are_counted_and_not_messages() {
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
        // 100 devices x (5 s in the ramp + 20 s of load in the second phase), each message two blocks of 4 KB.
        assert!((billed(&plan) - 5_000.0).abs() < 1.0, "{}", billed(&plan));
        // 8,192 bytes fill two blocks; a property makes them three.
        let full = "fleet.a.send.0.payload.size=8192".to_owned();
        assert!((billed(&load(std::slice::from_ref(&full))) - 5_000.0).abs() < 1.0);
        let property = "fleet.a.send.0.properties={ a = \"b\" }".to_owned();
        assert!((billed(&load(&[full, property])) - 7_500.0).abs() < 1.0);
        assert!(line(&plan).starts_with("sends about 5,000 billed messages, 1.2% of"), "{}", line(&plan));
    }
}
