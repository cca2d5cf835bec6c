//! A broker in a child process, with a folder for its data. It listens on a port of its choice, and can be killed and restarted at the same
//! address. Used by `aedes` and `nats`.

use super::TEST_TIMEOUT;
use super::address::own_address;
use hubstorm::emulator::certificate;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const CERTIFICATE_VALID: Duration = Duration::from_secs(86_400);

/// Where and how a broker listens.
pub struct Place<'a> {
    /// Port 0 lets the broker choose.
    pub address: SocketAddr,
    /// Folder for data, with `cert.pem` and `key.pem` for TLS.
    pub folder: &'a Path,
    pub tls: bool,
}

impl Place<'_> {
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("cert.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.folder.join("key.pem")
    }
}

/// Starts a broker's process and returns it with its port, once it listens.
pub type Launch = fn(&Place<'_>) -> (Child, u16);

pub struct LocalBroker {
    child: Child,
    launch: Launch,
    address: SocketAddr,
    folder: TempDir,
    tls: bool,
}

impl LocalBroker {
    pub fn start(launch: Launch, tls: bool) -> LocalBroker {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = own_address();
        write_certificate(folder.path(), address);
        let address = SocketAddr::new(address, 0);
        let (child, port) = launch(&Place { address, folder: folder.path(), tls });
        LocalBroker { child, launch, address: SocketAddr::new(address.ip(), port), folder, tls }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the path for `ca = ".."`, if the broker uses TLS.
    pub fn ca(&self) -> Option<PathBuf> {
        self.tls.then(|| self.folder.path().join("ca.pem"))
    }

    /// Kills the broker (`kill -9`) once it has unread data from this number of connections. Suspends it first (SIGSTOP), so that it answers
    /// none of the data.
    pub fn kill_with_unread(&mut self, connections: usize) {
        kill_with_unread(&mut self.child, self.address, connections);
    }

    /// Terminates the broker (`kill`), and waits for its end.
    pub fn terminate(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id fits"));
        kill(pid, Signal::SIGTERM).expect("the child is not yet reaped");
        self.child.wait().expect("it is a child process");
    }

    /// Returns the folder with the broker's data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Restarts the broker at the same address with its data.
    pub fn restart(&mut self) {
        let place = Place { address: self.address, folder: self.folder.path(), tls: self.tls };
        let (child, port) = (self.launch)(&place);
        self.child = child;
        assert_eq!(port, self.address.port());
    }
}

impl Drop for LocalBroker {
    fn drop(&mut self) {
        // It may have ended already, which fails the test elsewhere.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// See [`LocalBroker::kill_with_unread`].
pub fn kill_with_unread(child: &mut Child, address: SocketAddr, connections: usize) {
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id fits"));
    let signal = |signal| kill(pid, signal).expect("the child is not yet reaped");
    signal(Signal::SIGSTOP);
    let began = now();
    while unread(address) < connections {
        assert!(now() - began < TEST_TIMEOUT, "only {} clients send", unread(address));
        thread::yield_now();
    }
    signal(Signal::SIGKILL);
    child.wait().expect("it is a child process");
}

fn write_certificate(folder: &Path, address: IpAddr) {
    let names = [address.to_string()];
    let certificate =
        certificate::files(&names, hubstorm::clock::unix(), CERTIFICATE_VALID).expect("an address is a name");
    let parts =
        [("ca.pem", &certificate.ca), ("cert.pem", &certificate.server), ("key.pem", &certificate.key)];
    for (name, text) in parts {
        fs::write(folder.join(name), text.as_str()).expect("the folder is writable");
    }
}

/// Returns the number of connections at a local address with unread received bytes (`man 5 proc`, /proc/net/tcp).
fn unread(address: SocketAddr) -> usize {
    let IpAddr::V4(ip) = address.ip() else { panic!("loopback here is IPv4") };
    // The kernel prints the address as a number in its own byte order.
    let local = format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port());
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux has it");
    let has_unread = |line: &&str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [_, own, _, state, queues, ..] = &fields[..] else { return false };
        // 01 means established. The queues are the bytes to be sent and the bytes to be read.
        *own == local && *state == "01" && !queues.ends_with(":00000000")
    };
    table.lines().filter(has_unread).count()
}

#[expect(clippy::disallowed_methods, reason = "a test's timeout is real time")]
fn now() -> Instant {
    Instant::now()
}
