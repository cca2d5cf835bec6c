//! Whole runs over loopback: the effect of commands, and the events of a run.

use super::*;
use crate::clock::WallClock;
use crate::link::Endpoint;
use crate::measure::{Ending, Event, Operation};
use crate::plan::{OnlineChange, Plan, Segment, TrialSlots};
use crate::policy::backoff::BackOff;
use crate::scenario::Input;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

fn plan(text: &str) -> Plan {
    let files = &crate::scenario::no_files;
    let input = Input { file: "run.toml", text, overrides: &[], env: &|_| None, files };
    crate::plan::load(&input, &mut rand::rng()).unwrap()
}

/// Runs a plan. The commands are queued before the run starts.
async fn run_with(
    plan: Plan,
    workers: usize,
    address: std::net::SocketAddr,
    commands: Vec<Command>,
) -> (Finished, Vec<Event>) {
    let endpoint = Endpoint { host: address.ip().to_string(), port: address.port(), ..Endpoint::default() };
    let wall = WallClock::default();
    let settings = Settings {
        workers,
        endpoints: Arc::new([endpoint]),
        trace: None,
        measured: false,
        observer: None,
        journal: None,
        wall,
    };
    let (commander, obeyed) = mpsc::unbounded_channel();
    for command in commands {
        commander.send(command).unwrap();
    }
    let (events, mut happened) = mpsc::unbounded_channel();
    let finished = run(Arc::new(plan), settings, None, obeyed, events).await.unwrap();
    let events = std::iter::from_fn(|| happened.try_recv().ok()).collect();
    (finished, events)
}

/// Returns an address that refuses connections: the port of a listener that has been closed.
fn refusing_address() -> std::net::SocketAddr {
    crate::link::listen::bind("127.0.0.1:0".parse().unwrap()).unwrap().local_addr().unwrap()
}

/// Starts a broker that accepts every connection and reads everything.
fn broker() -> std::net::SocketAddr {
    let listener = crate::link::listen::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(false).unwrap();
    std::thread::spawn(move || {
        while let Ok((mut socket, _)) = listener.accept() {
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                // CONNECT arrives first and whole, because it is short.
                if socket.read(&mut buffer).is_ok_and(|read| read > 0) {
                    drop(socket.write_all(&[0x20, 2, 0, 0]));
                }
                while socket.read(&mut buffer).is_ok_and(|read| read > 0) {}
            });
        }
    });
    address
}

/// Returns a plan with two devices that each send ten messages per second at a load of 100%.
fn sending(phases: &str) -> Plan {
    plan(&format!(
        "seed = 3\ndrain = \"1s\"\n[target]\nkind = \"mqtt\"\nhost = \"127.0.0.1\"\ntls = false\n\
         [fleet.a]\ndevices = 2\n[[fleet.a.send]]\nevery = \"100ms\"\nqos = 0\ntopic = \"t\"\npayload = \"x\"\n{phases}"
    ))
}

const ONE_SECOND: &str = "[[phase]]\nname = \"p\"\nduration = \"1s\"\n";
const ONE_HOUR: &str = "[[phase]]\nname = \"p\"\nduration = \"1h\"\n";

fn append(until_ms: u64, factor: f64) -> Command {
    Command::Append(Segment { until: Duration::from_millis(until_ms), factor: [factor; 2] })
}

/// Two workers with one device each, whose connections are refused. The second device's back-off exceeds the largest `Instant`,
/// which panics.
#[tokio::test]
async fn worker_panic_ends_the_load_but_keeps_the_result() {
    let mut plan = plan(
        "[target]\nkind = \"mqtt\"\nhost = \"127.0.0.1\"\nport = 9\ntls = false\n\
         [fleet.a]\ndevices = 1\n[fleet.b]\ndevices = 1\n\
         [[phase]]\nname = \"p\"\nduration = \"1h\"\n",
    );
    plan.fleets[1].reconnect = BackOff::Fixed { delay: Duration::MAX }.into();
    let (finished, events) = run_with(plan, 2, refusing_address(), Vec::new()).await;
    assert!(!finished.complete && finished.load_ended < Duration::from_secs(3_600));
    let failed = |text: &String| text.contains("worker 1");
    assert!(finished.measurement.breakdowns.iter().any(failed), "{:?}", finished.measurement.breakdowns);
    // The other worker may have been stopped before its first attempt. Its planned connection still counts.
    let online = finished.measurement.sum(|part| part.operation == Operation::Online && part.fleet == "a");
    assert_eq!(online.due, 1, "the other worker's numbers are in the result");
    let noted = |event: &Event| matches!(event, Event::Noted { text } if failed(text));
    assert!(events.iter().any(noted), "{events:?}");
    assert!(matches!(events.last(), Some(Event::Stopped { why: Ending::WorkerFailed, .. })), "{events:?}");
}

