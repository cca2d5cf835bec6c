//! Recorded messages: each row is due at its time, whether or not the device is ready.

use super::*;

const CSV: &str = "time,device,properties,payload\n0,a-00000,n=0,zero\n1,a-00000,,one\n2,a-00000,n=2,two\n3,a-00000,,three\n4.5,a-00000,n=4,four\n";

/// Returns the bags and payloads of the messages published since the last call, and acknowledges them.
fn published(wire: &mut Wire) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for packet in wire.sent() {
        let Packet::Publish(publish) = packet else { continue };
        encode::puback(&mut wire.to_device, publish.pid);
        let bag =
            publish.topic.strip_prefix("devices/a-00000/messages/events/").expect("the topic of telemetry");
        found.push((bag.to_owned(), String::from_utf8(publish.payload.to_vec()).unwrap()));
    }
    wire.turn().unwrap();
    found
}

#[test]
fn rows_are_due_whether_or_not_the_device_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("r.csv");
    std::fs::write(&file, CSV).unwrap();
    let send = format!("arrival = \"replay\"\nfile = \"{}\"", file.display());
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(bag, payload)| ((*bag).to_owned(), (*payload).to_owned())).collect()
    };
    let (first, late) = (("n=0", "zero"), [("", "three"), ("n=4", "four")]);
    // With "skip", the first row is skipped, too: it is due while the device connects.
    for (offline, first, late, skipped) in [("queue", &[first][..], &late[..], 0), ("skip", &[], &[], 3)] {
        let fleet = format!("id = \"a-{{index:05}}\"\noffline = \"{offline}\"");
        let mut wire = Wire::online(60, &fleet, &send);
        wire.pass(2.5).unwrap();
        assert_eq!(published(&mut wire), pairs(&[first, &[("", "one"), ("n=2", "two")]].concat()));
        assert_eq!(wire.close(Closed::Eof), ConnectionEnd::Lost);
        wire.now += Duration::from_secs(3);
        wire.attempt();
        wire.sent();
        wire.connack(0);
        assert_eq!(published(&mut wire), pairs(late), "{offline}");
        wire.pass(10.0).unwrap();
        let telemetry = wire.totals_at_end(Operation::Telemetry);
        assert_eq!((telemetry.due, telemetry.outcome(Outcome::Offline)), (5, skipped));
        assert_eq!(telemetry.outcome(Outcome::Ok), 5 - skipped);
        // The row that was due at 3 s was acknowledged at 5.5 s.
        let slow = telemetry.response.max().is_some_and(|us| us >= 2_400_000);
        assert_eq!(slow, skipped == 0, "{:?}", telemetry.response.max());
    }
}
