//! Drives the built program: scenarios in, exit codes, output and result files out.

use super::PATIENCE;
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

/// Test machines are shared: counts are asserted, and no verdict may hang on their clock.
pub const WIDE_VALIDITY: &str = r#"
[validity]
late_after = "30s"
late_share = "100%"
sent_share = "0%"
busy_share = "100%"
closed_loop_share = "100%"
"#;

/// True if the verdict is `invalid` because this machine kept a process of the run waiting, and for nothing else. What the run counted
/// is right all the same.
pub fn is_undecided_by_stalls(result: &RunResult) -> bool {
    const BY_STALLS: [&str; 4] = ["threshold_undecided", "late_start", "not_sent", "advice"];
    let mut codes = result.verdict.details.iter().map(|detail| detail.code.as_str());
    result.verdict.status == Status::Invalid
        && result.health.iter().any(|health| health.stall_us > 0)
        && codes.all(|code| BY_STALLS.contains(&code))
}

/// The built program, with no colour and no terminal.
pub fn command<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubstorm"));
    command.args(arguments).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// Runs it to its end.
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

/// What a finished program left behind.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// The exit code, with the program's words when it is another.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Finished {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

/// A folder with a scenario, and the results of running it.
pub struct Workplace {
    folder: TempDir,
    environment: Vec<(&'static str, String)>,
    preflight: bool,
}

impl Workplace {
    pub fn new(scenario: &str) -> Workplace {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("scenario.toml"), scenario).expect("the folder is ours");
        Workplace { folder, environment: Vec::new(), preflight: true }
    }

    /// Starts the load without the preflight check: its connection would play a part of the peer's script, or end a run
    /// whose failed connections are to be counted.
    pub fn without_preflight(self) -> Workplace {
        Workplace { preflight: false, ..self }
    }

    /// Sets an environment variable of the run.
    pub fn env(mut self, name: &'static str, value: &str) -> Workplace {
        self.environment.push((name, value.to_owned()));
        self
    }

    /// Puts a file beside the scenario.
    pub fn file(self, name: &str, text: &str) -> Workplace {
        fs::write(self.folder.path().join(name), text).expect("the folder is ours");
        self
    }

    pub fn scenario(&self) -> PathBuf {
        self.folder.path().join("scenario.toml")
    }

    pub fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// `run SCENARIO --out DIR`, not yet started.
    pub fn run_command(&self) -> Command {
        let mut command = command([Path::new("run"), &self.scenario(), Path::new("--out"), &self.out()]);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if !self.preflight {
            command.arg("--no-preflight");
        }
        command
    }

    /// `run SCENARIO --out DIR`, to its end.
    pub fn run(&self) -> Finished {
        self.start().wait()
    }

    /// `run SCENARIO --out DIR`, in a process group of its own, as a shell starts it.
    pub fn start(&self) -> Running {
        self.spawn(self.run_command())
    }

    /// The same by way of another program, which ends by becoming the run: its own arguments go first.
    pub fn start_under(&self, program: &str, arguments: &[&str]) -> Running {
        let run = self.run_command();
        let mut command = Command::new(program);
        command.args(arguments).arg(run.get_program()).args(run.get_args()).stdin(Stdio::null());
        command.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
        self.spawn(command)
    }

    fn spawn(&self, mut command: Command) -> Running {
        let child = command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Running::new(child.expect("the program was built"))
    }

    /// Files in the output folder with that extension.
    pub fn outputs(&self, extension: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.out()).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.filter(|path| path.extension().is_some_and(|e| e == extension)).collect()
    }

    /// The one result of the one run, after what holds for every result.
    #[track_caller]
    pub fn result(&self) -> RunResult {
        let [file] = &self.outputs("json")[..] else {
            panic!("one result is wanted: {:?}", self.outputs("json"))
        };
        read_result(file)
    }
}

