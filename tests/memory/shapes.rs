//! The load shapes of `tests/memory.rs`: scenarios that differ in what dominates their memory.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A scenario without a target, and its number of workers.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) workers: u16,
    /// Against mosquitto over plain TCP, instead of the built-in hub.
    plain: bool,
    fleets: String,
    phases: String,
}

impl Shape {
    fn new(name: &'static str, fleets: &str, phases: &str) -> Shape {
        Shape { name, workers: 1, plain: false, fleets: fleets.to_owned(), phases: phases.to_owned() }
    }

    fn plain(self) -> Shape {
        Shape { plain: true, ..self }
    }

    fn workers(self, workers: u16) -> Shape {
        Shape { workers, ..self }
    }

    pub(crate) fn scenario(&self, target: Option<&Mosquitto>) -> String {
        let target = target.map(Mosquitto::target).unwrap_or_default();
        ["seed = 1\ndrain = \"5s\"\n", &target, &self.fleets, "\n", &self.phases].concat()
    }

    pub(crate) fn broker(&self) -> Option<Mosquitto> {
        self.plain.then(Mosquitto::start)
    }
}

/// A broker over plain TCP that accepts every client.
pub(crate) struct Mosquitto {
    child: Child,
    address: Ipv4Addr,
    _folder: TempDir,
}

const PORT: u16 = 18_830;

/// A loopback address for this process alone, so that a fixed port is free.
fn own_address() -> Ipv4Addr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 + high % 64, middle, low)
}

impl Mosquitto {
    fn start() -> Mosquitto {
        let (address, folder) = (own_address(), tempfile::tempdir().expect("a temporary folder"));
        let file = folder.path().join("mosquitto.conf");
        let config = format!("listener {PORT} {address}\nallow_anonymous true\nmax_queued_messages 0\n");
        std::fs::write(&file, config).expect("a writable folder");
        let mut command = Command::new("/usr/sbin/mosquitto");
        command.arg("-c").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("mosquitto is installed; tests/run does that");
        let mut log = BufReader::new(child.stderr.take().expect("stdio is piped"));
        let mut text = String::new();
        while !text.lines().any(|line| line.ends_with("running")) {
            let length = log.read_line(&mut text).expect("the log is UTF-8");
            assert!(length > 0, "mosquitto did not start:\n{text}");
        }
        // A full pipe would block mosquitto.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Mosquitto { child, address, _folder: folder }
    }

