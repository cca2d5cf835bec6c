//! The test: the counts of devices, emulator and service client agree exactly.

use super::*;
use crate::measure::{Counts, FromHub};

#[test]
fn counts_of_devices_hub_and_service_client_agree() {
    let result = run_simulation();
    for part in &result.measurement.operations {
        assert_eq!(part.totals.due, part.totals.ended(), "{}: each due operation ends once", part.operation);
    }
    let ok = |operation| result.totals(operation).outcome(Outcome::Ok);
    let due = |operation| result.totals(operation).due;

    // Telemetry: every acknowledged message reached the hub, and every duplicate was a resent message.
    let telemetry = result.totals(Operation::Telemetry);
    assert!((22_000..24_500).contains(&telemetry.due), "{}", telemetry.due);
    assert_eq!(telemetry.due, telemetry.outcome(Outcome::Ok), "persistent sessions lose nothing");
    assert_eq!(result.world.telemetry.len() as u64, telemetry.due);
    let received: u64 = result.world.telemetry.values().sum();
    assert_eq!(received, result.world.counted, "the hub counts every message");
    assert!(
        result.counts.resent > 0 && received - telemetry.due <= result.counts.resent,
        "{received} of {}",
        telemetry.due
    );

    // Each connection is a device's first one, a renewal, or a reconnect.
    let FleetCounts { own: Counts { reconnects, renewals, .. }, from_hub } = result.counts;
    assert_eq!(
        (due(Operation::Connect), ok(Operation::Connect)),
        (result.world.connections, 200 + reconnects + renewals)
    );
    assert_eq!(due(Operation::Connect), ok(Operation::Connect));
    assert!(reconnects > 600, "{reconnects}");
    // A renewal is due every 6.4 minutes (80% of eight), so each device has four or five, unless the hub closes its connection
    // first.
    assert!(renewals > 400, "{renewals}");
    assert_eq!((due(Operation::Renewal), ok(Operation::Renewal)), (renewals, renewals));

    check_twins(&result);
    check_methods(&result);

    // Each message was delivered, and delivered again if the connection closed before PUBACK. No message was skipped or is still
    // queued (`twin_versions` checks the queue).
    let sent = due(Operation::ServiceC2d);
    assert_eq!((sent, from_hub.c2d - from_hub.c2d_duplicates), (ok(Operation::ServiceC2d), sent));
    assert_eq!(
        (from_hub.c2d, ok(Operation::C2d)),
        (result.world.received.count("/messages/devicebound/"), from_hub.c2d)
    );
    assert!(from_hub.c2d_duplicates > 0, "some connections closed before PUBACK");
    let nothing_else = FromHub {
        desired: from_hub.desired,
        c2d: from_hub.c2d,
        c2d_duplicates: from_hub.c2d_duplicates,
        ..FromHub::default()
    };
    assert_eq!(from_hub, nothing_else, "nothing was late, unknown, missed or skipped");
}

fn check_twins(result: &Outcomes) {
    let (received, written) = (&result.world.received, &result.world.written_messages);
    let (desired, reported) = result.twin_versions();
    let gets = result.totals(Operation::TwinGet);
    assert!(gets.due > result.world.connections, "at each connect, and every five minutes");
    assert_eq!(gets.outcome(Outcome::Ok), received.count("/twin/res/200/"));
    assert_eq!(gets.due, gets.outcome(Outcome::Ok) + gets.outcome(Outcome::Lost), "{gets:?}");

    // A report that was in transit when its connection closed is lost and changed nothing.
    let reports = result.totals(Operation::TwinReport);
    assert!(reports.due > 5_000);
    assert_eq!(reports.due, written.count("/properties/reported/"));
    assert_eq!(reports.due, reports.outcome(Outcome::Ok) + reports.outcome(Outcome::Lost), "{reports:?}");
    assert_eq!(reports.outcome(Outcome::Ok), received.count("/twin/res/204/"));
    assert_eq!(reported, received.count("/properties/reported/"));

    // Each change increments the version and is sent to the device if it is online. A device that missed a change has read its
    // whole twin since.
    let changes = result.totals(Operation::ServiceDesired);
    assert_eq!((changes.due, changes.outcome(Outcome::Ok)), (desired, desired));
    assert_eq!(result.counts.from_hub.desired, received.count("/properties/desired/"));
    assert_eq!(desired, result.counts.from_hub.desired + result.world.not_notified);
}

fn check_methods(result: &Outcomes) {
    let (received, written) = (&result.world.received, &result.world.written_messages);
    let (service, device) = (result.totals(Operation::ServiceMethod), result.totals(Operation::Method));
    let (answered, succeeded) = (device.outcome(Outcome::Ok), service.outcome(Outcome::Ok));
    assert!(service.due > 3_000);
    assert_eq!(device.due, received.count("/methods/POST/"));
    assert_eq!((answered, succeeded), (written.count("/methods/res/"), received.count("/methods/res/")));
    // A call fails if the device was not notified, or if it lost the connection before it answered or while the answer was in
    // transit.
    let (not_notified, unanswered, cut_off) =
        (service.due - device.due, device.due - answered, answered - succeeded);
    assert!(cut_off > 0, "some answers were cut off");
    assert_eq!(
        service.outcome(Outcome::Refused),
        not_notified + unanswered + cut_off,
        "{service:?} {device:?}"
    );
    assert_eq!(service.due, succeeded + service.outcome(Outcome::Refused));
    assert_eq!(unanswered, device.outcome(Outcome::Lost));
}
