//! The reasons for a verdict. Each has a text, a stable code, and the phase or fleet that it concerns. Created by `judge` and
//! its parts.

use crate::result::model::Detail;

/// The code of a reason, for programs. The names are part of the result file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::report) enum Code {
    /// Every threshold passed.
    Passed,
    /// The scenario has no thresholds.
    NoThresholds,
    /// The cause of a failed run: no device ever connected.
    NeverConnected,
    /// The cause of a failed run: the hub became unreachable.
    HubUnreachable,
    /// The cause of a failed run: the hub refused connections.
    ConnectionsRefused,
    /// The cause of a failed run: connections were closed or reset.
    ConnectionsClosed,
    /// The cause of a failed run: the hub stopped responding on some connections, and the devices closed them.
    HubSilent,
    /// The cause of a failed run: the hub left messages unacknowledged.
    AcksMissing,
    /// A threshold failed.
    ThresholdFailed,
    /// A threshold has too few samples.
    InsufficientSamples,
    /// Delays in the load generator may have changed the outcome of a threshold.
    ThresholdUndecided,
    /// Operations started too late.
    LateStart,
    /// Operations were not sent because of the load generator.
    NotSent,
    /// The load generator slowed down a closed loop.
    ClosedLoopDelayed,
    /// Operations failed on this machine.
    MachineShort,
    /// A worker or the built-in hub stopped before the end of the run.
    Breakdown,
    /// Advice for an invalid run.
    Advice,
    /// The run was interrupted.
    Interrupted,
    /// The result was recovered from a journal.
    Recovered,
    /// A threshold with `abort = true` ended the run.
    Aborted,
    /// `abort_when_unreachable` ended the run.
    Unreachable,
}

impl Code {
    /// The reasons that concern one threshold.
    pub(in crate::report) const OF_THRESHOLD: [Code; 3] =
        [Code::ThresholdFailed, Code::InsufficientSamples, Code::ThresholdUndecided];
    /// The reasons for an incomplete load.
    pub(in crate::report) const OF_LOAD: [Code; 4] =
        [Code::LateStart, Code::NotSent, Code::ClosedLoopDelayed, Code::MachineShort];

    /// Returns true if a reason has this code.
    pub(in crate::report) fn is_of(self, detail: &Detail) -> bool {
        detail.code == self.name()
    }

    /// Returns true if a reason has one of these codes.
    pub(in crate::report) fn any_of(codes: &[Code], detail: &Detail) -> bool {
        codes.iter().any(|code| code.is_of(detail))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Code::Passed => "passed",
            Code::NoThresholds => "no_thresholds",
            Code::NeverConnected => "never_connected",
            Code::HubUnreachable => "hub_unreachable",
            Code::ConnectionsRefused => "connections_refused",
            Code::ConnectionsClosed => "connections_closed",
            Code::HubSilent => "hub_silent",
            Code::AcksMissing => "acks_missing",
            Code::ThresholdFailed => "threshold_failed",
            Code::InsufficientSamples => "insufficient_samples",
            Code::ThresholdUndecided => "threshold_undecided",
            Code::LateStart => "late_start",
            Code::NotSent => "not_sent",
            Code::ClosedLoopDelayed => "closed_loop_delayed",
            Code::MachineShort => "machine_short",
            Code::Breakdown => "breakdown",
            Code::Advice => "advice",
            Code::Interrupted => "interrupted",
            Code::Recovered => "recovered",
            Code::Aborted => "aborted",
            Code::Unreachable => "unreachable",
        }
    }
}

/// Creates a reason.
pub(super) fn reason(code: Code, text: impl Into<String>) -> Detail {
    Detail { code: code.name().to_owned(), text: text.into(), phase: None, fleet: None, source: None }
}

/// Creates a reason that concerns a phase.
pub(super) fn of_phase(code: Code, phase: &str, text: impl Into<String>) -> Detail {
    Detail { phase: Some(phase.to_owned()), ..reason(code, text) }
}
