//! How devices reconnect and keep connections alive, as data and pure functions. Made by `plan`, read by `fleet` and `session`.
//! Independent of sockets and clocks.

pub mod backoff;
pub mod ping;
