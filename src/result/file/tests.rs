//! Tests for result files: round trips, names, damaged files, files from other versions, and the schema.

use super::super::testing::result;
use super::*;
use proptest::prelude::*;

/// The result as read from its file: fields that are not written have their defaults.
fn expected() -> RunResult {
    parse(Path::new("x.json"), to_json(&result()).unwrap().as_bytes()).unwrap()
}

fn files_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn results_from_the_same_second_get_different_names() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("made/on/demand");
    let mut ids = Vec::new();
    for _ in 0..3 {
        let mut written = result();
        let path = write_new(&out, &mut written, false).unwrap();
        assert_eq!(read(&path).unwrap().run, written.run);
        assert_eq!(path.file_stem().unwrap().to_str(), Some(written.run.id.as_str()));
        ids.push(written.run.id);
    }
    let id = result().run.id;
    assert_eq!(ids, [id.clone(), format!("{id}-2"), format!("{id}-3")]);
    assert_eq!(files_in(&out).len(), 3, "no temporary file is left");
}

#[test]
fn every_json_file_is_complete_at_every_step() {
    for fail_at in 0..8 {
        let folder = tempfile::tempdir().unwrap();
        let (mut step, mut failed) = (0, 0);
        for _ in 0..2 {
            let written = write_new_watched(folder.path(), &mut result(), false, &mut |_| {
                for name in files_in(folder.path()) {
                    let complete = name.ends_with(".json") && read(&folder.path().join(&name)).is_ok();
                    assert!(complete || name.ends_with(".tmp"), "{name} at step {step}");
                }
                step += 1;
                if step == fail_at { Err(std::io::Error::other("the disk is full")) } else { Ok(()) }
            });
            failed += usize::from(written.is_err());
        }
        assert_eq!(failed, usize::from((1..8).contains(&fail_at)), "failing at {fail_at}");
        assert!(files_in(folder.path()).iter().all(|name| name.ends_with(".json")));
    }
}

#[test]
fn a_failed_write_names_the_file_and_keeps_the_id() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("blocked");
    std::fs::write(&blocked, "a file, not a folder").unwrap();
    let mut written = result();
    let error = write_new(&blocked, &mut written, false).unwrap_err().to_string();
    assert!(error.starts_with("cannot write ") && error.contains(".json: "), "{error}");
    assert_eq!(written.run.id, result().run.id);
}

#[test]
fn errors_name_the_file_and_what_was_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.json");
    let mut older = serde_json::to_value(result()).unwrap();
    older["schema"] = "hubstorm.compare.v1".into();
    let mut newer = older.clone();
    newer["schema"] = "hubstorm.result.v2".into();
    let mut damaged = serde_json::to_value(result()).unwrap();
    damaged["operations"][2]["response"]["hdr"] = "AAAA".into();
    let mut uneven = serde_json::to_value(result()).unwrap();
    uneven["operations"][2]["batches"]["due"][0] = 1.into();
    let mut torn = serde_json::to_value(result()).unwrap();
    torn["operations"][2]["batches"]["histograms"] = "AAAA".into();
    let mut row = serde_json::to_value(result()).unwrap();
    row["series"]["rows"][2]["response"]["telemetry"]["hdr"] = "%".into();
    let mut lacking = serde_json::to_value(result()).unwrap();
    lacking.as_object_mut().unwrap().remove("verdict");
    let mut absurd = serde_json::to_value(result()).unwrap();
    absurd["operations"][1]["outcomes"]["lost"] = u64::MAX.into();
    for (text, expected) in [
        (
            absurd.to_string(),
            "operations, outcomes, lost is 18446744073709551615, which is more than any run can count",
        ),
        (torn.to_string(), "damaged: telemetry of fleet meter in phase steady, batches: histogram is not in"),
        ("{".to_owned(), "is cut off: its JSON is incomplete"),
        ("\n<!doctype html>".to_owned(), "is an HTML page, not a result. Specify the .json"),
        (
            "<?xml version=\"1.0\"?>\n<testsuites/>".to_owned(),
            "is an XML file, not a result. Specify the .json",
        ),
        ("PK\u{3}\u{4}".to_owned(), "is compressed (ZIP). Decompress it:  unzip "),
        (
            "{\"schema\": 1}\n{}".to_owned(),
            "has more text after the end of its JSON, at line 2 column 1. Specify",
        ),
        ("{]".to_owned(), "is not a result file: "),
        (String::new(), "is empty. Specify the .json"),
        (" \n".to_owned(), "is empty. Specify the .json"),
        ("\u{feff}".to_owned(), "is empty. Specify the .json"),
        ("\u{feff}[]".to_owned(), "the key \"schema\" is missing. Specify the .json"),
        ("null".to_owned(), "the key \"schema\" is missing"),
        ("{\"schema\": [1]}".to_owned(), "its schema is [1], not"),
        ("{\"schema\": \"hubstorm.result.v0\"}".to_owned(), "its schema is \"hubstorm.result.v0\""),
        (older.to_string(), "its schema is \"hubstorm.compare.v1\""),
        (
            newer.to_string(),
            "is a result file of version 2, but this hubstorm only reads version 1. Use a newer",
        ),
        (damaged.to_string(), "damaged: telemetry of fleet meter in phase steady, response: histogram is"),
        (
            uneven.to_string(),
            "damaged: the batches of telemetry of fleet meter in phase steady do not add up to its totals",
        ),
        (row.to_string(), "damaged: series, rows[2], response, telemetry: histogram is not base64"),
        (lacking.to_string(), "missing field `verdict`"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("x.json"), "{error}");
    }
    for (bytes, expected) in [
        (&b"\x1f\x8b\x08\xff"[..], "is compressed (gzip). Decompress it:  gunzip "),
        (&b"\xff\xfe{\0"[..], "is not a result file: encoded as UTF-16; save the file as UTF-8"),
        (
            b"{\"schema\":\"hubstorm.result.v1\",\n\"a\":\"\xff\"}",
            "is not a result file: not UTF-8 at byte 6 of line 2",
        ),
        (b"{\"a\": \"\xc3", "is cut off"),
    ] {
        let error = parse(&path, bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let error = read(&folder.path().join("none.json")).unwrap_err().to_string();
    assert!(error.starts_with("cannot read "), "{error}");
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let text = format!("\u{feff}{}", to_json(&result()).unwrap());
    assert_eq!(parse(Path::new("x.json"), text.as_bytes()).unwrap(), expected());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(parse(Path::new("x.json"), &bytes).is_err());
    }

    /// A result with some bytes replaced is refused, or read as a result.
    #[test]
    fn a_damaged_result_never_panics(damage in prop::collection::vec((any::<u16>(), any::<u8>()), 1..4)) {
        let mut bytes = to_json(&result()).unwrap().into_bytes();
        for (place, byte) in damage {
            let place = usize::from(place) % bytes.len();
            bytes[place] = byte;
        }
        let _ = parse(Path::new("x.json"), &bytes);
    }
}

