//! What was typed, nothing more: the clap types.
