//! The built-in hub as a child process (`hubstorm emulator --control`), with its own file descriptors, memory and CPU time. Devices
//! connect to it over TCP and TLS, just as to a real hub. `run` starts and stops it; commands and answers are JSON lines on its stdin and
//! stdout.

use super::{AppError, environment_error};
use crate::emulator::control::{ControlCommand, ControlConfig, ControlReply, Ready};
use crate::iothub::service::{ServiceCall, ServiceResult};
use bytes::BytesMut;
use std::path::Path;
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// How long to wait for an answer from the child.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Why encoding a command cannot fail.
const ENCODABLE: &str = "all maps in a command have text keys";

/// A running built-in hub. It is killed on drop.
pub(super) struct EmulatorProcess {
    child: Child,
    stdin: ChildStdin,
    /// Lines that are not fully written yet. `relay_calls` may be canceled in the middle of a line.
    unwritten: BytesMut,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl EmulatorProcess {
    /// Starts the hub and waits until it listens. Keys go through stdin, never on the command line. `messages` receives the lines that
    /// the hub writes to stderr; without it, the hub shares the stderr of this process.
    pub(super) async fn start(
        exe: &Path,
        config: ControlConfig,
        messages: Option<UnboundedSender<String>>,
    ) -> Result<(EmulatorProcess, Ready), AppError> {
        let mut child = tokio::process::Command::new(exe)
            .args(["emulator", "--control"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(if messages.is_some() { Stdio::piped() } else { Stdio::inherit() })
            // In a separate process group, so that a Ctrl-C in the terminal does not reach the hub. The run stops the hub at the end.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| environment_error("cannot start the built-in hub", &error))?;
        if let (Some(messages), Some(stderr)) = (messages, child.stderr.take()) {
            #[expect(
                clippy::disallowed_methods,
                reason = "this is the runtime of the command, not of a worker"
            )]
            tokio::spawn(forward(stderr, messages));
        }
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(AppError::Environment("the built-in hub has no stdin or stdout".to_owned()));
        };
        let mut hub = EmulatorProcess {
            child,
            stdin,
            unwritten: BytesMut::new(),
            stdout: BufReader::new(stdout).lines(),
        };
        hub.configure(config).await?;
        let line = hub.read_line().await?;
        let ready = serde_json::from_str(&line)
            .map_err(|error| environment_error("the built-in hub sent an invalid ready line", &error))?;
        Ok((hub, ready))
    }

    /// Sends the start of the run (since the Unix epoch) and the calls to the hub, and forwards the results of the calls, until the hub exits.
    pub(super) async fn relay_calls(
        &mut self,
        started: oneshot::Receiver<Duration>,
        calls: &mut UnboundedReceiver<ServiceCall>,
        results: &UnboundedSender<ServiceResult>,
    ) {
        let mut started = pin!(started);
        let mut has_started = false;
        loop {
            tokio::select! {
                unix = &mut started, if !has_started => {
                    has_started = true;
                    let Ok(unix) = unix else { continue };
                    let unix_us = u64::try_from(unix.as_micros()).unwrap_or(u64::MAX);
                    if self.send(&ControlCommand::Start { unix_us }).await.is_err() {
                        break;
                    }
                }
                Some(call) = calls.recv() => {
                    let more = std::iter::from_fn(|| calls.try_recv().ok());
                    for call in std::iter::once(call).chain(more) {
                        self.queue(&ControlCommand::Call(call));
                    }
                    if self.flush().await.is_err() {
                        break;
                    }
                }
                line = self.stdout.next_line() => match line {
                    Ok(Some(line)) => {
                        let reply = serde_json::from_str(&line).ok();
                        if let Some(result) = reply.and_then(ControlReply::into_result) {
                            // Ignore the error: the load may be over.
                            drop(results.send(result));
                        }
                    }
                    Ok(None) | Err(_) => break,
                },
            }
        }
        // Ignore the error: `stats` will fail too, and report it.
        drop(self.child.wait().await);
    }

    /// Requests the hub's counts, CPU time and memory usage.
    pub(super) async fn stats(&mut self) -> Result<ControlReply, AppError> {
        self.send(&ControlCommand::Stats).await?;
        loop {
            let line = self.read_line().await?;
            let reply = serde_json::from_str(&line)
                .map_err(|error| environment_error("the built-in hub sent an invalid answer", &error))?;
            // Skip results of calls: the load has ended, so they are no longer needed.
            if matches!(reply, ControlReply::Stats { .. }) {
                return Ok(reply);
            }
        }
    }

    /// Closes the hub's stdin, which makes the hub exit, and waits for the exit.
    pub(super) async fn stop(mut self) -> Result<(), AppError> {
        drop(self.stdin);
        let ended = tokio::time::timeout(ANSWER_TIMEOUT, self.child.wait()).await;
        match ended {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(AppError::Environment(format!("the built-in hub exited with {status}"))),
            Ok(Err(error)) => Err(environment_error("cannot wait for the built-in hub", &error)),
            Err(_) => Err(timeout_error("exit")),
        }
    }

    /// Sends the configuration. The line with the keys is wiped from memory afterwards.
    async fn configure(&mut self, config: ControlConfig) -> Result<(), AppError> {
        let mut line =
            serde_json::to_vec(&ControlCommand::Config(config)).map(Zeroizing::new).expect(ENCODABLE);
        line.push(b'\n');
        self.stdin.write_all(&line).await.map_err(write_error)
    }

    async fn send(&mut self, command: &ControlCommand) -> Result<(), AppError> {
        self.queue(command);
        self.flush().await
    }

    fn queue(&mut self, command: &ControlCommand) {
        let line = serde_json::to_vec(command).expect(ENCODABLE);
        self.unwritten.extend_from_slice(&line);
        self.unwritten.extend_from_slice(b"\n");
    }

    async fn flush(&mut self) -> Result<(), AppError> {
        self.stdin.write_all_buf(&mut self.unwritten).await.map_err(write_error)
    }

    async fn read_line(&mut self) -> Result<String, AppError> {
        let line = tokio::time::timeout(ANSWER_TIMEOUT, self.stdout.next_line()).await;
        match line {
            Ok(Ok(Some(line))) => Ok(line),
            Ok(Ok(None)) => {
                Err(AppError::Environment("the built-in hub exited; see its messages above".to_owned()))
            }
            Ok(Err(error)) => Err(environment_error("cannot read from the built-in hub", &error)),
            Err(_) => Err(timeout_error("answer")),
        }
    }
}

/// Forwards lines until the hub exits or nothing receives them.
async fn forward(stderr: ChildStderr, messages: UnboundedSender<String>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if messages.send(line).is_err() {
            break;
        }
    }
}

fn write_error(error: std::io::Error) -> AppError {
    environment_error("cannot write to the built-in hub", &error)
}

fn timeout_error(action: &str) -> AppError {
    AppError::Environment(format!("the built-in hub did not {action} within {} s", ANSWER_TIMEOUT.as_secs()))
}
