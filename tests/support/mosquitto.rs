//! Debian's mosquitto, with TLS, plain TCP and passwords. It has its own codec.

use super::address::own_address;
use super::local_broker::{LocalBroker, Place};
use super::proxy::Proxy;
use super::sys::Witness;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rcgen::{CertificateParams, KeyPair};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use tempfile::TempDir;

/// The first port of the brokers on this process's own address. Each broker uses two ports.
static NEXT_PORT: AtomicU16 = AtomicU16::new(18_830);
const WITNESS: &str = "witness";

pub struct Mosquitto {
    child: Child,
    folder: TempDir,
    address: IpAddr,
    plain_port: u16,
    tls_port: u16,
    password: String,
}

impl Mosquitto {
    /// Starts a broker that accepts `users` with the same password. Returns once it listens.
    pub fn start(users: impl IntoIterator<Item = String>, password: &str) -> Mosquitto {
        Mosquitto::start_with(users.into_iter().map(|user| (user, password.to_owned())), password)
    }

    /// Starts a broker that accepts users with their passwords, and a witness with `password`.
    pub fn start_with(users: impl IntoIterator<Item = (String, String)>, password: &str) -> Mosquitto {
        Mosquitto::launch(users, password, false, "")
    }

    /// Starts a broker that accepts every client.
    pub fn open() -> Mosquitto {
        Mosquitto::launch([], "the witness's", true, "")
    }

    /// Like [`Mosquitto::open`], with a further setting for each listener.
    pub fn open_with(setting: &str) -> Mosquitto {
        Mosquitto::launch([], "the witness's", true, setting)
    }

    /// Returns the start of a scenario with `dev-0`, `dev-1` and so on, which connect to a proxy of this broker without TLS. The password is
    /// in `BROKER_PASSWORD`.
    pub fn sensors(&self, proxy: &Proxy, devices: u32) -> String {
        format!(
            "[target]\nkind = \"mqtt\"\nhost = \"{}\"\nport = {}\ntls = false\n[fleet.sensor]\ndevices = {devices}\n\
             id = \"dev-{{index}}\"\n\
             auth = {{ kind = \"password\", username = \"${{device}}\", password = \"${{env.BROKER_PASSWORD}}\" }}",
            self.host(),
            proxy.port(),
        )
    }

    fn launch(
        users: impl IntoIterator<Item = (String, String)>,
        password: &str,
        anonymous: bool,
        setting: &str,
    ) -> Mosquitto {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = own_address();
        let plain_port = NEXT_PORT.fetch_add(2, Ordering::Relaxed);
        let tls_port = plain_port + 1;
        write_certificate(folder.path(), address);
        let witness = (WITNESS.to_owned(), password.to_owned());
        write_passwords(folder.path(), users.into_iter().chain([witness]));
        let ports = (plain_port, tls_port);
        let child = start(folder.path(), &config(folder.path(), address, ports, anonymous, setting));
        Mosquitto { child, folder, address, plain_port, tls_port, password: password.to_owned() }
    }

