//! What a plan needs of this machine: counted before anything starts, so that running out is an error up front
//! and not a result that lies. Printed by `check`; held against the real limits by `app`.

use super::token::TokenLife;
use super::types::{FleetPlan, Plan};
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
    /// Memory of this process, roughly.
    pub memory_bytes: u64,
}

/// How long a port rests after the side that it belongs to has closed first (TIME_WAIT on Linux).
const PORT_RESTS_S: usize = 60;
/// A device with its TLS stream: measured at about 10 KiB idle; what is on the way comes on top.
const DEVICE_TLS_BYTES: u64 = 16 * 1024;
/// A device over plain TCP.
const DEVICE_PLAIN_BYTES: u64 = 4 * 1024;
/// What a subscriber remembers of one stream, in a table that is half full at worst.
const HEARD_BYTES: u64 = 112;
/// The program, its threads and buffers.
const BASE_BYTES: u64 = 48 * 1024 * 1024;
/// One histogram at three digits, from 1 us to some minutes.
const HISTOGRAM_BYTES: u64 = 160 * 1024;
/// Histograms per operation, fleet and phase: response, service, wait, lag.
const HISTOGRAMS_PER_KEY: u64 = 4;
/// Operations that a fleet commonly records.
const OPERATIONS: u64 = 8;
/// Every histogram exists on a worker, as its spare, and in the collector.
const COPIES: u64 = 3;

impl Needs {
    /// Descriptors beside the sockets: the runtimes, the result, pipes to the built-in hub; and sockets of connections
    /// that are still closing while their successors open.
    pub const DESCRIPTORS_BESIDE: u64 = 256;

    /// How many devices over TLS fit into that much memory, beside the program itself.
    #[must_use]
    pub fn devices_in(memory_bytes: u64) -> u64 {
        memory_bytes.saturating_sub(BASE_BYTES) / DEVICE_TLS_BYTES
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
            let twin = if fleet.asks_for_twins() { fleet.twin.timeout } else { Duration::ZERO };
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

    /// What the plan needs of this machine.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let devices = self.devices();
        let per_device = if self.target.tls.is_some() { DEVICE_TLS_BYTES } else { DEVICE_PLAIN_BYTES };
        let listed = self.fleets.iter().filter_map(|fleet| fleet.auth.listed());
        let keys = self.fleets.len() as u64 * self.schedule.phases().len() as u64 * OPERATIONS;
        Needs {
            descriptors: devices + Needs::DESCRIPTORS_BESIDE,
            ports: devices,
            ports_closing: self.ports_closing(),
            memory_bytes: BASE_BYTES
                + devices * per_device
                + listed.map(|devices| devices.bytes_kept() as u64).sum::<u64>()
                + self.deliveries.pairs() * HEARD_BYTES
                + keys * HISTOGRAMS_PER_KEY * COPIES * HISTOGRAM_BYTES,
        }
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
    use crate::scenario::Input;

    fn closing(ttl: &str, phases: &str) -> u64 {
        let text = format!(
            "[target]\nkind = \"iot-hub\"\nhost = \"hub.example\"\n[fleet.a]\ndevices = 1000\n\
             auth = {{ kind = \"sas\", group_key = \"${{env.KEY}}\", ttl = \"{ttl}\", renew = \"50%\" }}\n{phases}"
        );
        let env = |_: &str| Some("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned());
        let input = Input {
            file: "needs.toml",
            text: &text,
            overrides: &[],
            env: &env,
            files: &crate::scenario::no_files,
        };
        crate::plan::load(&input, &mut rand::rng()).unwrap_or_else(|e| panic!("{e}")).needs().ports_closing
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
}
