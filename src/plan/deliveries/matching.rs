//! Matches the topics that fleets send to with the filters that fleets subscribe to. Used by `expected`.

use super::topic_index::Filters;
use crate::plan::model::{FleetPlan, Subscription};
use crate::plan::payload::TemplateContext;
use crate::wire::QoS;
use std::collections::HashMap;
use std::sync::Arc;

/// Devices of one fleet that receive a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Group {
    pub(super) fleet: u16,
    /// The broker keeps it for them while they are offline.
    pub(super) kept: bool,
    /// Their indices in order; `None` for the whole fleet.
    pub(super) devices: Option<Box<[u32]>>,
}

/// What attaches a subscription to a topic filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Subscriber {
    fleet: u16,
    /// `None` for the whole fleet, which sorts first.
    device: Option<u32>,
    keeps: bool,
}

/// All filters of all fleets. One that is the same for every device of a fleet is there once.
pub(super) fn filters(fleets: &[FleetPlan]) -> Filters<Subscriber> {
    let mut filters = Filters::new();
    for (fleet_plan, fleet) in fleets.iter().zip(0_u16..) {
        for subscription in &fleet_plan.subscribe {
            let Subscription::Filter(template, qos) = subscription else { continue };
            let keeps = *qos != QoS::AtMostOnce && !fleet_plan.clean_session && !fleet_plan.unsubscribe;
            if template.is_fixed() {
                let text = template.render(&TemplateContext { device: "", index: 0 });
                filters.insert(&text, Subscriber { fleet, device: None, keeps });
                continue;
            }
            for index in 0..fleet_plan.devices {
                let device = &*fleet_plan.device_id(index);
                let subscriber = Subscriber { fleet, device: Some(index), keeps };
                filters.insert(&template.render(&TemplateContext { device, index }), subscriber);
            }
        }
    }
    filters
}

/// Who hears each device of a fleet, or all of them where they send to one topic. Equal answers are kept once.
pub(super) fn heard(
    fleet: &FleetPlan,
    send: usize,
    filters: &Filters<Subscriber>,
    known: &mut HashMap<Vec<Group>, Arc<[Group]>>,
) -> Vec<Arc<[Group]>> {
    let send = &fleet.sends[send];
    if !send.payload.can_carry_stamp() {
        return Vec::new();
    }
    let devices = if send.topic.is_fixed() { 1 } else { fleet.devices };
    let mut found = Vec::new();
    let one = |index| {
        let device = if send.topic.uses_device() { fleet.device_id(index) } else { String::new() };
        found.clear();
        filters.matching(&send.topic.render(&TemplateContext { device: &device, index }), &mut found);
        let groups = groups(&mut found, send.qos);
        known.entry(groups).or_insert_with_key(|groups| groups.clone().into()).clone()
    };
    (0..devices).map(one).collect()
}

/// Each device once, whatever it has subscribed to: with the whole fleet, or by its index. A broker delivers at the highest QoS
/// of the filters that match (MQTT 3.1.1 §3.3.5), so the broker keeps what one of them keeps.
fn groups(found: &mut [Subscriber], qos: u8) -> Vec<Group> {
    for subscriber in found.iter_mut() {
        subscriber.keeps &= qos > 0;
    }
    // Of one device's the last is the one that keeps.
    found.sort_unstable();
    let mut groups: Vec<Group> = Vec::new();
    let mut alone: HashMap<(u16, bool), Vec<u32>> = HashMap::new();
    for (place, subscriber) in found.iter().enumerate() {
        let next = found.get(place + 1);
        let same = |next: &&Subscriber| (next.fleet, next.device) == (subscriber.fleet, subscriber.device);
        if next.filter(same).is_some() {
            continue;
        }
        let fleet = subscriber.fleet;
        match subscriber.device {
            None => groups.push(Group { fleet, kept: subscriber.keeps, devices: None }),
            Some(_) if groups.last().is_some_and(|group| group.fleet == fleet && group.devices.is_none()) => {
            }
            Some(device) => alone.entry((fleet, subscriber.keeps)).or_default().push(device),
        }
    }
    let alone = alone.into_iter().map(|((fleet, kept), devices)| Group {
        fleet,
        kept,
        devices: Some(devices.into()),
    });
    groups.extend(alone);
    groups.sort_unstable_by_key(|group| (group.fleet, group.kept));
    groups
}
