//! The fixes for errors, by error class. Used by `live`, and by `app` for the preflight check, `doctor` and `--once`. Pure: it reads
//! neither the texts of errors nor a plan. `docs/errors.md` explains every class in detail.

use crate::plan::TargetKind;

/// The target of a connection that failed before CONNACK.
#[derive(Clone, Copy, Debug)]
pub struct Connecting {
    /// The kind of the target.
    pub kind: TargetKind,
    /// True if the connection uses TLS.
    pub tls: bool,
    /// True if the server has accepted a device of another fleet, so the port and the TLS settings are right.
    pub others_connected: bool,
}

/// Returns the fix for an error class. `None` if the class is unknown.
#[must_use]
pub fn error_fix(class: &str) -> Option<&'static str> {
    Some(match class {
        "dns" => "check `host` in `[target]`, and this machine's resolver",
        "tcp_refused" => "check `port`, and that the server is running",
        "tcp_timeout" => "check firewalls and routes; the server's accept queue may be full",
        "tcp_unreachable" => "check routes and VPN",
        "tls" => "use the server's TLS port; see the example",
        "tls_certificate" => "see the example; `ca` in `[target]` adds a CA",
        "tls_timeout" | "connack_timeout" => "use a longer ramp; the server may be overloaded",
        "connack_1" => "use another port or server: this one does not speak MQTT 3.1.1",
        "connack_2" => "check `id`",
        "connack_3" => "check the server; devices retry with their back-off",
        "connack_4" => "check `auth`: the user name or the password is wrong",
        "connack_5" => {
            "check `auth`, that the devices exist and are enabled, and that all clocks are correct"
        }
        "connack_unknown" => "check that the server speaks MQTT 3.1.1",
        "closed_by_peer" | "reset" => {
            "check the server's log: it may have restarted or reached a limit, or another client has the same id"
        }
        "closed_after_expiry" => "check `renew` and `ttl` in `auth`; expected with `renew = \"never\"`",
        "fault" => "nothing, because the scenario asks for this fault",
        "tls_alert" | "ping_timeout" | "protocol_error" => "check the server's log",
        "ack_timeout" | "subscribe_timeout" => {
            "check the load and the log of the server; if it is only slow, increase `ack_timeout`"
        }
        "ack_stall" | "call_timeout" => "check the load of the server; if it is overloaded, use less load",
        "subscribe_refused" => "check the filter, and the server's access rules",
        "fd_limit" => "raise `ulimit -n`; `hubstorm check` prints how many descriptors are needed",
        "ports_exhausted" => "set `source_ips` in `[target]`, or use fewer devices",
        "source_address" => "use addresses of this machine in `source_ips`",
        "no_memory" => "use fewer devices, or a machine with more memory",
        "clock_step" => "synchronize this machine's clock; `timedatectl` shows its state",
        "clock_ahead" => "synchronize the clocks of the sender and the load generator",
        "encode" => "this is a bug in hubstorm: please report it",
        "payload" | "call_payload" => "correct the payload in the scenario",
        "method_overflow" => "use fewer calls, or a shorter `after`",
        "call_throttled" => "use fewer calls, or more units",
        "call_device_not_online" => {
            "check the ramp, `online` of the phase, and that `subscribe` of the fleet has \"methods\""
        }
        "call_device_not_found" => "check the device ids",
        "call_no_answer" => "increase the call's `response_timeout`, or shorten the method's `after`",
        "call_queue_full" => "use fewer calls: messages or changes already wait for the device",
        "call_methods_in_flight" => "use fewer calls, a shorter `after`, or more devices",
        "call_refused" | "call_failed" => "see the code in the example",
        "twin_timeout" => {
            "check the load of the hub; if it is only slow, increase `timeout` in the fleet's `twin`"
        }
        "twin_400" | "twin_400004" | "twin_413" | "twin_413001" => "check the payload of `report`",
        "twin_400001" => "check the API version in the user name",
        "twin_403002" => "wait for midnight UTC, or add units",
        "twin_404" | "twin_404001" => "check that the device is registered and enabled",
        "twin_body" => "check the example, and that the target is an IoT hub",
        "twin_503005" => "check the load of the hub; if it is overloaded, use less load",
        _ if class.starts_with("twin_429") => "use fewer twin operations, or more units",
        _ if class.starts_with("twin_") => "see the status and the message of the hub in the example",
        _ => return None,
    })
}

