//! What a plan needs of this machine: counted before anything starts, so that running out is an error up front
//! and not a result that lies. Printed by `check`; held against the real limits by `app`.

use super::payload::Payload;
use super::template::TemplateContext;
use super::token::TokenLife;
use super::types::{FleetPlan, Plan, Subscription};
use crate::wire::QoS;
use std::time::Duration;

/// What a plan needs of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// File descriptors of this process. The built-in hub needs as many of its own, in its own process.
    pub descriptors: u64,
    /// Ephemeral ports towards the target that are in use at once.
    pub ports: u64,
    /// And those that may be closing meanwhile: devices that renew their tokens, or leave and come back. An estimate
    /// from above; 0 on loopback, where Linux reuses such ports after a second.
    pub ports_closing: u64,
    /// Memory of this process, roughly, while the hub answers.
    pub memory_bytes: u64,
    /// The same at worst: the hub neither reads nor acknowledges, and devices hold what they would send.
    pub memory_max_bytes: u64,
}

/// How long a port rests after the side that it belongs to has closed first (TIME_WAIT on Linux).
const PORT_RESTS_S: usize = 60;
/// What a device remembers of a message that is not acknowledged, in tables that grow by doubling.
const SLOT_BYTES: u64 = 160;
/// Packet ids for messages; each device has its own.
const IDS: u64 = 65_279;
/// Memory of a device over TLS under load: in this process, for messages on their way, and in the kernel's buffers (our choice).
const DEVICE_ROOM_BYTES: u64 = 16 * 1024;
/// The program with its threads, and measurements of a few operations.
const PROGRAM_BYTES: u64 = 48 * 1024 * 1024;
/// While more than this waits to be written, a device encodes no further message.
const OUTPUT_BYTES: u64 = 64 * 1024;
/// A packet's header, and the id of a request in its topic.
const FRAME_BYTES: u64 = 16;
impl Needs {
    /// Descriptors beside the sockets: the runtimes, the result, pipes to the built-in hub; and sockets of connections
    /// that are still closing while their successors open.
    pub const DESCRIPTORS_BESIDE: u64 = 256;

    /// How many devices over TLS fit into that much memory, beside the program itself.
    #[must_use]
    pub fn devices_in(memory_bytes: u64) -> u64 {
        memory_bytes.saturating_sub(PROGRAM_BYTES) / DEVICE_ROOM_BYTES
    }
}

impl Plan {
    /// Devices of all fleets.
    #[must_use]
    pub fn devices(&self) -> u64 {
        self.fleets.iter().map(|fleet| u64::from(fleet.devices)).sum()
    }

    /// Devices that the plan wants online at an instant, in nanoseconds since the run's zero.
    #[must_use]
    pub fn planned_online(&self, t_ns: u64) -> u64 {
        self.fleets.iter().map(|fleet| self.schedule.planned_online(t_ns, u64::from(fleet.devices))).sum()
    }

    /// The longest duration worth recording, in microseconds: a message may wait for `send_by` and then for its
    /// ack, a connection for its timeout, and a device may be offline for the whole run.
    #[must_use]
    pub fn highest_us(&self) -> u64 {
        let message = self.fleets.iter().map(|fleet| {
            let twin = if fleet.makes_twin_requests() { fleet.twin.timeout } else { Duration::ZERO };
            fleet.send_by + fleet.ack_timeout.max(fleet.connect_timeout).max(twin)
        });
        let calls = self.drives.iter().map(|drive| drive.timeout);
        let run = self.schedule.end() + self.drain;
        let highest = message.chain(calls).max().unwrap_or_default().max(run);
        // Rounded up to a whole second, and one more for what the clock adds.
        (highest.as_secs() + 2).saturating_mul(1_000_000)
    }

    /// Messages that are expected to be due in the whole run: exact for regular arrivals to one per device and
    /// stream, the mean for Poisson.
    #[must_use]
    pub fn planned_messages(&self) -> f64 {
        let fleet = |fleet: &FleetPlan| {
            let rate_hz: f64 = fleet.sends.iter().map(|send| send.arrival.rate_hz).sum();
            let gets = if fleet.twin.get_on_connect { self.planned_connects(fleet) } else { 0.0 };
            rate_hz * self.load_seconds(fleet) + gets
        };
        self.fleets.iter().map(fleet).sum()
    }

