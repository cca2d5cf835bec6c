//! The address of a connection within the hub. Shards, sessions and the directory use it to identify the connection.

/// The address of a connection within the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// Index of the shard.
    pub shard: usize,
    /// Number of the connection on that shard. It is never reused.
    pub connection: u64,
}
