//! Method calls that were sent to the device and wait for its response. Kept by [`HubSession`](super::HubSession).

use crate::emulator::method_call::CallReply;
use std::time::Instant;

/// A method call that was sent to the device.
#[derive(Debug)]
pub(super) struct SentCall {
    /// Call number.
    pub(super) number: u64,
    /// Deadline of the response; `None` if it is beyond the range of `Instant`.
    pub(super) answer_by: Option<Instant>,
    /// The result of the call.
    pub(super) reply: CallReply,
}
