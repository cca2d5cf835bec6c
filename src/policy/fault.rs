//! Faults that a scenario or a control line causes on purpose: what happens, when, for how long, and to which devices. Data and pure
//! functions. `plan` makes them from a scenario. The emulator applies those on the hub, and `link` and `fleet` those on the generator's side.
//! Independent of clocks, sockets and scenarios.
//!
//! [`chaos`] makes faults at random.

pub mod chaos;
mod text;

pub use text::{FaultError, FaultText};

use super::network::{Network, Profile};
use crate::rng::{self, Purpose};
use rand::RngExt;
use std::time::Duration;

/// The kind of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// The hub closes connections without a packet.
    Close,
    /// The hub resets connections (RST).
    Reset,
    /// The hub refuses CONNECT with a return code.
    Refuse,
    /// The hub sends CONNACK late.
    SlowConnack,
    /// The hub accepts messages, and sends their PUBACKs at the end of the fault.
    HoldAcks,
    /// The hub accepts messages, and never sends their PUBACKs.
    DropAcks,
    /// The hub sends every acknowledgment and answer late.
    Delay,
    /// The hub does not read from connections.
    StallReads,
    /// The hub closes the connections of devices and refuses new ones, as if someone had disabled the devices.
    DisableDevice,
    /// The hub behaves as if its daily quota were used up.
    QuotaExhausted,
    /// The hub replaces its TLS certificate and closes connections.
    CertificateChange,
    /// The network of the device delays everything.
    Latency,
    /// The network of the device is slow.
    Bandwidth,
    /// The network of the device is like the one of a profile.
    Profile,
    /// The network of the device passes nothing. Connections stay open.
    Stall,
    /// Connections become silent until they end. TCP reports this to neither end.
    HalfOpen,
    /// The device sends a part of a packet, and closes the connection.
    CloseMidFrame,
    /// The device sends the start of a connection in small pieces.
    SlowHandshake,
    /// The device never acknowledges the messages that it receives.
    NeverAck,
}

impl FaultKind {
    /// The kinds of faults on the built-in hub.
    pub const HUB: [FaultKind; 11] = [
        FaultKind::Close,
        FaultKind::Reset,
        FaultKind::Refuse,
        FaultKind::SlowConnack,
        FaultKind::HoldAcks,
        FaultKind::DropAcks,
        FaultKind::Delay,
        FaultKind::StallReads,
        FaultKind::DisableDevice,
        FaultKind::QuotaExhausted,
        FaultKind::CertificateChange,
    ];

    /// The kinds of faults on the generator's side, except [`FaultKind::Profile`], which a scenario writes as `profile`.
    pub const FLEET: [FaultKind; 8] = [
        FaultKind::Latency,
        FaultKind::Bandwidth,
        FaultKind::Stall,
        FaultKind::Reset,
        FaultKind::HalfOpen,
        FaultKind::CloseMidFrame,
        FaultKind::SlowHandshake,
        FaultKind::NeverAck,
    ];

    /// Returns the name in scenarios, control lines and results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::Close => "close",
            FaultKind::Reset => "reset",
            FaultKind::Refuse => "refuse",
            FaultKind::SlowConnack => "slow-connack",
            FaultKind::HoldAcks => "hold-acks",
            FaultKind::DropAcks => "drop-acks",
            FaultKind::Delay => "delay",
            FaultKind::StallReads => "stall-reads",
            FaultKind::DisableDevice => "disable-device",
            FaultKind::QuotaExhausted => "quota-exhausted",
            FaultKind::CertificateChange => "certificate-change",
            FaultKind::Latency => "latency",
            FaultKind::Bandwidth => "bandwidth",
            FaultKind::Profile => "profile",
            FaultKind::Stall => "stall",
            FaultKind::HalfOpen => "half-open",
            FaultKind::CloseMidFrame => "close-mid-frame",
            FaultKind::SlowHandshake => "slow-handshake",
            FaultKind::NeverAck => "never-ack",
        }
    }

    /// Returns the kind of a fault on the built-in hub with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<FaultKind> {
        FaultKind::HUB.into_iter().find(|kind| kind.name() == name)
    }

    /// Returns whether a fault of this kind has a return code.
    #[must_use]
    pub fn takes_code(self) -> bool {
        self == FaultKind::Refuse
    }

    /// Returns whether a fault of this kind has a delay.
    #[must_use]
    pub fn takes_by(self) -> bool {
        use FaultKind::{Delay, Latency, SlowConnack, SlowHandshake};
        matches!(self, Delay | SlowConnack | Latency | SlowHandshake)
    }

    /// Returns whether a fault of this kind ends connections.
    #[must_use]
    pub fn ends_connections(self) -> bool {
        matches!(self, FaultKind::Close | FaultKind::Reset | FaultKind::HalfOpen | FaultKind::CloseMidFrame)
    }

    /// Returns whether a fault of this kind has a length.
    #[must_use]
    pub fn takes_length(self) -> Length {
        match self {
            kind if kind.ends_connections() => Length::Optional,
            FaultKind::CertificateChange => Length::Never,
            FaultKind::Latency
            | FaultKind::Bandwidth
            | FaultKind::Profile
            | FaultKind::Stall
            | FaultKind::SlowHandshake
            | FaultKind::NeverAck => Length::ToEnd,
            _ => Length::Required,
        }
    }
}

