//! The outage of a broker in the middle of a run: it is killed or terminated, and started again. A recording proxy is between the devices
//! and the broker, and Paho counts the deliveries independently. Used by `outages`.

use super::address::own_address;
use super::conversation::{Conversation, client_of};
use super::hubstorm::Workplace;
use super::local_broker::LocalBroker;
use super::proxy::{Proxy, Recorded};
use super::rabbitmq::RabbitMq;
use super::subscriber::Subscriber;
use super::trial::{Outcomes, RECONNECT, ctrl_c, gaps, kept_fleet, outcomes, scenario, send};
use hubstorm::measure::Cause;
use hubstorm::result::model::RunResult;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

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
    // A recovery lasts 2 s, and each device sends ten messages per second.
    let settled = subscriber.highest() + 25;
    subscriber.reaches("up/", KEPT + CLEAN, settled);
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
    judge_recovery(&result, &proxy);
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

/// The run finds one mass loss, and the times of its recovery are consistent with the proxy's record. Between the times that the proxy
/// knows, the device sees the same events: it loses its connection after the proxy has closed it and before the device connects again,
/// and it is online after the CONNACK has passed the proxy and before the device sends the next packet.
fn judge_recovery(result: &RunResult, proxy: &Proxy) {
    let (recorded, accepted) = (proxy.recorded(), proxy.accepted());
    let mut devices: BTreeMap<String, Vec<&Recorded>> = BTreeMap::new();
    for connection in recorded.iter().filter(|connection| connection.answered.is_some()) {
        devices.entry(client_of(connection)).or_default().push(connection);
    }
    let ended: Vec<Instant> = devices.values().filter_map(|of| of[0].ended).collect();
    assert_eq!(ended.len(), KEPT + CLEAN, "{devices:?}");
    let first_loss = [*ended.iter().min().expect("not empty"), accepted[KEPT + CLEAN]];
    // A device that is online again had lost its connection before.
    let last_loss = [ended.iter().max(), devices.values().filter_map(|of| of[1].answered.as_ref()).max()];
    let last_loss = last_loss.map(|time| *time.expect("each device reconnected"));
    let names: Vec<Option<&str>> = result.recoveries.iter().map(|one| one.fleet.as_deref()).collect();
    assert_eq!(names, [None, Some("kept"), Some("clean")]);
    for recovery in &result.recoveries {
        let of_fleet = |device: &&String| recovery.fleet.as_ref().is_none_or(|name| device.starts_with(name));
        let back: Vec<&Recorded> =
            devices.iter().filter(|(device, _)| of_fleet(device)).map(|(_, of)| of[1]).collect();
        let sorted = |time: fn(&Recorded) -> Option<Instant>| {
            let mut times: Vec<Instant> = back.iter().filter_map(|connection| time(connection)).collect();
            times.sort_unstable();
            times
        };
        let (answered, confirmed) = (sorted(|one| one.answered), sorted(|one| one.confirmed));
        assert_eq!([recovery.planned_online, recovery.lowest_online], [back.len() as u64, 0]);
        assert_eq!(
            (recovery.cause, recovery.attempts_per_device.count),
            (Cause::Observed, back.len() as u64)
        );
        for (percent, reached_us) in recovery.reached_us.list() {
            let last = (back.len() * usize::from(percent)).div_ceil(100) - 1;
            // All devices are lost before a share counts, and a bin is 100 ms long.
            let least = answered[last].max(last_loss[0]) - first_loss[1];
            let most = confirmed[last].max(last_loss[1]) - first_loss[0] + Duration::from_millis(100);
            let reached = Duration::from_micros(reached_us.expect("all devices are back for 2 s"));
            assert!((least..=most).contains(&reached), "{percent}%: {reached:?}, not {least:?} to {most:?}");
        }
    }
    // Each attempt is a connection to the proxy, with or without a broker behind it.
    let all = &result.recoveries[0].attempts_per_device;
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let attempts = (accepted.len() - (KEPT + CLEAN)) as f64;
    assert!((all.mean * all.count as f64 - attempts).abs() < 1e-6, "{all:?}, {attempts} attempts");
}
