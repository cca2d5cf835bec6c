//! Policies for reconnecting and for keeping connections alive, as data and pure functions. `plan` chooses a policy per fleet. `fleet` asks
//! it for delays and `session` for ping times; durations go in and come out. Start with `backoff.rs`. This room must not depend on sockets
//! or clocks.

pub mod backoff;
pub mod disconnect;
pub mod ping;
