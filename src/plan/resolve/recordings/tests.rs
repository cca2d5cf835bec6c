//! Recordings that fleets replay: mistakes, the rows that are due, and when each device sends them.

use crate::plan::{Cursor, Plan, Span, Spread, ns};
use crate::scenario::{Input, no_files};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

const S: u64 = 1_000_000_000;

/// Resolves a scenario in a folder with the file `r.csv`. Paths in messages begin with `./`.
fn load(text: &str, csv: &[u8]) -> Result<Plan, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("r.csv"), csv).unwrap();
    let file = folder.path().join("s.toml").display().to_string();
    let files = &no_files;
    let input = Input { file: &file, text, overrides: &[], env: &|_| None, files };
    let folder = format!("{}/", folder.path().display());
    crate::plan::load(&input, &mut rand::rng()).map_err(|errors| errors.to_string().replace(&folder, "./"))
}

/// Returns a scenario with three devices. `send` continues the stream.
fn scenario(target: &str, send: &str, phases: &str) -> String {
    format!(
        "{target}\n[fleet.a]\ndevices = 3\nid = \"d{{index}}\"\n[[fleet.a.send]]\narrival = \"replay\"\nfile = \"r.csv\"\n{send}\n{phases}"
    )
}

const HUB: &str = "";
const BROKER: &str = "[target]\nkind = \"mqtt\"\nhost = \"h\"";
const TEN_SECONDS: &str = "[[phase]]\nname = \"p\"\nduration = \"10s\"";

