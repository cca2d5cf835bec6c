//! The integration tests: the program as its users run it, against the built-in hub, scripted peers, and brokers and SDKs with other MQTT
//! codecs. `tests/run` installs what they need. Read `cli.rs` and `fleet.rs` first.

#![expect(unreachable_pub, reason = "in a test binary, `pub` marks the interface between modules")]

#[path = "../support/mod.rs"]
mod support;

mod aedes;
mod browser;
mod capacity;
mod capacity_faces;
mod capacity_oracle;
mod capacity_plan;
mod check;
mod ci;
mod cli;
mod clock_steps;
mod closed_loop;
mod commands;
mod committed_results;
mod compare;
mod comparison;
mod container;
mod credentials;
mod delayed;
mod deliver;
mod early_end;
mod emulator;
mod end_to_end;
mod errors;
mod faults;
mod files;
mod fleet;
mod formats;
mod frozen;
mod history;
mod hostile;
mod hub_metrics;
mod interrupt;
mod journal;
mod judge;
mod library;
mod mosquitto;
mod mqttjs;
mod nats;
mod once;
mod openssl;
mod outages;
mod packaging;
mod page;
mod page_script;
mod paho;
mod part;
mod pipelines;
mod preflight;
mod rabbitmq;
mod reconnect;
mod recoveries;
mod regression;
mod replay;
mod report;
mod result_doc;
mod resumption;
mod run_compare;
mod scenario;
mod schema;
mod sdk;
mod sdk_habits;
mod sdk_throttle;
mod secrets;
mod stalls;
mod strangers;
mod targets;
mod terminal;
mod throttle;
mod tokens;
mod worked_example;
