//! Verdict and faces.
