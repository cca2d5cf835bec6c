//! The items of a checklist: the operations of one device of each fleet, derived from the plan. Used by `checklist`. Pure.

use crate::iothub::topics;
use crate::measure::{Operation, Outcome};
use crate::plan::{CallPlan, DrivePlan, FleetPlan, OncePlan, Step, TemplateContext};
use crate::wire::{QoS, topic};
use std::time::Duration;

/// The stage of items that end only when the device disconnects.
pub(super) const LAST_STAGE: usize = usize::MAX;

/// An item: an operation that a fleet's device does once, or a message that it should receive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// Index of the fleet.
    pub(super) fleet: u16,
    pub(super) what: What,
    /// Name of the operation, and its object, such as a topic.
    pub(super) label: String,
    /// The stage in which it can start: 0 for connecting and subscribing, 1 and more for the stages of the plan.
    pub(super) stage: usize,
    /// Indices of the filters of which it needs at least one. Empty if it needs none.
    pub(super) needs: Vec<usize>,
    pub(super) state: State,
    /// The time from sending to the answer.
    pub(super) took: Option<Duration>,
}

/// An error of a fleet's device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FleetError {
    pub(super) fleet: u16,
    pub(super) class: &'static str,
    pub(super) text: String,
}

/// The kind of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// The connection.
    Connect,
    /// A subscription, by the index and the QoS of its filter.
    Subscribe(usize, QoS),
    /// A message.
    Message {
        step: usize,
        qos: u8,
    },
    /// The request for the whole twin. A device makes at most one.
    TwinGet,
    /// A change to reported properties.
    TwinReport {
        step: usize,
    },
    /// A call. `status` is the status with which the device should answer a method.
    Call {
        step: usize,
        status: Option<u32>,
    },
    /// A change to desired properties, or a cloud-to-device message, at the device.
    Received(Operation),
    /// A tracked message that a subscriber receives. The subscriber may be the sender.
    Deliver {
        step: usize,
    },
    /// The connection after a method with `then = "reconnect"`.
    Reconnect {
        step: usize,
    },
    Unsubscribe,
    /// An operation that the checklist only mentions, because `--once` cannot do it.
    Note,
}

/// The state of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// Ended ok, with a remark.
    Ok(String),
    /// Ended with another outcome, because of this error. `None` if no error was recorded.
    Ended(Outcome, Option<FleetError>),
    /// Failed, with the reason and a fix.
    Failed(String, String),
    /// Skipped, with the reason.
    Skipped(String),
}

impl Item {
    fn new(fleet: u16, what: What, label: impl Into<String>) -> Item {
        Item { fleet, what, label: label.into(), stage: 0, needs: Vec::new(), state: State::Open, took: None }
    }

    fn at(self, stage: usize) -> Item {
        Item { stage, ..self }
    }

    fn needing(self, needs: Vec<usize>) -> Item {
        Item { needs, ..self }
    }

    fn skipped(self, why: impl Into<String>) -> Item {
        Item { state: State::Skipped(why.into()), ..self }
    }

    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Returns true if the item failed.
    pub(super) fn is_failed(&self) -> bool {
        matches!(self.state, State::Ended(..) | State::Failed(..))
    }

    /// Returns true for messages and requests of the device.
    pub(super) fn is_message(&self) -> bool {
        matches!(self.what, What::Message { .. } | What::TwinGet | What::TwinReport { .. })
    }

    /// Returns true for messages that the device should receive. They have no timeout of their own.
    pub(super) fn is_reception(&self) -> bool {
        matches!(self.what, What::Received(_) | What::Deliver { .. })
    }
}

/// Returns the items of all fleets, in the order of the checklist.
pub(super) fn items(once: &OncePlan) -> Vec<Item> {
    let plan = &once.plan;
    let mut items: Vec<Item> = Vec::new();
    for (fleet, number) in plan.fleets.iter().zip(0_u16..) {
        items.extend(connection(fleet, number));
        for (step, index) in once.steps.iter().zip(0..) {
            match *step {
                Step::Message { fleet: of, send } if of == number => {
                    items.extend(message(once, (number, fleet), usize::from(send), index));
                }
                Step::Call { drive } => {
                    let drive = &plan.drives[usize::from(drive)];
                    if drive.fleet == number {
                        items.extend(call(once, (number, fleet), drive, index));
                    }
                }
                Step::Message { .. } => {}
            }
        }
        let never = once.unanswered.iter().filter(|(of, _)| *of == number);
        items.extend(never.map(|(_, method)| {
            let call = Item::new(number, What::Note, format!("{} {method}", Operation::ServiceMethod));
            call.skipped("the scenario says that the device never answers this method")
        }));
        if fleet.unsubscribe && !fleet.subscribe.is_empty() {
            items.push(Item::new(number, What::Unsubscribe, Operation::Unsubscribe.name()).at(LAST_STAGE));
        }
    }
    // A delivery is listed under its receiver, after the receiver's own operations.
    items.sort_by_key(|item| {
        let place = match item.what {
            What::Deliver { .. } => 1,
            What::Unsubscribe => 2,
            _ => 0,
        };
        (item.fleet, place)
    });
    items
}

