//! Which operations count as under a fault.
