//! Tokens and ids against the built-in hub: wrong clocks, SDK presets, and two runs with the same ids.

use crate::support::emulator::Emulator;
use crate::support::hubstorm::{WIDE_VALIDITY, Workplace, all_ok, totals};
use hubstorm::measure::{Outcome, Outcomes};
use hubstorm::result::model::{self, RunResult};
use hubstorm::scenario::Sdk;
use std::net::Ipv4Addr;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn phase(duration: &str) -> String {
    format!("[[phase]]\nname = \"steady\"\nduration = \"{duration}\"\n{WIDE_VALIDITY}")
}

fn finding(result: &RunResult, part: &str) -> bool {
    result.findings.iter().any(|finding| finding.text.contains(part))
}

/// A hub tolerates a clock difference of five minutes. A token of 30 s from a clock that is six minutes slow has expired.
#[test]
fn clock_skew_over_five_minutes_is_refused() {
    let fleets = [("slow", "-6m"), ("slower", "-4m"), ("fast", "+6m")].map(|(name, skew)| {
        format!(
            "[fleet.{name}]\ndevices = 2\nreconnect = {{ kind = \"never\" }}\n\
             auth = {{ kind = \"sas\", ttl = \"30s\", clock_skew = \"{skew}\" }}\n"
        )
    });
    let work = Workplace::new(&format!("{}{}", fleets.concat(), phase("1s")));
    work.run().exits(99);
    let result = work.result();
    let connects = |fleet: &str| {
        let rows =
            result.operations.iter().filter(|row| row.operation.name() == "connect" && row.fleet == fleet);
        rows.map(|row| (row.due, row.outcomes)).collect::<Vec<_>>()
    };
    for (fleet, outcome) in [("slow", Outcome::Refused), ("slower", Outcome::Ok), ("fast", Outcome::Ok)] {
        assert_eq!(connects(fleet), [(2, Outcomes::from_iter([(outcome, 2)]))], "{fleet}");
    }
    let [error] = &result.errors[..] else { panic!("one class: {:?}", result.errors) };
    assert_eq!((error.class.as_str(), error.count), ("connack_5", 2));
    assert!(
        finding(&result, "an expired token") && finding(&result, "gave up reconnecting"),
        "{:?}",
        result.findings
    );
}

/// The fleet and the built-in hub both count the closed connections.
#[test]
fn hub_counts_expired_tokens() {
    let work = Workplace::new(&format!(
        "[emulator]\nexpiry_grace = \"0s\"\n[fleet.meter]\ndevices = 2\nreconnect = {{ kind = \"never\" }}\n\
         auth = {{ kind = \"sas\", ttl = \"1s\", renew = \"never\" }}\n{}",
        phase("4s")
    ));
    work.run().exits(0);
    let result = work.result();
    let [error] = &result.errors[..] else { panic!("one class: {:?}", result.errors) };
    assert_eq!((error.class.as_str(), error.count), ("closed_after_expiry", 2));
    let model::Emulator { accepted, refused, taken_over, expired, protocol_errors, tls_failed, .. } =
        result.emulator.expect("it was the target");
    assert_eq!((accepted, refused, expired), (2, 0, 2));
    assert_eq!((taken_over, protocol_errors, tls_failed), (0, 0, 0));
    let page = std::fs::read_to_string(&work.outputs("html")[0]).expect("readable");
    assert!(page.contains("Closed at token expiry") && !page.contains("Session takeovers"));
}

#[test]
fn hub_accepts_the_presets_of_every_sdk() {
    let fleets = Sdk::ALL.map(Sdk::name).map(|sdk| {
        format!(
            "[fleet.{sdk}]\ndevices = 2\nsdk = \"{sdk}\"\nsubscribe = [\"c2d\", \"twin\", \"methods\"]\n\
             auth = {{ kind = \"sas\", ttl = \"20m\" }}\n[[fleet.{sdk}.send]]\nevery = \"500ms\"\npayload = \"x\"\n"
        )
    });
    let work = Workplace::new(&format!("{}{}", fleets.concat(), phase("1s")));
    work.run().exits(0);
    let result = work.result();
    assert_eq!((all_ok(&result, "connect"), all_ok(&result, "subscribe")), (12, 12));
    assert_eq!(all_ok(&result, "telemetry"), 12 * 2);
    assert!(result.errors.is_empty(), "{:?}", result.errors);
    let findings: Vec<_> =
        result.findings.iter().filter(|finding| !finding.text.contains("stalled")).collect();
    assert!(findings.is_empty(), "findings that are not about a busy machine: {findings:?}");
}

/// Each new connection ends the connection of the other run.
#[test]
fn two_runs_with_the_same_ids_report_a_shared_id() {
    let hub = Emulator::start(Ipv4Addr::LOCALHOST.into(), &["--group-key", "env:K"], &[("K", KEY)]);
    let scenario = format!(
        "[target]\nkind = \"iot-hub\"\nhost = \"127.0.0.1\"\nport = {}\nca = \"{}\"\n\
         [fleet.meter]\ndevices = 2\nreconnect = {{ kind = \"fixed\", delay = \"50ms\" }}\n\
         auth = {{ kind = \"sas\", group_key = \"${{env.K}}\" }}\n{}",
        hub.port(),
        hub.ca(),
        phase("4s")
    );
    let runs = [0, 1].map(|_| Workplace::new(&scenario).env("K", KEY).without_preflight());
    let running = [runs[0].start(), runs[1].start()];
    for running in running {
        running.wait().exits(0);
    }
    for work in &runs {
        let result = work.result();
        assert!(result.errors.iter().all(|error| error.class == "closed_by_peer"), "{:?}", result.errors);
        let (connects, _) = totals(&result, "connect");
        // A device that connected four times was closed three times.
        assert!(connects >= 2 * 4, "{connects} connects");
        assert!(finding(&result, "share an id"), "{:?}", result.findings);
    }
    hub.stop();
}
