//! The options of a capacity plan: every tier with the units that hold the load, cheapest first, and the reasons in words. Used by
//! `plan_capacity`. Pure.

use super::model::{Choice, DEVICES, Limit, Price, Prices, QUOTA, Reconnect, SizeOption};
use super::prices::{UNVERIFIED, money};
use super::units::{self, Bound, Size, Target};
use crate::iothub::limits::Tier;
use crate::iothub::throttles::{Class, HubSize};
use crate::units::{Percent, grouped, human_count, human_duration, whole};
use std::time::Duration;

const DAY_S: f64 = 86_400.0;

/// A load, and the facts about it that do not determine the units.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// The load in paid tiers.
    pub(super) target: Target,
    /// Billed messages of a day in the tier F1.
    pub(super) messages_free: u64,
    /// Highest rate of billed messages per second, in paid tiers and in the tier F1.
    pub(super) billed_peak: [f64; 2],
    /// Number of devices that read their twin after each connect.
    pub(super) twin_devices: u64,
    pub(super) prices: Prices,
}

impl Case {
    /// Returns the load as a tier counts it.
    fn target(&self, tier: Tier) -> Target {
        let messages = if tier == Tier::F1 { self.messages_free } else { self.target.messages };
        Target { messages, ..self.target.clone() }
    }

    /// Returns an option for each tier: first those that fit, cheapest first.
    pub(super) fn options(&self) -> Vec<SizeOption> {
        let mut options: Vec<SizeOption> = Tier::ALL.into_iter().map(|tier| self.smallest(tier)).collect();
        let amount = |option: &SizeOption| option.price.as_ref().map_or(f64::INFINITY, |price| price.amount);
        options.sort_by(|one, two| {
            two.fits
                .cmp(&one.fits)
                .then(amount(one).total_cmp(&amount(two)))
                .then(tightest(one).total_cmp(&tightest(two)))
        });
        options
    }

    fn smallest(&self, tier: Tier) -> SizeOption {
        let target = self.target(tier);
        let size = units::size(tier, &target);
        let option = self.option(tier, (size.units, size.hubs), &target);
        SizeOption {
            fits: size.fits,
            bound_by: size.bound_by.to_owned(),
            reason: reason(&size, &option, self.target.headroom),
            ..option
        }
    }

