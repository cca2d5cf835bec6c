//! Charts with a line for each fleet: the share of its devices that are online, its acknowledged messages, and their response time. Called
//! by `timeline`. Runs with one fleet, or with too many for a readable chart, have no rows by fleet.

use super::plot::{Draft, HEIGHT, Plot, Scale, Series, Unit};
use super::response::{self, TAIL};
use super::rows::{PercentileLine, Rows};
use super::svg::Style;
use super::theme::{self, Role};
use super::{axis::Axis, number, percentile_name};
use crate::measure::Fleet;
use crate::report::format::{plain, span};

/// The colors of the lines. The styles repeat with another period, so each of 20 lines has its own combination.
const ROLES: [Role; 5] = [theme::FIRST, theme::SECOND, theme::THIRD, theme::FOURTH, theme::FIFTH];

/// Draws the charts by fleet; none for runs without rows by fleet.
pub(super) fn fleets(rows: &Rows<'_>) -> Vec<Draft> {
    let has_rows = |fleet: &&Fleet| rows.slots.iter().any(|slot| slot.row.fleets.contains_key(&fleet.name));
    let fleets: Vec<&Fleet> = rows.result.measurement.fleets.iter().filter(has_rows).collect();
    if fleets.len() < 2 {
        return Vec::new();
    }
    let mut drafts = vec![online(rows, &fleets)];
    drafts.extend(acked(rows, &fleets));
    drafts.extend(tail(rows, &fleets));
    drafts
}

fn line(number: usize, fleet: &Fleet, points: Vec<(f64, Option<f64>)>) -> Series {
    let (role, style) = (ROLES[number % ROLES.len()], Style::ALL[number % Style::ALL.len()]);
    // A name from a file may contain anything, so it is not an id.
    Series::line(&format!("fleet-{number}"), plain(&fleet.name), (role, style), points)
}

fn online(rows: &Rows<'_>, fleets: &[&Fleet]) -> Draft {
    let share = |fleet: &Fleet| {
        let devices = number(fleet.devices.max(1));
        let points = rows.online_of(&fleet.name, fleet.devices).into_iter();
        points.map(|(at, online)| (at, online.map(|online| online / devices))).collect()
    };
    let lines: Vec<Series> =
        fleets.iter().enumerate().map(|(n, fleet)| line(n, fleet, share(fleet))).collect();
    Draft {
        id: "fleet-online",
        title: "Online by fleet".to_owned(),
        unit: "share of the fleet's devices",
        words: format!("The share of its devices that were online, for each of {} fleets.", fleets.len()),
        plots: vec![plot("fleet-online", "online", Unit::Share, share_scale(), lines)],
    }
}

/// Returns a scale from 0 to 100%.
pub(super) fn share_scale() -> Scale {
    let ticks = [0.0, 0.5, 1.0].map(|share| (share, Unit::Share.tick(share)));
    Scale::Fixed(Axis::fixed(0.0, 1.0, ticks.to_vec()))
}

fn plot(name: &str, label: &str, unit: Unit, scale: Scale, series: Vec<Series>) -> Plot {
    let (name, label) = (name.to_owned(), label.to_owned());
    Plot { name, label, unit, scale, height: HEIGHT, series, limits: Vec::new(), outlier: None }
}

/// `None` if no fleet sent a message.
fn acked(rows: &Rows<'_>, fleets: &[&Fleet]) -> Option<Draft> {
    let ok = |fleet: &Fleet| {
        rows.at_middles(|slot| {
            Some(slot.per_second(slot.row.fleets.get(&fleet.name).map_or(0, |row| row.ok)))
        })
    };
    let sent = |fleet: &&&Fleet| {
        rows.slots.iter().any(|slot| slot.row.fleets.get(&fleet.name).is_some_and(|row| row.due > 0))
    };
    let senders = fleets.iter().filter(sent).count();
    let lines: Vec<Series> = fleets
        .iter()
        .enumerate()
        .filter(|(_, fleet)| sent(fleet))
        .map(|(n, fleet)| line(n, fleet, ok(fleet)))
        .collect();
    (senders > 0).then(|| Draft {
        id: "fleet-acked",
        title: "Messages acknowledged by fleet".to_owned(),
        unit: "per second",
        words: format!("The rate of acknowledged messages of each of {senders} fleets that send any."),
        plots: vec![plot(
            "fleet-acked",
            "messages per second",
            Unit::Rate,
            Scale::Linear { ticks: 3, at_least: 0.0 },
            lines,
        )],
    })
}

/// Draws the highest percentile for which at least half of the fleets have enough samples. `None` if there is no such percentile.
fn tail(rows: &Rows<'_>, fleets: &[&Fleet]) -> Option<Draft> {
    let of = |fleet: &Fleet, quantile: f64| {
        rows.percentile(&[quantile], |row| row.fleets.get(&fleet.name).map(|row| &row.response))
    };
    let lines_of = |quantile: f64| -> Vec<(usize, &Fleet, PercentileLine)> {
        let lines = fleets.iter().enumerate();
        lines.filter_map(|(n, fleet)| Some((n, *fleet, of(fleet, quantile)?))).collect()
    };
    let mut candidates = TAIL.into_iter().chain([0.5]).map(|quantile| (quantile, lines_of(quantile)));
    let (quantile, lines) =
        candidates.find(|(_, lines)| !lines.is_empty() && 2 * lines.len() >= fleets.len())?;
    let name = percentile_name(quantile);
    let missing = fleets.len() - lines.len();
    let mut words =
        format!("The {name} of the response times of each fleet's acknowledged messages of every kind.");
    if missing > 0 {
        let verb = if missing == 1 { "has" } else { "have" };
        words.push_str(&format!(" {missing} of {} fleets {verb} too few messages for it.", fleets.len()));
    }
    let series = lines.into_iter().map(|(n, fleet, found)| {
        let mut series = line(n, fleet, found.points);
        if found.rows_per_point > 1 {
            let us = rows.result.measurement.series.interval_us.saturating_mul(found.rows_per_point as u64);
            series.label.push_str(&format!(" per {}", span(us)));
        }
        series
    });
    Some(Draft {
        id: "fleet-response",
        title: format!("Response {name} by fleet"),
        unit: "due to ack, messages that ended ok, logarithmic",
        words,
        plots: vec![response::plot("fleet-response", "response, log scale", HEIGHT, series.collect())],
    })
}
