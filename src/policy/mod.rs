//! Back-off.
