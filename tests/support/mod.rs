//! Support for the integration tests: the built program, brokers, proxies and scripted peers. Everything runs on loopback and ends with the
//! test. Tests wait for events, never for time. Read `hubstorm.rs` first.

pub mod address;
pub mod aedes;
pub mod client;
pub mod conversation;
pub mod emulator;
pub mod http;
pub mod hub;
pub mod hubstorm;
pub mod local_broker;
pub mod mosquitto;
pub mod mqtt;
pub mod nats;
pub mod outage;
pub mod project;
pub mod proxy;
pub mod rabbitmq;
pub mod readers;
pub mod recording_hub;
pub mod script;
pub mod sdk;
pub mod subscriber;
pub mod sys;
pub mod talker;
pub mod tls;
pub mod tmux;
pub mod trial;

use std::time::Duration;

/// Longer than any wait should last. A test that reaches it fails and prints the event that it waited for.
pub const TEST_TIMEOUT: Duration = Duration::from_secs(60);
