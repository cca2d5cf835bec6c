//! The command line of `run` and `check`: help, exit codes, invalid input, Ctrl-C once and twice.

use crate::support::address::own_address;
use crate::support::hubstorm::{WIDE_VALIDITY, Workplace, all_ok, command, hubstorm, totals};
use crate::support::mosquitto::Mosquitto;
use crate::support::proxy::Proxy;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// The subcommands.
pub const COMMANDS: [&str; 13] = [
    "run",
    "init",
    "check",
    "plan",
    "capacity",
    "emulator",
    "report",
    "doctor",
    "token",
    "certs",
    "schema",
    "completions",
    "man",
];

const PASSWORD: &str = "interrupted";
const README: &str = include_str!("../../README.md");

#[test]
fn help_lists_the_commands_and_every_exit_code() {
    let help = hubstorm(&["--help"]);
    help.exits(0);
    for command in COMMANDS {
        let listed = help.stdout.lines().any(|line| line.split_whitespace().next() == Some(command));
        assert!(listed, "{command}: {}", help.stdout);
    }
    let codes: Vec<&str> =
        README.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()).collect();
    let codes: Vec<&str> = codes.into_iter().filter(|cell| cell.parse::<u8>().is_ok()).collect();
    assert_eq!(codes, ["0", "1", "2", "99", "104", "105", "120"], "the README's table");
    for code in codes {
        let row =
            README.lines().find(|line| line.starts_with(&format!("| {code} |"))).expect("it was found above");
        let words = row.split('|').nth(2).expect("a row has two cells").trim();
        // The help breaks lines.
        let help = help.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains(&format!("{code} {words}")), "exit code {code}: {words}: {help}");
    }
    assert_eq!(help.stderr, "");
}

#[test]
fn version_names_the_program() {
    let version = hubstorm(&["--version"]);
    // A release build names its git revision, too. `packaging.rs` tests that.
    assert_eq!(version.exits(0).stdout, format!("hubstorm {}\n", env!("HUBSTORM_VERSION")));
}

#[test]
fn wrong_usage_exits_2_with_a_message_on_stderr() {
    for arguments in [&["run"][..], &["run", "--no-such-flag", "x.toml"], &["no-such-command"], &[]] {
        let finished = hubstorm(arguments);
        finished.exits(2);
        assert_eq!(finished.stdout, "", "{arguments:?}");
        assert!(finished.stderr.contains("Usage"), "{arguments:?}: {}", finished.stderr);
    }
}

#[test]
fn invalid_scenario_exits_104_with_every_error() {
    let work = Workplace::new(
        "[fleet.meter]\ndevices = \"many\"\n[[fleet.meter.send]]\nevry = \"1s\"\npayload = \"x\"\n\
         [[phase]]\nname = \"p\"\nduration = \"1s\"\n",
    );
    let finished = work.run();
    finished.exits(104);
    assert_eq!(finished.stdout, "");
    for part in ["scenario.toml:2:", "devices", "scenario.toml:4:", "evry", "every"] {
        assert!(finished.stderr.contains(part), "{part}: {}", finished.stderr);
    }
    assert!(!work.out().exists(), "nothing was started");
}

#[test]
fn missing_scenario_exits_104_with_its_path() {
    let finished = hubstorm(&["run", "no/such/scenario.toml"]);
    finished.exits(104);
    assert!(finished.stderr.contains("no/such/scenario.toml"), "{}", finished.stderr);
}

#[test]
fn missing_secret_variable_exits_104_with_the_line() {
    let work = Workplace::new(
        "[target]\nkind = \"iot-hub\"\nhost = \"localhost\"\n[fleet.meter]\ndevices = 1\n\
         auth = { kind = \"sas\", group_key = \"${env.HUBSTORM_TEST_UNSET}\" }\n\
         [[phase]]\nname = \"p\"\nduration = \"1s\"\n",
    );
    let finished = work.run();
    finished.exits(104);
    for part in ["scenario.toml:6:", "HUBSTORM_TEST_UNSET"] {
        assert!(finished.stderr.contains(part), "{part}: {}", finished.stderr);
    }
}

#[test]
fn unwritable_output_folder_exits_1_before_the_load() {
    let work = Workplace::new(&built_in("60s"));
    fs::write(work.out(), "a file instead of a folder").expect("a writable folder");
    let finished = work.run();
    finished.exits(1);
    assert!(finished.stderr.contains("out"), "{}", finished.stderr);
}

#[test]
fn result_schema_is_json() {
    let finished = hubstorm(&["schema", "result"]);
    let schema: serde_json::Value = serde_json::from_str(&finished.exits(0).stdout).expect("JSON on stdout");
    assert!(schema["properties"]["verdict"].is_object(), "{schema}");
}

#[test]
fn scenario_schema_is_that_of_the_library() {
    let finished = hubstorm(&["schema", "scenario"]);
    let schema: serde_json::Value = serde_json::from_str(&finished.exits(0).stdout).expect("JSON on stdout");
    assert_eq!(schema, hubstorm::scenario::schema());
}

