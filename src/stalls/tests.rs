//! Tests for the union of stalls and the bounded list.

use super::*;
use proptest::prelude::*;
use std::time::Duration;

fn stalls(noted: &[(u64, u64)]) -> Stalls {
    let zero = crate::clock::now();
    let stalls = Stalls::new(zero);
    for (from, to) in noted {
        stalls.note(zero + Duration::from_nanos(*from), zero + Duration::from_nanos(*to));
    }
    stalls
}

#[test]
fn one_pause_counts_once() {
    // Three deadlines that one pause delayed, served one after another.
    let stalls = stalls(&[(10, 50), (20, 51), (30, 52)]);
    assert_eq!((stalls.until_ns(100), stalls.last_from_ns(), stalls.last_to_ns()), (42, 10, 52));
    assert_eq!(stalls.take(), [[10, 52]]);
    assert_eq!(stalls.take(), <[[u64; 2]; 0]>::default());
}

#[test]
fn stalled_time_of_an_interval_is_computed() {
    let stalls = stalls(&[(10, 20), (40, 70)]);
    for (from, to, expected) in
        [(0, 5, 0), (0, 15, 5), (12, 18, 6), (20, 40, 0), (15, 45, 10), (0, 100, 40), (70, 90, 0)]
    {
        assert_eq!(stalls.between_ns(from, to), expected, "{from} to {to}");
    }
    assert_eq!([stalls.longest_ns(0, 100), stalls.longest_ns(0, 30), stalls.longest_ns(69, 99)], [30, 10, 1]);
    assert_eq!(stalls.longest_ns(70, 99), 0);
}

#[test]
fn continuing_stall_is_reported_in_parts() {
    let zero = crate::clock::now();
    let stalls = Stalls::new(zero);
    let at = |ns| zero + Duration::from_nanos(ns);
    stalls.note(at(5), at(9));
    assert_eq!(stalls.take(), [[5, 9]]);
    stalls.note(at(5), at(12));
    assert_eq!(stalls.take(), [[9, 12]]);
    assert_eq!(stalls.until_ns(20), 7);
    stalls.restart(at(100));
    assert_eq!((stalls.until_ns(u64::MAX), stalls.last_to_ns()), (0, 0));
    stalls.note(at(90), at(103));
    assert_eq!(stalls.take(), [[0, 3]], "stalls before the start are not recorded");
}

fn list(stalls: impl IntoIterator<Item = (u64, u64)>) -> StallList {
    let mut list = StallList::default();
    stalls.into_iter().for_each(|(from_us, to_us)| list.add(from_us, to_us));
    list
}

#[test]
fn full_list_merges_the_shortest_span() {
    // Gaps of 100 us, and one of 40 us.
    let starts = (0..=ENTRIES_MAX as u64).map(|n| n * 110 + if n > 7 { 0 } else { 60 });
    let full = list(starts.map(|from_us| (from_us, from_us + 10)));
    assert_eq!(full.entries().len(), ENTRIES_MAX);
    let merged: Vec<_> = full.entries().iter().filter(|entry| entry.stalled_us > 10).collect();
    assert_eq!(merged, [&StallEntry { from_us: 830, to_us: 890, stalled_us: 20 }]);
    assert_eq!([merged[0].at_most_us(840, 855), merged[0].at_most_us(0, 2000)], [15, 20]);
}

#[test]
fn stall_reported_in_parts_is_one_entry() {
    let parts = list([(5, 9), (9, 12), (11, 13), (6, 8), (20, 20)]);
    assert_eq!(parts.entries(), [StallEntry { from_us: 5, to_us: 13, stalled_us: 8 }]);
    let json = serde_json::to_string(parts.entries()).unwrap();
    assert_eq!(json, "[[5,13,8]]");
    assert_eq!(serde_json::from_str::<Vec<StallEntry>>(&json).unwrap(), parts.entries());
    assert_eq!(parts.entries()[0].after(100), StallEntry::from([105, 113, 8]));
}

/// A partly stalled entry must not hide the stalls of an overlapping one.
#[test]
fn merging_never_loses_stalled_time() {
    let entry = |[from_us, to_us, stalled_us]: [u64; 3]| StallEntry { from_us, to_us, stalled_us };
    for (one, other, merged) in [
        ([0, 100, 10], [50, 60, 10], [0, 100, 20]),
        ([0, 20, 1], [0, 20, 20], [0, 20, 20]),
        ([0, 10, 10], [5, 20, 15], [0, 20, 20]),
    ] {
        for (first, second) in [(one, other), (other, one)] {
            let mut list = StallList { entries: vec![entry(first)] };
            list.merge(&StallList { entries: vec![entry(second)] });
            assert_eq!(list.entries(), [entry(merged)], "{first:?} {second:?}");
        }
    }
}

proptest! {
    /// After any merges, totals are exact, entries are in order, and no window has more stalls than its bound.
    #[test]
    fn merging_keeps_totals_and_upper_bounds(
        steps in prop::collection::vec((0..300_u64, 1..50_u64), 0..900),
        windows in prop::collection::vec((0..120_000_u64, 0..20_000_u64), 1..20),
    ) {
        let mut at = 0;
        let stalls: Vec<(u64, u64)> = steps
            .into_iter()
            .map(|(gap, length)| {
                let from = at + gap;
                at = from + length;
                (from, at)
            })
            .collect();
        let list = list(stalls.iter().copied());
        let entries = list.entries();
        prop_assert!(entries.len() <= ENTRIES_MAX);
        prop_assert!(entries.is_sorted_by(|a, b| a.to_us < b.from_us));
        prop_assert!(entries.iter().all(|e| e.stalled_us > 0 && e.stalled_us <= e.to_us - e.from_us));
        let total: u64 = stalls.iter().map(|(from, to)| to - from).sum();
        prop_assert_eq!(entries.iter().map(|entry| entry.stalled_us).sum::<u64>(), total);
        for (from, length) in windows {
            let to = from + length;
            let stalled: u64 = stalls.iter().map(|s| s.1.min(to).saturating_sub(s.0.max(from))).sum();
            let bound: u64 = entries.iter().map(|entry| entry.at_most_us(from, to)).sum();
            prop_assert!(bound >= stalled, "{bound} us of {stalled} us in {from} to {to}");
            if stalls.len() <= ENTRIES_MAX {
                prop_assert_eq!(bound, stalled, "nothing was merged");
            }
        }
    }

    #[test]
    fn total_is_the_length_of_the_union(noted in prop::collection::vec((0..200_u64, 1..30_u64), 0..40)) {
        let mut noted: Vec<(u64, u64)> = noted.into_iter().map(|(from, length)| (from, from + length)).collect();
        // Stalls are recorded when they end.
        noted.sort_by_key(|(_, to)| *to);
        let stalls = stalls(&noted);
        let mut last = 0;
        for t in 0..240_u64 {
            let now = stalls.until_ns(t);
            prop_assert!(now >= last && now - last <= 1);
            last = now;
        }
        // A stall that overlaps an earlier one is recorded from the end of the earlier one.
        let reported: u64 = stalls.take().iter().map(|[from, to]| to - from).sum();
        prop_assert_eq!(reported, last);
    }
}
