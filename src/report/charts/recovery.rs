//! Charts of recoveries: the share of devices that are online and the connection attempts per second after a disturbance, and the
//! distribution of the outages. Called by `page`. Independent of the series, whose rows may be too long for a storm.

use super::axis::Axis;
use super::figure::{Figure, Horizontal, Marker};
use super::fleets::share_scale;
use super::plot::{HEIGHT, Plot, Scale, Series, Unit};
use super::svg::Style;
use super::{Panel, ReportError, number, seconds, theme};
use crate::measure::{BIN_US, Disturbance, Latency, Reached, RecoveryBins};
use crate::report::format::{instant, plain};
use crate::report::recoveries::cause;
use crate::result::model::RunResult;
use crate::units::{human_count, human_us, plural};

/// Ids of the charts of each disturbance. The table lists all disturbances.
const IDS: [[&str; 2]; 3] =
    [["recovery-1", "outage-1"], ["recovery-2", "outage-2"], ["recovery-3", "outage-3"]];

/// The shares that are marked.
const SHARES: [(f64, &str); 4] = [(0.5, "50%"), (0.9, "90%"), (0.99, "99%"), (1.0, "100%")];

/// Of markers that are closer than this share of the width, only the last one has a label.
const MARKER_GAP: f64 = 0.15;

/// Number of bars in the distribution of outages.
const BARS: u32 = 24;

/// Draws the charts of the first disturbances that disconnected devices.
///
/// # Errors
/// Returns an error if drawing fails.
pub(in crate::report) fn panels(result: &RunResult) -> Result<Vec<Panel>, ReportError> {
    let disturbances = result.measurement.disturbances.iter();
    let bins = disturbances.filter_map(|one| Some((one, RecoveryBins::of(one, None)?)));
    let disturbed =
        bins.filter(|(_, bins)| !matches!(bins.reached(1.0), Reached::NotDisturbed | Reached::NonePlanned));
    let mut panels = Vec::new();
    for ((disturbance, bins), [recovery, outage]) in disturbed.zip(IDS) {
        panels.push(online(recovery, disturbance, &bins).draw()?);
        if let Some(figure) = outages(outage, disturbance, &bins.outage) {
            panels.push(figure.draw()?);
        }
    }
    Ok(panels)
}

/// Returns the title of a disturbance: `planned disconnect at 0:15.0, phase storm`.
fn title(disturbance: &Disturbance) -> String {
    let Disturbance { cause: of, start_us, phase, .. } = disturbance;
    format!("{} at {}, phase {}", cause(*of), instant(*start_us), plain(phase))
}

