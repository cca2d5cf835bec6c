//! The distribution of response times over time: the stronger the color of a cell, the more operations ended in this time and took this
//! long. Called by `timeline`.

use super::number;
use super::plot::{Draft, HEIGHT, Plot, Scale, Series, Shape, Unit};
use super::rows::Rows;
use super::svg::Style;
use super::theme;
use crate::measure::{Latency, Operation};
use crate::units::{human_count, human_us, whole};

/// The maximum number of columns: cells stay visible on a narrow screen.
const COLUMNS_MAX: usize = 75;

/// Number of cells per factor of ten.
const CELLS_PER_DECADE: f64 = 8.0;

/// The opacity of each level. A level stands for counts up to a power of the highest count, so that rare slow operations are visible.
const LEVELS: [f64; 5] = [0.16, 0.32, 0.5, 0.72, 1.0];

/// Draws the response times of an operation. `None` if fewer than 1,000 operations ended ok, or in fewer than 10 intervals: a heatmap would
/// show single cells.
pub(super) fn heatmap(rows: &Rows<'_>, operation: Operation) -> Option<Draft> {
    let count: u64 = rows.slots.iter().map(|slot| slot.row.interval.response.of(operation).count()).sum();
    if count < 1_000 || rows.slots.len() < 10 {
        return None;
    }
    let mut columns: Vec<(f64, f64, Vec<u64>)> = Vec::new();
    let mut whole = Latency::default();
    for slots in rows.slots.chunks(rows.slots.len().div_ceil(COLUMNS_MAX)) {
        let mut sum = Latency::default();
        slots.iter().for_each(|slot| sum.add(slot.row.interval.response.of(operation)));
        whole.add(&sum);
        let from = slots.first().map_or(0.0, |slot| slot.from);
        columns.push((from, slots.last().map_or(from, |slot| slot.to), by_cell(&sum)));
    }
    let most = columns.iter().flat_map(|(.., cells)| cells).copied().max().filter(|most| *most > 0)?;
    let mut levels = LEVELS.map(|_| Vec::new());
    for (from, to, cells) in &columns {
        for (cell, count) in (0_u32..).zip(cells).filter(|(_, count)| **count > 0) {
            levels[level(*count, most)].push([*from, *to, low_us(cell), low_us(cell + 1)]);
        }
    }
    let series = LEVELS.iter().zip(levels).enumerate().map(|(n, (opacity, cells))| Series {
        id: format!("level-{n}"),
        label: range(n, most),
        role: theme::FIRST,
        style: Style::Solid,
        width: 0.0,
        shape: Shape::Cells(*opacity, cells),
    });
    let series: Vec<Series> = series.filter(|series| !series.is_empty()).collect();
    let (middle, max) = (whole.quantile(0.5).unwrap_or(0), whole.max().unwrap_or(0));
    Some(Draft {
        id: "heatmap",
        title: format!("Distribution of response times of {operation}"),
        unit: "operations in each cell, logarithmic",
        words: format!(
            "Half of the operations took at most {}, the slowest {}. The stronger the color of a cell, the more operations ended in it.",
            human_us(middle),
            human_us(max),
        ),
        plots: vec![Plot {
            name: "heatmap".to_owned(),
            label: "response, log scale".to_owned(),
            unit: Unit::Latency,
            scale: Scale::Log,
            height: HEIGHT + 30.0,
            series,
            limits: Vec::new(),
            outlier: None,
        }],
    })
}

/// Returns the lowest latency of a cell.
fn low_us(cell: u32) -> f64 {
    10_f64.powf(f64::from(cell) / CELLS_PER_DECADE)
}

/// Returns the number of samples in each cell, from 1 us.
fn by_cell(latency: &Latency) -> Vec<u64> {
    let mut cells = Vec::new();
    let Some(histogram) = latency.histogram() else { return cells };
    for step in histogram.iter_recorded() {
        let us = number(histogram.median_equivalent(step.value_iterated_to()).max(1));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 16 decades")]
        let cell = (us.log10() * CELLS_PER_DECADE).floor().max(0.0) as usize;
        if cells.len() <= cell {
            cells.resize(cell + 1, 0);
        }
        cells[cell] += step.count_at_value();
    }
    cells
}

/// Returns the level of a count: logarithmic between 1 and `most`.
fn level(count: u64, most: u64) -> usize {
    let share = number(count).ln() / number(most.max(2)).ln();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a small number")]
    let level = (share * number(LEVELS.len() as u64)).floor() as usize;
    level.min(LEVELS.len() - 1)
}

/// Returns the counts of a level in words: `4–9`.
fn range(index: usize, most: u64) -> String {
    let of_level = |count: &u64| level(*count, most) == index;
    // A level begins near a power of `most`; rounding may move it by one.
    let bound = |index: usize| {
        let share = number(index as u64) / number(LEVELS.len() as u64);
        whole(number(most.max(2)).powf(share).ceil())
    };
    let around = |at: u64| at.saturating_sub(1).max(1)..=at + 1;
    let first = around(bound(index)).find(of_level);
    let last =
        if index + 1 == LEVELS.len() { Some(most) } else { around(bound(index + 1)).rev().find(of_level) };
    match (first, last) {
        (Some(first), Some(last)) if first < last => format!("{}–{}", human_count(first), human_count(last)),
        (Some(only), _) | (None, Some(only)) => human_count(only),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_cover_all_counts_without_a_gap() {
        assert_eq!([0, 1, 2, 3, 4].map(|index| range(index, 46)), ["1–2", "3–4", "5–9", "10–21", "22–46"]);
        for most in [2, 3, 7, 46, 1_000, 123_456] {
            let mut next = 1;
            for index in 0..LEVELS.len() {
                let text = range(index, most).replace(',', "");
                if (next..=most).any(|count| level(count, most) == index) {
                    let (first, last) = text.split_once('–').unwrap_or((&text, &text));
                    assert_eq!(first.parse::<u64>().unwrap(), next, "level {index} of {most}");
                    next = last.parse::<u64>().unwrap() + 1;
                }
            }
            assert_eq!(next, most + 1, "{most}");
        }
    }
}
