//! Charts of failures over time: operations that did not end ok, and errors by class. Called by `timeline`.

use super::number;
use super::plot::{Draft, HEIGHT, Outlier, Plot, Scale, Series, Unit};
use super::rows::{Rows, Slot};
use super::theme::{self, Role};
use crate::report::format::{instant, plain};
use crate::units::{human_count, plural};
use std::collections::BTreeMap;

/// The maximum number of classes that have a plot of their own.
const CLASSES_MAX: usize = 8;

/// Height of the plot of a class in CSS pixels.
const LANE: f64 = 26.0;

/// Draws operations that did not end ok. `None` if every operation ended ok, because an empty chart shows nothing.
pub(super) fn not_ok(rows: &Rows<'_>) -> Option<Draft> {
    let total: u64 = rows.slots.iter().map(|slot| slot.row.interval.errors).sum();
    let first = rows.slots.iter().find(|slot| slot.row.interval.errors > 0)?;
    let outlier = outlier(rows);
    Some(Draft {
        id: "errors",
        title: "Operations not ok".to_owned(),
        unit: "per interval",
        words: format!(
            "{} did not end ok, the first in the interval from {}.",
            plural(total, "operation", "operations"),
            instant(first.row.t_us)
        ),
        plots: vec![Plot {
            name: "errors".to_owned(),
            label: "operations".to_owned(),
            unit: Unit::Count,
            scale: Scale::Linear { ticks: 2, at_least: 1.0 },
            height: HEIGHT * 0.75,
            series: vec![bars(rows, "not_ok", theme::BAD, |slot| slot.row.interval.errors)],
            limits: Vec::new(),
            outlier,
        }],
    })
}

/// Draws the operations that are unfinished at the end of the drain as one bar. The bar does not scale the axis if it would hide the
/// failures during the load.
fn outlier(rows: &Rows<'_>) -> Option<Outlier> {
    let is_after = |slot: &&Slot<'_>| slot.from >= rows.load_end - 1e-6;
    let most = |slots: &mut dyn Iterator<Item = &Slot<'_>>| {
        slots.map(|slot| slot.row.interval.errors).max().unwrap_or(0)
    };
    let during = most(&mut rows.slots.iter().filter(|slot| !is_after(slot)));
    let after = most(&mut rows.slots.iter().filter(is_after));
    let first = rows.slots.iter().find(|slot| is_after(slot) && slot.row.interval.errors > 2 * during)?;
    (during > 0).then(|| Outlier {
        from: first.from,
        label: format!("{} after the end of the load →", human_count(after)),
    })
}

fn bars(rows: &Rows<'_>, id: &str, role: Role, count: impl Fn(&Slot<'_>) -> u64) -> Series {
    let bars = rows.slots.iter().map(|slot| [slot.from, slot.to, number(count(slot))]);
    Series::bars(id, role, bars.filter(|[.., height]| *height > 0.0).collect())
}

/// Draws the errors of each class in a plot of its own, the most frequent first. `None` without errors, and for files from earlier
/// versions.
pub(super) fn by_class(rows: &Rows<'_>) -> Option<Draft> {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for slot in &rows.slots {
        for (class, count) in &slot.row.interval.errors_by_class {
            *sums.entry(class).or_default() += count;
        }
    }
    let mut classes: Vec<(&str, u64)> = sums.iter().map(|(class, count)| (*class, *count)).collect();
    classes.sort_by_key(|(class, count)| (std::cmp::Reverse(*count), *class));
    let (shown, rest) = classes.split_at(classes.len().min(if classes.len() > CLASSES_MAX + 1 {
        CLASSES_MAX
    } else {
        CLASSES_MAX + 1
    }));
    let (most, most_count) = shown.first()?;
    let count =
        |slot: &Slot<'_>, class: &str| slot.row.interval.errors_by_class.get(class).copied().unwrap_or(0);
    let mut plots: Vec<Plot> = shown
        .iter()
        .map(|(class, total)| lane(rows, &plain(class), *total, |slot| count(slot, class)))
        .collect();
    if !rest.is_empty() {
        let total = rest.iter().map(|(_, count)| count).sum();
        let label = format!("{} other classes", rest.len());
        plots.push(lane(rows, &label, total, |slot| rest.iter().map(|(class, _)| count(slot, class)).sum()));
    }
    let total: u64 = classes.iter().map(|(_, count)| count).sum();
    Some(Draft {
        id: "classes",
        title: "Errors by class".to_owned(),
        unit: "per interval, each class on its own scale",
        words: format!(
            "{} in {}. Most frequent: {}, {} times.",
            plural(total, "error", "errors"),
            plural(classes.len() as u64, "class", "classes"),
            plain(most),
            human_count(*most_count)
        ),
        plots,
    })
}

fn lane(rows: &Rows<'_>, name: &str, total: u64, count: impl Fn(&Slot<'_>) -> u64) -> Plot {
    Plot {
        name: name.to_owned(),
        label: format!("{name}: {}", plural(total, "error", "errors")),
        unit: Unit::Count,
        scale: Scale::Linear { ticks: 1, at_least: 1.0 },
        height: LANE,
        series: vec![bars(rows, name, theme::BAD, count)],
        limits: Vec::new(),
        outlier: None,
    }
}
