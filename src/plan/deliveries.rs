//! Which messages of a run come back to it: the sends whose payloads carry a stamp, matched with the filters that other
//! devices of the run subscribe to. Made by `resolve`; asked by `fleet` how many copies of a message are to arrive, and
//! where. It counts nothing.
//!
//! A copy is expected for each device whose filters match, once, while the plan has it online; with a kept session and QoS
//! above 0 on both sides also in between. What is due within [`SETTLE`] of a device's planned coming or going is measured if it
//! arrives and not missed if it does not: a subscription takes its time, and that is measured as `online`.

use super::filters::Filters;
use super::schedule::{Schedule, Span, ns};
use super::stamp::Stamp;
use super::template::TemplateContext;
use super::types::{FleetPlan, Subscription};
use crate::wire::QoS;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How close to a device's planned coming or going nothing is missed.
pub(super) const SETTLE: Duration = Duration::from_secs(1);

/// Where the tracked messages of a run go.
#[derive(Debug, Default)]
pub struct Deliveries {
    run: u64,
    fleets: Vec<Fleet>,
    sends: usize,
}

#[derive(Debug)]
struct Fleet {
    /// Index of its first device over all fleets.
    first: u64,
    devices: u32,
    /// What of each send is tracked.
    sends: Vec<Option<Tracked>>,
    /// How many of its devices are there to receive, when: those that are online, and those that have been and will be.
    present: Option<[Presence; 2]>,
}

/// A send whose messages are tracked.
#[derive(Debug)]
struct Tracked {
    /// Among all sends of the plan.
    number: usize,
    /// Who hears each device, or in one element all of them.
    heard: Vec<Arc<[Group]>>,
}

/// Devices of one fleet that receive a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Group {
    fleet: u16,
    /// The broker keeps it for them while they are offline.
    kept: bool,
    /// Their indices in order; `None` for the whole fleet.
    devices: Option<Box<[u32]>>,
}

/// What attaches a subscription to a topic filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Subscriber {
    fleet: u16,
    /// `None` for the whole fleet, which sorts first.
    device: Option<u32>,
    keeps: bool,
}

/// A subscriber of a stream that the plan knows of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedStream {
    /// The send, among all of the plan.
    pub send: usize,
    /// The broker keeps its messages while the subscriber is offline.
    pub kept: bool,
}

impl Deliveries {
    /// Matches what `fleets` send with what they subscribe to. Filler payloads that somebody hears get their stamp here.
    pub(super) fn resolve(fleets: &mut [FleetPlan], schedule: &Schedule, run: u64) -> Deliveries {
        let filters = filters(fleets);
        let mut number = 0;
        let mut known = HashMap::new();
        let mut found: Vec<Fleet> = Vec::new();
        for fleet in fleets.iter_mut() {
            let mut sends = Vec::new();
            for send in 0..fleet.sends.len() {
                let heard = heard(fleet, send, &filters, &mut known);
                let somebody = heard.iter().any(|groups| !groups.is_empty());
                let tracked = somebody && fleet.sends[send].payload.carry_stamp();
                sends.push(tracked.then_some(Tracked { number, heard }));
                number += 1;
            }
            found.push(Fleet { first: fleet.first, devices: fleet.devices, sends, present: None });
        }
        let sends = found.iter().flat_map(|fleet| &fleet.sends).flatten();
        let groups = sends.flat_map(|tracked| &tracked.heard).flat_map(|groups| groups.iter());
        let mut receiving = vec![false; found.len()];
        groups.for_each(|group| receiving[usize::from(group.fleet)] = true);
        for (fleet, receiving) in found.iter_mut().zip(receiving) {
            fleet.present =
                receiving.then(|| [false, true].map(|kept| Presence::of(schedule, fleet.devices, kept)));
        }
        Deliveries { run: run & Stamp::RUN_MASK, fleets: found, sends: number }
    }

    /// The number that this run's stamps carry.
    #[must_use]
    pub fn run(&self) -> u64 {
        self.run
    }

    /// Sends of the plan, tracked or not.
    #[must_use]
    pub fn sends(&self) -> usize {
        self.sends
    }

    /// Whether anything is tracked.
    #[must_use]
    pub fn tracks_any(&self) -> bool {
        self.fleets.iter().any(|fleet| fleet.present.is_some())
    }

    /// Whether tracked messages come to a fleet.
    #[inline]
    #[must_use]
    pub fn receives(&self, fleet: u16) -> bool {
        self.fleets.get(usize::from(fleet)).is_some_and(|fleet| fleet.present.is_some())
    }

    /// Whether a fleet sends tracked messages.
    #[must_use]
    pub fn sends_tracked(&self, fleet: u16) -> bool {
        self.fleets.get(usize::from(fleet)).is_some_and(|fleet| fleet.sends.iter().any(Option::is_some))
    }

