//! TLS errors on an open connection.

use super::{ACCEPTED, Case, MESSAGES};
use crate::support::mqtt::{CONNECT, PUBLISH};
use crate::support::script::{Step, receives, sends, sends_raw};
use crate::support::tls::Identity;

#[track_caller]
fn breaks_tls(steps: [Step; 2], class: &str) {
    let steps = [receives(CONNECT), sends(ACCEPTED), receives(PUBLISH)].into_iter().chain(steps);
    let run = Case::secure(Identity::good(), steps).run(99);
    run.ended("connect", &[("ok", 1)]).ended("publish", &[("lost", 1), ("unfinished", MESSAGES - 1)]);
    run.errors(&[(class, "peer")]).connections(1);
}

#[test]
fn tls_alert_ends_the_connection() {
    breaks_tls([Step::Alerts, Step::Holds], "tls_alert");
}

#[test]
fn garbage_record_ends_the_connection() {
    breaks_tls([sends_raw([0x17, 3, 3, 0, 4, 1, 2, 3, 4]), Step::Holds], "tls_alert");
}

#[test]
fn end_without_close_notify_is_closed_by_peer() {
    breaks_tls([Step::Ends, Step::Holds], "closed_by_peer");
}
