//! Makes a capacity plan: the demand of a plan against the limits of every tier. Used by `app`. Pure.

use super::assertion::Assertion;
use super::demand::{CLASSES, Load, PhaseLoad, phase_loads};
use super::generator::generator;
use super::model::{CapacityPlan, Day, Demand, Part, QUOTA, SCHEMA, SizeOption};
use super::options::{Case, choices, is_basic, price_words, tightest, unit};
use super::prices::{PriceList, UNVERIFIED};
use super::units::Target;
use crate::iothub::throttles::{Class, HubSize};
use crate::plan::{DayPart, Plan, Subscription};
use crate::result::model::Tool;
use crate::units::{human_count, whole};
use std::time::Duration;

const DAY_S: f64 = 86_400.0;
/// Above this share, a plan without headroom leaves little room for growth. Our choice.
const TIGHT: f64 = 0.8;
/// The maximum number of paid hubs of a subscription (Azure: "IoT Hub quotas and throttling").
const SUBSCRIPTION_HUBS_MAX: u64 = 50;

/// The settings of a capacity plan.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Share of each limit to use at most, as a fraction of 1.
    pub headroom: f64,
    /// Time within which all devices must be able to reconnect. `None`: reconnects do not bind.
    pub reconnect_within: Option<Duration>,
    /// Price list.
    pub prices: PriceList,
    /// The hub as it is, if its size is known.
    pub hub: Option<HubSize>,
    /// Scenario file. `None` if the fleet is described on the command line.
    pub scenario: Option<String>,
    /// Conditions to check.
    pub assertions: Vec<Assertion>,
}

/// Makes the capacity plan of a plan.
#[must_use]
pub fn plan_capacity(plan: &Plan, settings: Settings, tool: Tool) -> CapacityPlan {
    let loads = phase_loads(plan);
    let parts = day_parts(plan, &loads);
    let counted = counted(&loads, &parts);
    let prices = settings.prices.into_model();
    let day = day(&loads, &parts);
    let readers = plan.fleets.iter().filter(|fleet| fleet.twin.get_on_connect);
    let twin_devices: u64 = readers.map(|fleet| u64::from(fleet.devices)).sum();
    let peak = |of: fn(&PhaseLoad) -> Load| counted.iter().map(|load| of(load).sustained).fold(0.0, f64::max);
    let case = Case {
        target: Target {
            devices: plan.devices(),
            rates: rates(plan, &counted, settings.reconnect_within, twin_devices),
            subscribed: subscribed(plan),
            messages: day.messages,
            headroom: settings.headroom,
        },
        messages_free: day.messages_free,
        billed_peak: [peak(|load| load.billed), peak(|load| load.billed_free)],
        twin_devices,
        prices: prices.clone(),
    };
    let options = case.options();
    let [recommended, runner_up] = choices(&options);
    let mut capacity = CapacityPlan {
        schema: SCHEMA.to_owned(),
        tool,
        name: plan.name.clone(),
        scenario: settings.scenario,
        devices: plan.devices(),
        headroom: settings.headroom,
        reconnect_within_seconds: settings.reconnect_within.map(|within| within.as_secs_f64()),
        demand: loads.iter().flat_map(demand).collect(),
        day,
        recommended,
        runner_up,
        current: settings.hub.map(|size| case.existing(size)),
        options,
        generator: generator(plan, &loads),
        prices,
        assertions: Vec::new(),
        notes: Vec::new(),
    };
    capacity.notes = notes(plan, &counted, &capacity);
    capacity.assertions = settings.assertions.iter().map(|assertion| assertion.check(&capacity)).collect();
    capacity
}

