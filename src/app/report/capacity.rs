//! `hubstorm report` of a capacity result. `--judge` evaluates its assertions again. Used by `report`; the formats are in `crate::report`.

use crate::app::{AppError, Env, capacity_file, exports, print, print_text};
use crate::capacity::measured::CapacityResult;
use crate::capacity::search_assertion::Assertion;
use crate::cli::ReportArgs;
use crate::report::{self, Export, Format, exit};

/// Renders a capacity result to files or stdout. Returns the exit code, with `--judge` that of the search.
pub(super) fn run(
    args: &ReportArgs,
    files: &[Export],
    mut result: CapacityResult,
    env: &mut Env,
) -> Result<u8, AppError> {
    if args.scenario.is_some() {
        let text = "--scenario judges the result of a run, and this file is a capacity result; leave it out, or search again:  \
                    hubstorm capacity SCENARIO";
        return Err(AppError::Usage(text.to_owned()));
    }
    if args.hub_metrics.is_some() {
        let text =
            "--hub-metrics belongs to the result of a run, and this file is a capacity result; leave it out";
        return Err(AppError::Usage(text.to_owned()));
    }
    args.format.map_or(Ok(()), capacity_file::check_format)?;
    capacity_file::check(files, args.result.as_slice())?;
    if args.judge {
        judge(&mut result);
        print_text(env, &report::search_text(&result, true, (env.out_width)()))?;
    } else if args.out.is_none() && (args.format.is_some() || files.is_empty()) {
        match args.format.unwrap_or(Format::Text) {
            Format::Text => print_text(env, &report::search_text(&result, true, (env.out_width)()))?,
            other => print(env, &capacity_file::render(other, &result)?)?,
        }
    }
    let errors = files
        .iter()
        .filter_map(|Export { format, file }| capacity_file::write(file, *format, &result).err())
        .collect();
    exports::all_written(errors)?;
    Ok(if args.judge { result.answer.exit_code } else { exit::PASSED })
}

/// Evaluates the assertions again, and derives the exit code from them. An assertion that this version does not know keeps its status.
fn judge(result: &mut CapacityResult) {
    for assertion in &mut result.assertions {
        if let Ok(parsed) = Assertion::parse(&assertion.text, result.search.vary) {
            *assertion = parsed.test(&result.answer, result.search.whole());
        }
    }
    result.answer.exit_code = exit::of_search(result.answer.end, &result.assertions);
}
