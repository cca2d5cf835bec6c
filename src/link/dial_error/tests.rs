//! Classes and texts of failed dials.

use super::*;

fn class(step: Step, errno: Errno) -> (&'static str, Culprit) {
    let class = Class::of(step, &io::Error::from(errno));
    (class.name(), class.culprit())
}

#[test]
fn a_local_shortage_is_the_generators_fault_in_every_step() {
    for step in [Step::Dns, Step::Tcp, Step::Tls] {
        assert_eq!(class(step, Errno::EMFILE), ("fd_limit", Culprit::Generator));
        assert_eq!(class(step, Errno::ENFILE), ("fd_limit", Culprit::Generator));
        assert_eq!(class(step, Errno::EADDRNOTAVAIL), ("ports_exhausted", Culprit::Generator));
        assert_eq!(class(step, Errno::ENOMEM), ("no_memory", Culprit::Generator));
    }
}

#[test]
fn network_and_target_errors_are_distinguished() {
    assert_eq!(class(Step::Tcp, Errno::ECONNREFUSED), ("tcp_refused", Culprit::Target));
    assert_eq!(class(Step::Tcp, Errno::ETIMEDOUT), ("tcp_timeout", Culprit::Network));
    assert_eq!(class(Step::Tcp, Errno::EHOSTUNREACH), ("tcp_unreachable", Culprit::Network));
    assert_eq!(class(Step::Tls, Errno::ETIMEDOUT), ("tls_timeout", Culprit::Target));
    let silent = DialError::new(Step::Tls, Steps::default(), io::ErrorKind::TimedOut.into());
    assert!(silent.may_lack_tls());
    // The class does not depend on the step.
    for step in [Step::Tcp, Step::Tls, Step::AfterTcp] {
        assert_eq!(class(step, Errno::ECONNRESET), ("reset", Culprit::Network));
        assert_eq!(class(step, Errno::EPIPE), ("closed_by_peer", Culprit::Target));
    }
    let timed_out = [Step::Dns, Step::Tcp, Step::Tls]
        .map(|step| DialError::new(step, Steps::default(), io::ErrorKind::TimedOut.into()).is_timeout());
    assert_eq!(timed_out, [true; 3]);
}

#[test]
fn timeout_names_the_step_and_the_limit() {
    let limit = Duration::from_secs(20);
    for (step, expected) in [
        (Step::Dns, "the lookup of the host name did not finish within 20 s"),
        (Step::Tcp, "the TCP handshake did not finish within 20 s"),
        (Step::Tls, "the TLS handshake did not finish within 20 s"),
    ] {
        let error = DialError::new(step, Steps::default(), io::ErrorKind::TimedOut.into());
        assert_eq!(error.text_within(limit), expected);
    }
    let refused = DialError::new(Step::Tcp, Steps::default(), Errno::ECONNREFUSED.into());
    assert_eq!(refused.text_within(limit), refused.to_string());
}
