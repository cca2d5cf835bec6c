//! The integration tests: the built program, run as its users run it, against the built-in hub and against third-party clients and
//! brokers. `tests/run` installs their dependencies.

#![expect(unreachable_pub, reason = "a test binary exports nothing; pub marks what other modules may use")]

#[path = "../support/mod.rs"]
mod support;

mod aedes;
mod browser;
mod cli;
mod clock_steps;
mod commands;
mod credentials;
mod deliver;
mod early_end;
mod emulator;
mod errors;
mod files;
mod fleet;
mod frozen;
mod hostile;
mod interrupt;
mod library;
mod mosquitto;
mod mqttjs;
mod nats;
mod openssl;
mod paho;
mod preflight;
mod rabbitmq;
mod regression;
mod report;
mod scenario;
mod schema;
mod sdk;
mod sdk_habits;
mod secrets;
mod stalls;
mod strangers;
mod tokens;
