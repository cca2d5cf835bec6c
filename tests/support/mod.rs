//! What the integration tests stand on: the built program, brokers, proxies and scripted peers. All of it lives on
//! loopback, ends with the test, and is waited for by what it does, never by the clock.

pub mod address;
pub mod aedes;
pub mod client;
pub mod conversation;
pub mod emulator;
pub mod hub;
pub mod hubstorm;
pub mod local_broker;
pub mod mosquitto;
pub mod mqtt;
pub mod nats;
pub mod overheard;
pub mod proxy;
pub mod rabbitmq;
pub mod script;
pub mod sdk;
pub mod subscriber;
pub mod sys;
pub mod talker;
pub mod tls;
pub mod trial;

use std::time::Duration;

/// Long past every honest wait: a test that reaches it has failed, and says what it was waiting for.
pub const PATIENCE: Duration = Duration::from_secs(60);
