//! Result files: exports, results on stdin, invalid files, `init`, and files after `kill -9`.

use crate::report::sample;
use crate::support::hubstorm::{WIDE_VALIDITY, Workplace, command, hubstorm};
use hubstorm::report::{self, Width};
use hubstorm::result;
use hubstorm::result::model::{RunResult, Status, Verdict};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/reports/example.json");

/// A result of the first version, which does not contain its rules.
const OLD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/old-result.json");

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder exists");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("a readable entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn short() -> Workplace {
    Workplace::new(&format!(
        "[fleet.meter]\ndevices = 2\n[[fleet.meter.send]]\nevery = \"100ms\"\npayload = \"x\"\n\
         [[phase]]\nname = \"steady\"\nduration = \"1s\"\n{WIDE_VALIDITY}"
    ))
}

#[test]
fn exports_replace_files_and_keep_the_dated_pair() {
    let work = short();
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("ci.json"), "from an earlier run").expect("a writable folder");
    let mut run = work.run_command();
    for export in ["html=index", "ci.json", "text=summary"] {
        run.args(["--export", export]);
    }
    let output = run.current_dir(folder.path()).output().expect("the program was built");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let [json] = &work.outputs("json")[..] else { panic!("the dated result is also written") };
    assert_eq!(work.outputs("html").len(), 1);
    assert_eq!(result::read(&path("ci.json")).expect("a valid result"), work.result());
    assert!(fs::read_to_string(path("index")).expect("the file exists").starts_with("<!DOCTYPE html>"));
    assert!(fs::read_to_string(path("summary")).expect("the file exists").starts_with("PASS"));
    assert_eq!(names(folder.path()), ["ci.json", "index", "summary"], "no temporary file is left");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let listed: Vec<&str> = stdout.lines().rev().take(5).collect();
    let html = json.with_extension("html").display().to_string();
    assert_eq!(listed, ["summary", "ci.json", "index", &html, json.to_str().expect("a UTF-8 path")]);
}

#[test]
fn invalid_exports_fail_before_the_load() {
    let work = short();
    let folder = folder();
    fs::write(folder.path().join("old.json"), "old").expect("a writable folder");
    fs::create_dir(folder.path().join("dir.json")).expect("a writable folder");
    let scenario = work.scenario().display().to_string();
    let onto_scenario = format!("json={scenario}");
    let cases: [(&[&str], i32, &str); 7] = [
        (&["x.pdf"], 2, ".json, .html, .htm, .txt"),
        (&["junit2=x.xml"], 2, "json, html, text"),
        (&["old.json", "json=./old.json"], 2, "are the same file"),
        (&[&onto_scenario], 2, "the command reads this file"),
        (&["none/x.json"], 1, "mkdir -p none"),
        (&["dir.json"], 1, "it is a folder"),
        (&["json=/proc/x"], 1, "cannot create a file in /proc"),
    ];
    for (exports, code, part) in cases {
        let mut run = work.run_command();
        exports.iter().for_each(|export| {
            run.args(["--export", export]);
        });
        let output = run.current_dir(folder.path()).output().expect("the program was built");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{exports:?}: {stderr}");
        let words = stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(part) && !words.contains("1 phase"), "{exports:?}: {stderr}");
        assert!(work.outputs("json").is_empty());
    }
    assert_eq!(names(folder.path()), ["dir.json", "old.json"]);
    assert_eq!(fs::read_to_string(folder.path().join("old.json")).expect("the file exists"), "old");
    assert!(fs::read_to_string(scenario).expect("the file exists").starts_with("[fleet.meter]"));
}

/// The folder is removed during the run. The dated pair is still written, and the error has its path.
#[test]
fn failed_export_keeps_the_result() {
    let work = short();
    let folder = folder();
    let [unwritable, kept] = ["unwritable/x.json", "x.txt"].map(|name| folder.path().join(name));
    fs::create_dir(folder.path().join("unwritable")).expect("a writable folder");
    let mut run = work.run_command();
    for export in [&unwritable, &kept] {
        run.arg("--export").arg(export);
    }
    let mut child = run.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program was built");
    let mut stderr = BufReader::new(child.stderr.take().expect("stdio is piped"));
    let mut text = String::new();
    while !text.contains("1 phase") {
        assert_ne!(stderr.read_line(&mut text).expect("UTF-8"), 0, "{text}");
    }
    fs::remove_dir(folder.path().join("unwritable")).expect("the folder is empty");
    fs::write(folder.path().join("unwritable"), "a file").expect("a writable folder");
    std::io::Read::read_to_string(&mut stderr, &mut text).expect("UTF-8");
    assert_eq!(child.wait().expect("a child process").code(), Some(1), "{text}");
    let json = work.outputs("json").pop().expect("the result is kept").display().to_string();
    for part in [format!("cannot write {}", unwritable.display()), format!("the result is in {json}")] {
        assert!(text.contains(&part), "{part}: {text}");
    }
    assert!(kept.exists(), "the other export is written");
}

