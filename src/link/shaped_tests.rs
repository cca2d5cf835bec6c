//! Faults, as a peer sees them.
