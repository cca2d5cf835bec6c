//! Errors of `hubstorm emulator`.

use super::super::secret::SecretError;
use crate::emulator::control::ControlError;
use crate::emulator::{EmulatorError, certificate};
use crate::link::{listen, tls};
use std::io;
use std::path::PathBuf;

/// The emulator cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub(in crate::app) enum EmulatorCommandError {
    /// The group key.
    #[error("{0}")]
    Secret(#[from] SecretError),
    /// A configuration that cannot be served.
    #[error("the emulator cannot be set up: {0}")]
    Config(#[from] ControlError),
    /// The first line on stdin is not a configuration, or a later one is neither a command nor a call that can be answered.
    #[error("the control line cannot be understood: {0}")]
    Control(String),
    /// The certificate.
    #[error("{0}")]
    Certificate(#[from] certificate::CertificateError),
    /// TLS.
    #[error("{0}")]
    Tls(#[from] tls::TlsError),
    /// The address.
    #[error("{0}")]
    Listen(#[from] listen::ListenError),
    /// The file with the certificate authority.
    #[error("cannot write the certificate authority to {}: {source}; choose another place with --ca-out", path.display())]
    CaFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Stdout or stdin.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// While serving.
    #[error("{0}")]
    Serve(#[from] EmulatorError),
}
