//! What a run is told while it goes on. Sent by `app` to the collector, and by the collector to every worker.

use crate::plan::Segment;

/// A command to a running load. Commands keep their order on the way to each worker.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Extend the load by a segment. The last phase then lasts until the segment's end.
    Append(Segment),
    /// Make nothing due any more: send what is due already, drain acknowledgments, disconnect.
    Stop,
    /// All published messages have been delivered: subscribers need not wait for more. The collector sends it.
    Arrived,
    /// Count what is open and end now.
    Abort,
}
