//! Marked secrets go in by every way there is, through every subcommand and its errors; then all that came out is searched:
//! stdout, stderr, result files, pages, command lines and thread names.

mod command_line;
mod panics;
mod runs;
mod scenario_errors;

use crate::support::hubstorm::{Finished, command};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hubstorm::iothub::sas::Key;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

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

#[test]
fn search_finds_every_form_of_a_secret() {
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
