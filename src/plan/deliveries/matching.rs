//! Matches the topics of sends with the topic filters of subscriptions. Used by `expected`.

use super::topic_index::TopicIndex;
use crate::plan::model::{FleetPlan, Subscription};
use crate::plan::payload::TemplateContext;
use crate::wire::QoS;
use std::collections::HashMap;
use std::sync::Arc;

/// Devices of one fleet that receive a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Group {
    pub(super) fleet: u16,
    /// Whether the broker keeps messages for these devices while they are offline.
    pub(super) kept: bool,
    /// Indices in ascending order. `None` for the whole fleet.
    pub(super) devices: Option<Box<[u32]>>,
}

/// A subscription in the index of topic filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Subscriber {
    fleet: u16,
    /// Device index. `None`, which sorts first, for the whole fleet.
    device: Option<u32>,
    kept: bool,
}

/// Returns an index of all topic filters. A filter that is the same for all devices of a fleet is stored once.
pub(super) fn filters(fleets: &[FleetPlan]) -> TopicIndex<Subscriber> {
    let mut filters = TopicIndex::new();
    for (fleet_plan, fleet) in fleets.iter().zip(0_u16..) {
        for subscription in &fleet_plan.subscribe {
            let Subscription::Filter(template, qos) = subscription else { continue };
            let kept = *qos != QoS::AtMostOnce && !fleet_plan.clean_session && !fleet_plan.unsubscribe;
            if template.is_fixed() {
                let text = template.render(&TemplateContext { device: "", index: 0 });
                filters.insert(&text, Subscriber { fleet, device: None, kept });
                continue;
            }
            for index in 0..fleet_plan.devices {
                let device = &*fleet_plan.device_id(index);
                let subscriber = Subscriber { fleet, device: Some(index), kept };
                filters.insert(&template.render(&TemplateContext { device, index }), subscriber);
            }
        }
    }
    filters
}

/// Returns the receivers of each device's messages, or a single element if all devices send to the same topic. Equal lists of groups
/// share memory.
pub(super) fn receivers(
    fleet: &FleetPlan,
    send: usize,
    filters: &TopicIndex<Subscriber>,
    interned: &mut HashMap<Vec<Group>, Arc<[Group]>>,
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
        interned.entry(groups).or_insert_with_key(|groups| groups.clone().into()).clone()
    };
    (0..devices).map(one).collect()
}

/// Groups subscribers so that each device occurs once: with its whole fleet, or by index. A broker delivers at the highest QoS
/// of the matching filters (MQTT 3.1.1 §3.3.5), so it keeps a message for a device if any matching subscription requires it.
fn groups(found: &mut [Subscriber], qos: u8) -> Vec<Group> {
    for subscriber in found.iter_mut() {
        subscriber.kept &= qos > 0;
    }
    // After sorting, the last subscription of a device is one with a persistent session, if there is any.
    found.sort_unstable();
    let mut groups: Vec<Group> = Vec::new();
    let mut single: HashMap<(u16, bool), Vec<u32>> = HashMap::new();
    for (place, subscriber) in found.iter().enumerate() {
        let next = found.get(place + 1);
        let same = |next: &&Subscriber| (next.fleet, next.device) == (subscriber.fleet, subscriber.device);
        if next.filter(same).is_some() {
            continue;
        }
        let fleet = subscriber.fleet;
        match subscriber.device {
            None => groups.push(Group { fleet, kept: subscriber.kept, devices: None }),
            Some(_) if groups.last().is_some_and(|group| group.fleet == fleet && group.devices.is_none()) => {
            }
            Some(device) => single.entry((fleet, subscriber.kept)).or_default().push(device),
        }
    }
    let single = single.into_iter().map(|((fleet, kept), devices)| Group {
        fleet,
        kept,
        devices: Some(devices.into()),
    });
    groups.extend(single);
    groups.sort_unstable_by_key(|group| (group.fleet, group.kept));
    groups
}
