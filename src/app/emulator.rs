//! `hubstorm emulator`: runs the emulator until a signal arrives or, with `--control`, until stdin ends. The command line or the first
//! control line configures it. The first line on stdout is a JSON object that says how to connect. The emulator itself is in
//! `crate::emulator`.

mod control_lines;
mod error;
mod health;
mod options;
mod ready_file;
mod stats;

use super::ca_file::CaFile;
use super::{AppError, Env, environment_error, notice_printer, read_scenario, secret, tell};
use crate::cli::EmulatorArgs;
use crate::clock;
use crate::emulator::certificate::RsaCertificate;
use crate::emulator::control::{ControlCommand, ControlConfig, ControlError, Ready, SecretText};
use crate::emulator::{Config, Hub, RunningHub, certificate};
use crate::fleet::raise_descriptor_limit;
use crate::iothub::emulator_options::EmulatorOptions;
use crate::iothub::sas::Key;
use crate::link::{listen, tls};
use crate::plan::DeviceList;
use crate::scenario::typed_duration;
use control_lines::{control, parse, print, stdin_lines};
use error::EmulatorCommandError;
use health::{Health, State};
use options::Options;
use ready_file::ReadyFile;
use stats::StatsLines;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use tokio::sync::{oneshot, watch};
use zeroize::Zeroizing;

/// The device id in the sample connection string. The group key admits all other ids as well.
const SAMPLE_DEVICE: &str = "sample-device";

/// Runs the emulator until a signal arrives or, with `--control`, stdin ends.
pub(super) async fn run(args: &EmulatorArgs, env: &mut Env) -> Result<(), AppError> {
    if let Some(address) = args.health_check {
        return health::check(address).await;
    }
    args.host.iter().try_for_each(|host| read_scenario::host("--host", host))?;
    let options = Options::read(args)?;
    for note in options.devices.iter().flat_map(DeviceList::notes) {
        tell(env, &format!("note: {note}\n"));
    }
    raise_descriptor_limit()
        .map_err(|error| environment_error("cannot raise the limit on open files", &error))?;
    let served = match args.control {
        true => serve_controlled(&mut env.out).await,
        false => serve(args, &options, &mut env.out, env.interrupts.clone()).await,
    };
    served.map_err(|error| match error {
        EmulatorCommandError::Usage(_) => AppError::Usage(error.to_string()),
        EmulatorCommandError::Secret(error) => error.into(),
        error => AppError::Environment(error.to_string()),
    })
}

/// A hub that listens.
struct Listening {
    hub: Arc<Hub>,
    running: RunningHub,
    listener: TcpListener,
    certificate: ServedCertificate,
    ready: Ready,
}

/// The parts of a certificate that are still needed when the hub listens.
struct ServedCertificate {
    ca_pem: String,
    rsa: Arc<certificate::RsaCertificate>,
}

impl Listening {
    /// Starts to listen on `address`. Devices connect to `host`.
    async fn start(
        address: SocketAddr,
        host: String,
        mut config: Config,
    ) -> Result<Listening, EmulatorCommandError> {
        let listener = listen::bind(address)?;
        let certificate = certificate::make(&config.host_names, clock::unix())?;
        let resumption = config.options.tls_resumption;
        let tls = tls_config((certificate.chain, certificate.key), &certificate.rsa, resumption)?;
        let second = certificate.second;
        config.second_tls = Some(tls_config((second.chain, second.key), &second.rsa, resumption)?);
        let address = listener.local_addr()?;
        let ready = Ready {
            mqtt: address.to_string(),
            port: address.port(),
            ca_file: None,
            ca_pem: None,
            sample_connection_string: sample_connection_string(&host, &config),
            host,
            health: None,
            pid: std::process::id(),
        };
        let hub = Hub::new(config);
        let running = hub.start(&tls).await?;
        let certificate = ServedCertificate { ca_pem: certificate.ca_pem, rsa: certificate.rsa };
        Ok(Listening { hub, running, listener, certificate, ready })
    }
}

