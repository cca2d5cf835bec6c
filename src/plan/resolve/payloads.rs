//! Resolves payloads: templates, sizes, and files with messages. Used by `sends`, `will`, `twin_methods` and `drives`.

use super::context::ResolveContext;
use super::templates::template_error;
use crate::plan::payload::{ALLOWED, Lines, PLACEHOLDERS, Payload, PayloadContext};
use crate::rng::Purpose;
use crate::scenario::{Errors, PayloadSpec, Written, nearest};
use crate::text_file;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// Resolves a payload that no subscriber of the run receives.
pub(super) fn payload_without_stamp(written: &Written<PayloadSpec>, errors: &mut Errors) -> Option<Payload> {
    let payload = payload(written, errors)?;
    if payload.has_stamp() {
        let problem = errors.add(&written.place, "${stamp} is only for messages to a plain broker");
        problem.fix("remove it; ${seq} and ${now} tell messages apart");
    }
    Some(payload)
}

/// Resolves a payload, which may have a stamp.
pub(super) fn payload(written: &Written<PayloadSpec>, errors: &mut Errors) -> Option<Payload> {
    match &written.value {
        PayloadSpec::Size(bytes) => Some(Payload::filler(usize::try_from(*bytes).unwrap_or(usize::MAX))),
        PayloadSpec::Template(text) => match Payload::template(text) {
            Ok(payload) => Some(payload),
            Err(error) => {
                let as_written = *text == written.text;
                let problem = errors.add(&written.place, template_error(&error, as_written)).allowed(ALLOWED);
                let name = error.placeholder().filter(|_| as_written).unwrap_or_default();
                if let Some(near) = nearest(name, PLACEHOLDERS).filter(|near| *near != name) {
                    problem.fix(format!("did you mean ${{{near}}}?"));
                }
                None
            }
        },
    }
}

/// Reads a file with messages.
pub(super) fn read_lines(
    path: &Written<PathBuf>,
    context: &ResolveContext<'_>,
    errors: &mut Errors,
) -> Option<Lines> {
    let (file, bytes) = context.read(path, errors)?;
    match text_file::skip_bom(&bytes) {
        Ok(text) => {
            let lines = Lines::parse(text);
            if lines.is_none() {
                let what = format!("{} has no messages: every line is empty", file.display());
                errors.add(&path.place, what).allowed("a message on each line");
            }
            lines
        }
        Err(error) => {
            errors.add(&path.place, format!("cannot read {}: {error}", file.display()));
            None
        }
    }
}

/// Renders the first message and parses it as JSON. Later messages may still not be JSON: see [`Payload::require_json`].
pub(super) fn first_message(payload: &Payload, device: &str) -> Result<Value, serde_json::Error> {
    let facts = PayloadContext { device, index: 0, seq: 0, now_unix: Duration::ZERO, uptime: Duration::ZERO };
    let mut text = Vec::new();
    payload.render(&mut payload.state(0, 0, Purpose::Payload(0)), &facts, &mut text);
    serde_json::from_slice(&text)
}