/// Writes a result with a verdict that does not match its measurement.
fn misjudged(folder: &Path, name: &str, mut result: RunResult) -> String {
    result.verdict = Verdict { status: Status::Pass, exit_code: 7, reasons: Vec::new(), details: Vec::new() };
    result.thresholds.clear();
    result.findings.clear();
    let file = folder.join(format!("{name}.json"));
    fs::write(&file, result::to_json(&result).expect("a valid result")).expect("a writable folder");
    file.display().to_string()
}

#[test]
fn judge_exits_with_the_code_of_the_verdict() {
    let folder = folder();
    for (name, sample, code) in [
        ("pass", sample::pass(), 0),
        ("fail", sample::fail(), 99),
        ("invalid", sample::invalid(), 120),
        ("interrupted", sample::interrupted(), 105),
    ] {
        assert_eq!(i32::from(sample.verdict.exit_code), code, "{name}");
        let file = misjudged(folder.path(), name, sample.clone());
        hubstorm(&["report", &file]).exits(0);
        let judged = hubstorm(&["report", &file, "--judge"]);
        judged.exits(code);
        assert_eq!(judged.stdout, report::verdict_text(&sample, false, Width::of(None, None)), "{name}");
        assert_eq!(judged.stderr, "", "{name}");
    }
}

#[test]
fn judge_reads_stdin_and_exports_the_new_verdict() {
    let folder = folder();
    let sample = sample::fail();
    let file = misjudged(folder.path(), "fail", sample.clone());
    let mut judge = command(["report", "-", "--judge", "--export", "again.json", "--export", "again.html"]);
    judge.current_dir(folder.path()).stdin(File::open(&file).expect("the file exists"));
    let judged = judge.output().expect("the program was built");
    assert_eq!((judged.status.code(), judged.stderr.len()), (Some(99), 0), "{judged:?}");
    assert_eq!(
        String::from_utf8_lossy(&judged.stdout),
        report::verdict_text(&sample, false, Width::of(None, None))
    );
    assert_eq!(names(folder.path()), ["again.html", "again.json", "fail.json"]);
    assert_eq!(result::read(&folder.path().join("again.json")).expect("a valid result"), sample);
    let page = fs::read_to_string(folder.path().join("again.html")).expect("the file exists");
    assert_eq!(page, report::html(&sample).expect("a valid result"));
    assert_eq!(
        result::read(Path::new(&file)).expect("a valid result").verdict.exit_code,
        7,
        "the input is unchanged"
    );
}

#[test]
fn result_of_an_earlier_version_keeps_its_verdict() {
    let old = result::read(Path::new(OLD)).expect("version 1 stays readable");
    assert!(report::judge_again(&old).is_none());
    assert!(old.operations.iter().all(|part| part.outcomes.sum() == part.due));
    let text = hubstorm(&["report", OLD]).exits(0).stdout.clone();
    assert_eq!(text, report::text(&old, false, Width::of(None, None)));
    assert!(text.starts_with("PASS") && text.contains("\n  telemetry "), "{text}");
    let page = report::html(&old).expect("a valid result");
    assert!(page.contains("<title>Pass: ") && !page.contains("NaN"));
    let folder = folder();
    let mut refused = old.clone();
    (refused.verdict.status, refused.verdict.exit_code) = (Status::Fail, 99);
    let file = folder.path().join("refused.json");
    fs::write(&file, result::to_json(&refused).expect("a valid result")).expect("a writable folder");
    for (file, code, word) in [(OLD, 0, "PASS"), (file.to_str().expect("a UTF-8 path"), 99, "FAIL")] {
        let judged = hubstorm(&["report", file, "--judge"]);
        judged.exits(code);
        assert!(judged.stdout.starts_with(word), "{}", judged.stdout);
        assert!(judged.stderr.contains("this is the stored verdict"), "{}", judged.stderr);
    }
}