/// Returns the TLS configuration for a certificate and its RSA counterpart.
fn tls_config(
    certificate: (Vec<Vec<u8>>, Vec<u8>),
    rsa: &Arc<RsaCertificate>,
    resumption: bool,
) -> Result<Arc<rustls::ServerConfig>, EmulatorCommandError> {
    let rsa = Arc::clone(rsa);
    Ok(tls::server_with_rsa(certificate, Box::new(move || rsa.get()), resumption)?)
}

/// Serves with `--control`, as the built-in hub of a run, until stdin ends. Ignores Ctrl-C, because the hub must keep serving until the run
/// has drained. Prints the ready line and the answers to `out`.
///
/// # Errors
/// For example, the address is in use or a key is invalid. See [`EmulatorCommandError`].
async fn serve_controlled(out: &mut dyn Write) -> Result<(), EmulatorCommandError> {
    let mut lines = stdin_lines()?;
    let Some(line) = lines.recv().await else { return Ok(()) };
    let ControlCommand::Config(config) = parse(&line)? else {
        return Err(EmulatorCommandError::Control("the first command must be config".to_owned()));
    };
    let most = if config.in_run { notice_printer::IN_RUN } else { notice_printer::CONTROLLED };
    let host = public_host(&config);
    let Listening { hub, running, listener, certificate, mut ready } =
        Listening::start(config.listen(), host, config.to_config()?).await?;
    ready.ca_pem = Some(certificate.ca_pem);
    print(out, &ready)?;
    let notices = notice_printer::print_from(hub.notices(), io::stderr(), most)?;
    let (ended, end) = oneshot::channel::<()>();
    let serving = running.serve(listener, async { drop(end.await) });
    // A `LocalSet`, because each service call waits in a task of its own.
    let controlled = control(&hub, lines, ended, serving, out);
    let served = tokio::task::LocalSet::new().run_until(controlled).await;
    drop(hub);
    notices.finish();
    served
}

/// Serves until a signal arrives, and then until acknowledgments are sent. Prints the ready line to `out`.
///
/// # Errors
/// For example, the address is in use, the key is invalid, or a file cannot be written. See [`EmulatorCommandError`].
async fn serve(
    args: &EmulatorArgs,
    options: &Options,
    out: &mut dyn Write,
    interrupts: watch::Receiver<u8>,
) -> Result<(), EmulatorCommandError> {
    let mut ready_file = args.ready_file.as_deref().map(ReadyFile::reserve).transpose()?;
    let health = args.health_listen.map(Health::start).transpose()?;
    let config = control_config(args)?;
    let host = public_host(&config);
    let mut hub_config = config.to_config().map_err(|error| match error {
        ControlError::Key(_) => error.into(),
        error => EmulatorCommandError::Usage(error.to_string()),
    })?;
    if let Some(devices) = &options.devices {
        hub_config.device_keys.extend(keys(devices));
    }
    let Listening { hub, running, listener, certificate, mut ready } =
        Listening::start(config.listen(), host, hub_config).await?;
    let ca_file = ca_file(args, &certificate.ca_pem)?;
    ready.ca_file = Some(ca_file.path().display().to_string());
    ready.health = health.as_ref().map(|health| health.address().to_string());
    set_state(health.as_ref(), State::Ready);
    if let Some(file) = &mut ready_file {
        file.write(&ready)?;
    }
    print(out, &ready)?;
    let notices = notice_printer::print_from(hub.notices(), io::stderr(), notice_printer::ALONE)?;
    let stats = options.stats.map(|interval| StatsLines::start(&hub, interval, io::stderr()));
    let stats = stats.transpose()?;
    // Make the RSA certificate now, so that the first device that needs it does not wait. The built-in hub of a run makes it only on
    // demand: the devices of a run do not need it, and the CPU time would count as the hub's.
    let rsa = certificate.rsa;
    let rsa = std::thread::Builder::new().name("rsa".to_owned()).spawn(move || rsa.get())?;
    let stop = async {
        interrupted(interrupts.clone(), 1).await;
        set_state(health.as_ref(), State::Stopping);
        drop(ready_file);
    };
    let limit = async {
        tokio::select! {
            () = tokio::time::sleep(options.drain) => {}
            () = interrupted(interrupts.clone(), 2) => {}
        }
    };
    let served = running.serve_and_drain(listener, stop, limit).await;
    let totals = stats::totals(&hub);
    drop(hub);
    notices.finish();
    if let Some(stats) = stats {
        stats.finish(totals);
    }
    // Wait for the thread: aws-lc clears its random number generators at exit, and a process that exits during key generation may
    // abort.
    if let Err(panic) = rsa.join() {
        std::panic::resume_unwind(panic);
    }
    Ok(served.map(drop)?)
}

