//! The test: the counts of devices, emulator and service client agree.

use super::*;
use crate::measure::{Counts, FromHub};

#[test]
fn half_an_hour_of_200_devices_balances_to_the_message() {
    let lived = live();
    for part in &lived.measurement.operations {
        assert_eq!(part.totals.due, part.totals.ended(), "{}: each due operation ends once", part.operation);
    }
    let ok = |operation| lived.totals(operation).outcome(Outcome::Ok);
    let due = |operation| lived.totals(operation).due;

    // Telemetry: what has an ack is at the hub, what the hub has was sent; what came twice was sent again.
    let telemetry = lived.totals(Operation::Telemetry);
    assert!((22_000..24_500).contains(&telemetry.due), "{}", telemetry.due);
    assert_eq!(telemetry.due, telemetry.outcome(Outcome::Ok), "kept sessions lose nothing");
    assert_eq!(lived.world.telemetry.len() as u64, telemetry.due);
    let came: u64 = lived.world.telemetry.values().sum();
    assert_eq!(came, lived.world.counted, "the hub counts what came");
    assert!(
        lived.counts.resent > 0 && came - telemetry.due <= lived.counts.resent,
        "{came} of {}",
        telemetry.due
    );

    // Each connection was somebody's first, a renewal, or a return.
    let FleetCounts { own: Counts { reconnects, renewals, .. }, from_hub } = lived.counts;
    assert_eq!(
        (due(Operation::Connect), ok(Operation::Connect)),
        (lived.world.connections, 200 + reconnects + renewals)
    );
    assert_eq!(due(Operation::Connect), ok(Operation::Connect));
    assert!(reconnects > 600, "{reconnects}");
    // Every eight minutes at 80%, so four or five each, unless a closed connection came before.
    assert!(renewals > 400, "{renewals}");
    assert_eq!((due(Operation::Renewal), ok(Operation::Renewal)), (renewals, renewals));

    twins_balance(&lived);
    methods_balance(&lived);

    // Each message was taken, once or, after a close, again; none waits any more (`twin_versions`), and none was passed over.
    let sent = due(Operation::ServiceC2d);
    assert_eq!((sent, from_hub.c2d - from_hub.c2d_duplicates), (ok(Operation::ServiceC2d), sent));
    assert_eq!(
        (from_hub.c2d, ok(Operation::C2d)),
        (lived.world.heard.count("/messages/devicebound/"), from_hub.c2d)
    );
    assert!(from_hub.c2d_duplicates > 0, "some were caught before their PUBACK");
    let nothing_else = FromHub {
        desired: from_hub.desired,
        c2d: from_hub.c2d,
        c2d_duplicates: from_hub.c2d_duplicates,
        ..FromHub::default()
    };
    assert_eq!(from_hub, nothing_else, "nothing was late, unknown, missed or skipped");
}

fn twins_balance(lived: &Lived) {
    let (heard, said) = (&lived.world.heard, &lived.world.said);
    let (desired, reported) = lived.twin_versions();
    let gets = lived.totals(Operation::TwinGet);
    assert!(gets.due > lived.world.connections, "with each connection, and every five minutes");
    assert_eq!(gets.outcome(Outcome::Ok), heard.count("/twin/res/200/"));
    assert_eq!(gets.due, gets.outcome(Outcome::Ok) + gets.outcome(Outcome::Lost), "{gets:?}");

    // What a connection that was closed cut off on its way to the hub is lost, and changed nothing.
    let reports = lived.totals(Operation::TwinReport);
    assert!(reports.due > 5_000);
    assert_eq!(reports.due, said.count("/properties/reported/"));
    assert_eq!(reports.due, reports.outcome(Outcome::Ok) + reports.outcome(Outcome::Lost), "{reports:?}");
    assert_eq!(reports.outcome(Outcome::Ok), heard.count("/twin/res/204/"));
    assert_eq!(reported, heard.count("/properties/reported/"));

    // Each change has a version, and is told to a device that is online; no device missed one without reading its whole twin.
    let changes = lived.totals(Operation::ServiceDesired);
    assert_eq!((changes.due, changes.outcome(Outcome::Ok)), (desired, desired));
    assert_eq!(lived.counts.from_hub.desired, heard.count("/properties/desired/"));
    assert_eq!(desired, lived.counts.from_hub.desired + lived.world.untold);
}

fn methods_balance(lived: &Lived) {
    let (heard, said) = (&lived.world.heard, &lived.world.said);
    let (service, device) = (lived.totals(Operation::ServiceMethod), lived.totals(Operation::Method));
    let (answered, taken) = (device.outcome(Outcome::Ok), service.outcome(Outcome::Ok));
    assert!(service.due > 3_000);
    assert_eq!(device.due, heard.count("/methods/POST/"));
    assert_eq!((answered, taken), (said.count("/methods/res/"), heard.count("/methods/res/")));
    // A call fails when its device was not told, lost its connection before it answered, or while the answer was on its way.
    let (untold, unanswered, cut_off) = (service.due - device.due, device.due - answered, answered - taken);
    assert!(cut_off > 0, "some were caught");
    assert_eq!(service.outcome(Outcome::Refused), untold + unanswered + cut_off, "{service:?} {device:?}");
    assert_eq!(service.due, taken + service.outcome(Outcome::Refused));
    assert_eq!(unanswered, device.outcome(Outcome::Lost));
}
