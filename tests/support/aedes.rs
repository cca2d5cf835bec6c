//! npm's Aedes: a broker in JavaScript, with Node's TLS. It stores sessions and messages in LevelDB. Used by `aedes`.

use super::local_broker::{LocalBroker, Place};
use super::sdk::{node, script};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

/// Starts a broker that accepts every client.
pub fn aedes(tls: bool) -> LocalBroker {
    LocalBroker::start(launch, tls)
}

fn launch(place: &Place<'_>) -> (Child, u16) {
    let mut command = script(node(), "node/aedes_broker.js");
    command.args([place.address.ip().to_string(), place.address.port().to_string()]);
    command.arg(place.folder.join("database"));
    if place.tls {
        command.args([place.certificate(), place.key()]);
    }
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("Node.js is installed");
    let mut line = String::new();
    // It prints only its port.
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a port is text");
    let port =
        line.trim_end().parse().unwrap_or_else(|error| panic!("Aedes did not start ({error}): {line:?}"));
    (child, port)
}