#[tokio::test]
async fn appended_load_is_offered_by_every_device() {
    let commands = vec![append(1_500, 2.0), append(2_500, 0.0), append(3_000, 4.0)];
    let (finished, events) = run_with(sending(ONE_SECOND), 2, broker(), commands).await;
    assert!(finished.complete, "{:?}", finished.measurement.breakdowns);
    assert_eq!((finished.load_ended, finished.appended.len()), (Duration::from_secs(3), 3));
    // Per device, give or take one: 10 messages in the plan's second, 10 in half a second at 200%, none in the pause, and 20 in
    // half a second at 400%.
    let sent = finished.measurement.sum(|key| key.operation.is_message());
    assert!((78..=82).contains(&sent.due), "{} due", sent.due);
    assert_eq!(sent.ended(), sent.due);
    let online = finished.measurement.sum(|key| key.operation == Operation::Online);
    assert_eq!(online.due, 2, "both devices stayed online");
    let appended = events.iter().filter(|event| matches!(event, Event::LoadAppended { .. })).count();
    assert_eq!(appended, 3, "{events:?}");
    let planned = events.iter().filter_map(|event| match event {
        Event::Second(second) => {
            Some((second.at.as_secs(), second.phase, second.planned_per_s?.round() as u64))
        }
        _ => None,
    });
    let planned: Vec<_> = planned.take(2).collect();
    assert_eq!(planned, [(1, 0, 20), (2, 0, 20)]);
}

#[tokio::test]
async fn events_describe_a_run_from_start_to_end() {
    let phases =
        "[[phase]]\nname = \"a\"\nduration = \"600ms\"\n[[phase]]\nname = \"b\"\nduration = \"600ms\"\n";
    let (finished, events) = run_with(sending(phases), 1, broker(), Vec::new()).await;
    let ms = Duration::from_millis;
    let (seconds, other): (Vec<&Event>, Vec<&Event>) =
        events.iter().partition(|event| matches!(event, Event::Second(_)));
    let [started, first, second_phase, draining, stopped] = other[..] else { panic!("{events:?}") };
    assert_eq!(*started, Event::Started { unix: finished.started_unix });
    assert_eq!(*first, Event::PhaseStarted { phase: 0, at: ms(0) });
    assert_eq!(*second_phase, Event::PhaseStarted { phase: 1, at: ms(600) });
    // On a busy machine, the event for the first second may be missing.
    for second in seconds {
        let Event::Second(second) = second else { unreachable!("{second:?}") };
        assert_eq!(u128::from(second.live.t_ns), second.at.as_nanos());
        assert!(second.at >= ms(1_000) && second.phase == 1, "{second:?}");
    }
    assert_eq!(*draining, Event::Draining { at: ms(1_200) });
    assert_eq!(*stopped, Event::Stopped { at: finished.ended, why: Ending::Complete });
}

#[tokio::test]
async fn stop_drains_and_abort_wins_in_any_order() {
    use Command::{Abort, Stop};
    for (commands, why) in [
        (vec![Stop], Ending::Stopped),
        (vec![Stop, Abort], Ending::Aborted),
        (vec![Abort, Stop], Ending::Aborted),
    ] {
        let (finished, events) = run_with(sending(ONE_HOUR), 2, refusing_address(), commands).await;
        assert!(!finished.complete && finished.load_ended < Duration::from_secs(3_600));
        assert!(
            matches!(&events[..], [.., Event::Draining { at }, Event::Stopped { why: ended, .. }]
                if *at == finished.load_ended && *ended == why),
            "{events:?}"
        );
    }
}

