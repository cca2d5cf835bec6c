//! No output contains a secret. The tests pass marked secrets to every subcommand in every supported way, and also in wrong places. Then
//! they search stdout, stderr, result files, pages, command lines and thread names for the mark.

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

/// The start of every marked secret. A key has 33 bytes, so its base64 has no padding.
const MARK: &str = "MARKED-SECRET";

/// Returns the n-th marked secret.
fn plain(n: usize) -> String {
    format!("{MARK}-{n:02}-abcdefghijklmnop")
}

/// Returns the n-th marked secret as a key.
fn key(n: usize) -> String {
    STANDARD.encode(plain(n))
}

/// Returns every form that a marked secret can have in output: plain, or inside of base64 or hex.
fn forms() -> Vec<String> {
    let hex = |upper: bool| {
        let byte = |byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
        MARK.bytes().map(byte).collect::<String>()
    };
    // Base64 of the mark at each of the three offsets, without the ends, which depend on adjacent bytes.
    let encoded = (0..3).map(|offset| {
        let text = URL_SAFE_NO_PAD.encode(format!("{}{MARK}", "x".repeat(offset)));
        text[4..text.len() - 2].to_owned()
    });
    // The `Debug` form of bytes.
    let decimal = MARK.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
    [MARK.to_owned(), hex(true), hex(false), decimal].into_iter().chain(encoded).collect()
}

/// Returns parts of tokens, and the derived keys of devices in the group.
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
fn assert_clean(what: &str, bytes: &[u8]) {
    let needles = [forms(), derived()].concat();
    assert_eq!(found(bytes, &needles), None, "{what}:\n{}", String::from_utf8_lossy(bytes));
}

#[track_caller]
fn assert_clean_output(what: &str, finished: &Finished) {
    assert_clean(&format!("{what}: stdout"), finished.stdout.as_bytes());
    assert_clean(&format!("{what}: stderr"), finished.stderr.as_bytes());
}

/// Searches the parts of a process that other users of this machine can see.
#[track_caller]
fn assert_clean_process(id: u32) {
    let process = Path::new("/proc").join(id.to_string());
    assert_clean("the command line", &fs::read(process.join("cmdline")).expect("it runs"));
    for thread in fs::read_dir(process.join("task")).expect("it runs").flatten() {
        // A thread may have ended meanwhile.
        assert_clean("a thread's name", &fs::read(thread.path().join("comm")).unwrap_or_default());
    }
}

/// Runs the program with maximum logging.
fn run_verbose(arguments: &[&str], environment: &[(&str, &str)], input: &str) -> Finished {
    let mut command = command(arguments);
    command.envs([("RUST_LOG", "trace"), ("RUST_BACKTRACE", "full")]).envs(environment.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program was built");
    // The program may have ended without reading.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("it is a child process");
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
        assert!(found(format!("x {text} y").as_bytes(), &forms()).is_some(), "offset {offset}: {text}");
    }
    let device = Key::from_base64(&key(1)).expect("a key").derive("a-00001").to_base64();
    assert!(found(device.as_bytes(), &derived()).is_some());
    assert!(found(b"MARKED", &[forms(), derived()].concat()).is_none());
}
