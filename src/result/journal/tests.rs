//! Journals that are whole, cut off, damaged, or no journals at all.

use super::*;
use crate::measure::{Delta, Key, Layout, Operation, Recorder, SecondEnd, Source, Times};
use crate::result::testing;
use crate::stalls::Stalls;
use proptest::prelude::*;
use std::rc::Rc;

const S: u64 = 1_000_000_000;

/// A journal of three seconds with ten messages each, and the end of each record.
fn journal() -> (Vec<u8>, Vec<usize>) {
    let mut start = testing::result();
    start.measurement.operations.clear();
    let measurement = &start.measurement;
    let layout = Layout {
        fleets: measurement.fleets.len(),
        phases: measurement.phases.len(),
        highest_us: measurement.highest_us,
    };
    let mut recorder = Recorder::new(layout, Rc::new(Stalls::new(crate::clock::now())));
    let mut bytes = head(&start).unwrap();
    let (mut ends, mut delta) = (vec![bytes.len()], Delta::default());
    for number in 1..=3_u32 {
        let from = (u64::from(number) - 1) * S;
        for n in 0..10 {
            let key = Key { operation: Operation::Telemetry, fleet: 0, phase: 1 };
            let due = from + n * S / 10;
            recorder.due(key, due);
            recorder.ok(key, &Times { due, picked: due, sent: due, acked: due + 1_000_000 });
        }
        delta.add(&recorder.swap(), Source::Worker(0));
        let at = u64::from(number) * S;
        let end = SecondEnd { row_ns: at, until_ns: at, load_end_us: 3_000_000, ..SecondEnd::default() };
        bytes.extend(record(number, &delta.end(&end)));
        ends.push(bytes.len());
    }
    (bytes, ends)
}

fn read_bytes(bytes: &[u8]) -> Result<Recovered, JournalError> {
    read(Path::new("x.journal"), bytes)
}

fn ok(recovered: &Recovered) -> u64 {
    recovered.result.measurement.of(Operation::Telemetry).ok()
}

#[test]
fn a_whole_journal_is_recovered() {
    let recovered = read_bytes(&journal().0).unwrap();
    assert_eq!((ok(&recovered), recovered.seconds, recovered.problem.as_deref()), (30, 3, None));
    let run = &recovered.result.run;
    assert_eq!((run.complete, run.ended_by, run.duration_us), (false, Some(EndedBy::Unknown), 3_000_000));
}

#[test]
fn the_seconds_before_a_damaged_record_are_recovered() {
    let (bytes, ends) = journal();
    let mut damaged = bytes.clone();
    damaged[ends[1] + FRAME_BYTES + 5] ^= 1;
    let recovered = read_bytes(&damaged).unwrap();
    assert_eq!((ok(&recovered), recovered.seconds), (10, 1));
    assert_eq!(recovered.problem.as_deref(), Some("record 2 is damaged: its checksum is wrong"));
    let ignored = recovered.result.run.recovery.unwrap().ignored_bytes;
    assert_eq!(ignored, (bytes.len() - ends[1]) as u64);
    // A record that is missing or repeated does not go unnoticed.
    for other in
        [[&bytes[..ends[1]], &bytes[ends[2]..]].concat(), [&bytes[..ends[1]], &bytes[ends[0]..]].concat()]
    {
        assert_eq!(read_bytes(&other).unwrap().seconds, 1);
    }
}

#[test]
fn files_that_are_no_journals_are_named() {
    let (bytes, ends) = journal();
    let newer = b"hubstorm.journal.v2\nx".to_vec();
    let mut bad_start = bytes.clone();
    bad_start[ends[0] - 1] ^= 1;
    for (bytes, expected) in [
        (Vec::new(), "x.journal is empty"),
        (
            b"{\"schema\": \"hubstorm.result.v1\"}".to_vec(),
            "is a result file, not a journal. To render it:  hubstorm report x.journal",
        ),
        (b"# a scenario\n[fleet.x]\n".to_vec(), "is not a journal. Specify the .journal file"),
        (vec![0; 100], "is not a journal"),
        (newer, "is a journal of version 2, but this hubstorm only reads version 1"),
        (bytes[..10].to_vec(), "cut off in its first record"),
        (bytes[..100].to_vec(), "cut off in its first record"),
        (bad_start, "is damaged: its first record has a wrong checksum"),
        ([MAGIC.as_bytes(), &record(0, b"{}")].concat(), "its first record is not the start of a run"),
    ] {
        let error = read_bytes(&bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

proptest! {
    #[test]
    fn any_prefix_recovers_its_whole_seconds(at in any::<prop::sample::Index>()) {
        let (bytes, ends) = journal();
        let length = at.index(bytes.len());
        match read_bytes(&bytes[..length]) {
            Ok(recovered) => {
                let whole = ends.iter().filter(|end| **end <= length).count() as u64 - 1;
                prop_assert_eq!((u64::from(recovered.seconds), ok(&recovered)), (whole, 10 * whole));
                prop_assert_eq!(recovered.problem.is_none(), ends.contains(&length));
            }
            Err(_) => prop_assert!(length < ends[0]),
        }
    }

    #[test]
    fn a_changed_byte_never_invents_numbers(at in any::<prop::sample::Index>(), with in 1..=255_u8) {
        let (mut bytes, _) = journal();
        let at = at.index(bytes.len());
        bytes[at] ^= with;
        if let Ok(recovered) = read_bytes(&bytes) {
            prop_assert_eq!(ok(&recovered), 10 * u64::from(recovered.seconds));
            prop_assert!(recovered.seconds < 3);
        }
    }
}
