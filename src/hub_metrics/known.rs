//! The metrics of an IoT hub that hubstorm knows, as data. Their names, and the aggregations that make sense, are from Azure's page
//! [`SOURCE`], of 2024-06-26. Used by `parse` and by `report::hub_view`.

/// The title of Azure's page with the names of the metrics.
pub const SOURCE: &str = "Azure IoT Hub monitoring data reference";

/// A metric of an IoT hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Devices that are connected.
    ConnectedDevices,
    /// Devices that are registered.
    RegisteredDevices,
    /// Device-to-cloud messages that the hub accepted.
    D2cAccepted,
    /// Device-to-cloud messages that devices tried to send.
    D2cAttempts,
    /// Throttling errors because of the throughput of devices.
    ThrottlingErrors,
    /// Messages that count against the daily quota, since 00:00 UTC.
    MessagesUsed,
    /// Twin reads from devices that succeeded.
    TwinReads,
    /// Twin reads from devices that failed.
    TwinReadFailures,
    /// Twin updates from devices that succeeded.
    TwinUpdates,
    /// Twin updates from devices that failed.
    TwinUpdateFailures,
    /// Method calls that succeeded.
    Methods,
    /// Method calls that failed.
    MethodFailures,
    /// Cloud-to-device messages that devices completed.
    C2dCompleted,
    /// Bytes to and from devices.
    DataBytes,
}

/// How to read the values of a metric (Azure: [`SOURCE`], "Supported aggregations").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// A sum over the interval: only the total makes sense. Average, minimum and maximum are always 1.
    Total,
    /// A number at a moment: only average, minimum and maximum make sense.
    Snapshot,
    /// Azure replaced this metric by another one.
    Replaced(&'static str),
}

/// A metric that hubstorm knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Name in Azure's REST API.
    pub name: &'static str,
    /// Meaning.
    pub metric: Metric,
    /// How to read its values.
    pub reading: Reading,
}

const fn known(name: &'static str, metric: Metric, reading: Reading) -> Known {
    Known { name, metric, reading }
}

/// All metrics that hubstorm knows, in the order of reports.
pub const KNOWN: [Known; 17] = [
    known("connectedDeviceCount", Metric::ConnectedDevices, Reading::Snapshot),
    known("totalDeviceCount", Metric::RegisteredDevices, Reading::Snapshot),
    known("d2c.telemetry.ingress.success", Metric::D2cAccepted, Reading::Total),
    known("d2c.telemetry.ingress.allProtocol", Metric::D2cAttempts, Reading::Total),
    known("d2c.telemetry.ingress.sendThrottle", Metric::ThrottlingErrors, Reading::Total),
    known("dailyMessageQuotaUsed", Metric::MessagesUsed, Reading::Snapshot),
    known("d2c.twin.read.success", Metric::TwinReads, Reading::Total),
    known("d2c.twin.read.failure", Metric::TwinReadFailures, Reading::Total),
    known("d2c.twin.update.success", Metric::TwinUpdates, Reading::Total),
    known("d2c.twin.update.failure", Metric::TwinUpdateFailures, Reading::Total),
    known("c2d.methods.success", Metric::Methods, Reading::Total),
    known("c2d.methods.failure", Metric::MethodFailures, Reading::Total),
    known("c2d.commands.egress.complete.success", Metric::C2dCompleted, Reading::Total),
    known("deviceDataUsageV2", Metric::DataBytes, Reading::Total),
    known("deviceDataUsage", Metric::DataBytes, Reading::Replaced("deviceDataUsageV2")),
    known(
        "devices.connectedDevices.allProtocol",
        Metric::ConnectedDevices,
        Reading::Replaced("connectedDeviceCount"),
    ),
    known("devices.totalDevices", Metric::RegisteredDevices, Reading::Replaced("totalDeviceCount")),
];

impl Known {
    /// Returns the known metric with this name, ignoring case.
    #[must_use]
    pub fn of(name: &str) -> Option<&'static Known> {
        KNOWN.iter().find(|known| known.name.eq_ignore_ascii_case(name))
    }
}
