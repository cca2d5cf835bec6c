//! Charts of the load over time: devices online, messages, and connections. Called by `timeline`.

use super::plot::{Draft, HEIGHT, Plot, Scale, Series, Unit};
use super::rows::{Rows, Slot};
use super::svg::Style;
use super::theme;
use crate::measure::Operation;
use crate::report::format::{instant, rate};
use crate::report::summary::online_peak;
use crate::units::{human_count, plural};

/// Draws the devices that are online, and the planned number.
pub(super) fn online(rows: &Rows<'_>) -> Draft {
    let [online, planned] = rows.online();
    let planned_peak = planned.iter().filter_map(|(_, value)| *value).fold(0.0, f64::max);
    Draft {
        id: "online",
        title: "Devices online".to_owned(),
        unit: "devices",
        words: format!(
            "Peak: {} devices online, {} planned.",
            human_count(online_peak(&rows.result.measurement)),
            Unit::Count.value(planned_peak)
        ),
        plots: vec![Plot {
            name: "online".to_owned(),
            label: "devices".to_owned(),
            unit: Unit::Count,
            scale: Scale::Linear { ticks: 3, at_least: 0.0 },
            height: HEIGHT,
            series: vec![
                Series::line("online", "online", (theme::FIRST, Style::Solid), online),
                Series::line("planned", "planned", (theme::PLANNED, Style::Dashed), planned),
            ],
            limits: Vec::new(),
            outlier: None,
        }],
    }
}

/// Draws the rates of due and acknowledged messages.
pub(super) fn messages(rows: &Rows<'_>) -> Draft {
    let offered = rows.at_middles(|slot| Some(slot.per_second(slot.row.interval.offered)));
    let achieved = rows.at_middles(|slot| Some(slot.per_second(slot.row.interval.achieved)));
    let peak =
        |points: &[(f64, Option<f64>)]| points.iter().filter_map(|(_, value)| *value).fold(0.0, f64::max);
    Draft {
        id: "messages",
        title: "Messages".to_owned(),
        unit: "per second",
        words: format!(
            "Peak offered {}/s, peak acknowledged {}/s.",
            rate(peak(&offered)),
            rate(peak(&achieved))
        ),
        plots: vec![rates(
            "messages",
            "messages per second",
            vec![
                Series::line("achieved", "acknowledged", (theme::FIRST, Style::Solid), achieved),
                Series::line("offered", "offered (due)", (theme::PLANNED, Style::Dashed), offered),
            ],
        )],
    }
}

/// Draws the rate of connections. `None` if no device connected.
pub(super) fn connects(rows: &Rows<'_>) -> Option<Draft> {
    let count = |slot: &Slot<'_>| slot.row.interval.response.of(Operation::Connect).count();
    let total: u64 = rows.slots.iter().map(count).sum();
    let busiest = rows.slots.iter().max_by_key(|slot| count(slot)).filter(|slot| count(slot) > 0)?;
    let due = |slot: &Slot<'_>| slot.row.interval.connects_due;
    let points = rows.at_middles(|slot| Some(slot.per_second(count(slot))));
    let accepted = Series::line("connects", "accepted", (theme::FOURTH, Style::Solid), points);
    let offered = rows.at_middles(|slot| Some(slot.per_second(due(slot))));
    let offered = Series::line("attempts", "attempts (due)", (theme::PLANNED, Style::Dashed), offered);
    let most = rows.slots.iter().max_by_key(|slot| due(slot)).filter(|slot| due(slot) > 0);
    let most = most.map_or_else(String::new, |slot| {
        let at = instant(super::us(slot.from));
        format!(
            " The most attempts were due in the interval at {at}: {}/s.",
            rate(slot.per_second(due(slot)))
        )
    });
    Some(Draft {
        id: "connects",
        title: "Connections established".to_owned(),
        unit: "per second",
        words: format!(
            "{} succeeded. The interval with the most started at {}: {}/s.{most}",
            plural(total, "connection attempt", "connection attempts"),
            instant(super::us(busiest.from)),
            rate(busiest.per_second(count(busiest)))
        ),
        plots: vec![rates("connects", "connections per second", vec![accepted, offered])],
    })
}

fn rates(name: &str, label: &str, series: Vec<Series>) -> Plot {
    Plot {
        name: name.to_owned(),
        label: label.to_owned(),
        unit: Unit::Rate,
        scale: Scale::Linear { ticks: 3, at_least: 0.0 },
        height: HEIGHT,
        series,
        limits: Vec::new(),
        outlier: None,
    }
}