    /// Seconds at a load of 100% that the devices of a fleet are planned to send for, all of them together.
    #[must_use]
    pub fn load_seconds(&self, fleet: &FleetPlan) -> f64 {
        let load = self.schedule.load();
        let devices = u64::from(fleet.devices);
        let spans = (0..devices).flat_map(|rank| self.schedule.online_spans(rank, devices));
        spans.map(|span| load.integral(span.to_ns) - load.integral(span.from_ns)).sum()
    }

    /// The resources of this machine that the plan needs with `workers` workers.
    #[must_use]
    pub fn needs(&self, workers: usize) -> Needs {
        let devices = self.devices();
        let largest =
            self.fleets.iter().flat_map(FleetPlan::frames).map(|frame| frame.bytes).max().unwrap_or(0);
        let memory_bytes = self.memory_bytes(workers, largest);
        let held = self.fleets.iter().map(|fleet| u64::from(fleet.devices) * self.held_bytes(fleet, largest));
        Needs {
            descriptors: devices + Needs::DESCRIPTORS_BESIDE,
            ports: devices,
            ports_closing: self.ports_closing(),
            memory_bytes,
            memory_max_bytes: held
                .fold(memory_bytes - self.kept_bytes(), u64::saturating_add)
                .max(memory_bytes),
        }
    }

    /// What a device of a fleet holds at worst, with a hub that neither reads nor acknowledges.
    fn held_bytes(&self, fleet: &FleetPlan, largest: u64) -> u64 {
        let mut frames = fleet.frames();
        frames.sort_by_key(|frame| std::cmp::Reverse(frame.bytes));
        // Those that timed out are still in use: up to as many again, less the one that makes the device give up.
        let mut slots = (2 * u64::from(fleet.in_flight)).saturating_sub(1).clamp(1, IDS);
        let (mut kept, mut unwritten) = (0_u64, 0_u64);
        for frame in frames {
            let due = self.most_due(frame.rate_hz, frame.burst);
            unwritten = unwritten.saturating_add(due.saturating_mul(frame.bytes)).min(OUTPUT_BYTES + largest);
            if frame.acked {
                let count = due.min(slots);
                slots -= count;
                // Only a session that is kept sends again what was not acknowledged.
                kept += count * (SLOT_BYTES + if fleet.clean_session { 0 } else { frame.bytes });
            }
        }
        // A subscriber may wait for the rest of the largest message there is.
        let hears = fleet.subscribe.iter().any(|to| matches!(to, Subscription::Filter(..)));
        kept + unwritten + if hears { largest } else { 0 }
    }

    /// Messages of a stream that are due to a device in the whole run, about; Poisson's may be some more.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count; the cast saturates"
    )]
    fn most_due(&self, rate_hz: f64, burst: u32) -> u64 {
        let seconds = self.schedule.load().total().max(self.schedule.end().as_secs_f64());
        ((rate_hz * seconds).ceil() as u64).saturating_add(burst.into())
    }

    fn ports_closing(&self) -> u64 {
        if self.emulator.is_some() || self.target.is_loopback() {
            return 0;
        }
        self.fleets.iter().map(|fleet| self.renewing(fleet) + self.returning(fleet)).sum()
    }

    /// The most ports of a fleet that rest at once because their devices have renewed a token. Every device renews once in each
    /// interval, counted from when it came: those that came within a minute renew within one.
    fn renewing(&self, fleet: &FleetPlan) -> u64 {
        let Some(interval) = fleet.auth.tokens().and_then(TokenLife::renewed_after) else { return 0 };
        let interval = interval.max(Duration::from_secs(1));
        if interval > self.schedule.end() {
            return 0;
        }
        let Ok(interval_s) = usize::try_from(interval.as_secs()) else { return 0 };
        let devices = u64::from(fleet.devices);
        let mut came = vec![0_u64; interval_s];
        for span in (0..devices).flat_map(|rank| self.schedule.online_spans(rank, devices)) {
            if Duration::from_nanos(span.to_ns - span.from_ns) > interval {
                let second = usize::try_from(span.from_ns / 1_000_000_000).unwrap_or(0);
                came[second % interval_s] += 1;
            }
        }
        // Around the interval's end and on from its beginning; more than once where it is shorter than the rest.
        let around = came.iter().cycle().take(interval_s + PORT_RESTS_S);
        most_within(around.enumerate().map(|(second, count)| (second as u64, *count)))
    }

    /// The most ports of a fleet that rest at once because their devices have left and come back meanwhile.
    fn returning(&self, fleet: &FleetPlan) -> u64 {
        let rest = Duration::from_secs(PORT_RESTS_S as u64);
        let devices = u64::from(fleet.devices);
        let mut left: Vec<u64> = Vec::new();
        for rank in 0..devices {
            let spans = self.schedule.online_spans(rank, devices);
            let pairs = spans.iter().zip(spans.iter().skip(1));
            let soon = pairs.filter(|(one, next)| Duration::from_nanos(next.from_ns - one.to_ns) < rest);
            left.extend(soon.map(|(one, _)| one.to_ns / 1_000_000_000));
        }
        left.sort_unstable();
        most_within(left.into_iter().map(|second| (second, 1)))
    }
}

