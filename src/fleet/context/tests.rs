//! Commands to a worker: the end of the load and appended segments.

use super::*;
use crate::link::Buffers;
use crate::scenario::Input;

/// Returns the context of a worker in a load of 10 s, and its reports.
fn context() -> (Context, mpsc::UnboundedReceiver<Report>) {
    let text = "[target]\nkind = \"mqtt\"\nhost = \"127.0.0.1\"\n[fleet.a]\ndevices = 1\n\
                [[phase]]\nname = \"p\"\nduration = \"10s\"\n";
    let files = &crate::scenario::no_files;
    let input = Input { file: "context.toml", text, overrides: &[], env: &|_| None, files };
    let plan = Arc::new(crate::plan::load(&input, &mut rand::rng()).unwrap());
    let clock = RunClock { zero: crate::clock::now(), zero_unix: Duration::ZERO };
    let (reports, reported) = mpsc::unbounded_channel();
    let shared = (Buffers::shared(), Deadlines::new());
    let clocks = (clock, WallClock::of(clock.zero, clock.zero_unix));
    (Context::new(plan, Arc::new([Endpoint::default()]), clocks, shared, reports), reported)
}

const S: u64 = 1_000_000_000;

fn until(seconds: u64) -> Command {
    Command::Append(Segment { until: Duration::from_secs(seconds), factor: [1.0; 2] })
}

#[test]
fn abort_wins_in_any_order_of_commands() {
    use Command::{Abort, AllDelivered, Stop};
    for commands in [
        vec![Stop, Abort],
        vec![Abort, Stop],
        vec![Abort, AllDelivered],
        vec![AllDelivered, Abort],
        vec![Abort],
    ] {
        let (context, _reported) = context();
        for command in &commands {
            context.apply(command.clone(), context.at(3 * S));
        }
        assert!(context.is_aborted() && context.is_stopped(), "{commands:?}");
        assert!(context.has_all_deliveries(), "{commands:?}");
        assert_eq!(context.load_end_ns(), 3 * S, "{commands:?}");
    }
}

#[test]
fn first_stop_ends_the_load() {
    let (context, _reported) = context();
    context.apply(Command::Stop, context.at(3 * S));
    context.apply(Command::Stop, context.at(5 * S));
    assert!(context.is_stopped() && !context.is_aborted() && !context.has_all_deliveries());
    assert_eq!(context.load_end_ns(), 3 * S);
}

#[test]
fn complete_deliveries_do_not_stop_the_load() {
    let (context, _reported) = context();
    context.apply(Command::AllDelivered, context.at(3 * S));
    assert!(context.has_all_deliveries() && !context.is_stopped());
    assert_eq!(context.load_end_ns(), 10 * S);
}

#[test]
fn append_extends_the_load_and_its_drain() {
    let (context, mut reported) = context();
    let drain_ns = context.drain_end_ns() - context.load_end_ns();
    context.apply(until(15), context.at(9 * S));
    context.apply(until(20), context.at(12 * S));
    assert_eq!((context.load_end_ns(), context.drain_end_ns()), (20 * S, 20 * S + drain_ns));
    assert_eq!(context.key(Operation::Telemetry, 0, 19 * S).phase, 0);
    assert!(reported.try_recv().is_err());
}

#[test]
fn append_after_the_load_is_reported_and_ignored() {
    let (context, mut reported) = context();
    context.apply(until(15), context.at(10 * S));
    assert_eq!((context.load_end_ns(), context.loads.end_ns()), (10 * S, 10 * S));
    assert!(matches!(reported.try_recv(), Ok(Report::LateAppend)));
    context.apply(Command::Stop, context.at(3 * S));
    context.apply(until(15), context.at(4 * S));
    assert_eq!(context.load_end_ns(), 3 * S);
    assert!(matches!(reported.try_recv(), Ok(Report::LateAppend)));
}
