//! `arrival = "replay"` with the program: messages arrive at a hub and at a broker exactly as in the file, and mistakes in the file are
//! told by line. `plan::resolve::recordings` has the tests in virtual time.

use crate::support::client::{Peer, Who};
use crate::support::hub::{GROUP_KEY, LocalHub};
use crate::support::hubstorm::{WIDE_VALIDITY, Workplace, all_ok, command, finish};
use crate::support::mosquitto::Mosquitto;
use hubstorm::session::Event;
use hubstorm::wire::QoS;
use std::path::Path;

const PHASE: &str = "[[phase]]\nname = \"p\"\nduration = \"2s\"\n";

/// Returns the start of a scenario with two devices.
fn scenario(target: &str, auth: &str, send: &str) -> String {
    format!(
        "[target]\n{target}\n[fleet.d]\ndevices = 2\nid = \"d{{index}}\"\nauth = {auth}\n\
         [[fleet.d.send]]\narrival = \"replay\"\nfile = \"r.csv\"\n{send}\n{PHASE}{WIDE_VALIDITY}"
    )
}

#[test]
fn payloads_and_properties_arrive_at_a_hub_exactly() {
    let hub = LocalHub::start();
    let target = format!("kind = \"iot-hub\"\nhost = \"{}\"\nca = \"{}\"", hub.host(), hub.ca().display());
    let auth = "{ kind = \"sas\", group_key = \"${env.GROUP_KEY}\" }";
    let csv = "time,device,properties,payload\n\
               0,d0,,\"{\"\"a\"\":1,\"\"b\"\":\"\"x, y\"\"}\"\n\
               0.2,d1,unit=kWh&alarm=high%20%26%20rising&%24.ct=application%2Fjson,\"two\nlines\"\n\
               0.2,d0,größe=%C3%A9,${seq} is not replaced\n\
               0.4,d1,,\n";
    let work = Workplace::new(&scenario(&target, auth, "")).file("r.csv", csv).env("GROUP_KEY", GROUP_KEY);
    work.run().exits(0);
    assert_eq!(all_ok(&work.result(), "telemetry"), 4);
    let mut found: Vec<_> = hub
        .telemetry()
        .into_iter()
        .map(|message| (message.device.to_string(), message.bag, message.payload))
        .collect();
    // The hub orders only the messages of one device.
    found.sort_by_key(|(device, ..)| device.clone());
    let message = |device: &str, bag: &str, payload: &str| {
        (device.to_owned(), bag.to_owned(), payload.as_bytes().to_vec())
    };
    assert_eq!(
        found,
        [
            message("d0", "", "{\"a\":1,\"b\":\"x, y\"}"),
            message("d0", "größe=%C3%A9", "${seq} is not replaced"),
            message("d1", "unit=kWh&alarm=high%20%26%20rising&%24.ct=application%2Fjson", "two\nlines"),
            message("d1", "", ""),
        ]
    );
    assert_eq!(hub.stop().protocol_errors, 0);
}

#[test]
fn topics_and_binary_payloads_arrive_at_a_broker_exactly() {
    let broker = Mosquitto::start(["user".to_owned()], "password");
    let target = format!(
        "kind = \"mqtt\"\nhost = \"{}\"\nport = {}\nca = \"{}\"",
        broker.host(),
        broker.tls().port(),
        broker.ca().display()
    );
    let auth = "{ kind = \"password\", username = \"user\", password = \"${env.BROKER_PASSWORD}\" }";
    let csv =
        "time;device;topic;payload_base64\n5;d0;plant/1;AP8K\n5.1;d1;plant/größe;eA==\n5.1;d0;plant/2;\n";
    let mut listener = Peer::new(true);
    listener.connect(&Who {
        address: broker.plain(),
        id: "listener",
        user: "user",
        password: "password",
        will: None,
    });
    listener.subscribe("plant/#", QoS::AtMostOnce);
    let work = Workplace::new(&scenario(&target, auth, "qos = 2"))
        .file("r.csv", csv)
        .env("BROKER_PASSWORD", "password");
    work.run().exits(0);
    assert_eq!(all_ok(&work.result(), "publish"), 3);
    let mut received = Vec::new();
    while received.len() < 3 {
        match listener.event() {
            Event::Message(publish) => received.push((publish.topic, publish.payload.to_vec())),
            other => panic!("{other:?}"),
        }
    }
    received.sort();
    let message = |topic: &str, payload: &[u8]| (topic.to_owned(), payload.to_vec());
    assert_eq!(
        received,
        [message("plant/1", b"\x00\xff\n"), message("plant/2", b""), message("plant/größe", b"x")]
    );
}

#[test]
fn check_prints_the_recording_or_its_mistakes_by_line() {
    let text = format!(
        "[fleet.d]\ndevices = 2\nid = \"d{{index}}\"\n[[fleet.d.send]]\narrival = \"replay\"\nfile = \"r.csv\"\nspeed = \"2x\"\n{PHASE}"
    );
    let check = |csv: &str| {
        let work = Workplace::new(&text).file("r.csv", csv);
        let finished = finish(command([Path::new("check"), &work.scenario()]));
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        (finished.code, words(&finished.stdout) + &words(&finished.stderr))
    };
    let (code, output) =
        check("time,device,payload,site\n0,d0,one,a\n1,d1,two,b\n2,d0,three,c\n9,d0,four,d\n");
    assert_eq!(code, Some(0), "{output}");
    for part in [
        "telemetry at QoS 1, replay of r.csv: 4 rows in 4.50 s at 2x speed, once, at most 2 in one second at a load of 100%, up to 5 B each; \
         ignores the columns site",
        "messages about 3",
        "1 of 4 rows would be due after the last phase and are not sent: the replay takes 4.50 s at a load of 100%, and the phases only 2.00 s",
    ] {
        assert!(output.contains(part), "{part}\n{output}");
    }
    let (code, output) = check("time,device,payload\n0,d0,one\n1,d7,two\nx,d0,three\n");
    assert_eq!(code, Some(104), "{output}");
    for part in ["r.csv:3: fleet d has no device \"d7\"", "r.csv:4: not a time: \"x\""] {
        assert!(output.contains(part), "{part}\n{output}");
    }
}
