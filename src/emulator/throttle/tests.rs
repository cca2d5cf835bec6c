//! Every throttle of every tier, leases, the quota and its blocks, in virtual time.

use super::*;
use crate::emulator::test_support::{UNIX_S, seconds};
use crate::iothub::throttles::HubSize;
use std::time::Duration;

/// Every tier at one unit and at several.
const SIZES: [(Tier, [u32; 2]); 7] = [
    (Tier::F1, [1, 1]),
    (Tier::B1, [1, 20]),
    (Tier::B2, [1, 3]),
    (Tier::B3, [1, 2]),
    (Tier::S1, [1, 20]),
    (Tier::S2, [1, 30]),
    (Tier::S3, [1, 2]),
];

struct Hub {
    throttle: Throttle,
    start: Instant,
}

#[expect(clippy::disallowed_methods, reason = "any instant will do, because the test sets the time")]
fn hub(options: TierOptions, shards: usize, unix: Duration) -> Hub {
    let start = Instant::now();
    Hub { throttle: Throttle::new(options, shards, start, WallClock::of(start, unix)), start }
}

fn sizes() -> impl Iterator<Item = HubSize> {
    SIZES.into_iter().flat_map(|(tier, units)| units.map(|units| HubSize { tier, units }))
}

/// The number of operations that pass at once, that pass late, and that are refused.
type Outcome = [u64; 3];

/// Offers `per_minute` operations for 30 s. Returns the outcome and the longest delay.
fn offer(hub: &Hub, class: Class, per_minute: u64) -> (Outcome, Duration) {
    let (mut outcome, mut longest) = ([0; 3], Duration::ZERO);
    for n in 0..per_minute / 2 {
        let now = hub.start + Duration::from_nanos(60_000_000_000 * n / per_minute);
        let result = match class {
            Class::D2c => hub.throttle.telemetry(0, now, 100, ""),
            _ => hub.throttle.request(class, now, 1),
        };
        outcome[match result {
            Ok(None) => 0,
            Ok(Some(at)) => {
                longest = longest.max(at - now);
                1
            }
            Err(_) => 2,
        }] += 1;
    }
    (outcome, longest)
}

#[test]
fn every_class_of_every_tier_binds_at_its_limit() {
    let six = seconds(6);
    for size in sizes() {
        let options = TierOptions { burst: six, queue: six, connect_wait: six, ..TierOptions::of(size) };
        for class in Class::ALL {
            let hub = || hub(options, 1, seconds(UNIX_S));
            let name = format!("{size} {class:?}");
            let Some(per_minute) = size.per_minute(class) else {
                assert_eq!(hub().throttle.request(class, hub().start, 1), Err(Refused::NotInTier), "{name}");
                continue;
            };
            let half = per_minute / 2;
            assert_eq!(
                offer(&hub(), class, per_minute),
                ([half, 0, 0], Duration::ZERO),
                "{name}, at the limit"
            );
            // At twice the limit, the burst of 6 s lasts for 6 s. Then the delay grows to 6 s within 6 s, and one of two is refused. The last
            // of each kind may be counted as the next kind, because a token is earned at the end of its interval.
            let hub = hub();
            let ([at_once, late, refused], longest) = offer(&hub, class, 2 * per_minute);
            assert!(at_once.abs_diff(per_minute / 5) <= 1, "{name}: {at_once} at once");
            assert!((at_once + late).abs_diff(half + per_minute / 5) <= 1, "{name}: {late} late");
            assert_eq!(at_once + late + refused, per_minute, "{name}");
            let interval = Duration::from_secs(60) / u32::try_from(per_minute).unwrap();
            assert!(longest <= six && longest + interval >= six, "{name}: {longest:?}");
            let stats = hub.throttle.stats(hub.start).classes[class.name()];
            assert_eq!((stats.delayed, stats.rejected), (late, refused), "{name}");
        }
    }
}

#[test]
fn leases_of_four_shards_match_one_bucket() {
    for size in [HubSize { tier: Tier::S1, units: 1 }, HubSize { tier: Tier::S2, units: 4 }] {
        let per_s = 2 * size.per_minute(Class::D2c).unwrap() / 60;
        let run = |shards: usize, shard_of: fn(u64) -> usize| {
            let hub = hub(TierOptions::of(size), shards, seconds(UNIX_S));
            let mut passed = vec![0_u64; shards];
            for n in 0..per_s * 180 {
                let now = hub.start + Duration::from_nanos(1_000_000_000 * n / per_s);
                let shard = shard_of(n);
                passed[shard] += u64::from(hub.throttle.telemetry(shard, now, 100, "").is_ok());
            }
            passed
        };
        let one = run(1, |_| 0)[0];
        // Each shard gets as much, in an order that is not in step with the tokens.
        let even = run(4, |n| ((n + n / 4) % 4) as usize);
        // Three shards stop after a while, with a lease that they do not use.
        let uneven = run(4, |n| if n < 1000 { (n % 4) as usize } else { 0 });
        for shards in [&even, &uneven] {
            let all: u64 = shards.iter().sum();
            assert!(all.abs_diff(one) <= one / 100, "{size}: {all} instead of {one}");
        }
        let (least, most) = (even.iter().min().unwrap(), even.iter().max().unwrap());
        assert!(most - least <= most / 100, "{size}: {even:?}");
    }
}

