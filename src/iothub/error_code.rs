//! The error codes of an IoT hub that this project sends or recognizes ("Troubleshoot Azure IoT Hub error codes"). Used by the emulator,
//! which sends them, and by the load generator, which turns them into outcomes.
//!
//! The first three digits of a code are an HTTP status: see [`status`].

/// `InvalidProtocolVersion`: the API version is missing or not supported.
pub const INVALID_PROTOCOL_VERSION: u32 = 400_001;
/// `ArgumentInvalid`: the request has an invalid argument.
pub const ARGUMENT_INVALID: u32 = 400_004;
/// `DeserializationError`: a body is not valid JSON.
pub const DESERIALIZATION_ERROR: u32 = 400_012;
/// `IotHubQuotaExceeded`: the daily message quota is used up.
pub const IOT_HUB_QUOTA_EXCEEDED: u32 = 403_002;
/// `DeviceMaximumQueueDepthExceeded`: the message queue of the device is full.
pub const DEVICE_MAXIMUM_QUEUE_DEPTH_EXCEEDED: u32 = 403_004;
/// `OperationNotAvailableInCurrentTier`: the hub's tier does not have the operation.
pub const OPERATION_NOT_AVAILABLE_IN_CURRENT_TIER: u32 = 403_010;
/// `DeviceMaximumInflightMethodExceeded`: the device has too many unanswered method calls.
pub const DEVICE_MAXIMUM_INFLIGHT_METHOD_EXCEEDED: u32 = 403_800;
/// `DeviceNotFound`: the device is not registered, or it is disabled.
pub const DEVICE_NOT_FOUND: u32 = 404_001;
/// `DeviceNotOnline`: the device is not connected, or not subscribed to methods.
pub const DEVICE_NOT_ONLINE: u32 = 404_103;
/// `PreconditionFailed`: the version in the request is not the current one.
pub const PRECONDITION_FAILED: u32 = 412_001;
/// `MessageTooLarge`: the body is larger than its limit.
pub const MESSAGE_TOO_LARGE: u32 = 413_001;
/// `ThrottlingException`: a throttle of the hub refused the request.
pub const THROTTLING: u32 = 429_001;
/// `ThrottleBacklogLimitExceeded`: too many requests already wait behind a throttle.
pub const THROTTLE_BACKLOG_LIMIT_EXCEEDED: u32 = 429_002;
/// `ThrottlingBacklogTimeout`: the request waited too long behind a throttle.
pub const THROTTLING_BACKLOG_TIMEOUT: u32 = 429_003;
/// `DeviceThrottlingLimitExceeded`: a throttle of the device refused the request.
pub const DEVICE_THROTTLING_LIMIT_EXCEEDED: u32 = 429_005;
/// `ServerBusy`: the hub is overloaded.
pub const SERVER_BUSY: u32 = 503_005;
/// `GatewayTimeout`: the device did not answer in time.
pub const GATEWAY_TIMEOUT: u32 = 504_101;

/// Returns the HTTP status of an error code: its first three digits.
#[must_use]
pub fn status(code: u32) -> u32 {
    code / 1_000
}
