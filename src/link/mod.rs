//! Connections: dialing with each step timed, TLS, and the driver that moves bytes between a socket and a protocol
//! endpoint. An [`Endpoint`] or an accepted socket comes in; a [`Transport`] goes out, which a [`Link`] drives for a
//! [`Machine`](crate::sansio::Machine). `fleet` dials through this room, and `emulator` listens and accepts through it. Read
//! `driver` first, then `dial`.
//!
//! It must not depend on what the bytes mean: neither MQTT nor Azure appears here.

mod accept;
mod addresses;
mod buffers;
mod deadlines;
mod dial;
mod dial_error;
mod driver;
mod endpoint;
mod faults;
mod half_open;
mod handshake_memory;
mod idle;
pub mod listen;
mod resolver;
mod shaped;
mod shaped_stream;
pub mod tls;
mod transport;

pub use accept::{AcceptError, accept_tls, accept_tls_bounded};
pub use addresses::{address_pairs, check_source_address};
pub use buffers::{Buffers, SharedBuffers};
pub use deadlines::{Alarm, Deadlines, STALL_AFTER};
pub use dial::{Dialed, dial, dial_device};
pub use dial_error::{Culprit, DialError, Step, Steps};
pub use driver::{End, Link};
pub use endpoint::Endpoint;
pub use faults::{FaultWindow, Faults};
pub use handshake_memory::HandshakeMemory;
pub use idle::Idle;
pub use resolver::Resolver;
pub use tls::TlsFacts;
pub use transport::Transport;

#[cfg(test)]
mod backpressure_tests;
#[cfg(test)]
mod close_tests;
#[cfg(test)]
mod dial_tests;
#[cfg(test)]
mod driver_tests;
#[cfg(test)]
mod shaped_tests;
#[cfg(test)]
mod testing;
