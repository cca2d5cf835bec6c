//! The commands that start mosquitto with the files of `hubstorm certs`, for a shell. Used by `certs`. Pure.
//!
//! If root starts mosquitto, it switches to the user `mosquitto` before it reads the key, which only the key's owner can read. `user root`
//! in the configuration prevents the switch. Access to the key alone would not always be enough: for example, the user `mosquitto` cannot
//! enter root's home folder. If another user starts mosquitto, `user` has no effect.

use super::shell::shell_word;
use std::net::IpAddr;
use std::path::Path;

/// mosquitto's port for TLS.
const PORT: u16 = 8883;

/// Returns the commands as text. `folder` contains the files, and `names` are the names in the certificate.
#[must_use]
pub(super) fn text(folder: &Path, names: &[String]) -> String {
    // mosquitto may be started in another folder later.
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let (files, config) = (absolute.display(), absolute.join("mosquitto.conf").display().to_string());
    let (config, ca) = (shell_word(&config), shell_word(&absolute.join("ca.pem").display().to_string()));
    let listener = match loopback(names) {
        Some(address) => format!("listener {PORT} {address}"),
        None => format!("listener {PORT}"),
    };
    let reachable = match loopback(names) {
        Some(_) => "",
        None => "  (accepts every client that can reach this machine)",
    };
    let target = names.first().map_or("localhost", |name| name.strip_prefix("*.").unwrap_or(name));
    format!(
        "To test mosquitto with these files, paste:{reachable}\n\n\
         cat > {config} <<'END'\n\
         # If root starts mosquitto: remain root, because the user mosquitto cannot read the key.\n\
         user root\n\
         allow_anonymous true\n\
         {listener}\n\
         certfile {files}/server.pem\n\
         keyfile {files}/server-key.pem\n\
         END\n\
         PATH=\"$PATH:/usr/sbin\" mosquitto -c {config}\n\n\
         and in another terminal:\n\n\
         BROKER_PASSWORD=any hubstorm run scenarios/mosquitto.toml --target {target} --ca {ca}\n"
    )
}

/// Returns the address to listen on if all names belong to this machine's loopback interface.
fn loopback(names: &[String]) -> Option<IpAddr> {
    let mut address = None;
    for name in names.iter().filter(|name| *name != "localhost") {
        let ip = name.parse::<IpAddr>().ok().filter(IpAddr::is_loopback)?;
        address = address.or(Some(ip));
    }
    Some(address.unwrap_or(IpAddr::from([127, 0, 0, 1])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(folder: &str, names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        text(Path::new(folder), &names)
    }

    #[test]
    fn hint_is_a_configuration_and_two_commands() {
        assert_eq!(
            hint("/a b", &["localhost", "127.0.0.1"]),
            "To test mosquitto with these files, paste:\n\n\
             cat > '/a b/mosquitto.conf' <<'END'\n\
             # If root starts mosquitto: remain root, because the user mosquitto cannot read the key.\n\
             user root\nallow_anonymous true\nlistener 8883 127.0.0.1\n\
             certfile /a b/server.pem\nkeyfile /a b/server-key.pem\nEND\n\
             PATH=\"$PATH:/usr/sbin\" mosquitto -c '/a b/mosquitto.conf'\n\n\
             and in another terminal:\n\n\
             BROKER_PASSWORD=any hubstorm run scenarios/mosquitto.toml --target localhost --ca '/a b/ca.pem'\n"
        );
    }

    #[test]
    fn broker_listens_where_its_names_point() {
        for (names, listener, target) in [
            (&["127.1.2.3"][..], "listener 8883 127.1.2.3\n", "--target 127.1.2.3 "),
            (&["::1", "localhost"], "listener 8883 ::1\n", "--target ::1 "),
            (&["*.broker.test", "127.0.0.1"], "listener 8883\n", "--target broker.test "),
        ] {
            let hint = hint("/a", names);
            assert!(hint.contains(listener) && hint.contains(target), "{hint}");
            assert_eq!(hint.contains("every client that can reach"), names[0].starts_with('*'), "{hint}");
        }
    }
}
