//! What a fleet counts beside its operations. Filled by the recorder; each counter is declared once, here.

use super::totals::is_zero;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Declares counters that add up. Sums of numbers that come from outside stay at their top.
macro_rules! counters {
    ($(#[$outer:meta])* pub struct $name:ident { $($(#[$inner:meta])* pub $field:ident,)* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        pub struct $name { $($(#[$inner])* pub $field: u64,)* }

        impl $name {
            /// Adds what `other` counted.
            pub fn add(&mut self, other: &$name) {
                $(self.$field = self.$field.saturating_add(other.$field);)*
            }

            /// True when nothing was counted.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                *self == $name::default()
            }
        }
    };
}

counters! {
    /// What a fleet counts of its connections and messages.
    pub struct Counts {
        /// Connections made after a loss, or because a method asked for it.
        pub reconnects,
        /// Connections made to renew a token.
        pub renewals,
        /// Messages sent again after a reconnect.
        pub resent,
        /// Acks that came after their timeout.
        pub late_acks,
        /// SUBACKs that came after their timeout.
        #[serde(default, skip_serializing_if = "is_zero")]
        pub late_subacks,
        /// Tracked messages that had arrived before.
        #[serde(default)]
        pub duplicates,
        /// Tracked messages that arrived after a later one of their stream.
        #[serde(default)]
        pub reordered,
        /// Messages that arrived and are not measured: without a stamp of this run, retained, or not subscribed to.
        #[serde(default)]
        pub foreign,
        /// Connections that the peer closed with messages unacknowledged.
        #[serde(default, skip_serializing_if = "is_zero")]
        pub closed_waiting,
        /// For how long the oldest of those messages had waited, summed over these connections.
        #[serde(default, skip_serializing_if = "is_zero")]
        pub closed_waiting_us,
        /// Connection attempts that the server ended with a FIN after the TCP handshake and before CONNACK. These are the errors of
        /// class `closed_by_peer` that are not about an open connection.
        #[serde(default, skip_serializing_if = "is_zero")]
        pub closed_before_connack,
        /// Connection attempts that were reset after the TCP handshake and before CONNACK, by the server or by the network. These are the
        /// errors of class `reset` that are not about an open connection.
        #[serde(default, skip_serializing_if = "is_zero")]
        pub reset_before_connack,
        /// Devices that came online and were closed soon, several times in a row.
        #[serde(default, skip_serializing_if = "is_zero")]
        pub closed_soon_devices,
        /// Devices that stayed offline because their policy was to try no more.
        #[serde(default, skip_serializing_if = "is_zero")]
        pub gave_up,
        /// QoS 0 messages that are `ok` but may not have arrived: they were handed to the kernel after the last byte received on a
        /// connection that turned out to be dead.
        #[serde(default, skip_serializing_if = "is_zero")]
        pub qos0_on_dead_connections,
        /// Connections with a clean session for which the server set Session Present (MQTT 3.1.1 §3.2.2.2).
        #[serde(default, skip_serializing_if = "is_zero")]
        pub clean_sessions_present,
        /// MQTT bytes sent, before TLS.
        pub bytes_sent,
        /// MQTT bytes received, after TLS.
        pub bytes_received,
    }
}

counters! {
    /// What an IoT hub sent to a fleet, as far as it is no operation.
    pub struct FromHub {
        /// Answers to twin requests that had ended before: timed out, lost, or answered once already.
        pub late_answers,
        /// Answers to twin requests that nobody made.
        pub unknown_answers,
        /// Changes of desired properties.
        pub desired,
        /// Of those, with a version that the device already had.
        pub desired_stale,
        /// Versions of desired properties that a device never saw: a later one came.
        pub desired_missed,
        /// Methods that were not answered, because the scenario says so.
        pub methods_unanswered,
        /// Methods that the scenario does not name.
        pub methods_unknown,
        /// Cloud-to-device messages.
        pub c2d,
        /// Of those, without the instant at which they were sent: they have no age.
        pub c2d_unstamped,
        /// Of those with a number, such that had come before.
        pub c2d_duplicates,
        /// Numbers that were missing when a later one came.
        pub c2d_skipped,
        /// Of those, such that came after all.
        pub c2d_reordered,
        /// Messages that no hub sends, or that cannot be read.
        pub unreadable,
    }
}

/// Everything that a fleet counts beside its operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FleetCounts {
    /// Of its connections and messages.
    #[serde(flatten)]
    pub own: Counts,
    /// What its IoT hub sent, as far as it is no operation; left out when there was nothing.
    #[serde(default, skip_serializing_if = "FromHub::is_empty")]
    pub from_hub: FromHub,
}

impl FleetCounts {
    /// Adds what `other` counted.
    pub fn add(&mut self, other: &FleetCounts) {
        self.own.add(&other.own);
        self.from_hub.add(&other.from_hub);
    }
}

impl std::ops::Deref for FleetCounts {
    type Target = Counts;

    fn deref(&self) -> &Counts {
        &self.own
    }
}

impl std::ops::DerefMut for FleetCounts {
    fn deref_mut(&mut self) -> &mut Counts {
        &mut self.own
    }
}