/// Reads the result of a run, after what holds for every result.
#[track_caller]
pub fn read_result(file: &Path) -> RunResult {
    let result = result::read(file).expect("it is a result");
    for operation in &result.operations {
        assert_eq!(operation.outcomes.sum(), operation.due, "outcomes add up: {operation:?}");
    }
    for error in &result.errors {
        let words = error.example.split_once(": ").map_or("", |(_who, what)| what);
        assert!(words.split_whitespace().count() >= 2, "an example describes what happened: {error:?}");
    }
    is_judged_alike(&result);
    result
}

/// Verdict, thresholds and findings are functions of the result file alone.
#[track_caller]
pub fn is_judged_alike(result: &RunResult) {
    let Judgment { verdict, thresholds, findings } =
        report::judge_again(result).expect("a result of this version says what it was judged by");
    assert_eq!(verdict, result.verdict);
    assert_eq!(thresholds, result.thresholds);
    assert_eq!(findings, result.findings);
}

/// A run under way.
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

    /// Ctrl-C as a terminal gives it: to the whole process group, children included.
    pub fn interrupt(&self) {
        let group = i32::try_from(self.child.id()).expect("a process id fits");
        killpg(Pid::from_raw(group), Signal::SIGINT)
            .expect("the group is ours and its leader not yet reaped");
    }

    /// A signal to the program alone, as a service manager sends it.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id fits");
        nix::sys::signal::kill(Pid::from_raw(pid), signal).expect("it is ours and not yet reaped");
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The processes that the run has started: the built-in hub.
    pub fn children(&self) -> Vec<i32> {
        let pid = self.child.id();
        let children =
            fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("Linux lists them");
        children.split_whitespace().map(|child| child.parse().expect("a process id")).collect()
    }

    /// Kills the processes that the run has started.
    pub fn kill_children(&self) {
        for child in self.children() {
            nix::sys::signal::kill(Pid::from_raw(child), Signal::SIGKILL).expect("it is ours");
        }
    }

    /// Waits for a line on stderr that contains `part`.
    #[track_caller]
    pub fn says(&mut self, part: &str) {
        let until = deadline(PATIENCE);
        while self.stderr.lines().all(|line| !line.contains(part)) {
            match self.stderr_lines.recv_timeout(left(until)) {
                Ok(line) => self.stderr += &(line + "\n"),
                Err(why) => panic!("never said {part:?} ({why}): {}", self.stderr),
            }
        }
    }

    /// Interrupts every `interval` until it ends.
    pub fn interrupt_until_it_ends(mut self, interval: Duration) -> Finished {
        let until = deadline(PATIENCE);
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

    /// Waits for the end.
    pub fn wait(mut self) -> Finished {
        let stdout = self.stdout.take().expect("waited for once").join().expect("the reader does not panic");
        self.stderr.extend(self.stderr_lines.iter().map(|line| line + "\n"));
        let code = self.child.wait().expect("it is our child").code();
        Finished { code, stdout, stderr: std::mem::take(&mut self.stderr) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After a failed assertion; a child that was waited for is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's patience, in real time")]
fn deadline(patience: Duration) -> Instant {
    Instant::now() + patience
}

#[expect(clippy::disallowed_methods, reason = "a test's patience, in real time")]
fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

/// All rows of an operation, over fleets and phases.
pub fn rows<'a>(result: &'a RunResult, operation: &str) -> Vec<&'a OperationTotals> {
    result.operations.iter().filter(|row| row.operation.name() == operation).collect()
}

/// How many were due, and how each ended, over fleets and phases.
pub fn totals(result: &RunResult, operation: &str) -> (u64, BTreeMap<String, u64>) {
    let mut outcomes = BTreeMap::new();
    let rows = rows(result, operation);
    for (outcome, count) in rows.iter().flat_map(|row| row.outcomes.iter()) {
        *outcomes.entry(outcome.name().to_owned()).or_insert(0) += count;
    }
    (rows.iter().map(|row| row.due).sum(), outcomes)
}

/// Asserts that there were some, and that each ended well.
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