fn online(id: &'static str, disturbance: &Disturbance, bins: &RecoveryBins) -> Figure<'static> {
    let end = |bin: usize| seconds(bins.end_us(bin).saturating_sub(disturbance.start_us));
    let last = bins.online.len().checked_sub(1).map_or(1.0, end).max(1.0);
    let planned = number(bins.planned_at_start().max(1));
    let line = |list: &[u64], before: u64| -> Vec<(f64, Option<f64>)> {
        let points = list.iter().enumerate().map(|(bin, count)| (end(bin), Some(number(*count) / planned)));
        std::iter::once((0.0, Some(number(before) / planned))).chain(points).collect()
    };
    let before = disturbance.fleets.iter().map(|fleet| fleet.online_before).sum();
    let online = line(&bins.online, before);
    let plan = line(&bins.planned, bins.planned_at_start());
    let per_second = usize::try_from(1_000_000 / BIN_US).unwrap_or(1);
    let attempts = bins.attempts.chunks(per_second).enumerate().map(|(index, chunk)| {
        let from = end(index * per_second) - seconds(BIN_US);
        let to = end(index * per_second + chunk.len() - 1);
        [
            from.max(0.0),
            to,
            number(chunk.iter().sum()) * number(per_second as u64) / number(chunk.len() as u64),
        ]
    });
    let plot = |name: &str, label: &str, unit, scale, series| Plot {
        name: name.to_owned(),
        label: label.to_owned(),
        unit,
        scale,
        height: HEIGHT,
        series,
        limits: Vec::new(),
        outlier: None,
    };
    Figure {
        id,
        title: format!("Recovery from the {}", title(disturbance)),
        unit: "share of the planned devices that are online; connection attempts per second".to_owned(),
        words: words(bins),
        x: Horizontal::Other { label: "seconds after the start", axis: Box::new(move |_, _| axis(last)) },
        plots: vec![
            plot(
                "online",
                "devices online",
                Unit::Share,
                share_scale(),
                vec![
                    Series::line("online", "online", (theme::FOURTH, Style::Solid), online),
                    Series::line("planned", "planned online", (theme::PLANNED, Style::Dashed), plan),
                ],
            ),
            plot(
                "attempts",
                "attempts/s",
                Unit::Rate,
                Scale::Linear { ticks: 3, at_least: 1.0 },
                vec![Series::bars(
                    "attempts",
                    theme::FIRST,
                    attempts.filter(|[.., count]| *count > 0.0).collect(),
                )],
            ),
        ],
        markers: markers(bins, last),
    }
}

fn axis(last: f64) -> Axis {
    let whole = Axis::linear(last, 8, super::tick_label);
    Axis::fixed(0.0, last, whole.ticks().to_vec())
}

/// Returns a marker at the start and at each share that was reached. The label of a higher share replaces that of a lower one beside it.
fn markers(bins: &RecoveryBins, last: f64) -> Vec<Marker> {
    let mut markers = vec![Marker { at: 0.0, label: String::new() }];
    for (share, label) in SHARES {
        let Reached::After { us } = bins.reached(share) else { continue };
        let at = seconds(us);
        if let Some(before) = markers.last_mut().filter(|before| at - before.at < MARKER_GAP * last) {
            before.label.clear();
        }
        markers.push(Marker { at, label: label.to_owned() });
    }
    markers
}

fn words(bins: &RecoveryBins) -> String {
    let reached: Vec<String> = SHARES
        .iter()
        .filter_map(|(share, label)| match bins.reached(*share) {
            Reached::After { us } => Some(format!("{label} after {}", human_us(us))),
            Reached::Never { .. } => Some(format!("{label} not reached")),
            Reached::NotDisturbed | Reached::NonePlanned => None,
        })
        .collect();
    format!(
        "At least {} of {} planned devices were online. Online again: {}. At most {} in one second.",
        human_count(bins.lowest_online()),
        human_count(bins.planned_at_start()),
        reached.join(", "),
        plural(bins.attempts_per_s_peak(), "connection attempt", "connection attempts"),
    )
}

/// Returns the distribution of outages. `None` if there were none.
fn outages(id: &'static str, disturbance: &Disturbance, outage: &Latency) -> Option<Figure<'static>> {
    let max_us = outage.max()?;
    let last = seconds(max_us).max(0.1);
    let width = last / f64::from(BARS);
    let until = |bar: u32| outage.count() - outage.count_above(super::us(f64::from(bar) * width));
    let bars = (0..BARS).map(|bar| {
        let from = f64::from(bar) * width;
        let to = if bar + 1 == BARS { outage.count() } else { until(bar + 1) };
        let before = if bar == 0 { 0 } else { until(bar) };
        [from, from + width, number(to.saturating_sub(before))]
    });
    let bars: Vec<[f64; 3]> = bars.filter(|[.., count]| *count > 0.0).collect();
    let quantile = |quantile: f64| outage.quantile(quantile).map_or_else(String::new, human_us);
    Some(Figure {
        id,
        title: format!("Outages after the {}", title(disturbance)),
        unit: "time without a connection".to_owned(),
        words: format!(
            "{}: half of them lasted up to {}, 99% up to {}, the longest {}.",
            plural(outage.count(), "outage", "outages"),
            quantile(0.5),
            quantile(0.99),
            human_us(max_us)
        ),
        x: Horizontal::Other {
            label: "seconds without a connection",
            axis: Box::new(move |_, _| axis(last)),
        },
        plots: vec![Plot {
            name: "outages".to_owned(),
            label: "devices".to_owned(),
            unit: Unit::Count,
            scale: Scale::Linear { ticks: 3, at_least: 1.0 },
            height: HEIGHT,
            series: vec![Series::bars("outages", theme::SECOND, bars)],
            limits: Vec::new(),
            outlier: None,
        }],
        markers: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Cause, DisturbedFleet};

    fn storm(back: usize) -> Disturbance {
        let mut found = Disturbance::known(Cause::Disconnect, "storm", [10_000_000, 10_000_000, 40_000_000]);
        found.fleets.push(DisturbedFleet {
            fleet: "a".to_owned(),
            online_before: 100,
            online: (0..300).map(|bin| if bin >= back { 100 } else { 20 }).collect(),
            planned: vec![100; 300],
            disconnects: vec![80],
            attempts: vec![4; 20],
            ..DisturbedFleet::default()
        });
        found
    }

    fn drawn(back: usize) -> Vec<Panel> {
        let mut result = crate::result::testing::result();
        result.measurement.disturbances = vec![storm(back)];
        panels(&result).unwrap()
    }

    #[test]
    fn recovery_is_marked_and_described() {
        let panels = drawn(50);
        assert_eq!(panels.len(), 1, "there are no outages");
        let panel = &panels[0];
        assert_eq!(panel.title, "Recovery from the planned disconnect at 0:10.0, phase storm");
        assert_eq!(
            panel.words,
            "At least 20 of 100 planned devices were online. Online again: 50% after 5.10 s, 90% after 5.10 s, 99% after 5.10 s, 100% \
             after 5.10 s. At most 40 connection attempts in one second."
        );
        assert!(panel.svg.contains(">100%</text>") && !panel.svg.contains(">99%</text>"), "{}", panel.svg);
        assert!(drawn(0).is_empty() || !drawn(0)[0].words.contains("not reached"));
    }

    #[test]
    fn outages_are_counted_in_bars() {
        let mut histogram = hdrhistogram::Histogram::new(3).unwrap();
        for us in [1_000_000, 1_000_000, 23_900_000, 24_000_000] {
            histogram.record(us).unwrap();
        }
        let figure = outages("outage-1", &storm(50), &histogram.into()).unwrap();
        let super::super::plot::Shape::Bars(bars) = &figure.plots[0].series[0].shape else { panic!() };
        let sum: f64 = bars.iter().map(|[.., count]| count).sum();
        assert!((sum - 4.0).abs() < 1e-9, "{bars:?}");
    }
}
