//! Checks that a string is a host name or an IP address. Used by `reader` for `target.host`, and by `app` for the command line. Never
//! resolves names. Errors never repeat the string, because users sometimes paste connection strings, which contain keys.

use super::mask::may_be_key;
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
    if text.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    if is_name(text) {
        // RFC 1123 §2.1: the last label of a name is never all digits.
        let last = text.strip_suffix('.').unwrap_or(text).rsplit('.').next().unwrap_or_default();
        return match last.bytes().all(|byte| byte.is_ascii_digit()) {
            true => Err("not a valid IPv4 address: write four numbers from 0 to 255"),
            false => Ok(()),
        };
    }
    Err(if is_connection_string(text) || text.to_ascii_lowercase().contains("hostname=") {
        "a connection string is not a host: use only the value of its HostName field"
    } else if text.contains('/') {
        "not a host name: remove the scheme and the path"
    } else {
        "not a host name"
    })
}

/// The host in a text that contains more than a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeantHost {
    /// A valid host that does not look like a key.
    pub host: String,
    /// Port after the host.
    pub port: Option<u16>,
    /// Scheme before the host, in lower case, such as `mqtts`. May be empty.
    pub scheme: String,
}

/// Finds the host in a URL, in `host:port`, or in a connection string. Returns no other part of `text`, which may contain a key.
#[must_use]
pub fn meant_host(text: &str) -> Option<MeantHost> {
    let lower = text.to_ascii_lowercase();
    let text = match lower.find("hostname=") {
        Some(at) => text[at + "hostname=".len()..].split(';').next()?,
        None => text,
    };
    let (scheme, rest) = text.trim().split_once("://").unwrap_or(("", text.trim()));
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit('@').next()?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port.parse().ok()?)),
        _ => (authority, None),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_host = check_host(host).is_ok() && !host.split('.').any(may_be_key);
    is_host.then(|| MeantHost { host: host.to_owned(), port, scheme: scheme.to_ascii_lowercase() })
}

/// Returns the fix for an invalid `target.host`. `variable` is the environment variable that contains it, if any.
pub(super) fn fix(text: &str, variable: Option<&str>) -> Option<String> {
    let MeantHost { host, port, scheme } = meant_host(text)?;
    let is_tls = matches!(&*scheme, "mqtts" | "ssl" | "tls" | "mqtt+ssl" | "mqtt+tls");
    let is_web_port = port == Some(443) && is_azure_hub(&host);
    let port = port.filter(|_| !is_web_port);
    // Port 8883 implies TLS.
    let tls = (is_tls && port != Some(8883)).then(|| "tls = true".to_owned());
    let port = port.map(|port| format!("port = {port}"));
    let keys: Vec<String> = port.into_iter().chain(tls).collect();
    let host = match variable {
        Some(variable) => format!("export {variable}={host}"),
        None => format!("write host = \"{host}\""),
    };
    let keys = match (keys.is_empty(), variable) {
        (true, _) => String::new(),
        (false, None) => format!(" with {}", keys.join(" and ")),
        (false, Some(_)) => format!(", and add {} to [target]", keys.join(" and ")),
    };
    let web_socket = match &*scheme {
        _ if is_web_port => {
            "; hubstorm uses port 8883. Port 443 of an IoT hub is for HTTPS and MQTT over WebSocket, which is not supported yet"
        }
        "ws" | "wss" => "; MQTT over WebSocket is not supported yet",
        _ => "",
    };
    Some(format!("{host}{keys}{web_socket}"))
}

/// Returns true for a name of a hub in Azure, in any of its clouds.
#[must_use]
pub fn is_azure_hub(host: &str) -> bool {
    const DOMAINS: [&str; 3] = [".azure-devices.net", ".azure-devices.cn", ".azure-devices.us"];
    let host = host.to_ascii_lowercase();
    DOMAINS.iter().any(|domain| host.ends_with(domain))
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
    fn invalid_addresses_are_not_names() {
        for text in ["127.0.0.256", "1.2.3", "1.2.3.4.5", "127.0.0.1.", "300"] {
            let expected = "not a valid IPv4 address: write four numbers from 0 to 255";
            assert_eq!(check_host(text), Err(expected), "{text}");
        }
        assert_eq!(check_host("1.example"), Ok(()));
    }

    #[test]
    fn host_is_found_in_other_text() {
        for (text, host, port, scheme) in [
            ("https://my-hub.azure-devices.net", "my-hub.azure-devices.net", None, "https"),
            ("mqtts://broker:8883", "broker", Some(8883), "mqtts"),
            ("MQTT://user:pw@broker:1883/path?x=1", "broker", Some(1883), "mqtt"),
            ("host/", "host", None, ""),
            ("host:8883", "host", Some(8883), ""),
            ("[::1]:8883", "::1", Some(8883), ""),
            ("[::1]", "::1", None, ""),
            (" host ", "host", None, ""),
            ("HostName=h.net;DeviceId=d;SharedAccessKey=AAECAwQF", "h.net", None, ""),
        ] {
            let found = MeantHost { host: host.to_owned(), port, scheme: scheme.to_owned() };
            assert_eq!(meant_host(text), Some(found), "{text}");
        }
        const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
        for text in [
            "",
            "h:",
            "h:mqtt",
            "h:70000",
            ":8883",
            "[h:8883",
            "a b",
            KEY,
            &format!("https://{KEY}/"),
            &format!("h;{KEY}="),
        ] {
            assert_eq!(meant_host(text), None, "{text}");
        }
    }

    #[test]
    fn fix_names_the_keys_to_write() {
        for (text, variable, expected) in [
            ("https://h.net/", None, "write host = \"h.net\""),
            ("mqtts://h:8883", None, "write host = \"h\" with port = 8883"),
            ("mqtts://h", None, "write host = \"h\" with tls = true"),
            ("mqtts://h:8884", None, "write host = \"h\" with port = 8884 and tls = true"),
            ("h:1883", None, "write host = \"h\" with port = 1883"),
            ("wss://h/mqtt", None, "write host = \"h\"; MQTT over WebSocket is not supported yet"),
            ("https://h.net/", Some("HUB"), "export HUB=h.net"),
            (
                "my.azure-devices.net:443",
                Some("HUB"),
                "export HUB=my.azure-devices.net; hubstorm uses port 8883. Port 443 of an IoT hub is for HTTPS and MQTT over WebSocket, which is not supported yet",
            ),
            ("h:443", Some("HUB"), "export HUB=h, and add port = 443 to [target]"),
            ("h:1883", Some("HUB"), "export HUB=h, and add port = 1883 to [target]"),
        ] {
            assert_eq!(fix(text, variable).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn connection_strings_get_a_specific_error() {
        for text in ["HostName=h;DeviceId=d;SharedAccessKey=a/b=", "sharedaccesskey=AAEC", "HOSTNAME=h"] {
            assert!(check_host(text).unwrap_err().contains("its HostName field"), "{text}");
        }
    }
}