/// Returns the parts of the day: those of the scenario, or 24 hours of the heaviest phase that is no warm-up.
fn day_parts(plan: &Plan, loads: &[PhaseLoad]) -> Vec<DayPart> {
    if !plan.day.is_empty() {
        return plan.day.clone();
    }
    let heaviest = |warmup: bool| {
        let phases = loads.iter().zip(0_u16..).filter(|(load, _)| warmup || !load.warmup);
        // Unlike `max_by`, this finds the first of several equal phases.
        phases.min_by(|(one, _), (two, _)| two.billed.average.total_cmp(&one.billed.average))
    };
    let phase = heaviest(false).or_else(|| heaviest(true));
    phase.map(|(_, phase)| DayPart { phase, hours: 24.0 }).into_iter().collect()
}

/// Returns the phases that bind: those that are no warm-ups, and those of the day.
fn counted<'l>(loads: &'l [PhaseLoad], parts: &[DayPart]) -> Vec<&'l PhaseLoad> {
    let in_day = |number: u16| parts.iter().any(|part| part.phase == number);
    let counts = loads.iter().zip(0_u16..).filter(|(load, number)| !load.warmup || in_day(*number));
    counts.map(|(load, _)| load).collect()
}

/// Returns the billed messages of the day. Devices that connect at once in a part connect once in it, however long it lasts.
fn day(loads: &[PhaseLoad], parts: &[DayPart]) -> Day {
    let messages = |part: &DayPart, of: fn(&PhaseLoad) -> Load| {
        let load = loads.get(usize::from(part.phase)).map(of).unwrap_or_default();
        load.average * part.hours * 3_600.0 + load.once
    };
    let sum = |of: fn(&PhaseLoad) -> Load| whole(parts.iter().map(|part| messages(part, of)).sum());
    Day {
        messages: sum(|load| load.billed),
        messages_free: sum(|load| load.billed_free),
        parts: parts
            .iter()
            .map(|part| Part {
                phase: loads.get(usize::from(part.phase)).map_or_else(String::new, |load| load.name.clone()),
                hours: part.hours,
                messages: whole(messages(part, |load| load.billed)),
            })
            .collect(),
    }
}

/// Returns the rates that the throttles must hold: the highest rate of each class that lasts, and a full reconnect within its time.
#[expect(clippy::cast_precision_loss, reason = "counts of devices are far below 2^52")]
fn rates(
    plan: &Plan,
    counted: &[&PhaseLoad],
    reconnect_within: Option<Duration>,
    twin_devices: u64,
) -> Vec<(Class, f64)> {
    let rate = |class: Class| {
        let lasting = counted.iter().map(|load| load.of(class).sustained).fold(0.0, f64::max);
        let reconnecting = match class {
            Class::Connections => plan.devices(),
            Class::TwinReads => twin_devices,
            _ => 0,
        };
        let reconnect = reconnect_within.map_or(0.0, |within| reconnecting as f64 / within.as_secs_f64());
        lasting.max(reconnect)
    };
    CLASSES.into_iter().map(|class| (class, rate(class))).filter(|(_, rate)| *rate > 0.0).collect()
}

/// Returns the classes that fleets subscribe to.
fn subscribed(plan: &Plan) -> Vec<Class> {
    let subscriptions = plan.fleets.iter().flat_map(|fleet| &fleet.subscribe);
    let classes = subscriptions.filter_map(|subscription| match subscription {
        Subscription::C2d => Some(Class::C2d),
        Subscription::Twin => Some(Class::TwinReads),
        Subscription::Methods => Some(Class::Methods),
        Subscription::Filter(..) => None,
    });
    classes.collect()
}

/// Returns the rows of a phase.
fn demand(load: &PhaseLoad) -> Vec<Demand> {
    let row = |class: &str, rate: Load, per: f64| Demand {
        class: class.to_owned(),
        unit: unit(class).to_owned(),
        phase: load.name.clone(),
        warmup: load.warmup,
        average: (rate.average + rate.once / load.seconds) * per,
        peak: (rate.sustained + rate.burst) * per,
        sustained: rate.sustained * per,
    };
    let classes = CLASSES.into_iter().map(|class| row(class.name(), load.of(class), 1.0));
    let quota = row(QUOTA, Load { once: 0.0, burst: 0.0, ..load.billed }, DAY_S);
    classes.filter(|row| row.peak > 0.0 || row.average > 0.0).chain([quota]).collect()
}

