//! Device twins: how requests end, and the received versions of desired properties. Part of `device`. `messages` sends the
//! requests.

use super::Device;
use crate::fleet::observer::Observed;
use crate::fleet::twin_requests::{AnswerMatch, TwinRequest, TwinRequests};
use crate::iothub::error_code;
use crate::iothub::received::{Refusal, desired_version};
use crate::measure::{Culprit, FromHub, Operation, Outcome};
use crate::units::human_duration;
use std::time::Instant;

impl Device {
    pub(super) fn on_twin_answer(&mut self, now: Instant, status: u16, rid: &str, body: &[u8]) {
        let request = match self.messages.requests_mut().map(|requests| requests.match_answer(rid)) {
            Some(AnswerMatch::Pending(request)) => request,
            Some(AnswerMatch::Late) => return self.count_hub(|counts| counts.late_answers += 1),
            Some(AnswerMatch::Unknown) | None => return self.count_hub(|counts| counts.unknown_answers += 1),
        };
        let operation = request.open.operation();
        // A successful answer without a valid twin counts as a refusal.
        let version = (operation == Operation::TwinGet && status == 200).then(|| desired_version(body));
        if matches!(status, 200 | 204) && version != Some(None) {
            self.recorder().ok(request.open, request.sent, now);
            if let Some(send) = request.send {
                self.message_ended(send, now);
            }
        } else {
            let refusal = Refusal::read(body);
            let class = if status == 200 { "twin_body" } else { class(status, refusal.error_code) };
            self.recorder().error(class, Culprit::Target, now, || {
                let what = if class == "twin_body" { ": the body is not a twin" } else { "" };
                format!("{}: {operation} failed with status {status}{what}{refusal}", self.id())
            });
            let outcome = if status == 429 { Outcome::Throttled } else { Outcome::Refused };
            self.request_ended(request, outcome, now);
        }
        if let Some(version) = version.flatten() {
            let counts = self.iot_hub().desired.settle(Some(version));
            self.count_desired(counts);
        }
    }

    fn request_ended(&mut self, request: TwinRequest, outcome: Outcome, now: Instant) {
        self.recorder().ended(request.open, outcome, now);
        match request.send {
            Some(send) => self.message_ended(send, now),
            None => self.settle_without_twin(),
        }
    }

    pub(super) fn on_desired(&mut self, version: u64) {
        let getting = match self.messages.requests() {
            Some(requests) if requests.listening => requests.is_get_open(),
            // SUBACK has not arrived. The request for the whole twin follows it.
            _ => self.plan().twin.get_on_connect,
        };
        let counts = self.iot_hub().desired.on_change(version, getting);
        self.count_desired(counts);
    }

    fn settle_without_twin(&mut self) {
        if let Some(hub) = &mut self.iot_hub {
            let counts = hub.desired.settle(None);
            self.count_desired(counts);
        }
    }

    fn count_desired(&self, counted: FromHub) {
        for _ in 0..counted.desired {
            self.recorder().report(|fleet| Observed::DesiredReceived { fleet });
        }
        self.count_hub(|counts| {
            counts.desired += counted.desired;
            counts.desired_stale += counted.desired_stale;
            counts.desired_missed = counts.desired_missed.saturating_add(counted.desired_missed);
        });
    }

    pub(super) fn expire_requests(&mut self, now: Instant) {
        let timeout = self.plan().twin.timeout;
        while let Some(request) = self.messages.requests_mut().and_then(|open| open.pop_expired(now, timeout))
        {
            self.recorder().error("twin_timeout", Culprit::Target, now, || {
                let operation = request.open.operation();
                format!("{}: no answer to {operation} within {}", self.id(), human_duration(timeout))
            });
            self.request_ended(request, Outcome::TimedOut, now);
        }
    }

    pub(super) fn end_requests(&mut self, outcome: Outcome, now: Instant) {
        while let Some(request) = self.messages.requests_mut().and_then(TwinRequests::pop_lost) {
            self.request_ended(request, outcome, now);
        }
        if let Some(open) = self.messages.requests_mut().and_then(TwinRequests::give_up_get) {
            self.recorder().ended(open, outcome, now);
        }
        self.settle_without_twin();
    }
}

/// Returns the error class of a twin answer. If the body has a known error code that matches the status, the class names that
/// code ("Troubleshooting Azure IoT Hub error codes"), otherwise the status.
fn class(status: u16, code: Option<u32>) -> &'static str {
    match code.filter(|code| error_code::status(*code) == u32::from(status)) {
        Some(error_code::INVALID_PROTOCOL_VERSION) => return "twin_400001",
        Some(error_code::ARGUMENT_INVALID) => return "twin_400004",
        Some(error_code::IOT_HUB_QUOTA_EXCEEDED) => return "twin_403002",
        Some(error_code::DEVICE_NOT_FOUND) => return "twin_404001",
        Some(error_code::PRECONDITION_FAILED) => return "twin_412001",
        Some(error_code::MESSAGE_TOO_LARGE) => return "twin_413001",
        Some(error_code::THROTTLING) => return "twin_429001",
        Some(error_code::THROTTLE_BACKLOG_LIMIT_EXCEEDED) => return "twin_429002",
        Some(error_code::THROTTLING_BACKLOG_TIMEOUT) => return "twin_429003",
        Some(error_code::DEVICE_THROTTLING_LIMIT_EXCEEDED) => return "twin_429005",
        Some(error_code::SERVER_BUSY) => return "twin_503005",
        _ => {}
    }
    match status {
        400 => "twin_400",
        401 => "twin_401",
        403 => "twin_403",
        404 => "twin_404",
        405 => "twin_405",
        409 => "twin_409",
        412 => "twin_412",
        413 => "twin_413",
        415 => "twin_415",
        429 => "twin_429",
        499 => "twin_499",
        500 => "twin_500",
        502 => "twin_502",
        503 => "twin_503",
        504 => "twin_504",
        _ => "twin_unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_is_named_after_its_status_or_code() {
        for status in [400, 401, 403, 404, 405, 409, 412, 413, 415, 429, 499, 500, 502, 503, 504] {
            assert_eq!(class(status, None), format!("twin_{status}"));
            assert_eq!(class(status, Some(u32::from(status) * 1_000 + 999)), format!("twin_{status}"));
        }
        for code in [
            400_001, 400_004, 403_002, 404_001, 412_001, 413_001, 429_001, 429_002, 429_003, 429_005, 503_005,
        ] {
            let status = u16::try_from(code / 1_000).unwrap();
            assert_eq!(class(status, Some(code)), format!("twin_{code}"));
            assert_eq!(class(500, Some(code)), "twin_500", "status and code disagree");
        }
        assert_eq!(class(418, Some(418_000)), "twin_unknown");
    }
}
