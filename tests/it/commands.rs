//! The smaller commands: doctor, token, certs, completions, man; `--trace`, and the confirmation of a run that is billed. The help of every
//! command is a snapshot.

use crate::cli::COMMANDS;
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

/// Runs a command with these environment variables and this text on stdin.
fn run(arguments: &[&str], env: &[(&str, &str)], stdin: &str) -> Finished {
    let mut command = command(arguments);
    command.envs(env.iter().copied());
    finish(command, stdin)
}

fn finish(mut command: Command, stdin: &str) -> Finished {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program was built");
    // It may exit without reading stdin.
    drop(child.stdin.take().expect("stdio is piped").write_all(stdin.as_bytes()));
    let output = child.wait_with_output().expect("a child process");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Finished { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn help_texts() {
    let main = command(["--help"]).env_remove("COLUMNS").output().expect("the program was built");
    insta::assert_snapshot!("help", String::from_utf8_lossy(&main.stdout));
    for name in COMMANDS {
        let help = command([name, "--help"]).env_remove("COLUMNS").output().expect("the program was built");
        assert!(help.status.success());
        insta::assert_snapshot!(format!("help_{name}"), String::from_utf8_lossy(&help.stdout));
    }
}

#[test]
fn examples_in_the_help_parse() {
    use clap::{CommandFactory, Parser};
    let mut root = hubstorm::cli::Cli::command();
    let texts: Vec<String> = std::iter::once(root.clone())
        .chain(root.get_subcommands_mut().map(|command| command.clone()))
        .map(|command| command.get_after_help().map(ToString::to_string).unwrap_or_default())
        .collect();
    assert!(
        texts.iter().all(|text| text.contains("\n  hubstorm ")),
        "every command has an example: {texts:#?}"
    );
    let mut parsed = 0;
    for line in texts.iter().flat_map(|text| text.lines()) {
        let Some(at) = line.find("hubstorm ").filter(|_| line.starts_with("  ") && !line.contains(":  "))
        else {
            continue;
        };
        assert!(line.len() <= 100, "the help would break this line, and a pasted command fails: {line}");
        // The command ends at a redirection or before a comment column.
        let typed = line[at..].split("  ").next().unwrap_or_default();
        let typed = typed.split(" > ").next().unwrap_or_default().split(" 2> ").next().unwrap_or_default();
        let words = shlex::split(typed).unwrap_or_else(|| panic!("a shell cannot split {typed}"));
        hubstorm::cli::Cli::try_parse_from(words).unwrap_or_else(|e| panic!("{typed}: {e}"));
        parsed += 1;
    }
    assert!(parsed >= 20, "{parsed} examples");
}

#[test]
fn doctor_prints_the_resources_of_this_machine() {
    let finished = hubstorm(&["doctor"]);
    finished.exits(0);
    for part in ["cores", "AES", "memory", "descriptors", "ports", "capacity", "clock", "timer", "TLS roots"]
    {
        assert!(finished.stdout.contains(part), "{part}: {}", finished.stdout);
    }
}

#[test]
fn doctor_warns_about_too_few_descriptors() {
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 256 && exec \"$0\" doctor", env!("CARGO_BIN_EXE_hubstorm")]);
    let output = limited.output().expect("a shell");
    let stdout = String::from_utf8_lossy(&output.stdout);
    for part in [
        "no devices: not enough descriptors",
        "warning: a load of a few thousand devices needs 4,096 open files, but the limit\n  of this process is 256\n",
        "ulimit -n 4096\n",
    ] {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
}

#[test]
fn doctor_times_each_step_to_a_target() {
    let script = Script::connection([]);
    let target = script.address().to_string();
    let finished = hubstorm(&["doctor", "--target", &target, "--plain"]);
    script.finish();
    finished.exits(0);
    assert!(
        finished.stdout.contains("\nTCP works. To test MQTT, add --scenario FILE\n"),
        "a listener may not be a broker: {}",
        finished.stdout
    );
    assert!(!finished.stdout.contains("DNS"), "an address needs no DNS: {}", finished.stdout);
}

#[test]
fn doctor_checks_the_target_argument_first() {
    for target in ["", "hub.example:mqtt", "https://hub.example", "HostName=h;SharedAccessKey=k"] {
        let finished = hubstorm(&["doctor", "--target", target]);
        finished.exits(2);
        assert_eq!(finished.stdout, "", "{target}");
        assert!(finished.stderr.contains("HOST:PORT"), "{}", finished.stderr);
    }
}

#[test]
fn doctor_exits_1_with_a_fix_if_the_target_refuses() {
    let free = listen(own_address()).local_addr().expect("the listener is bound");
    let finished = hubstorm(&["doctor", "--target", &free.to_string()]);
    finished.exits(1);
    assert!(
        finished.stderr.contains("refused") && finished.stderr.contains("firewalls"),
        "{}",
        finished.stderr
    );
}

#[test]
fn token_is_verified_only_by_its_own_key() {
    let make = ["token", "--host", "hub.example", "--device", "meter-1", "--key", "env:KEY", "--ttl", "10m"];
    let token = run(&make, &[("KEY", KEY)], "");
    let token = &token.exits(0).stdout;
    assert!(token.starts_with("SharedAccessSignature sr=hub.example%2Fdevices%2Fmeter-1&sig="), "{token}");

    let decoded = run(&["token", "--decode", "-", "--key", "env:KEY"], &[("KEY", KEY)], token);
    decoded.exits(0);
    for part in ["hub.example/devices/meter-1", "the device's key", "valid for this key", ", in "] {
        assert!(decoded.stdout.contains(part), "{part}: {}", decoded.stdout);
    }
    let decoded = run(&["token", "--decode", "env:TOKEN"], &[("TOKEN", token)], "");
    assert!(decoded.exits(0).stdout.contains("not verified"), "{}", decoded.stdout);
    let decoded = run(&["token", "--decode", "-", "--key", "env:KEY"], &[("KEY", OTHER_KEY)], token);
    assert!(decoded.exits(1).stdout.contains("NOT valid for this key"), "{}", decoded.stdout);
    let decode = ["token", "--decode", "-", "--key", "env:KEY", "--device"];
    run(&[&decode[..], &["meter-1"]].concat(), &[("KEY", KEY)], token).exits(0);
    let decoded = run(&[&decode[..], &["m2"]].concat(), &[("KEY", KEY)], token);
    let expected = "the token is for device meter-1, not m2";
    assert!(decoded.exits(1).stderr.contains(expected), "{}", decoded.stderr);
    run(&["token", "--decode", "-", "--ttl", "2h"], &[], token).exits(2);
    for (text, expected) in [("\n", "stdin is empty"), ("'x'", ". Pass the whole text from SharedAccess")] {
        let decoded = run(&["token", "--decode", "-"], &[], text);
        assert!(decoded.exits(1).stderr.contains(expected), "{}", decoded.stderr);
    }
    let decoded = run(&["token", "--decode", "-", "--key", "env:KEY"], &[("KEY", "")], token);
    assert!(decoded.exits(1).stderr.contains("variable KEY is empty"), "{}", decoded.stderr);
}

#[test]
fn check_reads_the_ca_file_as_run_does() {
    let work = Workplace::new(
        "[target]\nkind = \"mqtt\"\nhost = \"127.0.0.1\"\nport = 1\ntls = true\n\
         [fleet.a]\ndevices = 1\n[[phase]]\nname = \"p\"\nduration = \"1s\"\n",
    );
    let scenario = work.scenario().display().to_string();
    let [checked, run] =
        ["check", "run"].map(|command| hubstorm(&[command, &scenario, "--ca", "/no/ca.pem"]));
    assert!(checked.exits(1).stderr.contains("/no/ca.pem"), "{}", checked.stderr);
    assert_eq!(checked.stderr, run.exits(1).stderr);
}

#[test]
fn tokens_of_group_keys_and_policies() {
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
fn scenario_on_stdin_uses_this_folder_and_asks_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("key"), KEY).expect("a writable folder");
    let scenario = "[target]\nkind = \"iot-hub\"\nhost = \"hub.invalid\"\n[fleet.a]\ndevices = 1000\n\
         auth = { kind = \"sas\", group_key = \"${file.key}\" }\n[[fleet.a.send]]\nevery = \"1s\"\npayload = \"x\"\n\
         [[phase]]\nname = \"p\"\nduration = \"2m\"\n";
    let piped = |arguments: &[&str], stdin: &str| {
        let mut command = command(arguments);
        command.current_dir(folder.path());
        finish(command, stdin)
    };
    let checked = piped(&["check", "-"], scenario);
    assert!(checked.exits(0).stdout.starts_with("stdin (stdin, seed 1)\n"), "{}", checked.stdout);
    let json = "{\"fleet\": {\"a\": {\"devices\": 1}}, \"phase\": [{\"name\": \"p\", \"duration\": \"1s\"}]}";
    piped(&["check", "-"], json).exits(0);
    let wrong = piped(&["check", "-"], "seed = \"x\"\n");
    assert!(wrong.exits(104).stderr.contains("stdin:1:"), "{}", wrong.stderr);
    // On a terminal, where a run of a file would ask for confirmation. The last byte is Ctrl-D.
    let mut terminal = Command::new("script");
    let typed = concat!(env!("CARGO_BIN_EXE_hubstorm"), " run -");
    terminal.args(["--quiet", "--return", "--command", typed, "/dev/null"]).current_dir(folder.path());
    let costs = finish(terminal, &format!("{scenario}\x04"));
    assert!(costs.exits(2).stdout.contains("add --yes"), "{}", costs.stdout);
}

