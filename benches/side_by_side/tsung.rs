//! tsung under a similar load, within its limits: it has no window (each connection waits for each acknowledgment),
//! does not verify certificates, and costs so much that it gets fewer connections.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::Failure;
use super::load::{Kind, Load};
use super::process::{self, Cost};
use super::server::Server;

/// The divisor of the number of idle connections.
const IDLE_DIVISOR: u32 = 5;
/// Messages per second of 50 connections in a run without a rate limit, about the most that tsung sends.
const MESSAGES_PER_S: u32 = 8_000;

/// Returns the reduced load for tsung.
pub(crate) fn reduced(load: Load) -> Load {
    match load.kind {
        Kind::Idle => Load { connections: load.connections / IDLE_DIVISOR, ..load },
        Kind::Open(_) | Kind::Window => load,
    }
}

/// Runs tsung in one Erlang VM.
pub(crate) fn run(server: &Server, load: Load) -> Result<Cost, Failure> {
    let folder = server.folder.path().join("tsung");
    std::fs::create_dir(&folder)?;
    std::fs::write(folder.join("tsung.xml"), configuration(server.address, load))?;
    let mapper = Mapper::start()?;
    let mut command = Command::new("tsung");
    // -n: no web server; -w 0: no warm-up.
    command.args(["-n", "-w", "0", "-f"]).arg(folder.join("tsung.xml")).arg("-l").arg(&folder).arg("start");
    mapper.configure(&mut command).env("HOME", &folder).current_dir(&folder);
    process::run(&mut command, load, &server.client_log())
}

/// A port mapper of Erlang, on loopback. The one that Erlang starts itself never stops and listens on all addresses.
struct Mapper {
    port: u16,
    process: Child,
}

impl Mapper {
    #[expect(clippy::disallowed_methods, reason = "only to find a free port")]
    fn start() -> Result<Mapper, Failure> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let process = Command::new("epmd")
            .args(["-address", "127.0.0.1", "-port", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start epmd ({error}): apt-get install tsung"))?;
        let mapper = Mapper { port, process };
        for _ in 0..250 {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(mapper);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err("epmd does not listen".into())
    }

    /// Makes a command use this port mapper, and makes Erlang listen on loopback only.
    fn configure<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("ERL_EPMD_PORT", self.port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_AFLAGS", "-kernel inet_dist_use_interface {127,0,0,1}")
    }
}

impl Drop for Mapper {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns tsung's configuration: users connect over the ramp, wait until all are connected, work, and disconnect.
fn configuration(server: SocketAddr, load: Load) -> String {
    let Load { connections, ramp_s, work_s, kind } = load;
    let publish = format!(
        "<request><mqtt type=\"publish\" topic=\"devices/bench/messages/events/\" qos=\"1\" retained=\"false\">{}</mqtt></request>",
        "x".repeat(256)
    );
    let mut work = String::new();
    // Writing to a string cannot fail.
    let _ = match kind {
        Kind::Idle => write!(work, "<thinktime value=\"{work_s}\"/>"),
        // A closed model: the pause starts with the acknowledgment, so the actual rate is lower.
        Kind::Open(rate) => write!(
            work,
            "<for from=\"1\" to=\"{}\" var=\"n\">{publish}<thinktime value=\"{}\"/></for>",
            rate * work_s / connections,
            f64::from(connections) / f64::from(rate),
        ),
        Kind::Window => write!(
            work,
            "<for from=\"1\" to=\"{}\" var=\"n\">{publish}</for>",
            MESSAGES_PER_S * work_s / connections
        ),
    };
    format!(
        r#"<?xml version="1.0"?>
<!DOCTYPE tsung SYSTEM "/usr/share/tsung/tsung-1.0.dtd">
<tsung loglevel="error" version="1.0">
  <clients><client host="localhost" use_controller_vm="true" maxusers="100000"/></clients>
  <servers><server host="{}" port="{}" type="ssl"/></servers>
  <load>
    <arrivalphase phase="1" duration="{}" unit="second">
      <users maxnumber="{connections}" arrivalrate="{}" unit="second"/>
    </arrivalphase>
  </load>
  <sessions>
    <session name="bench" probability="100" type="ts_mqtt">
      <request><mqtt type="connect" clean_start="true" keepalive="240"/></request>
      <thinktime value="{ramp_s}"/>
      {work}
      <request><mqtt type="disconnect"/></request>
    </session>
  </sessions>
</tsung>
"#,
        server.ip(),
        server.port(),
        10 * ramp_s,
        connections / ramp_s,
    )
}
