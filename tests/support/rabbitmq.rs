//! Debian's RabbitMQ with its MQTT plugin. Its TLS and codec are written in Erlang. It runs as the user of the test, in its own folder, and
//! shares nothing with a RabbitMQ service of the system. Used by `rabbitmq`.

use super::address::{listen, own_address};
use hubstorm::emulator::certificate;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

pub const USER: &str = "device";
/// The script behind Debian's wrapper, which would change the user.
const PROGRAM: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const PLAIN_PORT: u16 = 28_830;
const TLS_PORT: u16 = 28_831;
/// Port of Erlang's distribution. It is unused.
const NODE_PORT: u16 = 28_832;
const CERTIFICATE_VALID: Duration = Duration::from_secs(86_400);

/// A broker. A process can start only one, because its ports on the process's own address are fixed.
pub struct RabbitMq {
    node: Child,
    /// Erlang's port mapper, which the broker requires. The broker itself would start one that never ends.
    mapper: Child,
    folder: TempDir,
    address: IpAddr,
}

impl RabbitMq {
    /// Starts a broker that accepts [`USER`] with `password`. Returns once it listens.
    pub fn start(password: &str) -> RabbitMq {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = own_address();
        write_files(folder.path(), address, password);
        let (mapper, mapper_port) = start_mapper();
        let node = start_node(folder.path(), address, mapper_port);
        let mut broker = RabbitMq { node, mapper, folder, address };
        broker.wait();
        broker
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
        SocketAddr::new(self.address, TLS_PORT)
    }

    pub fn plain(&self) -> SocketAddr {
        SocketAddr::new(self.address, PLAIN_PORT)
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

fn write_files(folder: &Path, address: IpAddr, password: &str) {
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
             mqtt.listeners.tcp.default = {address}:{PLAIN_PORT}\n\
             mqtt.listeners.ssl.default = {address}:{TLS_PORT}\n\
             mqtt.allow_anonymous = false\n\
             ssl_options.cacertfile = {folder_path}/ca.pem\n\
             ssl_options.certfile = {folder_path}/cert.pem\n\
             ssl_options.keyfile = {folder_path}/key.pem\n\
             default_user = {USER}\n\
             default_pass = {password}\n\
             log.console = true\n"
        ),
    );
}

/// Starts the port mapper on a port that was just free. If another process takes the port, the broker does not start.
fn start_mapper() -> (Child, u16) {
    let port = listen(Ipv4Addr::LOCALHOST.into()).local_addr().expect("it is bound").port();
    let mut command = Command::new("epmd");
    command.args(["-address", "127.0.0.1", "-port", &port.to_string()]).stdin(Stdio::null());
    (command.spawn().expect("RabbitMQ's Erlang is installed; tests/run does that"), port)
}

fn start_node(folder: &Path, address: IpAddr, mapper_port: u16) -> Child {
    let interface = address.to_string().replace('.', ",");
    let mut command = Command::new(PROGRAM);
    command
        .env("HOME", folder) // For the cookie of Erlang's distribution.
        .env("ERL_EPMD_PORT", mapper_port.to_string())
        .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
        .env("ERL_CRASH_DUMP", folder.join("erl_crash.dump")) // Not in the working directory of the tests.
        .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq.conf"))
        .env("RABBITMQ_DIST_PORT", NODE_PORT.to_string())
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
