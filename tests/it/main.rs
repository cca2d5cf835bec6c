//! One integration binary: the program as its users run it, against the built-in hub and against peers with
//! codecs of their own. `tests/run` installs what these tests need.

#![expect(unreachable_pub, reason = "a test binary has no outside; its modules say what is theirs to use")]

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