#[test]
fn report_reads_stdin_and_writes_every_export() {
    let folder = folder();
    let report = |arguments: &[&str]| {
        let mut report = command([&["report"], arguments].concat());
        report.current_dir(folder.path()).stdin(File::open(EXAMPLE).expect("the file exists"));
        report.output().expect("the program was built")
    };
    let printed = report(&["-"]);
    assert_eq!(String::from_utf8_lossy(&printed.stdout), hubstorm(&["report", EXAMPLE]).exits(0).stdout);
    let exported = report(&["-", "--export", "html=x", "--export", "copy.json", "--out", "x.txt"]);
    assert!(exported.status.success(), "{exported:?}");
    assert_eq!((exported.stdout.len(), exported.stderr.len()), (0, 0), "{exported:?}");
    assert_eq!(names(folder.path()), ["copy.json", "x", "x.txt"]);
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).expect("the file exists");
    assert!(read("x").starts_with("<!DOCTYPE html>") && read("x.txt").starts_with("PASS"));
    let example = result::read(Path::new(EXAMPLE)).expect("a valid result");
    assert_eq!(result::read(&folder.path().join("copy.json")).expect("a valid result"), example);
    let json = report(&["-", "--format", "json"]);
    assert_eq!(result::parse(Path::new("stdout"), &json.stdout).expect("a valid result"), example);
}

#[test]
fn report_does_not_overwrite_its_input() {
    let folder = folder();
    let copy = folder.path().join("r.json");
    fs::copy(EXAMPLE, &copy).expect("the file exists");
    let path = copy.to_str().expect("a UTF-8 path");
    for arguments in [["--out", path], ["--export", path]] {
        let refused = hubstorm(&[&["report", path][..], &arguments].concat());
        assert!(refused.exits(2).stderr.contains("the command reads this file"), "{}", refused.stderr);
    }
    assert_eq!(fs::read(&copy).expect("the file exists"), fs::read(EXAMPLE).expect("the file exists"));
}

#[test]
fn invalid_results_exit_1_and_write_nothing() {
    let mut newer = serde_json::to_value(sample::pass()).expect("JSON");
    newer["schema"] = "hubstorm.result.v2".into();
    let mut bomb = serde_json::to_value(sample::pass()).expect("JSON");
    bomb["operations"][0]["response"]["hdr"] = "HISTFAAAABx4nJNpmSzMgAH////////HQMPAgBMAAC0kBEM=".into();
    for (text, part) in [
        (newer.to_string(), "version 2, but this hubstorm only reads version 1. Use a newer hubstorm"),
        (bomb.to_string(), " is damaged: connect of fleet "),
        ("{\"schema\":".to_owned(), "is cut off"),
        (String::new(), "is empty"),
    ] {
        let work = Workplace::new("").file("r.json", &text).file("x.html", "old");
        let path = |name: &str| work.scenario().with_file_name(name).display().to_string();
        let refused = hubstorm(&["report", &path("r.json"), "--export", &path("x.html")]);
        refused.exits(1);
        assert!(refused.stderr.contains(part) && refused.stderr.contains("r.json"), "{}", refused.stderr);
        assert_eq!(fs::read_to_string(path("x.html")).expect("the file exists"), "old");
    }
}

#[test]
fn init_writes_a_scenario_that_its_command_runs() {
    let folder = folder();
    let init = |arguments: &[&str]| {
        let mut init = command([&["init"], arguments].concat());
        let output = init.current_dir(folder.path()).output().expect("the program was built");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, stdout, stderr) = init(&[]);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(stdout, "quickstart.toml\n\nTo run it:  hubstorm run quickstart.toml\n");
    let (_, stdout, _) = init(&["made/on demand"]);
    assert!(stdout.ends_with("hubstorm run 'made/on demand/quickstart.toml'\n"), "{stdout}");
    for name in ["quickstart.toml", "made/on demand/quickstart.toml"] {
        let mut check = command(["check", name]);
        assert!(check.current_dir(folder.path()).output().expect("the program was built").status.success());
    }
    let file = folder.path().join("quickstart.toml");
    fs::write(&file, "edited").expect("a writable folder");
    let (code, stdout, stderr) = init(&["."]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains("already exists") && stderr.contains("--force"), "{stderr}");
    assert_eq!(fs::read_to_string(&file).expect("the file exists"), "edited");
    assert_eq!(init(&["--force"]).0, Some(0));
    assert!(
        fs::read_to_string(&file)
            .expect("the file exists")
            .contains("\n#     hubstorm run quickstart.toml\n")
    );
    assert_eq!(names(folder.path()), ["made", "quickstart.toml"]);
}

