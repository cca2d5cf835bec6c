//! Method calls that have been sent to the device and are waiting for its response. Kept by [`HubSession`](super::HubSession).

use crate::emulator::method_call::CallReply;
use std::time::Instant;

/// A method call that has been sent to the device.
#[derive(Debug)]
pub(super) struct SentCall {
    /// Call number.
    pub(super) number: u64,
    /// Deadline for the response; `None` if it is beyond the range of `Instant`.
    pub(super) answer_by: Option<Instant>,
    /// The channel for the result of the call.
    pub(super) reply: CallReply,
}
