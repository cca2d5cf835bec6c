//! Debian's nats-server as an MQTT broker, with codec and TLS in Go. It stores sessions and QoS 1 messages in JetStream's files. Used by
//! `nats`.

use super::local_broker::{LocalBroker, Place};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;

/// Starts a broker that accepts every client.
pub fn nats(tls: bool) -> LocalBroker {
    LocalBroker::start(launch, tls)
}

/// Returns the program that `tests/run` names, or Debian's.
fn program() -> std::ffi::OsString {
    std::env::var_os("HUBSTORM_TEST_NATS").unwrap_or_else(|| "/usr/sbin/nats-server".into())
}

fn launch(place: &Place<'_>) -> (Child, u16) {
    let config = place.folder.join("nats.conf");
    fs::write(&config, text(place)).expect("the folder is writable");
    let mut command = Command::new(program());
    command.arg("--config").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("nats-server is installed; tests/run does that");
    let mut log = BufReader::new(child.stderr.take().expect("piped"));
    let (mut log_text, mut port) = (String::new(), None);
    while !log_text.lines().any(|line| line.ends_with("Server is ready")) {
        let length = log.read_line(&mut log_text).expect("its log is UTF-8");
        assert!(length > 0, "nats-server did not start:\n{log_text}");
    }
    for line in log_text.lines().filter(|line| line.contains("Listening for MQTT clients")) {
        port = line.rsplit(':').next().and_then(|port| port.parse().ok());
    }
    // A full pipe would block the broker.
    thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    (child, port.unwrap_or_else(|| panic!("it has no port:\n{log_text}")))
}

fn text(place: &Place<'_>) -> String {
    let (host, folder) = (place.address.ip(), place.folder.display());
    // -1 lets NATS choose a port. MQTT needs a server name and JetStream.
    let port = match place.address.port() {
        0 => "-1".to_owned(),
        port => port.to_string(),
    };
    let tls = if place.tls {
        format!(
            "tls {{ cert_file: {:?}, key_file: {:?} }}",
            place.certificate().display().to_string(),
            place.key().display().to_string()
        )
    } else {
        String::new()
    };
    format!(
        "listen: \"{host}:-1\"\n\
         server_name: test\n\
         jetstream {{ store_dir: \"{folder}/jetstream\" }}\n\
         mqtt {{\n host: \"{host}\"\n port: {port}\n ack_wait: \"2s\"\n {tls}\n}}\n"
    )
}
