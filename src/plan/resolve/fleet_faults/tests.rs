//! Faults of fleets: their keys, times, devices and contradictions.
