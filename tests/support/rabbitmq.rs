//! Debian's RabbitMQ with its MQTT plugin. Its TLS and codec are written in Erlang. It runs as the user of the test, in its own folder, and
//! shares nothing with a RabbitMQ service of the system. Used by `rabbitmq`.

use super::address::{listen, own_address};
use super::local_broker::kill_with_unread;
use hubstorm::emulator::certificate;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

pub const USER: &str = "device";
/// The script behind Debian's wrapper, which would change the user.
const PROGRAM: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// The first port of the brokers on this process's own address. Each broker uses two: plain TCP and TLS.
static NEXT_PORT: AtomicU16 = AtomicU16::new(28_830);
const CERTIFICATE_VALID: Duration = Duration::from_secs(86_400);

/// A broker.
pub struct RabbitMq {
    node: Child,
    /// Erlang's port mapper, which the broker requires. The broker itself would start one that never ends.
    mapper: Child,
    mapper_port: u16,
    folder: TempDir,
    address: IpAddr,
    plain_port: u16,
}

impl RabbitMq {
    /// Starts a broker that accepts [`USER`] with `password`. Returns once it listens.
    pub fn start(password: &str) -> RabbitMq {
        RabbitMq::launch(password, false)
    }

    /// Starts a broker that accepts every client. Returns once it listens.
    pub fn open() -> RabbitMq {
        RabbitMq::launch("unused", true)
    }

    fn launch(password: &str, anonymous: bool) -> RabbitMq {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = own_address();
        let plain_port = NEXT_PORT.fetch_add(2, Ordering::Relaxed);
        write_files(folder.path(), SocketAddr::new(address, plain_port), password, anonymous);
        let (mapper, mapper_port) = start_mapper();
        let node = start_node(folder.path(), SocketAddr::new(address, plain_port), mapper_port);
        let mut broker = RabbitMq { node, mapper, mapper_port, folder, address, plain_port };
        broker.wait();
        broker
    }

    /// Kills the broker (`kill -9`) once it has unread data from this number of connections.
    pub fn kill_with_unread(&mut self, connections: usize) {
        let address = self.plain();
        kill_with_unread(&mut self.node, address, connections);
    }

    /// Terminates the broker (`kill`), and waits for its end.
    pub fn terminate(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.node.id()).expect("a process id fits"));
        kill(pid, Signal::SIGTERM).expect("the child is not yet reaped");
        self.node.wait().expect("it is a child process");
    }

    /// Restarts the broker at the same address with its data. Returns once it listens.
    pub fn restart(&mut self) {
        self.node = start_node(self.folder.path(), self.plain(), self.mapper_port);
        self.wait();
    }

    fn wait(&mut self) {
        let mut log = BufReader::new(self.node.stdout.take().expect("piped"));
        let mut log_text = String::new();
        while !log_text.contains("Server startup complete") {
            let length = log.read_line(&mut log_text).expect("its log is UTF-8");
            assert!(length > 0, "RabbitMQ did not start:\n{log_text}");
        }
        // A full pipe would block the broker.
        thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    }

    /// Returns the path for `ca = ".."`.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub fn tls(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.plain_port + 1)
    }

    pub fn plain(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.plain_port)
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        for child in [&mut self.node, &mut self.mapper] {
            // It may have ended already, which fails the test elsewhere.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn write_files(folder: &Path, plain: SocketAddr, password: &str, anonymous: bool) {
    let (address, tls_port) = (plain.ip(), plain.port() + 1);
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("the folder is writable");
    let names = [address.to_string()];
    let certificate =
        certificate::files(&names, hubstorm::clock::unix(), CERTIFICATE_VALID).expect("an address is a name");
    write("ca.pem", &certificate.ca);
    write("cert.pem", &certificate.server);
    write("key.pem", &certificate.key);
    write("enabled_plugins", "[rabbitmq_mqtt].");
    let folder_path = folder.display();
    write(
        "rabbitmq.conf",
        &format!(
            "listeners.tcp = none\n\
             mqtt.listeners.tcp.default = {plain}\n\
             mqtt.listeners.ssl.default = {address}:{tls_port}\n\
             mqtt.allow_anonymous = {anonymous}\n\
             mqtt.default_user = {USER}\n\
             mqtt.default_pass = {password}\n\
             ssl_options.cacertfile = {folder_path}/ca.pem\n\
             ssl_options.certfile = {folder_path}/cert.pem\n\
             ssl_options.keyfile = {folder_path}/key.pem\n\
             default_user = {USER}\n\
             default_pass = {password}\n\
             log.console = true\n"
        ),
    );
}

/// Returns a port of 127.0.0.1 that was just free. If another process takes it, the broker does not start.
fn free_port() -> u16 {
    listen(Ipv4Addr::LOCALHOST.into()).local_addr().expect("it is bound").port()
}

/// Starts the port mapper.
fn start_mapper() -> (Child, u16) {
    let port = free_port();
    let mut command = Command::new("epmd");
    command.args(["-address", "127.0.0.1", "-port", &port.to_string()]).stdin(Stdio::null());
    (command.spawn().expect("RabbitMQ's Erlang is installed; tests/run does that"), port)
}

fn start_node(folder: &Path, plain: SocketAddr, mapper_port: u16) -> Child {
    let interface = plain.ip().to_string().replace('.', ",");
    let mut command = Command::new(PROGRAM);
    command
        .env("HOME", folder) // For the cookie of Erlang's distribution.
        .env("ERL_EPMD_PORT", mapper_port.to_string())
        .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
        .env("ERL_CRASH_DUMP", folder.join("erl_crash.dump")) // Not in the working directory of the tests.
        .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq.conf"))
        // For Erlang's distribution, which is unused. At its start, the broker tries this port on 127.0.0.1, which all tests share.
        .env("RABBITMQ_DIST_PORT", free_port().to_string())
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("enabled_plugins"))
        .env("RABBITMQ_LOGS", "-")
        .env("RABBITMQ_LOG_BASE", folder)
        .env("RABBITMQ_MNESIA_BASE", folder.join("mnesia"))
        .env("RABBITMQ_NODENAME", "test@localhost")
        .env(
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            format!("-kernel inet_dist_use_interface {{{interface}}}"),
        )
        // The broker replaces the shell, so that killing the child kills the broker.
        .env("RUNNING_UNDER_SYSTEMD", "true")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command.spawn().expect("RabbitMQ is installed; tests/run does that")
}