#[test]
fn check_prints_the_needs_and_starts_nothing() {
    let work = Workplace::new(&built_in("60s"));
    let finished = hubstorm(&["check", work.scenario().to_str().expect("a UTF-8 path")]);
    finished.exits(0);
    assert!(finished.stdout.contains("descriptors"), "{}", finished.stdout);
    assert!(!work.out().exists());
}

#[test]
fn scenarios_in_the_readme_are_valid() {
    let blocks = README
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().expect("`split` always returns one item"));
    let scenarios: Vec<&str> = blocks.filter(|block| block.contains("[[phase]]")).collect();
    assert_eq!(scenarios.len(), 2, "an IoT hub and a plain broker");
    for scenario in scenarios {
        let work = Workplace::new(scenario);
        let mut check = command([Path::new("check"), &work.scenario()]);
        check.env("IOTHUB_HOST", "myhub.azure-devices.net").env("BROKER_PASSWORD", "secret");
        check.env("METER_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
        let output = check.output().expect("the program was built");
        assert!(output.status.success(), "{scenario}\n{}", String::from_utf8_lossy(&output.stderr));
        let resolved = String::from_utf8_lossy(&output.stdout);
        // Lines are wrapped at 80 columns.
        let resolved = resolved.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            resolved.contains(" over TLS, trusting the system's root certificates"),
            "no key is sent in clear text: {resolved}"
        );
    }
}

/// A run of an hour against a broker behind a proxy, which shows when the load has started.
fn hour_long(broker: &Mosquitto, proxy: &Proxy) -> Workplace {
    let scenario = format!(
        r#"
drain = "30m"
{sensors}
ack_timeout = "30m"
[[fleet.sensor.send]]
every = "100ms"
qos = 1
topic = "sensors/${{device}}"
payload = {{ size = 256 }}
[[phase]]
name = "steady"
duration = "1h"
{WIDE_VALIDITY}"#,
        sensors = broker.sensors(proxy, 5),
    );
    Workplace::new(&scenario).env("BROKER_PASSWORD", PASSWORD)
}

fn broker() -> Mosquitto {
    Mosquitto::start((0..5).map(|index| format!("dev-{index}")), PASSWORD)
}

#[test]
fn ctrl_c_once_drains_and_keeps_the_partial_result() {
    let broker = broker();
    let proxy = Proxy::start(own_address(), broker.plain());
    let work = hour_long(&broker, &proxy);
    let mut witness = broker.witness();
    let running = work.start();
    proxy.wait_for_upstream_bytes(10_000);
    running.interrupt();
    let finished = running.wait();
    finished.exits(105);
    let announced = finished.stderr.contains("interrupted: draining; press Ctrl-C again to stop now");
    assert!(announced, "{}", finished.stderr);

    let result = work.result();
    assert!(!result.run.complete);
    assert_eq!(result.verdict.exit_code, 105);
    assert_eq!(work.outputs("html").len(), 1);
    // Every sent message was acknowledged, and no more messages became due.
    let published = all_ok(&result, "publish");
    let counts = witness.counts(published);
    assert_eq!(
        (counts.published, counts.clients),
        (published, 1),
        "all messages were acknowledged, all devices disconnected"
    );
    assert_eq!(result.phases.len(), 1);
    assert!(result.phases[0].end_us < 3_600_000_000, "the phase ends at the interrupt");
}

#[test]
fn ctrl_c_twice_skips_the_drain_and_keeps_the_result() {
    let broker = broker();
    let proxy = Proxy::start(own_address(), broker.plain());
    let work = hour_long(&broker, &proxy);
    let running = work.start();
    proxy.wait_for_upstream_bytes(10_000);
    // Without acknowledgments a drain would last half an hour.
    proxy.freeze_for(Duration::from_secs(3_600));
    proxy.wait_until_it_holds();
    // The kernel merges pending signals, so leave time between two of them.
    let finished = running.interrupt_until_it_ends(Duration::from_millis(500));
    finished.exits(105);

    let result = work.result();
    assert!(!result.run.complete);
    assert_eq!(result.verdict.exit_code, 105);
    let (due, outcomes) = totals(&result, "publish");
    assert!(outcomes.get("ok").is_some_and(|ok| *ok > 0), "{outcomes:?}");
    assert!(outcomes.get("unfinished").is_some_and(|open| *open > 0), "{outcomes:?}");
    assert_eq!(outcomes.values().sum::<u64>(), due);
}

/// A terminal sends Ctrl-C to the whole process group. The built-in hub must serve until the drain has ended.
#[test]
fn ctrl_c_in_a_terminal_does_not_end_the_built_in_hub() {
    let work = Workplace::new(&built_in("1h"));
    let mut running = work.start();
    running.says("online");
    running.interrupt();
    running.wait().exits(105);
    let result = work.result();
    assert!(!result.run.complete);
    all_ok(&result, "telemetry");
    assert!(result.errors.is_empty(), "{:#?}", result.errors);
}

fn built_in(duration: &str) -> String {
    format!(
        "[fleet.meter]\ndevices = 5\n\
         [[fleet.meter.send]]\nevery = \"100ms\"\npayload = {{ size = 100 }}\n\
         [[phase]]\nname = \"steady\"\nduration = \"{duration}\"\n{WIDE_VALIDITY}"
    )
}