fn plan(send: &str, phases: &str, csv: &str) -> Plan {
    load(&scenario(HUB, send, phases), csv.as_bytes()).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Returns the due time, in milliseconds, and the message of each row that a device sends in its spans.
fn sent_by(plan: &Plan, index: u32, spans: impl Iterator<Item = Span>) -> Vec<(u64, String, String)> {
    let (fleet, loads) = (&plan.fleets[0], plan.run_loads());
    let send = &fleet.sends[0];
    assert_eq!(send.arrival.spread, Spread::Replay);
    let recording = send.payload.recording().unwrap();
    let mut cursor = Cursor::replay(recording, loads.of(0), index);
    let (mut sent, mut buffer) = (Vec::new(), Vec::new());
    for span in spans {
        cursor.enter(span);
        while let Some(due) = cursor.peek() {
            let (head, payload) = recording.message(cursor.row().unwrap(), &mut buffer);
            sent.push((due.at_ns / 1_000_000, head.to_owned(), String::from_utf8(payload.to_vec()).unwrap()));
            cursor.advance();
        }
    }
    sent
}

fn sent(plan: &Plan, index: u32) -> Vec<(u64, String, String)> {
    let fleet = &plan.fleets[0];
    let stays = plan.schedule_of(fleet).stays(&plan.device_seed(fleet, index));
    let end_ns = ns(plan.schedule.end());
    sent_by(plan, index, stays.map(|stay| stay.span))
        .into_iter()
        .filter(|(at_ms, ..)| at_ms * 1_000_000 < end_ns)
        .collect()
}

fn times(plan: &Plan, index: u32) -> Vec<u64> {
    sent(plan, index).into_iter().map(|(at_ms, ..)| at_ms).collect()
}

const FOUR: &str = "time,device,properties,payload\n100,d0,a=1,one\n101.5,d2,,two\n102,d0,b=x%20y&$.ct=text,\"three, 3\"\n104,d0,,four\n";

#[test]
fn each_device_sends_its_rows_at_their_times() {
    let plan = plan("", TEN_SECONDS, FOUR);
    let row = |at_ms, head: &str, payload: &str| (at_ms, head.to_owned(), payload.to_owned());
    assert_eq!(
        sent(&plan, 0),
        [row(0, "a=1", "one"), row(2_000, "b=x%20y&$.ct=text", "three, 3"), row(4_000, "", "four")]
    );
    assert_eq!((sent(&plan, 1), sent(&plan, 2)), (vec![], vec![row(1_500, "", "two")]));
    assert_eq!(plan.planned_messages().round(), 4.0);
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
}

#[test]
fn load_and_speed_scale_the_time() {
    for (send, phases, expected) in [
        ("speed = \"2x\"", TEN_SECONDS, [0, 1_000, 2_000]),
        ("speed = \"0.5x\"", TEN_SECONDS, [0, 4_000, 8_000]),
        ("", "[[phase]]\nname = \"p\"\nduration = \"10s\"\nload = \"200%\"", [0, 1_000, 2_000]),
        ("speed = \"2x\"", "[[phase]]\nname = \"p\"\nduration = \"10s\"\nload = \"50%\"", [0, 2_000, 4_000]),
        (
            "",
            "[[phase]]\nname = \"ramp\"\nduration = \"3s\"\nload = \"0%\"\nonline = \"0% -> 100%\"\n[[phase]]\nname = \"p\"\nduration = \"10s\"",
            [3_000, 5_000, 7_000],
        ),
    ] {
        let plan = plan(send, phases, FOUR);
        assert_eq!(times(&plan, 0), expected, "{send} {phases}");
        assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    }
}

#[test]
fn repeated_recording_starts_again_after_the_mean_gap() {
    let csv = "time,device,payload\n0,d0,a\n1,d1,b\n2,d0,c\n";
    let plan = plan("repeat = true", TEN_SECONDS, csv);
    assert_eq!(times(&plan, 0), [0, 2_000, 3_000, 5_000, 6_000, 8_000, 9_000]);
    assert_eq!(times(&plan, 1), [1_000, 4_000, 7_000]);
    assert_eq!((plan.planned_messages().round(), plan.warnings.len()), (10.0, 0));
    // A device that is planned to be offline for a while skips whole repetitions.
    let spans = [Span { from_ns: 0, to_ns: 2 * S }, Span { from_ns: 7 * S + S / 2, to_ns: 10 * S }];
    let found: Vec<u64> = sent_by(&plan, 0, spans.into_iter()).into_iter().map(|(at_ms, ..)| at_ms).collect();
    assert_eq!(found, [0, 8_000, 9_000]);
}

#[test]
fn rows_that_are_not_sent_are_told() {
    let cut = plan("", "[[phase]]\nname = \"p\"\nduration = \"2s\"", FOUR);
    assert_eq!(times(&cut, 0), [0]);
    assert!(cut.warnings[0].ends_with(
        "fleet.a.send.0.file: 2 of 4 rows would be due after the last phase and are not sent: the replay takes 4.00 s at a load of 100%, \
         and the phases only 2.00 s; lengthen a phase, or increase speed"
    ), "{:?}", cut.warnings);
    let ramp = plan("", "[[phase]]\nname = \"p\"\nduration = \"10s\"\nonline = \"0% -> 100%\"", FOUR);
    // The devices connect after 1.7 s, 5 s and 8.3 s.
    assert_eq!((times(&ramp, 0), times(&ramp, 2)), (vec![2_000, 4_000], vec![]));
    assert!(
        ramp.warnings[0].contains("2 of 4 rows would be due while their device is planned to be offline"),
        "{:?}",
        ramp.warnings
    );
    assert_eq!(ramp.fleets[0].sends[0].planned_rows().unwrap().by_phase, [2]);
}

#[test]
fn planned_samples_are_those_of_each_phase() {
    let phases = "[[phase]]\nname = \"p\"\nduration = \"3s\"\n[[phase]]\nname = \"q\"\nduration = \"7s\"\n\
                  [thresholds]\n\"telemetry{phase:q}\" = [\"p(50) < 1s\", \"count(ok) >= 1\"]\n";
    let plan = plan("", phases, FOUR);
    let [(_, needed, planned)] = plan.undersampled_thresholds()[..] else { panic!("one threshold") };
    assert_eq!((needed, planned), (20, 1));
    assert_eq!(
        plan.remedy(&plan.thresholds[0], needed, planned).duration,
        None,
        "a longer phase has no more rows"
    );
}

#[test]
fn fingerprint_covers_the_file() {
    let fingerprint = |send: &str, csv: &str| plan(send, TEN_SECONDS, csv).fingerprint();
    let same = fingerprint("", FOUR);
    assert_eq!(fingerprint("", FOUR), same);
    for other in [
        fingerprint("", &FOUR.replace("one", "two")),
        fingerprint("speed = \"2x\"", FOUR),
        fingerprint("repeat = true", FOUR),
        fingerprint("qos = 0", FOUR),
    ] {
        assert_ne!(other, same);
    }
}

#[test]
fn mistakes_are_told_with_file_and_line() {
    let key = |row: &str| format!("time,device,properties,payload\n0,d0,,x\n{row}\n");
    let topic = |row: &str| format!("time,device,topic,payload\n0,d0,t,x\n{row}\n");
    let big = "x".repeat(262_145);
    for (target, send, csv, expected) in [
        (
            HUB,
            "",
            key("1,d3,,x"),
            "./r.csv:3: fleet a has no device \"d3\"\n    fix:     its devices are d0 to d2: change devices or id, or remove the row",
        ),
        (HUB, "", key("1,d0,a=b/c,x"), "./r.csv:3: the properties contain an unescaped /"),
        (HUB, "", key("1,d0,a=%ff,x"), "./r.csv:3: the properties are not UTF-8 after decoding"),
        (HUB, "", key(&format!("1,d0,,{big}")), "./r.csv:3: too large for an IoT hub: 262,145 bytes"),
        (HUB, "properties = { a = \"1\" }", key("1,d0,,x"), "./r.csv has the column properties, too"),
        (HUB, "repeat = true", key("0,d0,,x"), "send.0.repeat: all rows have the same time"),
        (BROKER, "", topic("1,d0,,x"), "./r.csv:3: the topic is empty"),
        (BROKER, "", topic("1,d0,a/+,x"), "./r.csv:3: the topic \"a/+\" contains a wildcard"),
        (
            BROKER,
            "",
            topic(&format!("1,d0,{},x", "t".repeat(65_536))),
            "./r.csv:3: the topic is too long for MQTT: 65,536 bytes",
        ),
        (BROKER, "topic = \"t/${device}\"", topic("1,d0,t,x"), "./r.csv has the column topic, too"),
        (
            BROKER,
            "",
            "time,device,payload\n0,d0,x\n".to_owned(),
            "missing: a plain broker needs topics, and ./r.csv has no column topic",
        ),
    ] {
        let errors =
            load(&scenario(target, send, TEN_SECONDS), csv.as_bytes()).map(|_| ()).expect_err(expected);
        assert!(errors.contains(expected), "{expected}\n{errors}");
    }
    let rows: String = (0..30).map(|n| format!("{n},d9,,x\n")).collect();
    let errors =
        load(&scenario(HUB, "", TEN_SECONDS), format!("time,device,properties,payload\n{rows}").as_bytes())
            .map(|_| ())
            .unwrap_err();
    assert!(
        errors.contains("./r.csv:11: fleet a has no device")
            && errors.contains("./r.csv: 20 more rows with mistakes"),
        "{errors}"
    );
    let errors =
        load(&scenario(HUB, "", TEN_SECONDS).replace("r.csv", "x.csv"), b"").map(|_| ()).unwrap_err();
    assert!(errors.contains("cannot read ./x.csv: No such file or directory"), "{errors}");
    let errors =
        load(&scenario(HUB, "", TEN_SECONDS).replace("r.csv", "/dev/zero"), b"").map(|_| ()).unwrap_err();
    assert!(errors.contains("cannot read /dev/zero: not a regular file"), "{errors}");
}

#[test]
fn topics_come_from_the_file_or_from_the_key() {
    let from_file =
        load(&scenario(BROKER, "", TEN_SECONDS), b"time,device,topic,payload\n0,d1,a/b,x\n").unwrap();
    let from_key =
        load(&scenario(BROKER, "topic = \"t/${device}\"", TEN_SECONDS), b"time,device,payload\n0,d1,x\n")
            .unwrap();
    let head = |plan: &Plan| sent(plan, 1)[0].1.clone();
    assert_eq!((head(&from_file).as_str(), head(&from_key).as_str()), ("a/b", ""));
    let topic = |plan: &Plan| plan.fleets[0].sends[0].topic.to_string();
    assert_eq!((topic(&from_file).as_str(), topic(&from_key).as_str()), ("", "t/${device}"));
    assert!(Path::new(from_file.fleets[0].sends[0].payload.recording().unwrap().file()).is_relative());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Over random phases with churn, every row is due once, at its time, for its device, if the device is planned to be online then.
    #[test]
    fn every_row_is_sent_once_at_its_time(
        gaps_ms in prop::collection::vec((0u64..700, 0u32..3), 1..80),
        phases in prop::collection::vec((1u64..8, prop_oneof![Just(100), 0u32..100], prop_oneof![Just(0), Just(100), 1u32..300], prop::bool::ANY), 1..4),
        speed in prop_oneof![Just("1x"), Just("2x"), Just("0.3x")],
        seed in 0u64..1000,
    ) {
        let mut csv = "time,device,payload\n".to_owned();
        let mut at_ms = 0;
        for (number, (gap_ms, device)) in gaps_ms.iter().enumerate() {
            at_ms += if number == 0 { 0 } else { *gap_ms };
            writeln!(csv, "{}.{:03},d{device},{number}", at_ms / 1_000, at_ms % 1_000).unwrap();
        }
        let mut text = format!("seed = {seed}\n{}", scenario(HUB, &format!("speed = \"{speed}\""), ""));
        for (number, (seconds, online, load, churns)) in phases.iter().enumerate() {
            let churn = if *churns { "churn = { rate = \"300%/1m\", how = \"close\", away = \"1s\" }" } else { "" };
            writeln!(text, "[[phase]]\nname = \"p{number}\"\nduration = \"{seconds}s\"\nonline = \"{online}%\"\nload = \"{load}%\"\n{churn}").unwrap();
        }
        // The churn of a phase must not be faster than devices can return.
        let Ok(plan) = load(&text, csv.as_bytes()) else { return Ok(()) };
        let (fleet, speed) = (&plan.fleets[0], plan.fleets[0].sends[0].payload.recording().unwrap().speed());
        let load = plan.schedule_of(fleet).load().clone();
        let mut expected: BTreeMap<u32, Vec<(u64, String)>> = BTreeMap::new();
        let mut at_ms = 0_u64;
        for (number, (gap_ms, device)) in gaps_ms.iter().enumerate() {
            at_ms += if number == 0 { 0 } else { *gap_ms };
            let Some(due_ns) = load.inverse(at_ms as f64 / 1e3 / speed) else { continue };
            let mut stays = plan.schedule_of(fleet).stays(&plan.device_seed(fleet, *device));
            if stays.any(|stay| (stay.span.from_ns..stay.span.to_ns).contains(&due_ns)) {
                expected.entry(*device).or_default().push((due_ns / 1_000_000, number.to_string()));
            }
        }
        let mut due = 0;
        for index in 0..3 {
            let found: Vec<_> = sent(&plan, index).into_iter().map(|(at_ms, _, payload)| (at_ms, payload)).collect();
            due += found.len();
            prop_assert_eq!(found, expected.remove(&index).unwrap_or_default(), "device {}", index);
        }
        let planned = fleet.sends[0].planned_rows().unwrap();
        prop_assert_eq!(planned.by_phase.iter().sum::<u64>(), due as u64);
        prop_assert_eq!(planned.offline + planned.after_end + due as u64, gaps_ms.len() as u64);
    }
}
