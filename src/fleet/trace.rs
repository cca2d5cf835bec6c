//! Prints the packets of one device (`--trace`). It wraps the device's `Machine` without changing its behavior. `device_task`
//! uses it for the traced device only.
//!
//! Passwords are never printed.

use super::DeviceRef;
use crate::clock::RunClock;
use crate::sansio::{Close, Closed, Machine};
use crate::wire::{self, Packet, Strictness};
use bytes::BytesMut;
use std::time::Instant;
use tokio::sync::mpsc;

/// Maximum number of payload bytes that are printed.
const PAYLOAD_BYTES_MAX: usize = 120;

/// The traced device and the receiver of its lines.
#[derive(Clone, Debug)]
pub struct Tracer {
    /// Traced device.
    pub device: DeviceRef,
    /// Id of the device.
    pub id: String,
    /// Receives each line, without a newline.
    pub lines: mpsc::UnboundedSender<String>,
}

impl Tracer {
    /// Prints a line about the device, with the time since the start of the run.
    pub(crate) fn log(&self, at_ns: u64, what: &str) {
        let (ms, id) = (at_ns / 1_000_000, &self.id);
        // Ignore the error: the receiver may already be gone.
        drop(self.lines.send(format!("trace {:>6}.{:03}s {id} {what}", ms / 1000, ms % 1000)));
    }
}

/// A machine whose packets are printed.
pub(crate) struct Traced<'a, M> {
    pub(crate) machine: &'a mut M,
    pub(crate) tracer: &'a Tracer,
    /// The clock of the run. The printed times count from its start.
    pub(crate) clock: RunClock,
}

impl<M: Machine> Traced<'_, M> {
    fn trace(&self, now: Instant, arrow: &str, bytes: &[u8]) {
        let mut bytes = BytesMut::from(bytes);
        let at_ns = self.clock.ns(now);
        while !bytes.is_empty() {
            match wire::decode(&mut bytes, usize::MAX, Strictness::Lenient) {
                Ok(Some(packet)) => self.tracer.log(at_ns, &format!("{arrow} {}", describe(&packet))),
                Ok(None) => return self.tracer.log(at_ns, &format!("{arrow} incomplete packet")),
                Err(error) => return self.tracer.log(at_ns, &format!("{arrow} {error}")),
            }
        }
    }
}

impl<M: Machine> Machine for Traced<'_, M> {
    type Error = M::Error;

    fn handle_input(&mut self, now: Instant, input: &mut BytesMut) -> Result<(), M::Error> {
        let before = input.clone();
        let handled = self.machine.handle_input(now, input);
        // Unconsumed bytes are passed in again, except after an error.
        let consumed = if handled.is_ok() { before.len() - input.len() } else { before.len() };
        self.trace(now, "<-", &before[..consumed]);
        handled
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), M::Error> {
        self.machine.handle_timeout(now)
    }

    fn handle_flushed(&mut self, now: Instant) {
        self.machine.handle_flushed(now);
    }

    fn handle_closed(&mut self, now: Instant, why: Closed) {
        let text = match why {
            Closed::Eof => "closed by the peer",
            Closed::Reset => "reset by the peer or the network",
            Closed::Unreachable => "failed: it timed out, or the host is unreachable",
            Closed::TlsAlert(end) => end.cause,
            Closed::Fault => "ended by a fault of the scenario",
            Closed::Local => "closed by the device",
        };
        self.tracer.log(self.clock.ns(now), text);
        self.machine.handle_closed(now, why);
    }

    fn poll_output(&mut self, now: Instant, out: &mut BytesMut) {
        let before = out.len();
        self.machine.poll_output(now, out);
        self.trace(now, "->", &out[before..]);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }

    fn wants_input(&self) -> bool {
        self.machine.wants_input()
    }

    fn poll_close(&self) -> Option<Close> {
        self.machine.poll_close()
    }
}

