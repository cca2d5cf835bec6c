//! The reason why a dial failed: the step, a stable class for counting, and the culprit. Created by `dial`; read by
//! `fleet` and `app`. It must not depend on sockets: it only interprets `io::Error`.

use nix::errno::Errno;
use std::fmt;
use std::io;
use std::time::Duration;

use super::faults::InjectedFault;
use super::tls::TlsFailure;
use crate::units::set_duration;

/// A step of a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Name resolution.
    Dns,
    /// The TCP handshake.
    Tcp,
    /// The TLS handshake.
    Tls,
    /// After the TCP handshake, on a connection without TLS: the connection ended before the dial returned.
    AfterTcp,
}

/// The duration of each finished step. Dialing an IP address has no DNS step, and plain TCP has no TLS step. A device
/// that joins a lookup in progress waits for less time than the lookup takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Name resolution.
    pub dns: Option<Duration>,
    /// The TCP handshake.
    pub tcp: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
}

/// The party that caused a failed dial, as far as this machine can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Culprit {
    /// The target.
    Target,
    /// The network between this machine and the target.
    Network,
    /// The load generator's machine.
    Generator,
}

/// A failed dial.
#[derive(Debug, thiserror::Error)]
#[error("{}", ErrorText(self))]
#[non_exhaustive]
pub struct DialError {
    /// The step that failed.
    pub step: Step,
    /// Durations of the earlier steps.
    pub steps: Steps,
    /// A stable name for counting: `dns`, `tcp_refused`, `tcp_timeout`, `tcp_unreachable`, `reset`, `closed_by_peer`, `tls`,
    /// `tls_timeout`, `tls_certificate`, `fd_limit`, `ports_exhausted`, `source_address`, `no_memory`,
    /// `fault`.
    pub class: &'static str,
    kind: Class,
    source: io::Error,
}

impl DialError {
    pub(crate) fn new(step: Step, steps: Steps, source: io::Error) -> DialError {
        let kind = Class::of(step, &source);
        DialError { step, steps, class: kind.name(), kind, source }
    }

    /// Returns the error of a failed TLS handshake.
    #[cfg(test)]
    pub(crate) fn of_tls(error: rustls::Error) -> DialError {
        DialError::new(Step::Tls, Steps::default(), io::Error::other(TlsFailure::new(error, false)))
    }

    /// Returns the party that caused the failure.
    #[must_use]
    pub fn culprit(&self) -> Culprit {
        self.kind.culprit()
    }

    /// Returns true if the dial ran out of time, in any step.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.source.kind() == io::ErrorKind::TimedOut
    }

    /// Returns the error as text. If the dial ran out of time, the text contains the limit.
    #[must_use]
    pub fn text_within(&self, limit: Duration) -> String {
        let what = match self.step {
            _ if !self.is_timeout() => return self.to_string(),
            Step::Dns => "the lookup of the host name",
            Step::Tcp => "the TCP handshake",
            Step::Tls => "the TLS handshake",
            Step::AfterTcp => "the connection",
        };
        format!("{what} did not finish within {}", set_duration(limit))
    }

    /// Returns true if the server's certificate is expired or not valid yet, but would be valid at `unix`, a time since the
    /// Unix epoch.
    #[must_use]
    pub fn is_valid_at(&self, unix: Duration) -> bool {
        TlsFailure::of(&self.source).is_some_and(|failure| failure.is_valid_at(unix))
    }

    /// Returns true if the target refused the TCP connection, for example because nothing listens on the port.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.kind == Class::TcpRefused
    }

    /// Returns the fix if TLS failed. `own_roots` has the same meaning as in [`Endpoint`](super::Endpoint).
    #[must_use]
    pub fn tls_fix(&self, own_roots: bool) -> Option<&'static str> {
        TlsFailure::of(&self.source).map(|failure| failure.fix(own_roots))
    }

    /// Returns true if the port might be one without TLS: the answer was not TLS, or the connection ended or timed out
    /// during the handshake.
    #[must_use]
    pub fn may_lack_tls(&self) -> bool {
        let ended = matches!(self.kind, Class::Reset | Class::ClosedByPeer) && self.step == Step::Tls;
        ended
            || self.kind == Class::TlsTimeout
            || TlsFailure::of(&self.source).is_some_and(TlsFailure::is_not_tls)
    }
}

/// The error classes: a closed set, so that reports can count errors by class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Dns,
    TcpRefused,
    TcpTimeout,
    TcpUnreachable,
    Reset,
    ClosedByPeer,
    Tls,
    TlsTimeout,
    TlsCertificate,
    FdLimit,
    PortsExhausted,
    SourceAddress,
    NoMemory,
    Fault,
}

