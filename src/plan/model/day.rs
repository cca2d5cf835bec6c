//! A day of the real fleet: which phase's load lasts how long. Data only.

/// A part of a day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DayPart {
    /// Index of the phase.
    pub phase: u16,
    /// Length in hours.
    pub hours: f64,
}
