//! The statistics at their edges, against stored values from scipy 1.17.1. `oracle` asks scipy itself.

use super::*;

fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-6 * expected.abs().max(1e-6), "{found} instead of {expected}");
}

const BASE: [f64; 5] = [1.0, 1.3, 0.9, 1.15, 1.02];

#[test]
fn ratio_of_counts_is_the_conditional_exact_test() {
    let counted = |events, exposure| Counted { events, exposure };
    let plain = ratio_of_counts(counted(3.0, 1_000.0), counted(12.0, 1_000.0), 1.0, 1.1_f64.ln());
    near(plain.low, 0.242_036_956_768_232_28);
    near(plain.high, 2.808_867_538_847_491_2);
    near(plain.p, 0.027_180_711_852_482_636);
    let dispersed = ratio_of_counts(counted(30.0, 1_000.0), counted(50.0, 2_000.0), 2.5, 1.2_f64.ln());
    near(dispersed.low, -0.835_946_553_005_761_5);
    near(dispersed.high, 0.500_417_111_712_958_9);
    near(dispersed.p, 0.882_911_170_255_001_4);
    // A base of 0 has no ratio, but a lower bound.
    let zero = ratio_of_counts(counted(0.0, 500.0), counted(4.0, 500.0), 1.0, 1.1_f64.ln());
    near(zero.low, -0.108_623_460_651_108_31);
    near(zero.p, 0.075_282_418_333_924_68);
    assert!(zero.high.is_infinite() && zero.change.is_infinite());
    let none = ratio_of_counts(counted(0.0, 500.0), counted(0.0, 500.0), 1.0, 1.1_f64.ln());
    assert_eq!((none.change, none.p), (0.0, 1.0));
}

#[test]
fn difference_of_shares_is_newcombes_interval() {
    let share = |events, of| Share { events, of, dispersion: 1.0 };
    let plain = difference_of_shares(share(10.0, 1e4), share(40.0, 1e4), 0.001);
    near(plain.low, 0.001_866_703_213_096_937_6);
    near(plain.high, 0.004_247_443_619_655_968);
    assert!(plain.p < ALPHA);
    let dispersed = |events| Share { events, of: 5e3, dispersion: 2.0 };
    let dispersed = difference_of_shares(dispersed(0.0), dispersed(30.0), 0.001);
    near(dispersed.low, 0.003_672_969_886_099_524_4);
    near(dispersed.high, 0.009_128_755_731_226_502);
    // The tolerance at the lower bound is just significant, and at the upper bound just insignificant.
    for (tolerance, p) in [(plain.low, ALPHA), (plain.high, 1.0 - ALPHA)] {
        near(difference_of_shares(share(10.0, 1e4), share(40.0, 1e4), tolerance).p, p);
    }
}

#[test]
fn prediction_interval_uses_students_t() {
    let one = prediction(&BASE, &[1.9], 0.1);
    near(one.change, 0.826);
    near(one.low, 0.465_119_202_834_289_26);
    near(one.high, 1.186_880_797_165_711);
    near(one.p, 0.006_379_488_767_004_627);
    let two = prediction(&BASE, &[1.0, 1.4], 0.1);
    near(two.low, -0.149_627_261_644_645_63);
    near(two.p, 0.425_217_027_013_300_6);
}

#[test]
fn mann_whitney_is_exact() {
    let found = mann_whitney(&BASE, &[1.6, 1.7, 1.2], 0.1);
    near(found.change, 0.45);
    near(found.p, 0.071_428_571_428_571_43);
    // 1 of 56 orders is the most extreme one.
    near(mann_whitney(&BASE, &[2.0, 2.1, 2.2], 0.1).p, 1.0 / 56.0);
}

#[test]
fn holm_adjusts_and_keeps_the_order() {
    for (found, expected) in holm(&[0.01, 0.04, 0.03, 0.2]).into_iter().zip([0.04, 0.09, 0.09, 0.2]) {
        near(found, expected);
    }
    assert_eq!(holm(&[]), Vec::<f64>::new());
}

/// The oracle draws other blocks, so the deviations agree only within their own deviation (about 2% of 1,000 resamples).
#[test]
fn block_bootstrap_has_the_deviation_of_the_oracle() {
    let mut series = vec![0.0];
    for n in 1..64_u32 {
        series.push(0.6 * series[series.len() - 1] + f64::from(n * n).sin());
    }
    for (length, expected) in [(1, 0.097_808), (3, 0.129_135)] {
        let mean = |drawn: &[u64]| {
            Some(series.iter().zip(drawn).map(|(value, times)| value * float(*times)).sum::<f64>() / 64.0)
        };
        let sd = block_bootstrap_sd(bootstrap::Blocks { batches: 64, length }, 1, mean);
        assert!((sd / expected - 1.0).abs() < 0.1, "{sd} instead of {expected}");
        let again = block_bootstrap_sd(bootstrap::Blocks { batches: 64, length }, 1, mean);
        assert_eq!(sd.to_bits(), again.to_bits(), "the same data always gives the same deviation");
    }
}

#[test]
fn correlated_batches_form_longer_blocks() {
    let alternating: Vec<f64> = (0..40_u32).map(|n| f64::from(n % 2)).collect();
    assert_eq!(blocks(&alternating).length, 1);
    let slow: Vec<f64> = (0..64_u32).map(|n| f64::from(n / 16)).collect();
    assert!(blocks(&slow).length > 3 && !blocks(&slow).suffice());
    assert_eq!(blocks(&[1.0; 30]).count(), 30);
}
