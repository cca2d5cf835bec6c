//! Builds the last reason listed for an invalid run, which tells the user what to do. It depends on why thresholds are undecided, and
//! on why the load was not offered as planned. Called by `judge`. Pure.

use super::reason::{Code, reason};
use super::undecided::LocalCause;
use crate::measure::{BIN_US, Culprit, Measurement};
use crate::result::model::Detail;
use crate::units::{Percent, human_us};

/// If a source starts operations late although it is busy for less than this share of the time, something kept it from running (our
/// choice).
const LOW_BUSY_SHARE: f64 = 0.5;

/// Returns the causes of the load not being offered as planned.
pub(super) fn shortcoming_causes(measurement: &Measurement, shortcomings: &[Detail]) -> Vec<LocalCause> {
    let has = |code: Code| shortcomings.iter().any(|detail| detail.code == code.name());
    let mut causes = Vec::new();
    if has(Code::MachineShort) {
        causes.extend(local_errors(measurement));
    }
    // For operations that failed because of a local error, the advice to use an idle machine would not help.
    let is_late = has(Code::LateStart) || has(Code::ClosedLoopDelayed);
    if is_late || (has(Code::NotSent) && causes.is_empty()) {
        causes.push(LocalCause::Delay);
    }
    causes
}

/// Returns the classes of the errors that this machine caused, as causes.
pub(super) fn local_errors(measurement: &Measurement) -> Vec<LocalCause> {
    let ours = measurement.errors.iter().filter(|error| error.culprit == Culprit::Generator);
    ours.map(|error| LocalCause::Error(error.class.clone())).collect()
}

/// Returns a reason that says what to do about these causes. `None` if the only cause is a delay, and the run was too short to
/// measure a busy share.
pub(super) fn advice(
    measurement: &Measurement,
    causes: &[LocalCause],
    is_evaluated: impl Fn(&str) -> bool,
) -> Option<Detail> {
    let mut texts: Vec<String> = Vec::new();
    for text in causes.iter().filter_map(fix) {
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    let busy =
        if causes.contains(&LocalCause::Delay) { busiest_source(measurement, is_evaluated) } else { None };
    texts.extend(busy.iter().map(|(text, ..)| text.clone()));
    let of_source = busy.filter(|_| texts.len() == 1);
    let (source, phase) = of_source.map(|(_, source, phase)| (source, phase)).unzip();
    (!texts.is_empty()).then(|| Detail { source, phase, ..reason(Code::Advice, texts.join(". ")) })
}

/// Returns what to do about a cause other than a delay.
fn fix(cause: &LocalCause) -> Option<String> {
    let clock = "Synchronize this machine's clock (timedatectl shows its state), and run again";
    let class = match cause {
        LocalCause::Delay => return None,
        LocalCause::Clock => return Some(clock.to_owned()),
        LocalCause::Resolution => {
            let resolution = human_us(super::bounds::RESOLUTION_US);
            return Some(format!(
                "Run again. If the latency stays this close to its limit, change the limit: the resolution of hubstorm is {resolution}"
            ));
        }
        LocalCause::Bin => {
            let bin = human_us(BIN_US);
            return Some(format!(
                "Run again. If the recovery stays this close to its limit, change the limit: recoveries are measured to {bin}"
            ));
        }
        LocalCause::Error(class) => class.as_str(),
    };
    let text = match class {
        "fd_limit" => {
            "Raise the limit on open files (ulimit -n). hubstorm check prints how many descriptors the run needs"
        }
        "ports_exhausted" => "Set source_ips in [target] to get more local ports, or use fewer devices",
        "source_address" => {
            "Correct source_ips in [target]. List addresses of this machine that are of the same family (IPv4 or IPv6) as the host's address"
        }
        "no_memory" => "Use fewer devices, or a machine with more memory",
        "clock_step" => clock,
        "call_payload" => {
            "Correct payload in [[drive]]. For some devices, its placeholders do not produce the JSON that the call requires"
        }
        "encode" => "hubstorm could not encode a packet or a call. This is a bug. Please report it",
        _ => return Some(format!("Fix the errors of class {class}: see \"This machine\" in docs/errors.md")),
    };
    Some(text.to_owned())
}

/// Returns what to do about delays on this machine, with the busiest source and its phase.
fn busiest_source(
    measurement: &Measurement,
    is_evaluated: impl Fn(&str) -> bool,
) -> Option<(String, String, String)> {
    let read = measurement.health.iter().filter(|health| is_evaluated(&health.phase));
    let busiest =
        read.filter_map(|health| Some((health.busy_share?, health))).max_by(|a, b| a.0.total_cmp(&b.0));
    let (share, health) = busiest?;
    let share_text = Percent::from_fraction((share * 1_000.0).round() / 1_000.0);
    let source = health.source;
    let text = if share < LOW_BUSY_SHARE {
        format!(
            "{source} was busy for at most {share_text} of the time. Either it was suspended, or other programs used this machine's CPUs. Run \
             again when the machine is idle"
        )
    } else {
        format!(
            "{source} was busy for up to {share_text} of the time. Reduce the load, or use a machine with more cores"
        )
    };
    Some((text, source.to_string(), health.phase.clone()))
}
