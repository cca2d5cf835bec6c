//! Resolves payloads: templates, sizes, and files with messages. Used by `sends`, `will`, `twin_methods` and `drives`.

use super::context::ResolveContext;
use super::templates::template_error;
use crate::plan::payload::{ALLOWED, Lines, PLACEHOLDERS, Payload, PayloadContext};
use crate::rng::Purpose;
use crate::scenario::{Errors, Meant, PayloadSpec, Written, meant};
use crate::text_file;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// Resolves a payload for messages that the run does not track, so it must not have a stamp.
pub(super) fn payload_without_stamp(written: &Written<PayloadSpec>, errors: &mut Errors) -> Option<Payload> {
    let payload = payload(written, errors)?;
    if payload.has_stamp() {
        let problem = errors.add(&written.place, "${stamp} is only for messages to a plain broker");
        problem.fix("remove it; use ${seq} or ${now} to tell messages apart");
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
                let name = error
                    .placeholder()
                    .filter(|_| as_written)
                    .map(|name| name.trim_matches(['_', '{', '$', ' ']));
                if let Some(placeholder) = error.meant().filter(|_| as_written) {
                    problem.fix(format!("did you mean {placeholder}?"));
                    return None;
                }
                match name.and_then(|name| meant(name, &PLACEHOLDERS)) {
                    Some(Meant::Word(word)) if Some(word) != name => {
                        problem.fix(format!("did you mean ${{{word}}}?"));
                    }
                    Some(Meant::Fix(placeholder)) => {
                        problem.fix(format!("did you mean {placeholder}?"));
                    }
                    Some(Meant::Word(_)) | None => {}
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

/// Renders the first message and parses it as JSON. Later messages may not be JSON: see [`Payload::require_json`].
pub(super) fn first_message(payload: &Payload, device: &str) -> Result<Value, serde_json::Error> {
    let facts = PayloadContext { device, index: 0, seq: 0, now_unix: Duration::ZERO, uptime: Duration::ZERO };
    let mut text = Vec::new();
    payload.render(&mut payload.state(0, 0, Purpose::Payload(0)), &facts, &mut text);
    serde_json::from_slice(&text)
}

#[cfg(test)]
mod tests {
    use crate::plan::Plan;
    use crate::scenario::Input;

    /// Returns a plan whose device sends the lines of `file`.
    fn load(file: &[u8]) -> Result<Plan, String> {
        let text = "[fleet.a]\ndevices = 1\n[[fleet.a.send]]\nevery = \"1s\"\npayload = { file = \"x.txt\" }\n\
                    [[phase]]\nname = \"p\"\nduration = \"1s\"\n";
        let files = &|_: &std::path::Path| Ok(file.to_vec().into());
        let input = Input { file: "test.toml", text, overrides: &[], env: &|_| None, files };
        crate::plan::load(&input, &mut rand::rng()).map_err(|errors| errors.to_string())
    }

    #[test]
    fn payload_file_may_have_a_byte_order_mark() {
        let payload = |file: &[u8]| load(file).unwrap().fleets.remove(0).sends.remove(0).payload;
        assert_eq!(payload(b"\xef\xbb\xbfone\r\ntwo\r\n"), payload(b"one\r\ntwo\r\n"));
        assert_eq!(payload(b"one\rtwo").bytes_max(0), 3, "lines may end with CR");
        let error = load(b"\xff\xfeo\0").map(|_| ()).unwrap_err();
        assert!(error.contains("cannot read x.txt: encoded as UTF-16; save the file as UTF-8"), "{error}");
        let error = load(b"\xef\xbb\xbf\n\n").map(|_| ()).unwrap_err();
        assert!(error.contains("x.txt has no messages: every line is empty"), "{error}");
    }
}
