//! `hubstorm emulator`: runs the emulator until a signal arrives or, with `--control`, until stdin ends. The command line or the first
//! control line configures it. The first line on stdout is a JSON object that says how to connect. The emulator itself is in
//! `crate::emulator`.

mod control_lines;
mod error;

use super::ca_file::CaFile;
use super::{AppError, Env, environment_error, notice_printer, read_scenario, secret};
use crate::cli::EmulatorArgs;
use crate::clock;
use crate::emulator::certificate::RsaCertificate;
use crate::emulator::control::{ControlCommand, ControlConfig, ControlError, Ready, SecretText};
use crate::emulator::{Config, Hub, certificate};
use crate::fleet::raise_descriptor_limit;
use crate::iothub::emulator_options::EmulatorOptions;
use crate::iothub::sas::Key;
use crate::link::{listen, tls};
use crate::scenario::typed_duration;
use control_lines::{control, parse, print, stdin_lines};
use error::EmulatorCommandError;
use std::future::Future;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// The device id in the sample connection string. The group key admits all other ids as well.
const SAMPLE_DEVICE: &str = "sample-device";

/// Runs the emulator until a signal arrives or, with `--control`, stdin ends.
pub(super) async fn run(args: &EmulatorArgs, env: &mut Env) -> Result<(), AppError> {
    args.host.iter().try_for_each(|host| read_scenario::host("--host", host))?;
    raise_descriptor_limit()
        .map_err(|error| environment_error("cannot raise the limit on open files", &error))?;
    let mut interrupts = env.interrupts.clone();
    let stop = async {
        // The built-in hub of a run ignores Ctrl-C: it must keep serving until the run has drained and closes the hub's stdin.
        if args.control || interrupts.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    serve(args, &mut env.out, stop).await.map_err(|error| match error {
        EmulatorCommandError::Usage(_) => AppError::Usage(error.to_string()),
        EmulatorCommandError::Secret(error) => error.into(),
        error => AppError::Environment(error.to_string()),
    })
}

/// Serves until `stop` resolves or, with `control`, stdin ends. Prints the ready line and, with `control`, the answers to `out`.
///
/// # Errors
/// For example, the address is in use, the key is invalid, or a file cannot be written. See [`EmulatorCommandError`].
async fn serve(
    args: &EmulatorArgs,
    out: &mut dyn Write,
    stop: impl Future<Output = ()>,
) -> Result<(), EmulatorCommandError> {
    let (lines, config) = if args.control {
        let mut lines = stdin_lines()?;
        match lines.recv().await {
            None => return Ok(()),
            Some(line) => match parse(&line)? {
                ControlCommand::Config(config) => (Some(lines), config),
                _ => {
                    return Err(EmulatorCommandError::Control("the first command must be config".to_owned()));
                }
            },
        }
    } else {
        (None, control_config(args)?)
    };
    let most = notices_max(args, &config);
    let (listen, host) = (config.listen(), public_host(&config));
    let mut config = config.to_config().map_err(|error| config_error(args, error))?;
    let listener = listen::bind(listen)?;
    let certificate = certificate::make(&config.host_names, clock::unix())?;
    let tls = tls_config((certificate.chain, certificate.key), &certificate.rsa)?;
    let second = certificate.second;
    config.second_tls = Some(tls_config((second.chain, second.key), &second.rsa)?);
    let ca_file = ca_file(args, &certificate.ca_pem)?;
    let ready = Ready {
        mqtt: listener.local_addr()?.to_string(),
        ca_file: ca_file.as_ref().map(|file| file.path().display().to_string()),
        ca_pem: args.control.then_some(certificate.ca_pem),
        sample_connection_string: sample_connection_string(&host, &config),
        host,
    };
    let hub = Hub::new(config);
    let started = hub.start(&tls).await?;
    // Make the RSA certificate now, so that the first device that needs it does not wait. The built-in hub of a run makes it only on
    // demand: the devices of a run do not need it, and the CPU time would count as the hub's.
    let rsa = certificate.rsa;
    let make_rsa = || std::thread::Builder::new().name("rsa".to_owned()).spawn(move || rsa.get());
    let rsa_thread = (!args.control).then(make_rsa).transpose()?;
    print(out, &ready)?;

    let notices = notice_printer::print_from(hub.notices(), io::stderr(), most)?;
    let (ended, end) = oneshot::channel::<()>();
    let stop = async {
        tokio::select! {
            () = stop => {}
            _ = end => {}
        }
    };
    let serving = started.serve(listener, stop);
    let served = match lines {
        None => serving.await.map(drop).map_err(EmulatorCommandError::from),
        Some(lines) => {
            // A `LocalSet`, because each service call waits in a task of its own.
            let controlled = control(&hub, lines, ended, serving, out);
            tokio::task::LocalSet::new().run_until(controlled).await
        }
    };
    drop(hub);
    notices.finish();
    // Wait for the thread: aws-lc clears its random number generators at exit, and a process that exits during key generation may
    // abort.
    if let Some(Err(panic)) = rsa_thread.map(std::thread::JoinHandle::join) {
        std::panic::resume_unwind(panic);
    }
    served
}

/// Returns the TLS configuration for a certificate and its RSA counterpart.
fn tls_config(
    certificate: (Vec<Vec<u8>>, Vec<u8>),
    rsa: &Arc<RsaCertificate>,
) -> Result<Arc<rustls::ServerConfig>, EmulatorCommandError> {
    let rsa = Arc::clone(rsa);
    Ok(tls::server_with_rsa(certificate, Box::new(move || rsa.get()))?)
}

/// Returns how many notices the emulator prints.
fn notices_max(args: &EmulatorArgs, config: &ControlConfig) -> notice_printer::Most {
    match (config.in_run, args.control) {
        (true, _) => notice_printer::IN_RUN,
        (false, true) => notice_printer::CONTROLLED,
        (false, false) => notice_printer::ALONE,
    }
}

/// Names the options of the command line, where keys of the configuration have the same names.
fn config_error(args: &EmulatorArgs, error: ControlError) -> EmulatorCommandError {
    if args.control { error.into() } else { EmulatorCommandError::Usage(error.to_string()) }
}

/// Returns the configuration from the command line.
fn control_config(args: &EmulatorArgs) -> Result<ControlConfig, EmulatorCommandError> {
    let grace = typed_duration(&args.expiry_grace)
        .map_err(|error| EmulatorCommandError::Usage(format!("--expiry-grace: {error}")))?;
    let options = EmulatorOptions {
        expiry_grace: grace,
        lenient_properties: args.lenient_properties,
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

/// Writes the CA file. With `--control` no file is needed: the ready line contains the certificate.
fn ca_file(args: &EmulatorArgs, ca_pem: &str) -> Result<Option<CaFile>, EmulatorCommandError> {
    let file = match &args.ca_out {
        _ if args.control => return Ok(None),
        Some(path) => CaFile::at(path, ca_pem),
        None => CaFile::temporary(&std::env::temp_dir(), ca_pem),
    };
    file.map(Some).map_err(|(path, source)| EmulatorCommandError::CaFile { path, source })
}

fn sample_connection_string(host: &str, config: &Config) -> SecretText {
    let key = config.group_keys.first().map(|group: &Key| group.derive(SAMPLE_DEVICE).to_base64());
    let key = key.unwrap_or_default();
    SecretText::new(Zeroizing::new(format!(
        "HostName={host};DeviceId={SAMPLE_DEVICE};SharedAccessKey={}",
        key.as_str()
    )))
}

#[cfg(test)]
mod tests;
