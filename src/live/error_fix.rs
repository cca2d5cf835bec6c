//! A short fix for each class of errors. Used by `alerts`. `docs/errors.md` explains every class in detail.

/// Returns the fix for a class. `None` if only the example helps.
pub(super) fn fix(class: &str) -> Option<&'static str> {
    Some(match class {
        "dns" => "check `host` in `[target]`, and this machine's resolver",
        "tcp_refused" => "check `port`, and that the server is running",
        "tcp_timeout" => "check firewalls and routes; the server's accept queue may be full",
        "tcp_unreachable" => "check routes and VPN",
        "tls" => "use the server's TLS port; see the example",
        "tls_timeout" | "connack_timeout" => "use a longer ramp; the server may be overloaded",
        "connack_1" => "use another port or server: this one does not speak MQTT 3.1.1",
        "connack_2" => "check `id`",
        "connack_3" => "check the server; devices retry with their back-off",
        "connack_4" => "check `auth`: the user name or the password is wrong",
        "connack_5" => {
            "check `auth`, that the devices exist and are enabled, and that all clocks are correct"
        }
        "closed_by_peer" | "reset" => {
            "check the server's log: it may have restarted or reached a limit, or another client has the same id"
        }
        "closed_after_expiry" => "check `renew` and `ttl` in `auth`; expected with `renew = \"never\"`",
        "tls_alert" | "ping_timeout" | "protocol_error" => "check the server's log",
        "ack_timeout" | "ack_stall" | "subscribe_timeout" | "twin_timeout" | "call_timeout" => {
            "check the load of the server; if it is overloaded, use less load"
        }
        "subscribe_refused" => "check the filter and the server's access rules",
        "fd_limit" => "raise `ulimit -n`; `hubstorm check` prints how many descriptors are needed",
        "ports_exhausted" => "set `source_ips` in `[target]`, or use fewer devices",
        "source_address" => "use addresses of this machine in `source_ips`",
        "no_memory" => "use fewer devices, or a machine with more memory",
        "clock_step" => "synchronize this machine's clock; `timedatectl` shows its state",
        "method_overflow" => "use fewer calls, or a shorter `after`",
        "call_throttled" => "use fewer calls, or more units",
        "call_device_not_online" => "check the ramp, and `online` of the phase",
        "call_device_not_found" => "check the device ids",
        _ if class.starts_with("twin_429") => "use fewer twin operations, or more units",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_with_a_fix_is_documented() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let docs = std::fs::read_to_string(root.join("docs/errors.md")).unwrap();
        let source = std::fs::read_to_string(root.join("src/live/error_fix.rs")).unwrap();
        let arms =
            source.lines().take_while(|line| !line.contains("mod tests")).filter(|line| line.contains("=>"));
        let classes: Vec<&str> = arms
            .filter_map(|arm| arm.split_once("=>"))
            .flat_map(|(classes, _)| classes.split('"').skip(1).step_by(2))
            .collect();
        assert!(classes.len() > 25, "{classes:?}");
        for class in classes {
            assert!(docs.contains(&format!("`{class}")), "{class}");
        }
        assert_eq!((fix("twin_429001"), fix("nothing")), (fix("twin_429"), None));
    }
}