#[test]
fn readers_ignore_unknown_fields_and_operations() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("newer.json");
    let mut newer = serde_json::to_value(result()).unwrap();
    newer["predictions"] = serde_json::json!([]);
    newer["run"]["shards"] = serde_json::json!([1]);
    let mut unknown = newer["operations"][0].clone();
    unknown["operation"] = "connect.ws".into();
    newer["operations"].as_array_mut().unwrap().push(unknown);
    newer["series"]["rows"][0]["response"]["register"] =
        newer["series"]["rows"][2]["response"]["telemetry"].clone();
    std::fs::write(&path, newer.to_string()).unwrap();
    assert_eq!(read(&path).unwrap(), expected());
}

#[test]
fn a_written_result_reads_back_equal() {
    let (before, after) = (result(), expected());
    assert_eq!(serde_json::to_value(&before).unwrap(), serde_json::to_value(&after).unwrap());
    assert_eq!(before.measurement.operations, after.measurement.operations);
    assert_eq!(before.measurement.errors, after.measurement.errors);
    assert_eq!(before.measurement.fleets, after.measurement.fleets);
    assert_eq!(before.measurement.health[0].stalls, after.measurement.health[0].stalls);
}

#[test]
fn disturbances_survive_a_round_trip() {
    use crate::measure::{Cause, Disturbance, DisturbedFleet};
    let mut storm = Disturbance::known(Cause::Observed, "steady", [1_000_000, 1_200_000, 3_000_000]);
    storm.fleets.push(DisturbedFleet {
        fleet: "meter".to_owned(),
        online_before: 1,
        online: vec![0, 1],
        planned: vec![1, 1],
        disconnects: vec![1, 0],
        attempts: vec![0, 2],
        attempts_per_device: std::collections::BTreeMap::from([(2, 1), (11, 1)]),
        ..DisturbedFleet::default()
    });
    let mut result = result();
    result.measurement.disturbances = vec![storm];
    result.recoveries = crate::result::recoveries(&result.measurement);
    for text in [to_json(&result).unwrap(), to_compact_json(&result).unwrap()] {
        let read = parse(Path::new("r.json"), text.as_bytes()).unwrap();
        assert_eq!(read.measurement.disturbances, result.measurement.disturbances);
        assert_eq!(read.recoveries, result.recoveries);
    }
}

/// Fields that were added to version 1 later may be missing.
#[test]
fn files_from_earlier_versions_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("older.json");
    let mut older = serde_json::to_value(result()).unwrap();
    let emulator = older["emulator"].as_object_mut().unwrap();
    emulator.retain(|name, _| {
        ["cpu_us", "rss_peak_bytes", "accepted", "refused", "telemetry"].contains(&name.as_str())
    });
    assert!(jsonschema::validator_for(&schema()).unwrap().is_valid(&older));
    std::fs::write(&path, older.to_string()).unwrap();
    assert_eq!(read(&path).unwrap(), expected());
}

#[test]
fn results_match_the_schema() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let real = serde_json::to_value(result()).unwrap();
    let errors: Vec<_> = validator.iter_errors(&real).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    for (pointer, wrong) in [
        ("/verdict/status", serde_json::json!("maybe")),
        ("/operations/0/due", serde_json::json!(-1)),
        ("/series/rows/0/t_us", serde_json::json!("0")),
        ("/run", serde_json::json!({})),
    ] {
        let mut broken = real.clone();
        *broken.pointer_mut(pointer).unwrap() = wrong;
        assert!(!validator.is_valid(&broken), "{pointer}");
    }
}

/// `UPDATE=1 cargo test --lib result::` regenerates the schema.
#[test]
fn the_published_schema_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/schema.json");
    let now = format!("{:#}\n", schema());
    if std::env::var_os("UPDATE").is_some() {
        disk::replace(&path, now.as_bytes()).unwrap();
    }
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(published == now, "reports/schema.json is stale: run `UPDATE=1 cargo test --lib result::`");
}

/// Otherwise, a file would change each time it is read and written.
#[test]
fn numbers_are_read_without_a_rounding_error() {
    let text = "3.9669003158114813";
    let number: f64 = serde_json::from_str(text).unwrap();
    assert_eq!(number.to_string(), text);
}
