//! Every subcommand with secrets in its environment, and command lines with a secret in the wrong place.

use super::{assert_clean, assert_clean_output, forms, found, key, path, plain, run_verbose};
use crate::support::address::{listen, own_address};
use crate::support::hubstorm::{WIDE_VALIDITY, Workplace};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fs;

/// Returns the command lines and exit codes of a subcommand with secrets in its environment. Add every new subcommand.
fn invocations(subcommand: &str, work: &Workplace, target: &str) -> Vec<(Vec<String>, i32)> {
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
        "plan" => &[
            (&["plan", scenario], 0),
            (&["plan", "--devices", "10", "--every", "1m", "--size", "100", "--assert", "units(S1) < 1"], 99),
        ],
        "capacity" => &[(&["capacity", scenario], 104)],
        "emulator" => &[(&["emulator", "--control"], 0)],
        "report" => &[
            (&["report", path(&result)], 0),
            (&["report", path(&result), "--format", "html"], 0),
            (&["report", path(&result), "--export", text, "--export", html], 0),
            (&["report", "-"], 1),
        ],
        "compare" => &[
            (&["compare", path(&result), path(&result)], 1),
            (&["compare", out, "none.json", "--format", "json"], 1),
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
        other => panic!("add command lines for {other}"),
    };
    let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    lines.iter().map(|(words, code)| (owned(words), *code)).collect()
}

/// Runs every subcommand that clap knows, and its help.
#[test]
fn no_subcommand_prints_secrets_of_the_environment() {
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
    // The kernel completes the connection without an accept.
    let listener = listen(own_address());
    let target = listener.local_addr().expect("it is bound").to_string();
    let root = hubstorm::cli::Cli::command();
    let subcommands: Vec<&str> = root.get_subcommands().map(clap::Command::get_name).collect();
    assert!(subcommands.starts_with(&["run"]), "other subcommands need its result: {subcommands:?}");
    for subcommand in subcommands {
        assert_clean_output(subcommand, run_verbose(&[subcommand, "--help"], &secrets, "").exits(0));
        for (arguments, code) in invocations(subcommand, &work, &target) {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let input = if subcommand == "token" { token.as_str() } else { "" };
            let mut finished = run_verbose(&arguments, &secrets, input);
            finished.exits(code);
            if arguments.starts_with(&["token", "--host"]) && code == 0 {
                // The output is the requested token. It must not contain the key.
                let made = std::mem::take(&mut finished.stdout);
                assert!(made.starts_with("SharedAccessSignature "), "{made}");
                assert_eq!(found(made.as_bytes(), &forms()), None, "{arguments:?}");
            }
            assert_clean_output(&format!("{arguments:?}"), &finished);
        }
    }
    for entry in fs::read_dir(work.out()).expect("several subcommands wrote files") {
        let file = entry.expect("readable").path();
        assert_clean(path(&file), &fs::read(&file).expect("readable"));
    }
    let file = work.out().join("result.json");
    fs::write(&file, format!("{{\"{0}\":\"{0}\"}}", plain(4))).expect("the folder is writable");
    assert_clean_output(
        "an invalid result file",
        run_verbose(&["report", path(&file)], &secrets, "").exits(1),
    );
}

/// A connection string in place of a host, and a key in place of its name, as a shell expands `$HUB` and `env:$KEY`.
#[test]
fn command_line_errors_do_not_repeat_secrets() {
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
            let finished = run_verbose(arguments, &[("KEY", key)], "");
            assert_clean_output(&format!("{arguments:?}"), finished.exits(*code));
        }
    }
}
