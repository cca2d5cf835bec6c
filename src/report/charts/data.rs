//! The data block of a chart: times and formatted values, for a script that shows the values under the cursor. Called by `figure`.
//! The page is complete without it.

use super::ReportError;
use super::plot::{Plot, Shape};
use serde::Serialize;

#[derive(Serialize)]
struct Block<'a> {
    /// Lists of times in seconds, shared by the series.
    times: Vec<Vec<f64>>,
    series: Vec<Values<'a>>,
}

#[derive(Serialize)]
struct Values<'a> {
    id: &'a str,
    plot: &'a str,
    label: &'a str,
    /// Index into the lists of times.
    times: usize,
    values: Vec<Option<String>>,
}

/// Returns the data block of a chart.
///
/// # Errors
/// Serialization to JSON can fail in general, but never for these values.
pub(super) fn block(id: &str, plots: &[Plot]) -> Result<String, ReportError> {
    let mut block = Block { times: Vec::new(), series: Vec::new() };
    for plot in plots {
        for series in &plot.series {
            let points: Vec<(f64, Option<f64>)> = match &series.shape {
                Shape::Line(points) => points.clone(),
                Shape::Bars(bars) => {
                    bars.iter().map(|[from, to, value]| (f64::midpoint(*from, *to), Some(*value))).collect()
                }
                Shape::Points(..) | Shape::Cells(..) => continue,
            };
            let times: Vec<f64> = points.iter().map(|(at, _)| seconds(*at)).collect();
            let known = block.times.iter().position(|known| *known == times);
            let index = known.unwrap_or_else(|| {
                block.times.push(times);
                block.times.len() - 1
            });
            block.series.push(Values {
                id: &series.id,
                plot: &plot.name,
                label: if series.label.is_empty() { &plot.label } else { &series.label },
                times: index,
                values: points.iter().map(|(_, value)| value.map(|value| plot.unit.value(value))).collect(),
            });
        }
    }
    // The block contains names of fleets. An escaped `<` cannot end it.
    let json = serde_json::to_string(&block)?.replace('<', "\\u003c");
    Ok(format!("<script type=\"application/json\" data-chart=\"{id}\">{json}</script>\n"))
}

/// Rounds a time to milliseconds.
pub(super) fn seconds(at: f64) -> f64 {
    (at * 1e3).round() / 1e3
}
