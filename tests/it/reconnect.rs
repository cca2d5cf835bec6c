//! Reconnect policies with the program: devices that give up, the descriptions of `check`, and its errors. Counts and codes, never times.

use crate::support::hubstorm::{WIDE_VALIDITY, Workplace, hubstorm, totals};
use std::collections::BTreeMap;

/// The hub closes all connections after 1 s, and refuses devices until the end.
fn outage(policy: &str, offline: &str) -> String {
    format!(
        "[fleet.meter]\ndevices = 5\nreconnect = {policy}\noffline = \"{offline}\"\nsend_by = \"200ms\"\n\
         [[fleet.meter.send]]\nevery = \"250ms\"\npayload = \"x\"\n\
         [[emulator.fault]]\nkind = \"refuse\"\nat = \"900ms\"\nfor = \"3100ms\"\n\
         [[emulator.fault]]\nkind = \"close\"\nat = \"1s\"\n\
         [[phase]]\nname = \"p\"\nduration = \"4s\"\n{WIDE_VALIDITY}"
    )
}

#[test]
fn devices_that_gave_up_are_counted_and_their_messages_end() {
    for (limit, offline, outcome) in [("3", "queue", "expired"), ("\"300ms\"", "skip", "offline")] {
        let policy =
            format!("{{ kind = \"fixed\", delay = \"100ms\", jitter = \"equal\", give_up = {limit} }}");
        let work = Workplace::new(&outage(&policy, offline));
        let run = work.run();
        let result = work.result();
        let gave_up: u64 = result.measurement.fleets.iter().map(|fleet| fleet.counts.gave_up).sum();
        assert_eq!(gave_up, 5, "{}", run.stderr);
        let finding = result.findings.iter().find(|finding| finding.text.contains("gave up reconnecting"));
        assert!(finding.is_some_and(|finding| finding.evidence.contains("5 times")), "{:?}", result.findings);
        if limit == "3" {
            let attempts: BTreeMap<String, u64> = totals(&result, "connect").1;
            assert_eq!(attempts, BTreeMap::from([("ok".to_owned(), 5), ("refused".to_owned(), 15)]));
        }
        let (due, outcomes) = totals(&result, "telemetry");
        assert_eq!(due, 5 * 16, "every message that was due");
        assert_eq!(outcomes.values().sum::<u64>(), due, "each ended once: {outcomes:?}");
        // At least those of the last two seconds, when all devices had given up.
        assert!(outcomes.get(outcome).is_some_and(|&ended| ended >= 5 * 8), "{outcome}: {outcomes:?}");
        let (connections, outcomes) = totals(&result, "online");
        assert_eq!((connections, outcomes.get("unfinished")), (10, Some(&5)), "{outcomes:?}");
    }
}

#[test]
fn check_describes_a_policy_and_says_when_it_can_give_up() {
    let checked = |policy: &str, phase: &str| {
        let work = Workplace::new(&format!(
            "[fleet.meter]\ndevices = 5\n{policy}\n[[phase]]\nname = \"p\"\nduration = \"{phase}\"\n"
        ));
        let finished = hubstorm(&["check", work.scenario().to_str().unwrap()]);
        finished.exits(0);
        (finished.stdout + &finished.stderr).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let policy = "reconnect = { kind = \"exponential\", base = \"2s\", max = \"30s\", jitter = \"equal\", start_delay = \"5s\", give_up = 4 }";
    let text = checked(policy, "1m");
    for part in [
        "reconnect reconnects after 5.00 s, then after 1.00 s to 2.00 s, doubled up to 30.0 s (gives up after 4 failed attempts)",
        "devices of fleet meter can give up reconnecting within the load of 60 s: after 4 failed attempts in a row, at the earliest 12 s after",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!checked(policy, "10s").contains("can give up"), "the load is too short");
    assert!(
        checked("sdk = \"node\"", "5m")
            .contains("can give up reconnecting within the load of 5m: after 4m offline.")
    );
    assert!(!checked("sdk = \"node\"", "3m").contains("can give up"));
    assert!(!checked("", "1h").contains("reconnects"), "the default is not described");
    let unified = checked("sdk = \"c-unified\"", "1h");
    let delays = "reconnects after 800 ms to 1.20 s, doubled up to 60.0 s; when refused, after 3m 45s to 6m 15s, doubled up to 1h";
    assert!(unified.contains(delays), "{unified}");
}
