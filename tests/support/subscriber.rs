//! A subscriber with Paho for Python, which counts deliveries independently of hubstorm. Used by `trial`.

use super::sdk::script;
use super::talker::Talker;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

pub struct Subscriber(Talker);

/// Everything that has arrived.
#[derive(Debug, Deserialize)]
pub struct Report {
    pub topics: BTreeMap<String, Arrivals>,
    /// Session Present of each of its connections.
    pub sessions: Vec<bool>,
}

/// Messages of a topic.
#[derive(Debug, Deserialize)]
pub struct Arrivals {
    /// The `seq` of each message, in ascending order.
    pub seqs: Vec<u64>,
    /// The number of repeated arrivals.
    pub duplicates: u64,
}

impl Subscriber {
    /// Starts a subscriber with a persistent session, and waits until it has subscribed. Its messages are JSON objects with `seq`.
    pub fn start(address: SocketAddr, ca: Option<&Path>, filters: &[&str], qos: u8) -> Subscriber {
        let python = std::env::var_os("HUBSTORM_TEST_PYTHON").expect(
            "HUBSTORM_TEST_PYTHON must name a Python with paho-mqtt: run the tests with tests/run, which installs it",
        );
        let mut command = script(python, "paho_subscriber.py");
        command.args(["--host", &address.ip().to_string(), "--port", &address.port().to_string()]);
        command.args(["--qos", &qos.to_string(), "--id", &format!("paho-{qos}")]);
        command.args(filters.iter().flat_map(|filter| ["--filter", filter]));
        command.args(ca.into_iter().flat_map(|file| [Path::new("--ca"), file]));
        let mut subscriber = Talker::start(command);
        let granted: Vec<_> = filters.iter().map(|_| qos).chain([1]).collect();
        assert_eq!(subscriber.wait_for("subscribed")["granted"], json!(granted));
        Subscriber(subscriber)
    }

    /// Waits until this number of messages has arrived, without duplicates. Returns the number.
    #[track_caller]
    pub fn waits_for(&mut self, messages: u64) -> u64 {
        let seen = self.0.execute(json!({"do": "wait", "messages": messages}), "waited");
        let arrived = seen["messages"].as_u64().expect("it is a number");
        assert!(arrived >= messages, "{arrived} of {messages}");
        arrived
    }

    /// Returns the highest `seq` so far.
    pub fn highest(&mut self) -> u64 {
        let seen = self.0.execute(json!({"do": "wait", "messages": 0}), "waited");
        seen["highest"].as_u64().expect("it is a number")
    }

    /// Waits until `topics` topics with this prefix have reached `seq`.
    #[track_caller]
    pub fn reaches(&mut self, prefix: &str, topics: usize, seq: u64) {
        self.0.execute(json!({"do": "reach", "prefix": prefix, "topics": topics, "seq": seq}), "reached");
    }

    /// Disconnects. The broker keeps the session.
    pub fn leaves(&mut self) {
        self.0.execute(json!({"do": "leave"}), "left");
    }

    /// Connects again.
    pub fn returns(&mut self) {
        self.0.execute(json!({"do": "return"}), "returned");
    }

    /// Waits for this number of messages, or until its timeout, and returns a report.
    #[track_caller]
    pub fn report(&mut self, messages: u64) -> Report {
        let report = self.0.execute(json!({"do": "report", "messages": messages}), "report");
        serde_json::from_value(report).expect("it is a report")
    }
}

impl Report {
    /// Returns the number of messages on topics with this prefix, without duplicates.
    pub fn messages(&self, prefix: &str) -> u64 {
        self.of(prefix).map(|arrivals| arrivals.seqs.len() as u64).sum()
    }

    /// Returns the number of repeated arrivals on topics with this prefix.
    pub fn duplicates(&self, prefix: &str) -> u64 {
        self.of(prefix).map(|arrivals| arrivals.duplicates).sum()
    }

    /// Returns the topics with this prefix.
    pub fn of<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Arrivals> {
        self.topics.iter().filter(move |(topic, _)| topic.starts_with(prefix)).map(|(_, arrivals)| arrivals)
    }
}