/// Returns the items of a fleet's connection: connect, subscribe, and the twin.
fn connection(fleet: &FleetPlan, number: u16) -> Vec<Item> {
    let mut items = vec![Item::new(number, What::Connect, Operation::Connect.name())];
    let filters = fleet.filters(0);
    items.extend(filters.iter().zip(0..).map(|((filter, qos), index)| {
        Item::new(number, What::Subscribe(index, *qos), format!("{} {filter}", Operation::Subscribe))
    }));
    if fleet.twin.get_on_connect {
        let get = Item::new(number, What::TwinGet, Operation::TwinGet.name());
        items.push(get.needing(positions(fleet, |filter| filter == topics::TWIN_RESPONSES)));
    }
    items
}

/// Returns the items of a message: sending it, and receiving it.
fn message(once: &OncePlan, (number, fleet): (u16, &FleetPlan), send: usize, step: usize) -> Vec<Item> {
    let plan = &fleet.sends[send];
    let id = fleet.device_id(0);
    let text = plan.topic.render(&TemplateContext { device: &id, index: 0 });
    if plan.operation.is_request() {
        let needs = positions(fleet, |filter| filter == topics::TWIN_RESPONSES);
        let is_get = plan.operation == Operation::TwinGet;
        let what = if is_get { What::TwinGet } else { What::TwinReport { step } };
        return vec![Item::new(number, what, plan.operation.name()).at(1).needing(needs)];
    }
    let what = What::Message { step, qos: plan.qos };
    let mut items = vec![Item::new(number, what, format!("{} {text}", plan.operation)).at(1)];
    let stream = u16::try_from(send).unwrap_or(u16::MAX);
    let sender = u32::try_from(fleet.first).unwrap_or(u32::MAX);
    for (receiver, to) in once.plan.fleets.iter().zip(0_u16..) {
        if once.plan.deliveries.expected_stream(sender, stream, to, 0).is_some() {
            let needs = positions(receiver, |filter| topic::matches(filter, &text));
            let label = format!("{} {text} from {id}", Operation::Deliver);
            items.push(Item::new(number, What::Deliver { step }, label).at(1).needing(needs).of(to));
        }
    }
    if once.received_elsewhere.contains(&(number, stream)) {
        let deliver = Item::new(number, What::Note, format!("{} {text}", Operation::Deliver));
        items
            .push(deliver.skipped("no device of this check subscribes to this topic, only other devices do"));
    }
    items
}

impl Item {
    /// Lists the item under the receiving fleet.
    fn of(self, fleet: u16) -> Item {
        Item { fleet, ..self }
    }
}

/// Returns the items of a call: the call itself, and its effect on the device.
fn call(once: &OncePlan, (number, fleet): (u16, &FleetPlan), drive: &DrivePlan, step: usize) -> Vec<Item> {
    let operation = drive.call.operation();
    let stage =
        1 + once.stages.iter().position(|steps| step < *steps).expect("the last stage contains every step");
    let make = |what, label: String| Item::new(number, what, label).at(stage);
    let plain = What::Call { step, status: None };
    match &drive.call {
        CallPlan::Method { name, .. } => {
            let method = fleet.methods.iter().find(|method| method.name == *name);
            let status = method.and_then(|method| Some(method.answer.as_ref()?.status));
            let mut items = vec![make(What::Call { step, status }, format!("{operation} {name}"))];
            if method.is_some_and(|method| method.then_reconnect) {
                items.push(make(What::Reconnect { step }, format!("reconnect after {name}")));
            }
            items
        }
        CallPlan::Desired => {
            let needs = positions(fleet, |filter| filter == topics::TWIN_DESIRED);
            let received = make(What::Received(Operation::ServiceDesired), "desired properties".to_owned());
            vec![make(plain, operation.to_string()), subscribed(received, needs, "twin")]
        }
        CallPlan::C2d { .. } => {
            let filter = topics::c2d(&fleet.device_id(0));
            let needs = positions(fleet, |known| known == filter);
            let received = make(What::Received(Operation::C2d), Operation::C2d.to_string());
            vec![make(plain, operation.to_string()), subscribed(received, needs, "c2d")]
        }
    }
}

/// Skips a reception if the fleet does not subscribe to it.
fn subscribed(item: Item, needs: Vec<usize>, kind: &str) -> Item {
    match needs.is_empty() {
        true => item.skipped(format!("the fleet does not subscribe to \"{kind}\"")),
        false => item.needing(needs),
    }
}

/// Returns the indices of the fleet's filters for which `fits` returns true.
fn positions(fleet: &FleetPlan, fits: impl Fn(&str) -> bool) -> Vec<usize> {
    let filters = fleet.filters(0).into_iter().zip(0..);
    filters.filter(|((filter, _), _)| fits(filter)).map(|(_, index)| index).collect()
}

/// Returns the name of a fleet and its device, as a heading.
pub(super) fn heading(fleet: &FleetPlan) -> String {
    format!("fleet {}, device {}", fleet.name, fleet.device_id(0))
}
