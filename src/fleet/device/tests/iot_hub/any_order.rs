//! A hub that does anything in any order: every operation still ends exactly once.

use super::*;
use proptest::prelude::*;

/// An action of the hub.
#[derive(Clone, Debug)]
enum Act {
    Pass(u32),
    Answer { status: u16, rid: u64 },
    Call(&'static str),
    Raw(String),
    Desired(u64),
    Command(u64),
    Acks,
    Close,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (1_u32..4_000).prop_map(Act::Pass),
        4 => (prop_oneof![Just(200), Just(204), Just(429), Just(400)], 0_u64..30)
            .prop_map(|(status, rid)| Act::Answer { status, rid }),
        2 => prop_oneof![Just("read"), Just("slow"), Just("never"), Just("reboot"), Just("sure"), Just("x")]
            .prop_map(Act::Call),
        1 => "\\$iothub/[a-z/?$=0-9]{0,30}".prop_map(Act::Raw),
        1 => (0_u64..9).prop_map(Act::Desired),
        1 => (0_u64..9).prop_map(Act::Command),
        2 => Just(Act::Acks),
        1 => Just(Act::Close),
    ];
    prop::collection::vec(act, 0..60)
}

proptest! {
    #[test]
    fn every_operation_ends_once_whatever_the_hub_does(acts in acts(), qos in 0..2) {
        let fleet = format!(
            "in_flight = 2\nack_timeout = \"3s\"\nsend_by = \"4s\"\ntwin = {{ get = \"on-connect\", every = \"2s\", \
             qos = {qos}, timeout = \"5s\" }}\n{}\n{REPORT}",
            METHODS.replacen("[\"methods\"]", "[\"methods\", \"twin\", \"c2d\"]", 1)
        );
        let mut wire = Wire::online(60, &fleet, "every = \"1s\"\npayload = \"x\"");
        wire.suback();
        for act in acts {
            let result = match act {
                Act::Pass(ms) => wire.pass(f64::from(ms) / 1_000.0),
                Act::Answer { status, rid } => {
                    wire.deliver(&format!("$iothub/twin/res/{status}/?$rid={rid}"), WHOLE);
                    Ok(())
                }
                Act::Call(name) => { wire.deliver(&call(name, "7"), "{}"); Ok(()) }
                Act::Raw(topic) => { wire.deliver(&topic, "{}"); Ok(()) }
                Act::Desired(version) => {
                    wire.deliver(&format!("$iothub/twin/PATCH/properties/desired/?$version={version}"), "{}");
                    Ok(())
                }
                Act::Command(seq) => { wire.deliver(&c2d(&format!("hubstorm-seq={seq}")), "{}"); Ok(()) }
                Act::Acks => {
                    wire.device.handle_flushed(wire.now);
                    for packet in wire.sent() {
                        match packet {
                            Packet::Publish(publish) if publish.pid > 0 => {
                                encode::puback(&mut wire.to_device, publish.pid);
                            }
                            Packet::Subscribe(subscribe) => encode::suback(&mut wire.to_device, subscribe.pid, &[0; 4]),
                            _ => {}
                        }
                    }
                    wire.turn()
                }
                Act::Close => Err(SessionError::PingTimeout),
            };
            if result.is_err() || wire.device.poll_close().is_some() {
                wire.close(if result.is_err() { Closed::Eof } else { Closed::Local });
                if wire.now < wire.context.at(wire.device.offline_at_ns()) {
                    wire.reconnect();
                }
            }
        }
        wire.device.settle(wire.now);
        let measurement = wire.measurement();
        for operation in Operation::ALL {
            let totals = measurement.sum(|key| key.operation == operation);
            prop_assert_eq!(totals.due, totals.ended(), "{}", operation);
        }
    }
}
