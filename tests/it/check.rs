//! `check`: warnings about messages and about this machine, and the options that make them errors. `run` prints the same warnings. Scenarios
//! and results that are confused with each other, and the format of `report --out`.

use crate::support::hubstorm::{Finished, WIDE_VALIDITY, Workplace, hubstorm};
use std::fs;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/reports/example.json");

/// A scenario with one device, whose payload is `payload`.
fn scenario(target: &str, payload: &str) -> Workplace {
    Workplace::new(&format!(
        "{target}\n[fleet.meter]\ndevices = 1\n[[fleet.meter.send]]\nevery = \"100ms\"\ntopic = \"t\"\npayload = '{payload}'\n\
         [[phase]]\nname = \"steady\"\nduration = \"1s\"\n{WIDE_VALIDITY}"
    ))
}

fn check(work: &Workplace, options: &[&str]) -> Finished {
    let path = work.scenario();
    hubstorm(&[&["check", path.to_str().expect("a UTF-8 path")], options].concat())
}

const BROKER: &str = "[target]\nkind = \"mqtt\"\nhost = \"127.0.0.1\"";
const VALID: &str = "{\"seq\":${seq}}";
const INVALID: &str = "{\"seq\":${seq} \"t\":\"${now}\"}";

/// A message, without the line breaks of the terminal.
fn on_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn strict_makes_a_warning_an_error() {
    let valid = scenario(BROKER, VALID);
    check(&valid, &["--strict"]).exits(0);
    let invalid = scenario(BROKER, INVALID);
    let found = "scenario.toml:9:11: fleet.meter.send.0.payload: the payload looks like JSON, but its first message is not valid: \
                 expected `,` or `}` at column 10: {\"seq\":0 \"";
    for (options, code) in
        [(&[][..], 0), (&["--machine"], 0), (&["--strict"], 104), (&["--strict", "--machine"], 104)]
    {
        let checked = check(&invalid, options);
        checked.exits(code);
        assert!(on_one_line(&checked.stdout).contains(found), "{options:?}: {}", checked.stdout);
        let error = "error: 1 warning, and --strict makes warnings errors";
        assert_eq!(checked.stderr.contains(error), code == 104, "{options:?}: {}", checked.stderr);
    }
}

/// The devices connect to another host than their file says.
#[test]
fn ignored_gateway_is_a_warning() {
    let work = Workplace::new(
        "[target]\nkind = \"iot-hub\"\nhost = \"localhost\"\n[fleet.meter]\ndevices = 1\n\
         auth = { kind = \"sas\", file = \"devices.txt\" }\n[[phase]]\nname = \"steady\"\nduration = \"1s\"\n",
    )
    .file("devices.txt", "HostName=localhost;DeviceId=d1;SharedAccessKey=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=;GatewayHostName=edge\n");
    for (options, code) in [(&[][..], 0), (&["--strict"], 104)] {
        let checked = check(&work, options);
        checked.exits(code);
        let text = on_one_line(&checked.stdout);
        assert!(text.contains("warning: ") && text.contains("GatewayHostName is ignored in 1"), "{text}");
    }
}

#[test]
fn machine_makes_a_shortfall_an_error() {
    // No machine has a documentation address (RFC 5737).
    let work = scenario(&format!("{BROKER}\nsource_ips = [\"192.0.2.1\"]"), VALID);
    for (options, code) in
        [(&[][..], 0), (&["--machine"], 1), (&["--strict"], 104), (&["--machine", "--strict"], 104)]
    {
        let checked = check(&work, options);
        checked.exits(code);
        let warned = checked.stdout.contains("warning: devices cannot connect from 192.0.2.1");
        assert!(warned, "{options:?}: {}", checked.stdout);
        assert_eq!(
            checked.stderr.contains("this machine lacks resources for the plan"),
            code == 1,
            "{options:?}: {}",
            checked.stderr
        );
    }
}