    /// Returns a hub as it is. It fits if the load stays within each limit.
    pub(super) fn existing(&self, size: HubSize) -> SizeOption {
        let target = self.target(size.tier);
        let option = self.option(size.tier, (size.units.into(), 1), &target);
        let allowed = |limit: &Limit| if limit.class == DEVICES { 1.0 } else { self.target.headroom };
        let use_of = |limit: &Limit| used(limit) / allowed(limit);
        let most = option.limits.iter().max_by(|one, two| use_of(one).total_cmp(&use_of(two)));
        let Some(most) = most else { return option };
        let fits = use_of(most) <= 1.0 + 1e-9;
        let reason = match most.limit {
            None => missing(&most.class),
            Some(limit) => format!(
                "{size} allows {} {}; the load is {}{}",
                amount(&most.class, limit),
                noun(&most.class),
                amount(&most.class, most.demand),
                margin(self.target.headroom)
            ),
        };
        SizeOption { fits, bound_by: most.class.clone(), reason, ..option }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of devices and messages are far below 2^52")]
    fn option(&self, tier: Tier, (units, hubs): (u64, u64), target: &Target) -> SizeOption {
        let per_s = |class| units::limit_of_hubs(tier, (units, hubs), class);
        let connections = per_s(Class::Connections).unwrap_or(0.0);
        let online = target.devices as f64 / connections;
        let twins = per_s(Class::TwinReads).map_or(0.0, |limit| self.twin_devices as f64 / limit);
        let bound_by = if twins > online { Class::TwinReads } else { Class::Connections };
        let seconds = online.max(twins);
        let quota = units::quota(tier, units) as f64;
        let peak = self.billed_peak[usize::from(tier == Tier::F1)];
        let quota_hours =
            Some(quota / (peak * 3_600.0)).filter(|hours| *hours < DAY_S / 3_600.0 * (1.0 - 1e-9));
        SizeOption {
            tier: tier.name().to_owned(),
            units,
            hubs,
            fits: true,
            bound_by: QUOTA.to_owned(),
            reason: String::new(),
            limits: limits(tier, (units, hubs), target),
            price: self.price(tier, units),
            online_seconds: seconds,
            quota_hours,
            reconnect: Reconnect {
                devices: target.devices,
                connections_per_s: connections,
                seconds,
                bound_by: bound_by.name().to_owned(),
                messages: self.twin_devices,
            },
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of units")]
    fn price(&self, tier: Tier, units: u64) -> Option<Price> {
        let unit = self.prices.units.iter().find(|row| row.tier == tier.name())?;
        Some(Price {
            amount: unit.price * units as f64,
            currency: self.prices.currency.clone(),
            period: "month".to_owned(),
            as_of: self.prices.as_of.clone(),
            status: self.prices.status.clone(),
        })
    }
}

/// Returns the use of each limit of some hubs together.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn limits(tier: Tier, size: (u64, u64), target: &Target) -> Vec<Limit> {
    let row = |class: &str, unit: &str, demand: f64, limit: Option<f64>| Limit {
        class: class.to_owned(),
        unit: unit.to_owned(),
        demand,
        limit,
        share: limit.map(|limit| demand / limit),
    };
    let rates = target.rates.iter().map(|(class, rate)| {
        row(class.name(), unit(class.name()), *rate, units::limit_of_hubs(tier, size, *class))
    });
    let quota = units::quota(tier, size.0) as f64;
    let devices = units::devices_of_hubs(tier, size.1) as f64;
    let rest = [
        row(QUOTA, unit(QUOTA), target.messages as f64, Some(quota)),
        row(DEVICES, unit(DEVICES), target.devices as f64, Some(devices)),
    ];
    rates.chain(rest).collect()
}

/// Returns the unit of a class.
pub(super) fn unit(class: &str) -> &'static str {
    match class {
        QUOTA => "per_day",
        DEVICES => "count",
        "methods" => "KiB/s",
        _ => "per_s",
    }
}

/// Returns the used share of a limit; infinite if there is no limit because the operations are missing.
fn used(limit: &Limit) -> f64 {
    limit.share.unwrap_or(f64::INFINITY)
}

/// Returns the largest used share of a limit.
pub(super) fn tightest(option: &SizeOption) -> f64 {
    option.limits.iter().map(used).fold(0.0, f64::max)
}

/// Returns the operations of a class in words.
fn noun(class: &str) -> &'static str {
    match class {
        "connections" => "new connections per second",
        "d2c" => "D2C messages per second",
        "c2d" => "C2D messages per second",
        "twin_reads" => "twin reads per second",
        "twin_updates" => "twin updates per second",
        "methods" => "KiB of method calls per second",
        QUOTA => "billed messages a day",
        _ => "devices",
    }
}

/// Formats an amount of a class: a whole number, or three digits.
fn amount(class: &str, number: f64) -> String {
    match class {
        QUOTA | DEVICES => human_count(whole(number)),
        _ if number >= 100.0 => human_count(whole(number)),
        _ => grouped(&format!("{number:.1}")),
    }
}

fn missing(class: &str) -> String {
    let what = match class {
        "c2d" => "cloud-to-device messages",
        "methods" => "direct methods",
        _ => "twins",
    };
    format!("Basic tiers have no {what}")
}

fn margin(headroom: f64) -> String {
    match headroom {
        share if share < 1.0 => format!(", which may use {} of it", Percent::from_fraction(share)),
        _ => String::new(),
    }
}

