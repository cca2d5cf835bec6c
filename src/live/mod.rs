//! Shows the progress of a run. In: the events of a run, from `app`. Out: progress lines on a stream. A CI log gets one line
//! every few seconds; a terminal gets a single line that is redrawn, and a
//! second one above it during a search for capacity. Frequent errors get lines of their own. Read `console.rs` first.
//!
//! This room reads measured numbers and changes nothing. It must not depend on the plan or on the fleet.

mod alerts;
mod console;
mod line;
mod progress;

pub use console::{Console, Outline, PhaseOutline};
pub use line::{SearchStage, SearchStatus};
pub use progress::{Progress, Screen, Style};
