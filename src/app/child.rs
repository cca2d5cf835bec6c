//! The built-in hub as a child process: separate descriptors, memory and CPU accounts, and the same path as a real
//! hub. Started and stopped by `run`; it speaks JSON lines with `hubstorm emulator --control`.

use super::{AppError, environment};
use crate::emulator::control::{Answer, Command, ControlConfig, Ready};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

/// A child that says nothing for so long will never say anything.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// A running built-in hub; it dies with this process.
pub(super) struct Hub {
    child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Hub {
    /// Starts it and waits until it listens. Keys go through the pipe, never on the command line.
    pub(super) async fn start(exe: &Path, config: ControlConfig) -> Result<(Hub, Ready), AppError> {
        let mut child = tokio::process::Command::new(exe)
            .args(["emulator", "--control"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for the run: it ends the hub once the last device has gone.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| environment("cannot start the built-in hub", &error))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(AppError::Environment("the built-in hub has no pipes".to_owned()));
        };
        let mut hub = Hub { child, stdin, stdout: BufReader::new(stdout).lines() };
        hub.say(&Command::Config(config)).await?;
        let line = hub.hear().await?;
        let ready = serde_json::from_str(&line)
            .map_err(|error| environment("the built-in hub's ready line cannot be read", &error))?;
        Ok((hub, ready))
    }

    /// Waits until it has ended, of itself.
    pub(super) async fn ended(&mut self) {
        // What cannot be waited for shows when it is asked what it counted.
        drop(self.child.wait().await);
    }

    /// Asks what it counted and what it used.
    pub(super) async fn stats(&mut self) -> Result<Answer, AppError> {
        self.say(&Command::Stats).await?;
        let line = self.hear().await?;
        serde_json::from_str(&line)
            .map_err(|error| environment("the built-in hub's answer cannot be read", &error))
    }

    /// Ends it by closing its input, and waits.
    pub(super) async fn stop(mut self) -> Result<(), AppError> {
        drop(self.stdin);
        let ended = tokio::time::timeout(ANSWER_TIMEOUT, self.child.wait()).await;
        match ended {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(AppError::Environment(format!("the built-in hub ended with {status}"))),
            Ok(Err(error)) => Err(environment("cannot wait for the built-in hub", &error)),
            Err(_) => Err(AppError::Environment("the built-in hub did not end".to_owned())),
        }
    }

    async fn say(&mut self, command: &Command) -> Result<(), AppError> {
        let mut line = serde_json::to_vec(command)
            .map_err(|error| environment("cannot encode a command for the built-in hub", &error))?;
        line.push(b'\n');
        let said = self.stdin.write_all(&line).await;
        said.map_err(|error| environment("the built-in hub does not listen to commands", &error))
    }

    async fn hear(&mut self) -> Result<String, AppError> {
        let heard = tokio::time::timeout(ANSWER_TIMEOUT, self.stdout.next_line()).await;
        match heard {
            Ok(Ok(Some(line))) => Ok(line),
            Ok(Ok(None)) => {
                Err(AppError::Environment("the built-in hub ended; what it said is above".to_owned()))
            }
            Ok(Err(error)) => Err(environment("cannot hear the built-in hub", &error)),
            Err(_) => Err(AppError::Environment("the built-in hub does not answer".to_owned())),
        }
    }
}
