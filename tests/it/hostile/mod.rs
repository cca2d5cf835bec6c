//! Runs against peers that misbehave, each played by a script. Every operation must end in the right outcome, every error must have the
//! right class and culprit, and the run must end. The tests assert counts, never times.
//!
//! `docs/reliability.md` lists the expected behavior.

mod back_off;
mod connack;
mod dialing;
mod floods;
mod protocol;
mod silence;
mod subscriptions;
mod tls_stream;

use crate::support::hubstorm::{WIDE_VALIDITY, Workplace, is_undecided_by_stalls, totals};
use crate::support::mqtt::CONNECT;
use crate::support::script::{Script, Step, receives, sends};
use crate::support::tls::Identity;
use hubstorm::result::model::RunResult;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// CONNACK, accepted, no session (MQTT 3.1.1 §3.2).
const ACCEPTED: [u8; 4] = [0x20, 2, 0, 0];
/// PUBACK of a device's first message.
const FIRST_ACK: [u8; 4] = [0x40, 2, 0, 1];
/// Number of messages that are due in a default run.
const MESSAGES: u64 = 6;
/// Ends the wait for an answer that never arrives.
const SHORT_CONNECT_TIMEOUT: &str = r#"connect_timeout = "400ms""#;
/// Twice the memory of a run with one device (20 MiB without optimization), and well below the data that a peer or a device sends in a
/// flood.
const RSS_BYTES_MAX: u64 = 48 * 1024 * 1024;

/// A run with one device, which sends one message at a time and never reconnects; and its variations.
struct Case {
    address: SocketAddr,
    script: Option<Script>,
    tls: &'static str,
    ca: Option<PathBuf>,
    fleet: &'static str,
    send: &'static str,
    duration: &'static str,
}

impl Case {
    fn at(address: SocketAddr) -> Case {
        Case {
            address,
            script: None,
            tls: "false",
            ca: None,
            fleet: "",
            send: "every = \"100ms\"\nqos = 1\npayload = \"x\"",
            duration: "600ms",
        }
    }

    fn script(script: Script) -> Case {
        Case { ca: script.ca(), ..Case::at(script.address()) }.with_script(script)
    }

    fn with_script(self, script: Script) -> Case {
        Case { script: Some(script), ..self }
    }

    fn plain(steps: impl IntoIterator<Item = Step>) -> Case {
        Case::script(Script::connections(steps))
    }

    /// Plays the steps after CONNACK.
    fn online(steps: impl IntoIterator<Item = Step>) -> Case {
        Case::plain([receives(CONNECT), sends(ACCEPTED)].into_iter().chain(steps))
    }

    /// Plays the steps over TLS.
    fn secure(identity: Identity, steps: impl IntoIterator<Item = Step>) -> Case {
        Case { tls: "true", ..Case::script(Script::connections_over_tls(identity, steps)) }
    }

    /// Plays the steps over plain TCP to a device that expects TLS.
    fn without_tls(steps: impl IntoIterator<Item = Step>) -> Case {
        Case { tls: "{ verify = false }", ..Case::plain(steps) }
    }

    fn fleet(self, fleet: &'static str) -> Case {
        Case { fleet, ..self }
    }

    fn send(self, send: &'static str) -> Case {
        Case { send, ..self }
    }

    fn lasts(self, duration: &'static str) -> Case {
        Case { duration, ..self }
    }

    /// Runs the case. Every step must have been played at the end.
    #[track_caller]
    fn run(self, exit_code: i32) -> HostileRun {
        self.run_to(&[exit_code])
    }

    /// Runs the case against a peer that floods the device. If this machine is busy with the flood, the verdict is invalid, because the
    /// load generator may have caused the missing acknowledgments.
    #[track_caller]
    fn run_flooded(self) -> HostileRun {
        self.run_to(&[99, 120])
    }