/// A packet that devices of a fleet send again and again.
struct Frame {
    bytes: u64,
    /// At QoS 1 or 2.
    acked: bool,
    /// Per second and device.
    rate_hz: f64,
    burst: u32,
}

impl FleetPlan {
    /// The size of the largest packet that waits for an acknowledgment.
    pub(super) fn largest_acked_bytes(&self) -> u64 {
        let acked = self.frames().into_iter().filter(|frame| frame.acked);
        acked.map(|frame| frame.bytes).max().unwrap_or(0)
    }

    /// What its devices send: messages and twin requests, and answers to methods, whose number nobody knows.
    fn frames(&self) -> Vec<Frame> {
        let id = self.device_id(self.devices.saturating_sub(1));
        let names = TemplateContext { device: &id, index: self.devices.saturating_sub(1) };
        let bytes = |topic: usize, payload: &Payload| {
            FRAME_BYTES + (topic as u64).saturating_add(payload.bytes_max(id.len()) as u64)
        };
        let sends = self.sends.iter().map(|send| Frame {
            bytes: bytes(send.topic.render(&names).len(), &send.payload),
            acked: send.qos > 0,
            rate_hz: send.arrival.rate_hz,
            burst: send.arrival.burst,
        });
        let answers = self.methods.iter().filter_map(|method| method.answer.as_ref());
        let answers = answers.map(|answer| Frame {
            bytes: bytes(0, &answer.payload),
            acked: answer.qos != QoS::AtMostOnce,
            rate_hz: f64::INFINITY,
            burst: 0,
        });
        sends.chain(answers).collect()
    }
}

