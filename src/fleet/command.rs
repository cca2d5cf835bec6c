//! Commands that control a running load. `app` sends them to the coordinator, which forwards them to every worker.

use crate::plan::{OnlineChange, Segment};
use std::time::Duration;

/// A command that controls a running load. Each worker receives the commands in the order in which they were sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Extend the load by a segment. The last phase then lasts until the segment's end.
    Append(Segment),
    /// Change the number of online devices, beginning at the end of the load or later. Send it after the previous change is over.
    ChangeOnline(OnlineChange),
    /// Release the messages and calls of a staged run that are due before this time, measured from the start of the run.
    Release(Duration),
    /// Stop making messages due, send the due ones, drain acknowledgments, disconnect.
    Stop,
    /// All published messages have been delivered, so subscribers need not wait any longer. Sent only by the coordinator.
    AllDelivered,
    /// Count open operations as unfinished and end now.
    Abort,
}
