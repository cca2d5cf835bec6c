//! The parts of a capacity result in words. Used by all its formats.

use crate::capacity::measured::{
    AssertionStatus, Bound, CapacityAnswer, CapacityResult, CriterionAnswer, EndReason, Level, Trial, Verdict,
};
use crate::report::format::{plain, rate_text};
use crate::units::{Percent, human_count, human_duration, human_us, plural};
use std::time::Duration;

/// Returns the answer in one sentence, without its full stop.
pub(super) fn headline(answer: &CapacityAnswer) -> String {
    let at = |level: &Level| rate_text(level.per_s);
    match (&answer.lower, &answer.upper) {
        (Some(lower), Some(upper)) => format!("The capacity is between {} and {}", at(lower), at(upper)),
        (Some(lower), None) => format!("The capacity is at least {}", at(lower)),
        (None, Some(upper)) => format!("The capacity is below {}", at(upper)),
        (None, None) => "The capacity is unknown".to_owned(),
    }
}

/// Returns the class of the answer for styles, a mark, and a word.
pub(super) fn banner(answer: &CapacityAnswer) -> (&'static str, &'static str, &'static str) {
    match answer.exit_code {
        crate::report::exit::PASSED => ("pass", "✓", "Found"),
        crate::report::exit::FAILED => ("fail", "✗", "Failed"),
        crate::report::exit::INVALID => ("invalid", "–", "Invalid"),
        crate::report::exit::INTERRUPTED => ("invalid", "–", "Interrupted"),
        _ => ("invalid", "?", "Inconclusive"),
    }
}

/// Returns why the search ended, as a sentence without its full stop.
pub(super) fn end(result: &CapacityResult) -> String {
    let width = Percent::from_fraction(result.search.width);
    match result.answer.end {
        EndReason::Width => format!("The search ended because the interval is at most {width} wide"),
        EndReason::HighestGood => {
            "The search ended because its highest level passed: search higher levels with --to".to_owned()
        }
        EndReason::LowestBad => {
            "The search ended because its lowest level failed: search lower levels with --from".to_owned()
        }
        EndReason::Generator => {
            "The search ended there, although the target may take more: use a machine with more cores, or with less other work".to_owned()
        }
        EndReason::Undecided => {
            "The search ended because a level stayed undecided: use a machine with less other work, or a longer --hold".to_owned()
        }
        EndReason::Time => "The search ran out of time: continue it with --resume and a longer --max-time".to_owned(),
        EndReason::Messages => {
            "The search ended before it would have sent more than --max-messages: continue it with --resume".to_owned()
        }
        EndReason::Quota => {
            "The search ended before it would have used up the daily message quota of the hub: continue it after midnight UTC with --resume"
                .to_owned()
        }
        EndReason::Interrupted => "The search was interrupted: continue it with --resume".to_owned(),
        EndReason::Breakdown => "The search ended because a part of hubstorm failed".to_owned(),
    }
}

/// Returns what bound the capacity, as a sentence without its full stop. `None` if it is not known.
pub(super) fn bound(answer: &CapacityAnswer) -> Option<String> {
    let what = match answer.bound_by? {
        Bound::Threshold => "A threshold failed above it",
        Bound::Backlog => "The backlog grew above it",
        Bound::Offline => "Devices did not stay online above it",
        Bound::Generator => "The load generator was the limit",
        Bound::Quota => "The daily message quota of the hub was the limit",
        Bound::Range => return None,
    };
    let reason = plain(&answer.reason);
    Some(if reason.is_empty() { what.to_owned() } else { format!("{what}: {reason}") })
}

/// Returns the verdict in a word.
pub(super) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "good",
        Verdict::Bad => "bad",
        Verdict::Undecided => "undecided",
        Verdict::Void => "void",
    }
}

/// Returns the status in a word.
pub(super) fn status(status: AssertionStatus) -> &'static str {
    match status {
        AssertionStatus::Passed => "passed",
        AssertionStatus::Failed => "failed",
        AssertionStatus::Inconclusive => "inconclusive",
        AssertionStatus::Generator => "invalid",
    }
}

/// Returns the share of the phase's load: `85%`.
#[expect(clippy::cast_precision_loss, reason = "levels are far below 2^53")]
pub(super) fn share(level: &Level) -> String {
    Percent::from_fraction((level.level as f64 / 1e3).round() / 1e3).to_string()
}

/// Returns a latency, or a dash.
pub(super) fn latency(us: Option<u64>) -> String {
    us.map_or_else(|| "–".to_owned(), human_us)
}

/// Returns the share of failed messages of a trial.
pub(super) fn errors(trial: &Trial) -> String {
    Percent::from_fraction((trial.error_share * 1e5).round() / 1e5).to_string()
}

/// Returns the growth of the backlog of a trial, or a dash.
pub(super) fn backlog(trial: &Trial) -> String {
    trial.backlog.map_or_else(|| "–".to_owned(), |backlog| format!("{:+.0}", backlog.growth))
}

/// Returns the interval of a criterion.
pub(super) fn interval(criterion: &CriterionAnswer) -> String {
    let at = |level: &Level| rate_text(level.per_s);
    match (&criterion.lower, &criterion.upper) {
        (Some(lower), Some(upper)) => format!("between {} and {}", at(lower), at(upper)),
        (Some(lower), None) => format!("at least {}", at(lower)),
        (None, Some(upper)) => format!("below {}", at(upper)),
        (None, None) => "not decided".to_owned(),
    }
}

/// Returns what was searched, and how: names and values.
pub(super) fn facts(result: &CapacityResult) -> Vec<(&'static str, String)> {
    let (run, search) = (&result.run, &result.search);
    let us = |us: u64| human_duration(Duration::from_micros(us));
    let target = if run.target.embedded {
        "the built-in hub".to_owned()
    } else {
        format!("{}:{}", plain(&run.target.host), run.target.port)
    };
    let size = match (&run.target.tier, run.target.units) {
        (Some(tier), Some(units)) => format!(", {} x {units}", plain(tier)),
        _ => String::new(),
    };
    vec![
        ("Target", format!("{target}{size}")),
        ("Phase", plain(&search.phase)),
        ("Devices", human_count(search.from.devices)),
        (
            "Range",
            format!(
                "{} to {} ({} to {} of the phase's load)",
                rate_text(search.from.per_s),
                rate_text(search.to.per_s),
                share(&search.from),
                share(&search.to)
            ),
        ),
        (
            "Trials",
            format!(
                "{} of {} each, the last {} judged",
                plural(result.trials.len() as u64, "trial", "trials"),
                us(search.settle_us + search.judged_us),
                us(search.judged_us)
            ),
        ),
        ("Started", crate::report::format::date(&run.started)),
        ("Duration", us(run.duration_us)),
        (
            "Machine",
            format!(
                "{} ({}), {}, hubstorm {}",
                plain(&run.host.cpu),
                plural(u64::from(run.host.cores), "core", "cores"),
                plural(u64::from(run.workers), "worker", "workers"),
                plain(&result.tool.version)
            ),
        ),
        ("Seed", run.seed.to_string()),
    ]
}
