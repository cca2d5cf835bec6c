//! A comparison of two capacities as text, which is Markdown, too. Called by `app`.

use crate::capacity::comparison::{CapacityComparison, Outcome};
use crate::report::format::rate_text;
use crate::units::Percent;

/// Renders a comparison of two capacities.
#[must_use]
pub fn comparison(compared: &CapacityComparison) -> String {
    let word = match compared.outcome {
        Outcome::Regressed => "Regressed",
        Outcome::SameOrBetter => "Same or better",
        Outcome::Inconclusive => "Inconclusive",
        Outcome::Invalid => "Invalid",
    };
    let change = match compared.ratio {
        [Some(low), Some(high)] => format!(" ({} to {} of the base)", percent(low), percent(high)),
        [Some(low), None] => format!(" (at least {} of the base)", percent(low)),
        [None, Some(high)] => format!(" (at most {} of the base)", percent(high)),
        [None, None] => String::new(),
    };
    format!(
        "{word}: {}.\n\n- base: {}\n- new: {}{change}\n",
        compared.summary,
        interval(compared.base_per_s),
        interval(compared.new_per_s)
    )
}

fn percent(ratio: f64) -> Percent {
    Percent::from_fraction((ratio * 1e3).round() / 1e3)
}

fn interval(bounds: [Option<f64>; 2]) -> String {
    match bounds {
        [Some(lower), Some(upper)] => format!("between {} and {}", rate_text(lower), rate_text(upper)),
        [Some(lower), None] => format!("at least {}", rate_text(lower)),
        [None, Some(upper)] => format!("below {}", rate_text(upper)),
        [None, None] => "unknown".to_owned(),
    }
}
