//! `hubstorm report`: renders a result file again.

use super::{AppError, Env, environment, print};
use crate::cli::{Face, ReportArgs};
use crate::{report, result};

/// Renders the result to a file or stdout.
pub(super) fn run(args: &ReportArgs, env: &mut Env) -> Result<(), AppError> {
    let result = result::read(&args.result).map_err(|error| AppError::Environment(error.to_string()))?;
    let html = args
        .out
        .as_ref()
        .and_then(|path| path.extension())
        .is_some_and(|ending| ["html", "htm"].iter().any(|known| ending.eq_ignore_ascii_case(known)));
    let text = match args.format.unwrap_or(if html { Face::Html } else { Face::Text }) {
        Face::Text => report::text(&result, args.out.is_none()),
        Face::Html => report::html(&result).map_err(|error| environment("cannot render", &error))?,
    };
    match &args.out {
        Some(path) => std::fs::write(path, text)
            .map_err(|error| environment(&format!("cannot write {}", path.display()), &error)),
        None => print(env, &text),
    }
}