/// The message of each turn arrives on the same shard. At twice the limit, one of two messages passes, and a shard whose turn always
/// coincides with a free token gets more than the others. The hub as a whole still admits its limit.
#[test]
fn shards_in_step_with_the_tokens_get_unequal_shares() {
    let size = HubSize { tier: Tier::S1, units: 1 };
    let hub = hub(TierOptions::of(size), 4, seconds(UNIX_S));
    let mut passed = [0_u64; 4];
    for n in 0..200 * 180 {
        let now = hub.start + Duration::from_millis(5 * n);
        let shard = (n % 4) as usize;
        passed[shard] += u64::from(hub.throttle.telemetry(shard, now, 100, "").is_ok());
    }
    // 18,000 earned tokens, 6,000 of the burst and 6,000 of the queue. Each shard sent 9,000 messages.
    assert_eq!(passed, [9_000, 5_999, 9_000, 6_000]);
}

/// Devices are not distinguished: each gets a share of the tokens in proportion to the messages that it sends.
#[test]
fn a_device_that_sends_more_gets_more() {
    let size = HubSize { tier: Tier::S1, units: 1 };
    let hub = hub(TierOptions::of(size), 1, seconds(UNIX_S));
    let (mut sent, mut passed) = ([0_u64; 3], [0_u64; 3]);
    for n in 0_u64..200 * 600 {
        let now = hub.start + Duration::from_millis(5 * n);
        // Of 13 messages, one is from the first device, three are from the second, and nine from the third.
        let device = [0, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2][(n % 13) as usize];
        sent[device] += 1;
        passed[device] += u64::from(hub.throttle.telemetry(0, now, 100, "").is_ok());
    }
    let all: u64 = passed.iter().sum();
    for device in 0..3 {
        let fair = all * sent[device] / (200 * 600);
        assert!(passed[device].abs_diff(fair) <= fair / 50, "device {device}: {passed:?} of {sent:?}");
    }
}

#[test]
fn the_quota_ends_at_its_last_message_until_midnight() {
    for size in sizes().filter(|size| size.messages_per_day() <= 6_000_000) {
        let quota = size.messages_per_day();
        let options = TierOptions { quota_used: quota - 50, ..TierOptions::of(size) };
        // Ten seconds before midnight UTC.
        let hub = hub(options, 4, seconds(86_400 * 20_000 - 10));
        let send = |n: usize, after: Duration| hub.throttle.telemetry(n % 4, hub.start + after, 100, "");
        assert!((0..50).all(|n| send(n, Duration::ZERO) == Ok(None)), "{size}");
        assert_eq!(send(50, Duration::ZERO), Err(Refused::QuotaUsedUp));
        assert_eq!(hub.throttle.check_quota(hub.start), Err(Refused::QuotaUsedUp));
        assert_eq!(hub.throttle.request(Class::Connections, hub.start, 1), Ok(None), "{size}");
        let before = seconds(10) - Duration::from_nanos(1);
        assert!((0..4).all(|n| send(n, before) == Err(Refused::QuotaUsedUp)), "{size}");
        assert!((0..4).all(|n| send(n, seconds(10)) == Ok(None)), "{size}");
        let stats = hub.throttle.stats(hub.start + seconds(10));
        assert_eq!((stats.quota_used, stats.quota_refused), (4, 6), "{size}");
        assert_eq!(stats.quota_first_unix_us, (86_400 * 20_000 - 10) * 1_000_000);
    }
}

/// A thread remembers the day of one shard only, and the leases of both hubs are earned.
#[test]
fn two_hubs_on_one_thread_have_their_own_days_and_quotas() {
    let size = HubSize { tier: Tier::S1, units: 1 };
    let hub = |left: u64, to_midnight_s: u64| {
        let options = TierOptions { quota_used: size.messages_per_day() - left, ..TierOptions::of(size) };
        hub(options, 1, seconds(86_400 * 20_000 - to_midnight_s))
    };
    let send = |hub: &Hub, after: Duration| hub.throttle.telemetry(0, hub.start + after, 100, "");
    let hubs = [(hub(3, 1), 3, seconds(1)), (hub(5, 2), 5, seconds(2))];
    for n in 0..10 {
        for (hub, left, _) in &hubs {
            let expected = if n < *left { Ok(None) } else { Err(Refused::QuotaUsedUp) };
            assert_eq!(send(hub, Duration::from_nanos(n)), expected, "message {n} of {left}");
        }
    }
    for (hub, left, midnight) in &hubs {
        assert_eq!(send(hub, *midnight - Duration::from_nanos(1)), Err(Refused::QuotaUsedUp), "{left}");
        assert!((0..100).all(|n| send(hub, *midnight + Duration::from_nanos(n)) == Ok(None)), "{left}");
        assert_eq!(hub.throttle.stats(hub.start + *midnight).quota_used, 100, "{left}");
    }
}

#[test]
fn messages_are_billed_in_blocks() {
    for (tier, bytes, blocks) in
        [(Tier::F1, 513, 2), (Tier::S1, 513, 1), (Tier::S1, 4097, 2), (Tier::F1, 4097, 9)]
    {
        let hub = hub(TierOptions::of(HubSize { tier, units: 1 }), 1, seconds(UNIX_S));
        hub.throttle.telemetry(0, hub.start, bytes, "").unwrap();
        assert_eq!(hub.throttle.stats(hub.start).quota_used, blocks, "{tier:?} {bytes}");
    }
    // The separators of properties do not count.
    let hub = hub(TierOptions::of(HubSize { tier: Tier::S1, units: 1 }), 1, seconds(UNIX_S));
    hub.throttle.telemetry(0, hub.start, 4094, "a=1").unwrap();
    assert_eq!(hub.throttle.stats(hub.start).quota_used, 1);
}
