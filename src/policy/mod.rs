//! Policies for reconnecting, for keeping connections alive and for throttling, and faults, as data and pure functions. `plan` chooses a
//! policy per fleet. `fleet` asks it for delays and `session` for ping times; the emulator throttles with `bucket` and applies `fault`.
//! Durations go in and come out.
//! Start with `backoff.rs`. This room must not depend on sockets or clocks.

pub mod backoff;
pub mod bucket;
pub mod disconnect;
pub mod fault;
pub mod network;
pub mod ping;
