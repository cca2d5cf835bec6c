//! Panics while plans, configurations and workers contain secrets.

use super::{assert_clean, key, plain};
use hubstorm::emulator::control::{ControlCommand, ControlConfig, ControlDevice, SecretText};
use hubstorm::fleet;
use hubstorm::link::Endpoint;
use hubstorm::plan::Plan;
use hubstorm::policy::backoff::BackOff;
use hubstorm::scenario::Input;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Returns a plan with a marked secret of every kind that the target supports.
fn marked_plan(target: &str, fleets: &str) -> Plan {
    let text = format!("{target}\n{fleets}\n[[phase]]\nname = \"p\"\nduration = \"1h\"\n");
    let env = |name: &str| match name {
        "GROUP" => Some(key(1)),
        "POLICY" => Some(key(2)),
        "PASSWORD" => Some(plain(3)),
        _ => None,
    };
    let files = |path: &Path| match path.to_str() {
        Some("keys.txt") => Ok(format!("c1,{}\n", key(4)).into_bytes().into()),
        Some("users.csv") => Ok(format!("u1,{}\n", plain(5)).into_bytes().into()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    let input = Input { file: "marked.toml", text: &text, overrides: &[], env: &env, files: &files };
    hubstorm::plan::load(&input, &mut rand::rng()).unwrap_or_else(|errors| panic!("{errors}"))
}

const HUB: &str = "[target]\nkind = \"iot-hub\"\nhost = \"127.0.0.1\"";
const HUBS_FLEETS: &str = "[fleet.a]\ndevices = 2\nauth = { kind = \"sas\", group_key = \"${env.GROUP}\" }\n\
                           [fleet.b]\ndevices = 1\nauth = { kind = \"sas\", policy = \"device\", key = \"${env.POLICY}\" }\n\
                           [fleet.c]\ndevices = 1\nauth = { kind = \"sas\", file = \"keys.txt\" }";
const BROKER: &str = "[target]\nkind = \"mqtt\"\nhost = \"127.0.0.1\"";
const BROKERS_FLEETS: &str = "[fleet.d]\ndevices = 1\n\
                              auth = { kind = \"password\", username = \"u\", password = \"${env.PASSWORD}\" }\n\
                              [fleet.e]\ndevices = 1\nauth = { kind = \"password\", file = \"users.csv\" }";

/// Panics in a worker during a run, and then with everything that contains secrets in the panic message. Runs in its own process, whose
/// stderr the other test reads.
#[test]
#[ignore = "it panics; panic_messages_contain_no_secret runs it"]
fn panics_with_secrets_in_memory() {
    let mut plan = marked_plan(HUB, HUBS_FLEETS);
    for fleet in &mut plan.fleets {
        // No server listens, and the time of the next attempt overflows.
        fleet.reconnect = BackOff::Fixed { delay: Duration::MAX }.into();
    }
    let free = crate::support::address::listen(crate::support::address::own_address()).local_addr().unwrap();
    let endpoint = Endpoint { host: free.ip().to_string(), port: free.port(), ..Endpoint::default() };
    let settings = fleet::Settings {
        workers: 1,
        endpoints: Arc::new([endpoint]),
        trace: None,
        measured: false,
        observer: None,
        journal: None,
        wall: hubstorm::clock::WallClock::default(),
    };
    let (_commander, commands) = tokio::sync::mpsc::unbounded_channel();
    let (events, _listener) = tokio::sync::mpsc::unbounded_channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let finished = runtime.block_on(fleet::run(Arc::new(plan), settings, None, commands, events)).unwrap();
    eprintln!("the run: {:?}", finished.measurement);
    let group_keys = vec![SecretText::new(key(1).into())];
    let devices = vec![ControlDevice { id: "c1".to_owned(), key: SecretText::new(key(4).into()) }];
    let config = ControlConfig { group_keys, devices, ..ControlConfig::default() };
    let served = config.to_config().unwrap();
    let plans = [marked_plan(HUB, HUBS_FLEETS), marked_plan(BROKER, BROKERS_FLEETS)];
    panic!("no secrets: {:?}", (plans, ControlCommand::Config(config), served));
}

#[test]
fn panic_messages_contain_no_secret() {
    let this = std::env::current_exe().expect("it runs");
    let mut child = std::process::Command::new(this);
    child.args(["--exact", "secrets::panics::panics_with_secrets_in_memory", "--ignored", "--nocapture"]);
    let output = child.env("RUST_BACKTRACE", "full").output().expect("it can be started");
    let stderr = String::from_utf8_lossy(&output.stderr);
    for part in
        ["overflow when adding duration", "worker 0 of the load generator", "no secrets: (", "api_version"]
    {
        assert!(stderr.contains(part), "{part} is missing: {stderr}");
    }
    assert_clean("stdout", &output.stdout);
    assert_clean("stderr", &output.stderr);
}
