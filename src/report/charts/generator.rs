//! Charts of the load generator over time: CPU and lag. Called by `timeline`.

use super::number;
use super::plot::{Draft, HEIGHT, Plot, Scale, Series, Unit};
use super::response;
use super::rows::Rows;
use super::svg::Style;
use super::theme;
use crate::units::human_us;

/// Draws the CPU usage.
pub(super) fn processor(rows: &Rows<'_>) -> Draft {
    let points = rows.at_middles(|slot| Some(slot.row.cpu_percent).filter(|percent| percent.is_finite()));
    let peak = points.iter().filter_map(|(_, percent)| *percent).fold(0.0, f64::max);
    Draft {
        id: "cpu",
        title: "Load generator: CPU".to_owned(),
        unit: "percent of one core",
        words: format!("Busiest interval: {peak:.0}% of one core, of {}.", rows.result.run.host.cores),
        plots: vec![Plot {
            name: "cpu".to_owned(),
            label: "percent of one core".to_owned(),
            unit: Unit::Core,
            scale: Scale::Linear { ticks: 2, at_least: 10.0 },
            height: HEIGHT * 0.75,
            series: vec![Series::line("cpu", "", (theme::THIRD, Style::Solid), points)],
            limits: Vec::new(),
            outlier: None,
        }],
    }
}

/// Draws the maximum lag.
pub(super) fn lag(rows: &Rows<'_>) -> Draft {
    let lag = |us: u64| (us > 0).then(|| number(us));
    let worst = rows.slots.iter().map(|slot| slot.row.interval.lag_max_us).max().unwrap_or(0);
    let words = match rows.result.generator.lag.count() {
        0 if rows.slots.iter().all(|slot| slot.row.interval.offered == 0) => {
            "No messages were due.".to_owned()
        }
        0 => "The load generator could not start any message.".to_owned(),
        _ => format!("The load generator started every message within {} of its due time.", human_us(worst)),
    };
    let points = rows.at_middles(|slot| lag(slot.row.interval.lag_max_us));
    let series = vec![Series::line("lag", "", (theme::THIRD, Style::Solid), points)];
    Draft {
        id: "lag",
        title: "Load generator: lag".to_owned(),
        unit: "maximum per interval, logarithmic",
        words,
        plots: vec![response::plot("lag", "lag, log scale", HEIGHT * 0.75, series)],
    }
}
