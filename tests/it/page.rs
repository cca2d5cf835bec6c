//! The HTML page: the order of its sections, its tables, and the names and numbers in them. `report` tests its escaping and its charts.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use crate::committed_results;
use crate::report::sample;
use hubstorm::measure::{Fleet, OperationTotals, Outcome, Phase, Test};
use hubstorm::report;
use hubstorm::result::model::RunResult;

/// Returns the part of a page between two texts.
fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let rest = page.split_once(from).unwrap_or_else(|| panic!("no {from}")).1;
    rest.split_once(to).unwrap_or_else(|| panic!("no {to} after {from}")).0
}

/// Returns the row of a table, by its caption and the name of the row, without tags.
fn row(page: &str, caption: &str, name: &str) -> Vec<String> {
    let table = between(page, &format!("{caption}</caption>"), "</table>");
    let row = table.split("<tr").find(|row| row.contains(&format!(">{name}"))).unwrap();
    cells(row)
}

fn cells(row: &str) -> Vec<String> {
    let cells = row.split("</t").filter_map(|cell| cell.split_once("<t").map(|(_, cell)| cell));
    cells.map(|cell| text(&format!("<t{cell}"))).collect()
}

/// Returns the text of some HTML.
fn text(html: &str) -> String {
    let texts = html.split('<').map(|part| part.split_once('>').map_or("", |(_, text)| text));
    texts.collect::<String>().trim().to_owned()
}

