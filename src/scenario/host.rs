//! Checks that a string is a host name or an IP address. Used by `reader` for `target.host`, and by `app` for the command line. Never
//! resolves names. Errors never repeat the string, because users sometimes paste connection strings, which contain keys.

use core::net::IpAddr; // `core::net` has addresses but no sockets.

/// Allowed hosts, for error messages.
pub(super) const ALLOWED: &str =
    "a host name (letters, digits, - . _) or an IP address, without scheme, port, path or brackets";

/// RFC 1035 §2.3.4.
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// Checks that `text` is a host name or an IP address.
///
/// # Errors
/// Returns a description of the problem that does not repeat `text`.
pub fn check_host(text: &str) -> Result<(), &'static str> {
    if is_name(text) || text.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    Err(if is_connection_string(text) || text.to_ascii_lowercase().contains("hostname=") {
        "a connection string is not a host: use only the value of its HostName field"
    } else if text.contains('/') {
        "not a host name: remove the scheme and the path"
    } else {
        "not a host name"
    })
}

/// Returns the port if `text` has the form `host:port`. Any other text may contain a key, so no part of it is used.
pub(super) fn port_suffix(text: &str) -> Option<u16> {
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

/// Returns true if `text` contains the key field of a connection string.
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
        for invalid in others.into_iter().chain([label.as_str(), name.as_str()]) {
            assert_eq!(check_host(invalid), Err("not a host name"), "{invalid}");
        }
        assert!(check_host("mqtts://hub.example").unwrap_err().contains("remove the scheme"));
    }

    #[test]
    fn port_is_read_only_after_a_valid_host() {
        for text in ["h:8883", "127.0.0.1:8883", "[::1]:8883"] {
            assert_eq!(port_suffix(text), Some(8883), "{text}");
        }
        for text in ["h", "h:", "h:mqtt", "h:70000", ":8883", "mqtts://h:8883", "HostName=h:8883", "[h:8883"]
        {
            assert_eq!(port_suffix(text), None, "{text}");
        }
    }

    #[test]
    fn connection_strings_get_a_specific_error() {
        for text in ["HostName=h;DeviceId=d;SharedAccessKey=a/b=", "sharedaccesskey=AAEC", "HOSTNAME=h"] {
            assert!(check_host(text).unwrap_err().contains("its HostName field"), "{text}");
        }
    }
}