/// Whether a fault has a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Without a length, it does nothing.
    Required,
    /// Without a length, it happens once.
    Optional,
    /// It happens once.
    Never,
    /// Without a length, it lasts until the end of its phase, or of the load.
    ToEnd,
}

/// The return codes of CONNACK that [`FaultKind::Refuse`] may use: server unavailable, and not authorized (MQTT 3.1.1 §3.2.2.3).
pub const CODES: [u8; 2] = [3, 5];

/// The return code of [`FaultKind::Refuse`] by default (our choice): devices retry after it.
pub const CODE_DEFAULT: u8 = 3;

/// A fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Kind.
    pub kind: FaultKind,
    /// Return code of [`FaultKind::Refuse`].
    pub code: u8,
    /// Delay of the kinds that [take one](FaultKind::takes_by).
    pub by: Duration,
    /// Network of [`FaultKind::Latency`], [`FaultKind::Bandwidth`] and [`FaultKind::Profile`].
    pub network: Network,
    /// Profile of [`FaultKind::Profile`].
    pub profile: Option<&'static Profile>,
    /// Start, measured from the start of the run, or from the arrival of a control line.
    pub at: Duration,
    /// Length; zero for a fault that happens once.
    pub length: Duration,
    /// Share of the devices, as a fraction of 1.
    pub share: f64,
    /// Sorted ids of the devices that may be chosen; `None` means all.
    pub devices: Option<Vec<Box<str>>>,
}

impl Fault {
    /// Returns a fault that happens once, at the start of the run, to all devices.
    #[must_use]
    pub fn new(kind: FaultKind) -> Fault {
        Fault {
            kind,
            code: CODE_DEFAULT,
            by: Duration::ZERO,
            network: Network::default(),
            profile: None,
            at: Duration::ZERO,
            length: Duration::ZERO,
            share: 1.0,
            devices: None,
        }
    }

    /// Returns the end.
    #[must_use]
    pub fn end(&self) -> Duration {
        self.at + self.length
    }

    /// Returns whether the fault affects a device. `number` is the fault's position among all faults: each fault draws its devices
    /// independently, and the same seed gives the same devices.
    #[must_use]
    pub fn affects(&self, seed: u64, number: u16, device: &str) -> bool {
        let may =
            self.devices.as_ref().is_none_or(|ids| ids.binary_search_by(|id| (**id).cmp(device)).is_ok());
        may && (self.share >= 1.0 || draw(seed, number, device) < self.share)
    }

    /// Returns whether the two faults overlap in time.
    #[must_use]
    pub fn overlaps(&self, other: &Fault) -> bool {
        let contains = |one: &Fault, at: Duration| one.at == at || (one.at..one.end()).contains(&at);
        contains(self, other.at) || contains(other, self.at)
    }

