//! The faults that a scenario asked for, in words. Used by the summary, the page and its charts. Pure.

use super::format::{instant, plain, plural};
use crate::measure::Operation;
use crate::result::model::{Fault, RunResult};
use crate::units::{Percent, human_bits_per_s, human_count, human_us};
use std::time::Duration;

/// The maximum number of faults that the summary lists.
const LISTED_MAX: usize = 12;

/// Returns what `applied` counts for a kind.
fn counted(kind: &str) -> [&'static str; 2] {
    match kind {
        "close" | "certificate-change" => ["connection closed", "connections closed"],
        "reset" => ["connection reset", "connections reset"],
        "refuse" => ["CONNECT refused", "CONNECTs refused"],
        "slow-connack" => ["CONNACK delayed", "CONNACKs delayed"],
        "hold-acks" => ["PUBACK held", "PUBACKs held"],
        "drop-acks" => ["PUBACK dropped", "PUBACKs dropped"],
        "delay" => ["packet delayed", "packets delayed"],
        "stall-reads" => ["connection not read", "connections not read"],
        "disable-device" => ["connection closed or refused", "connections closed or refused"],
        "quota-exhausted" => ["message refused", "messages refused"],
        "latency" | "bandwidth" | "profile" | "slow-handshake" => ["connection slowed", "connections slowed"],
        "stall" => ["connection stalled", "connections stalled"],
        "half-open" => ["connection silenced", "connections silenced"],
        "close-mid-frame" => ["connection cut off", "connections cut off"],
        "never-ack" => ["acknowledgment withheld", "acknowledgments withheld"],
        _ => ["time", "times"],
    }
}

/// A fault in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FaultWords {
    /// Start and end, since the start of the run.
    pub(super) window: String,
    /// Kind, with its code or its delay.
    pub(super) kind: String,
    /// Share and number of devices.
    pub(super) devices: String,
    /// What the hub or the devices counted.
    pub(super) effect: String,
}

impl FaultWords {
    fn of(fault: &Fault) -> FaultWords {
        let mut kind = kind(fault);
        if let Some(code) = fault.code {
            kind += &format!(", code {code}");
        }
        if let Some(by_us) = fault.by_us {
            let delay = if fault.profile.is_some() { "round trip" } else { "by" };
            kind += &format!(", {delay} {}", human_us(by_us));
        }
        if let Some(jitter_us) = fault.jitter_us {
            kind += &format!(" ± {}", human_us(jitter_us));
        }
        match (fault.up_bits_per_s, fault.down_bits_per_s) {
            (Some(up), Some(down)) if up == down => kind += &format!(", {}", human_bits_per_s(up)),
            (Some(up), Some(down)) => {
                kind += &format!(", {} up, {} down", human_bits_per_s(up), human_bits_per_s(down));
            }
            _ => {}
        }
        let [one, many] = counted(&fault.kind);
        FaultWords {
            window: match fault.to_us > fault.from_us {
                true => format!("{} to {}", instant(fault.from_us), instant(fault.to_us)),
                false => instant(fault.from_us),
            },
            kind: if fault.random { format!("{kind} (random)") } else { kind },
            devices: devices(fault),
            effect: fault.applied.map_or_else(|| "not counted".to_owned(), |count| plural(count, one, many)),
        }
    }
}

/// Returns the kind of a fault, or the network that the scenario chose by name.
pub(super) fn kind(fault: &Fault) -> String {
    plain(fault.profile.as_ref().unwrap_or(&fault.kind))
}

/// Returns the share of the devices: `20%`, or `20% of meter`; `all` for all devices.
pub(super) fn share(fault: &Fault) -> String {
    let all = fault.share >= 1.0;
    match (&fault.fleet, all) {
        (None, true) => "all".to_owned(),
        (None, false) => Percent::from_fraction(fault.share).to_string(),
        (Some(fleet), true) => plain(fleet),
        (Some(fleet), false) => format!("{} of {}", Percent::from_fraction(fault.share), plain(fleet)),
    }
}

fn devices(fault: &Fault) -> String {
    let count = plural(fault.devices, "device", "devices");
    match (&fault.fleet, fault.share >= 1.0) {
        (None, true) => format!("all devices ({})", fault.devices),
        (Some(_), true) => format!("fleet {} ({count})", share(fault)),
        (None, false) => format!("{} of the devices ({count})", share(fault)),
        (Some(_), false) => format!("{} ({count})", share(fault).replacen("of ", "of fleet ", 1)),
    }
}