/// The largest sum of counts within the time that a port rests, of counts by second in order.
fn most_within(counts: impl Iterator<Item = (u64, u64)>) -> u64 {
    let mut window = std::collections::VecDeque::new();
    let (mut sum, mut most) = (0, 0);
    for (second, count) in counts {
        window.push_back((second, count));
        sum += count;
        while let Some((_, old)) = window.pop_front_if(|(first, _)| *first + PORT_RESTS_S as u64 <= second) {
            sum -= old;
        }
        most = most.max(sum);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::Needs;
    use crate::scenario::Input;

    fn closing(ttl: &str, phases: &str) -> u64 {
        let text = format!(
            "[target]\nkind = \"iot-hub\"\nhost = \"hub.example\"\n[fleet.a]\ndevices = 1000\n\
             auth = {{ kind = \"sas\", group_key = \"${{env.KEY}}\", ttl = \"{ttl}\", renew = \"50%\" }}\n{phases}"
        );
        needs(&text).ports_closing
    }

    fn needs(text: &str) -> Needs {
        let env = |_: &str| Some("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned());
        let input =
            Input { file: "needs.toml", text, overrides: &[], env: &env, files: &crate::scenario::no_files };
        crate::plan::load(&input, &mut rand::rng()).unwrap_or_else(|e| panic!("{e}")).needs(1)
    }

    const RAMP: &str = "[[phase]]\nname = \"ramp\"\nduration = \"100s\"\nonline = \"0% -> 100%\"\n";

    fn steady(ttl: &str, duration: &str) -> u64 {
        closing(ttl, &format!("{RAMP}[[phase]]\nname = \"steady\"\nduration = \"{duration}\"\n"))
    }

    #[test]
    fn ports_rest_where_tokens_are_renewed() {
        // Ten devices a second come, and as many renew five minutes later; a port rests for a minute.
        assert_eq!(steady("10m", "1h"), 600);
        assert_eq!(steady("10m", "3m"), 0, "nobody is there for five minutes");
        assert_eq!(steady("40s", "1h"), 3_000, "three renewals within the time that a port rests");
    }

    #[test]
    fn ports_rest_where_devices_leave_and_come_back() {
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

    /// Of a broker that devices send to for a minute: about and at worst, in MiB.
    fn memory(devices: u32, fleet: &str, send: &str) -> [u64; 2] {
        let text = format!(
            "[target]\nkind = \"mqtt\"\nhost = \"broker.example\"\ntls = false\n[fleet.a]\ndevices = {devices}\n{fleet}\n\
             [[fleet.a.send]]\ntopic = \"t\"\n{send}\n[[phase]]\nname = \"p\"\nduration = \"60s\"\n"
        );
        let Needs { memory_bytes, memory_max_bytes, .. } = needs(&text);
        [memory_bytes, memory_max_bytes].map(|bytes| bytes / MIB)
    }

    #[test]
    fn what_is_kept_to_be_sent_again_is_counted() {
        let large = "every = \"1s\"\nqos = 1\npayload = { size = 262144 }";
        let [about, kept] = memory(100, "clean_session = false", large);
        // 16 messages in flight and 15 that timed out, each a quarter of a MiB. `about` already has one of them per session.
        assert!((100 * 30 / 4..=100 * 33 / 4).contains(&(kept - about)), "{about} {kept}");
        // What a clean session holds is what waits to be written.
        let [same, clean] = memory(100, "clean_session = true", large);
        assert!((100 / 4..=100 / 4 + 1).contains(&(about - same)), "{same} {about}");
        assert!((100 / 4..=100 / 2).contains(&(clean - same)), "{same} {clean}");
        let [_, narrow] = memory(100, "clean_session = false\nin_flight = 1", large);
        assert!((100 / 4..=100).contains(&(narrow - about)), "{about} {narrow}");
        let [_, unacked] = memory(100, "clean_session = false", &large.replace("qos = 1", "qos = 0"));
        assert!(unacked <= clean, "nothing is kept at QoS 0: {unacked} {clean}");
    }

    #[test]
    fn ids_that_rest_at_qos_2_are_counted() {
        let about = |qos: u8| {
            memory(10_000, "clean_session = false", &format!("every = \"10s\"\nqos = {qos}\npayload = \"x\""))
                [0]
        };
        let more = about(2) - about(1);
        assert!(
            (10..=12).contains(&more),
            "a kibibyte for each of 10,000 devices, and no messages: {more} MiB"
        );
    }

    #[test]
    fn no_more_is_kept_than_is_due() {
        // A hundred megabytes, once: seen at 431 MiB.
        let once = "every = \"1h\"\nqos = 1\npayload = { size = 100000000 }";
        let [about, most] = memory(1, "clean_session = false", once);
        assert!((380..=480).contains(&about) && (431..=800).contains(&most), "{about} {most}");
        let [about, most] = memory(1_000, "", "every = \"10s\"\nqos = 1\npayload = { size = 100 }");
        assert!(most - about < 5, "{about} {most}");
    }

    #[test]
    fn who_listens_may_hold_a_part_of_the_largest_message() {
        let large = "every = \"1s\"\nqos = 0\npayload = { size = 262144 }";
        let held = |fleet: &str| {
            let [about, most] = memory(100, fleet, large);
            most - about
        };
        let (alone, heard) = (held(""), held("subscribe = [\"t\"]"));
        assert!((24..=26).contains(&(heard - alone)), "{alone} {heard}");
    }
}
