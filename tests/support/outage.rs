//! The outage of a broker in the middle of a run: it is killed or terminated, and started again. A recording proxy is between the devices
//! and the broker, and Paho counts the deliveries independently. Used by `outages`.

use super::address::own_address;
use super::conversation::Conversation;
use super::hubstorm::Workplace;
use super::local_broker::LocalBroker;
use super::proxy::Proxy;
use super::rabbitmq::RabbitMq;
use super::subscriber::Subscriber;
use super::trial::{Outcomes, RECONNECT, ctrl_c, gaps, kept_fleet, outcomes, scenario, send};
use std::net::SocketAddr;

/// The number of devices with persistent sessions, and of those with clean sessions.
const KEPT: usize = 4;
const CLEAN: usize = 6;

/// How a broker ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// `kill -9` while it has not answered some devices.
    Killed,
    /// `kill`.
    Terminated,
}

/// A broker that can end and start again at the same address, with its data.
pub trait Broker {
    fn address(&self) -> SocketAddr;
    fn end(&mut self, ending: Ending);
    fn restart(&mut self);
}

/// Besides one connection of Paho and those of the devices with persistent sessions, at least one has unread data.
const UNREAD: usize = 1 + KEPT + 1;

impl Broker for LocalBroker {
    fn address(&self) -> SocketAddr {
        LocalBroker::address(self)
    }

    fn end(&mut self, ending: Ending) {
        match ending {
            Ending::Killed => self.kill_with_unread(UNREAD),
            Ending::Terminated => self.terminate(),
        }
    }

    fn restart(&mut self) {
        LocalBroker::restart(self);
    }
}

impl Broker for RabbitMq {
    fn address(&self) -> SocketAddr {
        self.plain()
    }

    fn end(&mut self, ending: Ending) {
        match ending {
            Ending::Killed => self.kill_with_unread(UNREAD),
            Ending::Terminated => self.terminate(),
        }
    }

    fn restart(&mut self) {
        RabbitMq::restart(self);
    }
}

/// Ends the broker in the middle of a run at QoS 1, and starts it again. Every device comes back. Devices with persistent sessions lose
/// nothing; the others lose only messages without PUBACK. The run, the proxy and Paho count the same messages. Returns the packets that
/// passed the proxy.
pub fn outage_in_mid_run(broker: &mut impl Broker, ending: Ending) -> Conversation {
    let proxy = Proxy::recording(own_address(), broker.address());
    let fleets = [
        kept_fleet(KEPT, 1, 1),
        format!("[fleet.clean]\ndevices = {CLEAN}\nreconnect = {RECONNECT}\n"),
        send("clean", "up/clean", 1, "100ms"),
    ];
    let mut subscriber = Subscriber::start(broker.address(), None, &["up/+/+"], 1);
    let work = Workplace::new(&scenario(proxy.address(), None, "1h", &fleets.concat())).without_preflight();
    let running = work.start();
    subscriber.reaches("up/", KEPT + CLEAN, 10);
    broker.end(ending);
    broker.restart();
    // A device may resend one message. Only the second new message shows that the device has reconnected.
    let after = subscriber.highest() + 2;
    subscriber.reaches("up/", KEPT + CLEAN, after);
    let result = ctrl_c(&work, running);

    // Each connection was lost once, and each device reconnected.
    let errors = &result.errors;
    assert!(errors.iter().all(|error| error.culprit.name() != "us"), "{errors:#?}");
    let ended = errors.iter().filter(|error| ["reset", "closed_by_peer"].contains(&error.class.as_str()));
    let before_connack = result.count(|counts| counts.closed_before_connack + counts.reset_before_connack);
    let lost = ended.map(|error| error.count).sum::<u64>() - before_connack;
    assert_eq!(lost, (KEPT + CLEAN) as u64, "{errors:#?}");
    assert_eq!(result.count(|counts| counts.reconnects), (KEPT + CLEAN) as u64);

    let kept = outcomes(&result, "publish", "kept");
    let clean = outcomes(&result, "publish", "clean");
    assert!(kept.due > KEPT as u64 * 10 && kept.ok == kept.due, "{kept:?}: {errors:#?}");
    assert!(clean.ok > CLEAN as u64 * 10 && clean.ok + clean.lost == clean.due, "{clean:?}");
    if ending == Ending::Killed {
        assert!(clean.lost > 0, "the broker had not answered a device with a clean session: {clean:?}");
    }
    let wire = Conversation::read(&proxy.recorded());
    judge_wire(&wire, &kept, &clean);

    let report = subscriber.report(kept.ok + clean.ok);
    assert_eq!(report.messages("up/kept/"), kept.ok, "{report:?}");
    assert!(report.of("up/kept/").all(|arrivals| gaps(&arrivals.seqs) == 0), "{report:?}");
    // A message without PUBACK may have arrived.
    let received = report.messages("up/clean/");
    assert!((clean.ok..=clean.due).contains(&received), "{received}, {clean:?}: {report:?}");
    wire
}

/// Each message that the run counts as ok, and no other one, has a PUBACK that passed the proxy.
fn judge_wire(wire: &Conversation, kept: &Outcomes, clean: &Outcomes) {
    let acked = |prefix: &str| {
        let messages = wire.messages.iter().filter(|((topic, _), _)| topic.starts_with(prefix));
        let acked = messages.filter(|(_, sendings)| sendings.iter().any(|sending| sending.acked));
        acked.count() as u64
    };
    assert_eq!([acked("up/kept/"), acked("up/clean/")], [kept.ok, clean.ok]);
    assert_eq!(wire.sessions.len(), KEPT + CLEAN);
    for (device, sessions) in &wire.sessions {
        // The broker stores the sessions of the devices that ask for it.
        let expected = [false, device.starts_with("kept")];
        assert_eq!(sessions[..], expected, "{device}");
    }
}
