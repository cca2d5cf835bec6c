//! What a run will cost a hub that bills: messages, and their share of one unit's day. Told before the load starts;
//! called by `run` and `check`.

use crate::iothub::limits::Tier;
use crate::plan::Plan;
use crate::units::human_count;
use std::time::Duration;

/// How finely the planned load is added up.
const STEPS: u32 = 2_000;

/// Messages that the plan sends, and how many of them the hub bills (it meters in blocks of 4 KB).
#[must_use]
pub(super) fn messages(plan: &Plan) -> (f64, f64) {
    let tier = Tier::S1;
    let mut sent = 0.0;
    let mut billed = 0.0;
    for fleet in &plan.fleets {
        let device_seconds = f64::from(fleet.devices) * load_seconds(plan);
        let id_bytes = fleet.device_id(fleet.devices.saturating_sub(1)).len();
        for send in &fleet.sends {
            let messages = send.arrival.rate_hz * device_seconds;
            let blocks = tier.billed(send.payload.bytes_max(id_bytes) as u64);
            sent += messages;
            #[expect(clippy::cast_precision_loss, reason = "a handful of blocks")]
            let blocks = blocks as f64;
            billed += messages * blocks;
        }
    }
    (sent, billed)
}

/// Seconds of full load that the average device of a fleet sends for: online share times load factor, added up.
fn load_seconds(plan: &Plan) -> f64 {
    let step: Duration = plan.schedule.end() / STEPS;
    let step_ns = u64::try_from(step.as_nanos()).unwrap_or(u64::MAX);
    let load = plan.schedule.load();
    (0..u64::from(STEPS))
        .map(|n| {
            let (from, to) = (n * step_ns, (n + 1) * step_ns);
            let share = plan.schedule.planned_online_share(from + step_ns / 2);
            share * (load.integral(to) - load.integral(from))
        })
        .sum()
}

/// One line: how many billed messages, and how much of an S1 unit's day that is.
#[must_use]
pub(super) fn line(plan: &Plan) -> String {
    let (_, billed) = messages(plan);
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let share = billed / Tier::S1.messages_per_day() as f64 * 100.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of messages")]
    let billed = billed.round() as u64;
    format!("sends about {} billed messages, {share:.1}% of one S1 unit's day\n", human_count(billed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Input;

    #[test]
    fn messages_are_rate_times_online_share_times_load() {
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
        let input = Input { file: "cost.toml", text, overrides: &[], env: &|_| None };
        let plan = crate::plan::load(&input, &mut rand::rng()).unwrap();
        let (sent, billed) = messages(&plan);
        // 100 devices x (5 s in the ramp + 20 s of load in the second phase), each message two blocks of 4 KB.
        assert!((sent - 2_500.0).abs() < 5.0, "{sent}");
        assert!((billed - 5_000.0).abs() < 10.0, "{billed}");
        assert!(line(&plan).starts_with("sends about 5,000 billed messages, 1.2% of"), "{}", line(&plan));
    }
}
