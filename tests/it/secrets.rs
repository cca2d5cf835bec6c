//! Marked secrets go in by every way there is, through every subcommand and its errors; then all that came out is searched:
//! stdout, stderr, result files, pages, command lines and thread names.

use crate::support::address::{listen, own_address};
use crate::support::emulator::Emulator;
use crate::support::hubstorm::{Finished, WIDE_VALIDITY, Workplace, command, totals};
use crate::support::mosquitto::Mosquitto;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hubstorm::emulator::control::{ControlCommand, ControlConfig, ControlDevice, SecretText};
use hubstorm::fleet;
use hubstorm::iothub::sas::Key;
use hubstorm::link::Endpoint;
use hubstorm::plan::Plan;
use hubstorm::policy::backoff::BackOff;
use hubstorm::scenario::Input;
use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

/// Every marked secret begins so. A key is 33 bytes, so that its base64 has no padding that could differ.
const MARK: &str = "MARKED-SECRET";

/// The n-th marked secret.
fn plain(n: usize) -> String {
    format!("{MARK}-{n:02}-abcdefghijklmnop")
}

/// The n-th marked secret as a key.
fn key(n: usize) -> String {
    STANDARD.encode(plain(n))
}

/// How a marked secret could look wherever it came out: as it is, or as the middle of base64 or hex.
fn looks() -> Vec<String> {
    let hex = |upper: bool| {
        let byte = |byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
        MARK.bytes().map(byte).collect::<String>()
    };
    // Base64 of the mark at each of its three offsets, without the ends, which depend on the neighbours.
    let encoded = (0..3).map(|offset| {
        let text = URL_SAFE_NO_PAD.encode(format!("{}{MARK}", "x".repeat(offset)));
        text[4..text.len() - 2].to_owned()
    });
    // As `Debug` shows bytes.
    let decimal = MARK.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
    [MARK.to_owned(), hex(true), hex(false), decimal].into_iter().chain(encoded).collect()
}

/// Tokens, and the keys that devices of the group sign with.
fn derived() -> Vec<String> {
    let devices = ["a-00000", "a-00001", "d-00000", "sample-device"];
    let keys = (1..=12).map(|n| Key::from_base64(&key(n)).expect("a key"));
    let derived = keys.flat_map(|group| devices.map(|id| group.derive(id).to_base64().to_string()));
    derived.chain(["SharedAccessSignature sr=".to_owned(), "&sig=".to_owned()]).collect()
}

fn found(bytes: &[u8], needles: &[String]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    needles.iter().find(|needle| text.contains(needle.as_str())).cloned()
}

#[track_caller]
fn clean(what: &str, bytes: &[u8]) {
    let needles = [looks(), derived()].concat();
    assert_eq!(found(bytes, &needles), None, "{what}:\n{}", String::from_utf8_lossy(bytes));
}

#[track_caller]
fn clean_words(what: &str, finished: &Finished) {
    clean(&format!("{what}: stdout"), finished.stdout.as_bytes());
    clean(&format!("{what}: stderr"), finished.stderr.as_bytes());
}

/// What others on this machine can see of a process.
#[track_caller]
fn clean_process(id: u32) {
    let process = Path::new("/proc").join(id.to_string());
    clean("the command line", &fs::read(process.join("cmdline")).expect("it runs"));
    for thread in fs::read_dir(process.join("task")).expect("it runs").flatten() {
        // A thread may have ended meanwhile.
        clean("a thread's name", &fs::read(thread.path().join("comm")).unwrap_or_default());
    }
}

