//! Tests for parsing and formatting quantities.

use super::*;

#[test]
fn durations_are_parsed() {
    for (text, us) in [
        ("250us", 250),
        ("250ms", 250_000),
        ("1.5s", 1_500_000),
        ("1h30m", 5_400_000_000),
        ("0s", 0),
        ("2d", 172_800_000_000),
    ] {
        assert_eq!(parse_duration(text), Ok(Duration::from_micros(us)), "{text}");
    }
    for text in ["", "5", "s", "-1s", "5 parsecs", "1..5s", "1e99h", "99999999999999999999d", "ä"] {
        assert!(parse_duration(text).is_err(), "{text}");
    }
}

#[test]
fn signed_durations_need_a_sign() {
    for (text, us) in [("-3m", -180_000_000), ("+6m", 360_000_000), ("0s", 0), (" -250us ", -250)] {
        assert_eq!(parse_signed_us(text), Ok(us), "{text}");
    }
    for text in ["", "3m", "-", "+-3m", "--3m", "3", "- 3m x", "+99999999999999999999d"] {
        assert!(parse_signed_us(text).is_err(), "{text}");
    }
}

#[test]
fn two_measurements_of_a_clock_step_look_the_same() {
    for us in [-7_199_999_600, -7_200_000_000, -7_200_000_400] {
        assert_eq!(human_signed_us(us), "-2h", "{us}");
    }
    assert_eq!(human_signed_us(1_499_000), "+1.50 s", "short steps keep their digits");
}

#[test]
fn signed_durations_are_formatted_with_a_sign() {
    for (us, shown) in
        [(7_200_000_000, "+2h"), (-180_000_000, "-3m"), (1_500_000, "+1.50 s"), (i64::MIN, "-")]
    {
        assert!(human_signed_us(us).starts_with(shown), "{us}");
    }
}

#[test]
fn rates_are_parsed_and_formatted() {
    for (text, rate) in [("400/s", 400.0), ("50/1s", 50.0), ("300/1m", 5.0), ("2.5/s", 2.5), ("60/m", 1.0)] {
        assert_eq!(text.parse::<Rate>().map(Rate::as_per_second), Ok(rate), "{text}");
    }
    for text in ["400", "/s", "1/0s", "-1/s", "inf/s", "1/parsec", ""] {
        assert!(text.parse::<Rate>().is_err(), "{text}");
    }
    for (text, shown) in [("2.50/s", "2.5/s"), ("1000000/s", "1,000,000/s"), ("1234.5/s", "1,234.5/s")] {
        assert_eq!(text.parse::<Rate>().unwrap().to_string(), shown);
    }
}

#[test]
fn shares_are_parsed_and_formatted() {
    assert_eq!("99.9%".parse::<Percent>().unwrap().to_string(), "99.9%");
    assert_eq!("99.9%".parse::<Percent>().map(Percent::as_fraction), Ok(0.999));
    assert_eq!("400%".parse::<Percent>().map(Percent::as_fraction), Ok(4.0));
    for text in ["99", "%", "-1%", "NaN%", "inf%", "1e3%"] {
        assert!(text.parse::<Percent>().is_err(), "{text}");
    }
}

#[test]
fn durations_round_up_to_the_next_unit() {
    for (ns, text) in [
        (999_499, "999 µs"),
        (999_600, "1.00 ms"),
        (9_994_000, "9.99 ms"),
        (9_996_000, "10.0 ms"),
        (99_960_000, "100 ms"),
        (999_400_000, "999 ms"),
        (999_600_000, "1.00 s"),
        (9_996_000_000, "10.0 s"),
    ] {
        assert_eq!(human_duration(Duration::from_nanos(ns)), text, "{ns}");
    }
}

#[test]
fn durations_and_counts_are_formatted_for_people() {
    for (us, text) in [
        (847, "847 µs"),
        (1_234, "1.23 ms"),
        (12_345, "12.3 ms"),
        (123_456, "123 ms"),
        (4_000_000, "4.00 s"),
        (75_000_000, "75.0 s"),
        (125_000_000, "2m 05s"),
        (300_000_000, "5m"),
        (3_600_000_000, "1h"),
        (3_605_000_000, "1h 00m 05s"),
        (5_400_000_000, "1h 30m"),
        (7_260_000_000, "2h 01m"),
    ] {
        assert_eq!(human_us(us), text);
    }
    assert_eq!([0, 1, 1_000].map(|n| plural(n, "hub", "hubs")), ["0 hubs", "1 hub", "1,000 hubs"]);
    assert_eq!(human_count(1_234_567), "1,234,567");
    assert_eq!(human_count(999), "999");
    assert_eq!(human_bytes(1536), "1.5 KiB");
    assert_eq!([whole(0.5), whole(1.4), whole(-3.0), whole(f64::NAN)], [1, 1, 0, 0]);
}

#[test]
fn durations_that_a_user_set_have_no_zeros() {
    for (ms, expected) in [
        (400, "400 ms"),
        (2_000, "2 s"),
        (2_500, "2.50 s"),
        (20_000, "20 s"),
        (60_000, "60 s"),
        (300_000, "5m"),
    ] {
        assert_eq!(set_duration(Duration::from_millis(ms)), expected);
    }
}

#[test]
fn bandwidths_have_a_unit() {
    for (text, bits_per_s, human) in [
        ("250kbit/s", 250_000, "250 kbit/s"),
        (" 2 Mbit/s ", 2_000_000, "2 Mbit/s"),
        ("01500kbit/s", 1_500_000, "1,500 kbit/s"),
    ] {
        assert_eq!(parse_bits_per_s(text), Ok(bits_per_s), "{text}");
        assert_eq!(human_bits_per_s(bits_per_s), human);
    }
    for text in
        ["250", "250kbps", "250 KB/s", "0kbit/s", "1.5Mbit/s", "-1kbit/s", "kbit/s", "", "1000000kbit/s"]
    {
        assert!(parse_bits_per_s(text).is_err(), "{text}");
    }
}
