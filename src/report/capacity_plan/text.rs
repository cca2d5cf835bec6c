//! The text of a capacity plan, laid out for the width of the terminal. Called by `app`. Uses only the plan.

use super::words;
use crate::capacity::model::{CapacityPlan, SizeOption};
use crate::report::format::plain;
use crate::report::text::writer::{BOLD, FAILED, PASSED, PLAIN, WARNING, Writer};
use crate::report::width::{Width, columns, pad, pad_left};
use crate::units::human_count;

/// Returns the text of a capacity plan.
#[must_use]
pub fn text(plan: &CapacityPlan, color: bool, width: Width) -> String {
    let mut writer = Writer::new(color, width);
    writer.marked("", ("", BOLD), (&plain(&plan.name), BOLD));
    let margin = words::headroom(plan).map_or_else(String::new, |margin| format!("; {margin}"));
    writer.wrapped("  ", "  ", &format!("calculated, nothing was started; {}{margin}", words::day(plan)));
    demand(&mut writer, plan);
    writer.heading("Options, cheapest first");
    options(&mut writer, plan);
    let not_fitting: Vec<&SizeOption> = plan.options.iter().filter(|option| !option.fits).collect();
    for option in not_fitting {
        let text = format!("{} does not fit: {}.", option.tier, option.reason);
        writer.wrapped("  ", "    ", &text);
    }
    writer.heading("Recommendation");
    match &plan.recommended {
        Some(choice) => writer.marked("  ", ("✓ ", PASSED), (&format!("{}.", words::choice(choice)), BOLD)),
        None => writer.marked("  ", ("✗ ", FAILED), (&format!("{}.", words::NO_CHOICE), BOLD)),
    }
    if let Some(choice) = &plan.runner_up {
        writer.wrapped("  Runner-up: ", "    ", &format!("{}.", words::choice(choice)));
    }
    if let Some(option) = plan.recommended_option() {
        writer.wrapped("  ", "    ", &format!("Why this size: {}.", option.reason));
        for sentence in words::consequences(option) {
            writer.wrapped("  ", "    ", &format!("{sentence}."));
        }
    }
    if let Some(current) = &plan.current {
        writer.heading("The hub of the scenario");
        let (mark, style) = if current.fits { ("✓ ", PASSED) } else { ("✗ ", FAILED) };
        writer.marked("  ", (mark, style), (&format!("{}.", words::current(current)), BOLD));
        for sentence in words::consequences(current) {
            writer.wrapped("  ", "    ", &format!("{sentence}."));
        }
    }
    writer.heading("Load generator");
    writer.wrapped("  ", "    ", &format!("{}.", words::generator(&plan.generator)));
    writer.heading("Prices");
    writer.wrapped("  ", "    ", &format!("{}.", words::prices(&plan.prices)));
    if !plan.assertions.is_empty() {
        writer.heading("Assertions");
    }
    for result in &plan.assertions {
        let (mark, style) = if result.passed { ("✓ ", PASSED) } else { ("✗ ", FAILED) };
        writer.marked("  ", (mark, style), (&format!("{}.", words::assertion_words(result)), BOLD));
    }
    if !plan.notes.is_empty() {
        writer.heading("Notes");
    }
    for note in &plan.notes {
        writer.marked("  ", ("! ", WARNING), (&format!("{}.", plain(note)), PLAIN));
    }
    writer.text
}

fn demand(writer: &mut Writer, plan: &CapacityPlan) {
    writer.heading("Demand");
    let mut phase = "";
    for row in words::demand(plan) {
        if row.phase != phase {
            phase = &row.phase;
            let warmup = if row.warmup { " (warm-up, does not bind)" } else { "" };
            writer.wrapped("  ", "    ", &format!("phase {}{warmup}", plain(phase)));
        }
        let [average, peak] = [row.average, row.peak].map(|number| words::value(&row.unit, number));
        let text = if average == peak { average } else { format!("{average} on average, {peak} at peak") };
        writer.line(&format!("    {}{text}", pad(words::class(&row.class), 17)));
    }
}

fn options(writer: &mut Writer, plan: &CapacityPlan) {
    let heading = ["", "units", "hubs", words::price_heading(&plan.prices), "bound by", "used", "online in"];
    let mut rows: Vec<[String; 7]> = vec![heading.map(str::to_owned)];
    let fitting = plan.options.iter().filter(|option| option.fits);
    rows.extend(fitting.map(|option| {
        [
            option.tier.clone(),
            human_count(option.units),
            human_count(option.hubs),
            words::price(option.price.as_ref()),
            words::class(&option.bound_by).to_owned(),
            words::share(words::tightest(option).and_then(|limit| limit.share)),
            words::seconds(option.online_seconds),
        ]
    }));
    let widths: [usize; 7] =
        std::array::from_fn(|cell| rows.iter().map(|row| columns(&row[cell])).max().unwrap_or(0));
    for row in &rows {
        let mut line = String::new();
        for (cell, (text, width)) in row.iter().zip(widths).enumerate() {
            line += "  ";
            // Numbers are aligned to the right.
            line += &if matches!(cell, 1 | 2 | 3 | 5) { pad_left(text, width) } else { pad(text, width) };
        }
        writer.line(&line);
    }
    if rows.len() == 1 {
        writer.wrapped("  ", "    ", &format!("{}.", words::NO_CHOICE));
    }
}
