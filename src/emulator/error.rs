//! The reasons why the emulator cannot serve. Returned by `server` and `accept`, displayed by `app`.

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};

/// The emulator cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorError {
    /// The listener cannot be used.
    #[error("the emulator cannot listen: {0}")]
    Listen(#[source] std::io::Error),
    /// A thread or its runtime cannot be started.
    #[error("the emulator cannot start a shard: {0}")]
    Shard(#[source] std::io::Error),
    /// There are not enough file descriptors for the shards.
    #[error(
        "the emulator cannot start a shard: all {0} file descriptors are in use; raise the limit, for example with `ulimit -n 65536`"
    )]
    Descriptors(u64),
    /// The hub has already been started.
    #[error("the emulator was started twice")]
    StartedTwice,
    /// The thread of a shard ended unexpectedly.
    #[error("a shard of the emulator ended unexpectedly")]
    ShardEnded,
}

impl EmulatorError {
    /// Converts an error from a shard's thread. The result contains the limit if there are no file descriptors left.
    pub(super) fn shard(error: std::io::Error) -> EmulatorError {
        if error.raw_os_error().map(Errno::from_raw) != Some(Errno::EMFILE) {
            return EmulatorError::Shard(error);
        }
        EmulatorError::Descriptors(descriptor_limit())
    }
}

/// Returns this process's limit on open files, or 0 if it is unknown.
pub(super) fn descriptor_limit() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft)
}
