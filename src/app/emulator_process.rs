//! The built-in hub as a child process: separate descriptors, memory and CPU accounts, and the same path as a real
//! hub. Started and stopped by `run`; it speaks JSON lines with `hubstorm emulator --control`.

use super::{AppError, environment_error};
use crate::emulator::control::{Answer, Command, ControlConfig, Ready};
use crate::emulator::service;
use crate::fleet::{Answered, Ask, Call, CallError};
use bytes::BytesMut;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use zeroize::Zeroizing;

/// A child that says nothing for so long will never say anything.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// A running built-in hub; it dies with this process.
pub(super) struct EmulatorProcess {
    child: Child,
    stdin: ChildStdin,
    /// Lines that are not yet in the pipe, the rest of one included: who carries calls may be stopped at any moment.
    unwritten: BytesMut,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl EmulatorProcess {
    /// Starts it and waits until it listens. Keys go through the pipe, never on the command line.
    pub(super) async fn start(
        exe: &Path,
        config: ControlConfig,
    ) -> Result<(EmulatorProcess, Ready), AppError> {
        let mut child = tokio::process::Command::new(exe)
            .args(["emulator", "--control"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for the run: it ends the hub once the last device has gone.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| environment_error("cannot start the built-in hub", &error))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(AppError::Environment("the built-in hub has no pipes".to_owned()));
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
            .map_err(|error| environment_error("the built-in hub's ready line cannot be read", &error))?;
        Ok((hub, ready))
    }

    /// Carries calls to it and its answers back, until it has ended of itself.
    pub(super) async fn relay_calls(
        &mut self,
        calls: &mut UnboundedReceiver<Call>,
        answers: &UnboundedSender<Answered>,
    ) {
        loop {
            tokio::select! {
                Some(call) = calls.recv() => {
                    let more = std::iter::from_fn(|| calls.try_recv().ok());
                    for call in std::iter::once(call).chain(more) {
                        let id = call.id;
                        let encode_failed = |error: AppError| CallError::Encode(error.to_string());
                        let queued = control_call(call).and_then(|command| self.queue(&command).map_err(encode_failed));
                        if let Err(error) = queued {
                            // The load may be over.
                            drop(answers.send(Answered { id, result: Err(error) }));
                        }
                    }
                    if self.flush().await.is_err() {
                        break;
                    }
                }
                line = self.stdout.next_line() => match line {
                    Ok(Some(line)) => {
                        if let Some(answered) = serde_json::from_str(&line).ok().and_then(call_result) {
                            drop(answers.send(answered));
                        }
                    }
                    Ok(None) | Err(_) => break,
                },
            }
        }
        // What cannot be waited for shows when it is asked what it counted.
        drop(self.child.wait().await);
    }

    /// Asks what it counted and what it used.
    pub(super) async fn stats(&mut self) -> Result<Answer, AppError> {
        self.send(&Command::Stats).await?;
        loop {
            let line = self.read_line().await?;
            let answer = serde_json::from_str(&line)
                .map_err(|error| environment_error("the built-in hub's answer cannot be read", &error))?;
            // Answers to calls that came after the load's end are nobody's any more.
            if matches!(answer, Answer::Stats { .. }) {
                return Ok(answer);
            }
        }
    }

    /// Ends it by closing its input, and waits.
    pub(super) async fn stop(mut self) -> Result<(), AppError> {
        drop(self.stdin);
        let ended = tokio::time::timeout(ANSWER_TIMEOUT, self.child.wait()).await;
        match ended {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(AppError::Environment(format!("the built-in hub ended with {status}"))),
            Ok(Err(error)) => Err(environment_error("cannot wait for the built-in hub", &error)),
            Err(_) => Err(AppError::Environment("the built-in hub did not end".to_owned())),
        }
    }

    /// Its keys are wiped from this process's memory once they are in the pipe.
    async fn configure(&mut self, config: ControlConfig) -> Result<(), AppError> {
        let mut line =
            serde_json::to_vec(&Command::Config(config)).map(Zeroizing::new).map_err(encode_error)?;
        line.push(b'\n');
        self.stdin.write_all(&line).await.map_err(write_error)
    }

    async fn send(&mut self, command: &Command) -> Result<(), AppError> {
        self.queue(command)?;
        self.flush().await
    }

    fn queue(&mut self, command: &Command) -> Result<(), AppError> {
        let line = serde_json::to_vec(command).map_err(encode_error)?;
        self.unwritten.extend_from_slice(&line);
        self.unwritten.extend_from_slice(b"\n");
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), AppError> {
        self.stdin.write_all_buf(&mut self.unwritten).await.map_err(write_error)
    }

    async fn read_line(&mut self) -> Result<String, AppError> {
        let line = tokio::time::timeout(ANSWER_TIMEOUT, self.stdout.next_line()).await;
        match line {
            Ok(Ok(Some(line))) => Ok(line),
            Ok(Ok(None)) => {
                Err(AppError::Environment("the built-in hub ended; what it said is above".to_owned()))
            }
            Ok(Err(error)) => Err(environment_error("cannot hear the built-in hub", &error)),
            Err(_) => Err(AppError::Environment("the built-in hub does not answer".to_owned())),
        }
    }
}

fn encode_error(error: serde_json::Error) -> AppError {
    environment_error("cannot encode a command for the built-in hub", &error)
}

fn write_error(error: std::io::Error) -> AppError {
    environment_error("the built-in hub does not listen to commands", &error)
}

/// A call as a control line for the hub. The plan checks each payload for one device only; for another device it may not be
/// JSON. Such a call is not sent to the hub.
fn control_call(call: Call) -> Result<Command, CallError> {
    let Call { id, device, ask } = call;
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let ask = match ask {
        Ask::Method { name, payload, response_timeout, connect_timeout } => service::Ask::Method {
            name,
            // Without a payload the device gets an empty body, not `null`.
            payload: if payload.is_empty() { None } else { Some(json(&payload)?) },
            response_timeout_ms: ms(response_timeout),
            connect_timeout_ms: ms(connect_timeout),
        },
        Ask::Desired { patch } => service::Ask::Desired { patch: json(&patch)? },
        Ask::C2d { properties, payload, ttl } => service::Ask::C2d {
            message_id: None,
            properties: properties.into_iter().collect(),
            payload,
            ttl_ms: ttl.map(ms),
            ack: service::Feedback::None,
        },
    };
    Ok(Command::Call { id, device, ask })
}

fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, CallError> {
    serde_json::from_str(text).map_err(|error| {
        let what = match error.classify() {
            // serde would repeat the value, which may hold a secret.
            serde_json::error::Category::Data => "not a JSON object".to_owned(),
            _ => format!("not JSON: {error}"),
        };
        CallError::Payload(format!("the payload for this device is {what}"))
    })
}

/// How a call ended; `None` for answers to something else.
fn call_result(answer: Answer) -> Option<Answered> {
    match answer {
        Answer::Called { id, .. } => Some(Answered { id, result: Ok(()) }),
        Answer::Failed { id, code, message } => {
            Some(Answered { id, result: Err(CallError::Hub(code, message)) })
        }
        Answer::Stats { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call_error(ask: Ask) -> CallError {
        control_call(Call { id: 1, device: "d".to_owned(), ask }).unwrap_err()
    }

    /// The hub never receives these calls, so none of its error codes may appear.
    #[test]
    fn a_payload_that_is_not_json_is_the_generators_error() {
        let method = |payload: &str| Ask::Method {
            name: "m".to_owned(),
            payload: payload.to_owned(),
            response_timeout: Duration::from_secs(30),
            connect_timeout: Duration::ZERO,
        };
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for (ask, part) in [
            (method("{\"a\":"), "not JSON: EOF"),
            (method(&deep), "not JSON: recursion limit"),
            (Ask::Desired { patch: "\"hidden\"".to_owned() }, "not a JSON object"),
            (Ask::Desired { patch: "x".to_owned() }, "not JSON: expected value"),
        ] {
            let CallError::Payload(text) = call_error(ask) else { panic!("{part}") };
            assert!(text.contains(part) && !text.contains("hidden"), "{text}");
        }
    }
}
