//! `hubstorm emulator`: the hub on this machine, alone until a signal comes, or as the child of a run, driven by JSON lines on
//! stdin. The first line on stdout is one JSON object that says how to connect.

mod control_lines;
mod error;

use super::ca_file::CaFile;
use super::notice_printer;
use super::secret;
use crate::cli::EmulatorArgs;
use crate::clock;
use crate::emulator::control::{ControlCommand, ControlConfig, Ready, SecretText};
use crate::emulator::{Config, Hub, certificate};
use crate::iothub::emulator_options::EmulatorOptions;
use crate::iothub::sas::Key;
use crate::link::{listen, tls};
use control_lines::{control, parse, print, stdin_lines};
use std::future::Future;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

pub(super) use error::EmulatorCommandError;

/// The device in the sample connection string; every other id works as well.
const SAMPLE_DEVICE: &str = "sample-device";

/// Serves until `stop` resolves or, with `control`, stdin ends. Prints the ready line to `out`, and with `control` the
/// answers.
///
/// # Errors
/// See [`EmulatorCommandError`]: the address is taken, the key is not one, a file cannot be written.
pub(super) async fn run(
    args: &EmulatorArgs,
    options: EmulatorOptions,
    out: &mut dyn Write,
    stop: impl Future<Output = ()>,
) -> Result<(), EmulatorCommandError> {
    let (lines, config) = if args.control {
        let mut lines = stdin_lines()?;
        match lines.recv().await {
            None => return Ok(()),
            Some(line) => match parse(&line)? {
                ControlCommand::Config(config) => (Some(lines), config),
                _ => return Err(EmulatorCommandError::Control("the first command is config".to_owned())),
            },
        }
    } else {
        (None, control_config(args, options)?)
    };
    let listen = config.listen();
    let host = match config.hosts.first() {
        Some(host) => host.clone(),
        None if listen.ip() == Ipv4Addr::LOCALHOST || listen.ip().is_unspecified() => "localhost".to_owned(),
        None => listen.ip().to_string(),
    };
    let config = config.to_config()?;
    let listener = listen::bind(listen)?;
    let certificate = certificate::make(&config.host_names, clock::unix())?;
    let rsa = Arc::clone(&certificate.rsa);
    let tls = tls::server_with_rsa((certificate.chain, certificate.key), Box::new(move || rsa.get()))?;
    let ca_file = match args.control {
        true => None,
        false => Some(match &args.ca_out {
            Some(path) => CaFile::at(path, &certificate.ca_pem),
            None => CaFile::temporary(&std::env::temp_dir(), &certificate.ca_pem),
        }),
    };
    let ca_file = match ca_file.transpose() {
        Ok(file) => file,
        Err((path, source)) => return Err(EmulatorCommandError::CaFile { path, source }),
    };
    let ready = Ready {
        mqtt: listener.local_addr()?.to_string(),
        ca_file: ca_file.as_ref().map(|file| file.path().display().to_string()),
        ca_pem: args.control.then_some(certificate.ca_pem),
        sample_connection_string: sample_connection_string(&host, &config),
        host,
    };
    let hub = Hub::new(config);
    let started = hub.start(&tls).await?;
    // Make the RSA certificate now, so that the first device that needs it does not wait. As the child of a run the hub makes it on
    // demand: the run's devices do not need it, and its CPU time would count as the hub's.
    let rsa = certificate.rsa;
    let make_rsa = || std::thread::Builder::new().name("rsa".to_owned()).spawn(move || rsa.get());
    let rsa_thread = (!args.control).then(make_rsa).transpose()?;
    print(out, &ready)?;

    let notices = notice_printer::print_from(hub.notices(), io::stderr())?;
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
            // Each call waits on a task of its own.
            let controlled = control(&hub, lines, ended, serving, out);
            tokio::task::LocalSet::new().run_until(controlled).await
        }
    };
    drop(hub);
    notices.finish();
    // A process that exits while another thread makes a key may abort: aws-lc clears its random generators at exit.
    if let Some(Err(panic)) = rsa_thread.map(std::thread::JoinHandle::join) {
        std::panic::resume_unwind(panic);
    }
    served
}

fn control_config(
    args: &EmulatorArgs,
    options: EmulatorOptions,
) -> Result<ControlConfig, EmulatorCommandError> {
    let mut config = ControlConfig {
        host: args.listen.ip(),
        port: args.listen.port(),
        hosts: args.host.clone(),
        shards: args.shards.map_or(0, usize::from),
        ..ControlConfig::from(options)
    };
    if let Some(reference) = &args.group_key {
        config.group_keys.push(SecretText::new(secret::read(reference, "the group key")?));
    }
    Ok(config)
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
