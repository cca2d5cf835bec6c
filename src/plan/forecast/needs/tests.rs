//! Ports and memory that small plans need.

use super::Needs;
use crate::plan::test_support::plan;

fn closing(ttl: &str, phases: &str) -> u64 {
    let text = format!(
        "[target]\nkind = \"iot-hub\"\nhost = \"hub.example\"\n[fleet.a]\ndevices = 1000\n\
         auth = {{ kind = \"sas\", group_key = \"${{env.KEY}}\", ttl = \"{ttl}\", renew = \"50%\" }}\n{phases}"
    );
    needs(&text).ports_closing
}

fn needs(text: &str) -> Needs {
    plan(text).needs(1)
}

const RAMP: &str = "[[phase]]\nname = \"ramp\"\nduration = \"100s\"\nonline = \"0% -> 100%\"\n";

fn steady(ttl: &str, duration: &str) -> u64 {
    closing(ttl, &format!("{RAMP}[[phase]]\nname = \"steady\"\nduration = \"{duration}\"\n"))
}

#[test]
fn renewals_close_ports() {
    // Ten devices per second connect, and as many renew five minutes later. A port stays in TIME_WAIT for a minute.
    assert_eq!(steady("10m", "1h"), 600);
    assert_eq!(steady("10m", "3m"), 0, "no device is online for five minutes");
    assert_eq!(steady("40s", "1h"), 3_000, "three renewals while a port is in TIME_WAIT");
}

#[test]
fn reconnecting_devices_close_ports() {
    let away = |gap: &str| {
        closing(
            "10m",
            &format!(
                "{RAMP}[[phase]]\nname = \"gap\"\nduration = \"{gap}\"\nonline = \"25%\"\n\
                 [[phase]]\nname = \"back\"\nduration = \"10s\"\n"
            ),
        )
    };
    assert_eq!((away("30s"), away("90s")), (750, 0));
}

const MIB: u64 = 1024 * 1024;

/// Returns the expected and the worst-case memory of devices that send to a broker for a minute, in MiB.
fn memory(devices: u32, fleet: &str, send: &str) -> [u64; 2] {
    let text = format!(
        "[target]\nkind = \"mqtt\"\nhost = \"broker.example\"\ntls = false\n[fleet.a]\ndevices = {devices}\n{fleet}\n\
         [[fleet.a.send]]\ntopic = \"t\"\n{send}\n[[phase]]\nname = \"p\"\nduration = \"60s\"\n"
    );
    let Needs { memory_bytes, memory_max_bytes, .. } = needs(&text);
    [memory_bytes, memory_max_bytes].map(|bytes| bytes / MIB)
}

#[test]
fn messages_kept_for_retransmission_are_counted() {
    let large = "every = \"1s\"\nqos = 1\npayload = { size = 262144 }";
    let [about, kept] = memory(100, "clean_session = false", large);
    // 16 messages in flight and 15 that timed out, each a quarter of a MiB. `about` already includes one message per session.
    assert!((100 * 30 / 4..=100 * 33 / 4).contains(&(kept - about)), "{about} {kept}");
    // In a clean session, a device holds only the messages that are waiting to be written.
    let [same, clean] = memory(100, "clean_session = true", large);
    assert!((100 / 4..=100 / 4 + 1).contains(&(about - same)), "{same} {about}");
    assert!((100 / 4..=100 / 2).contains(&(clean - same)), "{same} {clean}");
    let [_, narrow] = memory(100, "clean_session = false\nin_flight = 1", large);
    assert!((100 / 4..=100).contains(&(narrow - about)), "{about} {narrow}");
    let [_, unacked] = memory(100, "clean_session = false", &large.replace("qos = 1", "qos = 0"));
    assert!(unacked <= clean, "nothing is kept at QoS 0: {unacked} {clean}");
}

#[test]
fn packet_ids_in_use_at_qos_2_are_counted() {
    let about = |qos: u8| {
        memory(10_000, "clean_session = false", &format!("every = \"10s\"\nqos = {qos}\npayload = \"x\""))[0]
    };
    let more = about(2) - about(1);
    assert!((10..=12).contains(&more), "about 1 KiB for each of 10,000 devices, no messages: {more} MiB");
}

#[test]
fn kept_messages_are_limited_to_due_messages() {
    // One message of a hundred megabytes. A real run needed 431 MiB.
    let once = "every = \"1h\"\nqos = 1\npayload = { size = 100000000 }";
    let [about, most] = memory(1, "clean_session = false", once);
    assert!((380..=480).contains(&about) && (431..=800).contains(&most), "{about} {most}");
    let [about, most] = memory(1_000, "", "every = \"10s\"\nqos = 1\npayload = { size = 100 }");
    assert!(most - about < 5, "{about} {most}");
}

#[test]
fn subscribers_hold_part_of_the_largest_message() {
    let large = "every = \"1s\"\nqos = 0\npayload = { size = 262144 }";
    let worst_case_extra = |fleet: &str| {
        let [about, most] = memory(100, fleet, large);
        most - about
    };
    let (alone, subscribed) = (worst_case_extra(""), worst_case_extra("subscribe = [\"t\"]"));
    assert!((24..=26).contains(&(subscribed - alone)), "{alone} {subscribed}");
}
