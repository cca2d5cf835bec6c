//! The parts of a capacity result in words. Used by all its formats.

use super::level::{interval_text, level_text};
use crate::capacity::measured::{
    AssertionStatus, Bound, CapacityAnswer, CapacityResult, CriterionAnswer, EndReason, Level,
    SearchSettings, Trial, Vary, Verdict,
};
use crate::report::format::{plain, rate_text};
use crate::units::{Percent, human_count, human_duration, human_us, plural};
use std::time::Duration;

/// Returns the answer in one sentence, without its full stop.
pub(super) fn headline(result: &CapacityResult) -> String {
    let CapacityAnswer { lower, upper, .. } = &result.answer;
    let interval = interval_text(result.search.vary, lower.as_ref(), upper.as_ref(), "unknown");
    // The load beside the number of devices.
    let per_s = match result.search.vary {
        Vary::Load => String::new(),
        Vary::Devices => match [lower, upper].into_iter().flatten().collect::<Vec<_>>()[..] {
            [lower, upper] => format!(" ({} to {})", rate_text(lower.per_s), rate_text(upper.per_s)),
            [one] => format!(" ({})", rate_text(one.per_s)),
            _ => String::new(),
        },
    };
    format!("The capacity is {interval}{per_s}")
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
fn end(result: &CapacityResult) -> String {
    let width = Percent::from_fraction(result.search.width);
    match result.answer.end {
        EndReason::Width => format!("The search ended because the interval is at most {width} wide"),
        EndReason::HighestGood => {
            "The search ended because its highest level passed: search higher levels with --to".to_owned()
        }
        EndReason::LowestBad => {
            "The search ended because its lowest level failed: search lower levels with --from, or check the thresholds".to_owned()
        }
        EndReason::Generator => {
            "The search ended at this limit. The target may take more: use a machine with more cores, or stop \
             other programs on this one"
                .to_owned()
        }
        EndReason::Undecided => {
            "The search ended because a level stayed undecided: stop other programs on this machine, or use a longer --hold".to_owned()
        }
        EndReason::JudgedAgain => {
            "The search ended before trials were judged again, and needs more of them: continue it with --resume".to_owned()
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

/// Returns why a search ended, in a few words.
pub(in crate::report) fn end_reason(end: EndReason) -> &'static str {
    match end {
        EndReason::Width => "the interval was narrow enough",
        EndReason::HighestGood => "the highest level passed",
        EndReason::LowestBad => "the lowest level failed",
        EndReason::Generator => "the load generator was the limit",
        EndReason::Undecided => "a level stayed undecided",
        EndReason::JudgedAgain => "trials were judged again after it",
        EndReason::Time => "--max-time was used up",
        EndReason::Messages => "--max-messages was used up",
        EndReason::Quota => "the daily message quota of the hub was used up",
        EndReason::Interrupted => "the search was interrupted",
        EndReason::Breakdown => "a part of hubstorm failed",
    }
}

/// Returns the sentences below the headline, without their full stops: what bound the capacity, why the search ended, and how many messages
/// ended ok.
pub(super) fn sentences(result: &CapacityResult) -> Vec<String> {
    let throughput = result.answer.throughput_per_s.filter(|_| result.answer.lower.is_some()).map(|per_s| {
        format!("At the lower bound, messages ended ok at {} (median of its trials)", rate_text(per_s))
    });
    bound(result).into_iter().chain([end(result)]).chain(throughput).collect()
}

/// Returns what bound the capacity, as a sentence without its full stop. `None` if it is not known.
fn bound(result: &CapacityResult) -> Option<String> {
    let answer = &result.answer;
    let at = answer
        .upper
        .map_or_else(String::new, |upper| format!(" at {}", level_text(result.search.vary, &upper)));
    let what = match answer.bound_by? {
        Bound::Threshold => format!("A threshold failed{at}"),
        Bound::Backlog => format!("The backlog grew{at}"),
        Bound::Offline => format!("Some devices were offline{at}"),
        Bound::Generator => "The load generator was the limit".to_owned(),
        Bound::Quota => "The daily message quota of the hub was the limit".to_owned(),
        Bound::Range => return None,
    };
    let reason = plain(&answer.reason);
    Some(if reason.is_empty() { what } else { format!("{what}: {reason}") })
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

/// Returns a level as a share of the scenario's own: `85%`.
#[expect(clippy::cast_precision_loss, reason = "levels are far below 2^53")]
fn share(level: &Level, search: &SearchSettings) -> String {
    let share = level.level as f64 / search.whole().max(1) as f64;
    Percent::from_fraction((share * 1e3).round() / 1e3).to_string()
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
    // Adding zero removes the sign of a negative zero.
    trial.backlog.map_or_else(|| "–".to_owned(), |backlog| format!("{:+.0}", backlog.growth.round() + 0.0))
}

/// Returns the interval of a criterion.
pub(super) fn interval(vary: Vary, criterion: &CriterionAnswer) -> String {
    interval_text(vary, criterion.lower.as_ref(), criterion.upper.as_ref(), "not decided")
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
    let (devices, whole) = match search.vary {
        Vary::Load => (human_count(search.from.devices), "phase's load"),
        Vary::Devices => ("varied by the search".to_owned(), "scenario's devices"),
    };
    vec![
        ("Target", format!("{target}{size}")),
        ("Phase", plain(&search.phase)),
        ("Devices", devices),
        (
            "Range",
            format!(
                "{} to {} ({} to {} of the {whole})",
                level_text(search.vary, &search.from),
                level_text(search.vary, &search.to),
                share(&search.from, search),
                share(&search.to, search)
            ),
        ),
        (
            "Trials",
            format!(
                "{} of {}, of which the last {} are judged",
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
