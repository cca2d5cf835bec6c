//! One publisher and two subscribers on two workers: which deliveries count as lost, and in which phase.

use super::*;
use crate::scenario::Input;

const S: u64 = 1_000_000_000;
const OUT: DeviceRef = DeviceRef { fleet: 0, index: 0 };

/// Returns a plan with one publisher, two subscribers, and two phases of 10 s.
fn plan() -> Plan {
    let text = "[target]\nkind = \"mqtt\"\nhost = \"127.0.0.1\"\n\
                [fleet.out]\ndevices = 1\n[[fleet.out.send]]\nevery = \"1s\"\ntopic = \"a\"\npayload = '${stamp}'\n\
                [fleet.in]\ndevices = 2\nsubscribe = [\"a\"]\n\
                [[phase]]\nname = \"one\"\nduration = \"10s\"\n[[phase]]\nname = \"two\"\nduration = \"10s\"\n";
    let files = &crate::scenario::no_files;
    let input = Input { file: "l.toml", text, overrides: &[], env: &|_| None, files };
    crate::plan::load(&input, &mut rand::rng()).unwrap()
}

/// The publisher's worker and the subscribers' worker.
struct Run {
    plan: Plan,
    publishers: DeliveryTracker,
    subscribers: DeliveryTracker,
    inboxes: [Box<Inbox>; 2],
}

impl Run {
    fn new() -> Run {
        let plan = plan();
        let [mut publishers, subscribers] = [DeliveryTracker::new(&plan), DeliveryTracker::new(&plan)];
        publishers.add_sender();
        Run { plan, publishers, subscribers, inboxes: Default::default() }
    }

    fn published(&mut self, seq: u64) {
        self.publishers.published(&self.plan, OUT, 0, due_ns(seq));
    }

    fn unacked(&mut self, seq: u64) {
        self.publishers.unacked(&self.plan, OUT, 0, (seq, due_ns(seq)));
    }

    fn arrives(&mut self, index: u32, seq: u64) -> Option<Arrival> {
        let stamp = Stamp { run: 0, device: 0, stream: 0, seq, due_us: due_ns(seq) / 1_000 };
        let inbox = &mut self.inboxes[index as usize];
        self.subscribers.arrived(&self.plan, inbox, DeviceRef { fleet: 1, index }, &stamp)
    }

    fn all_arrived(&self) -> bool {
        all_arrived(&[Some(self.publishers.progress()), Some(self.subscribers.progress())])
    }

    fn lost(mut self) -> Vec<(u16, u64)> {
        for (index, inbox) in (0..).zip(self.inboxes) {
            self.subscribers.add_inbox(DeviceRef { fleet: 1, index }, inbox);
        }
        let (lost, streams) = reconcile(&self.plan, vec![self.publishers, self.subscribers]);
        let [stream] = &streams[..] else { panic!("{streams:?}") };
        assert_eq!(stream.lost, lost.iter().map(|lost| lost.count).sum::<u64>());
        lost.into_iter().map(|lost| (lost.phase, lost.count)).collect()
    }
}

/// Returns a due time that is not a whole microsecond.
fn due_ns(seq: u64) -> u64 {
    seq * S + 999
}

#[test]
fn complete_deliveries_are_not_lost() {
    let mut run = Run::new();
    for seq in 0..20 {
        run.published(seq);
        assert_eq!(run.arrives(0, seq), Some(Arrival::New));
        assert_eq!(run.arrives(1, seq), Some(Arrival::New));
    }
    assert!(!run.all_arrived(), "it may publish more");
    run.publishers.remove_sender();
    assert!(run.all_arrived());
    assert_eq!(run.arrives(0, 3), Some(Arrival::Duplicate));
    assert_eq!(run.lost(), []);
}

#[test]
fn missing_delivery_is_lost_in_the_phase_of_its_due_time() {
    let mut run = Run::new();
    (0..20).for_each(|seq| run.published(seq));
    for seq in (0..20).filter(|seq| ![0, 5, 15, 16].contains(seq)) {
        run.arrives(0, seq);
    }
    (0..20).filter(|seq| *seq != 5).for_each(|seq| assert_eq!(run.arrives(1, seq), Some(Arrival::New)));
    run.publishers.remove_sender();
    assert!(!run.all_arrived());
    // The first message was due while the subscribers were still connecting.
    assert_eq!(run.lost(), [(0, 2), (1, 2)]);
}

#[test]
fn unacknowledged_message_does_not_hide_a_lost_one() {
    let mut run = Run::new();
    run.arrives(0, 0);
    run.published(0);
    run.unacked(3);
    run.arrives(0, 3);
    run.arrives(1, 3);
    run.unacked(4);
    run.published(5);
    run.arrives(1, 5);
    run.publishers.remove_sender();
    assert!(!run.all_arrived(), "3 and 4 may still arrive");
    assert_eq!(run.lost(), [(0, 1)], "only message 5 at the first subscriber");
}

#[test]
fn message_without_a_subscription_is_ignored() {
    let mut run = Run::new();
    let stamp = Stamp { run: 0, device: 1, stream: 0, seq: 0, due_us: 0 };
    let inbox = &mut run.inboxes[0];
    assert_eq!(run.subscribers.arrived(&run.plan, inbox, DeviceRef { fleet: 1, index: 0 }, &stamp), None);
    assert!(inbox.is_empty(), "a peer cannot make it grow");
}
