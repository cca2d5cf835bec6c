//! Who measured a snapshot. Named by `fleet`, which hands snapshots in; `Measurement` keeps gauges apart by it.

/// A part of the load generator that records operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A worker thread with its share of the devices, counted from 0.
    Worker(u16),
    /// The service driver, which calls devices over the hub.
    Service,
    /// The collector itself: deliveries that reconciliation found missing.
    Collector,
}
