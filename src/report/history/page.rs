//! A history as a self-contained HTML page without a script: the index page of a scenario in CI. A chart for each metric, and a table that links
//! to the reports of the runs. Called by `app`. Uses only the history.
//!
//! `templates/history.html` contains text and structure; the style is that of the report, with the few rules of `templates/history.css`.

use super::super::charts::history::{Point, PointKind, Trend};
use super::super::charts::{Panel, theme};
use super::super::{ReportError, format};
use super::{Group, History, HistoryRun};
use crate::report::format::plain;
use askama::Template;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All characters except RFC 3986's unreserved ones. So a file name can be neither a scheme nor another folder.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Renders the page. `folder` is the path from the page to the folder with the results: empty, or its segments. `skipped` are the files that
/// are not shown, with the reasons.
///
/// # Errors
/// Returns an error if a chart or the template fails.
pub fn html(
    history: &History,
    folder: &[String],
    skipped: &[(String, String)],
) -> Result<String, ReportError> {
    let newest = history.groups.first().zip(history.groups.first().and_then(|group| group.runs.last()));
    let groups = history.groups.iter().enumerate();
    let page = Page {
        palette: theme::css(),
        header: newest.map(|(group, run)| Header::of(group, run)),
        groups: groups.map(|(index, group)| GroupView::of(index, group, folder)).collect::<Result<_, _>>()?,
        skipped: skipped.iter().map(|(file, reason)| (plain(file), plain(reason))).collect(),
    };
    Ok(page.render()?)
}

#[derive(Template)]
#[template(path = "history.html")]
struct Page {
    palette: String,
    header: Option<Header>,
    groups: Vec<GroupView>,
    skipped: Vec<(String, String)>,
}

/// The verdict of the newest run.
struct Header {
    class: &'static str,
    mark: &'static str,
    word: &'static str,
    name: String,
    results: String,
    days: String,
    started: String,
}

impl Header {
    fn of(group: &Group, run: &HistoryRun) -> Header {
        Header {
            class: run.banner.class,
            mark: run.banner.mark,
            word: run.banner.word,
            name: group.name.clone(),
            results: format::plural(group.runs.len() as u64, "result", "results"),
            days: group.days(),
            started: started(run),
        }
    }
}

struct GroupView {
    id: String,
    title: String,
    panels: Vec<Panel>,
    /// Operation and aggregate of each column.
    heads: Vec<(String, String)>,
    /// The newest run first.
    rows: Vec<RowView>,
}

struct RowView {
    started: String,
    /// Link to the HTML report. Empty without a report.
    page: String,
    class: &'static str,
    mark: &'static str,
    word: String,
    cells: Vec<CellView>,
    changes: Vec<String>,
    file: String,
    json: String,
}

struct CellView {
    text: String,
    few: bool,
}

impl GroupView {
    fn of(index: usize, group: &Group, folder: &[String]) -> Result<GroupView, ReportError> {
        let panels: Vec<Option<Panel>> = (0..group.metrics.len())
            .map(|metric| panel(group, metric, &format!("trend-{index}-{metric}")))
            .collect::<Result<_, _>>()?;
        Ok(GroupView {
            id: format!("plan-{index}"),
            title: group.title(),
            panels: panels.into_iter().flatten().collect(),
            heads: group.metrics.iter().map(super::metric::parts).collect(),
            rows: group.runs.iter().rev().map(|run| RowView::of(run, group, folder)).collect(),
        })
    }
}

impl RowView {
    fn of(run: &HistoryRun, group: &Group, folder: &[String]) -> RowView {
        let cells = run.values.iter().zip(&group.metrics).map(|(reading, metric)| CellView {
            text: super::metric::reading_text(metric, *reading).replace(' ', "\u{a0}"),
            few: reading.is_some_and(|reading| reading.few),
        });
        RowView {
            started: started(run),
            page: run.page.as_deref().map(|page| href(folder, page)).unwrap_or_default(),
            class: match run.banner.class {
                "pass" => "passed",
                "fail" => "failed",
                _ => "undecided",
            },
            mark: run.banner.mark,
            word: run.banner.word.to_lowercase(),
            cells: cells.collect(),
            changes: run.changes.iter().map(super::Change::words).collect(),
            file: plain(&run.file),
            json: href(folder, &run.file),
        }
    }
}

fn panel(group: &Group, metric: usize, id: &str) -> Result<Option<Panel>, ReportError> {
    let Some(of) = group.metrics.get(metric) else { return Ok(None) };
    let point = |run: &HistoryRun| Point {
        day: run.started.strftime("%Y-%m-%d").to_string(),
        kind: match run.banner.class {
            "pass" => PointKind::Pass,
            "fail" => PointKind::Fail,
            _ => PointKind::Invalid,
        },
        is_changed: !run.changes.is_empty(),
        value: run.values.get(metric).copied().flatten().map(|reading| reading.value),
    };
    let points: Vec<Point> = group.runs.iter().map(point).collect();
    let limit = group.limits.get(metric).copied().flatten();
    Trend { id, label: plain(&of.to_string()), unit: of.aggregate.unit(), limit, points: &points }.draw()
}

fn started(run: &HistoryRun) -> String {
    run.started.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Returns a relative link to a file in the folder with the results.
fn href(folder: &[String], file: &str) -> String {
    let segments = folder.iter().map(String::as_str).chain([file]);
    let encoded: Vec<String> =
        segments.map(|segment| utf8_percent_encode(segment, ESCAPED).to_string()).collect();
    format!("./{}", encoded.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_in_the_folder() {
        let folder = ["..".to_owned(), "my results".to_owned()];
        for (folder, file, expected) in [
            (&folder[..0], "a.json", "./a.json"),
            (&folder[..], "a.json", "./../my%20results/a.json"),
            (&folder[..0], "javascript:alert(1)", "./javascript%3Aalert%281%29"),
            (&folder[..0], "\"><b>.html", "./%22%3E%3Cb%3E.html"),
        ] {
            assert_eq!(href(folder, file), expected);
        }
    }
}
