//! Reads from mosquitto how many messages it received: a subscriber of its `$SYS` topics over plain TCP, with its own codec.

use super::Failure;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The subscriber's client id, which distinguishes its CONNECT from those of the load.
pub(crate) const CLIENT_ID: &str = "count";
const MESSAGES: &str = "$SYS/broker/publish/messages/received";
/// Published first in each round of changed values.
const UPTIME: &str = "$SYS/broker/uptime";

/// Subscribes to a mosquitto during a run.
pub(crate) struct Meter {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<Reading>, String>>,
}

/// The number of messages that the broker had received at one round. mosquitto 2.0 publishes at most every two seconds.
#[derive(Clone, Copy)]
struct Reading {
    at: Instant,
    messages: u64,
}

/// The messages that a mosquitto received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) messages: u64,
    /// Messages per second between the rounds during the work; `None` with fewer than two such rounds.
    pub(crate) per_s: Option<f64>,
}

impl Meter {
    pub(crate) fn start(broker: SocketAddr) -> Result<Meter, Failure> {
        let stream = subscribe(broker)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || listen(stream, &stopped).map_err(|error| error.to_string()));
        Ok(Meter { stop, thread })
    }

    /// Returns the counts after a run. A round may report the state of the one before, so this waits for two.
    pub(crate) fn stop(self) -> Result<Received, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let readings = self.thread.join().map_err(|_| "the subscriber of $SYS panicked")??;
        let messages = readings.last().map_or(0, |last| last.messages);
        let under_way: Vec<Reading> = readings
            .into_iter()
            .filter(|reading| reading.messages > 0 && reading.messages < messages)
            .collect();
        let per_s = match under_way[..] {
            [first, .., last] => {
                #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
                let received = (last.messages - first.messages) as f64;
                Some(received / (last.at - first.at).as_secs_f64())
            }
            _ => None,
        };
        Ok(Received { messages, per_s })
    }
}

fn subscribe(broker: SocketAddr) -> Result<TcpStream, Failure> {
    let mut stream = TcpStream::connect(broker)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    // CONNECT: clean session, no keep-alive. SUBSCRIBE: packet id 1, QoS 0.
    let mut connect = b"\x10\x00\x00\x04MQTT\x04\x02\x00\x00".to_vec();
    let mut subscribe = vec![0x82, 0, 0, 1];
    let field = |packet: &mut Vec<u8>, text: &str| -> Result<(), Failure> {
        packet.extend_from_slice(&u16::try_from(text.len())?.to_be_bytes());
        packet.extend_from_slice(text.as_bytes());
        Ok(())
    };
    field(&mut connect, CLIENT_ID)?;
    for topic in [MESSAGES, UPTIME] {
        field(&mut subscribe, topic)?;
        subscribe.push(0);
    }
    for mut packet in [connect, subscribe] {
        packet[1] = u8::try_from(packet.len() - 2)?;
        stream.write_all(&packet)?;
    }
    Ok(stream)
}

/// Reads packets until it is stopped. Retained values are from before the subscription.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock itself")]
fn listen(mut stream: TcpStream, stop: &AtomicBool) -> Result<Vec<Reading>, Failure> {
    let (mut readings, mut messages, mut rounds_left) = (Vec::new(), 0, 2);
    while rounds_left > 0 {
        let mut header = [0; 2];
        stream.read_exact(&mut header)?;
        // No packet here is longer than 127 bytes, so its length is one byte.
        let mut body = vec![0; header[1].into()];
        stream.read_exact(&mut body)?;
        let publish = header[0] & 0xf0 == 0x30;
        let retained = header[0] & 1 != 0;
        let Some(([high, low], rest)) = body.split_first_chunk().filter(|_| publish) else { continue };
        let topic_bytes = u16::from_be_bytes([*high, *low]).into();
        let (topic, payload) = rest.split_at_checked(topic_bytes).ok_or("the PUBLISH is too short")?;
        if topic == MESSAGES.as_bytes() {
            messages = std::str::from_utf8(payload)?.parse()?;
        } else if !retained {
            readings.push(Reading { at: Instant::now(), messages });
            rounds_left -= u32::from(stop.load(Ordering::Relaxed));
        }
    }
    Ok(readings)
}
