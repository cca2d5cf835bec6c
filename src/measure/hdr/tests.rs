//! Histograms in files: round trips are exact, and damaged histograms are refused using bounded memory.

use super::super::latency::Latency;
use super::*;
use proptest::prelude::*;

#[test]
fn an_empty_distribution_has_no_figures() {
    let json = serde_json::to_value(Latency::default()).unwrap();
    assert_eq!(json["p99_us"], serde_json::Value::Null, "null, not absent");
    assert_eq!(json["count"], 0);
    assert!(serde_json::from_value::<Latency>(json).unwrap().is_empty());
}

#[test]
fn figures_match_a_manual_calculation() {
    let mut hdr = Hdr::new_with_max(60_000_000, 3).unwrap();
    for us in 1..=1_000 {
        hdr.record(us).unwrap();
    }
    let figures = Histogram::from(&Latency::from(hdr));
    assert_eq!((figures.count, figures.min_us, figures.max_us), (1_000, Some(1), Some(1_000)));
    assert_eq!((figures.p50_us, figures.p90_us, figures.p95_us), (Some(500), Some(900), Some(950)));
    assert_eq!((figures.p99_us, figures.p999_us, figures.p9999_us), (Some(990), Some(999), Some(1_000)));
    assert!((figures.mean_us.unwrap() - 500.5).abs() < 1e-6);
}

#[test]
fn garbage_is_an_error() {
    for hdr in ["", "%", "AAAA", "HISTFAAAAB==", "HISTEwAAAAAAAAAAAAAAAwAAAAAAAAAB"] {
        assert!(decode(hdr).is_err(), "{hdr:?}");
    }
}

/// Returns a histogram with these fields in its header, as an encoder would write it.
fn forged(payload_bytes: u32, digits: u32, lowest: u64, highest: u64, payload: &[u8]) -> String {
    let mut plain = Vec::new();
    for word in [PLAIN, payload_bytes, 0, digits] {
        plain.extend(word.to_be_bytes());
    }
    plain.extend(lowest.to_be_bytes());
    plain.extend(highest.to_be_bytes());
    plain.extend(1.0_f64.to_be_bytes());
    plain.extend(payload);
    deflated(&plain)
}

fn deflated(plain: &[u8]) -> String {
    let mut deflated = Vec::new();
    let mut deflater = flate2::read::ZlibEncoder::new(plain, flate2::Compression::best());
    deflater.read_to_end(&mut deflated).unwrap();
    let length = u32::try_from(deflated.len()).unwrap().to_be_bytes();
    BASE64_STANDARD.encode([&DEFLATED.to_be_bytes()[..], &length, &deflated].concat())
}

#[test]
fn headers_that_claim_too_much_memory_are_refused() {
    assert!(decode(&forged(1, 3, 1, HIGHEST_US_MAX, &[2])).is_ok());
    let zeros = vec![0; 64 << 20];
    let huge_count = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let most_negative = [0xff; 9];
    for (hdr, what) in [
        (forged(1, 5, 1, 1_000, &[2]), "digits is 5, but the limit is 3"),
        (forged(1, 3, 1, u64::MAX, &[2]), "highest value is 18446744073709551615"),
        (forged(1, 3, 1, HIGHEST_US_MAX + 1, &[2]), "highest value"),
        (forged(1, 3, u64::MAX, 1_000, &[2]), "lowest value"),
        (forged(u32::MAX, 3, 1, 1_000, &[2]), "payload length is 4294967295"),
        (forged(1, 3, 1, 1_000, &zeros), "inflated length"),
        (forged(9, 3, 1, 1_000, &huge_count), "number of samples"),
        (forged(9, 3, 1, 1_000, &most_negative), "number of counts"),
        (forged(2, 3, 1, 1_000, &[2]), "V2 encoding"),
        (deflated(&zeros), "V2 encoding"),
    ] {
        let error = decode(&hdr).unwrap_err().to_string();
        assert!(error.contains(what), "{what}: {error}");
        assert!(check(&hdr).is_err());
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&BASE64_STANDARD.encode(&bytes));
        let _ = decode(&String::from_utf8_lossy(&bytes));
        let _ = decode(&deflated(&bytes));
        let _ = decode(&deflated(&[&PLAIN.to_be_bytes()[..], &bytes].concat()));
    }

    /// The headers are well-formed, so decoding gets as far as the counts. Histograms that decode can be merged and queried.
    #[test]
    fn arbitrary_counts_never_panic(
        payload in prop::collection::vec(any::<u8>(), 0..100),
        digits in 0_u32..8,
        lowest in 0_u64..5,
        bits in 0_u32..64,
    ) {
        let length = u32::try_from(payload.len()).unwrap();
        let hdr = forged(length, digits, lowest, 1 << bits, &payload);
        prop_assert_eq!(check(&hdr).is_ok() || decode(&hdr).is_err(), true);
        if let Ok(hdr) = decode(&hdr) {
            prop_assert!(hdr.distinct_values() as u64 <= COUNTS_MAX);
            let mut sum = Hdr::<u64>::new(hdr.sigfig()).unwrap();
            let _ = sum.add(&hdr).and_then(|()| sum.add(&hdr));
            let _ = Histogram::from(&Latency::from(sum));
        }
    }

    #[test]
    fn histograms_survive_a_round_trip(
        digits in 2_u8..=3,
        samples in prop::collection::vec((1..60_000_000_u64, 1..1_000_u64), 1..100),
    ) {
        let mut hdr = Hdr::new_with_max(60_000_000, digits).unwrap();
        for (us, count) in samples {
            hdr.record_n(us, count).unwrap();
        }
        let json = serde_json::to_string(&Latency::from(hdr.clone())).unwrap();
        let back: Latency = serde_json::from_str(&json).unwrap();
        let back = back.histogram().unwrap();
        prop_assert_eq!(&*back, &hdr);
        prop_assert_eq!((back.high(), back.sigfig()), (hdr.high(), hdr.sigfig()));
    }
}
