//! The presets have the values from their sources.

use super::*;
use crate::policy::backoff::{Loss, Retries};
use crate::rng::{Purpose, generator};

/// Returns keep-alive, minutes until renewal, QoS of c2d, twin, methods and twin requests, and API version.
fn facts(sdk: Sdk) -> (u16, u64, [u8; 4], &'static str) {
    let preset = device_preset(Some(sdk));
    let minutes = preset.tokens.renewed_after().map_or(0, |after| after.as_secs() / 60);
    assert_eq!((preset.tokens.ttl, preset.tokens.clock_skew_us), (60 * MINUTE, 0));
    assert!(preset.tokens.jitter.abs() < f64::EPSILON, "no SDK spreads its renewals");
    let SubscribeQos { c2d, twin, methods } = preset.subscribe_qos;
    (
        preset.keep_alive_s,
        minutes,
        [c2d as u8, twin as u8, methods as u8, preset.twin_qos],
        preset.api_version,
    )
}

/// Returns the shortest and the longest delay before each of the first retries, in milliseconds, if the hub never responds.
fn waits(sdk: Sdk) -> [(u128, u128); 6] {
    waits_after(sdk, Loss::default())
}

fn waits_after(sdk: Sdk, loss: Loss) -> [(u128, u128); 6] {
    let policy = device_preset(Some(sdk)).reconnect;
    let mut spans = [(u128::MAX, 0); 6];
    for device in 0..500 {
        let (mut retries, mut rng) = (Retries::default(), generator(1, device, Purpose::Connection));
        for (least, most) in &mut spans {
            let delay = retries.next_delay(&policy, loss, &mut rng).expect("the device retries");
            (*least, *most) = ((*least).min(delay.as_millis()), (*most).max(delay.as_millis()));
        }
    }
    spans
}

#[track_caller]
fn within(seen: [(u128, u128); 6], bounds: [(u128, u128); 6]) {
    for (n, ((least, most), (from, to))) in seen.into_iter().zip(bounds).enumerate() {
        assert!(least >= from && most <= to, "retry {n}: {least} to {most} ms, not in {from} to {to}");
        assert!(4 * (most - least) >= 3 * (to - from), "retry {n} is not spread: {least} to {most}");
    }
}

fn gives_up(sdk: Sdk) -> (Option<Duration>, bool) {
    let Reconnect { gives_up_after, gives_up_refused, .. } = device_preset(Some(sdk)).reconnect;
    (gives_up_after, gives_up_refused)
}

/// Returns what counts as silence before a PINGREQ, and the ping interval and timeout in seconds, for the preset's keep-alive and
/// for 20 s.
fn pings(sdk: Sdk) -> (Silence, [(f64, f64); 2]) {
    let DevicePreset { pings, keep_alive_s, .. } = device_preset(Some(sdk));
    let seconds = |keep_alive_s| {
        let interval = pings.interval(keep_alive_s).expect("pings are on");
        (interval.as_secs_f64(), pings.timeout(keep_alive_s).as_secs_f64())
    };
    (pings.after, [seconds(keep_alive_s), seconds(20)])
}

#[test]
fn sdk_presets_ping_like_their_sources() {
    assert_eq!(pings(Sdk::Python), (Silence::SentOrReceived, [(60.0, 60.0), (20.0, 20.0)]));
    assert_eq!(pings(Sdk::Node), (Silence::Any, [(180.0, 180.0), (20.0, 20.0)]));
    assert_eq!(pings(Sdk::DotNet), (Silence::Received, [(75.0, 30.0), (5.0, 30.0)]));
    assert_eq!(pings(Sdk::Java), (Silence::SentOrReceived, [(230.0, 230.0), (20.0, 20.0)]));
    assert_eq!(pings(Sdk::C), (Silence::Sent, [(240.0, 80.0), (20.0, 10.0)]));
    assert_eq!(pings(Sdk::CUnified), (Silence::SentOrReceived, [(30.0, 45.0), (20.0, 30.0)]));
}

#[test]
fn python_renews_before_expiry_and_retries_every_10_s() {
    assert_eq!(facts(Sdk::Python), (60, 58, [1, 1, 1, 1], "2019-10-01"));
    let later = (10_000, 10_000);
    within(waits(Sdk::Python), [(10, 10), later, later, later, later, later]);
    assert_eq!(gives_up(Sdk::Python), (None, true));
}

#[test]
fn node_renews_every_45_minutes_and_gives_up_after_4() {
    assert_eq!(facts(Sdk::Node), (180, 45, [1, 0, 0, 0], "2021-04-12"));
    // Immediately, then 100 ms + (2^n - 1) * 0..25 ms, n from 0.
    let bounds = [(0, 0), (100, 100), (100, 125), (100, 175), (100, 275), (100, 475)];
    within(waits(Sdk::Node), bounds);
    assert_eq!(gives_up(Sdk::Node), (Some(Duration::from_secs(240)), false));
}

#[test]
fn dotnet_waits_at_least_a_second_after_the_first_retry() {
    assert_eq!(facts(Sdk::DotNet), (300, 51, [1, 1, 1, 1], "2020-09-30"));
    // 100 ms, then 100 ms + (2^n - 1) * 80..120 ms, which is below a second until n is 4.
    let second = (1_000, 1_000);
    within(waits(Sdk::DotNet), [(100, 100), second, second, second, second, (1_300, 1_900)]);
    assert_eq!(gives_up(Sdk::DotNet), (None, true));
}

#[test]
fn java_backs_off_and_gives_up_after_four_minutes() {
    assert_eq!(facts(Sdk::Java), (230, 51, [1, 1, 1, 1], "2020-09-30"));
    let bounds = [(180, 220), (340, 460), (660, 940), (1_300, 1_900), (2_580, 3_820), (5_140, 7_660)];
    within(waits(Sdk::Java), bounds);
    assert_eq!(gives_up(Sdk::Java), (Some(Duration::from_secs(240)), true));
}

#[test]
fn c_retries_immediately_and_doubles_up_to_thirty_seconds() {
    assert_eq!(facts(Sdk::C), (240, 48, [1, 0, 0, 0], "2020-09-30"));
    let bounds = [(0, 0), (1_000, 1_050), (2_000, 2_100), (4_000, 4_200), (8_000, 8_400), (16_000, 16_800)];
    within(waits(Sdk::C), bounds);
    assert_eq!(gives_up(Sdk::C), (None, false));
}

#[test]
fn c_unified_backs_off_longer_after_a_refusal() {
    assert_eq!(facts(Sdk::CUnified), (30, 48, [1, 0, 0, 0], "2020-09-30"));
    let around = |seconds: u128, percent: u128| {
        let (ms, off) = (seconds * 1000, seconds * 10 * percent);
        (ms - off, ms + off)
    };
    within(waits(Sdk::CUnified), [1, 2, 4, 8, 16, 32].map(|seconds| around(seconds, 20)));
    let refused = Loss { refused: true, ..Loss::default() };
    let bounds = [300, 600, 1_200, 2_400, 3_600, 3_600].map(|seconds| around(seconds, 25));
    within(waits_after(Sdk::CUnified, refused), bounds);
    assert_eq!(gives_up(Sdk::CUnified), (None, false));
}
