//! Checks parts of the whole page.

use super::*;
use crate::result::model::{Status, ThresholdStatus};
use crate::result::testing::result as sample;

/// Two of four messages failed, and the latency threshold failed too.
#[test]
fn failed_run_counts_failures_instead_of_a_percentile() {
    let mut result = sample();
    result.verdict.status = Status::Fail;
    let page = html(&result).unwrap();
    let tiles = page.split("class=\"headlines\"").nth(1).unwrap().split("</dl>").next().unwrap();
    assert!(tiles.contains("</span>Messages not ok</dt><dd><span class=\"value\">2</span>"), "{tiles}");
    assert_eq!(tiles.matches("<div class=\"bad\">").count(), 2, "{tiles}");
    assert!(tiles.contains("&#62; 500") && !tiles.contains("Response p99"), "{tiles}");
}

#[test]
fn undecided_thresholds_show_range_and_resolution() {
    let mut result = sample();
    assert!(!html(&result).unwrap().contains("less than 7 ms"));
    let threshold = &mut result.thresholds[0];
    threshold.status = Some(ThresholdStatus::Undecided);
    (threshold.observed_best, threshold.observed_worst) = (Some(310_000.0), Some(560_000.0));
    (threshold.observed, threshold.passed) = (Some(560_000.0), false);
    let page = html(&result).unwrap();
    for part in [
        "<tr class=\"undecided\">",
        "310\u{a0}ms to 560\u{a0}ms",
        "less than 7 ms",
        "<div class=\"undecided\">",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn every_source_has_a_health_row() {
    let page = html(&sample()).unwrap();
    let rows = page.split("<caption>Health by source</caption>").nth(1).unwrap();
    assert!(rows.split("</table>").next().unwrap().contains("<th scope=\"row\">worker-0</th>"));
    let mut earlier = sample();
    earlier.measurement.health.clear();
    assert!(!html(&earlier).unwrap().contains("Health by source"));
}