    /// Returns the path for `ca = ".."`: the broker's self-signed certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    pub fn host(&self) -> IpAddr {
        self.address
    }

    pub fn tls(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.tls_port)
    }

    pub fn plain(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.plain_port)
    }

    /// Connects a client that reads the broker's counts. The counts include this client.
    pub fn witness(&self) -> Witness {
        Witness::new(self.plain(), WITNESS, &self.password)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // It may have ended already, which fails the test elsewhere.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a broker that accepts every client, stores its sessions after every change, and writes each packet to its log, [`LOG`].
pub fn stored() -> LocalBroker {
    LocalBroker::start(launch_stored, false)
}

/// The log of a [`stored`] broker, in its folder.
pub const LOG: &str = "mosquitto.log";

fn launch_stored(place: &Place<'_>) -> (Child, u16) {
    let port = match place.address.port() {
        0 => NEXT_PORT.fetch_add(2, Ordering::Relaxed),
        port => port,
    };
    let (address, folder) = (place.address.ip(), place.folder.display());
    let config = format!(
        "user root\n\
         persistence true\n\
         persistence_location {folder}/\n\
         autosave_on_changes true\n\
         autosave_interval 1\n\
         max_inflight_messages 0\n\
         max_queued_messages 0\n\
         allow_anonymous true\n\
         log_dest stderr\n\
         log_type all\n\
         listener {port} {address}\n"
    );
    let file = place.folder.join("mosquitto.conf");
    fs::write(&file, config).expect("the folder is writable");
    // A file, because the broker's lines must be complete when it is killed.
    let log = place.folder.join(LOG);
    let sink = fs::OpenOptions::new().create(true).append(true).open(&log).expect("the folder is writable");
    let before = fs::read_to_string(&log).expect("its log is UTF-8").len();
    let mut command = Command::new(program());
    command.arg("-c").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(sink);
    let mut child = command.spawn().expect("mosquitto is installed; tests/run does that");
    loop {
        let text = fs::read_to_string(&log).expect("its log is UTF-8");
        if text[before..].lines().any(|line| line.ends_with("running")) {
            return (child, port);
        }
        assert!(child.try_wait().expect("it is a child").is_none(), "mosquitto did not start:\n{text}");
        thread::yield_now();
    }
}

/// A broker that shell commands start, as a user pastes them.
pub struct PastedMosquitto {
    shell: Child,
}

impl PastedMosquitto {
    /// Runs the commands. Returns once the broker listens.
    pub fn start(commands: &str) -> PastedMosquitto {
        let mut shell = Command::new("sh");
        // mosquitto is a child of the shell, so they need a process group of their own.
        shell.args(["-c", commands]).process_group(0);
        if let Some(folder) = program().parent() {
            let path = std::env::var("PATH").expect("a PATH");
            shell.env("PATH", format!("{}:{path}", folder.display()));
        }
        PastedMosquitto { shell: spawn(shell) }
    }
}

impl Drop for PastedMosquitto {
    fn drop(&mut self) {
        let group = i32::try_from(self.shell.id()).expect("a process id fits");
        // It may have ended already, which fails the test elsewhere.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        let _ = self.shell.wait();
    }
}

/// Returns the program that `tests/run` names, or Debian's.
fn program() -> PathBuf {
    std::env::var_os("HUBSTORM_TEST_MOSQUITTO").map_or_else(|| "/usr/sbin/mosquitto".into(), PathBuf::from)
}

fn write_certificate(folder: &Path, address: IpAddr) {
    // rcgen's default is ECDSA P-256.
    let key = KeyPair::generate().expect("randomness");
    let params = CertificateParams::new(vec![address.to_string()]).expect("an address is a name");
    let certificate = params.self_signed(&key).expect("the key signs");
    fs::write(folder.join("cert.pem"), certificate.pem()).expect("the folder is writable");
    fs::write(folder.join("key.pem"), key.serialize_pem()).expect("the folder is writable");
}

fn write_passwords(folder: &Path, users: impl Iterator<Item = (String, String)>) {
    let file = folder.join("passwords");
    let lines: String = users.map(|(user, password)| format!("{user}:{password}\n")).collect();
    fs::write(&file, lines).expect("the folder is writable");
    // -U replaces the passwords with their hashes.
    let status = Command::new("mosquitto_passwd").arg("-U").arg(&file).status();
    assert!(status.expect("mosquitto is installed; tests/run does that").success(), "mosquitto_passwd");
}

fn config(
    folder: &Path,
    address: IpAddr,
    (plain_port, tls_port): (u16, u16),
    anonymous: bool,
    setting: &str,
) -> String {
    let folder = folder.display();
    // With "user root", root stays root and can read the folder. Other users ignore it.
    format!(
        "user root\n\
         persistence false\n\
         allow_anonymous {anonymous}\n\
         password_file {folder}/passwords\n\
         sys_interval 1\n\
         log_dest stderr\n\
         connection_messages false\n\
         listener {plain_port} {address}\n\
         {setting}\n\
         listener {tls_port} {address}\n\
         {setting}\n\
         certfile {folder}/cert.pem\n\
         keyfile {folder}/key.pem\n"
    )
}

fn start(folder: &Path, config: &str) -> Child {
    let file = folder.join("mosquitto.conf");
    fs::write(&file, config).expect("the folder is writable");
    let mut command = Command::new(program());
    command.arg("-c").arg(&file);
    spawn(command)
}

/// Starts a command that runs the broker. Returns once the broker listens.
fn spawn(mut command: Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("mosquitto is installed; tests/run does that");
    let mut log = BufReader::new(child.stderr.take().expect("piped"));
    let mut log_text = String::new();
    // The listeners are open once the log says that it runs.
    while !log_text.lines().any(|line| line.ends_with("running")) {
        let length = log.read_line(&mut log_text).expect("its log is UTF-8");
        assert!(length > 0, "mosquitto did not start:\n{log_text}");
    }
    // A full pipe would block the broker.
    thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    child
}