/// Says why a class binds.
fn reason(size: &Size, option: &SizeOption, headroom: f64) -> String {
    if size.bound == Bound::Missing {
        return missing(size.bound_by);
    }
    let Some(row) = option.limits.iter().find(|row| row.class == size.bound_by) else { return String::new() };
    let [demand, limit] = [row.demand, row.limit.unwrap_or(0.0)].map(|number| amount(&row.class, number));
    let noun = noun(&row.class);
    let units = match size.units {
        1 => "one unit allows".to_owned(),
        units => format!("{} units allow", human_count(units)),
    };
    let text = match size.bound {
        Bound::OneHub => {
            let limit = match row.class.as_str() {
                DEVICES => human_count(units::devices_of_hubs(size.tier, 1)),
                QUOTA => human_count(units::quota(size.tier, 1)),
                _ => return "a subscription can have only one hub in this tier, with one unit".to_owned(),
            };
            return format!("the only hub of this tier allows {limit} {noun}; the load is {demand}");
        }
        Bound::Hubs => format!("{} hubs allow {limit} {noun}; the load is {demand}", human_count(size.hubs)),
        Bound::Units | Bound::Missing => format!("{units} {limit} {noun}; the load is {demand}"),
    };
    let hubs = match size.hubs_by {
        Some(class) if class != size.bound_by => format!("; {} need {} hubs", self::noun(class), size.hubs),
        _ => String::new(),
    };
    format!("{text}{}{hubs}", if row.class == DEVICES { String::new() } else { margin(headroom) })
}

/// Returns the recommended option and the runner-up. The tier F1 is only for tests (Azure: "Choose the right IoT Hub tier and size for your
/// solution").
pub(super) fn choices(options: &[SizeOption]) -> [Option<Choice>; 2] {
    let mut fitting = options.iter().filter(|option| option.fits && option.tier != Tier::F1.name());
    let (first, second) = (fitting.next(), fitting.next());
    let choice = |option: &SizeOption, reason| Choice {
        tier: option.tier.clone(),
        units: option.units,
        hubs: option.hubs,
        reason,
    };
    let recommended = first.map(|first| choice(first, why_first(first)));
    let runner_up = first.zip(second).map(|(first, second)| choice(second, why_second(first, second)));
    [recommended, runner_up]
}

/// Returns whether an option is of a Basic tier.
pub(super) fn is_basic(option: &SizeOption) -> bool {
    option.tier.starts_with('B')
}

fn why_first(first: &SizeOption) -> String {
    match &first.price {
        Some(price) => format!("the lowest price that holds the load, {}", price_words(price)),
        None => "the first tier that holds the load; the price list has no prices for such tiers".to_owned(),
    }
}

fn why_second(first: &SizeOption, second: &SizeOption) -> String {
    let mut parts = Vec::new();
    match (&first.price, &second.price) {
        (Some(one), Some(two)) if one.amount > 0.0 => {
            let times = two.amount / one.amount;
            let times = format!("{times:.1}");
            let more = match times.trim_end_matches(".0") {
                "1" => "the same".to_owned(),
                times => format!("{times} times as much"),
            };
            parts.push(format!("{}, {more}", price_words(two)));
        }
        (_, Some(two)) => parts.push(price_words(two)),
        (_, None) => parts.push("the price list has no price for it".to_owned()),
    }
    if is_basic(first) && !is_basic(second) {
        parts.push("it also has twins, direct methods and cloud-to-device messages".to_owned());
    }
    // Values that look the same make no difference.
    let percents = [second, first].map(|option| format!("{:.0}%", tightest(option) * 100.0));
    if let [two, one] = percents
        && two != one
    {
        parts.push(format!("it uses {two} of its tightest limit instead of {one}"));
    }
    let online =
        |option: &SizeOption| human_duration(Duration::from_secs_f64(option.online_seconds.clamp(0.0, 1e9)));
    let (two, one) = (online(second), online(first));
    if two != one {
        parts.push(format!("it connects all devices in {two} instead of {one}"));
    }
    parts.join("; ")
}

/// Formats a price: `2,500 USD a month (unverified)`.
pub(super) fn price_words(price: &Price) -> String {
    let unverified = if price.status == UNVERIFIED { " (unverified)" } else { "" };
    format!("{} a month{unverified}", money(price.amount, &price.currency))
}
