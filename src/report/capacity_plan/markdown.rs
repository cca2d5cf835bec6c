//! A capacity plan as Markdown, for pull requests and job summaries. At most 60 KB long. Called by `app`. Uses only the plan.

use super::words;
use crate::capacity::model::CapacityPlan;
use crate::report::format::NONE;
use crate::report::formats::markdown::escape::{code, item, prose};
use crate::report::formats::markdown::{row, section, table};
use crate::units::human_count;

/// The maximum number of bytes of each section. Together with the headings, they stay below 60 KB.
const DEMAND_BYTES: usize = 24_000;
const OPTIONS_BYTES: usize = 8_000;
const ASSERTIONS_BYTES: usize = 8_000;
const NOTES_BYTES: usize = 8_000;
const PRICES_BYTES: usize = 4_000;

/// Renders a capacity plan as Markdown.
#[must_use]
pub fn markdown(plan: &CapacityPlan) -> String {
    let mut out = format!("## Capacity plan: {}\n\n{}.\n", prose(&plan.name), item(&words::day(plan)));
    if let Some(margin) = words::headroom(plan) {
        out.push_str(&format!("With headroom: {}.\n", prose(&margin)));
    }
    let recommended = plan.recommended.as_ref().map_or_else(|| words::NO_CHOICE.to_owned(), words::choice);
    out.push_str(&format!("\n**Recommended: {}.**\n", prose(&recommended)));
    let option = plan.recommended_option();
    let mut facts: Vec<String> =
        plan.runner_up.iter().map(|choice| format!("Runner-up: {}", words::choice(choice))).collect();
    facts.extend(option.map(|option| format!("Why this size: {}", option.reason)));
    facts.extend(option.map(words::consequences).unwrap_or_default());
    facts.extend(
        plan.current.as_ref().map(|current| format!("The hub of the scenario: {}", words::current(current))),
    );
    facts.push(format!("Load generator: {}", words::generator(&plan.generator)));
    let facts: Vec<String> = facts.iter().map(|fact| format!("- {}.", item(fact))).collect();
    section(&mut out, "\n", &facts, NOTES_BYTES);
    assertions(&mut out, plan);
    options(&mut out, plan);
    demand(&mut out, plan);
    if !plan.notes.is_empty() {
        let rows: Vec<String> = plan.notes.iter().map(|note| format!("- {}.", item(note))).collect();
        section(&mut out, "\n### Notes\n\n", &rows, NOTES_BYTES);
    }
    prices(&mut out, plan);
    out
}

fn assertions(out: &mut String, plan: &CapacityPlan) {
    if plan.assertions.is_empty() {
        return;
    }
    let rows: Vec<String> = plan
        .assertions
        .iter()
        .map(|result| {
            let word = if result.passed { "passed" } else { "failed" };
            let value = words::assertion_words(result);
            let value =
                value.strip_prefix(result.expression.as_str()).and_then(|rest| rest.strip_prefix(": "));
            row(&[word.to_owned(), code(&result.expression), prose(value.unwrap_or(NONE))])
        })
        .collect();
    section(
        out,
        &format!("\n### Assertions\n\n{}", table(&["Result", "Condition", "Value"], 0)),
        &rows,
        ASSERTIONS_BYTES,
    );
}

fn options(out: &mut String, plan: &CapacityPlan) {
    let price = format!("Price {}", words::price_heading(&plan.prices));
    let columns = ["Tier", "Units", "Hubs", &price, "Bound by", "Used", "Online in", "Why"];
    let rows: Vec<String> = plan
        .options
        .iter()
        .map(|option| {
            let number = |text: String| if option.fits { text } else { NONE.to_owned() };
            row(&[
                if option.fits {
                    prose(&option.tier)
                } else {
                    format!("{} (does not fit)", prose(&option.tier))
                },
                number(human_count(option.units)),
                number(human_count(option.hubs)),
                number(prose(&words::price(option.price.as_ref()))),
                prose(words::class(&option.bound_by)),
                number(words::share(words::tightest(option).and_then(|limit| limit.share))),
                number(words::seconds(option.online_seconds)),
                prose(&option.reason),
            ])
        })
        .collect();
    section(out, &format!("\n### Options, cheapest first\n\n{}", table(&columns, 0)), &rows, OPTIONS_BYTES);
}

fn demand(out: &mut String, plan: &CapacityPlan) {
    let rows: Vec<String> = words::demand(plan)
        .into_iter()
        .map(|demand| {
            let value = |number| prose(&words::value(&demand.unit, number));
            let phase = prose(&demand.phase);
            row(&[
                if demand.warmup { format!("{phase} (warm-up)") } else { phase },
                prose(words::class(&demand.class)),
                value(demand.average),
                value(demand.peak),
            ])
        })
        .collect();
    section(
        out,
        &format!("\n### Demand\n\n{}", table(&["Phase", "Class", "Average", "Peak"], 2)),
        &rows,
        DEMAND_BYTES,
    );
}

fn prices(out: &mut String, plan: &CapacityPlan) {
    let rows: Vec<String> = plan
        .prices
        .units
        .iter()
        .map(|unit| {
            let source = unit.source.as_deref().map_or_else(|| NONE.to_owned(), prose);
            row(&[prose(&unit.tier), prose(&words::unit_price(&plan.prices, unit.price)), source])
        })
        .collect();
    let heading = format!(
        "\n<details>\n<summary>Prices: {}</summary>\n\n{}",
        prose(&words::prices(&plan.prices)),
        table(&["Tier", "Price", "Source"], 0)
    );
    section(out, &heading, &rows, PRICES_BYTES);
    out.push_str("\n</details>\n");
}
