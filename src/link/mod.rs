//! Sockets, TLS, timers.
