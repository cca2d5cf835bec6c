//! Peers that misbehave, each as a script: every operation ends in the outcome that the wire allows to say, every error
//! has its class and its culprit, and the run ends. Counts are asserted, never times.
//!
//! `docs/reliability.md` lists them beside what was promised.

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
/// The ack of a device's first message.
const FIRST_ACK: [u8; 4] = [0x40, 2, 0, 1];
/// Messages that are due in a run, if nothing else is said.
const MESSAGES: u64 = 6;
/// Ends the wait for what never comes.
const SHORT_CONNECT_TIMEOUT: &str = r#"connect_timeout = "400ms""#;
/// Twice what a run of one device takes (20 MiB without optimisation), and well below what a peer can send in one, or a device
/// has to send.
const RSS_BYTES_MAX: u64 = 48 * 1024 * 1024;

/// One device, one message at a time, which never comes back after a loss; and what is to be different.
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

    /// From CONNACK on.
    fn online(steps: impl IntoIterator<Item = Step>) -> Case {
        Case::plain([receives(CONNECT), sends(ACCEPTED)].into_iter().chain(steps))
    }

    /// Over TLS.
    fn secure(identity: Identity, steps: impl IntoIterator<Item = Step>) -> Case {
        Case { tls: "true", ..Case::script(Script::connections_over_tls(identity, steps)) }
    }

    /// The device wants TLS, and the peer says what the steps say.
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

    /// Runs it to its end, after which every step must have been played.
    #[track_caller]
    fn run(self, exit_code: i32) -> HostileRun {
        self.run_to(&[exit_code])
    }

    /// The same against a peer that floods the device. A machine that is busy with the flood cannot tell whether the missing acks are
    /// the peer's fault: then the verdict is invalid.
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
        // A busy machine may keep the verdict from being a fail. What was counted stays.
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

/// What a run left behind.
struct HostileRun {
    result: RunResult,
    connections: usize,
}

impl HostileRun {
    /// Exactly these outcomes.
    #[track_caller]
    fn ended(&self, operation: &str, outcomes: &[(&str, u64)]) -> &HostileRun {
        let wanted: BTreeMap<String, u64> =
            outcomes.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
        let (_, seen) = totals(&self.result, operation);
        assert_eq!(seen, wanted, "{operation}; errors: {:#?}", self.result.errors);
        self
    }

    fn count(&self, operation: &str, outcome: &str) -> u64 {
        totals(&self.result, operation).1.get(outcome).copied().unwrap_or_default()
    }

    /// Exactly these classes of errors, each with its culprit.
    #[track_caller]
    fn errors(&self, wanted: &[(&str, &str)]) -> &HostileRun {
        let seen: BTreeMap<&str, &str> =
            self.result.errors.iter().map(|error| (&*error.class, error.culprit.name())).collect();
        assert_eq!(seen, BTreeMap::from_iter(wanted.iter().copied()), "{:#?}", self.result.errors);
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
    fn connections(&self, wanted: usize) -> &HostileRun {
        assert_eq!(self.connections, wanted);
        self
    }
}

/// The one attempt ends so, and no message is ever sent.
#[track_caller]
fn cannot_connect(case: Case, outcome: &str, class: &str, culprit: &str) -> HostileRun {
    let seen = case.run(99);
    seen.ended("connect", &[(outcome, 1)]).ended("online", &[("unfinished", 1)]);
    seen.ended("publish", &[("unfinished", MESSAGES)]).errors(&[(class, culprit)]);
    seen
}
