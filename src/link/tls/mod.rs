//! TLS, through rustls. Options and sockets come in from `dial`, `accept` and the rooms above; encrypted streams and
//! explained failures go out. Read `config` first, then `stream`, then `records`.
//!
//! It must not depend on machines, timers or MQTT. rustls's unbuffered API, which `records` drives, is used nowhere else.

mod config;
mod failure;
mod records;
mod resumption;
mod server_certificates;
mod signature;
mod stream;
mod verifier;

pub use config::{ClientOptions, TlsError, TlsFacts, client, server, server_with_rsa, warm_up};
pub(super) use failure::{NO_CLIENT_CERTIFICATE, TlsFailure};
pub(super) use records::Records;
pub use resumption::DeviceSessions;
pub use server_certificates::{Identity, MakeRsa};
pub(super) use stream::Socket;
pub use stream::TlsStream;
pub(super) use stream::tls_io_error;

#[cfg(test)]
mod failure_tests;
#[cfg(test)]
mod records_tests;
#[cfg(test)]
mod resumption_tests;
#[cfg(test)]
mod stream_tests;
#[cfg(test)]
mod verifier_tests;