/// Returns the fix for a connection that failed with an error class after TCP and TLS were ready, and before CONNACK.
#[must_use]
pub fn connack_fix(class: &str, of: Connecting) -> &'static str {
    match (class, of.kind) {
        ("connack_5", TargetKind::IotHub) => {
            "the hub does not send a reason; check that the device exists and is enabled, that its key is correct (in the file, derived \
             from this group key, or of a policy with DeviceConnect), and that the clock of this machine is correct to within 5 minutes"
        }
        ("connack_4" | "connack_5", TargetKind::Mqtt) => {
            "check the user name and password, and the access rules of the broker"
        }
        ("connack_3", _) => "the server is unavailable; try again later",
        ("connack_1" | "connack_2" | "connack_4" | "connack_unknown", _) => {
            "see MQTT 3.1.1 section 3.2.2.3 for this return code"
        }
        _ if of.others_connected => {
            "the server accepted devices of other fleets: compare the ids and auth of this fleet with theirs, and check the \
             connection limit and the log of the server"
        }
        ("connack_timeout", TargetKind::Mqtt) if of.tls => {
            "check that an MQTT 3.1.1 server listens on this port and is not overloaded; for a slow server, increase connect_timeout of \
             the fleet"
        }
        (_, TargetKind::Mqtt) if !of.tls => {
            "if the server uses TLS, set tls = true in [target]; otherwise check that an MQTT 3.1.1 server listens on this port"
        }
        (_, TargetKind::Mqtt) => {
            "check that an MQTT 3.1.1 server listens on this port; see its log for why it closed the connection"
        }
        (_, TargetKind::IotHub) => {
            "check that an IoT hub listens on this port; if the hub is throttling connections, it responds late"
        }
    }
}

/// Returns the fix for a connection that failed with an error class before TCP and TLS were ready.
#[must_use]
pub fn dial_fix(class: &str, tls: bool) -> &'static str {
    match class {
        "dns" => "check the host name of the target, and the DNS settings of this machine",
        "tcp_refused" | "tcp_timeout" | "tcp_unreachable" if !tls => {
            "check the host, the port, and any firewalls in between (MQTT over plain TCP usually uses port 1883)"
        }
        "tcp_refused" | "tcp_timeout" | "tcp_unreachable" => {
            "check the host, the port, and any firewalls in between (MQTT over TLS uses port 8883)"
        }
        "source_address" => {
            "check source_ips in [target]: they must be addresses of this machine, and all IPv4 or all IPv6, like the host's address"
        }
        "fd_limit" => "raise the limit on open files (`ulimit -n`)",
        "ports_exhausted" => {
            "wait until closed connections have released their ports (1 minute), widen net.ipv4.ip_local_port_range, or list \
             source_ips in [target]"
        }
        "no_memory" => "free memory on this machine, or raise the memory limit of its container",
        "tls_timeout" => {
            "check the load of the server, and that it uses TLS on this port; for a server without TLS, set tls = false in [target]"
        }
        "reset" | "closed_by_peer" if !tls => {
            "check that an MQTT 3.1.1 server listens on this port; see its log for why it closed the connection"
        }
        _ => {
            "check that the server uses TLS 1.2 or 1.3 on this port; for a server without TLS, set tls = false in [target]"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the classes in `docs/errors.md`; tests/it/errors.rs checks that these are the classes of the code.
    fn classes() -> Vec<&'static str> {
        let page = include_str!("../../docs/errors.md");
        let is_class =
            |line: &&str| [" | peer |", " | network |", " | us |"].iter().any(|by| line.contains(by));
        let cells = page.lines().filter(is_class).filter_map(|row| row.split(" | ").next());
        cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
    }

    #[test]
    fn every_error_class_has_a_fix() {
        assert!(classes().len() > 50);
        for class in classes() {
            assert!(error_fix(class).is_some(), "{class}");
        }
        assert_eq!(error_fix("nothing"), None);
    }

    #[test]
    fn closed_port_advice_names_the_port_of_the_transport() {
        for (tls, port) in [(false, "plain TCP usually uses port 1883"), (true, "TLS uses port 8883")] {
            for class in ["tcp_refused", "tcp_timeout", "tcp_unreachable"] {
                assert!(dial_fix(class, tls).contains(port), "{class}");
            }
        }
    }
}