    /// Returns why the two faults cannot affect the same device at the same time; `None` if they can.
    #[must_use]
    pub fn contradicts(&self, other: &Fault) -> Option<&'static str> {
        let (one, two) = if self.kind <= other.kind { (self, other) } else { (other, self) };
        match (one.kind, two.kind) {
            (FaultKind::Close, FaultKind::Reset) => Some("a connection ends only once"),
            (FaultKind::HoldAcks, FaultKind::DropAcks) => Some("a dropped PUBACK cannot be held"),
            (FaultKind::Refuse, FaultKind::SlowConnack) => Some("a refused CONNECT has no late CONNACK"),
            (FaultKind::HoldAcks | FaultKind::DropAcks, FaultKind::StallReads)
            | (FaultKind::StallReads, FaultKind::QuotaExhausted) => {
                Some("a hub that does not read receives no messages")
            }
            (FaultKind::HoldAcks | FaultKind::DropAcks, FaultKind::QuotaExhausted) => {
                Some("without quota, the hub accepts no messages")
            }
            (FaultKind::Refuse, FaultKind::DisableDevice) if one.code == 5 => None,
            (_, FaultKind::DisableDevice) | (FaultKind::DisableDevice, FaultKind::QuotaExhausted) => {
                (one.kind != two.kind).then_some("a disabled device has no connection")
            }
            (FaultKind::Refuse, FaultKind::Refuse) if one.code != two.code => {
                Some("a refused CONNECT has one return code")
            }
            (FaultKind::Delay, FaultKind::Delay) | (FaultKind::SlowConnack, FaultKind::SlowConnack) => {
                (one.by != two.by).then_some("a packet has one delay")
            }
            (a, b) => fleet_contradiction(one, two).filter(|_| {
                let is_fleet = |kind| kind == FaultKind::Profile || FaultKind::FLEET.contains(&kind);
                is_fleet(a) && is_fleet(b)
            }),
        }
    }
}

/// Returns why two faults on the generator's side contradict each other. `one` is the one whose kind comes first.
fn fleet_contradiction(one: &Fault, two: &Fault) -> Option<&'static str> {
    use FaultKind::{Bandwidth, CloseMidFrame, HalfOpen, Latency, Profile, Reset, SlowHandshake, Stall};
    match (one.kind, two.kind) {
        (Latency, Profile) | (Bandwidth, Profile) => Some("the profile has a latency and a bandwidth"),
        (Latency, Latency) => (one.network != two.network).then_some("a network has one latency"),
        (Bandwidth, Bandwidth) => (one.network != two.network).then_some("a network has one bandwidth"),
        (Profile, Profile) => (one.profile != two.profile).then_some("a device has one network"),
        (Reset | HalfOpen, HalfOpen | CloseMidFrame) if one.kind != two.kind => {
            Some("a connection ends only once")
        }
        (Reset, Stall) | (Stall, HalfOpen | CloseMidFrame | SlowHandshake) => {
            Some("a stalled network passes nothing")
        }
        (HalfOpen, SlowHandshake) => Some("a half-open connection passes nothing"),
        (SlowHandshake, SlowHandshake) => (one.by != two.by).then_some("a handshake has one length"),
        _ => None,
    }
}

/// Chooses the devices of a fault exactly: as many as the share says, rounded, but at least one. `ids` are the candidates. The result is sorted.
#[must_use]
pub fn choose(seed: u64, number: u16, share: f64, ids: Vec<Box<str>>) -> Vec<Box<str>> {
    let drawn = ids.into_iter().map(|id| (draw(seed, number, &id), id));
    chosen(share, drawn.collect())
}

/// Chooses the devices of a fault in the same way among `devices` devices, as their indices. `id` returns a device's id.
#[must_use]
pub fn choose_indices(
    seed: u64,
    number: u16,
    share: f64,
    devices: u32,
    id: impl Fn(u32) -> String,
) -> Vec<u32> {
    chosen(share, (0..devices).map(|index| (draw(seed, number, &id(index)), index)).collect())
}

/// Returns the devices with the lowest draws, sorted.
fn chosen<T: Ord>(share: f64, mut drawn: Vec<(f64, T)>) -> Vec<T> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a device count"
    )]
    let count = ((drawn.len() as f64 * share).round() as usize).max(1);
    if count < drawn.len() {
        drawn.select_nth_unstable_by(count, |(one, _), (two, _)| one.total_cmp(two));
        drawn.truncate(count);
    }
    let mut chosen: Vec<T> = drawn.into_iter().map(|(_, device)| device).collect();
    chosen.sort_unstable();
    chosen
}

/// Returns a number from 0 to 1 for a device, which is different for each fault.
fn draw(seed: u64, number: u16, device: &str) -> f64 {
    // FNV-1a. Unlike the hashes of the standard library, it never changes.
    let hash = device.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    rng::generator(seed, hash, Purpose::Fault(number)).random()
}

#[cfg(test)]
mod tests;
