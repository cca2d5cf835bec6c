//! Why a command failed, and the exit code for it. Used by every command.

use crate::report::exit;

/// An error in a command. The text says what failed, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The scenario cannot be read or is invalid ([`exit::CONFIGURATION`]).
    #[error("{0}")]
    Scenario(String),
    /// Wrong usage of the command line ([`exit::USAGE`]).
    #[error("{0}")]
    Usage(String),
    /// A file, a socket, the network or this machine failed ([`exit::ENVIRONMENT`]).
    #[error("{0}")]
    Environment(String),
    /// Ctrl-C was pressed before the load started ([`exit::INTERRUPTED`]).
    #[error("interrupted before the run began; nothing was measured")]
    Interrupted,
    /// The user answered the confirmation with no ([`exit::INTERRUPTED`]).
    #[error("run canceled; nothing was sent")]
    Declined,
}

impl AppError {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            AppError::Scenario(_) => exit::CONFIGURATION,
            AppError::Usage(_) => exit::USAGE,
            AppError::Environment(_) => exit::ENVIRONMENT,
            AppError::Interrupted | AppError::Declined => exit::INTERRUPTED,
        }
    }
}

/// Returns an environment error: the failed action and the system's message.
pub(super) fn environment_error(action: &str, error: &dyn std::fmt::Display) -> AppError {
    AppError::Environment(format!("{action}: {error}"))
}