/// Returns the facts that a reader should know.
fn notes(plan: &Plan, counted: &[&PhaseLoad], capacity: &CapacityPlan) -> Vec<String> {
    let mut notes = Vec::new();
    if capacity.prices.status == UNVERIFIED {
        notes.push(format!(
            "The prices are unverified: a list of {} from third parties, without taxes and discounts. Pass your own with --prices FILE",
            capacity.prices.as_of
        ));
    }
    if capacity.reconnect_within_seconds.is_none()
        && let Some(load) = counted.iter().find(|load| load.of(Class::Connections).burst > 0.0)
    {
        let connects = load.of(Class::Connections);
        notes.push(format!(
            "In phase {}, {} devices connect at once. A hub delays such a burst, so it does not bind. --reconnect-within DURATION makes a full \
             reconnect bind",
            load.name,
            human_count(whole(connects.once))
        ));
    }
    let renewed: f64 = counted.iter().map(|load| load.of(Class::Connections).average).fold(0.0, f64::max);
    if capacity.options.iter().any(|option| option.reconnect.messages > 0) {
        notes.push(format!(
            "Devices read their twin after each connect. Each read is billed, as one message because the size of the twin is not known: about {} \
             a day because of token renewals and reconnects",
            human_count(whole(renewed * DAY_S))
        ));
    }
    let fleets = plan.fleets.iter().filter(|fleet| {
        fleet.auth.tokens().is_some_and(|life| life.jitter == 0.0 && life.renewed_after().is_some())
    });
    if let Some(fleet) = fleets.into_iter().next() {
        notes.push(format!(
            "Fleet {} renews its tokens without jitter: devices that connect together also renew together. The plan counts the average rate",
            fleet.name
        ));
    }
    if plan.fleets.iter().flat_map(|fleet| &fleet.sends).any(|send| send.arrival.is_closed()) {
        notes.push(
            "The rate of a closed loop depends on the hub; the plan counts the highest possible rate"
                .to_owned(),
        );
    }
    notes.extend(size_notes(capacity));
    notes
}

/// Returns the facts about the recommended size and the load generator.
fn size_notes(capacity: &CapacityPlan) -> Vec<String> {
    let mut notes = Vec::new();
    let size = |option: &SizeOption| format!("{} x {}", option.tier, human_count(option.units));
    if let Some(option) = capacity.recommended_option() {
        let mut fitting = capacity.options.iter().filter(|option| option.fits);
        if let Some(standard) =
            fitting.find(|option| option.tier.starts_with('S')).filter(|_| is_basic(option))
        {
            let price =
                standard.price.as_ref().map_or_else(String::new, |price| format!(", {}", price_words(price)));
            notes.push(format!(
                "Basic tiers have no twins, direct methods or cloud-to-device messages. The cheapest Standard size is {}{price}",
                size(standard)
            ));
        }
        let share = tightest(option);
        if share > TIGHT && capacity.headroom > TIGHT {
            notes.push(format!(
                "{} uses {:.0}% of its tightest limit. --headroom 75% plans with a margin",
                size(option),
                share * 100.0
            ));
        }
    }
    if let Some(option) =
        capacity.options.iter().find(|option| option.fits && option.hubs > SUBSCRIPTION_HUBS_MAX)
    {
        notes.push(format!(
            "{} needs {} hubs, and a subscription can have {SUBSCRIPTION_HUBS_MAX}",
            size(option),
            human_count(option.hubs)
        ));
    }
    if capacity.generator.machines > 1 {
        notes.push("hubstorm does not yet split a run over several machines".to_owned());
    }
    notes
}
