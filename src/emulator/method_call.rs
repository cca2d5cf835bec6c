//! A direct method call from its request to its result. Queued in [`Device`](super::device::Device) until a connection takes it, then
//! kept by that connection's session until the device responds. Independent of both.

use crate::iothub::service::{ServiceError, ServiceResponse};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// A method call that has not been sent to the device.
#[derive(Debug)]
pub struct QueuedCall {
    /// Call number. Written in hexadecimal, it is the request id.
    pub(super) number: u64,
    /// Method name.
    pub(super) name: String,
    /// JSON payload; empty if the call has none.
    pub(super) payload: String,
    /// Response timeout, which starts when the call is sent.
    pub(super) response_timeout: Duration,
    /// True if the call belongs to the current connection, false if it waits for one.
    pub(super) has_connection: bool,
    /// The channel for the result of the call.
    pub(super) reply: CallReply,
}

/// The channel to the caller, who may have stopped waiting. Holds the call's permit.
#[derive(Debug)]
pub(super) struct CallReply {
    result: oneshot::Sender<Result<ServiceResponse, ServiceError>>,
    permit: Option<CallPermit>,
}

impl CallReply {
    pub(super) fn new(result: oneshot::Sender<Result<ServiceResponse, ServiceError>>) -> CallReply {
        CallReply { result, permit: None }
    }

    pub(super) fn set_permit(&mut self, permit: CallPermit) {
        self.permit = Some(permit);
    }

    /// Ends the call with a result.
    pub(super) fn send(self, result: Result<ServiceResponse, ServiceError>) {
        // Return the permit first: the caller may call again as soon as it has the result.
        drop(self.permit);
        // Ignore the error: the caller may no longer be waiting.
        let _ = self.result.send(result);
    }
}

/// A permit to call a method on a device, held until the call ends. The number of permits limits the device's unanswered calls.
#[derive(Debug)]
pub(super) struct CallPermit(#[expect(dead_code, reason = "only its reference count is used")] Arc<()>);

/// Issues the permits for one device.
#[derive(Debug, Default)]
pub(super) struct CallPermits(Option<Arc<()>>);

impl CallPermits {
    /// Returns a permit, or `None` if `max` are in use.
    pub(super) fn acquire(&mut self, max: usize) -> Option<CallPermit> {
        // One of the references is the one in `self`.
        let references = self.0.get_or_insert_default();
        (Arc::strong_count(references) <= max).then(|| CallPermit(Arc::clone(references)))
    }
}
