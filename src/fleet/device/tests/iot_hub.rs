//! Twins, direct methods and cloud-to-device messages of one device against a scripted hub. This file has the shared harness.

mod any_order;
mod c2d;
mod methods;
mod twins;

use super::*;
use crate::measure::FromHub;
use crate::wire::QoS;

const REPORT: &str = "[[fleet.a.report]]\nevery = \"10s\"\npayload = '{\"n\":${seq}}'";
const RARELY: &str = "every = \"100d\"\npayload = \"x\"";

/// A published message: topic, payload, QoS, packet id.
type Published = (String, String, QoS, u16);

impl Wire {
    /// Returns an online device that has received SUBACK and whose output was discarded.
    fn listening(fleet: &str) -> Wire {
        let mut wire = Wire::online(600, fleet, RARELY);
        wire.suback();
        wire
    }

    pub(super) fn suback(&mut self) {
        self.suback_with(|filters| vec![0; filters]);
    }

    /// Sends SUBACK with the codes that the function returns for the number of filters.
    fn suback_with(&mut self, codes: impl FnOnce(usize) -> Vec<u8>) {
        let pid = self.sent().iter().find_map(|packet| match packet {
            Packet::Subscribe(subscribe) => Some((subscribe.pid, subscribe.filters.len())),
            _ => None,
        });
        let (pid, filters) = pid.expect("a SUBSCRIBE");
        encode::suback(&mut self.to_device, pid, &codes(filters));
        self.turn().unwrap();
    }

    fn deliver(&mut self, topic: &str, payload: &str) {
        let publish = encode::PublishRef {
            topic,
            payload: payload.as_bytes(),
            qos: QoS::AtMostOnce,
            dup: false,
            retain: false,
            pid: 0,
        };
        encode::publish(&mut self.to_device, &publish).unwrap();
        self.turn().unwrap();
    }

    /// Takes the published messages and notifies the device that they were flushed.
    fn published(&mut self) -> Vec<Published> {
        let sent = self.sent();
        self.device.handle_flushed(self.now);
        let published = sent.into_iter().filter_map(|packet| match packet {
            Packet::Publish(publish) => Some((
                publish.topic,
                String::from_utf8(publish.payload.to_vec()).unwrap(),
                publish.qos,
                publish.pid,
            )),
            _ => None,
        });
        published.collect()
    }

    /// Advances time until the device publishes something.
    fn next_published(&mut self) -> Published {
        for _ in 0..1_000 {
            if let Some(first) = self.published().into_iter().next() {
                return first;
            }
            let next = self.device.poll_timeout().expect("something is due");
            self.pass((next - self.now).as_secs_f64()).unwrap();
        }
        panic!("nothing was published");
    }

    fn hub_counts(&self) -> FromHub {
        self.counts().from_hub
    }

    fn reconnect(&mut self) {
        self.to_device.clear();
        self.out.clear();
        self.attempt();
        self.connack(0);
    }
}

fn rid(topic: &str) -> &str {
    topic.split_once("$rid=").expect("a request").1
}

const TWIN: &str = "subscribe = [\"twin\"]\ntwin = { get = \"on-connect\" }";
const WHOLE: &str = r#"{"desired":{"$version":7},"reported":{"$version":1}}"#;

const METHODS: &str = "subscribe = [\"methods\"]\n\
                       [fleet.a.methods.read]\nstatus = 202\npayload = '{\"n\":${seq}}'\n\
                       [fleet.a.methods.slow]\nafter = \"2s\"\n\
                       [fleet.a.methods.never]\nanswer = false\n\
                       [fleet.a.methods.reboot]\nafter = \"1s\"\nthen = \"reconnect\"\n\
                       [fleet.a.methods.sure]\nqos = 1";

fn call(name: &str, rid: &str) -> String {
    format!("$iothub/methods/POST/{name}/?$rid={rid}")
}

fn c2d(bag: &str) -> String {
    format!("devices/a-00000/messages/devicebound/{bag}")
}
