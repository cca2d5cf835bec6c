//! The sentences of the hub's own view that concern no single metric. Used by `mod` and `compare`.

use super::ours::Range;
use super::timeline::{Shown, Time};
use crate::hub_metrics::{Metric, SOURCE};
use crate::report::format::{plain, plural};
use crate::units::{human_count, set_duration, whole};
use std::time::Duration;

/// What counts as agreement, in words.
pub(super) const TOLERANCE: &str = "1%, and clocks that differ by up to 2 s,";

/// Returns the name of a metric in sentences.
pub(super) fn name(metric: Metric) -> &'static str {
    match metric {
        Metric::ConnectedDevices => "connected devices",
        Metric::RegisteredDevices => "registered devices",
        Metric::D2cAccepted => "accepted D2C messages",
        Metric::D2cAttempts => "attempts to send D2C messages",
        Metric::ThrottlingErrors => "throttling errors",
        Metric::MessagesUsed => "messages used of the daily quota",
        Metric::TwinReads => "twin reads",
        Metric::TwinReadFailures => "failed twin reads",
        Metric::TwinUpdates => "twin updates",
        Metric::TwinUpdateFailures => "failed twin updates",
        Metric::Methods => "method calls",
        Metric::MethodFailures => "failed method calls",
        Metric::C2dCompleted => "completed C2D messages",
        Metric::DataBytes => "bytes to and from devices",
    }
}

/// Returns a length of time in words: `1 minute`, `5 minutes`, `10 s`.
pub(super) fn interval(us: i64) -> String {
    let us = us.unsigned_abs();
    match us {
        3_600_000_000 => "1 hour".to_owned(),
        us if us % 60_000_000 == 0 => plural(us / 60_000_000, "minute", "minutes"),
        us => set_duration(Duration::from_micros(us)),
    }
}

/// Returns the time of the run.
pub(super) fn run_time(time: Time) -> String {
    let [from, to] = time.run_us();
    format!("the run was from {} to {} UTC", time.clock(from), time.clock(to))
}

/// Returns the compared time: `3 whole intervals of 1 minute, from 10:02 to 10:05 UTC`. `None` if the run covers no whole interval.
pub(super) fn compared(shown: &[Shown], time: Time) -> Option<String> {
    let bins = || shown.iter().flat_map(Shown::whole);
    let from = bins().map(|bin| bin.from_us).min()?;
    let to = bins().map(|bin| bin.to_us).max()?;
    let longest = shown.iter().max_by_key(|one| one.whole().count())?;
    let count = plural(longest.whole().count() as u64, "whole interval", "whole intervals");
    let length = interval(longest.length_us);
    Some(format!("{count} of {length}, from {} to {} UTC", time.clock(from), time.clock(to)))
}

/// Returns the sentences at the start of the section. `compared` is the compared time, or the reason why nothing is compared.
pub(super) fn lead(
    hub: Option<&str>,
    file: &str,
    compared: &Result<String, &str>,
    time: Time,
) -> Vec<String> {
    let hub = hub.map_or_else(|| "an IoT hub".to_owned(), |hub| format!("the hub {}", plain(hub)));
    let mut lead = vec![format!("Metrics of {hub}, from {file}. The run started at {}.", time.date())];
    match compared {
        Ok(compared) => lead.extend([
            format!("Compared: {compared}. Differences up to {TOLERANCE} count as agreement."),
            "Azure's intervals are by its own clock in UTC, the run's times by this machine's clock."
                .to_owned(),
        ]),
        Err(why) => lead.push(format!("Nothing is compared, because {why}.")),
    }
    lead.push(format!(
        "The metrics change neither the verdict nor the exit code. Their names are from Azure's page \"{SOURCE}\"."
    ));
    lead
}

/// Joins names: `a`, `a and b`, `a, b and c`.
pub(super) fn list(names: &[&str]) -> String {
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// Formats a range: `1,000`, `990 to 1,000`.
pub(super) fn range(range: Range) -> String {
    match range {
        Range { low, high } if low == high => human_count(low),
        Range { low, high } => format!("{} to {}", human_count(low), human_count(high)),
    }
}

/// Formats a value of the hub, which may be an average.
pub(super) fn value(value: f64) -> String {
    if (value - value.round()).abs() < 0.05 {
        human_count(whole(value))
    } else {
        crate::units::grouped(&format!("{value:.1}"))
    }
}

/// Adds how many intervals have no value.
pub(super) fn with_missing(text: String, shown: &Shown) -> String {
    match u64::try_from(shown.missing).unwrap_or(0) {
        0 => text,
        missing => {
            format!("{text}; {} no value", plural(missing, "whole interval has", "whole intervals have"))
        }
    }
}
