//! A host as people write it: a name or an address, and nothing around it. One rule for `reader` and, through `app`, for the
//! command line. It resolves nothing, and repeats nothing of what it refuses: a connection string has a key in it.

use core::net::IpAddr; // Addresses only: sockets live in std::net.

/// What a host may be, for errors.
pub(super) const ALLOWED: &str =
    "a name (letters, digits, - . _) or an IP address alone: no scheme, no port, no path, no brackets";

/// RFC 1035 §2.3.4.
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// Whether `text` is a host name or an IP address.
///
/// # Errors
/// What it is instead, in words that do not repeat it.
pub fn check_host(text: &str) -> Result<(), &'static str> {
    if is_name(text) || text.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    Err(if is_connection_string(text) || text.to_ascii_lowercase().contains("hostname=") {
        "a connection string, not a host: give the host alone (what follows HostName=)"
    } else if text.contains('/') {
        "a host alone is wanted, without scheme and path"
    } else {
        "not a host name"
    })
}

/// The port of a `host:port` where a host alone is wanted. Whatever has another form may hold a key.
pub(super) fn port_behind(text: &str) -> Option<u16> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    check_host(host).ok()?;
    port.parse().ok()
}

fn is_name(text: &str) -> bool {
    let labels = text.strip_suffix('.').unwrap_or(text);
    labels.len() <= NAME_BYTES_MAX
        && labels.split('.').all(|label| {
            (1..=LABEL_BYTES_MAX).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        })
}

/// True for a connection string with its key, whole or in part.
#[must_use]
pub fn is_connection_string(text: &str) -> bool {
    text.to_ascii_lowercase().contains("sharedaccesskey=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_hosts() {
        let label = "a".repeat(63);
        let longest = [label.as_str(); 4].join(".")[..253].to_owned();
        let hosts = ["h", "my-hub.azure-devices.net", "hub_1.example.", "127.0.0.1", "::1", "fe80::1"];
        for host in hosts.into_iter().chain([longest.as_str()]) {
            assert_eq!(check_host(host), Ok(()), "{host}");
        }
        let (label, name) = (format!("{label}a"), format!("{longest}.a"));
        let others =
            ["", ".", "a..b", ".a", "a b", "h:8883", "[::1]", "u@h", "h;x", "h\n", "küche", "*.h", "k=="];
        for other in others.into_iter().chain([label.as_str(), name.as_str()]) {
            assert_eq!(check_host(other), Err("not a host name"), "{other}");
        }
        assert!(check_host("mqtts://hub.example").unwrap_err().contains("without scheme"));
    }

    #[test]
    fn a_port_is_told_from_whatever_else_follows_a_colon() {
        for text in ["h:8883", "127.0.0.1:8883", "[::1]:8883"] {
            assert_eq!(port_behind(text), Some(8883), "{text}");
        }
        for text in ["h", "h:", "h:mqtt", "h:70000", ":8883", "mqtts://h:8883", "HostName=h:8883", "[h:8883"]
        {
            assert_eq!(port_behind(text), None, "{text}");
        }
    }

    #[test]
    fn connection_strings_are_known_and_not_repeated() {
        for text in ["HostName=h;DeviceId=d;SharedAccessKey=a/b=", "sharedaccesskey=AAEC", "HOSTNAME=h"] {
            assert!(check_host(text).unwrap_err().contains("what follows HostName="), "{text}");
        }
    }
}