/// Runs in a child process, which its parent kills.
#[test]
#[ignore = "never ends; kill_9_leaves_only_complete_results runs it"]
fn writes_results_until_it_is_killed() {
    let folder = std::env::var("HUBSTORM_TEST_FOLDER").expect("the parent sets the variable");
    let folder = Path::new(&folder);
    let mut result = sample::pass();
    let id = result.run.id.clone();
    // Large, so that writing takes time.
    result.run.scenario.text = "x".repeat(4 << 20);
    loop {
        result.run.id.clone_from(&id);
        result::write_new(folder, &mut result, false).expect("a writable folder");
        let text = result::to_json(&result).expect("JSON");
        result::replace(&folder.join("replaced.json"), text.as_bytes()).expect("a writable folder");
        eprintln!("written");
    }
}

/// In every second round the child is killed as soon as a file name appears or disappears.
#[test]
fn kill_9_leaves_only_complete_results() {
    let folder = folder();
    let (mut complete, mut reported) = (0, 0);
    for round in 0..10 {
        let mut child = Command::new(std::env::current_exe().expect("the path of this program"));
        child.args(["--exact", "files::writes_results_until_it_is_killed", "--ignored", "--nocapture"]);
        child.env("HUBSTORM_TEST_FOLDER", folder.path()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = child.spawn().expect("the test program starts");
        let mut lines =
            BufReader::new(child.stderr.take().expect("stdio is piped")).lines().map_while(Result::ok);
        assert!(lines.any(|line| line == "written"), "the child ended");
        if round % 2 == 0 {
            let before = names(folder.path());
            while names(folder.path()) == before {
                assert_eq!(child.try_wait().expect("a child process"), None, "the child ended");
            }
        }
        child.kill().expect("a child process");
        child.wait().expect("a child process");
        reported += 1 + lines.filter(|line| line == "written").count();
        complete = 0;
        for name in names(folder.path()) {
            if name.ends_with(".json") {
                let read = result::read(&folder.path().join(&name));
                read.unwrap_or_else(|error| panic!("round {round}: {error}"));
                complete += 1;
            } else {
                assert!(name.starts_with(".hubstorm-") && name.ends_with(".tmp"), "{name}");
            }
        }
    }
    // One more file is `replaced.json`.
    assert!(complete > reported, "no result was lost or overwritten: {complete} of {reported}");
}

/// The files are a key, a payload and a root certificate.
#[test]
fn exports_never_replace_files_of_the_scenario() {
    let folder = folder();
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, text).expect("a writable folder");
        file.display().to_string()
    };
    let kept = [
        write("key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
        write("pay.txt", "x"),
        write("ca.pem", "not read before the exports are checked"),
    ];
    let scenario = write(
        "s.toml",
        "[target]\nkind = \"iot-hub\"\nhost = \"127.0.0.1\"\nport = 1\nca = \"ca.pem\"\n[fleet.meter]\ndevices = 1\n\
         auth = { kind = \"sas\", group_key = \"${file.key}\" }\n[[fleet.meter.send]]\nevery = \"1s\"\n\
         payload = { file = \"pay.txt\" }\n[[phase]]\nname = \"p\"\nduration = \"1s\"\n",
    );
    for file in &kept {
        let before = fs::read(file).expect("the file exists");
        let export = format!("json={file}");
        let mut run = command(["run", &scenario, "--yes", "--export", &export]);
        let refused = run.current_dir(folder.path()).output().expect("the program was built");
        let stderr = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(
            (refused.status.code(), stderr.contains("the command reads this file")),
            (Some(2), true),
            "{stderr}"
        );
        assert_eq!(fs::read(file).expect("the file exists"), before, "{file}");
    }
}

