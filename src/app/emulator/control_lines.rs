//! The control lines of `hubstorm emulator --control`: reads stdin, parses each line, and answers it on stdout. Used by `emulator`. Errors
//! never quote a line, because it may contain keys.

use super::error::EmulatorCommandError;
use crate::emulator::control::{ControlCommand, ControlReply};
use crate::emulator::faults::FAULTS_MAX;
use crate::emulator::{EmulatorError, Hub, Stats};
use crate::iothub::error_code;
use crate::iothub::service::{ServiceCall, ServiceFailure, ServiceResult};
use crate::policy::fault::FaultText;
use crate::scenario::nearest;
use std::future::Future;
use std::io::{self, BufRead, Write};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

/// Executes the commands from stdin. At the end of stdin, drops `ended`, which stops `serving`.
pub(super) async fn control(
    hub: &Arc<Hub>,
    mut lines: mpsc::UnboundedReceiver<Zeroizing<String>>,
    ended: oneshot::Sender<()>,
    serving: impl Future<Output = Result<Stats, EmulatorError>>,
    out: &mut dyn Write,
) -> Result<(), EmulatorCommandError> {
    let mut serving = pin!(serving);
    let mut ended = Some(ended);
    let (replies, mut ready_replies) = mpsc::unbounded_channel();
    loop {
        tokio::select! {
            served = &mut serving => return Ok(served.map(drop)?),
            Some(reply) = ready_replies.recv() => print(out, &reply)?,
            line = lines.recv(), if ended.is_some() => match line.map(|line| parse_next(&line)).transpose()? {
                Some(Err(reply)) => print(out, &reply)?,
                Some(Ok(ControlCommand::Stats)) => {
                    print(out, &stats(hub))?;
                }
                Some(Ok(ControlCommand::Fault(fault))) => print(out, &add_fault(hub, &fault))?,
                Some(Ok(ControlCommand::Call(ServiceCall { id, device, request }))) => {
                    let (hub, replies) = (Arc::clone(hub), replies.clone());
                    tokio::task::spawn_local(async move {
                        let result = hub.call(&device, request).await.map_err(ServiceFailure::from);
                        // Ignore the error: the hub may no longer be serving.
                        let _ = replies.send(ControlReply::from(ServiceResult { id, result }));
                    });
                }
                Some(Ok(ControlCommand::Start { unix_us })) => hub.start_faults(Duration::from_micros(unix_us)),
                Some(Ok(ControlCommand::Config(_))) => {
                    return Err(EmulatorCommandError::Control("config must be the first command".to_owned()));
                }
                // Dropping `ended` stops `serving`.
                None => drop(ended.take()),
            },
        }
    }
}

fn stats(hub: &Hub) -> ControlReply {
    let (cpu_us, rss_peak_bytes) = crate::fleet::own_usage();
    ControlReply::Stats {
        counted: hub.stats(),
        refused_by: hub.refused_by(),
        cpu_us,
        rss_peak_bytes,
        throttle: hub.throttle_stats(),
        faults: hub.fault_stats(),
        shards: hub.health(),
    }
}

fn add_fault(hub: &Hub, fault: &FaultText) -> ControlReply {
    let number = fault.to_fault().map(|fault| hub.add_fault(fault));
    match number {
        Ok(Some(number)) => ControlReply::Fault { number: Some(number), error: None },
        Ok(None) => refused_fault(format!("too many faults: a hub remembers {FAULTS_MAX}; restart it")),
        Err(error) => refused_fault(error.to_string()),
    }
}

fn refused_fault(error: String) -> ControlReply {
    ControlReply::Fault { number: None, error: Some(error) }
}

pub(super) fn parse(line: &str) -> Result<ControlCommand, EmulatorCommandError> {
    serde_json::from_str(line).map_err(|error| {
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(line).is_ok();
        let what = without_values(&error.to_string(), is_json);
        EmulatorCommandError::Control(format!("{what} (column {})", error.column()))
    })
}

/// Returns serde's error without values from the line. It keeps the expected names, and an unknown name only if it resembles one of them.
fn without_values(error: &str, is_json: bool) -> String {
    let text = error.rsplit_once(" at line ").map_or(error, |(text, _)| text);
    let (found, expected) = text.rsplit_once(", expected ").unwrap_or((text, ""));
    let found = match found.trim_end_matches('`').split_once('`') {
        Some(("missing field " | "duplicate field ", _)) => found.to_owned(),
        Some((what @ ("unknown field " | "unknown variant "), name)) => {
            let what = what.trim_end();
            match nearest(name, expected.split('`').skip(1).step_by(2)) {
                Some(near) => format!("{what} `{name}` (did you mean `{near}`?)"),
                None => what.to_owned(),
            }
        }
        _ if found.starts_with("recursion limit") => "it has more than 127 nested levels".to_owned(),
        _ if expected.is_empty() && !is_json => "it is not a JSON object".to_owned(),
        _ => "a value or a command has the wrong type".to_owned(),
    };
    if expected.is_empty() { found } else { format!("{found}, expected {expected}") }
}

/// Parses a line after the first one. If an invalid call has an id, or the line is an invalid fault, returns the reply to it; any other
/// invalid line is an error.
pub(super) fn parse_next(line: &str) -> Result<Result<ControlCommand, ControlReply>, EmulatorCommandError> {
    parse(line).map(Ok).or_else(|error| match call_id(line) {
        Some(id) => {
            let failure = ServiceFailure { code: error_code::ARGUMENT_INVALID, message: error.to_string() };
            Ok(Err(ControlReply::Failed { id, failure }))
        }
        None if is_fault(line) => Ok(Err(refused_fault(error.to_string()))),
        None => Err(error),
    })
}

/// Returns the id of a call, even if the rest of the line is invalid.
fn call_id(line: &str) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Line {
        call: CallId,
    }
    #[derive(serde::Deserialize)]
    struct CallId {
        id: u64,
    }
    serde_json::from_str::<Line>(line).ok().map(|line| line.call.id)
}

/// Returns true if the line is a fault, even if it is invalid.
fn is_fault(line: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Line {
        #[expect(dead_code, reason = "only its presence matters")]
        fault: serde::de::IgnoredAny,
    }
    serde_json::from_str::<Line>(line).is_ok()
}

pub(super) fn print(out: &mut dyn Write, line: &impl serde::Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(line)?;
    line.push(b'\n');
    out.write_all(&line)?;
    out.flush()
}

/// Reads stdin on a separate thread, because a tokio runtime cannot shut down while tokio's stdin is waiting for a line.
pub(super) fn stdin_lines() -> io::Result<mpsc::UnboundedReceiver<Zeroizing<String>>> {
    let (sender, lines) = mpsc::unbounded_channel();
    let read = move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if !line.trim().is_empty() && sender.send(Zeroizing::new(line)).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("control".to_owned()).spawn(read)?;
    Ok(lines)
}

#[cfg(test)]
mod tests;
