//! The emulator in the test process, at port 8883 of its own address, for clients with a fixed port.

use super::TEST_TIMEOUT;
use super::address::listen_at;
use hubstorm::clock::WallClock;
use hubstorm::emulator::telemetry::Telemetry;
use hubstorm::emulator::{Config, EmulatorError, Hub, Stats, ThrottleStats, certificate};
use hubstorm::iothub::emulator_options::{EmulatorOptions, TierOptions};
use hubstorm::iothub::sas::Key;
use hubstorm::iothub::service::{ServiceError, ServiceResponse};
use hubstorm::link::tls;
use hubstorm::policy::fault::FaultText;
use serde_json::Value;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use tempfile::TempDir;
use tokio::sync::oneshot;

/// Group key of all devices.
pub const GROUP_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// Port of MQTT over TLS, which SDKs use.
pub const PORT: u16 = 8883;
const TELEMETRY_KEPT: usize = 16;

/// A running hub.
pub struct LocalHub {
    hub: Arc<Hub>,
    address: IpAddr,
    folder: TempDir,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<Stats, EmulatorError>>,
}

impl LocalHub {
    pub fn start() -> LocalHub {
        LocalHub::start_by(WallClock::default())
    }

    /// Starts a hub with this wall clock.
    pub fn start_by(wall: WallClock) -> LocalHub {
        LocalHub::start_with(wall, EmulatorOptions::default())
    }

    /// Starts a hub with this tier.
    pub fn start_with_tier(tier: TierOptions) -> LocalHub {
        let options = EmulatorOptions { tier: Some(tier), ..EmulatorOptions::default() };
        LocalHub::start_with(WallClock::default(), options)
    }

    fn start_with(wall: WallClock, options: EmulatorOptions) -> LocalHub {
        let listener = listen_at(PORT);
        let address = listener.local_addr().expect("it is bound").ip();
        let mut config = Config {
            host_names: vec![address.to_string()],
            group_keys: vec![group_key()],
            shards: 1,
            telemetry_kept: TELEMETRY_KEPT,
            wall,
            options,
            ..Config::default()
        };
        let certificate = certificate::make(&config.host_names, hubstorm::clock::unix()).expect("names");
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("ca.pem"), certificate.ca_pem).expect("the folder is writable");
        let server = tls::server(certificate.chain, certificate.key).expect("it was just made");
        let second = certificate.second;
        config.second_tls = Some(tls::server(second.chain, second.key).expect("it was just made"));
        let hub = Hub::new(config);
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&hub);
        let serving = std::thread::spawn(move || {
            let runtime = tokio::runtime::LocalRuntime::new().expect("descriptors");
            runtime.block_on(serving.serve(listener, server, async { drop(stopped.await) }))
        });
        LocalHub { hub, address, folder, stop, serving }
    }

    /// Returns the address, which is also the host name.
    pub fn host(&self) -> IpAddr {
        self.address
    }

    /// Returns the path for `ca = ".."`.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Returns the connection string of a device, which contains its key.
    pub fn connection_string(&self, device: &str) -> String {
        let key = group_key().derive(device).to_base64();
        format!("HostName={};DeviceId={device};SharedAccessKey={}", self.address, key.as_str())
    }

    /// Returns the counts so far.
    pub fn stats(&self) -> Stats {
        self.hub.stats()
    }

    /// Returns the counts of the throttles and of the quota of a hub with a tier.
    pub fn throttle_stats(&self) -> ThrottleStats {
        self.hub.throttle_stats().expect("the hub has a tier")
    }

    /// Waits until the counts of a hub with a tier meet a condition.
    pub fn wait_for(&self, met: impl Fn(&Stats, &ThrottleStats) -> bool) {
        let end = hubstorm::clock::now() + TEST_TIMEOUT;
        while !met(&self.stats(), &self.throttle_stats()) {
            assert!(hubstorm::clock::now() < end, "{:?} {:?}", self.stats(), self.throttle_stats());
            std::thread::yield_now();
        }
    }

    /// Returns the latest telemetry since the last call.
    pub fn telemetry(&self) -> Vec<Telemetry> {
        self.hub.take_telemetry()
    }

    /// Waits for this number of telemetry messages, and returns them in the order in which the hub accepted them.
    pub fn telemetry_until(&self, count: usize) -> Vec<Telemetry> {
        let end = hubstorm::clock::now() + TEST_TIMEOUT;
        let mut messages = self.telemetry();
        while messages.len() < count {
            assert!(hubstorm::clock::now() < end, "{messages:?}");
            std::thread::yield_now();
            messages.extend(self.telemetry());
        }
        messages
    }

    /// Makes a service call for a device, in the syntax of `--control`, and waits for the result.
    pub fn ask(&self, device: &str, ask: Value) -> Result<ServiceResponse, ServiceError> {
        let ask = serde_json::from_value(ask).expect("something that can be asked");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.expect("descriptors").block_on(self.hub.call(device, ask))
    }

    /// Causes a fault, in the syntax of `--control`.
    pub fn fault(&self, fault: Value) {
        let fault: FaultText = serde_json::from_value(fault).expect("a fault");
        self.hub.add_fault(fault.to_fault().expect("a valid fault")).expect("there is room");
    }

    /// Returns how often the hub applied its faults, by fault.
    pub fn applied(&self) -> Vec<u64> {
        self.hub.fault_stats().iter().map(|fault| fault.applied).collect()
    }

    /// Stops the hub and returns its counts.
    pub fn stop(self) -> Stats {
        self.stop.send(()).expect("it serves");
        self.serving.join().expect("it does not panic").expect("it served to the end")
    }
}

fn group_key() -> Key {
    Key::from_base64(GROUP_KEY).expect("it is one")
}
