//! The numbers of a capacity plan in words. Used by `text`, `markdown` and `page`. Independent of any markup; the texts contain untrusted
//! names.

use crate::capacity::model::{
    AssertionResult, CapacityPlan, Choice, Demand, Generator, Limit, Price, Prices, SizeOption,
};
use crate::capacity::money;
use crate::report::format::{NONE, plain};
use crate::report::limits::QUOTA;
use crate::units::{Percent, grouped, human_bytes, human_count, human_duration, plural, whole};
use std::time::Duration;

/// Returns a limit class in words.
pub(in crate::report) fn class(name: &str) -> &str {
    match name {
        "connections" => "new connections",
        "d2c" => "D2C messages",
        "c2d" => "C2D messages",
        "twin_reads" => "twin reads",
        "twin_updates" => "twin updates",
        "methods" => "method calls",
        QUOTA => "daily quota",
        other => other,
    }
}

/// Formats a value in the unit of a class: `2,667/s`, `16.0 KiB/s`, `230,400,000 a day`.
pub(super) fn value(unit: &str, number: f64) -> String {
    match unit {
        "per_day" => format!("{} a day", human_count(whole(number))),
        "count" => human_count(whole(number)),
        "KiB/s" => format!("{} KiB/s", rate(number)),
        _ => format!("{}/s", rate(number)),
    }
}

/// Formats a rate: a whole number from 100 on, otherwise with digits that matter.
fn rate(number: f64) -> String {
    match number {
        number if number >= 100.0 => human_count(whole(number)),
        number if number >= 10.0 => format!("{number:.1}"),
        number if number > 0.0 && number < 0.01 => "less than 0.01".to_owned(),
        number => format!("{number:.2}"),
    }
}

/// Formats a share: `77%`.
pub(in crate::report) fn share(share: Option<f64>) -> String {
    match share {
        None => NONE.to_owned(),
        Some(share) if share > 0.0 && share < 0.001 => "less than 0.1%".to_owned(),
        Some(share) if share < 0.1 => format!("{:.1}%", share * 100.0),
        Some(share) => format!("{}%", grouped(&format!("{:.0}", share * 100.0))),
    }
}

/// Formats a price: `2,500 USD`.
pub(super) fn price(price: Option<&Price>) -> String {
    let Some(price) = price else { return NONE.to_owned() };
    plain(&money(price.amount, &price.currency))
}

/// Formats seconds.
pub(super) fn seconds(seconds: f64) -> String {
    human_duration(Duration::from_secs_f64(seconds.clamp(0.0, 1e9)))
}

/// Returns the largest use of a limit.
pub(super) fn tightest(option: &SizeOption) -> Option<&Limit> {
    let used = |limit: &Limit| limit.share.unwrap_or(f64::INFINITY);
    option.limits.iter().max_by(|one, two| used(one).total_cmp(&used(two)))
}

/// Returns the size of an option: `S1 x 576 in 3 hubs`.
pub(super) fn size(tier: &str, units: u64, hubs: u64) -> String {
    let hubs = if hubs > 1 { format!(" in {}", plural(hubs, "hub", "hubs")) } else { String::new() };
    format!("{} x {}{hubs}", plain(tier), human_count(units))
}

/// Returns a choice: `S3 x 1: the lowest price that holds the load, ...`.
pub(super) fn choice(choice: &Choice) -> String {
    format!("{}: {}", size(&choice.tier, choice.units, choice.hubs), plain(&choice.reason))
}

/// Returns why no option is recommended.
pub(super) const NO_CHOICE: &str = "no tier can hold this load";

/// Returns the day in words: `24 h of phase steady: 230,400,000 billed messages`.
pub(super) fn day(plan: &CapacityPlan) -> String {
    let parts = plan.day.parts.iter().map(|part| format!("{} h of phase {}", part.hours, plain(&part.phase)));
    let parts: Vec<String> = parts.collect();
    format!("{}: {}", parts.join(", "), plural(plan.day.messages, "billed message", "billed messages"))
}

