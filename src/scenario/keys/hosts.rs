//! Reads `target.host`: one host, or a list of hosts that devices use in turn. Used by `target`.

use crate::scenario::host::{check_host, meant_host};
use crate::scenario::model::HostSpec;
use crate::scenario::node::{Node, Value};
use crate::scenario::reader::Reader;

/// The elements of a list, for error messages.
const ELEMENTS: &str = "host names or IP addresses, each with or without a port (1 to 65,535): [\"a.example\", \"b.example:8884\", \"[::1]:8884\"]";

/// The largest number of hosts: our choice, each has a row on the page.
const HOSTS_MAX: usize = 100;

/// Reads one host or a list of hosts. Returns nothing if any of them is invalid.
pub(super) fn hosts(reader: &mut Reader<'_>, node: &Node) -> Vec<HostSpec> {
    let Value::Array(elements) = &node.value else {
        return reader.host(node).map(|host| HostSpec { host, port: None }).into_iter().collect();
    };
    if !(1..=HOSTS_MAX).contains(&elements.len()) {
        let what = if elements.is_empty() { "the list is empty" } else { "too many hosts" };
        let problem = reader.errors.add(&node.place, what);
        problem
            .allowed(format!("1 to 100 {ELEMENTS}"))
            .fix("add the hosts, or remove [target] to use the built-in hub");
        return Vec::new();
    }
    let found: Vec<HostSpec> = elements.iter().filter_map(|element| host(reader, element)).collect();
    if found.len() == elements.len() { found } else { Vec::new() }
}

/// Reads an element of the list.
fn host(reader: &mut Reader<'_>, node: &Node) -> Option<HostSpec> {
    if matches!(node.value, Value::Table(_)) {
        let problem = reader.errors.add(&node.place, "all hosts have the kind of [target]");
        problem.found("a table").allowed(ELEMENTS);
        problem.fix("write the host as a string; test a target of another kind with a scenario of its own");
        return None;
    }
    let mut host = reader.text(node, ELEMENTS)?;
    if check_host(&host.value).is_ok() {
        return Some(HostSpec { host, port: None });
    }
    if let Some((name, port)) = split(&host.value) {
        host.value = name.to_owned();
        return Some(HostSpec { host, port: Some(port) });
    }
    // Never repeat the value, which may contain a key.
    let meant = meant_host(&host.value).map(|meant| match meant.port {
        Some(port) if meant.host.contains(':') => format!("write \"[{}]:{port}\"", meant.host),
        Some(port) => format!("write \"{}:{port}\"", meant.host),
        None => format!("write \"{}\"", meant.host),
    });
    reader.errors.add(&node.place, "not a host, or a host and a port").allowed(ELEMENTS).fix = meant;
    None
}

/// Splits `host:port` or `[::1]:port` (RFC 3986 §3.2.2).
fn split(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    // Only IPv6 addresses have brackets, and they must have them before a port.
    let host = if host.contains(':') { bare? } else { host };
    let port = port.parse().ok().filter(|port| *port > 0)?;
    check_host(host).ok().map(|()| (host, port))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn hosts_are_split_from_their_ports() {
        let cases = [
            ("b:8884", Some(("b", 8884))),
            ("127.0.0.1:1", Some(("127.0.0.1", 1))),
            ("[::1]:65535", Some(("::1", 65_535))),
            ("::1:8884", None),
            ("[b]:8884", None),
            ("b:0", None),
            ("b:65536", None),
            ("b:", None),
            ("mqtt://b:1883", None),
            ("b", None),
        ];
        for (text, expected) in cases {
            assert_eq!(split(text), expected, "{text}");
        }
    }
}
