//! The emulator: an Azure IoT Hub on this machine, as devices see it over MQTT and TLS. It takes a [`Config`], a listener and the requests
//! of a service client. It produces the results of those requests, counters ([`Stats`]), the health of its threads ([`ShardHealth`]) and
//! [`notice`]s. `app` runs it, alone or as the child process of a run; tests run it in process. Read [`session`] first: one connection,
//! sans-I/O.
//!
//! The other files, in reading order:
//! - Decisions and state, without sockets: [`admission`] (who may connect), [`directory`] (the shared state) with [`device`],
//!   [`subscriptions`], `method_call`, [`twin`] and [`c2d`] (the state that outlives a connection), [`service`] (requests of a service client),
//!   [`throttle`] (the throttles and the quota of a tier), [`faults`] (the faults that a user causes).
//! - Threads and sockets: [`hub`] (its handle), [`server`] (threads), `accept`, `shard` with `shard_channel` and `mailbox`, `connection` (the task of
//!   one connection), [`unadmitted`] (memory limits before admission), `counts`, `health`, [`certificate`], [`control`] (JSON lines).
//!
//! It must not depend on the client's `session`: the two meet only in test modules (`pair_tests`, `soak_tests`, `app::closed_loop_tests`) and over a socket.
//!
//! `docs/emulator.md` lists the emulated features. Modules are refused.

mod accept;
mod address;
pub mod admission;
pub mod c2d;
pub mod certificate;
mod config;
mod connection;
pub mod control;
mod counts;
pub mod device;
pub mod directory;
mod error;
pub mod faults;
mod health;
pub mod hub;
mod mailbox;
mod method_call;
pub mod notice;
pub mod server;
pub mod service;
pub mod session;
mod shard;
mod shard_channel;
pub mod subscriptions;
pub mod telemetry;
pub mod throttle;
pub mod twin;
pub mod unadmitted;

#[cfg(test)]
mod clock_tests;
#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod message_rules_tests;
#[cfg(test)]
mod method_tests;
#[cfg(test)]
mod rules_tests;
#[cfg(test)]
mod service_tests;
#[cfg(test)]
mod test_support;
#[cfg(test)]
mod throttle_tests;

pub use address::Address;
pub use config::Config;
pub use counts::Stats;
pub use error::EmulatorError;
pub use faults::FaultStats;
pub use health::ShardHealth;
pub use hub::Hub;
pub use server::{RunningHub, serve};
pub use throttle::ThrottleStats;