/// Returns the rows of a phase, without the daily quota of warm-ups, whose messages do not matter for a day.
pub(super) fn demand(plan: &CapacityPlan) -> Vec<&Demand> {
    plan.demand.iter().filter(|row| !(row.warmup && row.class == QUOTA)).collect()
}

/// Returns the sentences about the quota, the time to connect and a full reconnect with an option.
pub(super) fn consequences(option: &SizeOption) -> Vec<String> {
    let reconnect = &option.reconnect;
    let limit = match reconnect.bound_by.as_str() {
        "connections" => format!("{}/s new connections", rate(reconnect.connections_per_s)),
        other => format!("the limit for {}", class(other)),
    };
    let mut out = vec![format!(
        "{} need at least {} to connect ({limit}), at the start and after a full reconnect; until then, the hub throttles the others",
        plural(reconnect.devices, "device", "devices"),
        seconds(option.online_seconds)
    )];
    if reconnect.messages > 0 {
        let messages = plural(reconnect.messages, "billed message", "billed messages");
        out.push(format!(
            "A full reconnect costs {messages}, because devices read their twin after each connect"
        ));
    }
    out.push(match option.quota_hours {
        Some(hours) => format!(
            "At the highest rate of the phases, the daily quota is used up after {}",
            seconds(hours * 3_600.0)
        ),
        None => "At the highest rate of the phases, the daily quota lasts the whole day".to_owned(),
    });
    out
}

/// Returns whether the scenario's own hub holds the load.
pub(super) fn current(option: &SizeOption) -> String {
    let holds = if option.fits { "holds" } else { "does not hold" };
    format!("{} {holds} the load: {}", size(&option.tier, option.units, option.hubs), plain(&option.reason))
}

/// Returns the resources of the load generator.
pub(super) fn generator(generator: &Generator) -> String {
    format!(
        "{} with {} and {} of memory: {} ({:.2} s of CPU time per second), {} of memory, {}, {}",
        plural(generator.machines, "machine", "machines"),
        plural(generator.machine_cores, "core", "cores"),
        human_bytes(generator.machine_memory_bytes),
        plural(generator.cores, "core", "cores"),
        generator.cpu_seconds_per_s,
        human_bytes(generator.memory_bytes),
        plural(generator.descriptors, "descriptor", "descriptors"),
        plural(generator.source_addresses, "source address", "source addresses"),
    )
}

/// Returns the heading of the price column, which says that built-in prices are unverified.
pub(super) fn price_heading(prices: &Prices) -> &'static str {
    if is_unverified(prices) { "a month, unverified" } else { "a month" }
}

/// Returns whether the prices are those of the built-in list.
pub(super) fn is_unverified(prices: &Prices) -> bool {
    prices.status == "unverified"
}

/// Returns the price list in words.
pub(super) fn prices(prices: &Prices) -> String {
    let status = if is_unverified(prices) { "unverified, from third parties" } else { "from --prices" };
    format!("{status}; per unit and month, in {}, as of {}", plain(&prices.currency), plain(&prices.as_of))
}

/// Returns the price of a unit.
pub(super) fn unit_price(prices: &Prices, price: f64) -> String {
    plain(&money(price, &prices.currency))
}

/// Returns the margin in words, if there is one.
pub(super) fn headroom(plan: &CapacityPlan) -> Option<String> {
    let share = Percent::from_fraction(plan.headroom);
    (plan.headroom < 1.0).then(|| format!("each limit is used up to {share}"))
}

/// Returns an assertion with its value: `units(S2) <= 38: it is 39`.
#[must_use]
pub fn assertion_words(result: &AssertionResult) -> String {
    let expression = plain(&result.expression);
    match result.value {
        None => {
            format!("{expression}: there is no value, because no such option fits or the price list lacks it")
        }
        Some(value) if expression.trim_start().starts_with("share") => {
            format!("{expression}: it is {:.1}%", value * 100.0)
        }
        Some(value) => {
            let digits = if value.fract() == 0.0 { 0 } else { 2 };
            format!("{expression}: it is {}", grouped(&format!("{value:.digits$}")))
        }
    }
}