#[test]
fn other_file_types_are_recognized() {
    let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/reports/example");
    let (page, result) = (format!("{repository}.html"), format!("{repository}.json"));
    let refused = hubstorm(&["check", &page]);
    assert!(refused.exits(104).stderr.contains(" is an HTML page, not a scenario"), "{}", refused.stderr);
    let refused = hubstorm(&["check", &result]);
    assert!(refused.exits(104).stderr.contains(&format!("hubstorm report {result}")), "{}", refused.stderr);
    let refused = hubstorm(&["report", &page]);
    assert!(refused.exits(1).stderr.contains("Specify the .json file next to it"), "{}", refused.stderr);
    let work =
        Workplace::new("").file("cut.json", &fs::read_to_string(&result).expect("the file exists")[..5000]);
    let cut = work.scenario().with_file_name("cut.json").display().to_string();
    let refused = hubstorm(&["report", &cut]);
    assert!(refused.exits(1).stderr.contains("is cut off"), "{}", refused.stderr);
}

#[test]
fn report_format_follows_the_file_extension() {
    let result = concat!(env!("CARGO_MANIFEST_DIR"), "/reports/example.json");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let written = |name: &str, more: &[&str]| {
        let out = folder.path().join(name).display().to_string();
        hubstorm(&[&["report", result, "--out", &out], more].concat()).exits(0);
        fs::read_to_string(out).expect("the file exists")
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
fn ca_file_without_a_certificate_is_an_error() {
    let work =
        Workplace::new("").file("key.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    let folder = work.scenario();
    for name in ["key.pem", "scenario.toml"] {
        let ca = folder.with_file_name(name).display().to_string();
        let refused = hubstorm(&["doctor", "--target", "127.0.0.1:1", "--ca", &ca]);
        assert!(refused.exits(1).stderr.contains("it contains no PEM certificate"), "{}", refused.stderr);
    }
}

#[test]
fn group_key_verifies_the_device_in_the_token() {
    let make = ["token", "--host", "h", "--device", "d:1%", "--group-key", "env:KEY"];
    let token = run(&make, &[("KEY", KEY)], "");
    let decode = ["token", "--decode", "-", "--group-key", "env:KEY"];
    let decoded = run(&decode, &[("KEY", KEY)], &token.exits(0).stdout);
    assert!(decoded.exits(0).stdout.contains("valid for this key"), "{}", decoded.stdout);
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
fn expired_token_exits_1() {
    let token = "SharedAccessSignature sr=h%2Fdevices%2Fd&sig=16TMWISNAQHbvHgpFWCXZfRxM42mIGbNiEx6R8VTlLY%3D&se=1000000000";
    let decoded = run(&["token", "--decode", "-"], &[], token);
    decoded.exits(1);
    assert!(
        decoded.stdout.contains("2001-09-09T01:46:40Z") && decoded.stdout.contains("ago"),
        "{}",
        decoded.stdout
    );
    assert!(decoded.stderr.contains("has expired, so a hub refuses it"), "{}", decoded.stderr);
    let key = sas::Key::from_base64(KEY).expect("a key");
    let decoded = run(
        &["token", "--decode", "-", "--key", "env:KEY"],
        &[("KEY", KEY)],
        &sas::token(&key, "h/devices/d", 1_000_000_000, None),
    );
    assert!(
        decoded.exits(1).stderr.contains("has expired (its signature is valid), so a hub"),
        "{}",
        decoded.stderr
    );
}

#[test]
fn key_on_the_command_line_is_refused_and_not_quoted() {
    let finished = hubstorm(&["token", "--host", "h", "--device", "d", "--key", KEY]);
    finished.exits(2);
    assert!(finished.stderr.contains("env:NAME") && !finished.stderr.contains(KEY), "{}", finished.stderr);
    hubstorm(&["token", "--host", "h", "--device", "d"]).exits(2);
    for (host, ttl, part) in
        [("h", "0s", "expire immediately"), ("h", "213503982334601d", "too far"), ("", "1h", "--host")]
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
fn certs_replaces_files_only_with_force() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("new").display().to_string();
    let made = hubstorm(&["certs", "--name", "broker.test", "--name", "127.0.0.1", "--out", &out]);
    made.exits(0);
    assert!(made.stdout.contains("broker.test, 127.0.0.1"), "{}", made.stdout);
    let key = format!("{out}/server-key.pem");
    let mode = fs::metadata(&key).expect("the file exists").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "only the owner can read the private key");
    let before = fs::read(&key).expect("the file exists");
    let again = hubstorm(&["certs", "--out", &out]);
    assert!(again.exits(1).stderr.contains("--force"), "{}", again.stderr);
    assert_eq!(fs::read(&key).expect("the file exists"), before);
    hubstorm(&["certs", "--out", &out, "--force"]).exits(0);
    assert_ne!(fs::read(&key).expect("the file exists"), before);
    for invalid in ["küche", "", "a b", "*."] {
        hubstorm(&["certs", "--name", invalid, "--out", &out, "--force"]).exits(2);
    }
    hubstorm(&["certs", "--name", "*.broker.test", "--out", &out, "--force"]).exits(0);
}

#[test]
fn completions_and_man_pages_list_the_commands() {
    for (shell, part) in
        [("bash", "complete -F"), ("zsh", "#compdef hubstorm"), ("fish", "complete -c hubstorm")]
    {
        let text = hubstorm(&["completions", shell]);
        assert!(text.exits(0).stdout.contains(part) && text.stdout.contains("doctor"), "{shell}");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("man");
    hubstorm(&["man", "--out", out.to_str().expect("a UTF-8 path")]).exits(0);
    let page = |name: &str| fs::read_to_string(out.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert!(page("hubstorm.1").contains("Exit codes"));
    assert!(page("hubstorm-run.1").contains("trace"));
}

#[test]
fn trace_prints_the_packets_of_one_device_without_secrets() {
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
    let traced: Vec<&str> = stderr.lines().filter_map(|line| line.split("s one ").nth(1)).collect();
    let expected = [
        "-> CONNECT client=one clean_session=true keep_alive=",
        "<- CONNACK code=0",
        "-> PUBLISH id=1 qos=1 topic=a/b 5 bytes hello",
        "<- PUBACK id=1",
        "-> PUBLISH id=1 ",
        "<- PUBACK id=1",
        "-> DISCONNECT",
    ];
    for (line, expected) in traced.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}: {expected}");
    }
    assert!(traced.len() >= expected.len() && !stderr.contains("hunter2"), "{stderr}");

    let unknown = work.run_command().args(["--trace", "two"]).output().expect("the program was built");
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("its first device is one"));
}

#[test]
fn expensive_run_needs_confirmation() {
    let work = Workplace::new(
        "[target]\nkind = \"iot-hub\"\nhost = \"hub.invalid\"\n[fleet.a]\ndevices = 1000\n\
         auth = { kind = \"sas\", group_key = \"${env.KEY}\" }\n[[fleet.a.send]]\nevery = \"1s\"\npayload = \"x\"\n\
         [[phase]]\nname = \"p\"\nduration = \"2m\"\n",
    )
    .env("KEY", KEY);
    let finished = work.run();
    finished.exits(2);
    for part in ["120,000 billed messages", "30.0% of the daily messages of one S1 unit", "--yes"] {
        assert!(finished.stderr.contains(part), "{part}: {}", finished.stderr);
    }
    assert!(work.outputs("json").is_empty());
    let quiet = work.run_command().arg("--quiet").output().expect("the program was built");
    for stderr in [finished.stderr.as_str(), &String::from_utf8_lossy(&quiet.stderr)] {
        assert_eq!(stderr.matches("billed messages").count(), 1, "the cost appears once: {stderr}");
    }
}

#[test]
fn check_forecasts_memory_for_the_number_of_workers() {
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
fn failed_write_keeps_older_files_and_leaves_none() {
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
        files
            .into_iter()
            .map(|path| (std::fs::read(&path).expect("a readable file"), path))
            .collect::<Vec<_>>()
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
