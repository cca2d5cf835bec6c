//! Errors of `hubstorm emulator`. Used by `emulator` and its control lines.

use super::super::secret::SecretError;
use super::ready_file::ReadyFileError;
use crate::emulator::control::ControlError;
use crate::emulator::{EmulatorError, certificate};
use crate::link::{listen, tls};
use std::io;
use std::path::PathBuf;

/// Why the emulator cannot start or serve.
#[derive(Debug, thiserror::Error)]
pub(super) enum EmulatorCommandError {
    /// Invalid value of an option.
    #[error("{0}")]
    Usage(String),
    /// Invalid or missing group key.
    #[error("{0}")]
    Secret(#[from] SecretError),
    /// Invalid configuration.
    #[error("the configuration is invalid: {0}")]
    Config(#[from] ControlError),
    /// The first control line is not a configuration, or a later one is neither a command nor a call with an id.
    #[error("invalid control line: {0}")]
    Control(String),
    /// The certificate cannot be made.
    #[error("{0}")]
    Certificate(#[from] certificate::CertificateError),
    /// TLS cannot be set up.
    #[error("{0}")]
    Tls(#[from] tls::TlsError),
    /// The address cannot be bound.
    #[error("{0}")]
    Listen(#[from] listen::ListenError),
    /// The CA file cannot be written.
    #[error("cannot write the CA certificate to {}: {source}; choose another file with --ca-out", path.display())]
    CaFile {
        /// Path.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The ready file cannot be used.
    #[error("{0}")]
    ReadyFile(#[from] ReadyFileError),
    /// Stdin or stdout failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Serving failed.
    #[error("{0}")]
    Serve(#[from] EmulatorError),
}