    /// Whether the messages of a send are tracked.
    #[inline]
    #[must_use]
    pub fn is_tracked(&self, fleet: u16, stream: u16) -> bool {
        self.tracked(fleet, stream).is_some()
    }

    fn tracked(&self, fleet: u16, stream: u16) -> Option<&Tracked> {
        self.fleets.get(usize::from(fleet))?.sends.get(usize::from(stream))?.as_ref()
    }

    /// How many devices of which fleets are to receive a message of a device's stream that was due at `due_ns`; with the
    /// number of its send.
    pub fn copies(
        &self,
        fleet: u16,
        stream: u16,
        index: u32,
        due_ns: u64,
    ) -> impl Iterator<Item = (usize, u16, u64)> {
        let tracked = self.tracked(fleet, stream);
        tracked.into_iter().flat_map(move |tracked| {
            tracked.groups(index).iter().map(move |group| {
                let present = self.present(group.fleet, group.kept, due_ns);
                let copies = match &group.devices {
                    None => u64::from(present),
                    Some(devices) => devices.partition_point(|device| *device < present) as u64,
                };
                (tracked.number, group.fleet, copies)
            })
        })
    }

    /// What the plan knows of a stream, named by its stamp, and a device that it came to; `None` if it was not to.
    #[must_use]
    pub fn expected_stream(
        &self,
        sender: u32,
        stream: u16,
        fleet: u16,
        index: u32,
    ) -> Option<ExpectedStream> {
        let after = self.fleets.partition_point(|fleet| fleet.first <= u64::from(sender));
        let from = u16::try_from(after.checked_sub(1)?).ok()?;
        let sender = u32::try_from(u64::from(sender) - self.fleets.get(usize::from(from))?.first).ok()?;
        if sender >= self.fleets.get(usize::from(from))?.devices {
            return None;
        }
        let tracked = self.tracked(from, stream)?;
        let group = tracked.groups(sender).iter().find(|group| {
            let devices = group.devices.as_deref();
            group.fleet == fleet && devices.is_none_or(|devices| devices.binary_search(&index).is_ok())
        })?;
        Some(ExpectedStream { send: tracked.number, kept: group.kept })
    }

    /// Whether a device is to receive what is due at that instant.
    #[inline]
    #[must_use]
    pub fn expects(&self, fleet: u16, index: u32, kept: bool, due_ns: u64) -> bool {
        index < self.present(fleet, kept, due_ns)
    }

    fn present(&self, fleet: u16, kept: bool, due_ns: u64) -> u32 {
        let present = self.fleets.get(usize::from(fleet)).and_then(|fleet| fleet.present.as_ref());
        present.map_or(0, |present| present[usize::from(kept)].at(due_ns))
    }

    /// How many copies there are of a message of that send at most, the fewest and the most of all its devices; `None` if it
    /// is not tracked.
    #[must_use]
    pub fn copies_planned(&self, fleet: u16, stream: u16) -> Option<[u64; 2]> {
        let heard = &self.tracked(fleet, stream)?.heard;
        let counts = heard.iter().map(|groups| groups.iter().map(|group| self.size(group)).sum::<u64>());
        Some([counts.clone().min().unwrap_or(0), counts.max().unwrap_or(0)])
    }

    /// Copies of a message of that send to `to`, or to everyone, on the average of its devices.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of devices are far below 2^52")]
    pub fn copies_mean(&self, fleet: u16, stream: u16, to: Option<u16>) -> f64 {
        let Some(tracked) = self.tracked(fleet, stream) else { return 0.0 };
        let groups = tracked.heard.iter().flat_map(|groups| groups.iter());
        let wanted = groups.filter(|group| to.is_none_or(|to| group.fleet == to));
        wanted.map(|group| self.size(group)).sum::<u64>() as f64 / tracked.heard.len() as f64
    }

    /// Pairs of a stream and a device that is to hear it.
    #[must_use]
    pub fn pairs(&self) -> u64 {
        let sends = self.fleets.iter().flat_map(|fleet| fleet.sends.iter().map(move |send| (fleet, send)));
        let pairs = sends.filter_map(|(fleet, send)| {
            let heard = &send.as_ref()?.heard;
            // One answer stands for every device.
            let times = if heard.len() == 1 { u64::from(fleet.devices) } else { 1 };
            let groups = heard.iter().flat_map(|groups| groups.iter());
            Some(times * groups.map(|group| self.size(group)).sum::<u64>())
        });
        pairs.sum()
    }

    fn size(&self, group: &Group) -> u64 {
        let whole = || self.fleets.get(usize::from(group.fleet)).map_or(0, |fleet| u64::from(fleet.devices));
        group.devices.as_ref().map_or_else(whole, |devices| devices.len() as u64)
    }
}

