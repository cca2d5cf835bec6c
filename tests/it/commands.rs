//! The smaller commands as people type them: doctor, token, certs, completions, man; `--trace` and the question before a
//! run that costs. And the help of all of them, as snapshots.

use crate::support::address::{listen, own_address};
use crate::support::hubstorm::{Finished, WIDE_VALIDITY, Workplace, command, hubstorm};
use crate::support::mqtt::{CONNECT, DISCONNECT};
use crate::support::script::{Script, acks, receives, sends};
use hubstorm::iothub::sas;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER_KEY: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

/// Runs a command with these environment variables and this on stdin.
fn run(arguments: &[&str], env: &[(&str, &str)], stdin: &str) -> Finished {
    let mut command = command(arguments);
    command.envs(env.iter().copied());
    finish(command, stdin)
}

fn finish(mut command: Command, stdin: &str) -> Finished {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program was built");
    // It may end without having read anything.
    drop(child.stdin.take().expect("piped").write_all(stdin.as_bytes()));
    let output = child.wait_with_output().expect("it is ours");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Finished { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn help_is_what_a_newcomer_can_work_from() {
    let main = command(["--help"]).env_remove("COLUMNS").output().expect("the program was built");
    insta::assert_snapshot!("help", String::from_utf8_lossy(&main.stdout));
    for name in [
        "run",
        "init",
        "check",
        "emulator",
        "report",
        "doctor",
        "token",
        "certs",
        "schema",
        "completions",
        "man",
    ] {
        let help = command([name, "--help"]).env_remove("COLUMNS").output().expect("the program was built");
        assert!(help.status.success());
        insta::assert_snapshot!(format!("help_{name}"), String::from_utf8_lossy(&help.stdout));
    }
}

#[test]
fn the_examples_of_the_help_can_be_typed() {
    use clap::{CommandFactory, Parser};
    let mut root = hubstorm::cli::Cli::command();
    let texts: Vec<String> = std::iter::once(root.clone())
        .chain(root.get_subcommands_mut().map(|command| command.clone()))
        .map(|command| command.get_after_help().map(ToString::to_string).unwrap_or_default())
        .collect();
    assert!(texts.iter().all(|text| text.contains("\n  hubstorm ")), "each has an example: {texts:#?}");
    let mut tried = 0;
    for line in texts.iter().flat_map(|text| text.lines()) {
        let Some(at) = line.find("hubstorm ").filter(|_| line.starts_with("  ") && !line.contains(":  "))
        else {
            continue;
        };
        assert!(line.len() <= 100, "the help would break it, and with it what is pasted: {line}");
        // Up to a redirection, or to the words behind a column's gap.
        let typed = line[at..].split("  ").next().unwrap_or_default().split('>').next().unwrap_or_default();
        let typed = typed.trim_end_matches(" 2");
        hubstorm::cli::Cli::try_parse_from(typed.split_whitespace())
            .unwrap_or_else(|e| panic!("{typed}: {e}"));
        tried += 1;
    }
    assert!(tried >= 20, "{tried} examples");
}

#[test]
fn doctor_says_what_this_machine_lets_a_load_do() {
    let finished = hubstorm(&["doctor"]);
    finished.exits(0);
    for part in ["cores", "AES", "memory", "descriptors", "ports", "room for", "clock", "timer", "TLS roots"]
    {
        assert!(finished.stdout.contains(part), "{part}: {}", finished.stdout);
    }
}

#[test]
fn doctor_says_what_too_few_descriptors_are_too_few_for() {
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 256 && exec \"$0\" doctor", env!("CARGO_BIN_EXE_hubstorm")]);
    let output = limited.output().expect("a shell and the program are there");
    let told = String::from_utf8_lossy(&output.stdout);
    for part in [
        "no device: too few descriptors",
        "warning: a load of a few thousand devices needs 4,096 open files and this process may have 256\n",
        "ulimit -n 4096\n",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn doctor_dials_a_target_step_by_step() {
    let script = Script::connection([]);
    let target = script.address().to_string();
    let finished = hubstorm(&["doctor", "--target", &target, "--plain"]);
    script.finish();
    finished.exits(0);
    assert!(
        finished.stdout.ends_with("\nTCP works; MQTT was not tried\n"),
        "a silent socket is no broker: {}",
        finished.stdout
    );
    assert!(!finished.stdout.contains("DNS"), "an address needs none: {}", finished.stdout);
}

#[test]
fn doctor_refuses_what_is_no_target_before_it_looks_at_anything() {
    for target in ["", "hub.example:mqtt", "https://hub.example", "HostName=h;SharedAccessKey=k"] {
        let finished = hubstorm(&["doctor", "--target", target]);
        finished.exits(2);
        assert_eq!(finished.stdout, "", "{target}");
        assert!(finished.stderr.contains("HOST:PORT"), "{}", finished.stderr);
    }
}

#[test]
fn doctor_exits_1_when_the_target_refuses_and_says_what_to_check() {
    let free = listen(own_address()).local_addr().expect("it is bound");
    let finished = hubstorm(&["doctor", "--target", &free.to_string()]);
    finished.exits(1);
    assert!(
        finished.stderr.contains("refused") && finished.stderr.contains("firewalls"),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_token_that_was_made_is_verified_by_its_key_and_no_other() {
    let make = ["token", "--host", "hub.example", "--device", "meter-1", "--key", "env:KEY", "--ttl", "10m"];
    let token = run(&make, &[("KEY", KEY)], "");
    let token = &token.exits(0).stdout;
    assert!(token.starts_with("SharedAccessSignature sr=hub.example%2Fdevices%2Fmeter-1&sig="), "{token}");

    let told = run(&["token", "--decode", "-", "--key", "env:KEY"], &[("KEY", KEY)], token);
    told.exits(0);
    for part in ["hub.example/devices/meter-1", "the device's key", "made with this key", ", in "] {
        assert!(told.stdout.contains(part), "{part}: {}", told.stdout);
    }
    let told = run(&["token", "--decode", "env:TOKEN"], &[("TOKEN", token)], "");
    assert!(told.exits(0).stdout.contains("not checked"), "{}", told.stdout);
    let told = run(&["token", "--decode", "-", "--key", "env:KEY"], &[("KEY", OTHER_KEY)], token);
    assert!(told.exits(1).stdout.contains("NOT made with this key"), "{}", told.stdout);
}

#[test]
fn tokens_of_groups_and_policies() {
    let arguments = ["token", "--host", "h", "--device", "d", "--group-key", "env:KEY"];
    let token = run(&arguments, &[("KEY", KEY)], "");
    let decode = ["token", "--decode", "-", "--device", "d", "--group-key", "env:KEY"];
    run(&decode, &[("KEY", KEY)], &token.exits(0).stdout).exits(0);
    let policy =
        run(&["token", "--host", "h", "--policy", "service", "--key", "env:KEY"], &[("KEY", KEY)], "");
    let policy = &policy.exits(0).stdout;
    assert!(policy.contains("sr=h&") && policy.trim_end().ends_with("&skn=service"), "{policy}");
}

#[test]
fn a_scenario_on_stdin_is_read_with_paths_of_this_folder_and_nobody_to_ask() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("key"), KEY).expect("it is ours");
    let scenario = "[target]\nkind = \"iot-hub\"\nhost = \"hub.invalid\"\n[fleet.a]\ndevices = 1000\n\
         auth = { kind = \"sas\", group_key = \"${file.key}\" }\n[[fleet.a.send]]\nevery = \"1s\"\npayload = \"x\"\n\
         [[phase]]\nname = \"p\"\nduration = \"2m\"\n";
    let piped = |arguments: &[&str], stdin: &str| {
        let mut command = command(arguments);
        command.current_dir(folder.path());
        finish(command, stdin)
    };
    let checked = piped(&["check", "-"], scenario);
    assert!(checked.exits(0).stdout.starts_with("stdin  (stdin, seed 1)\n"), "{}", checked.stdout);
    let json = "{\"fleet\": {\"a\": {\"devices\": 1}}, \"phase\": [{\"name\": \"p\", \"duration\": \"1s\"}]}";
    piped(&["check", "-"], json).exits(0);
    let wrong = piped(&["check", "-"], "seed = \"x\"\n");
    assert!(wrong.exits(104).stderr.contains("stdin:1:"), "{}", wrong.stderr);
    // On a terminal, where a file's run would ask; the last byte is what Ctrl-D types.
    let mut terminal = Command::new("script");
    let typed = concat!(env!("CARGO_BIN_EXE_hubstorm"), " run -");
    terminal.args(["--quiet", "--return", "--command", typed, "/dev/null"]).current_dir(folder.path());
    let costs = finish(terminal, &format!("{scenario}\x04"));
    assert!(costs.exits(2).stdout.contains("say --yes"), "{}", costs.stdout);
}

#[test]
fn what_is_no_scenario_and_what_is_no_result_is_told_by_what_it_is() {
    let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/reports/example");
    let (page, result) = (format!("{repository}.html"), format!("{repository}.json"));
    let told = hubstorm(&["check", &page]);
    assert!(told.exits(104).stderr.contains("this is a page, not a scenario"), "{}", told.stderr);
    let told = hubstorm(&["check", &result]);
    assert!(told.exits(104).stderr.contains(&format!("hubstorm report {result} renders")), "{}", told.stderr);
    let told = hubstorm(&["report", &page]);
    assert!(told.exits(1).stderr.contains("Specify the .json file beside it"), "{}", told.stderr);
    let work =
        Workplace::new("").file("cut.json", &fs::read_to_string(&result).expect("it is there")[..5000]);
    let cut = work.scenario().with_file_name("cut.json").display().to_string();
    let told = hubstorm(&["report", &cut]);
    assert!(told.exits(1).stderr.contains("is cut off"), "{}", told.stderr);
}

#[test]
fn a_report_has_the_format_that_its_ending_says() {
    let result = concat!(env!("CARGO_MANIFEST_DIR"), "/reports/example.json");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let written = |name: &str, more: &[&str]| {
        let out = folder.path().join(name).display().to_string();
        hubstorm(&[&["report", result, "--out", &out], more].concat()).exits(0);
        fs::read_to_string(out).expect("it was written")
    };
    for (name, more, page) in [
        ("a.html", &[][..], true),
        ("a.HTM", &[], true),
        ("a.txt", &[], false),
        ("a", &[], false),
        ("b.html", &["--format", "text"], false),
        ("b.txt", &["--format", "html"], true),
    ] {
        assert_eq!(written(name, more).starts_with('<'), page, "{name} {more:?}");
    }
}

#[test]
fn a_file_without_a_certificate_is_told_so() {
    let work =
        Workplace::new("").file("key.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    let folder = work.scenario();
    for name in ["key.pem", "scenario.toml"] {
        let ca = folder.with_file_name(name).display().to_string();
        let told = hubstorm(&["doctor", "--target", "127.0.0.1:1", "--ca", &ca]);
        assert!(told.exits(1).stderr.contains("it contains no PEM certificate"), "{}", told.stderr);
    }
}

#[test]
fn a_group_key_verifies_the_device_that_a_token_names() {
    let make = ["token", "--host", "h", "--device", "d:1%", "--group-key", "env:KEY"];
    let token = run(&make, &[("KEY", KEY)], "");
    let decode = ["token", "--decode", "-", "--group-key", "env:KEY"];
    let told = run(&decode, &[("KEY", KEY)], &token.exits(0).stdout);
    assert!(told.exits(0).stdout.contains("made with this key"), "{}", told.stdout);
    run(&decode, &[("KEY", OTHER_KEY)], &token.stdout).exits(1);
    let policy = run(&["token", "--host", "h", "--policy", "p", "--key", "env:KEY"], &[("KEY", KEY)], "");
    for finished in [
        run(&decode, &[("KEY", KEY)], &policy.exits(0).stdout),
        run(&["token", "--host", "h", "--group-key", "env:KEY"], &[("KEY", KEY)], ""),
    ] {
        assert!(finished.exits(2).stderr.contains("--device ID"), "{}", finished.stderr);
    }
}

#[test]
fn an_expired_token_is_told_and_exits_1() {
    let token = "SharedAccessSignature sr=h%2Fdevices%2Fd&sig=16TMWISNAQHbvHgpFWCXZfRxM42mIGbNiEx6R8VTlLY%3D&se=1000000000";
    let told = run(&["token", "--decode", "-"], &[], token);
    told.exits(1);
    assert!(told.stdout.contains("2001-09-09T01:46:40Z") && told.stdout.contains("ago"), "{}", told.stdout);
    assert!(told.stderr.contains("has expired: a hub refuses it all the same"), "{}", told.stderr);
    let key = sas::Key::from_base64(KEY).expect("a key");
    let told = run(
        &["token", "--decode", "-", "--key", "env:KEY"],
        &[("KEY", KEY)],
        &sas::token(&key, "h/devices/d", 1_000_000_000, None),
    );
    assert!(
        told.exits(1).stderr.contains("has expired: its signature is good, and a hub"),
        "{}",
        told.stderr
    );
}

#[test]
fn a_key_on_the_command_line_is_refused_and_not_repeated() {
    let finished = hubstorm(&["token", "--host", "h", "--device", "d", "--key", KEY]);
    finished.exits(2);
    assert!(finished.stderr.contains("env:NAME") && !finished.stderr.contains(KEY), "{}", finished.stderr);
    hubstorm(&["token", "--host", "h", "--device", "d"]).exits(2);
    for (host, ttl, part) in
        [("h", "0s", "expired at once"), ("h", "213503982334601d", "no clock"), ("", "1h", "--host")]
    {
        let make = ["token", "--host", host, "--device", "d", "--key", "env:KEY", "--ttl", ttl];
        let refused = run(&make, &[("KEY", KEY)], "");
        assert!(refused.exits(2).stderr.contains(part) && refused.stdout.is_empty(), "{}", refused.stderr);
    }
    hubstorm(&["token", "--device", "d", "--key", "env:KEY"]).exits(2);
    let unset = hubstorm(&["token", "--host", "h", "--device", "d", "--key", "env:HUBSTORM_TEST_UNSET"]);
    assert!(unset.exits(1).stderr.contains("HUBSTORM_TEST_UNSET"), "{}", unset.stderr);
}

#[test]
fn certs_are_made_and_never_replaced_unasked() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("new").display().to_string();
    let made = hubstorm(&["certs", "--name", "broker.test", "--name", "127.0.0.1", "--out", &out]);
    made.exits(0);
    assert!(made.stdout.contains("broker.test, 127.0.0.1"), "{}", made.stdout);
    let key = format!("{out}/server-key.pem");
    let mode = fs::metadata(&key).expect("it was made").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "a private key is its owner's");
    let before = fs::read(&key).expect("it is ours");
    let again = hubstorm(&["certs", "--out", &out]);
    assert!(again.exits(1).stderr.contains("--force"), "{}", again.stderr);
    assert_eq!(fs::read(&key).expect("it is ours"), before);
    hubstorm(&["certs", "--out", &out, "--force"]).exits(0);
    assert_ne!(fs::read(&key).expect("it is ours"), before);
    for nobody in ["küche", "", "a b", "*."] {
        hubstorm(&["certs", "--name", nobody, "--out", &out, "--force"]).exits(2);
    }
    hubstorm(&["certs", "--name", "*.broker.test", "--out", &out, "--force"]).exits(0);
}

#[test]
fn completions_and_man_pages_are_those_of_the_commands() {
    for (shell, part) in
        [("bash", "complete -F"), ("zsh", "#compdef hubstorm"), ("fish", "complete -c hubstorm")]
    {
        let text = hubstorm(&["completions", shell]);
        assert!(text.exits(0).stdout.contains(part) && text.stdout.contains("doctor"), "{shell}");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("man");
    hubstorm(&["man", "--out", out.to_str().expect("a plain path")]).exits(0);
    let page = |name: &str| fs::read_to_string(out.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert!(page("hubstorm.1").contains("Exit codes"));
    assert!(page("hubstorm-run.1").contains("trace"));
}

#[test]
fn a_trace_tells_one_devices_packets_and_no_secret() {
    let script = Script::connection([
        receives(CONNECT),
        sends([0x20, 2, 0, 0]),
        acks(4),
        acks(4),
        receives(DISCONNECT),
    ]);
    let address = script.address();
    let work = Workplace::new(&format!(
        r#"
[target]
kind = "mqtt"
host = "{}"
port = {}
tls = false
[fleet.one]
devices = 1
id = "one"
auth = {{ kind = "password", username = "me", password = "${{env.BROKER_PASSWORD}}" }}
[[fleet.one.send]]
every = "500ms"
arrival = "regular"
topic = "a/b"
payload = "hello"
[[phase]]
name = "only"
duration = "1s"
{WIDE_VALIDITY}"#,
        address.ip(),
        address.port()
    ))
    .env("BROKER_PASSWORD", "hunter2")
    .without_preflight();
    let output =
        work.run_command().args(["--trace", "one", "--quiet"]).output().expect("the program was built");
    script.finish();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let told: Vec<&str> = stderr.lines().filter_map(|line| line.split("s one ").nth(1)).collect();
    let expected = [
        "-> CONNECT client=one clean_session=true keep_alive=",
        "<- CONNACK code=0",
        "-> PUBLISH id=1 qos=1 topic=a/b 5 bytes hello",
        "<- PUBACK id=1",
        "-> PUBLISH id=1 ",
        "<- PUBACK id=1",
        "-> DISCONNECT",
    ];
    for (line, expected) in told.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}: {expected}");
    }
    assert!(told.len() >= expected.len() && !stderr.contains("hunter2"), "{stderr}");

    let nobody = work.run_command().args(["--trace", "two"]).output().expect("the program was built");
    assert_eq!(nobody.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("the first is one"));
}

#[test]
fn a_run_that_costs_much_is_not_started_without_a_yes() {
    let work = Workplace::new(
        "[target]\nkind = \"iot-hub\"\nhost = \"hub.invalid\"\n[fleet.a]\ndevices = 1000\n\
         auth = { kind = \"sas\", group_key = \"${env.KEY}\" }\n[[fleet.a.send]]\nevery = \"1s\"\npayload = \"x\"\n\
         [[phase]]\nname = \"p\"\nduration = \"2m\"\n",
    )
    .env("KEY", KEY);
    let finished = work.run();
    finished.exits(2);
    for part in ["120,000 billed messages", "30.0% of one S1 unit's day", "--yes"] {
        assert!(finished.stderr.contains(part), "{part}: {}", finished.stderr);
    }
    assert!(work.outputs("json").is_empty());
    let quiet = work.run_command().arg("--quiet").output().expect("the program was built");
    for stderr in [finished.stderr.as_str(), &String::from_utf8_lossy(&quiet.stderr)] {
        assert_eq!(stderr.matches("billed messages").count(), 1, "what it costs is told once: {stderr}");
    }
}

#[test]
fn check_forecasts_the_memory_of_any_number_of_workers() {
    let scenario = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/quickstart.toml");
    let memory = |workers: &str| {
        let checked = hubstorm(&["check", scenario, "--workers", workers]);
        let line = checked.exits(0).stdout.lines().find(|line| line.contains("  memory ")).map(str::to_owned);
        line.expect("a line about memory")
    };
    let (one, many) = (memory("1"), memory("16"));
    assert!(one.contains("with 1 worker,") && many.contains("with 16 workers,"), "{one}\n{many}");
    let bytes = |line: &str| line.split(" with ").next().map(str::to_owned);
    assert_ne!(bytes(&one), bytes(&many));
}

/// With a limit of 0 no file can be written, as on a full disk.
#[test]
fn a_failed_write_leaves_nothing_and_keeps_older_files() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let limited = |arguments: &str| {
        let mut shell = Command::new("sh");
        let script = format!("ulimit -f 0 && exec \"$0\" {arguments}");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_hubstorm")]).current_dir(work.path());
        finish(shell, "")
    };
    let files = || {
        let entries = std::fs::read_dir(work.path().join("certs")).into_iter().flatten();
        let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        files.into_iter().map(|path| (std::fs::read(&path).expect("our file"), path)).collect::<Vec<_>>()
    };
    assert!(limited("certs --out certs").exits(1).stderr.contains("cannot write"));
    assert_eq!(files(), []);
    let out = work.path().join("certs");
    hubstorm(&["certs", "--out", out.to_str().expect("UTF-8")]).exits(0);
    let before = files();
    assert_eq!(before.len(), 3);
    limited("certs --out certs --force").exits(1);
    limited("emulator --listen 127.0.0.1:0 --ca-out certs/ca.pem").exits(1);
    limited("emulator --listen 127.0.0.1:0 --ca-out certs/new.pem").exits(1);
    assert_eq!(files(), before);
}