/// Resolves when the user has pressed Ctrl-C, or sent a signal that counts as one, `count` times.
async fn interrupted(mut interrupts: watch::Receiver<u8>, count: u8) {
    if interrupts.wait_for(|pressed| *pressed >= count).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn set_state(health: Option<&Health>, state: State) {
    if let Some(health) = health {
        health.set(state);
    }
}

fn keys(devices: &DeviceList) -> impl Iterator<Item = (Box<str>, Key)> {
    let count = u32::try_from(devices.len()).unwrap_or(u32::MAX);
    (0..count).map(|index| (devices.id(index).into(), Key::from_bytes(devices.secret(index))))
}

/// Returns the configuration from the command line.
fn control_config(args: &EmulatorArgs) -> Result<ControlConfig, EmulatorCommandError> {
    let grace = typed_duration(&args.expiry_grace)
        .map_err(|error| EmulatorCommandError::Usage(format!("--expiry-grace: {error}")))?;
    let options = EmulatorOptions {
        expiry_grace: grace,
        lenient_properties: args.lenient_properties,
        tls_resumption: args.tls_resumption,
        ..EmulatorOptions::default()
    };
    let mut config = ControlConfig {
        host: args.listen.ip(),
        port: args.listen.port(),
        hosts: args.host.clone(),
        shards: args.shards.map(usize::from).unwrap_or_default(),
        tier: args.tier.clone(),
        units: args.units,
        quota_used: args.quota_used,
        only_devices: args.devices.is_some(),
        ..ControlConfig::from(options)
    };
    if let Some(reference) = &args.group_key {
        config.group_keys.push(SecretText::new(secret::read(reference, "the group key")?));
    }
    Ok(config)
}

/// Returns the host for the ready line: the first additional host name; otherwise the listen address, or `localhost` if the listen
/// address is 127.0.0.1 or unspecified.
fn public_host(config: &ControlConfig) -> String {
    let ip = config.listen().ip();
    match config.hosts.first() {
        Some(host) => host.clone(),
        None if ip == Ipv4Addr::LOCALHOST || ip.is_unspecified() => "localhost".to_owned(),
        None => ip.to_string(),
    }
}

/// Writes the CA file.
fn ca_file(args: &EmulatorArgs, ca_pem: &str) -> Result<CaFile, EmulatorCommandError> {
    let file = match &args.ca_out {
        Some(path) => CaFile::at(path, ca_pem),
        None => CaFile::temporary(&std::env::temp_dir(), ca_pem),
    };
    file.map_err(|(path, source)| EmulatorCommandError::CaFile { path, source })
}

/// Returns the connection string of a device that the group key admits. `None` without a group key: the keys of a file are the user's, and
/// are not printed.
fn sample_connection_string(host: &str, config: &Config) -> Option<SecretText> {
    let key = config.group_keys.first()?.derive(SAMPLE_DEVICE).to_base64();
    Some(SecretText::new(Zeroizing::new(format!(
        "HostName={host};DeviceId={SAMPLE_DEVICE};SharedAccessKey={}",
        key.as_str()
    ))))
}

#[cfg(test)]
mod tests;
