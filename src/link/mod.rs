//! Sockets, TLS and timers: dialling with each step timed, one transport type, and the one driver of every
//! [`Machine`](crate::sansio::Machine). `fleet` dials through it, `emulator` listens and accepts through it.
//!
//! It moves bytes and knows nothing of what they mean: neither MQTT nor Azure is named here.

mod accept;
mod addresses;
mod certificates;
mod deadlines;
mod dial;
mod driver;
mod idle;
pub mod listen;
mod public_key;
mod records;
mod resolve;
mod secure;
pub mod tls;
mod tls_failure;
mod transport;
mod verify;

pub use accept::{AcceptError, Watch, accept_tls, accept_tls_watched};
pub use addresses::{check_source, pairs};
pub use deadlines::{Alarm, Deadlines, STALL_AFTER};
pub use dial::{Culprit, DialError, Dialled, Endpoint, Step, Steps, dial};
pub use driver::{Buffers, End, Link, SharedBuffers};
pub use idle::Idle;
pub use resolve::Resolver;
pub use tls::TlsFacts;
pub use transport::Transport;

#[cfg(test)]
mod driver_tests;
#[cfg(test)]
mod ending_tests;
#[cfg(test)]
mod pressure_tests;
#[cfg(test)]
mod records_tests;
#[cfg(test)]
mod secure_tests;
#[cfg(test)]
mod tls_failure_tests;
#[cfg(test)]
mod tls_tests;
#[cfg(test)]
mod verify_tests;
