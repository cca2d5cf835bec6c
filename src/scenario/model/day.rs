//! The content of `[[day.part]]`. Filled in by `keys::day`; `plan` resolves it. Data only.

use crate::scenario::error::Place;
use crate::scenario::value::Written;

/// `day`: how long each phase lasts on a day of the real fleet. Only `hubstorm plan` uses it.
#[derive(Clone, Debug)]
pub struct DaySpec {
    /// Place of the table.
    pub place: Place,
    /// `[[day.part]]`, in file order.
    pub parts: Vec<DayPartSpec>,
}

/// `[[day.part]]`.
#[derive(Clone, Debug)]
pub struct DayPartSpec {
    /// Place of the table.
    pub place: Place,
    /// `phase`; `None` if invalid.
    pub phase: Option<Written<String>>,
    /// `hours`; `None` if invalid.
    pub hours: Option<f64>,
}
