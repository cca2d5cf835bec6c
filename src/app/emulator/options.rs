//! The options of `hubstorm emulator` that need more than the command-line parser: durations, and the file with the devices. Used only by
//! `emulator`.

use crate::app::{AppError, environment_error};
use crate::cli::EmulatorArgs;
use crate::plan::{DeviceList, parse_device_file};
use crate::scenario::typed_duration;
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

/// The range of `--stats`.
const STATS: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(86_400)];

/// The maximum of `--drain`.
const DRAIN_MAX: Duration = Duration::from_secs(86_400);

/// Checked options.
pub(super) struct Options {
    /// Interval of the lines with counts.
    pub(super) stats: Option<Duration>,
    /// How long to wait for acknowledgments after a signal.
    pub(super) drain: Duration,
    /// The only devices that the hub admits.
    pub(super) devices: Option<DeviceList>,
}

impl Options {
    /// Checks the options and reads the file with the devices.
    ///
    /// # Errors
    /// A duration is invalid; the file cannot be read, or is not a list of devices with keys.
    pub(super) fn read(args: &EmulatorArgs) -> Result<Options, AppError> {
        let stats = args.stats.as_deref().map(stats_interval).transpose()?;
        let drain = duration("--drain", &args.drain)?;
        if drain > DRAIN_MAX {
            return Err(AppError::Usage(format!("--drain: {} is too long; use 24h or less", args.drain)));
        }
        let devices = args.devices.as_deref().map(read_devices).transpose()?;
        Ok(Options { stats, drain, devices })
    }
}

fn stats_interval(text: &str) -> Result<Duration, AppError> {
    let interval = duration("--stats", text)?;
    if (STATS[0]..=STATS[1]).contains(&interval) {
        return Ok(interval);
    }
    Err(AppError::Usage(format!("--stats: {text} is out of range; use an interval from 100ms to 24h")))
}

fn duration(option: &str, text: &str) -> Result<Duration, AppError> {
    typed_duration(text).map_err(|error| AppError::Usage(format!("{option}: {error}")))
}

fn read_devices(path: &Path) -> Result<DeviceList, AppError> {
    let file = path.display().to_string();
    let bytes = std::fs::read(path).map(Zeroizing::new);
    let bytes = bytes.map_err(|error| {
        environment_error(&format!("cannot read {file}"), &format!("{error}; check --devices"))
    })?;
    parse_device_file(&file, &bytes).map_err(|error| AppError::Scenario(format!("--devices: {error}")))
}
