//! Reconnect policies, in virtual time: the delays between the attempts of many devices that a hub refuses, and what happens to a device
//! that gave up.

use super::*;

const DEVICES: u32 = 400;
const ATTEMPTS: usize = 6;

/// Returns the delays in seconds before the attempts of each device, after the loss of a connection that lasted 10 s. The hub refuses
/// every attempt with "server unavailable".
fn delays(policy: &str, seed: u64) -> Vec<[f64; ATTEMPTS]> {
    let context = context_of(&format!(
        "seed = {seed}\n[fleet.a]\ndevices = {DEVICES}\nreconnect = {policy}\n\
         [[fleet.a.send]]\nevery = \"1h\"\npayload = \"x\"\n[[phase]]\nname = \"p\"\nduration = \"90d\"\n"
    ));
    let each = (0..DEVICES).map(|index| {
        let mut wire = Wire::of_device(context.clone(), index);
        let mut retries = Retries::default();
        wire.connack(0);
        wire.now += Duration::from_secs(10);
        wire.close(Closed::Eof);
        std::array::from_fn(|_| {
            let ended = wire.now;
            wire.now += wire.device.back_off(&mut retries, ended).expect("the policy never gives up");
            wire.attempt();
            let delay = wire.now - ended;
            wire.connack(3);
            wire.close(Closed::Local);
            delay.as_secs_f64()
        })
    });
    each.collect()
}

/// Checks that a policy's delays are uniform within bounds: `[least, most]` of the delay with this number, given the delay before it.
#[track_caller]
fn is_uniform(policy: &str, bounds: impl Fn(usize, f64) -> [f64; 2]) {
    let seen = delays(policy, 7);
    for number in 0..ATTEMPTS {
        let mut quarters = [0_u32; 4];
        for each in &seen {
            let previous = number.checked_sub(1).map_or(0.0, |previous| each[previous]);
            let ([least, most], delay) = (bounds(number, previous), each[number]);
            assert!(
                least - 1e-6 <= delay && delay <= most + 1e-6,
                "{policy} {number}: {delay} in {least}..{most}"
            );
            if most > least {
                quarters[(((delay - least) / (most - least) * 4.0) as usize).min(3)] += 1;
            }
        }
        // Five standard deviations of the binomial distribution (400; 1/4) are 43.
        let even = quarters.iter().all(|&n| n.abs_diff(DEVICES / 4) < 44) || quarters == [0; 4];
        assert!(even, "{policy} {number}: {quarters:?}");
    }
    assert_eq!(delays(policy, 7), seen, "the same seed gives the same delays");
    if seen.iter().any(|each| *each != seen[0]) {
        assert_ne!(delays(policy, 8), seen, "another seed gives other delays");
    }
}

/// The delay of a back-off from 1 s to 20 s, without jitter.
fn doubled(number: usize) -> f64 {
    [1.0, 2.0, 4.0, 8.0, 16.0, 20.0][number]
}

#[test]
fn delays_have_the_distribution_of_their_policy() {
    let exponential = |jitter: &str| {
        format!("{{ kind = \"exponential\", base = \"1s\", max = \"20s\", jitter = \"{jitter}\" }}")
    };
    is_uniform("{ kind = \"fixed\", delay = \"3s\" }", |_, _| [3.0, 3.0]);
    is_uniform("{ kind = \"fixed\", delay = \"3s\", jitter = \"full\" }", |_, _| [0.0, 3.0]);
    is_uniform("{ kind = \"fixed\", delay = \"3s\", jitter = \"equal\" }", |_, _| [1.5, 3.0]);
    is_uniform(&exponential("none"), |number, _| [doubled(number); 2]);
    is_uniform(&exponential("full"), |number, _| [0.0, doubled(number)]);
    is_uniform(&exponential("equal"), |number, _| [doubled(number) / 2.0, doubled(number)]);
    // The maximum is out of reach, so that every delay is uniform.
    is_uniform(
        "{ kind = \"exponential\", base = \"1s\", max = \"1h\", jitter = \"decorrelated\" }",
        |number, previous| [1.0, if number == 0 { 3.0 } else { 3.0 * previous }],
    );
    is_uniform(
        "{ kind = \"exponential\", base = \"1s\", max = \"20s\", jitter = \"full\", start_delay = \"5s\" }",
        |number, _| if number == 0 { [5.0; 2] } else { [0.0, doubled(number - 1)] },
    );
}

#[test]
fn device_that_gave_up_stays_offline_and_its_messages_end() {
    let outcomes = [("queue", Outcome::Expired), ("skip", Outcome::Offline)];
    let limits = ["give_up = 3", "give_up = \"2s\""];
    for ((offline, outcome), limit) in outcomes.into_iter().flat_map(|of| limits.map(|limit| (of, limit))) {
        let policy = format!(
            "reconnect = {{ kind = \"fixed\", delay = \"1s\", {limit} }}\noffline = \"{offline}\"\nsend_by = \"5s\""
        );
        let mut wire = Wire::online(60, &policy, EACH_SECOND);
        wire.pass(9.5).unwrap();
        let acked = wire.ack() as u64;
        wire.turn().unwrap();
        wire.close(Closed::Eof);
        let mut retries = Retries::default();
        let mut attempts = 0;
        while let Some(delay) = wire.device.back_off(&mut retries, wire.now) {
            wire.now += delay;
            wire.attempt();
            wire.connack(3);
            wire.close(Closed::Local);
            attempts += 1;
        }
        assert_eq!(attempts, if limit.contains('"') { 2 } else { 3 }, "{limit}");
        let gave_up = wire.context.recorder.borrow_mut().counts(0).gave_up;
        assert_eq!(gave_up, 1);
        while let Some(next_ns) = wire.device.end_messages_while_offline(wire.now) {
            let at = wire.context.at(next_ns);
            if at >= wire.context.clock.zero + Duration::from_secs(60) {
                break;
            }
            wire.now = at;
        }
        wire.now = wire.context.clock.zero + Duration::from_secs(60);
        let telemetry = wire.totals_at_end(Operation::Telemetry);
        assert_eq!((telemetry.due, telemetry.outcome(Outcome::Ok)), (60, acked), "{offline}");
        let ended = telemetry.outcome(outcome);
        assert!(ended >= 60 - acked - 5, "{offline} {limit}: {ended} of {}", 60 - acked);
    }
}
