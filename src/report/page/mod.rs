//! The page. The input is a result; the output is a self-contained HTML file without external resources. Called by `app`. Uses only the
//! result.
//!
//! `templates/report.html` and `templates/report/` contain text and structure, `templates/report.css` the style. The files in this folder
//! turn numbers into the strings for the template. Askama escapes everything that is not marked safe. Only the charts, the bars, the style
//! sheet for colors and the script are marked safe.
//!
//! The page is complete without scripts. Its only script, `templates/report.js`, adds a cursor, zoom and switches for series to the
//! charts; it creates their controls itself. The page's policy admits this script by its hash, so a script that a result smuggles in does
//! not run.

mod fleets;
mod health;
mod operations;
mod phases;
mod reasons;
mod thresholds;
mod tiles;
mod unit;

use super::banner::Banner;
use super::charts::{Panel, headline, hub_view as hub_charts, recovery, spectrum, theme, timeline};
use super::faults::{self, FaultWords};
use super::format::{self, plain, plain_lines};
use super::hub_view::{self, HubView};
use super::recoveries::{self, RecoveryWords};
use super::summary::Summary;
use super::text::{culprit, target};
use super::{ReportError, connects, from_hub, limits, margin, standing, targets};
use crate::measure::Operation;
use crate::result::model::{RunResult, Severity};
use crate::units::human_count;
use askama::Template;
use base64::Engine as _;
use fleets::FleetRow;
use health::SourceRow;
use operations::Operations;
use phases::Phases;
use reasons::Reasons;
use sha2::{Digest as _, Sha256};
use thresholds::{ConnectedView, ThresholdView};
use tiles::Tile;

/// The script of the page.
const SCRIPT: &str = include_str!("../../../templates/report.js");
/// From this number of fleets or phases on, the page has a list of contents, and folds the rows of single fleets and phases (our choice).
const MANY: usize = 6;

/// Renders the page of a run.
///
/// # Errors
/// Returns an error if a chart or the template fails.
pub fn html(result: &RunResult) -> Result<String, ReportError> {
    html_with_hub(result, None)
}

