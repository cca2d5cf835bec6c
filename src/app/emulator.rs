//! `hubstorm emulator`: runs the emulator until a signal arrives or, with `--control`, until stdin ends. The command line or the first
//! control line configures it. The first line on stdout is a JSON object that says how to connect. The emulator itself is in
//! `crate::emulator`.

mod control_lines;
mod error;

use super::ca_file::CaFile;
use super::notice_printer;
use super::secret;
use crate::clock;
use crate::emulator::control::{ControlCommand, ControlConfig, Ready, SecretText};
use crate::emulator::{Config, Hub, certificate};
use crate::iothub::sas::Key;
use crate::link::{listen, tls};
use control_lines::{control, parse, print, stdin_lines};
use std::future::Future;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

pub(super) use error::EmulatorCommandError;

/// Device id of the sample connection string. The group key admits every other id as well.
const SAMPLE_DEVICE: &str = "sample-device";

/// Options of the command line.
#[derive(Clone, Debug)]
pub(super) struct EmulatorArgs {
    /// Address and port to listen on. Port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Host names besides `localhost` and `127.0.0.1`, for the certificate and for devices. The first one is the host in the ready line.
    /// Without any, it is `localhost`, or the listen address if that is not 127.0.0.1 or unspecified.
    pub hosts: Vec<String>,
    /// `env:NAME` or `file:PATH` of the group key. By default a random key is made.
    pub group_key: Option<String>,
    /// Path of the CA file. By default it is a file in the temporary directory.
    pub ca_out: Option<PathBuf>,
    /// Number of threads, by default one per core.
    pub shards: Option<usize>,
    /// Time from the expiry of a token until its connection is closed.
    pub expiry_grace: Option<Duration>,
    /// Accept unescaped `#`, `+` and `/` in property bags.
    pub lenient_properties: bool,
    /// Read the configuration and commands as JSON lines from stdin, instead of the options above.
    pub control: bool,
}

impl Default for EmulatorArgs {
    fn default() -> EmulatorArgs {
        EmulatorArgs {
            listen: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 8883),
            hosts: Vec::new(),
            group_key: None,
            ca_out: None,
            shards: None,
            expiry_grace: None,
            lenient_properties: false,
            control: false,
        }
    }
}

/// Serves until `stop` resolves or, with `control`, stdin ends. Prints the ready line and, with `control`, the answers to `out`.
///
/// # Errors
/// See [`EmulatorCommandError`]: the address is in use, the key is invalid, a file cannot be written.
pub(super) async fn run(
    args: EmulatorArgs,
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
        (None, control_config(&args)?)
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
    // Make the RSA certificate now, so that the first device that needs it does not wait. The built-in hub of a run makes it on demand: the
    // devices of a run do not need it, and its CPU time would count as the hub's.
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
            // Each call waits in a task of its own.
            let controlled = control(&hub, lines, ended, serving, out);
            tokio::task::LocalSet::new().run_until(controlled).await
        }
    };
    drop(hub);
    notices.finish();
    // Wait for the thread: aws-lc clears its random generators at exit, and a process that exits while a key is made may abort.
    if let Some(Err(panic)) = rsa_thread.map(std::thread::JoinHandle::join) {
        std::panic::resume_unwind(panic);
    }
    served
}

fn control_config(args: &EmulatorArgs) -> Result<ControlConfig, EmulatorCommandError> {
    let mut config = ControlConfig {
        host: args.listen.ip(),
        port: args.listen.port(),
        hosts: args.hosts.clone(),
        shards: args.shards.unwrap_or_default(),
        lenient_properties: args.lenient_properties,
        ..ControlConfig::default()
    };
    if let Some(grace) = args.expiry_grace {
        config.expiry_grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
    }
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
