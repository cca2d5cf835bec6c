//! A loss and a refusal in a whole run, and tests for bugs that recurred. The names of the latter start with their issue
//! (`issue_17_puback_split_across_reads`). `hostile` has other misbehaving peers.

use crate::support::hubstorm::{WIDE_VALIDITY, Workplace, totals};
use crate::support::mqtt::{CONNECT, Client, PUBLISH};
use crate::support::script::{Script, closes, receives, sends};
use hubstorm::result::model::{RunResult, Status};

/// CONNACK, accepted, no session (MQTT 3.1.1 §3.2).
const ACCEPTED: [u8; 4] = [0x20, 2, 0, 0];

/// Runs one device that sends twice in a second and never reconnects.
fn run(script: Script, exit_code: i32) -> RunResult {
    let address = script.address();
    let work = Workplace::new(&format!(
        r#"
drain = "2s"
[target]
kind = "mqtt"
host = "{host}"
port = {port}
tls = false
[fleet.one]
devices = 1
id = "one"
auth = {{ kind = "none" }}
reconnect = {{ kind = "never" }}
[[fleet.one.send]]
every = "500ms"
qos = 1
topic = "a/b"
payload = "x"
[[phase]]
name = "only"
duration = "1s"
[thresholds]
"publish" = ["rate(ok) == 100%"]
{WIDE_VALIDITY}"#,
        host = address.ip(),
        port = address.port(),
    ))
    .without_preflight();
    let finished = work.run();
    script.finish();
    finished.exits(exit_code);
    work.result()
}

#[test]
fn refusal_is_counted_by_code_and_fails_the_run() {
    let result = run(Script::connection([receives(CONNECT), sends([0x20, 2, 0, 3]), closes()]), 99);
    assert_eq!(result.verdict.status, Status::Fail);
    let (_, outcomes) = totals(&result, "connect");
    assert_eq!(outcomes.get("refused"), Some(&1), "{outcomes:?}");
    assert_eq!(error(&result, "connack_3").culprit.name(), "peer");
}

#[test]
fn close_before_the_puback_is_lost() {
    let result =
        run(Script::connection([receives(CONNECT), sends(ACCEPTED), receives(PUBLISH), closes()]), 99);
    let (_, outcomes) = totals(&result, "publish");
    assert_eq!(outcomes.get("lost"), Some(&1), "{outcomes:?}");
    assert_eq!(error(&result, "closed_by_peer").culprit.name(), "peer");
}

/// A script fails the test if a step was not played.
#[test]
#[should_panic(expected = "unused: [Receives(3)]")]
fn unplayed_script_steps_fail_the_test() {
    let script = Script::connection([receives(CONNECT), sends(ACCEPTED), receives(PUBLISH)]);
    drop(Client::connect(script.address(), "hand", "user", "password"));
    script.finish();
}

#[track_caller]
fn error<'a>(result: &'a RunResult, class: &str) -> &'a hubstorm::measure::ErrorTotals {
    let found = result.errors.iter().find(|error| error.class == class);
    found.unwrap_or_else(|| panic!("no {class}: {:#?}", result.errors))
}