/// Renders the page of a run, with the hub's own view of it.
///
/// # Errors
/// Returns an error if a chart or the template fails.
pub fn html_with_hub(result: &RunResult, hub: Option<&HubView>) -> Result<String, ReportError> {
    let summary = Summary::of(result);
    let main = summary.main_operation();
    let main_operation = main.map_or(Operation::Telemetry, |main| main.operation);
    let spectrum = match main {
        Some(main) => spectrum::draw(main.operation, main.scope(), main.headline().0)?,
        None => None,
    };
    let thresholds = thresholds::thresholds(result);
    let measurement = &result.measurement;
    let fold = measurement.fleets.len() >= MANY || measurement.phases.len() >= MANY;
    let banner = Banner::of(result);
    let notes = [standing::note(result).map(str::to_owned), margin::undecided_note(&result.thresholds)];
    let page = Page {
        palette: theme::css(),
        script: SCRIPT,
        script_hash: hash(SCRIPT),
        result,
        reasons: reasons::reasons(&banner, result),
        banner,
        fold,
        contents: contents(result, hub.is_some()),
        warnings: warnings(result),
        name: plain(&result.run.scenario.name),
        started: format::date(&result.run.started),
        lasted: format::span(result.run.duration_us),
        tiles: tiles::tiles(result, &summary),
        thresholds_caption: thresholds::caption(&thresholds),
        thresholds,
        connected: thresholds::connected(result),
        threshold_notes: notes.into_iter().flatten().collect(),
        facts: facts(result),
        scenario: plain_lines(&result.run.scenario.text),
        headline: headline::draw(result, main_operation)?,
        panels: timeline::panels(result, main_operation)?,
        hub: hub.map(|view| hub_section(result, view)).transpose()?,
        faults: faults::table(result),
        recoveries: recoveries::table(result),
        recovery_panels: recovery::panels(result)?,
        phases: phases::phases(result, &summary),
        spectrum,
        operations: operations::operations(result, &summary, fold),
        target_columns: targets::COLUMNS,
        targets: targets::rows(result),
        fleets: fleets::fleets(result),
        all_fleets: fleets::all_fleets(result, &summary),
        from_hub: from_hub::table(result),
        streams: fleets::streams(result),
        foreign: human_count(result.measurement.count(|counts| counts.foreign)),
        errors: errors(result),
        findings: findings(result, hub),
        sources: health::source_rows(result),
        generator: health::generator(result),
        emulator: health::emulator(result),
    };
    Ok(page.render()?)
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    palette: String,
    script: &'static str,
    /// Source of the page's policy that admits `script`.
    script_hash: String,
    result: &'a RunResult,
    banner: Banner,
    reasons: Reasons,
    /// Whether the page has a list of contents, and folds the rows of single fleets and phases.
    fold: bool,
    /// Id and title of each section.
    contents: Vec<(&'static str, &'static str)>,
    /// Warnings that apply to every number. Usually empty.
    warnings: Vec<&'static str>,
    name: String,
    started: String,
    lasted: String,
    tiles: Vec<Tile>,
    thresholds: Vec<ThresholdView>,
    thresholds_caption: &'static str,
    connected: Option<ConnectedView>,
    threshold_notes: Vec<String>,
    facts: Vec<(&'static str, String)>,
    scenario: String,
    headline: Option<Panel>,
    panels: Vec<Panel>,
    hub: Option<HubSection<'a>>,
    faults: Vec<FaultWords>,
    recoveries: Vec<RecoveryWords>,
    recovery_panels: Vec<Panel>,
    phases: Phases,
    spectrum: Option<Panel>,
    operations: Operations,
    target_columns: [&'static str; targets::COLUMNS.len()],
    targets: Vec<[String; targets::COLUMNS.len()]>,
    fleets: Vec<FleetRow>,
    all_fleets: Option<FleetRow>,
    from_hub: from_hub::FromHubTable,
    streams: Vec<[String; 6]>,
    foreign: String,
    errors: Vec<ErrorView>,
    findings: Vec<FindingView>,
    sources: Vec<SourceRow>,
    generator: Vec<(String, String)>,
    emulator: Vec<(&'static str, String)>,
}

/// Id and title of each section, in the order of the page.
const CONTENTS: [(&str, &str); 11] = [
    ("thresholds", "Thresholds"),
    ("findings", "Findings"),
    ("timeline", "Timeline"),
    ("hub-view", hub_view::HEADING),
    ("recoveries", "Recoveries"),
    ("spectrum-heading", "Percentile spectrum"),
    ("operations", "Operations"),
    ("errors-heading", "Errors"),
    ("health", "Fleets and health"),
    ("run", "The run"),
    ("scenario", "Scenario"),
];

/// Returns the sections of the page. Most runs have no recoveries, and most pages no metrics of the hub.
fn contents(result: &RunResult, has_hub: bool) -> Vec<(&'static str, &'static str)> {
    let has_recoveries = recoveries::shown(result).next().is_some();
    let is_shown = |(id, _): &(&str, &str)| match *id {
        "recoveries" => has_recoveries,
        "hub-view" => has_hub,
        _ => true,
    };
    CONTENTS.into_iter().filter(is_shown).collect()
}

/// Returns the source of a content security policy that admits a script.
fn hash(script: &str) -> String {
    let digest = Sha256::digest(script.as_bytes());
    format!("sha256-{}", base64::engine::general_purpose::STANDARD.encode(digest))
}

fn warnings(result: &RunResult) -> Vec<&'static str> {
    let unverified = result.run.target.tls.as_ref().is_some_and(|tls| !tls.verified);
    if unverified { vec!["TLS certificates were not checked."] } else { Vec::new() }
}

fn facts(result: &RunResult) -> Vec<(&'static str, String)> {
    let run = &result.run;
    let mut facts = vec![("Scenario", plain(&run.scenario.file)), ("Target", target(result))];
    facts.extend(limits::description(result).map(|limits| ("Limits", limits)));
    facts.extend(connects::description(result).map(|connects| ("Connects", connects)));
    facts.push(("Command", plain(&run.argv.join(" "))));
    if !run.overrides.is_empty() {
        facts.push(("Overrides", plain(&run.overrides.join(", "))));
    }
    let git = result.tool.git.as_ref().map(|git| format!(" ({})", plain(git))).unwrap_or_default();
    let cores = format::plural(run.host.cores.into(), "core", "cores");
    facts.extend([
        ("Seed", run.seed.to_string()),
        ("Load generator", format!("{}, {}, {cores}", plain(&run.host.os), plain(&run.host.cpu))),
        ("Version", format!("{} {}{git}", plain(&result.tool.name), plain(&result.tool.version))),
        ("Run id", plain(&run.id)),
    ]);
    facts
}

struct ErrorView {
    class: String,
    culprit: String,
    count: String,
    first: String,
    last: String,
    example: String,
}

fn errors(result: &RunResult) -> Vec<ErrorView> {
    let view = |error: &crate::measure::ErrorTotals| ErrorView {
        class: plain(&error.class),
        culprit: culprit(error.culprit).to_owned(),
        count: human_count(error.count),
        first: format::instant(error.first_us),
        last: format::instant(error.last_us),
        example: plain(&error.example),
    };
    result.measurement.errors.iter().map(view).collect()
}

struct FindingView {
    warning: bool,
    text: String,
    evidence: String,
}

/// The hub's own view of the run.
struct HubSection<'a> {
    heading: &'static str,
    columns: [&'static str; hub_view::COLUMNS.len()],
    view: &'a HubView,
    panels: Vec<Panel>,
}

fn hub_section<'a>(result: &RunResult, view: &'a HubView) -> Result<HubSection<'a>, ReportError> {
    let panels = hub_charts::panels(result, view)?;
    Ok(HubSection { heading: hub_view::HEADING, columns: hub_view::COLUMNS, view, panels })
}

fn findings(result: &RunResult, hub: Option<&HubView>) -> Vec<FindingView> {
    let view = |finding: &crate::result::model::Finding| FindingView {
        warning: finding.severity == Severity::Warning,
        text: plain(&finding.text),
        evidence: plain(&finding.evidence),
    };
    hub_view::with_findings(result, hub).into_iter().map(view).collect()
}

#[cfg(test)]
mod tests;
