//! Readers of export formats that have no code in common with hubstorm: libraries for Python, Node.js and Java. Each takes a text and
//! returns its content as JSON. Used by `formats`.

use serde_json::Value;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

const SUPPORT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support");
/// Where Debian's package libhdrhistogram-java installs the reference implementation.
const HDRHISTOGRAM_JAR: &str = "/usr/share/java/hdrhistogram.jar";

/// Reads a text with `read.py`.
pub fn python(format: &str, text: &str) -> Value {
    let python = variable("HUBSTORM_TEST_PYTHON", "a Python with the packages of requirements.txt");
    let script = Path::new(SUPPORT).join("readers/read.py");
    let schema = Path::new(SUPPORT).join("surefire/surefire-test-report.xsd");
    read(text, |file| {
        let mut command = Command::new(&python);
        command.arg(&script).arg(format).arg(file);
        if format == "junit" {
            command.arg(&schema);
        }
        command
    })
}

/// Returns true if Python's reader of histogram logs is installed. It has wheels for Linux on x86-64 only.
pub fn has_python_hlog() -> bool {
    cfg!(all(target_os = "linux", target_arch = "x86_64"))
}

/// Reads a histogram log with the reference implementation.
pub fn java_hlog(text: &str) -> Value {
    read(text, |file| {
        let mut command = Command::new("java");
        command
            .args(["-cp", HDRHISTOGRAM_JAR])
            .arg(Path::new(SUPPORT).join("readers/ReadHistogramLog.java"))
            .arg(file);
        command
    })
}

/// Reads JUnit XML with junit2json.
pub fn node_junit(text: &str) -> Value {
    let node = variable("HUBSTORM_TEST_NODE", "Node.js");
    read(text, |file| {
        let mut command = Command::new(&node);
        command.arg(Path::new(SUPPORT).join("node/read_junit.mjs")).arg(file);
        command
    })
}

fn variable(name: &str, what: &str) -> OsString {
    std::env::var_os(name)
        .unwrap_or_else(|| panic!("{name} must name {what}: run the tests with tests/run, which installs it"))
}

fn read(text: &str, command: impl Fn(&Path) -> Command) -> Value {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("export");
    fs::write(&file, text).expect("a writable folder");
    let output = command(&file).output().expect("tests/run installs the reader");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}\n{text}");
    serde_json::from_slice(&output.stdout).expect("the reader prints JSON")
}