    fn target(&self) -> String {
        format!("[target]\nkind = \"mqtt\"\nhost = \"{}\"\nport = {PORT}\ntls = false\n", self.address)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const RESUMPTION: &str = "[emulator]\ntls = { resumption = \"on\" }\n";

fn meters(devices: u32, rest: &str) -> String {
    format!("[fleet.meter]\ndevices = {devices}\n{rest}\n")
}

fn sends(every: &str, rest: &str) -> String {
    let payload = if rest.contains("payload") { "" } else { "payload = '{\"seq\":${seq}}'\n" };
    format!("[[fleet.meter.send]]\nevery = \"{every}\"\n{payload}{rest}\n")
}

fn phases(ramp: &str, steady: &str) -> String {
    format!(
        "[[phase]]\nname = \"ramp\"\nduration = \"{ramp}\"\nonline = \"0% -> 100%\"\n\
         [[phase]]\nname = \"steady\"\nduration = \"{steady}\"\n"
    )
}

/// Telemetry, twins, methods, cloud-to-device messages and token renewals: 11 operations in the series.
fn everything(devices: u32, ttl: &str) -> String {
    let per_s = |share: f64| format!("{}/s", (f64::from(devices) * share).max(1.0));
    let fleet = format!(
        "auth = {{ kind = \"sas\", ttl = \"{ttl}\", renew = \"80%\" }}\nkeep_alive = \"30s\"\n\
         subscribe = [\"methods\", \"c2d\", \"twin\"]\ntwin = {{ get = \"on-connect\" }}\n\
         [fleet.meter.methods.reboot]\nstatus = 200\npayload = '{{\"ok\":true}}'"
    );
    let report = "[[fleet.meter.report]]\nevery = \"30s\"\npayload = '{\"n\":${seq}}'\n";
    let call = |call: &str, share, rest: &str| {
        format!(
            "[[drive]]\ncall = \"{call}\"\nfleet = \"meter\"\nrate = \"{}\"\npayload = '{{}}'\n{rest}",
            per_s(share)
        )
    };
    [
        meters(devices, &fleet),
        sends("3s", "arrival = \"poisson\""),
        report.to_owned(),
        call("method", 0.01, "name = \"reboot\"\n"),
        call("desired", 0.01, ""),
        call("c2d", 0.01, ""),
    ]
    .concat()
}

/// Returns this number of fleets and of phases.
fn many(fleets: u32, devices: u32, count: u32, each: &str) -> (String, String) {
    let (mut text, mut phases) = (String::new(), String::new());
    for fleet in 0..fleets {
        let _ = write!(
            text,
            "[fleet.f{fleet}]\ndevices = {devices}\nid = \"f{fleet}-{{index}}\"\n[[fleet.f{fleet}.send]]\nevery = \"1s\"\n\
             payload = 'x'\n"
        );
    }
    for phase in 0..count {
        let _ = write!(phases, "[[phase]]\nname = \"p{phase}\"\nduration = \"{each}\"\n");
    }
    (text, phases)
}

/// The shape of the soak test.
pub(crate) fn soak(duration: &str) -> Shape {
    Shape::new(
        "1,500 devices, 11 operations, short tokens",
        &everything(1_500, "2m"),
        &phases("20s", duration),
    )
}

/// Shapes that take seconds.
pub(crate) fn quick() -> Vec<Shape> {
    let (fleets, times) = many(10, 3, 12, "1s");
    let large = sends("1s", "qos = 1\npayload = { size = 200000 }");
    vec![
        Shape::new("1 device", &[meters(1, ""), sends("1s", "")].concat(), &phases("1s", "2s")),
        Shape::new("100 devices, 11 operations", &everything(100, "5s"), &phases("1s", "8s")),
        Shape::new("10 fleets, 12 phases", &fleets, &times),
        Shape::new("4 workers", &[meters(200, ""), sends("2s", "")].concat(), &phases("1s", "4s")).workers(4),
        Shape::new("messages of 200 kB", &[meters(20, ""), large].concat(), &phases("1s", "4s")),
    ]
}

/// All shapes.
pub(crate) fn all() -> Vec<Shape> {
    let (fleets, times) = many(10, 100, 12, "5s");
    let large = sends("5s", "qos = 1\npayload = { size = 200000 }");
    let fan = "[fleet.meter]\ndevices = 200\n[[fleet.meter.send]]\nevery = \"1s\"\nqos = 1\ntopic = \"news/${device}\"\n\
               payload = '${stamp}'\n[fleet.screen]\ndevices = 20\nsubscribe = [\"news/#\"]\n";
    let plain = "qos = 1\ntopic = \"meters/${device}\"\npayload = '${seq}'";
    let mut shapes = quick();
    shapes.extend([
        Shape::new(
            "1,500 devices, 11 operations, short tokens",
            &everything(1_500, "2m"),
            &phases("20s", "2m"),
        ),
        Shape::new("10 fleets of 100 devices, 12 phases", &fleets, &times),
        Shape::new("4,000 devices, TLS, idle", &meters(4_000, ""), &phases("40s", "10s")),
        Shape::new(
            "4,000 devices, TLS resumption, idle",
            &[meters(4_000, "").as_str(), RESUMPTION].concat(),
            &phases("40s", "10s"),
        ),
        Shape::new(
            "10,000 devices, plain",
            &[meters(10_000, ""), sends("10s", plain)].concat(),
            &phases("20s", "20s"),
        )
        .plain(),
        Shape::new(
            "300 devices, messages of 200 kB",
            &[meters(300, ""), large].concat(),
            &phases("10s", "20s"),
        ),
        Shape::new("8 workers, 11 operations", &everything(1_000, "1m"), &phases("10s", "60s")).workers(8),
        Shape::new(
            "500 devices, 1,000 messages/s",
            &[meters(500, ""), sends("500ms", "")].concat(),
            &phases("5s", "30s"),
        ),
        Shape::new("200 publishers, 20 subscribers", fan, &phases("5s", "30s")).plain(),
        Shape::new(
            "100 devices for 12 minutes",
            &[meters(100, ""), sends("2s", "")].concat(),
            &phases("10s", "12m"),
        ),
    ]);
    shapes
}
