//! The charts of the run over time, with a common time axis and a band for each phase, in the order of the page. Called by `page`.
//! Independent of the page's structure.

use super::figure::{Figure, Horizontal};
use super::plot::Draft;
use super::rows::Rows;
use super::{Panel, ReportError, failures, fleets, generator, heatmap, load, response};
use crate::measure::Operation;
use crate::result::model::RunResult;

/// Draws all charts over time; none for a run without a series. The charts of response times show `operation`. A chart that would be empty
/// is left out.
///
/// # Errors
/// Returns an error if drawing fails.
pub(in crate::report) fn panels(result: &RunResult, operation: Operation) -> Result<Vec<Panel>, ReportError> {
    let Some(rows) = Rows::of(result) else { return Ok(Vec::new()) };
    let mut drafts = vec![load::online(&rows), load::messages(&rows), response::response(&rows, operation)];
    drafts.extend(heatmap::heatmap(&rows, operation));
    drafts.extend(load::connects(&rows));
    drafts.extend(response::connects(&rows));
    drafts.extend(failures::not_ok(&rows));
    drafts.extend(failures::by_class(&rows));
    drafts.extend(fleets::fleets(&rows));
    drafts.extend([generator::processor(&rows), generator::lag(&rows)]);
    let figure = |(n, draft): (usize, Draft)| {
        let Draft { id, title, unit, words, plots } = draft;
        let x = Horizontal::Time { rows: &rows, names: n == 0 };
        Figure { id, title, unit: unit.to_owned(), words, x, plots, markers: Vec::new() }.draw()
    };
    drafts.into_iter().enumerate().map(figure).collect()
}
