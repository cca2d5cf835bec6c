//! Runs the built program. A scenario comes in; exit code, output and result files go out. Used by most tests.

use super::TEST_TIMEOUT;
use hubstorm::measure::OperationTotals;
use hubstorm::report::{self, Judgment};
use hubstorm::result;
use hubstorm::result::model::{RunResult, Status};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Validity limits for shared test machines: the verdict must not depend on their speed.
pub const WIDE_VALIDITY: &str = r#"
[validity]
late_after = "30s"
late_share = "100%"
sent_share = "0%"
busy_share = "100%"
closed_loop_share = "100%"
"#;

/// Returns whether the verdict is `invalid` only because of stalls on this machine. The counts of the run are still right.
pub fn is_undecided_by_stalls(result: &RunResult) -> bool {
    const BY_STALLS: [&str; 4] = ["threshold_undecided", "late_start", "not_sent", "advice"];
    let mut codes = result.verdict.details.iter().map(|detail| detail.code.as_str());
    result.verdict.status == Status::Invalid
        && result.health.iter().any(|health| health.stall_us > 0)
        && codes.all(|code| BY_STALLS.contains(&code))
}

/// Returns a command for the built program, without color, without a terminal and its width.
pub fn command<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubstorm"));
    command.args(arguments).env("NO_COLOR", "1").env_remove("COLUMNS").stdin(Stdio::null());
    // The tests of a CI job must not write to the job's own summary, or annotate it.
    for name in ["GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "TF_BUILD"] {
        command.env_remove(name);
    }
    command
}

/// Runs the program to its end.
pub fn hubstorm(arguments: &[&str]) -> Finished {
    finish(command(arguments))
}

/// Runs a [`command`] to its end.
pub fn finish(mut command: Command) -> Finished {
    let output = command.output().expect("the program was built");
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
    }
}

/// Exit code and output of a finished program.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// Asserts the exit code. Prints the output of the program if it differs.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Finished {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

/// A folder with a scenario and the results of its runs.
pub struct Workplace {
    folder: TempDir,
    environment: Vec<(&'static str, String)>,
    preflight: bool,
}

impl Workplace {
    pub fn new(scenario: &str) -> Workplace {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("scenario.toml"), scenario).expect("the folder is writable");
        Workplace { folder, environment: Vec::new(), preflight: true }
    }

    /// Turns off the preflight check, whose connection would use up a part of a script, or end a run whose failed connections the test
    /// counts.
    pub fn without_preflight(self) -> Workplace {
        Workplace { preflight: false, ..self }
    }

    /// Sets an environment variable of the run.
    pub fn env(mut self, name: &'static str, value: &str) -> Workplace {
        self.environment.push((name, value.to_owned()));
        self
    }

    /// Writes a file beside the scenario.
    pub fn file(self, name: &str, text: &str) -> Workplace {
        fs::write(self.folder.path().join(name), text).expect("the folder is writable");
        self
    }

    pub fn scenario(&self) -> PathBuf {
        self.folder.path().join("scenario.toml")
    }

    pub fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// Returns the command `run SCENARIO --out DIR`.
    pub fn run_command(&self) -> Command {
        let mut command = command([Path::new("run"), &self.scenario(), Path::new("--out"), &self.out()]);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if !self.preflight {
            command.arg("--no-preflight");
        }
        command
    }

    /// Runs `run SCENARIO --out DIR` to its end.
    pub fn run(&self) -> Finished {
        self.start().wait()
    }

    /// Starts `run SCENARIO --out DIR` in its own process group, as a shell does.
    pub fn start(&self) -> Running {
        self.spawn(self.run_command())
    }

    /// Starts the run through another program, which replaces itself with the run. Its own arguments come first.
    pub fn start_under(&self, program: &str, arguments: &[&str]) -> Running {
        let run = self.run_command();
        let mut command = Command::new(program);
        command.args(arguments).arg(run.get_program()).args(run.get_args()).stdin(Stdio::null());
        command.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
        self.spawn(command)
    }

    /// Starts any command in its own process group.
    pub fn start_command(&self, command: Command) -> Running {
        self.spawn(command)
    }

    fn spawn(&self, mut command: Command) -> Running {
        let child = command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Running::new(child.expect("the program was built"))
    }

    /// Returns the files in the output folder with this extension.
    pub fn outputs(&self, extension: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.out()).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.filter(|path| path.extension().is_some_and(|e| e == extension)).collect()
    }

    /// Reads the only result, and checks the invariants of every result.
    #[track_caller]
    pub fn result(&self) -> RunResult {
        let [file] = &self.outputs("json")[..] else {
            panic!("one result expected: {:?}", self.outputs("json"))
        };
        read_result(file)
    }
}

/// Reads a result and checks the invariants of every result.
#[track_caller]
pub fn read_result(file: &Path) -> RunResult {
    let result = result::read(file).expect("it is a result");
    for operation in &result.operations {
        assert_eq!(operation.outcomes.sum(), operation.due, "the outcomes must add up: {operation:?}");
    }
    for error in &result.errors {
        let words = error.example.split_once(": ").map_or("", |(_device, text)| text);
        assert!(words.split_whitespace().count() >= 2, "an example describes what happened: {error:?}");
    }
    is_judged_alike(&result);
    result
}

