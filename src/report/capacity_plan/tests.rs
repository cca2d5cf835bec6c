//! What the formats of a capacity plan show, and that hostile names stay text.

use super::*;
use crate::capacity::model::CapacityPlan;
use crate::capacity::{PriceList, Settings, SimpleFleet, plan_capacity};
use crate::report::Width;
use crate::result::model::Tool;
use crate::scenario::{Input, no_files};
use std::time::Duration;

fn plan(headroom: f64) -> CapacityPlan {
    let fleet = SimpleFleet {
        devices: 40_000,
        every: Duration::from_secs(15),
        size: 300,
        sdk: None,
        twin_reads: None,
    };
    let text = fleet.scenario();
    let key = |_: &str| Some("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned());
    let input = Input { file: "t.toml", text: &text, overrides: &[], env: &key, files: &no_files };
    let plan = crate::plan::load(&input, &mut rand::rng()).unwrap_or_else(|errors| panic!("{errors}"));
    let settings = Settings {
        headroom,
        reconnect_within: None,
        prices: PriceList::built_in(),
        hub: None,
        scenario: None,
        assertions: vec!["units(S2) <= 38".parse().unwrap()],
    };
    plan_capacity(&plan, settings, Tool { name: "hubstorm".to_owned(), version: "0".to_owned(), git: None })
}

#[test]
fn the_recommendation_and_its_reasons_are_in_every_format() {
    let plan = plan(0.75);
    let wide = text(&plan, false, Width::FILE);
    let page = html(&plan).unwrap();
    let summary = markdown(&plan);
    for text in [&wide, &page, &summary] {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ").replace("&#95;", "_");
        for part in [
            "230,400,000 billed messages",
            "B2 x 52",
            "Runner-up: ",
            "each limit is used up to 75%",
            "does not fit",
            "unverified",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    assert!(wide.contains("✗ units(S2) <= 38: it is 52."), "{wide}");
    assert!(summary.contains("| failed | `units(S2) <= 38` | it is 52 |"), "{summary}");
    assert!(page.contains("Assertion failed") && page.contains("headroom, 75%"), "{page}");
    for series in ["B2", "B3", "S2", "S3"]
        .iter()
        .filter(|tier| plan.option(tier).is_some_and(|option| option.fits))
        .take(2)
    {
        assert!(page.contains(&format!("data-series=\"{series}\"")), "{series}");
    }
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for columns in [60, 80] {
        let text = text(&plan(1.0), false, Width::of(None, Some(columns)));
        // The table needs 72 columns.
        let most = usize::from(columns).max(72);
        let long: Vec<&str> = text.lines().filter(|line| line.chars().count() > most).collect();
        assert!(long.is_empty(), "{long:?}");
    }
}

#[test]
fn hostile_names_stay_text() {
    let hostile = "<script>alert(1)</script>|`a`\n# @octocat [x](javascript:y)";
    let mut plan = plan(1.0);
    plan.name = hostile.to_owned();
    plan.day.parts[0].phase = hostile.to_owned();
    plan.prices.currency = hostile.to_owned();
    plan.notes = vec![hostile.to_owned()];
    for row in &mut plan.demand {
        row.phase = hostile.to_owned();
    }
    for unit in &mut plan.prices.units {
        unit.source = Some(hostile.to_owned());
    }
    let page = html(&plan).unwrap();
    let body = page.split("<body>").nth(1).unwrap();
    assert!(!page.contains("<script>alert") && !body.contains("href="), "{body}");
    let text = markdown(&plan);
    assert!(!text.contains("\n# ") && !text.contains("[x]("), "{text}");
    let outside_code = text.split('`').step_by(2).collect::<String>();
    assert!(!outside_code.contains("<script>") && !outside_code.contains("@octocat"), "{text}");
}
