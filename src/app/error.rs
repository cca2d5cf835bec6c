//! Why a command fails, and the exit code for it.

use crate::report::exit;

/// Why a command ended without doing what was asked. Its text says what, where and what to do.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Exit code 104.
    #[error("{0}")]
    Scenario(String),
    /// Exit code 2.
    #[error("{0}")]
    Usage(String),
    /// Exit code 1.
    #[error("{0}")]
    Environment(String),
    /// Exit code 105: Ctrl-C before anything was measured.
    #[error("interrupted before the load began; nothing was measured")]
    Interrupted,
    /// Exit code 105: whoever was asked said no.
    #[error("not started, as you said; nothing was sent")]
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

/// An error of the environment: what was being done, and what the system said.
pub(super) fn environment_error(doing: &str, error: &dyn std::fmt::Display) -> AppError {
    AppError::Environment(format!("{doing}: {error}"))
}