/// Returns the text that a page shows: a line for each block and each row of a table. The text in charts is left out, and so is the
/// scenario file.
fn visible_lines(page: &str) -> String {
    let body = between(page, "<body", "</body>").split_once('>').unwrap().1;
    let (mut hidden, mut is_row, mut text) = (None, false, String::new());
    for part in body.split('<').skip(1) {
        let (tag, after) = part.split_once('>').unwrap_or((part, ""));
        let name = tag.split(|c: char| c.is_whitespace()).next().unwrap();
        match (hidden, name) {
            (None, "svg" | "style" | "script" | "pre") => hidden = Some(name),
            (Some(open), _) if name.strip_prefix('/') == Some(open) => hidden = None,
            _ => {}
        }
        is_row = name == "tr" || (is_row && name != "/tr");
        let is_inline = is_row || INLINE.contains(&name.trim_start_matches('/'));
        text += match name {
            "/td" | "/th" | "/dt" => " | ",
            _ if is_inline => " ",
            _ => "\n",
        };
        if hidden.is_none() {
            text += &after.replace('\n', " ");
        }
    }
    let characters = [("&#60;", "<"), ("&#62;", ">"), ("&#39;", "'"), ("&#34;", "\""), ("&#38;", "&")];
    let text = characters.iter().fold(text, |text, (entity, character)| text.replace(entity, character));
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

const INLINE: [&str; 12] =
    ["a", "abbr", "b", "button", "code", "dt", "i", "small", "span", "strong", "time", "svg"];

/// The sample run with this number of fleets, each with its share of every operation, and of phases of equal length.
pub(crate) fn wide(fleets: usize, phases: usize) -> RunResult {
    let mut result = sample::pass();
    let measurement = &mut result.measurement;
    let name = |kind: &str, n: usize| format!("{kind}-{n}");
    let fleet = |n: usize| Fleet { name: name("fleet", n), ..measurement.fleets[0].clone() };
    let end_us = measurement.phases.last().unwrap().end_us;
    let at = |n: usize| end_us * n as u64 / phases as u64;
    let phase = |n: usize| Phase {
        name: name("phase", n),
        warmup: n == 0,
        start_us: at(n),
        end_us: at(n + 1),
        planned_online: [1.0, 1.0],
        planned_load: [1.0, 1.0],
        ..Phase::default()
    };
    let parts = measurement.operations.iter().filter(|part| part.phase == "ramp");
    let parts: Vec<OperationTotals> = parts.cloned().collect();
    let every = (0..phases).flat_map(|phase| (0..fleets).map(move |fleet| (phase, fleet)));
    let operations = every.flat_map(|(phase, fleet)| {
        let named = move |part: &OperationTotals| OperationTotals {
            fleet: name("fleet", fleet),
            phase: name("phase", phase),
            ..part.clone()
        };
        parts.iter().map(named).collect::<Vec<_>>()
    });
    (measurement.operations, measurement.fleets, measurement.phases) =
        (operations.collect(), (0..fleets).map(fleet).collect(), (0..phases).map(phase).collect());
    measurement.health.clear();
    let rules = result.rules.as_mut().unwrap();
    rules.thresholds.iter_mut().for_each(|rule| rule.phase = None);
    judged(result)
}

fn judged(mut result: RunResult) -> RunResult {
    let judged = report::judge_again(&result).unwrap();
    (result.verdict, result.thresholds, result.findings) =
        (judged.verdict, judged.thresholds, judged.findings);
    result
}

#[test]
fn peak_of_a_phase_counts_its_first_instant() {
    let mut result = sample::pass();
    for row in &mut result.measurement.series.rows {
        // Everything disconnects in the first second of the last phase, which starts after a minute.
        row.online = if row.t_us < 60_000_000 { row.online } else { 7 };
    }
    let page = report::html(&result).unwrap();
    assert_eq!(row(&page, "The phases in numbers", "ramp")[3], "1,000");
    assert_eq!(row(&page, "The phases in numbers", "evening peak")[3], "1,000");
    // A merged row that ends in the next phase says nothing about this one.
    result.measurement.series.interval_us = 15_000_000;
    result.measurement.series.rows.truncate(6);
    for (n, row) in (0_u64..).zip(&mut result.measurement.series.rows) {
        (row.t_us, row.online) = (n * 15_000_000, 100 * (n + 1));
    }
    let page = report::html(&result).unwrap();
    assert_eq!(row(&page, "The phases in numbers", "ramp")[3], "100");
    assert_eq!(row(&page, "The phases in numbers", "evening peak")[3], "600");
}

#[test]
fn rates_of_a_phase_count_every_kind_of_message() {
    let mut result = sample::pass();
    let telemetry = |part: &&OperationTotals| part.operation.name() == "telemetry" && part.phase == "steady";
    let mut other = result.measurement.operations.iter().find(telemetry).unwrap().clone();
    other.operation = hubstorm::measure::Operation::from_name("telemetry.qos0").unwrap();
    other.totals.outcomes[Outcome::Ok] -= 1_000;
    other.totals.outcomes[Outcome::Expired] = 1_000;
    result.measurement.operations.push(other);
    let page = report::html(&result).unwrap();
    let table = between(&page, "The phases in numbers</caption>", "</thead>");
    assert!(table.contains(">Messages due/s<") && table.contains(">Messages acked/s<"), "{table}");
    // Telemetry of both kinds, 400 messages per second each, and 24 twin requests in 40 s.
    let row = row(&page, "The phases in numbers", "steady");
    assert_eq!(&row[5..8], ["801", "400", "1,000"], "{row:?}");
}

#[test]
fn late_messages_are_counted_against_late_after() {
    let mut result = sample::pass();
    let fact = |result: &_, name: &str| {
        let page = report::html(result).unwrap();
        text(between(&page, &format!("<dt>{name}</dt>"), "</dd>"))
    };
    assert_eq!(fact(&result, "Lag over 100 ms"), "0 of 49,200 messages");
    result.rules.as_mut().unwrap().validity.late_after_us = 150;
    let late = result.generator.lag.count_above(150);
    assert!(late > 20_000);
    let shown = fact(&result, "Lag over 150 µs").replace(',', "");
    assert_eq!(shown, format!("{late} of 49200 messages"));
}

#[test]
fn connected_fleets_are_one_line_unless_one_failed() {
    let mut result = wide(10, 2);
    let outputs =
        |result: &_| [report::html(result).unwrap(), report::text(result, false, report::Width::FILE)];
    let [page, terminal] = outputs(&result);
    let thresholds = between(&page, "id=\"thresholds\"", "</section>");
    assert_eq!(thresholds.matches("class=\"state\"").count(), 4 + 1, "{thresholds}");
    assert!(
        between(thresholds, "<details", "</details>").contains("All 10 fleets connected"),
        "{thresholds}"
    );
    assert_eq!(terminal.matches("count(ok) >= 1").count(), 0, "{terminal}");
    assert!(terminal.contains("  ✓ all 10 fleets connected\n"), "{terminal}");
    for part in &mut result.measurement.operations {
        if part.fleet == "fleet-3" && part.operation.name() == "connect" {
            part.totals.outcomes = [(Outcome::Refused, part.totals.due)].into_iter().collect();
        }
    }
    let [page, terminal] = outputs(&judged(result));
    let thresholds = between(&page, "id=\"thresholds\"", "</section>");
    assert!(thresholds.contains("connect{fleet:fleet-3}") && thresholds.contains("9 of 10 fleets connected"));
    assert!(terminal.contains("  ✓ 9 of 10 fleets connected\n"), "{terminal}");
    assert!(terminal.contains("✗ connect{fleet:fleet-3}"), "{terminal}");
}

#[test]
fn invalid_run_shows_no_passed_threshold_as_a_pass() {
    let invalid = sample::invalid();
    let page = report::html(&invalid).unwrap();
    let body = &page[page.find("<body>").unwrap()..];
    for green in ["class=\"passed\"", "class=\"good\"", "class=\"bar good\"", "✓", ">passed<"] {
        assert!(!body.contains(green), "{green}");
    }
    assert!(body.contains("would pass"), "{body}");
    let terminal = report::text(&invalid, true, report::Width::FILE);
    assert!(!terminal.contains('✓') && terminal.contains("would pass"), "{terminal}");
}

#[test]
fn percentiles_of_thresholds_are_columns() {
    let mut result = sample::pass();
    let rules = result.rules.as_mut().unwrap();
    for (rule, quantile) in rules.thresholds.iter_mut().zip([0.97, 0.9999]) {
        let Test::Percentile { quantile: of, .. } = &mut rule.test else { panic!() };
        *of = quantile;
        rule.expression = format!("p({}) < 5s", quantile * 100.0);
    }
    let page = report::html(&judged(result)).unwrap();
    let head = between(&page, "id=\"operations\"", "</thead>");
    let named: Vec<String> = cells(head.rsplit("<tr").next().unwrap());
    let shown: Vec<&str> = named.iter().map(String::as_str).filter(|name| name.starts_with('p')).collect();
    assert_eq!(
        shown,
        ["p50", "p95", "p97", "p99", "p99.9", "p99.99", "p99"],
        "the last one is the service time"
    );
}

#[test]
fn failed_operations_have_a_count_and_a_share() {
    let page = report::html(&sample::pass()).unwrap();
    let operations = between(&page, "id=\"operations\"", "</section>");
    // Of 45,400 telemetry messages, and of 29,400 in the last phase.
    assert!(operations.contains(">118 (0.26%)<") && operations.contains(">118 (0.41%)<"), "{operations}");
    let (_, below) = operations.rsplit_once("</table>").unwrap();
    assert!(below.contains("HDR histograms"), "the method is under the table: {below}");
}

#[test]
fn contents_list_needs_six_fleets_or_phases() {
    for (fleets, phases, listed) in [(5, 5, false), (6, 1, true), (1, 6, true), (10, 12, true)] {
        let page = report::html(&wide(fleets, phases)).unwrap();
        assert_eq!(page.contains("<nav "), listed, "{fleets} fleets, {phases} phases");
        if !listed {
            continue;
        }
        for link in between(&page, "<nav ", "</nav>").split("href=\"#").skip(1) {
            let id = link.split('"').next().unwrap();
            assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
        }
    }
}

/// Rows of single phases and fleets are folded away. The totals are not.
#[test]
fn many_fleets_and_phases_are_folded() {
    let page = report::html(&wide(10, 12)).unwrap();
    let operations = between(&page, "id=\"operations\"", "</section>");
    let (totals, folded) = operations.split_once("<details").unwrap();
    assert!(totals.contains("<caption>Operations: totals outside warm-up</caption>"), "{totals}");
    assert!(!totals.contains("phase-3") && !totals.contains("fleet-3"), "{totals}");
    assert!(folded.contains("phase-3") && folded.contains("fleet-3"));
}

/// Golden files. Their differences show a reviewer how a change to the page reads.
#[test]
fn golden_pages() {
    for name in ["pass", "fail", "invalid", "aborted", "hub-died"] {
        let page = report::html(&committed_results::read(name)).unwrap();
        insta::assert_snapshot!(format!("page_{name}"), visible_lines(&page));
    }
    for (name, result) in [("interrupted", sample::interrupted()), ("empty", sample::empty())] {
        insta::assert_snapshot!(format!("page_{name}"), visible_lines(&report::html(&result).unwrap()));
    }
}
