//! The units and hubs of a tier that a load needs, from the throttles and the quota in `iothub`. Used by `options`. Pure.

use super::model::{DEVICES, QUOTA};
use crate::iothub::limits::Tier;
use crate::iothub::throttles::{Class, HubSize};

/// More units than any load in a scenario needs.
const UNITS_MAX: u64 = 1 << 30;
/// Sums of rates are exact to more digits than this.
const ROUNDING: f64 = 1e-9;
/// A number of messages is exact, and only the division is rounded.
const QUOTA_ROUNDING: f64 = 1e-13;

/// A load to hold.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    /// Number of devices.
    pub(super) devices: u64,
    /// Rate of each class with a load, per second (KiB/s for methods).
    pub(super) rates: Vec<(Class, f64)>,
    /// Classes that the devices subscribe to, whether there is a load or not.
    pub(super) subscribed: Vec<Class>,
    /// Billed messages of a day.
    pub(super) messages: u64,
    /// Share of each limit to use at most.
    pub(super) headroom: f64,
}

/// The size that holds a load.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Size {
    pub(super) tier: Tier,
    pub(super) units: u64,
    pub(super) hubs: u64,
    pub(super) fits: bool,
    /// Class that binds.
    pub(super) bound_by: &'static str,
    pub(super) bound: Bound,
    /// Class that needs this number of hubs, if it is not because of the maximum number of units.
    pub(super) hubs_by: Option<&'static str>,
}

/// A class with the units and the hubs that it needs.
type Need = (&'static str, u64, u64);

/// How a class binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// It needs this number of units.
    Units,
    /// It needs this number of hubs, whatever their units.
    Hubs,
    /// The tier lacks its operations.
    Missing,
    /// A hub of this tier can have no more units, and there can be only one.
    OneHub,
}

/// Returns the smallest size of a tier that holds a load.
pub(super) fn size(tier: Tier, target: &Target) -> Size {
    let mut needs: Vec<Need> = vec![(QUOTA, quota_units(tier, target), 1)];
    needs.push((DEVICES, 1, target.devices.div_ceil(tier.devices_max()).max(1)));
    let subscribed = target.subscribed.iter().map(|class| (*class, 0.0));
    for (class, rate) in target.rates.iter().copied().chain(subscribed) {
        match needed(tier, class, rate / target.headroom) {
            Some((units, hubs)) => needs.push((class.name(), units, hubs)),
            None => {
                let bound_by = class.name();
                return Size {
                    tier,
                    units: 1,
                    hubs: 1,
                    fits: false,
                    bound_by,
                    bound: Bound::Missing,
                    hubs_by: None,
                };
            }
        }
    }
    let most_units = needs.iter().map(|(_, units, _)| *units).max().unwrap_or(1);
    let most_hubs = needs.iter().map(|(_, _, hubs)| *hubs).max().unwrap_or(1);
    let by_units = most_units.div_ceil(tier.units_max().into());
    let hubs = most_hubs.max(by_units);
    let units = most_units.max(hubs);
    // If several classes need the same, the one with the largest share of its limit binds.
    let use_of = |class: &str| share(tier, (units, hubs), target, class).unwrap_or(0.0);
    let first = |is_most: &dyn Fn(&Need) -> bool| {
        let most = needs.iter().filter(|need| is_most(need)).map(|(class, ..)| *class);
        most.max_by(|one, two| use_of(one).total_cmp(&use_of(two))).unwrap_or(QUOTA)
    };
    let hubs_by = (most_hubs > by_units).then(|| first(&|need| need.2 == most_hubs));
    let (bound_by, bound) = match hubs_by {
        Some(class) if most_hubs > most_units => (class, Bound::Hubs),
        _ => (first(&|need| need.1 == most_units), Bound::Units),
    };
    if tier == Tier::F1 && hubs > 1 {
        return Size { fits: false, bound: Bound::OneHub, bound_by, units, hubs, hubs_by, tier };
    }
    Size { tier, units, hubs, fits: true, bound_by, bound, hubs_by }
}

/// Returns the units that the daily quota requires.
#[expect(clippy::cast_precision_loss, reason = "counts of messages are far below 2^52")]
fn quota_units(tier: Tier, target: &Target) -> u64 {
    let needed = target.messages as f64 / target.headroom;
    ceiling(needed / tier.messages_per_day() as f64, QUOTA_ROUNDING).max(1)
}

/// Returns the units and the hubs that the throttle of a class requires. `None` if the tier does not have its operations.
fn needed(tier: Tier, class: Class, rate: f64) -> Option<(u64, u64)> {
    let holds = |units: u64| Some(limit(tier, units, class)? * (1.0 + ROUNDING) >= rate);
    if holds(1)? {
        return Some((1, 1));
    }
    if !holds(UNITS_MAX)? {
        // More units do not raise this limit, but more hubs do.
        return Some((1, ceiling(rate / limit(tier, 1, class)?, ROUNDING)));
    }
    let (mut low, mut high) = (1, UNITS_MAX);
    while high - low > 1 {
        let middle = low.midpoint(high);
        match holds(middle)? {
            true => high = middle,
            false => low = middle,
        }
    }
    Some((high, 1))
}

/// Returns the throttle of a hub, per second, for any number of units.
#[expect(clippy::cast_precision_loss, reason = "limits are far below 2^52")]
fn limit(tier: Tier, units: u64, class: Class) -> Option<f64> {
    let units = u32::try_from(units).unwrap_or(u32::MAX);
    Some(HubSize { tier, units }.per_minute(class)? as f64 / 60.0)
}

/// Returns the throttle of several hubs together, over which the units are spread evenly. Each hub has at least one unit.
#[expect(clippy::cast_precision_loss, reason = "counts of hubs are far below 2^52")]
pub(super) fn limit_of_hubs(tier: Tier, (units, hubs): (u64, u64), class: Class) -> Option<f64> {
    let hubs = hubs.max(1);
    let (each, larger) = (units / hubs, units % hubs);
    let of = |units: u64| limit(tier, units.max(1), class);
    Some((hubs - larger) as f64 * of(each)? + larger as f64 * of(each + 1)?)
}

/// Returns the number of devices that several hubs can have.
pub(super) fn devices_of_hubs(tier: Tier, hubs: u64) -> u64 {
    hubs * tier.devices_max()
}

/// Returns the daily quota of the units.
pub(super) fn quota(tier: Tier, units: u64) -> u64 {
    tier.messages_per_day().saturating_mul(units)
}

/// Returns the used share of the limit of a class. `None` without a limit.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(super) fn share(tier: Tier, (units, hubs): (u64, u64), target: &Target, class: &str) -> Option<f64> {
    Some(match class {
        QUOTA => target.messages as f64 / quota(tier, units) as f64,
        DEVICES => target.devices as f64 / devices_of_hubs(tier, hubs) as f64,
        name => {
            let (class, rate) = target.rates.iter().find(|(class, _)| class.name() == name)?;
            rate / limit_of_hubs(tier, (units, hubs), *class)?
        }
    })
}

/// Rounds up, except for a rounding error of this share.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count; the cast saturates")]
fn ceiling(number: f64, rounding: f64) -> u64 {
    (number * (1.0 - rounding)).ceil() as u64
}
