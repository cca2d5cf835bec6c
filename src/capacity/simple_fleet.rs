//! A fleet that the command line describes: a number of devices that all send messages of one size. It becomes the text of a scenario, so that
//! there is only one way to a plan. Used by `app` for `hubstorm plan --devices`. Pure.

use crate::units::{Rate, human_count, written_duration};
use std::fmt::Write as _;
use std::time::Duration;

/// The largest fleet of a scenario.
const FLEET_DEVICES_MAX: u64 = 1_000_000;
/// The pace at which a load generator connects the devices, per second. Our choice.
const CONNECTS_PER_S: u64 = 200;

/// A fleet of equal devices.
#[derive(Clone, Debug, PartialEq)]
pub struct SimpleFleet {
    /// Number of devices, at least 1.
    pub devices: u64,
    /// Time between two messages of a device.
    pub every: Duration,
    /// Size of a message in bytes.
    pub size: u64,
    /// Name of the SDK preset.
    pub sdk: Option<String>,
    /// Twin reads of a device.
    pub twin_reads: Option<Rate>,
}

impl SimpleFleet {
    /// The environment variable that the scenario takes its key from.
    pub const KEY: &'static str = "GROUP_KEY";

    /// Returns a description in words.
    #[must_use]
    pub fn name(&self) -> String {
        let every = written_duration(self.every);
        format!(
            "{} devices, each with {} bytes every {every}",
            human_count(self.devices),
            human_count(self.size)
        )
    }

    /// Returns the scenario: the devices connect in a ramp, then send.
    #[must_use]
    pub fn scenario(&self) -> String {
        let ramp = self.devices.div_ceil(CONNECTS_PER_S).max(1);
        let mut text =
            format!("name = \"{}\"\n[target]\nkind = \"iot-hub\"\nhost = \"hub.example\"\n", self.name());
        let mut left = self.devices;
        for number in 1.. {
            let devices = left.min(FLEET_DEVICES_MAX);
            let fleet = format!("fleet.devices-{number}");
            // Writing to a String cannot fail.
            let _ = write!(text, "[{fleet}]\ndevices = {devices}\nid = \"device-{number}-{{index}}\"\n");
            let _ =
                writeln!(text, "auth = {{ kind = \"sas\", group_key = \"${{env.{}}}\" }}", SimpleFleet::KEY);
            let _ = self.sdk.iter().try_for_each(|sdk| writeln!(text, "sdk = \"{sdk}\""));
            if let Some(reads) = self.twin_reads.filter(|reads| reads.as_per_second() > 0.0) {
                let every = written_duration(Duration::from_secs_f64(1.0 / reads.as_per_second()));
                let _ = writeln!(text, "subscribe = [\"twin\"]\ntwin = {{ every = \"{every}\" }}");
            }
            let (every, size) = (written_duration(self.every), self.size);
            let _ = writeln!(text, "[[{fleet}.send]]\nevery = \"{every}\"\npayload = {{ size = {size} }}");
            left -= devices;
            if left == 0 {
                break;
            }
        }
        text + &format!(
            "[[phase]]\nname = \"ramp\"\nwarmup = true\nduration = \"{ramp}s\"\nonline = \"0% -> 100%\"\n\
             [[phase]]\nname = \"steady\"\nduration = \"1h\"\n"
        )
    }
}
