//! A broker's own counts, from its `$SYS` topics. Used with mosquitto.

use super::mqtt::Client;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Number of PUBLISH packets received since the start of the broker.
const PUBLISHED: &str = "$SYS/broker/publish/messages/received";
/// Number of known clients, including this one.
const CLIENTS: &str = "$SYS/broker/clients/total";
/// Highest number of clients that were connected at once, including this one.
const CLIENTS_PEAK: &str = "$SYS/broker/clients/maximum";
/// Changes with every round of `$SYS`.
const UPTIME: &str = "$SYS/broker/uptime";
/// Maximum number of rounds, of a second each, until the counts are complete.
const ROUNDS_MAX: usize = 30;

/// The broker's counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    pub published: u64,
    pub clients: u64,
    pub clients_peak: u64,
}

/// A client that reads the counts.
pub struct Witness {
    client: Client,
    latest: BTreeMap<String, u64>,
}

impl Witness {
    pub fn new(address: SocketAddr, user: &str, password: &str) -> Witness {
        let mut client = Client::connect(address, "witness", user, password);
        client.subscribe(&[PUBLISHED, CLIENTS, CLIENTS_PEAK, UPTIME]);
        Witness { client, latest: BTreeMap::new() }
    }

    /// Returns the counts once two complete rounds have reached `published`, or the counts after the last round. The second round detects
    /// messages in excess.
    pub fn counts(&mut self, published: u64) -> Counts {
        let mut agreed = 0;
        for _ in 0..ROUNDS_MAX {
            self.next_round();
            agreed = if self.count(PUBLISHED) == published { agreed + 1 } else { 0 };
            if agreed == 2 {
                break;
            }
        }
        Counts {
            published: self.count(PUBLISHED),
            clients: self.count(CLIENTS),
            clients_peak: self.count(CLIENTS_PEAK),
        }
    }

    fn count(&self, topic: &str) -> u64 {
        self.latest.get(topic).copied().unwrap_or_default()
    }

    /// Reads messages up to the next uptime. The broker sends the uptime first in a round, so the earlier messages complete the previous
    /// round.
    fn next_round(&mut self) {
        loop {
            let frame = self.client.read();
            let (topic, _, payload) = frame.publish();
            let text = String::from_utf8_lossy(payload);
            let number = text.split(' ').next().and_then(|number| number.parse().ok());
            self.latest.insert(topic.clone(), number.expect("counts are numbers"));
            if topic == UPTIME {
                return;
            }
        }
    }
}