impl Tracked {
    fn groups(&self, index: u32) -> &[Group] {
        let only = if self.heard.len() == 1 { 0 } else { index as usize };
        self.heard.get(only).map_or(&[], |groups| groups)
    }
}

/// All filters of all fleets. One that is the same for every device of a fleet is there once.
fn filters(fleets: &[FleetPlan]) -> Filters<Subscriber> {
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
fn heard(
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

/// How many of a fleet's devices are there to receive, over time. They come in the order of their indices and go in the opposite
/// one, so that a count says which.
#[derive(Debug)]
struct Presence {
    /// From when on, how many; in order.
    steps: Vec<(u64, u32)>,
}

impl Presence {
    fn of(schedule: &Schedule, devices: u32, kept: bool) -> Presence {
        let (end, settle) = (ns(schedule.end()), ns(SETTLE));
        let mut changes: Vec<(u64, i32)> = Vec::new();
        for rank in 0..devices {
            let mut spans = schedule.online_spans(u64::from(rank), u64::from(devices));
            if let (true, [first, .., last]) = (kept, &spans[..]) {
                spans = vec![Span { from_ns: first.from_ns, to_ns: last.to_ns }];
            }
            for span in spans {
                let from_ns = span.from_ns + settle;
                // Who is there at the end stays for the drain.
                let to_ns = if span.to_ns >= end { u64::MAX } else { span.to_ns.saturating_sub(settle) };
                if from_ns < to_ns {
                    changes.extend([(from_ns, 1), (to_ns, -1)]);
                }
            }
        }
        changes.sort_unstable();
        let mut steps: Vec<(u64, u32)> = Vec::new();
        let mut count = 0;
        for (at_ns, change) in changes {
            count += change;
            let present = u32::try_from(count).unwrap_or(0);
            match steps.last_mut() {
                Some(last) if last.0 == at_ns => last.1 = present,
                _ => steps.push((at_ns, present)),
            }
        }
        Presence { steps }
    }

    fn at(&self, t_ns: u64) -> u32 {
        let after = self.steps.partition_point(|(from_ns, _)| *from_ns <= t_ns);
        after.checked_sub(1).and_then(|step| self.steps.get(step)).map_or(0, |(_, count)| *count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::scenario::Input;

    const S: u64 = 1_000_000_000;

    fn load(text: &str) -> Result<Plan, String> {
        let text = format!("[target]\nkind = \"mqtt\"\nhost = \"127.0.0.1\"\n{text}");
        let input = Input {
            file: "deliveries.toml",
            text: &text,
            overrides: &[],
            env: &|_| None,
            files: &crate::scenario::no_files,
        };
        crate::plan::load(&input, &mut rand::rng()).map_err(|errors| errors.to_string())
    }

    fn plan(text: &str) -> Plan {
        load(text).unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// Ten senders; `topic` and `payload` of what they send, `subscribe` of the three who listen, in 10 s.
    fn between(topic: &str, payload: &str, subscribe: &str) -> Plan {
        plan(&format!(
            "[fleet.out]\ndevices = 10\n[[fleet.out.send]]\nevery = \"1s\"\ntopic = \"{topic}\"\npayload = {payload}\n\
             [fleet.in]\ndevices = 3\nid = \"in-{{index}}\"\nsubscribe = {subscribe}\n\
             [[phase]]\nname = \"p\"\nduration = \"10s\"\n"
        ))
    }

    const STAMPED: &str = "\"x${stamp}\"";

    fn copies(plan: &Plan, index: u32, due_ns: u64) -> Vec<(usize, u16, u64)> {
        plan.deliveries.copies(0, 0, index, due_ns).collect()
    }

    #[test]
    fn every_listener_hears_everyone() {
        let plan = between("a/${device}", STAMPED, "[\"a/+\", \"a/#\", \"b\"]");
        let deliveries = &plan.deliveries;
        assert!(deliveries.receives(1) && !deliveries.receives(0));
        assert!(deliveries.sends_tracked(0) && !deliveries.sends_tracked(1));
        assert_eq!(copies(&plan, 7, 5 * S), [(0, 1, 3)], "each device once, however many filters match");
        assert_eq!((deliveries.copies_planned(0, 0), deliveries.pairs()), (Some([3, 3]), 30));
        let heard = ExpectedStream { send: 0, kept: false };
        assert_eq!(deliveries.expected_stream(9, 0, 1, 2), Some(heard));
        for (sender, stream, fleet) in [(9, 1, 1), (10, 0, 1), (u32::MAX, 0, 1), (9, 0, 0), (9, u16::MAX, 9)]
        {
            assert_eq!(
                deliveries.expected_stream(sender, stream, fleet, 2),
                None,
                "{sender} {stream} {fleet}"
            );
        }
    }

    #[test]
    fn a_listener_with_a_filter_of_its_own_hears_what_is_for_it() {
        let plan = between("to/in-${index}", STAMPED, "[\"to/${device}\"]");
        assert_eq!(copies(&plan, 2, 5 * S), [(0, 1, 1)]);
        assert_eq!(copies(&plan, 3, 5 * S), [], "nobody is called in-3");
        assert_eq!((plan.deliveries.copies_planned(0, 0), plan.deliveries.pairs()), (Some([0, 1]), 3));
        assert!((plan.deliveries.copies_mean(0, 0, Some(1)) - 0.3).abs() < 1e-9);
        assert!(
            plan.deliveries.expected_stream(2, 0, 1, 2).is_some()
                && plan.deliveries.expected_stream(2, 0, 1, 1).is_none()
        );
    }

    #[test]
    fn what_nobody_hears_or_nobody_could_know_again_is_not_tracked() {
        for (topic, payload) in
            [("b", STAMPED), ("a/x", "\"no stamp\""), ("a/x", "{ size = 37 }"), ("$SYS/x", STAMPED)]
        {
            let plan = between(topic, payload, "[\"a/#\", \"+/x\"]");
            assert!(!plan.deliveries.is_tracked(0, 0) && !plan.deliveries.receives(1), "{topic} {payload}");
        }
        assert!(between("a/x", "{ size = 38 }", "[\"a/#\"]").deliveries.is_tracked(0, 0));
    }

    #[test]
    fn a_message_is_for_who_is_there() {
        let ramp = "[fleet.out]\ndevices = 1\n[[fleet.out.send]]\nevery = \"1s\"\ntopic = \"a\"\npayload = '${stamp}'\n\
                    [fleet.in]\ndevices = 10\nsubscribe = [\"a\"]\nclean_session = CLEAN\n\
                    [[phase]]\nname = \"up\"\nduration = \"10s\"\nonline = \"0% -> 100%\"\n\
                    [[phase]]\nname = \"down\"\nduration = \"10s\"\nonline = \"100% -> 0%\"\n\
                    [[phase]]\nname = \"off\"\nduration = \"10s\"\nonline = \"0%\"\n\
                    [[phase]]\nname = \"on\"\nduration = \"10s\"\n";
        let clean = plan(&ramp.replace("CLEAN", "true"));
        let kept = plan(&ramp.replace("CLEAN", "false"));
        let present = |plan: &Plan, due_s: u64| copies(plan, 0, due_s * S)[0].2;
        // The n-th comes at n - 0.5 s, and settles for one.
        let counts = |plan: &Plan| [0, 2, 5, 10, 15, 19, 25, 32, 39, 50].map(|due_s| present(plan, due_s));
        assert_eq!(counts(&clean), [0, 1, 4, 9, 4, 0, 0, 10, 10, 10]);
        assert_eq!(
            counts(&kept),
            [0, 1, 4, 9, 10, 10, 10, 10, 10, 10],
            "the broker keeps it for those who return"
        );
        for due_s in 0..40 {
            let expecting =
                (0..10).filter(|index| clean.deliveries.expects(1, *index, false, due_s * S)).count();
            assert_eq!(expecting as u64, present(&clean, due_s), "both sides say the same");
        }
    }

    #[test]
    fn a_broker_keeps_nothing_at_qos_0() {
        let plan = |filter: &str, qos: u8| {
            let text = format!(
                "[fleet.out]\ndevices = 1\n[[fleet.out.send]]\nqos = {qos}\nevery = \"1s\"\ntopic = \"a\"\n\
                 payload = '${{stamp}}'\n[fleet.in]\ndevices = 1\nclean_session = false\nsubscribe = [{filter}]\n\
                 [[phase]]\nname = \"p\"\nduration = \"10s\"\n"
            );
            plan(&text).deliveries.expected_stream(0, 0, 1, 0).unwrap().kept
        };
        let (unkept, keeps) = ("{ filter = \"a\", qos = 0 }", "{ filter = \"a\", qos = 1 }");
        assert!(plan(keeps, 1) && plan(&format!("{unkept}, \"+\""), 2));
        assert!(!plan(keeps, 0) && !plan(unkept, 1));
    }

    #[test]
    fn a_stamp_is_refused_where_nobody_reads_it() {
        let will = "[fleet.a]\ndevices = 1\nwill = { topic = \"t\", payload = \"${stamp}\" }\n\
                    [[phase]]\nname = \"p\"\nduration = \"10s\"\n";
        let error = load(will).map(|_| ()).unwrap_err();
        assert!(error.contains("${stamp} is for what the devices of a plain broker send"), "{error}");
    }
}
