//! What a broker counted itself, as it says under `$SYS`.

use super::mqtt::Client;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// PUBLISH packets received since the broker began.
const PUBLISHED: &str = "$SYS/broker/publish/messages/received";
/// Clients that are known, this one included.
const CLIENTS: &str = "$SYS/broker/clients/total";
/// The most clients that were connected at once, this one included.
const CLIENTS_PEAK: &str = "$SYS/broker/clients/maximum";
/// Changes with every round of `$SYS`.
const UPTIME: &str = "$SYS/broker/uptime";
/// Rounds, a second each, in which the counts may still be on their way.
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

    /// The counts once two whole rounds agree that `published` is reached, or whatever they are when it never is: the
    /// second round catches what would have been too many.
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

    /// Takes in messages up to the next uptime, which the broker sends first in a round: what came before it
    /// belongs to the round that is now complete.
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