/// Describes a packet: its name in the standard, then its main fields.
fn describe(packet: &Packet) -> String {
    match packet {
        Packet::Connect(connect) => format!(
            "CONNECT client={} clean_session={} keep_alive={}s user={} password={}",
            connect.client_id.escape_debug(),
            connect.clean_session,
            connect.keep_alive_s,
            connect.username.as_deref().unwrap_or("none").escape_debug(),
            if connect.password.is_some() { "(not shown)" } else { "none" },
        ),
        Packet::ConnAck { session_present, code } => {
            format!("CONNACK code={code} session_present={session_present}")
        }
        Packet::Publish(publish) => format!(
            "PUBLISH id={} qos={}{}{} topic={} {} bytes {}",
            publish.pid,
            publish.qos as u8,
            if publish.dup { " dup" } else { "" },
            if publish.retain { " retain" } else { "" },
            publish.topic.escape_debug(),
            publish.payload.len(),
            payload(&publish.payload),
        ),
        Packet::PubAck(id) => format!("PUBACK id={id}"),
        Packet::PubRec(id) => format!("PUBREC id={id}"),
        Packet::PubRel(id) => format!("PUBREL id={id}"),
        Packet::PubComp(id) => format!("PUBCOMP id={id}"),
        Packet::Subscribe(subscribe) => {
            let filters = subscribe.filters.iter();
            let filters: Vec<_> = filters
                .map(|(filter, qos)| format!("{} qos={}", filter.escape_debug(), *qos as u8))
                .collect();
            format!("SUBSCRIBE id={} {}", subscribe.pid, filters.join(", "))
        }
        Packet::SubAck { pid, granted } => format!("SUBACK id={pid} granted={granted:?}"),
        Packet::Unsubscribe { pid, filters } => format!("UNSUBSCRIBE id={pid} {filters:?}"),
        Packet::UnsubAck(id) => format!("UNSUBACK id={id}"),
        Packet::PingReq => "PINGREQ".to_owned(),
        Packet::PingResp => "PINGRESP".to_owned(),
        Packet::Disconnect => "DISCONNECT".to_owned(),
    }
}

/// Returns the beginning of a payload as escaped text, which cannot move the cursor.
fn payload(bytes: &[u8]) -> String {
    let shown = bytes.get(..PAYLOAD_BYTES_MAX).unwrap_or(bytes);
    let more = if shown.len() < bytes.len() { " .." } else { "" };
    format!("{}{more}", String::from_utf8_lossy(shown).escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::encode::{self, ConnectRef};

    /// Reads whole frames only, like any machine.
    struct Frames;

    impl Machine for Frames {
        type Error = wire::DecodeError;
        fn handle_input(&mut self, _: Instant, input: &mut BytesMut) -> Result<(), Self::Error> {
            while wire::decode(input, 1_000, Strictness::Lenient)?.is_some() {}
            Ok(())
        }
        fn handle_timeout(&mut self, _: Instant) -> Result<(), Self::Error> {
            Ok(())
        }
        fn handle_flushed(&mut self, _: Instant) {}
        fn handle_closed(&mut self, _: Instant, _: Closed) {}
        fn poll_output(&mut self, _: Instant, out: &mut BytesMut) {
            let connect = ConnectRef {
                client_id: "dev\n1",
                keep_alive_s: 240,
                clean_session: false,
                username: Some("hub/dev"),
                password: Some(b"hunter2"),
                will: None,
            };
            encode::connect(out, &connect).unwrap();
        }
        fn poll_timeout(&self) -> Option<Instant> {
            None
        }
        fn wants_input(&self) -> bool {
            true
        }
        fn poll_close(&self) -> Option<Close> {
            None
        }
    }

    #[test]
    fn each_packet_is_printed_once_without_secrets() {
        let (lines, mut received) = mpsc::unbounded_channel();
        let tracer = Tracer { device: DeviceRef { fleet: 0, index: 7 }, id: "dev-7".to_owned(), lines };
        let zero = crate::clock::now();
        let clock = RunClock { zero, zero_unix: std::time::Duration::ZERO };
        let mut traced = Traced { machine: &mut Frames, tracer: &tracer, clock };
        let mut out = BytesMut::from(&b"before"[..]);
        traced.poll_output(zero, &mut out);
        // A CONNACK in two parts, followed by a PUBACK.
        let mut input = BytesMut::from(&[0x20, 2, 1][..]);
        traced.handle_input(zero, &mut input).unwrap();
        input.extend_from_slice(&[0, 0x40, 2, 0, 9]);
        traced.handle_input(zero, &mut input).unwrap();
        let mut wrong = BytesMut::from(&[0xf0, 0][..]);
        traced.handle_input(zero, &mut wrong).unwrap_err();
        traced.handle_closed(zero, Closed::Local);
        let printed: Vec<String> = std::iter::from_fn(|| received.try_recv().ok()).collect();
        assert_eq!(
            printed,
            [
                "trace      0.000s dev-7 -> CONNECT client=dev\\n1 clean_session=false keep_alive=240s user=hub/dev \
                 password=(not shown)",
                "trace      0.000s dev-7 <- CONNACK code=0 session_present=true",
                "trace      0.000s dev-7 <- PUBACK id=9",
                "trace      0.000s dev-7 <- the reserved packet type 15",
                "trace      0.000s dev-7 closed by the device",
            ]
        );
    }

    #[test]
    fn long_payload_is_cut_and_cannot_move_the_cursor() {
        assert_eq!(payload(b"a\x1b[2J"), "a\\u{1b}[2J");
        let long = payload(&[b'x'; 500]);
        assert!(long.ends_with("x ..") && long.len() < 130, "{long}");
    }
}
