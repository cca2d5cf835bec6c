//! TLS over a socket, through rustls. Configurations come in from `fleet` and `emulator`, established streams and described
//! failures go out to `dial`, `accept` and `driver`. Read `config` first, then `stream`.
//!
//! This folder is the only place in `link` that calls rustls. It does not know MQTT.

mod config;
mod failure;
mod records;
mod server_certificates;
mod signature;
mod stream;
mod verifier;

pub use config::{ClientOptions, TlsError, TlsFacts, client, server, server_with_rsa, warm_up};
pub(super) use failure::{NO_CLIENT_CERTIFICATE, TlsFailure};
pub(super) use records::Records;
pub use server_certificates::{Identity, MakeRsa};
pub use stream::TlsStream;
pub(super) use stream::tls_io_error;

#[cfg(test)]
mod failure_tests;
#[cfg(test)]
mod records_tests;
#[cfg(test)]
mod stream_tests;
#[cfg(test)]
mod verifier_tests;
