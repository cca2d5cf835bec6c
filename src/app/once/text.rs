//! Prints a checklist: for each fleet, the operations of its device, and a conclusion. Used by `once`; `doctor` prints times instead. Pure.

use super::checklist::Checklist;
use super::items::{Item, State, heading};
use super::reason::{Reason, reason};
use crate::plan::Plan;
use crate::units::plural;
use std::fmt::Write as _;

/// Where the text of a line begins.
pub(super) const TEXT_COLUMN: usize = 11;

/// Returns the checklist as text. Each line starts with `ok`, `failed` or `skipped`.
#[must_use]
pub(super) fn text(list: &Checklist, plan: &Plan, skipped_drives: &[String]) -> String {
    let mut out = String::new();
    for (fleet, number) in plan.fleets.iter().zip(0_u16..) {
        let _ = writeln!(out, "{}", heading(fleet));
        for item in list.items.iter().filter(|item| item.fleet == number) {
            line(&mut out, item, reason(item, list, plan));
        }
    }
    if !skipped_drives.is_empty() {
        out.push_str("service client\n");
        for drive in skipped_drives {
            let _ = writeln!(
                out,
                "  skipped  {drive}: hubstorm cannot call devices through a hub other than the built-in one yet"
            );
        }
    }
    let _ = writeln!(out, "\n{}", conclusion(list, skipped_drives.len()));
    out
}

/// Appends the lines of an item. Writing to a String cannot fail.
fn line(out: &mut String, item: &Item, reason: Option<Reason>) {
    let label = &item.label;
    match (&item.state, reason) {
        (_, Some(Reason { what, fix })) => {
            let _ = writeln!(out, "  failed   {label}: {what}");
            if let Some(fix) = fix {
                let _ = writeln!(out, "           fix: {fix}");
            }
        }
        (State::Ok(remark), None) if remark.is_empty() => {
            let _ = writeln!(out, "  ok       {label}");
        }
        (State::Ok(remark), None) => {
            let _ = writeln!(out, "  ok       {label}: {remark}");
        }
        (State::Skipped(why), None) => {
            let _ = writeln!(out, "  skipped  {label}: {why}");
        }
        (State::Open | State::Ended(..) | State::Failed(..), None) => {
            let _ = writeln!(out, "  skipped  {label}: it has not ended");
        }
    }
}

/// Returns the last line: the number of operations by outcome.
fn conclusion(list: &Checklist, skipped_drives: usize) -> String {
    let count = |fits: fn(&Item) -> bool| list.items.iter().filter(|item| fits(item)).count();
    let ok = count(|item| matches!(item.state, State::Ok(_)));
    let failed = count(Item::is_failed);
    let skipped = list.items.len() + skipped_drives - ok - failed;
    let all = plural((ok + failed + skipped) as u64, "operation", "operations");
    match (failed, skipped) {
        (0, 0) => format!("{all}: all ok"),
        (0, _) => format!("{all}: {ok} ok, {skipped} skipped"),
        (_, 0) => format!("{all}: {ok} ok, {failed} failed"),
        _ => format!("{all}: {ok} ok, {failed} failed, {skipped} skipped"),
    }
}