#[tokio::test]
async fn load_is_not_appended_after_a_stop() {
    let commands = vec![Command::Stop, append(7_200_000, 1.0)];
    let (finished, events) = run_with(sending(ONE_HOUR), 1, refusing_address(), commands).await;
    assert_eq!(finished.appended, []);
    assert!(events.iter().any(|event| matches!(event, Event::Noted { .. })), "{events:?}");
    assert!(finished.measurement.breakdowns.is_empty(), "{:?}", finished.measurement.breakdowns);
}

/// A search declares the phases of its trials before their load is known. Their load belongs to them although it is appended later.
#[tokio::test]
async fn appended_load_belongs_to_declared_phases() {
    let slots = TrialSlots {
        idle: Duration::from_millis(500),
        settle: Duration::from_millis(500),
        judged: Duration::from_secs(1),
        count: 2,
    };
    let ramp_and_steady =
        format!("{ONE_SECOND}[[phase]]\nname = \"steady\"\nduration = \"1h\"\nload = \"200%\"\n");
    let plan = sending(&ramp_and_steady).into_trials(1, &slots);
    assert_eq!(plan.schedule.load_end(), Duration::from_secs(1));
    let commands = vec![
        append(1_500, 0.0),
        append(3_000, 1.0),
        append(3_500, 0.0),
        append(4_000, 0.5),
        append(5_000, 2.0),
    ];
    let (finished, _) = run_with(plan, 2, broker(), commands).await;
    assert!(finished.complete, "{:?}", finished.measurement.breakdowns);
    assert_eq!(finished.load_ended, Duration::from_secs(5));
    let due =
        |phase: &str| finished.measurement.sum(|key| key.operation.is_message() && key.phase == phase).due;
    // Per device 10 messages per second at 100%. The levels are relative to the 200% of the phase. Give or take one for each device.
    for (phase, expected) in
        [("p", 20), ("before slot 1", 20), ("slot 1", 40), ("before slot 2", 10), ("slot 2", 80)]
    {
        let due = due(phase);
        assert!(due.abs_diff(expected) <= 2, "{phase}: {due} due, {expected} expected");
    }
}

/// A search that varies the number of devices connects and disconnects them between trials. Each device that is online has the same load.
#[tokio::test]
async fn commands_change_the_number_of_online_devices() {
    let slots = TrialSlots {
        idle: Duration::from_millis(500),
        settle: Duration::from_millis(500),
        judged: Duration::from_secs(1),
        count: 2,
    };
    for (first, second, connects_later) in [(1, 4, 3), (4, 1, 0)] {
        let mut plan = sending(&format!("{ONE_SECOND}[[phase]]\nname = \"steady\"\nduration = \"1h\"\n"));
        plan.fleets[0].devices = 4;
        let plan = plan.into_device_trials(1, &slots, f64::from(first) / 4.0);
        let change = |from_ms: u64, over_ms: u64, devices: u32| {
            let [from, over] = [from_ms, over_ms].map(Duration::from_millis);
            Command::ChangeOnline(OnlineChange { from, over, devices: [devices].into() })
        };
        let commands = vec![
            change(1_000, 0, first),
            append(3_000, 1.0),
            change(3_000, 400, second),
            append(3_500, 0.0),
            append(5_000, 1.0),
        ];
        let (finished, events) = run_with(plan, 2, broker(), commands).await;
        assert!(finished.complete, "{:?}", finished.measurement.breakdowns);
        assert!(!events.iter().any(|event| matches!(event, Event::Noted { .. })), "{events:?}");
        let messages =
            |phase: &str| finished.measurement.sum(|key| key.operation.is_message() && key.phase == phase);
        for (phase, devices) in [("slot 1", first), ("slot 2", second)] {
            let totals = messages(phase);
            let expected = u64::from(devices) * 10;
            assert!(totals.due.abs_diff(expected) <= u64::from(devices), "{phase}: {totals:?}");
            assert_eq!(totals.ok(), totals.due, "{phase}");
        }
        let online = |phase: &str| {
            finished.measurement.sum(|key| key.operation == Operation::Online && key.phase == phase)
        };
        assert_eq!((online("p").ok(), online("before slot 2").ok()), (u64::from(first), connects_later));
        let all = finished.measurement.sum(|_| true);
        assert_eq!(all.ok(), all.due, "nothing was cut off: {all:?}");
    }
}
