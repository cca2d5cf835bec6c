//! `hubstorm emulator`: the hub on this machine, alone until a signal comes, or as the child of a run, driven by JSON lines on
//! stdin. The first line on stdout is one JSON object that says how to connect.

use super::ca_file::CaFile;
use super::notices;
use super::secret::{self, SecretError};
use crate::clock;
use crate::emulator::control::{
    ControlCommand, ControlConfig, ControlError, ControlReply, Ready, SecretText,
};
use crate::emulator::{Config, EmulatorError, Hub, Stats, certificate};
use crate::iothub::error_code;
use crate::iothub::sas::Key;
use crate::iothub::service::{ServiceCall, ServiceFailure, ServiceResult};
use crate::link::{listen, tls};
use crate::scenario::nearest;
use std::future::Future;
use std::io::{self, BufRead, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

/// The device in the sample connection string; every other id works as well.
const SAMPLE_DEVICE: &str = "sample-device";

/// What the command line says.
#[derive(Clone, Debug)]
pub(super) struct EmulatorArgs {
    /// Where to listen; loopback unless told otherwise. Port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Names besides `localhost` and `127.0.0.1`, in the certificate and for devices. The first is the ready line's host; without one
    /// it is `localhost`, or the address where that is another.
    pub hosts: Vec<String>,
    /// `env:NAME` or `file:PATH` of the group key; without it one is made at random.
    pub group_key: Option<String>,
    /// Where to write the CA file; `None` is the temporary directory.
    pub ca_out: Option<PathBuf>,
    /// Threads; one per core without it.
    pub shards: Option<usize>,
    /// From a token's expiry to the end of its connection.
    pub expiry_grace: Option<Duration>,
    /// Accept unescaped `#`, `+` and `/` in property bags.
    pub lenient_properties: bool,
    /// Driven by JSON lines on stdin; everything above then comes from there.
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

/// The emulator cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum EmulatorCommandError {
    /// The group key.
    #[error("{0}")]
    Secret(#[from] SecretError),
    /// A configuration that cannot be served.
    #[error("the emulator cannot be set up: {0}")]
    Config(#[from] ControlError),
    /// The first line on stdin is not a configuration, or a later one is neither a command nor a call that can be answered.
    #[error("the control line cannot be understood: {0}")]
    Control(String),
    /// The certificate.
    #[error("{0}")]
    Certificate(#[from] certificate::CertificateError),
    /// TLS.
    #[error("{0}")]
    Tls(#[from] tls::TlsError),
    /// The address.
    #[error("{0}")]
    Listen(#[from] listen::ListenError),
    /// The file with the certificate authority.
    #[error("cannot write the certificate authority to {}: {source}; choose another place with --ca-out", path.display())]
    CaFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Stdout or stdin.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// While serving.
    #[error("{0}")]
    Serve(#[from] EmulatorError),
}

/// Serves until `stop` resolves or, with `control`, stdin ends. Prints the ready line to `out`, and with `control` the
/// answers.
///
/// # Errors
/// See [`EmulatorCommandError`]: the address is taken, the key is not one, a file cannot be written.
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
                _ => return Err(EmulatorCommandError::Control("the first command is config".to_owned())),
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
    // Make the RSA certificate now, so that the first device that needs it does not wait. As the child of a run the hub makes it on
    // demand: the run's devices do not need it, and its CPU time would count as the hub's.
    let rsa = certificate.rsa;
    let make_rsa = || std::thread::Builder::new().name("rsa".to_owned()).spawn(move || rsa.get());
    let rsa_thread = (!args.control).then(make_rsa).transpose()?;
    print(out, &ready)?;

    let notices = notices::print_from(hub.notices(), io::stderr())?;
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

/// Does what the lines on stdin say, until they end and the serving with them.
async fn control(
    hub: &Arc<Hub>,
    mut lines: mpsc::UnboundedReceiver<Zeroizing<String>>,
    ended: oneshot::Sender<()>,
    serving: impl Future<Output = Result<Stats, EmulatorError>>,
    out: &mut dyn Write,
) -> Result<(), EmulatorCommandError> {
    let mut serving = pin!(serving);
    let mut ended = Some(ended);
    let (replies, mut ready_replies) = mpsc::unbounded_channel();
    loop {
        tokio::select! {
            served = &mut serving => return Ok(served.map(drop)?),
            Some(reply) = ready_replies.recv() => print(out, &reply)?,
            line = lines.recv(), if ended.is_some() => match line.map(|line| parse_next(&line)).transpose()? {
                Some(Err(reply)) => print(out, &reply)?,
                Some(Ok(ControlCommand::Stats)) => {
                    let (cpu_us, rss_peak_bytes) = crate::fleet::own_usage();
                    let (counted, refused_by, shards) = (hub.stats(), hub.refused_by(), hub.health());
                    print(out, &ControlReply::Stats { counted, refused_by, cpu_us, rss_peak_bytes, shards })?;
                }
                Some(Ok(ControlCommand::Call(ServiceCall { id, device, request }))) => {
                    let (hub, replies) = (Arc::clone(hub), replies.clone());
                    tokio::task::spawn_local(async move {
                        let result = hub.call(&device, request).await.map_err(ServiceFailure::from);
                        // Fails if the hub no longer serves.
                        let _ = replies.send(ControlReply::from(ServiceResult { id, result }));
                    });
                }
                Some(Ok(ControlCommand::Start { .. })) => {}
                Some(Ok(ControlCommand::Config(_))) => {
                    return Err(EmulatorCommandError::Control("config is the first command only".to_owned()));
                }
                // Dropping it ends the serving.
                None => drop(ended.take()),
            },
        }
    }
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

fn parse(line: &str) -> Result<ControlCommand, EmulatorCommandError> {
    serde_json::from_str(line).map_err(|error| {
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(line).is_ok();
        let what = without_values(&error.to_string(), is_json);
        EmulatorCommandError::Control(format!("{what} (column {})", error.column()))
    })
}

/// What serde says of a line that holds keys: what is wanted; of names only those that it knows, or nearly knows.
fn without_values(error: &str, is_json: bool) -> String {
    let text = error.rsplit_once(" at line ").map_or(error, |(text, _)| text);
    let (found, expected) = text.rsplit_once(", expected ").unwrap_or((text, ""));
    let found = match found.trim_end_matches('`').split_once('`') {
        Some(("missing field " | "duplicate field ", _)) => found.to_owned(),
        Some((what @ ("unknown field " | "unknown variant "), name)) => {
            let what = what.trim_end();
            match nearest(name, expected.split('`').skip(1).step_by(2)) {
                Some(near) => format!("{what} `{name}` (did you mean `{near}`?)"),
                None => what.to_owned(),
            }
        }
        _ if found.starts_with("recursion limit") => "it has more than 127 levels".to_owned(),
        _ if expected.is_empty() && !is_json => "it is not one JSON object".to_owned(),
        _ => "a value or a command has the wrong type".to_owned(),
    };
    if expected.is_empty() { found } else { format!("{found}, expected {expected}") }
}

/// Parses a line after the first: a command, or the answer to an invalid call that has an id. The answer never repeats text
/// from the line, because any of it may be a misplaced key.
fn parse_next(line: &str) -> Result<Result<ControlCommand, ControlReply>, EmulatorCommandError> {
    parse(line).map(Ok).or_else(|error| match call_id(line) {
        Some(id) => {
            let failure = ServiceFailure { code: error_code::ARGUMENT_INVALID, message: error.to_string() };
            Ok(Err(ControlReply::Failed { id, failure }))
        }
        None => Err(error),
    })
}

/// The id of a call, whatever else the line has.
fn call_id(line: &str) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Line {
        call: CallId,
    }
    #[derive(serde::Deserialize)]
    struct CallId {
        id: u64,
    }
    serde_json::from_str::<Line>(line).ok().map(|line| line.call.id)
}

fn print(out: &mut dyn Write, line: &impl serde::Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(line)?;
    line.push(b'\n');
    out.write_all(&line)?;
    out.flush()
}

/// Reads stdin on a thread of its own: a runtime cannot be left while its own reading of stdin waits for a line.
fn stdin_lines() -> io::Result<mpsc::UnboundedReceiver<Zeroizing<String>>> {
    let (sender, lines) = mpsc::unbounded_channel();
    let read = move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if !line.trim().is_empty() && sender.send(Zeroizing::new(line)).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("control".to_owned()).spawn(read)?;
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[tokio::test]
    async fn the_ready_line_is_one_json_object_and_the_file_goes_with_the_emulator() {
        let args = EmulatorArgs {
            listen: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0),
            hosts: vec!["hub.test".to_owned()],
            shards: Some(1),
            ..EmulatorArgs::default()
        };
        let mut out = Vec::new();
        run(args, &mut out, std::future::ready(())).await.unwrap();
        assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), 1);
        let ready: Ready = serde_json::from_slice(&out).unwrap();
        assert!(ready.mqtt.starts_with("127.0.0.1:") && !ready.mqtt.ends_with(":0"), "{ready:?}");
        assert_eq!(ready.host, "hub.test");
        let sample = ready.sample_connection_string.expose();
        assert!(sample.starts_with("HostName=hub.test;DeviceId=sample-device;SharedAccessKey="), "{sample}");
        assert!(!Path::new(&ready.ca_file.unwrap()).exists());
    }

    #[tokio::test]
    async fn an_address_in_use_is_said() {
        let held = listen::bind(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0)).unwrap();
        let args = EmulatorArgs { listen: held.local_addr().unwrap(), ..EmulatorArgs::default() };
        let error = run(args, &mut Vec::new(), std::future::ready(())).await.unwrap_err();
        assert!(error.to_string().contains("in use"), "{error}");
    }

    #[test]
    fn a_control_line_is_never_repeated() {
        let wrong = r#"{"config":{"group_keys":"c2VjcmV0"}}"#;
        assert!(!parse_next(wrong).unwrap_err().to_string().contains("c2VjcmV0"));
        for ask in [
            r#""c2VjcmV0""#,
            r#"{"c2VjcmV0":{}}"#,
            r#"{"method":{"name":"m","c2VjcmV0":1}}"#,
            r#"{"method":{"name":"m","response_timeout_ms":"c2VjcmV0"}}"#,
            r#"{"c2d":{"payload":"x","ack":"c2VjcmV0"}}"#,
            r#"{"disable":"c2VjcmV0"}"#,
        ] {
            let line = format!(r#"{{"call":{{"id":5,"device":"d","ask":{ask}}}}}"#);
            let answer = parse_next(&line).unwrap().unwrap_err();
            assert!(!format!("{answer:?}").contains("c2VjcmV0"), "{answer:?}");
        }
        let both = r#"{"call":{"id":5,"device":"d","ask":"twin"},"config":{"group_keys":"c2VjcmV0"}}"#;
        let answer = parse_next(both).unwrap().unwrap_err();
        assert!(!format!("{answer:?}").contains("c2VjcmV0"), "{answer:?}");
        let error = parse(wrong).unwrap_err().to_string();
        assert!(!error.contains("c2VjcmV0"), "{error}");
    }

    #[test]
    fn what_is_wrong_with_a_configuration_is_named_and_no_value_is() {
        let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        for (line, expected) in [
            (r#"{"config":{"listen":"x"}}"#, "unknown field, expected one of `host`, `port`, `hosts`"),
            (
                r#"{"config":{"grupkeys":1}}"#,
                "unknown field `grupkeys` (did you mean `group_keys`?), expected one of",
            ),
            (r#"{"config":{"port":"c2VjcmV0"}}"#, "has the wrong type, expected u16 (column"),
            (r#"{"config":{"devices":[{"id":"c2VjcmV0"}]}}"#, "missing field `key` (column"),
            (r#"{"confg":{}}"#, "expected one of `config`, "),
            (r#""c2VjcmV0""#, "expected one of `config`, "),
            (r#"{"config":{"host":"c2VjcmV0, expected me"}}"#, "(column"),
            (r#"{"call":{"id":1,"device":"d","ask":5}}"#, "a command has the wrong type (column"),
            (
                &format!(
                    r#"{{"call":{{"id":1,"device":"d","ask":{{"method":{{"name":"m","payload":{}"#,
                    "[".repeat(200)
                ),
                "it has more than 127 levels (column",
            ),
            (r#"{"config":{"port":1}"#, "it is not one JSON object (column"),
            (&format!(r#"{{"config":{{"{key}":1}}}}"#), "unknown field, expected one of `host`"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(
                error.contains(expected) && !error.contains("c2VjcmV0") && !error.contains(key),
                "{error}"
            );
        }
    }

    #[test]
    fn a_call_that_cannot_be_understood_fails_if_it_has_an_id_and_other_lines_end_the_hub() {
        for (call, why) in [
            (
                r#"{"call":{"id":5,"device":"d","ask":"reboot"}}"#,
                "unknown variant, expected one of `method`,",
            ),
            (
                r#"{"call":{"id":5,"device":"d","ask":"clsoe"}}"#,
                "unknown variant `clsoe` (did you mean `close`?)",
            ),
            (r#"{"call":{"id":5,"ask":"twin"}}"#, "missing field `device`"),
            (
                r#"{"call":{"id":5,"device":"d","ask":{"c2d":{"payload":"x","ttl":1}}}}"#,
                "unknown field, expected one of `message_id`, `properties`, `payload`, `ttl_ms`, `ack`",
            ),
        ] {
            match parse_next(call).unwrap().unwrap_err() {
                ControlReply::Failed { id: 5, failure: ServiceFailure { code: 400_004, message } }
                    if message.contains(why) => {}
                other => panic!("{call}: {other:?}"),
            }
        }
        for line in [
            "",
            "5",
            "\"stat\"",
            r#"{"call":{"id":5,"device":"d","ask":"reboot"}"#,
            r#"{"call":{"id":"5","device":"d","ask":"twin"}}"#,
            r#"{"call":{"device":"d","ask":"twin"}}"#,
        ] {
            assert!(parse_next(line).is_err(), "{line}");
        }
    }
}
