//! Which operations are under a fault: those whose time overlaps one, and those that were due while the device had a backlog from one.

use super::*;
use crate::clock;
use crate::plan;
use crate::policy::fault::FaultKind;
use crate::sansio::{Close, Closed, Machine};
use crate::scenario::{Input, no_files};
use bytes::BytesMut;
use std::time::{Duration, Instant};

const S: u64 = 1_000_000_000;

fn plan(faults: &str) -> Plan {
    let text = format!(
        "seed = 3\n[fleet.a]\ndevices = 10\n{faults}\n[fleet.b]\ndevices = 2\n[[phase]]\nname = \"p\"\nduration = \"60s\"\n"
    );
    let input = Input { file: "x.toml", text: &text, overrides: &[], env: &|_| None, files: &no_files };
    plan::load(&input, &mut rand::rng()).unwrap()
}

fn device_faults(plan: &Plan, fleet: u16, index: u32) -> Option<Rc<DeviceFaults>> {
    let clock = RunClock { zero: clock::now(), zero_unix: Duration::ZERO };
    let worker = WorkerFaults::of(plan)?;
    worker.of_device(DeviceRef { fleet, index }, plan, &clock, &Deadlines::new())
}

fn times(due_s: f64, sent_s: f64, ended_s: f64) -> Times {
    let [due, sent, acked] = [due_s, sent_s, ended_s].map(Duration::from_secs_f64).map(nanos);
    Times { due, picked: due, sent, acked }
}

#[test]
fn only_chosen_devices_have_faults() {
    assert!(WorkerFaults::of(&plan("")).is_none());
    let plan = plan("[[fleet.a.fault]]\nkind = \"stall\"\nat = \"1s\"\nshare = \"30%\"");
    let affected = (0..10).filter(|index| device_faults(&plan, 0, *index).is_some()).count();
    assert_eq!((affected, device_faults(&plan, 1, 0).is_some()), (3, false));
}

#[test]
fn operation_is_under_a_fault_if_its_time_overlaps_it() {
    let plan = plan("[[fleet.a.fault]]\nkind = \"stall\"\nat = \"10s\"\nfor = \"5s\"");
    for (due_s, ended_s, expected) in [
        (9.0, 9.9, false),
        (9.0, 10.0, true),
        (9.0, 16.0, true),
        (12.0, 13.0, true),
        (15.0, 15.5, true),
        (15.1, 15.5, false),
    ] {
        let faults = device_faults(&plan, 0, 0).unwrap();
        let ended = faults.note_end(Operation::Telemetry, Outcome::Ok, &times(due_s, due_s, ended_s));
        assert_eq!(ended, expected, "due {due_s}, ended {ended_s}");
    }
}

#[test]
fn backlog_of_a_fault_extends_it_until_the_backlog_is_sent() {
    let plan = plan("[[fleet.a.fault]]\nkind = \"stall\"\nat = \"10s\"\nfor = \"5s\"");
    let faults = device_faults(&plan, 0, 0).unwrap();
    // Due in the stall, sent 3 s after it.
    assert!(faults.note_end(Operation::Telemetry, Outcome::Ok, &times(14.0, 18.0, 18.1)));
    // Due after the stall, behind that message; sent at 19 s.
    assert!(faults.note_end(Operation::Telemetry, Outcome::Ok, &times(17.9, 19.0, 19.1)));
    assert!(faults.note_end(Operation::Telemetry, Outcome::Ok, &times(18.9, 18.9, 19.2)));
    // The backlog is empty.
    assert!(!faults.note_end(Operation::Telemetry, Outcome::Ok, &times(19.1, 19.1, 40.0)));
    // A message that waits for its acknowledgment is no backlog.
    let faults = device_faults(&plan, 0, 0).unwrap();
    assert!(faults.note_end(Operation::Telemetry, Outcome::TimedOut, &times(14.0, 14.0, 44.0)));
    assert!(!faults.note_end(Operation::Telemetry, Outcome::Ok, &times(16.0, 16.0, 16.1)));
}

#[test]
fn broken_connection_is_a_fault_until_the_device_is_online() {
    let plan = plan("[[fleet.a.fault]]\nkind = \"half-open\"\nat = \"10s\"");
    let faults = device_faults(&plan, 0, 0).unwrap();
    let link = &faults.link;
    assert!(!faults.affects(9 * S, 9 * S + 1));
    assert!(!faults.affects(11 * S, 12 * S), "no connection was open at 10 s");
    let at = link.windows()[0].from;
    assert_eq!(link.windows()[0].kind, FaultKind::HalfOpen);
    assert!(faults.affects(10 * S, 10 * S));
    // The connection was open at 10 s.
    link.break_connection(at);
    assert!(faults.affects(20 * S, 25 * S), "sent into the silence");
    assert!(faults.note_end(Operation::Telemetry, Outcome::Lost, &times(20.0, 20.0, 25.0)));
    assert!(faults.note_end(Operation::Online, Outcome::Ok, &times(25.0, 25.0, 27.0)), "the reconnect");
    assert!(
        faults.note_end(Operation::Telemetry, Outcome::Ok, &times(26.0, 27.5, 27.6)),
        "due while offline"
    );
    assert!(!faults.note_end(Operation::Telemetry, Outcome::Ok, &times(28.0, 28.0, 28.1)));
}

/// Appends the same packets each time that it is asked, three times.
struct Repeats(u8);

impl Machine for Repeats {
    type Error = std::convert::Infallible;

    fn handle_input(&mut self, _: Instant, _: &mut BytesMut) -> Result<(), Self::Error> {
        Ok(())
    }

    fn handle_timeout(&mut self, _: Instant) -> Result<(), Self::Error> {
        Ok(())
    }

    fn handle_flushed(&mut self, _: Instant) {}

    fn handle_closed(&mut self, _: Instant, _: Closed) {}

    fn poll_output(&mut self, _: Instant, out: &mut BytesMut) {
        let packets: &[u8] = match self.0 {
            0 => &[0x40, 2, 0, 1],
            1 => &[0x40, 2, 0, 2, 0xc0, 0],
            2 => &[0x50, 2, 0, 3],
            _ => return,
        };
        out.extend_from_slice(packets);
        self.0 += 1;
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn wants_input(&self) -> bool {
        true
    }

    fn poll_close(&self) -> Option<Close> {
        None
    }
}

#[test]
fn never_ack_removes_acknowledgments_during_the_fault() {
    use super::super::never_ack::NeverAck;
    let plan = plan("[[fleet.a.fault]]\nkind = \"never-ack\"\nat = \"10s\"\nfor = \"5s\"");
    let faults = device_faults(&plan, 0, 0).unwrap();
    let from = faults.link.windows()[0].from;
    for (after_s, expected, applied) in [(0, &[0xc0, 0][..], 3), (5, &[0x40, 2, 0, 1][..], 0)] {
        let mut machine = Repeats(0);
        let mut out = BytesMut::from(&b"before"[..]);
        let mut wrapped = NeverAck { machine: &mut machine, faults: &faults };
        let now = from + Duration::from_secs(after_s);
        wrapped.poll_output(now, &mut out);
        assert_eq!(&out[..], [b"before", expected].concat());
        // The last acknowledgment is removed too, and then there is no more output.
        if after_s == 0 {
            wrapped.poll_output(now, &mut out);
            assert_eq!(&out[..], [b"before", expected].concat());
        }
        assert_eq!(faults.link.take_applied().collect::<Vec<_>>(), [applied]);
    }
}
