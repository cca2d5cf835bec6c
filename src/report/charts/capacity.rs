//! The chart of a capacity plan: the used share of each limit, by class, for the options that fit. Called by `capacity_plan`. Independent of
//! how the plan is made.

use super::axis::Axis;
use super::figure::{Figure, Horizontal};
use super::plot::{Limit, Plot, Scale, Series, Shape, Unit};
use super::svg::Style;
use super::theme::{self, Role};
use super::{Panel, ReportError, number};
use crate::capacity::model::{CapacityPlan, SizeOption};
use crate::report::capacity_plan::words;
use crate::units::human_count;

/// Height of the plot in CSS pixels.
const HEIGHT: f64 = 220.0;
/// The options of the chart, cheapest first. More would make the bars too thin.
const ROLES: [Role; 4] = [theme::FIRST, theme::SECOND, theme::FOURTH, theme::FIFTH];
/// The share of a class's width that its bars take.
const FILLED: f64 = 0.8;

/// Draws the used shares. `None` if no option fits.
///
/// # Errors
/// Returns an error if drawing fails.
pub(in crate::report) fn limits(plan: &CapacityPlan) -> Result<Option<Panel>, ReportError> {
    let options: Vec<&SizeOption> =
        plan.options.iter().filter(|option| option.fits).take(ROLES.len()).collect();
    let Some(first) = options.first() else { return Ok(None) };
    let classes: Vec<&str> = first.limits.iter().map(|limit| limit.class.as_str()).collect();
    let width = FILLED / number(options.len() as u64);
    let mut series = Vec::new();
    for ((option, role), place) in options.iter().zip(ROLES).zip(0_u64..) {
        let bars = option.limits.iter().zip(0_u64..).map(|(limit, class)| {
            let left = number(class) + (1.0 - FILLED) / 2.0 + width * number(place);
            [left, left + width, limit.share.unwrap_or(0.0)]
        });
        let label = format!("{} x {}", option.tier, human_count(option.units));
        let shape = Shape::Bars(bars.collect());
        series.push(Series { id: option.tier.clone(), label, role, style: Style::Solid, width: 0.0, shape });
    }
    let end = number(classes.len() as u64);
    let line = |value: f64, label: String| Limit { value, from: 0.0, to: end, label };
    let mut lines = vec![line(1.0, "limit".to_owned())];
    if plan.headroom < 1.0 {
        lines.push(line(plan.headroom, format!("headroom, {}", words::share(Some(plan.headroom)))));
    }
    let quarters = [0.0, 0.25, 0.5, 0.75, 1.0].map(|share| (share, Unit::Share.tick(share)));
    let plot = Plot {
        name: "limits".to_owned(),
        label: "used share".to_owned(),
        unit: Unit::Share,
        scale: Scale::Fixed(Axis::fixed(0.0, 1.1, quarters.to_vec())),
        height: HEIGHT,
        series,
        limits: lines,
        outlier: None,
    };
    let names: Vec<String> = classes.iter().map(|class| words::class(class).to_owned()).collect();
    let figure = Figure {
        id: "limits",
        title: "Used share of each limit".to_owned(),
        unit: "by limit class, for the cheapest options".to_owned(),
        words: text(&options),
        x: Horizontal::Other {
            label: "limit class",
            axis: Box::new(move |width, font| classes_axis(&names, width, font)),
        },
        plots: vec![plot],
        markers: Vec::new(),
    };
    figure.draw().map(Some)
}

/// Returns an axis with the name of a class in the middle of its width. On a narrow screen, names that do not fit are left out.
fn classes_axis(names: &[String], width: f64, font: f64) -> Axis {
    let count = number(names.len() as u64);
    let room = width / count.max(1.0);
    let fits = |name: &str| number(name.chars().count() as u64) * font * 0.58 <= room;
    let tick = |(at, name): (u64, &String)| {
        let label = [name.as_str(), short(name)].into_iter().find(|label| fits(label));
        (number(at) + 0.5, label.unwrap_or_default().to_owned())
    };
    Axis::fixed(0.0, count, (0_u64..).zip(names).map(tick).collect())
}

/// Returns a shorter name of a class for a narrow screen.
fn short(name: &str) -> &str {
    match name {
        "new connections" => "connect",
        "D2C messages" => "D2C",
        "C2D messages" => "C2D",
        "method calls" => "methods",
        name => name.split(' ').next_back().unwrap_or(name),
    }
}

/// Describes the chart in words.
fn text(options: &[&SizeOption]) -> String {
    let each = options.iter().map(|option| {
        let shares = option
            .limits
            .iter()
            .map(|limit| format!("{} {}", words::class(&limit.class), words::share(limit.share)));
        format!("{} x {}: {}.", option.tier, human_count(option.units), shares.collect::<Vec<_>>().join(", "))
    });
    each.collect::<Vec<_>>().join(" ")
}
