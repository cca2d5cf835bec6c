//! The servers: mosquitto and a hubstorm emulator, started fresh for each run, so that their counts are those of the run.

use super::sys::{self, Meter, Received};
use super::{Failure, process};
use hubstorm::emulator::control::{
    ControlCommand, ControlConfig, ControlPolicy, ControlReply, Ready, SecretText,
};
use hubstorm::iothub::sas::{self, Key};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;
use zeroize::Zeroizing;

/// A server's counts of a run, and its own cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    pub(crate) connects: u64,
    pub(crate) received: Received,
    pub(crate) cpu_us: u64,
}

/// A running server, which stops when this is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) ca: PathBuf,
    pub(crate) folder: tempfile::TempDir,
    /// The password for the emulator. mosquitto accepts any client.
    pub(crate) token: String,
    process: Process,
    counts: Counts,
}

/// The source of a server's counts.
enum Counts {
    /// mosquitto logs each CONNECT, and publishes its number of messages on its plain listener.
    Mosquitto {
        log: PathBuf,
        meter: Meter,
    },
    Emulator(Control),
}

/// The emulator's control lines: requests on stdin, answers on stdout.
struct Control {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

/// A process that is stopped when this is dropped.
struct Process(Child);

/// The host name by which devices address the emulator.
pub(crate) const HUB: &str = "127.0.0.1";
const POLICY: &str = "device";

impl Server {
    /// Starts mosquitto with TLS 1.3, a P-256 certificate, anonymous clients, and without persistence. It has an
    /// address of this process's own, so that the ports can be fixed.
    pub(crate) fn mosquitto() -> Result<Server, Failure> {
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let ip = Ipv4Addr::new(127, 91, high, low);
        let (address, plain) = (SocketAddr::from((ip, 8883)), SocketAddr::from((ip, 1883)));
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);

        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = CertificateParams::new(vec![address.ip().to_string()])?.self_signed(&key)?;
        std::fs::write(path("certificate.pem"), certificate.pem())?;
        std::fs::write(path("key.pem"), key.serialize_pem())?;
        let settings = format!(
            "user root\npersistence false\nallow_anonymous true\nsys_interval 1\n\
             log_dest file {}\nlog_type error\nlog_type notice\n\
             listener {} {ip}\nlistener {} {ip}\ntls_version tlsv1.3\ncertfile {}\nkeyfile {}\n",
            path("mosquitto.log").display(),
            plain.port(),
            address.port(),
            path("certificate.pem").display(),
            path("key.pem").display(),
        );
        std::fs::write(path("mosquitto.conf"), settings)?;
        let process = Command::new("mosquitto")
            .arg("-c")
            .arg(path("mosquitto.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start mosquitto ({error}): apt-get install mosquitto"))?;
        let mut process = Process(process);
        process.wait_until_listening(address)?;
        let counts = Counts::Mosquitto { log: path("mosquitto.log"), meter: Meter::start(plain)? };
        let ca = path("certificate.pem");
        Ok(Server { address, ca, folder, token: String::new(), process, counts })
    }

    /// Starts the built-in hub as a run does, with a policy for whose key one token is valid for every device.
    pub(crate) fn emulator() -> Result<Server, Failure> {
        let folder = tempfile::tempdir()?;
        let key = Key::random(&mut rand::rng());
        let expiry = hubstorm::clock::unix().as_secs() + 24 * 3600;
        let token = sas::token(&key, HUB, expiry, Some(POLICY)).to_string();
        let policy = ControlPolicy { name: POLICY.to_owned(), key: SecretText::new(key.to_base64()) };
        let config = ControlConfig { policies: vec![policy], ..ControlConfig::default() };
        let mut process = Command::new(env!("CARGO_BIN_EXE_hubstorm"))
            .args(["emulator", "--control"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (stdin, stdout) = process.stdin.take().zip(process.stdout.take()).ok_or("no pipes")?;
        let mut control = Control { stdin, stdout: BufReader::new(stdout) };
        let ready: Ready = serde_json::from_str(&control.ask(&ControlCommand::Config(config))?)?;
        let (address, ca) = (ready.mqtt.parse()?, folder.path().join("ca.pem"));
        std::fs::write(&ca, ready.ca_pem.ok_or("the emulator did not return a CA certificate")?)?;
        let counts = Counts::Emulator(control);
        Ok(Server { address, ca, folder, token, process: Process(process), counts })
    }

    /// Returns the path of the file for the client's output.
    pub(crate) fn client_log(&self) -> PathBuf {
        self.folder.path().join("client.log")
    }

    /// Returns the counts after a run.
    pub(crate) fn counted(self) -> Result<Counted, Failure> {
        let cpu_us = process::cpu_us(self.process.0.id())?;
        let (connects, received) = match self.counts {
            Counts::Mosquitto { log, meter } => {
                let own = format!(" as {} ", sys::CLIENT_ID);
                let log = std::fs::read_to_string(log)?;
                let connects = log.lines().filter(|line| line.contains(": New client connected from "));
                (connects.filter(|line| !line.contains(&own)).count() as u64, meter.stop()?)
            }
            Counts::Emulator(mut control) => {
                let ControlReply::Stats { counted, .. } =
                    serde_json::from_str(&control.ask(&ControlCommand::Stats)?)?
                else {
                    return Err("the emulator did not answer with its counters".into());
                };
                (counted.accepted, Received { messages: counted.telemetry, per_s: None })
            }
        };
        Ok(Counted { connects, received, cpu_us })
    }
}

impl Control {
    fn ask(&mut self, question: &ControlCommand) -> Result<Zeroizing<String>, Failure> {
        serde_json::to_writer(&mut self.stdin, question)?;
        self.stdin.write_all(b"\n")?;
        let mut answer = Zeroizing::new(String::new());
        self.stdout.read_line(&mut answer)?;
        Ok(answer)
    }
}

impl Process {
    fn wait_until_listening(&mut self, address: SocketAddr) -> Result<(), Failure> {
        for _ in 0..500 {
            if let Some(status) = self.0.try_wait()? {
                return Err(format!("mosquitto ended: {status}").into());
            }
            if TcpStream::connect(address).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err("mosquitto does not listen".into())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
