//! A capacity plan as a self-contained HTML page without a script: the recommendation, the demand against the limits, the options, the load
//! generator and the prices. Called by `app`. `templates/plan.html` contains text and structure; the style is that of the report.

use super::words;
use crate::capacity::model::{CapacityPlan, SizeOption};
use crate::report::ReportError;
use crate::report::charts::{Panel, capacity as charts, theme};
use crate::report::format::plain;
use crate::units::human_count;
use askama::Template;

/// Renders the page.
///
/// # Errors
/// Returns an error if the chart or the template fails.
pub fn html(plan: &CapacityPlan) -> Result<String, ReportError> {
    let (class, mark, word) = match (&plan.recommended, plan.assertions.iter().all(|one| one.passed)) {
        (_, false) => ("fail", "✗", "Assertion failed".to_owned()),
        (None, _) => ("fail", "✗", "No tier fits".to_owned()),
        (Some(choice), true) => {
            ("pass", "✓", words::size(&choice.tier, choice.units, choice.hubs).replacen(" x ", " × ", 1))
        }
    };
    let option = plan.recommended_option();
    let mut facts: Vec<String> =
        plan.runner_up.iter().map(|choice| format!("Runner-up: {}", words::choice(choice))).collect();
    facts.extend(option.map(|option| format!("Why this size: {}", plain(&option.reason))));
    facts.extend(option.map(words::consequences).unwrap_or_default());
    facts.extend(
        plan.current.as_ref().map(|current| format!("The hub of the scenario: {}", words::current(current))),
    );
    let page = Page {
        palette: theme::css(),
        class,
        mark,
        word,
        name: plain(&plan.name),
        day: words::day(plan),
        headroom: words::headroom(plan),
        recommended: plan.recommended.as_ref().map_or_else(|| words::NO_CHOICE.to_owned(), words::choice),
        facts,
        assertions: plan
            .assertions
            .iter()
            .map(|result| {
                (
                    if result.passed { ("passed", "✓") } else { ("failed", "✗") },
                    words::assertion_words(result),
                )
            })
            .map(|((class, mark), words)| Assertion { class, mark, words })
            .collect(),
        panels: charts::limits(plan)?.into_iter().collect(),
        price_heading: words::price_heading(&plan.prices),
        options: plan.options.iter().map(OptionView::of).collect(),
        demand: words::demand(plan)
            .into_iter()
            .map(|row| DemandView {
                phase: plain(&row.phase),
                warmup: row.warmup,
                class: words::class(&row.class).to_owned(),
                average: words::value(&row.unit, row.average),
                peak: words::value(&row.unit, row.peak),
            })
            .collect(),
        generator: words::generator(&plan.generator),
        prices: words::prices(&plan.prices),
        units: plan
            .prices
            .units
            .iter()
            .map(|unit| {
                let source = unit.source.as_deref().map_or_else(String::new, plain);
                (plain(&unit.tier), words::unit_price(&plan.prices, unit.price), source)
            })
            .collect(),
        notes: plan.notes.iter().map(|note| plain(note)).collect(),
    };
    Ok(page.render()?)
}

#[derive(Template)]
#[template(path = "plan.html")]
struct Page {
    palette: String,
    class: &'static str,
    mark: &'static str,
    word: String,
    name: String,
    day: String,
    headroom: Option<String>,
    recommended: String,
    facts: Vec<String>,
    assertions: Vec<Assertion>,
    panels: Vec<Panel>,
    price_heading: &'static str,
    options: Vec<OptionView>,
    demand: Vec<DemandView>,
    generator: String,
    prices: String,
    /// Tier, price and source.
    units: Vec<(String, String, String)>,
    notes: Vec<String>,
}

struct Assertion {
    class: &'static str,
    mark: &'static str,
    words: String,
}

struct OptionView {
    fits: bool,
    tier: String,
    units: String,
    hubs: String,
    price: String,
    used: String,
    online: String,
    reason: String,
}

impl OptionView {
    fn of(option: &SizeOption) -> OptionView {
        OptionView {
            fits: option.fits,
            tier: plain(&option.tier),
            units: human_count(option.units),
            hubs: human_count(option.hubs),
            price: words::price(option.price.as_ref()),
            used: words::share(words::tightest(option).and_then(|limit| limit.share)),
            online: words::seconds(option.online_seconds),
            reason: plain(&option.reason),
        }
    }
}

struct DemandView {
    phase: String,
    warmup: bool,
    class: String,
    average: String,
    peak: String,
}
