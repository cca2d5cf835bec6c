//! Staged runs: messages wait until they are released, and the observer receives the end of each operation.

use super::*;
use crate::fleet::{Command, Observed, Observer};
use crate::measure::Key;
use tokio::sync::mpsc::UnboundedReceiver;

/// Returns an online device of a staged run, and the receiver of its events.
fn staged(fleet: &str) -> (Wire, UnboundedReceiver<Observed>) {
    let mut context = context(60, fleet, EACH_SECOND);
    let (observer, observed) = Observer::new();
    Rc::get_mut(&mut context).expect("it is not shared yet").observe(Some(observer));
    let mut wire = Wire::of(context);
    wire.connack(0);
    (wire, observed)
}

/// Returns the operations that have ended, with their outcomes.
fn ended(observed: &mut UnboundedReceiver<Observed>) -> Vec<(&'static str, Outcome)> {
    let all = std::iter::from_fn(|| observed.try_recv().ok());
    all.filter_map(|event| match event {
        Observed::Ended { key: Key { operation, .. }, outcome, .. } => Some((operation.name(), outcome)),
        _ => None,
    })
    .collect()
}

#[test]
fn messages_wait_for_their_release() {
    let (mut wire, mut observed) = staged("");
    wire.pass(5.5).unwrap();
    assert_eq!(wire.ack(), 0, "nothing was released");
    wire.context.apply(Command::Release(Duration::from_millis(2_100)), wire.now);
    wire.turn().unwrap();
    assert_eq!(wire.ack(), 2, "those that were due before the release");
    wire.turn().unwrap();
    wire.context.apply(Command::Release(Duration::from_secs(60)), wire.now);
    wire.turn().unwrap();
    assert!(wire.ack() >= 3);
    let ended = ended(&mut observed);
    assert_eq!(ended.iter().filter(|end| **end == ("telemetry", Outcome::Ok)).count(), 2, "{ended:?}");
    assert_eq!(ended.iter().filter(|(name, _)| *name == "connect").count(), 1, "{ended:?}");
}

#[test]
fn errors_and_giving_up_are_observed() {
    let (mut wire, mut observed) = staged("reconnect = { kind = \"never\" }");
    wire.close(Closed::Eof);
    assert_eq!(wire.device.back_off(&mut Retries::default(), wire.now), None);
    let all: Vec<_> = std::iter::from_fn(|| observed.try_recv().ok()).collect();
    assert!(all.contains(&Observed::GaveUp { fleet: 0 }), "{all:?}");
    let is_error = |event: &Observed| matches!(event, Observed::Failed { class: "closed_by_peer", text, .. } if text.contains("the server closed"));
    assert!(all.iter().any(is_error), "{all:?}");
}

#[test]
fn suback_is_observed_before_the_subscription_ends() {
    let (mut wire, mut observed) = staged("subscribe = [\"c2d\"]");
    let sent = wire.sent();
    let pid = sent.iter().find_map(|packet| match packet {
        Packet::Subscribe(subscribe) => Some(subscribe.pid),
        _ => None,
    });
    encode::suback(&mut wire.to_device, pid.expect("it subscribed"), &[1]);
    wire.turn().unwrap();
    let all: Vec<_> = std::iter::from_fn(|| observed.try_recv().ok()).collect();
    let granted = all.iter().position(|event| *event == Observed::Subscribed { fleet: 0, granted: vec![1] });
    let ended = all.iter().position(
        |event| matches!(event, Observed::Ended { key, .. } if key.operation == Operation::Subscribe),
    );
    assert!(granted < ended && granted.is_some(), "{all:?}");
}