/// Runs the program as talkative as it can be made.
fn loud(arguments: &[&str], environment: &[(&str, &str)], input: &str) -> Finished {
    let mut command = command(arguments);
    command.envs([("RUST_LOG", "trace"), ("RUST_BACKTRACE", "full")]).envs(environment.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program was built");
    // Whoever has already ended reads nothing.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("it is our child");
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a temporary folder's name is UTF-8")
}

/// `check`, `run`, and `report` in its formats, searched with all they wrote; `code` is the run's.
#[track_caller]
fn through_all(work: Workplace, environment: &[(&'static str, String)], code: i32) -> Workplace {
    let secrets: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    clean_words("check", loud(&["check", path(&work.scenario())], &secrets, "").exits(0));
    let work = environment.iter().fold(work, |work, &(name, ref value)| work.env(name, value));
    let work = work.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full");
    let mut running = work.start();
    running.says(" against ");
    clean_process(running.id());
    running.children().into_iter().for_each(|child| clean_process(u32::try_from(child).expect("positive")));
    clean_words("run", running.wait().exits(code));
    work.result();
    for file in fs::read_dir(work.out()).expect("the run made it").flatten() {
        clean(&file.path().display().to_string(), &fs::read(file.path()).expect("readable"));
    }
    let result = &work.outputs("json")[0];
    for format in ["text", "html", "json"] {
        clean_words("report", loud(&["report", path(result), "--format", format], &secrets, "").exits(0));
    }
    work
}

#[test]
fn the_search_finds_what_it_looks_for() {
    let secret = plain(7);
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let bytes = format!("{:?}", secret.as_bytes());
    for (offset, text) in [(0, secret.clone()), (0, hex.to_uppercase()), (0, hex), (0, bytes)]
        .into_iter()
        .chain((0..3).map(|offset| (offset, STANDARD.encode(format!("{}{secret}", "y".repeat(offset))))))
    {
        assert!(found(format!("x {text} y").as_bytes(), &looks()).is_some(), "offset {offset}: {text}");
    }
    let device = Key::from_base64(&key(1)).expect("a key").derive("a-00001").to_base64();
    assert!(found(device.as_bytes(), &derived()).is_some());
    assert!(found(b"MARKED", &[looks(), derived()].concat()).is_none());
}

#[test]
fn keys_of_the_built_in_hub_come_out_nowhere() {
    let scenario = format!(
        "[fleet.a]\ndevices = 2\nauth = {{ kind = \"sas\", group_key = \"${{env.GROUP}}\" }}\n\
         [fleet.b]\ndevices = 1\nauth = {{ kind = \"sas\", policy = \"device\", key = \"${{env.POLICY}}\" }}\n\
         [fleet.c]\ndevices = 3\nauth = {{ kind = \"sas\", file = \"devices.txt\" }}\n\
         [fleet.d]\ndevices = 1\nauth = {{ kind = \"sas\", group_key = \"${{file.key.txt}}\" }}\n\
         [[fleet.a.send]]\nevery = \"500ms\"\npayload = \"x\"\n\
         [[phase]]\nname = \"steady\"\nduration = \"1s\"\n{WIDE_VALIDITY}"
    );
    let export = format!(
        "{{\"id\":\"c3\",\"authentication\":{{\"symmetricKey\":{{\"primaryKey\":\"{}\",\"secondaryKey\":\"{}\"}}}}}}",
        key(5),
        key(6)
    );
    let devices = format!("c1,{}\nHostName=h;DeviceId=c2;SharedAccessKey={}\n{export}\n", key(3), key(4));
    let work = Workplace::new(&scenario).file("devices.txt", &devices).file("key.txt", &key(7));
    let work = through_all(work, &[("GROUP", key(1)), ("POLICY", key(2))], 0);
    assert_eq!(totals(&work.result(), "connect").1["ok"], 2 + 1 + 3 + 1, "the secrets were in use");
}

/// The broker refuses them all: the ways in which errors are told.
#[test]
fn refused_passwords_come_out_nowhere() {
    let broker = Mosquitto::start(["u0", "u1", "u2"].map(str::to_owned), "another");
    let scenario = format!(
        "[target]\nkind = \"mqtt\"\nhost = \"{}\"\nport = {}\n\
         [fleet.a]\ndevices = 1\nid = \"a\"\nreconnect = {{ kind = \"never\" }}\n\
         auth = {{ kind = \"password\", username = \"u0\", password = \"${{env.PASSWORD}}\" }}\n\
         [fleet.b]\ndevices = 2\nreconnect = {{ kind = \"never\" }}\nauth = {{ kind = \"password\", file = \"users.csv\" }}\n\
         [[phase]]\nname = \"steady\"\nduration = \"1s\"\n{WIDE_VALIDITY}",
        broker.host(),
        broker.plain().port()
    );
    let work = Workplace::new(&scenario).file("users.csv", &format!("b1,u1,{}\nu2,{}\n", plain(8), plain(9)));
    let work = through_all(work.without_preflight(), &[("PASSWORD", plain(10))], 99);
    assert_eq!(totals(&work.result(), "connect").1["refused"], 3, "the secrets were in use");
}

#[test]
fn secrets_in_the_wrong_place_are_not_repeated() {
    let secret = plain(11);
    let fleet = |auth: &str| {
        format!(
            "[target]\nkind = \"iot-hub\"\nhost = \"h\"\n[fleet.a]\ndevices = 1\nauth = {auth}\n\
             [[phase]]\nname = \"p\"\nduration = \"1s\"\n"
        )
    };
    let password =
        |rest: &str| fleet(&format!("{{ kind = \"password\", {rest} }}")).replace("iot-hub", "mqtt");
    let listed = "{ kind = \"sas\", file = \"d.csv\" }";
    let good = "{ kind = \"sas\", group_key = \"${env.KEY}\" }";
    // As keys are: of 33 bytes, without padding, and of 32.
    let (marked, padded) = (key(11), STANDARD.encode(&plain(11)[..32]));
    let string = format!("HostName=h;DeviceId=d;SharedAccessKey={marked}");
    let cases = [
        (fleet(&format!("{{ kind = \"sas\", group_key = \"{secret}\" }}")), "", vec![]),
        (fleet(&format!("{{ kind = \"sas\", group_key = [\"{secret}\"] }}")), "", vec![]),
        (fleet(&format!("{{ kind = \"sas\", gruop_key = \"{secret}\" }}")), "", vec![]),
        (
            fleet(&format!("{{ kind = \"sas\", policy = \"device\", key = \"${{env.KEY}}{secret}\" }}")),
            "",
            vec![],
        ),
        (fleet(&format!("\"{secret}\"")), "", vec![]),
        (fleet(&format!("{{ kind = \"sas\", group_key = \"{secret} }}")), "", vec![]),
        (fleet("{ kind = \"${env.SECRET}\" }"), "", vec![]),
        (fleet("{ kind = \"sas\", group_key = \"${env.SECRET}\" }"), "", vec![]),
        (fleet("{ kind = \"sas\", group_key = \"${file.d.csv}\" }"), &secret, vec![]),
        (fleet(good).replace("\"h\"", "\"mqtt://${env.SECRET}@h\""), "", vec![]),
        (fleet(good).replace("\"h\"", "\"${env.HUB}\""), "", vec![]),
        (fleet(good).replace("\"h\"", &format!("\"HostName=h;SharedAccessKey={secret}\"")), "", vec![]),
        (fleet(good).replace("devices = 1", "devices = \"${env.SECRET}\""), "", vec![]),
        (fleet(good).replace("devices = 1", &format!("devices = 2\nid = \"{string}\"")), "", vec![]),
        (fleet(good).replace("devices = 1", "devices = 1\nid = \"${env.HUB}\""), "", vec![]),
        (fleet(good).replace("fleet.a", &format!("fleet.\"{string}\"")), "", vec![]),
        (fleet(good).replace("\"p\"", &format!("\"{string}\"")), "", vec![]),
        (fleet(&format!("{{ kind = \"sas\", group_key = \"${{env.{marked}}}\" }}")), "", vec![]),
        (fleet(&format!("{{ kind = \"sas\", group_key = \"${{env.{padded}}}\" }}")), "", vec![]),
        (fleet(&format!("{{ kind = \"sas\", group_key = \"${{file.{marked}}}\" }}")), "", vec![]),
        (fleet(&format!("{{ kind = \"sas\", group_key = \"${{file.{padded}}}\" }}")), "", vec![]),
        (fleet(&format!("{{ kind = \"sas\", file = \"{padded}\" }}")), "", vec![]),
        (fleet(&format!("{{ kind = \"sas\", policy = \"{string}\", key = \"${{env.KEY}}\" }}")), "", vec![]),
        (password("username = \"${env.HUB}\", password = \"${env.KEY}\""), "", vec![]),
        (password(&format!("username = \"${{env.{marked}}}\", password = \"${{env.KEY}}\"")), "", vec![]),
        (password("username = \"${env.SECRET}{\", password = \"${env.SECRET}\""), "", vec![]),
        (password(&format!("username = \"u\", password = \"{secret}\"")), "", vec![]),
        (
            password("file = \"d.csv\""),
            &format!("a,b,c,{secret}\n\"{secret}\nu,{secret}\nu,{secret}"),
            vec![],
        ),
        (fleet(listed), &format!("{secret}\nd,{secret}\n{},d\n\"{secret}\" x,\"{secret}", key(12)), vec![]),
        (
            fleet(listed),
            &format!("{{\"id\":\"{secret}\",\"status\":{{}}}}\n{{\"{secret}\"\n{{\"id\":{secret}}}"),
            vec![],
        ),
        (fleet(listed), &format!("HostName={secret};DeviceId=d;SharedAccessKey={}", key(12)), vec![]),
        (fleet(good), "", vec!["--set".to_owned(), format!("fleet.a.auth.group_key={secret}")]),
        (fleet(good), "", vec!["--set".to_owned(), format!("fleet.a.auth.gruop_key={secret}")]),
        (
            fleet(good),
            "",
            vec!["--set".to_owned(), format!("fleet.a.auth={{ kind = \"sas\", key = \"{secret}\" }}")],
        ),
        (
            fleet(good),
            "",
            vec!["--set".to_owned(), format!("fleet.a.auth={{ kind = \"sas\", key = \"{secret}")],
        ),
    ];
    let (mark, key) = (plain(12), key(12));
    for (scenario, file, arguments) in cases {
        let work = Workplace::new(&scenario).file("d.csv", file);
        for subcommand in ["check", "run"] {
            let file = work.scenario();
            let arguments: Vec<&str> =
                [subcommand, path(&file)].into_iter().chain(arguments.iter().map(String::as_str)).collect();
            let finished = loud(&arguments, &[("SECRET", &mark), ("KEY", &key), ("HUB", &string)], "");
            clean_words(&format!("{scenario} {arguments:?}"), finished.exits(104));
        }
    }
}

#[test]
fn the_emulators_keys_come_out_nowhere() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("key");
    fs::write(&file, key(1)).expect("the folder is ours");
    let from_file = format!("file:{}", path(&file));
    for source in ["env:GROUP", &from_file] {
        let hub =
            Emulator::start(Ipv4Addr::LOCALHOST.into(), &["--group-key", source], &[("GROUP", &key(1))]);
        // Its sample is a device's key on purpose; the group's stays inside.
        assert_eq!(found(hub.ready_line.as_bytes(), &looks()), None);
        clean_process(hub.id());
        clean("the certificate", &fs::read(hub.ca()).expect("readable"));
        clean("stderr", hub.stop().as_bytes());
    }
    let secret = plain(2);
    clean_words("a literal", loud(&["emulator", "--group-key", &secret], &[], "").exits(2));
    let bad = [("GROUP", secret.as_str())];
    clean_words("no key", loud(&["emulator", "--group-key", "env:GROUP"], &bad, "").exits(1));
    for line in [
        format!("{{\"config\":{{\"group_keys\":[\"{secret}\"]}}}}"),
        format!("{{\"config\":{{\"group_keys\":\"{secret}\"}}}}"),
        format!("{{\"config\":{{\"{secret}\":1}}}}"),
        format!("{{\"config\":{{\"devices\":[{{\"id\":\"d\",\"key\":\"{secret}\"}}]}}}}"),
        secret.clone(),
    ] {
        clean_words(&line, loud(&["emulator", "--control"], &[], &format!("{line}\n")).exits(1));
    }
}

/// How each subcommand is run with secrets at hand, and the exit codes. A new one has to be added here.
fn sessions(subcommand: &str, work: &Workplace, target: &str) -> Vec<(Vec<String>, i32)> {
    let (scenario, out) = (work.scenario(), work.out());
    let (scenario, out) = (path(&scenario), path(&out));
    let result = work.outputs("json").pop().unwrap_or_default();
    let (text, html) = (&*format!("text={out}/exported"), &*format!("{out}/exported.html"));
    let lines: &[(&[&str], i32)] = match subcommand {
        "run" => &[
            (&["run", scenario, "--out", out, "--trace", "a-00000", "--export", text, "--export", html], 0),
            (&["run", scenario, "--out", out, "--export", html, "--export", html], 2),
        ],
        "init" => &[(&["init", out], 0), (&["init", out], 1)],
        "check" => &[(&["check", scenario], 0)],
        "emulator" => &[(&["emulator", "--control"], 0)],
        "report" => &[
            (&["report", path(&result)], 0),
            (&["report", path(&result), "--format", "html"], 0),
            (&["report", path(&result), "--export", text, "--export", html], 0),
            (&["report", "-"], 1),
        ],
        "doctor" => &[(&["doctor", "--target", target, "--plain"], 0), (&["doctor"], 0)],
        "token" => &[
            (&["token", "--host", "h", "--device", "d", "--key", "env:POLICY"], 0),
            (&["token", "--host", "h", "--device", "d", "--group-key", "env:GROUP", "--ttl", "1m"], 0),
            (&["token", "--host", "h", "--policy", "service", "--key", "env:POLICY"], 0),
            (&["token", "--decode", "env:TOKEN", "--device", "d", "--group-key", "env:GROUP"], 1),
            (&["token", "--decode", "env:TOKEN"], 0),
            (&["token", "--decode", "-", "--key", "env:POLICY"], 1),
            (&["token", "--host", "h", "--device", "d", "--key", "env:TOKEN"], 2),
        ],
        "certs" => &[(&["certs", "--out", out], 0), (&["certs", "--out", out], 1)],
        "schema" => &[(&["schema", "result"], 0), (&["schema", "scenario"], 0)],
        "completions" => &[(&["completions", "bash"], 0), (&["completions", "zsh"], 0)],
        "man" => &[(&["man", "--out", out], 0)],
        other => panic!("say here how {other} is run with secrets at hand"),
    };
    let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    lines.iter().map(|(words, code)| (owned(words), *code)).collect()
}

/// Every one that clap knows, with its help.
#[test]
fn no_subcommand_says_what_the_environment_holds() {
    use clap::CommandFactory as _;
    let scenario = format!(
        "[fleet.a]\ndevices = 2\nauth = {{ kind = \"sas\", group_key = \"${{env.GROUP}}\" }}\n\
         [fleet.b]\ndevices = 1\nauth = {{ kind = \"sas\", policy = \"device\", key = \"${{env.POLICY}}\" }}\n\
         [[fleet.a.send]]\nevery = \"500ms\"\npayload = \"x\"\n\
         [[phase]]\nname = \"steady\"\nduration = \"1s\"\n{WIDE_VALIDITY}"
    );
    let work = Workplace::new(&scenario);
    let signature = STANDARD.encode(&plain(3)[..32]).replace('=', "%3D");
    let token = format!("SharedAccessSignature sr=h%2Fdevices%2Fd&sig={signature}&se=4000000000");
    let secrets = [("GROUP", key(1)), ("POLICY", key(2)), ("TOKEN", token.clone())];
    let secrets = secrets.each_ref().map(|(name, value)| (*name, value.as_str()));
    // The kernel takes the connection; nobody has to accept it.
    let listener = listen(own_address());
    let target = listener.local_addr().expect("it is bound").to_string();
    let root = hubstorm::cli::Cli::command();
    let subcommands: Vec<&str> = root.get_subcommands().map(clap::Command::get_name).collect();
    assert!(subcommands.starts_with(&["run"]), "the others want its result: {subcommands:?}");
    for subcommand in subcommands {
        clean_words(subcommand, loud(&[subcommand, "--help"], &secrets, "").exits(0));
        for (arguments, code) in sessions(subcommand, &work, &target) {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let input = if subcommand == "token" { token.as_str() } else { "" };
            let mut finished = loud(&arguments, &secrets, input);
            finished.exits(code);
            if arguments.starts_with(&["token", "--host"]) && code == 0 {
                // A token is what was asked for; the key that made it is not.
                let made = std::mem::take(&mut finished.stdout);
                assert!(made.starts_with("SharedAccessSignature "), "{made}");
                assert_eq!(found(made.as_bytes(), &looks()), None, "{arguments:?}");
            }
            clean_words(&format!("{arguments:?}"), &finished);
        }
    }
    for entry in fs::read_dir(work.out()).expect("several wrote there") {
        let file = entry.expect("readable").path();
        clean(path(&file), &fs::read(&file).expect("readable"));
    }
    let file = work.out().join("result.json");
    fs::write(&file, format!("{{\"{0}\":\"{0}\"}}", plain(4))).expect("the folder is ours");
    clean_words("a result that is none", loud(&["report", path(&file)], &secrets, "").exits(1));
}

/// A connection string where a host is wanted, a key where its name is: what a shell makes of `$HUB` and `env:$KEY`.
#[test]
fn slips_of_the_command_line_are_not_repeated() {
    let work = Workplace::new(
        "[target]\nkind = \"mqtt\"\nhost = \"localhost\"\n[fleet.a]\ndevices = 1\n[[phase]]\nname = \"p\"\nduration = \"1s\"\n",
    );
    let scenario = work.scenario();
    let scenario = path(&scenario);
    let out = work.out();
    let out = path(&out);
    let padded = STANDARD.encode(&plain(2)[..32]);
    for key in [&key(1), &padded] {
        let string = format!("HostName=h;DeviceId=d;SharedAccessKey={key}");
        let token = format!("SharedAccessSignature sr=h&sig={key}&se=4000000000");
        let set = format!("target.host={string}");
        let [env, file, decode] = [format!("env:{key}"), format!("file:{key}"), format!("env:{token}")];
        let lines: &[(&[&str], i32)] = &[
            (&["run", scenario, "--out", out, "--target", &string], 2),
            (&["run", scenario, "--out", out, "--set", &set], 104),
            (&["check", scenario, "--set", &format!("{key}=1")], 104),
            (&["check", scenario, "--set", key], 104),
            (&["check", scenario, "--set", &format!("fleet.a.{key}=1")], 104),
            (&["run", scenario, "--out", out, "--trace", &string], 2),
            (&["run", &string], 104),
            (&["check", scenario, "--target", &string], 2),
            (&["check", scenario, "--target", &format!("h:{key}")], 2),
            (&["check", scenario, "--target", &format!("[{key}")], 2),
            (&["check", scenario, "--seed", &string], 2),
            (&["doctor", "--target", &string], 2),
            (&["doctor", &string], 2),
            (&["emulator", "--host", &string], 2),
            (&["emulator", "--listen", &string], 2),
            (&["emulator", "--group-key", &env], 2),
            (&["emulator", "--group-key", &file], 1),
            (&["emulator", "--group-key", &string], 2),
            (&["token", "--host", &string, "--device", "d", "--key", "env:KEY"], 2),
            (&["token", "--host", "h", "--device", &string, "--key", "env:KEY"], 2),
            (&["token", "--host", "h", "--device", "d", "--key", &env], 2),
            (&["token", "--host", "h", "--device", "d", "--key", &file], 1),
            (&["token", "--host", "h", "--device", "d", "--group-key", &env], 2),
            (&["token", "--host", "h", "--policy", "p", "--key", &string], 2),
            (&["token", "--decode", &decode], 2),
            (&["token", "--decode", &token], 2),
            (&["certs", "--name", &string, "--out", out], 2),
            (&["report", &string], 1),
            (&["report", &string, "--format", &string], 2),
            (&["report", &string, "--export", &string], 2),
            (&["run", scenario, "--out", out, "--export", &string], 2),
            (&["run", scenario, "--out", out, "--export", &format!("{string}/x.json")], 2),
            (&["run", scenario, "--out", out, "--export", &format!("json={string}/x")], 1),
            (&["init", &format!("{out}/{string}")], 0),
            (&["init", &format!("{out}/{string}")], 1),
            (&["schema", &string], 2),
            (&["completions", &string], 2),
            (&["man", &string], 2),
            (&[&string], 2),
        ];
        for (arguments, code) in lines {
            let finished = loud(arguments, &[("KEY", key)], "");
            clean_words(&format!("{arguments:?}"), finished.exits(*code));
        }
    }
}

#[test]
fn a_connection_string_for_a_host_is_told_what_to_give() {
    let scenario = "[target]\nkind = \"mqtt\"\nhost = \"${env.HUB}\"\n[fleet.a]\ndevices = 1\n[[phase]]\nname = \"p\"\nduration = \"1s\"\n";
    let work = Workplace::new(scenario);
    let scenario = work.scenario();
    let hub = format!("HostName=h;DeviceId=d;SharedAccessKey={}", key(1));
    let advice = "give the host alone (what follows HostName=)";
    let located = loud(&["check", path(&scenario)], &[("HUB", &hub)], "");
    clean_words("in a scenario", located.exits(104));
    for part in ["scenario.toml:3:8: target.host: ", advice] {
        assert!(located.stderr.contains(part), "{part}: {}", located.stderr);
    }
    let typed = loud(&["check", path(&scenario), "--target", &hub], &[("HUB", "h")], "");
    assert!(typed.exits(2).stderr.contains(advice), "{}", typed.stderr);
}

/// A plan with a marked secret of every kind that the target takes, and its device files.
fn marked_plan(target: &str, fleets: &str) -> Plan {
    let text = format!("{target}\n{fleets}\n[[phase]]\nname = \"p\"\nduration = \"1h\"\n");
    let env = |name: &str| match name {
        "GROUP" => Some(key(1)),
        "POLICY" => Some(key(2)),
        "PASSWORD" => Some(plain(3)),
        _ => None,
    };
    let files = |path: &Path| match path.to_str() {
        Some("keys.txt") => Ok(format!("c1,{}\n", key(4)).into_bytes().into()),
        Some("users.csv") => Ok(format!("u1,{}\n", plain(5)).into_bytes().into()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    let input = Input { file: "marked.toml", text: &text, overrides: &[], env: &env, files: &files };
    hubstorm::plan::load(&input, &mut rand::rng()).unwrap_or_else(|errors| panic!("{errors}"))
}

const HUB: &str = "[target]\nkind = \"iot-hub\"\nhost = \"127.0.0.1\"";
const HUBS_FLEETS: &str = "[fleet.a]\ndevices = 2\nauth = { kind = \"sas\", group_key = \"${env.GROUP}\" }\n\
                           [fleet.b]\ndevices = 1\nauth = { kind = \"sas\", policy = \"device\", key = \"${env.POLICY}\" }\n\
                           [fleet.c]\ndevices = 1\nauth = { kind = \"sas\", file = \"keys.txt\" }";
const BROKER: &str = "[target]\nkind = \"mqtt\"\nhost = \"127.0.0.1\"";
const BROKERS_FLEETS: &str = "[fleet.d]\ndevices = 1\n\
                              auth = { kind = \"password\", username = \"u\", password = \"${env.PASSWORD}\" }\n\
                              [fleet.e]\ndevices = 1\nauth = { kind = \"password\", file = \"users.csv\" }";

/// In a process of its own, whose stderr is read: workers panic in mid-run, and then whatever holds secrets is told by
/// the panic itself.
#[test]
#[ignore = "it panics; a_panic_shows_no_secret runs it"]
fn panics_with_secrets_at_hand() {
    let mut plan = marked_plan(HUB, HUBS_FLEETS);
    for fleet in &mut plan.fleets {
        // Nobody listens, and the next attempt would be after the end of time.
        fleet.reconnect = BackOff::Fixed { delay: Duration::MAX }.into();
    }
    let free = crate::support::address::listen(crate::support::address::own_address()).local_addr().unwrap();
    let endpoint = Endpoint { host: free.ip().to_string(), port: free.port(), ..Endpoint::default() };
    let settings = fleet::Settings {
        workers: 1,
        endpoint: Arc::new(endpoint),
        trace: None,
        measured: false,
        wall: hubstorm::clock::WallClock::default(),
    };
    let (_commander, commands) = tokio::sync::mpsc::unbounded_channel();
    let (events, _listener) = tokio::sync::mpsc::unbounded_channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let finished = runtime.block_on(fleet::run(Arc::new(plan), settings, None, commands, events)).unwrap();
    eprintln!("the run says {:?}", finished.measurement);
    let group_keys = vec![SecretText::new(key(1).into())];
    let devices = vec![ControlDevice { id: "c1".to_owned(), key: SecretText::new(key(4).into()) }];
    let config = ControlConfig { group_keys, devices, ..ControlConfig::default() };
    let served = config.to_config().unwrap();
    let plans = [marked_plan(HUB, HUBS_FLEETS), marked_plan(BROKER, BROKERS_FLEETS)];
    panic!("no secret is told: {:?}", (plans, ControlCommand::Config(config), served));
}

#[test]
fn a_panic_shows_no_secret() {
    let this = std::env::current_exe().expect("it runs");
    let mut child = std::process::Command::new(this);
    child.args(["--exact", "secrets::panics_with_secrets_at_hand", "--ignored", "--nocapture"]);
    let output = child.env("RUST_BACKTRACE", "full").output().expect("it can be started");
    let stderr = String::from_utf8_lossy(&output.stderr);
    for said in [
        "overflow when adding duration",
        "worker 0 of the load generator",
        "no secret is told: (",
        "api_version",
    ] {
        assert!(stderr.contains(said), "{said} is missing: {stderr}");
    }
    clean("stdout", &output.stdout);
    clean("stderr", &output.stderr);
}