#[test]
fn run_prints_the_warnings_of_check() {
    let work = Workplace::new(&format!(
        "[fleet.meter]\ndevices = 1\n[[fleet.meter.send]]\nevery = \"100ms\"\npayload = '{INVALID}'\n\
         [[phase]]\nname = \"steady\"\nduration = \"1s\"\n{WIDE_VALIDITY}"
    ));
    let checked = check(&work, &[]);
    let warnings = checked.exits(0).stdout.find("\nwarning: ").map(|at| &checked.stdout[at + 1..]);
    let warnings = warnings.expect("check prints a warning");
    let ran = work.run();
    ran.exits(0);
    assert!(ran.stderr.contains(warnings), "{warnings} {}", ran.stderr);
}

#[test]
fn billed_messages_are_printed_for_an_iot_hub_only() {
    let work = Workplace::new(
        "[fleet.meter]\ndevices = 1000\n[[fleet.meter.send]]\nevery = \"1s\"\npayload = { size = 5000 }\n\
         [[phase]]\nname = \"steady\"\nduration = \"100s\"\n",
    );
    let text = on_one_line(&check(&work, &[]).exits(0).stdout);
    for part in [
        "billed about 200,000 messages in the run: 50.0% of the 400,000 a day of one S1 unit; a hub on this machine bills nothing",
        "billed a day about 173,000,000 if the run's average rate continues for 24 hours: 43,200% of one S1 unit, or 29 S2 units or one S3 unit (a hub can have at most 200 S1 units)",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let broker = check(&scenario(BROKER, VALID), &[]);
    assert!(!broker.exits(0).stdout.contains("billed"), "{}", broker.stdout);
}

#[test]
fn scenario_given_to_report_is_recognized() {
    const QUICKSTART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/quickstart.toml");
    let toml = hubstorm(&["report", QUICKSTART]);
    toml.exits(1);
    for part in [
        &format!(
            "{QUICKSTART} is a scenario, not a result. Specify the .json file that `hubstorm run` wrote"
        ),
        &format!("hubstorm run {QUICKSTART}"),
        &format!("hubstorm check {QUICKSTART}"),
    ] {
        assert!(toml.stderr.contains(part), "{part}: {}", toml.stderr);
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let json = folder.path().join("m.json");
    fs::write(&json, "{\"fleet\": {}, \"phase\": []}").expect("a writable folder");
    let json = hubstorm(&["report", json.to_str().expect("a UTF-8 path")]);
    assert!(json.exits(1).stderr.contains("m.json is a scenario"), "{}", json.stderr);
    let compared = hubstorm(&["compare", QUICKSTART, QUICKSTART]);
    assert!(compared.exits(1).stderr.contains("is a scenario, not a result"), "{}", compared.stderr);
    for wanted in ["run", "check"] {
        let refused = hubstorm(&[wanted, EXAMPLE]);
        refused.exits(104);
        assert!(
            refused.stderr.contains(&format!(
                "is a result file, not a scenario. To render it:  hubstorm report {EXAMPLE}"
            )),
            "{wanted}: {}",
            refused.stderr
        );
    }
}

#[test]
fn unknown_extension_of_out_is_a_usage_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("a UTF-8 path").to_owned();
    let refused = hubstorm(&["report", EXAMPLE, "--out", &path("r.pdf")]);
    refused.exits(2);
    for part in [
        "r.pdf: unknown file extension; known extensions: .json, .html, .htm, .txt, .xml, .md, .hlog, .prom; or choose",
        "--format json|html|text|junit|markdown|csv|hlog|metrics",
    ] {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    hubstorm(&["report", EXAMPLE, "--out", &path("r.pdf"), "--format", "html"]).exits(0);
    hubstorm(&["report", EXAMPLE, "--out", &path("summary")]).exits(0);
    assert_eq!(fs::read_dir(folder.path()).expect("the folder exists").count(), 2, "r.pdf and summary");
}
