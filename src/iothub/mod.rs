//! What Azure defines.
