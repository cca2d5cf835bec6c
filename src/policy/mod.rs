//! How devices behave when things go wrong, as data and pure functions. Made by `plan`, read by `fleet` and
//! `session`; it knows neither sockets nor clocks.

pub mod backoff;
pub mod ping;