    #[track_caller]
    fn run_to(self, exit_codes: &[i32]) -> HostileRun {
        let or = |key: &str, line: &'static str| if self.fleet.contains(key) { "" } else { line };
        let work = Workplace::new(&format!(
            r#"
drain = "500ms"
[target]
kind = "mqtt"
host = "{host}"
port = {port}
tls = {tls}
{ca}
[fleet.one]
devices = 1
id = "one"
auth = {{ kind = "none" }}
{reconnect}
{in_flight}
{fleet}
[[fleet.one.send]]
topic = "a/b"
{send}
[[phase]]
name = "only"
duration = "{duration}"
[thresholds]
"publish" = ["rate(ok) == 100%"]
{WIDE_VALIDITY}"#,
            host = self.address.ip(),
            port = self.address.port(),
            tls = self.tls,
            ca = self.ca.as_ref().map_or_else(String::new, |path| format!("ca = {path:?}")),
            reconnect = or("reconnect", r#"reconnect = { kind = "never" }"#),
            in_flight = or("in_flight", "in_flight = 1"),
            fleet = self.fleet,
            send = self.send,
            duration = self.duration,
        ))
        .without_preflight();
        let finished = work.run();
        let connections = self.script.map_or(0, Script::finish);
        let result = work.result();
        // On a busy machine, the verdict may be invalid instead of a fail. The counts are the same.
        let is_undecided =
            finished.code == Some(120) && exit_codes.contains(&99) && is_undecided_by_stalls(&result);
        assert!(
            is_undecided || finished.code.is_some_and(|code| exit_codes.contains(&code)),
            "{:?}, stdout:\n{}\nstderr:\n{}",
            finished.code,
            finished.stdout,
            finished.stderr
        );
        assert!(result.generator.rss_peak_bytes < RSS_BYTES_MAX, "{} bytes", result.generator.rss_peak_bytes);
        HostileRun { result, connections }
    }
}

/// The result of a case.
struct HostileRun {
    result: RunResult,
    connections: usize,
}

impl HostileRun {
    /// Asserts exactly these outcomes.
    #[track_caller]
    fn ended(&self, operation: &str, outcomes: &[(&str, u64)]) -> &HostileRun {
        let expected: BTreeMap<String, u64> =
            outcomes.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
        let (_, actual) = totals(&self.result, operation);
        assert_eq!(actual, expected, "{operation}; errors: {:#?}", self.result.errors);
        self
    }

    fn count(&self, operation: &str, outcome: &str) -> u64 {
        totals(&self.result, operation).1.get(outcome).copied().unwrap_or_default()
    }

    /// Asserts exactly these error classes, each with its culprit.
    #[track_caller]
    fn errors(&self, expected: &[(&str, &str)]) -> &HostileRun {
        let actual: BTreeMap<&str, &str> =
            self.result.errors.iter().map(|error| (&*error.class, error.culprit.name())).collect();
        assert_eq!(actual, BTreeMap::from_iter(expected.iter().copied()), "{:#?}", self.result.errors);
        self
    }

    /// Asserts that the only error's example contains `part`.
    #[track_caller]
    fn example(&self, part: &str) -> &HostileRun {
        let [error] = &self.result.errors[..] else { panic!("{:#?}", self.result.errors) };
        assert!(error.example.contains(part), "{}", error.example);
        self
    }

    /// Asserts that a finding contains `part`.
    #[track_caller]
    fn finding(&self, part: &str) -> &HostileRun {
        let findings = &self.result.findings;
        assert!(findings.iter().any(|finding| finding.text.contains(part)), "{findings:#?}");
        self
    }

    #[track_caller]
    fn connections(&self, expected: usize) -> &HostileRun {
        assert_eq!(self.connections, expected);
        self
    }
}

/// Asserts that the only connection attempt ends in `outcome`, and that no message is sent.
#[track_caller]
fn cannot_connect(case: Case, outcome: &str, class: &str, culprit: &str) -> HostileRun {
    let actual = case.run(99);
    actual.ended("connect", &[(outcome, 1)]).ended("online", &[("unfinished", 1)]);
    actual.ended("publish", &[("unfinished", MESSAGES)]).errors(&[(class, culprit)]);
    actual
}
