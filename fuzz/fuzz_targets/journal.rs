//! Any bytes as a journal, and as the records after a valid start. It must not panic, and every recovered operation has an outcome.
#![no_main]

use hubstorm::measure::Measurement;
use hubstorm::result::journal::{Recovered, head, read, record};
use hubstorm::result::{model::RunResult, parse, to_json};
use std::path::Path;
use std::sync::LazyLock;

/// A run before its first second.
static START: LazyLock<RunResult> = LazyLock::new(|| {
    let path = Path::new("tests/results/short.json");
    let mut start = parse(path, include_bytes!("../../tests/results/short.json")).expect("a result");
    let Measurement { fleets, phases, highest_us, .. } = std::mem::take(&mut start.measurement);
    start.measurement = Measurement { fleets, phases, highest_us, ..Measurement::default() };
    start
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // A fuzzer does not find checksums, so the bytes also become records with the right ones. A record begins with its length.
    let mut journal = head(&START).expect("it can be serialized");
    let mut rest = bytes;
    for number in 1.. {
        let Some((length, after)) = rest.split_first_chunk() else { break };
        let (one, after) = after.split_at(usize::from(u16::from_le_bytes(*length)).min(after.len()));
        journal.extend(record(number, one));
        rest = after;
    }
    check(&journal);
});

fn check(journal: &[u8]) {
    let path = Path::new("run.journal");
    let Ok(Recovered { result, .. }) = read(path, journal) else { return };
    for part in &result.measurement.operations {
        assert_eq!(part.totals.due.max(part.totals.ended()), part.totals.ended(), "every due operation has an outcome");
    }
    let json = to_json(&result).expect("a result can be written");
    // A result from invented records may be refused, but must not panic either.
    let _ = parse(path, json.as_bytes());
}