/// Scenarios, key files, device lists, payload files, results and tokens, each as an editor on Windows saves it.
#[test]
fn every_text_file_may_have_a_byte_order_mark_and_crlf() {
    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let folder = folder();
    let write = |name: &str, text: &str| {
        let text = format!("\u{feff}{}", text.replace('\n', "\r\n"));
        fs::write(folder.path().join(name), text).expect("a writable folder");
    };
    write("key", &format!("{KEY} \n\n"));
    write("devices.csv", &format!("deviceId;primaryKey\nd1;{KEY}\n"));
    write("payload.txt", "{\"a\":1}\n");
    let toml = "[target]\nkind = \"iot-hub\"\nhost = \"hub.example\"\n\
                [fleet.m]\ndevices = 1\nauth = { kind = \"sas\", AUTH }\n\
                [[fleet.m.send]]\nevery = \"1s\"\npayload = { file = \"payload.txt\" }\n\
                [[phase]]\nname = \"p\"\nduration = \"1s\"\n";
    write("group.toml", &toml.replace("AUTH", "group_key = \"${file.key}\""));
    write("policy.toml", &toml.replace("AUTH", "policy = \"device\", key = \"${file.key}\""));
    write("list.toml", &toml.replace("AUTH", "file = \"devices.csv\""));
    let json = "{\"target\":{\"kind\":\"iot-hub\",\"host\":\"hub.example\"},\n\"fleet\":{\"m\":{\"devices\":1,\"auth\":{\"kind\":\"sas\",\
                \"file\":\"devices.csv\"},\"send\":[{\"every\":\"1s\",\"payload\":{\"file\":\"payload.txt\"}}]}},\n\
                \"phase\":[{\"name\":\"p\",\"duration\":\"1s\"}]}\n";
    write("scenario.json", json);
    write("json", json);
    write("result.json", &fs::read_to_string(EXAMPLE).expect("the file exists"));
    let run = |arguments: &[&str], stdin: Option<&str>| {
        let mut command = command(arguments);
        if let Some(file) = stdin {
            command.stdin(File::open(folder.path().join(file)).expect("the file exists"));
        }
        let output = command.current_dir(folder.path()).output().expect("the program was built");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    for scenario in ["group.toml", "policy.toml", "list.toml", "scenario.json", "json"] {
        for (file, stdin) in [(scenario, None), ("-", Some(scenario))] {
            // Lines are wrapped at 80 columns.
            let plan = run(&["check", file], stdin).split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(plan.contains("up to 7 B each"), "the payload has no byte order mark: {plan}");
        }
    }
    let token = run(&["token", "--host", "h", "--device", "d", "--key", "file:key"], None);
    write("token", &token);
    for (source, stdin) in [("file:token", None), ("-", Some("token"))] {
        let decoded = run(&["token", "--decode", source, "--key", "file:key"], stdin);
        assert!(decoded.contains("valid for this key"), "{decoded}");
    }
    for (file, stdin) in [("result.json", None), ("-", Some("result.json"))] {
        assert!(run(&["report", file], stdin).starts_with("PASS"));
    }
}

/// A token, or a whole connection string, in place of a key.
#[test]
fn token_in_place_of_a_key_is_explained() {
    let token = "SharedAccessSignature sr=h%2Fdevices%2Fd&sig=hunter2%3D&se=1893456000";
    let scenario = "[target]\nkind = \"iot-hub\"\nhost = \"hub.example\"\n[fleet.m]\ndevices = 1\n\
                    auth = { kind = \"sas\", AUTH }\n[[phase]]\nname = \"p\"\nduration = \"1s\"\n";
    for auth in [
        "group_key = \"${env.KEY}\"",
        "policy = \"device\", key = \"${env.KEY}\"",
        "group_key = \"${file.key}\"",
        "file = \"devices.csv\"",
        "file = \"strings.txt\"",
    ] {
        let work = Workplace::new(&scenario.replace("AUTH", auth))
            .file("key", &format!("{token}\n"))
            .file("devices.csv", &format!("d1,{token}\n"))
            .file("strings.txt", &format!("HostName=hub.example;DeviceId=d;SharedAccessSignature={token}\n"));
        let mut check = command([Path::new("check"), &work.scenario()]);
        let output = check.env("KEY", token).output().expect("the program was built");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(104), "{stderr}");
        for part in [
            "a SAS token, which is valid only until its expiry (se)",
            "hubstorm makes and renews its own tokens",
        ] {
            assert!(stderr.contains(part) && !stderr.contains("hunter2"), "{auth}: {stderr}");
        }
        assert!(stderr.contains("    fix:     "), "{auth}: {stderr}");
    }
    for arguments in [
        &["token", "--host", "h", "--device", "d", "--key", "env:KEY"][..],
        &["emulator", "--listen", "127.0.0.1:0", "--group-key", "env:KEY"],
    ] {
        let output = command(arguments).env("KEY", token).output().expect("the program was built");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains("use the key that signed the token"), "{stderr}");
        assert!(!stderr.contains("hunter2"), "{stderr}");
    }
}