/// Asserts that verdict, thresholds and findings depend only on the result file.
#[track_caller]
pub fn is_judged_alike(result: &RunResult) {
    let Judgment { verdict, thresholds, findings } =
        report::judge_again(result).expect("a result of this version contains its rules");
    assert_eq!(verdict, result.verdict);
    assert_eq!(thresholds, result.thresholds);
    assert_eq!(findings, result.findings);
}

/// A running program.
pub struct Running {
    child: Child,
    stderr_lines: Receiver<String>,
    stderr: String,
    stdout: Option<JoinHandle<String>>,
}

impl Running {
    fn new(mut child: Child) -> Running {
        let mut stdout = child.stdout.take().expect("piped");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (sender, stderr_lines) = mpsc::channel();
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let stdout = thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).expect("stdout is UTF-8");
            text
        });
        Running { child, stderr_lines, stderr: String::new(), stdout: Some(stdout) }
    }

    /// Sends Ctrl-C as a terminal does: to the whole process group, including children.
    pub fn interrupt(&self) {
        let group = i32::try_from(self.child.id()).expect("a process id fits");
        killpg(Pid::from_raw(group), Signal::SIGINT).expect("the group's leader is not yet reaped");
    }

    /// Sends a signal only to the program, as a service manager does.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id fits");
        nix::sys::signal::kill(Pid::from_raw(pid), signal).expect("the child is not yet reaped");
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the child processes of the run: the built-in hub.
    pub fn children(&self) -> Vec<i32> {
        let pid = self.child.id();
        let children =
            fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("Linux lists them");
        children.split_whitespace().map(|child| child.parse().expect("a process id")).collect()
    }

    /// Kills the child processes of the run.
    pub fn kill_children(&self) {
        for child in self.children() {
            nix::sys::signal::kill(Pid::from_raw(child), Signal::SIGKILL).expect("it is a child process");
        }
    }

    /// Waits for a line on stderr that contains `part`.
    #[track_caller]
    pub fn says(&mut self, part: &str) {
        let until = deadline(TEST_TIMEOUT);
        while self.stderr.lines().all(|line| !line.contains(part)) {
            match self.stderr_lines.recv_timeout(left(until)) {
                Ok(line) => self.stderr += &(line + "\n"),
                Err(why) => panic!("no line contains {part:?} ({why}): {}", self.stderr),
            }
        }
    }

    /// Sends Ctrl-C every `interval` until the program ends.
    pub fn interrupt_until_it_ends(mut self, interval: Duration) -> Finished {
        let until = deadline(TEST_TIMEOUT);
        let mut next = deadline(Duration::ZERO);
        loop {
            match self.stderr_lines.recv_timeout(left(next)) {
                Ok(line) => self.stderr += &(line + "\n"),
                Err(RecvTimeoutError::Timeout) => {
                    assert!(left(until) > Duration::ZERO, "Ctrl-C was ignored: {}", self.stderr);
                    self.interrupt();
                    next = deadline(interval);
                }
                Err(RecvTimeoutError::Disconnected) => return self.wait(),
            }
        }
    }

    /// Waits for the end of the program.
    pub fn wait(mut self) -> Finished {
        let stdout = self.stdout.take().expect("waited for once").join().expect("the reader does not panic");
        self.stderr.extend(self.stderr_lines.iter().map(|line| line + "\n"));
        let code = self.child.wait().expect("it is a child process").code();
        Finished { code, stdout, stderr: std::mem::take(&mut self.stderr) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ends the child after a failed assertion.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's timeout is real time")]
fn deadline(timeout: Duration) -> Instant {
    Instant::now() + timeout
}

#[expect(clippy::disallowed_methods, reason = "a test's timeout is real time")]
fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

/// Returns all rows of an operation, over fleets and phases.
pub fn rows<'a>(result: &'a RunResult, operation: &str) -> Vec<&'a OperationTotals> {
    result.operations.iter().filter(|row| row.operation.name() == operation).collect()
}

/// Returns the number of due operations and their outcomes, over fleets and phases.
pub fn totals(result: &RunResult, operation: &str) -> (u64, BTreeMap<String, u64>) {
    let mut outcomes = BTreeMap::new();
    let rows = rows(result, operation);
    for (outcome, count) in rows.iter().flat_map(|row| row.outcomes.iter()) {
        *outcomes.entry(outcome.name().to_owned()).or_insert(0) += count;
    }
    (rows.iter().map(|row| row.due).sum(), outcomes)
}

/// Asserts that at least one operation was due and that all ended ok. Returns their number.
#[track_caller]
pub fn all_ok(result: &RunResult, operation: &str) -> u64 {
    let (due, outcomes) = totals(result, operation);
    assert!(due > 0, "no {operation} was due");
    assert_eq!(
        outcomes,
        BTreeMap::from([("ok".to_owned(), due)]),
        "{operation}; errors: {:#?}",
        result.errors
    );
    due
}