impl Class {
    pub(super) fn name(self) -> &'static str {
        match self {
            Class::Dns => "dns",
            Class::TcpRefused => "tcp_refused",
            Class::TcpTimeout => "tcp_timeout",
            Class::TcpUnreachable => "tcp_unreachable",
            Class::Reset => "reset",
            Class::ClosedByPeer => "closed_by_peer",
            Class::Tls => "tls",
            Class::TlsTimeout => "tls_timeout",
            Class::TlsCertificate => "tls_certificate",
            Class::FdLimit => "fd_limit",
            Class::PortsExhausted => "ports_exhausted",
            Class::SourceAddress => "source_address",
            Class::NoMemory => "no_memory",
            Class::Fault => "fault",
        }
    }

    pub(super) fn culprit(self) -> Culprit {
        match self {
            Class::TcpRefused
            | Class::ClosedByPeer
            | Class::Tls
            | Class::TlsTimeout
            | Class::TlsCertificate => Culprit::Target,
            Class::Dns | Class::TcpTimeout | Class::TcpUnreachable | Class::Reset | Class::Fault => {
                Culprit::Network
            }
            Class::FdLimit | Class::PortsExhausted | Class::SourceAddress | Class::NoMemory => {
                Culprit::Generator
            }
        }
    }

    fn description(self) -> &'static str {
        match self {
            Class::Dns => "the host name could not be resolved:",
            Class::TcpRefused => "the TCP connection was refused:",
            Class::TcpTimeout => "the TCP handshake did not finish:",
            Class::TcpUnreachable => "the host could not be reached:",
            Class::Reset => "the connection was reset",
            Class::ClosedByPeer => "the server closed the connection",
            Class::Tls => "the TLS handshake failed:",
            Class::TlsTimeout => "the TLS handshake did not finish:",
            Class::TlsCertificate => "the server's certificate was not accepted:",
            Class::FdLimit => "this process has no file descriptors left (raise `ulimit -n`):",
            Class::PortsExhausted => "this machine has no local ports left for the target's address:",
            Class::SourceAddress => "no source address can be used:",
            Class::Fault => "a fault of the scenario ended or blocked the connection",
            Class::NoMemory => "this machine has no memory left for a socket:",
        }
    }

    /// Returns the class of an error in `step`.
    pub(super) fn of(step: Step, error: &io::Error) -> Class {
        if InjectedFault::is_cause_of(error) {
            return Class::Fault;
        }
        // Check for shortages on this machine first, because they can occur in every step.
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EMFILE | Errno::ENFILE) => return Class::FdLimit,
            Some(Errno::EADDRNOTAVAIL) => return Class::PortsExhausted,
            Some(Errno::ENOMEM | Errno::ENOBUFS) => return Class::NoMemory,
            _ => {}
        }
        match (step, error.kind()) {
            // An error without an error number comes from `addresses`, not from the system.
            (Step::Tcp, io::ErrorKind::AddrNotAvailable) => Class::SourceAddress,
            (Step::Dns, _) => Class::Dns,
            // An ended connection has the same class in every step, because it is a matter of chance which step notices
            // the end.
            (_, io::ErrorKind::ConnectionReset) => Class::Reset,
            (_, io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof) => Class::ClosedByPeer,
            (Step::Tcp, io::ErrorKind::ConnectionRefused) => Class::TcpRefused,
            (Step::Tcp, io::ErrorKind::TimedOut) => Class::TcpTimeout,
            (Step::Tcp | Step::AfterTcp, _) => Class::TcpUnreachable,
            (Step::Tls, io::ErrorKind::TimedOut) => Class::TlsTimeout,
            (Step::Tls, _) if TlsFailure::of(error).is_some_and(TlsFailure::is_certificate) => {
                Class::TlsCertificate
            }
            (Step::Tls, _) => Class::Tls,
        }
    }
}

/// Displays what happened and the cause. The system's error text adds nothing to a reset or a close, so it is omitted
/// there.
struct ErrorText<'a>(&'a DialError);

impl fmt::Display for ErrorText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DialError { kind, step, source, .. } = self.0;
        match (kind, step) {
            (Class::Reset | Class::ClosedByPeer, Step::Tls) => {
                write!(f, "{} during the TLS handshake", kind.description())
            }
            (Class::Reset | Class::ClosedByPeer, _) => {
                write!(f, "{} right after the TCP handshake", kind.description())
            }
            (Class::Fault, _) => f.write_str(kind.description()),
            _ => write!(f, "{} {source}", kind.description()),
        }
    }
}

/// Returns true if the connection ended after the TCP handshake. The system reports a reset in response to the
/// handshake itself as a refusal (RFC 9293 §3.10.7.3).
pub(super) fn is_after_tcp_handshake(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests;