/// Returns all faults in words.
pub(super) fn table(result: &RunResult) -> Vec<FaultWords> {
    result.faults.iter().map(FaultWords::of).collect()
}

/// Returns the lines of the summary.
pub(super) fn lines(result: &RunResult) -> Vec<String> {
    let rows = table(result);
    let line = |row: &FaultWords| {
        let FaultWords { window, kind, devices, effect } = row;
        format!("{window}  {kind}, {devices}: {effect}")
    };
    let mut lines: Vec<String> = rows.iter().take(LISTED_MAX).map(line).collect();
    if rows.len() > LISTED_MAX {
        lines.push(format!("and {} more, which the page lists", rows.len() - LISTED_MAX));
    }
    lines.extend(under_faults(result));
    lines
}

/// Returns, for each kind of message, how many of them a fault of a fleet affected.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn under_faults(result: &RunResult) -> Vec<String> {
    let measurement = &result.measurement;
    let messages = Operation::ALL.into_iter().filter(|operation| operation.is_message());
    let affected = messages.filter_map(|operation| {
        let parts = measurement.operations.iter().filter(|part| part.operation == operation);
        let affected: u64 = parts.filter_map(|part| part.under_fault.as_ref()).map(|part| part.due).sum();
        let due = measurement.of(operation).due;
        (affected > 0).then(|| {
            let share = Percent::from_fraction((affected as f64 / due as f64 * 1_000.0).round() / 1_000.0);
            let [affected, due] = [affected, due].map(human_count);
            format!("under a fault of a fleet: {affected} of {due} {operation} operations ({share})")
        })
    });
    affected.collect()
}

/// Returns the window of a fault in seconds.
pub(super) fn seconds(fault: &Fault) -> [f64; 2] {
    [fault.from_us, fault.to_us].map(|us| Duration::from_micros(us).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::model::FaultSide;

    #[test]
    fn a_fault_has_its_window_its_share_and_its_effect() {
        let mut result = crate::result::testing::result();
        assert!(lines(&result).is_empty());
        let fault = Fault {
            kind: "hold-acks".to_owned(),
            from_us: 60_000_000,
            to_us: 70_000_000,
            share: 0.2,
            fleet: None,
            devices: 10,
            applied: Some(1),
            ..Fault::default()
        };
        let close = Fault {
            kind: "close".to_owned(),
            to_us: 60_000_000,
            share: 1.0,
            random: true,
            applied: None,
            ..fault.clone()
        };
        let refuse =
            Fault { kind: "refuse".to_owned(), code: Some(5), fleet: Some("m".to_owned()), ..fault.clone() };
        let delay = Fault { kind: "delay".to_owned(), by_us: Some(500_000), share: 1.0, ..refuse.clone() };
        let delay = Fault { code: None, applied: Some(7), ..delay };
        let network = Fault {
            side: FaultSide::Fleet,
            kind: "profile".to_owned(),
            profile: Some("3g".to_owned()),
            by_us: Some(150_000),
            jitter_us: Some(50_000),
            up_bits_per_s: Some(750_000),
            down_bits_per_s: Some(1_600_000),
            ..delay.clone()
        };
        result.faults = vec![fault, close, refuse, delay, network];
        assert_eq!(
            lines(&result),
            [
                "1:00.0 to 1:10.0  hold-acks, 20% of the devices (10 devices): 1 PUBACK held",
                "1:00.0  close (random), all devices (10): not counted",
                "1:00.0 to 1:10.0  refuse, code 5, 20% of fleet m (10 devices): 1 CONNECT refused",
                "1:00.0 to 1:10.0  delay, by 500 ms, fleet m (10 devices): 7 packets delayed",
                "1:00.0 to 1:10.0  3g, round trip 150 ms ± 50.0 ms, 750 kbit/s up, 1,600 kbit/s down, fleet m (10 devices): 7 connections slowed",
            ]
        );
        result.faults = vec![result.faults[0].clone(); 20];
        assert_eq!(lines(&result).last().unwrap(), "and 8 more, which the page lists");
    }
}
