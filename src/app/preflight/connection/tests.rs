//! Tests of the preflight connections.

use super::*;
use crate::emulator::{self, Config, certificate};
use crate::iothub::sas::Key;
use crate::link::{Step, Steps, listen, tls};
use crate::scenario::Input;
use nix::errno::Errno;

/// Runs the preflight connections with `device_key` against a hub that has `hub_key`.
async fn preflight(hub_key: &Key, device_key: &Key, trusted: bool) -> Result<(), AppError> {
    let listener = listen::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = listener.local_addr().unwrap().port();
    let certificate = certificate::make(&["localhost".to_owned()], clock::unix()).unwrap();
    let roots_pem = trusted.then(|| certificate.ca_pem.clone().into());
    let server = tls::server(certificate.chain, certificate.key).unwrap();
    let config = Config { group_keys: vec![hub_key.clone()], shards: 1, ..Config::default() };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::task::spawn_local(emulator::serve(listener, server, config, async {
        drop(stopped.await);
    }));

    let text = format!(
        "[target]\nkind = \"iot-hub\"\nhost = \"localhost\"\nport = {port}\n[fleet.a]\ndevices = 3\n\
         auth = {{ kind = \"sas\", group_key = \"${{env.KEY}}\" }}\n[[phase]]\nname = \"p\"\nduration = \"1s\"\n"
    );
    let key = device_key.to_base64();
    let env = |_: &str| Some(key.to_string());
    let input = Input {
        file: "preflight.toml",
        text: &text,
        overrides: &[],
        env: &env,
        files: &crate::scenario::no_files,
    };
    let plan = crate::plan::load(&input, &mut rand::rng()).unwrap();
    let options = tls::ClientOptions { roots_pem, ..tls::ClientOptions::default() };
    let tls = tls::client(&options).ok();
    let endpoint = [Endpoint { host: "localhost".to_owned(), port, tls, ..Endpoint::default() }];
    let answer = connections(&plan, &endpoint, |_| {}).await;
    drop(stop);
    serving.await.unwrap().unwrap();
    answer
}

fn runtime() -> tokio::runtime::LocalRuntime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build_local(tokio::runtime::LocalOptions::default()).unwrap()
}

#[test]
fn wrong_key_is_refused_with_a_fix() {
    let (key, other) = (Key::random(&mut rand::rng()), Key::random(&mut rand::rng()));
    runtime().block_on(preflight(&key, &key, true)).unwrap();
    let message = runtime().block_on(preflight(&key, &other, true)).unwrap_err().to_string();
    assert!(message.contains("a-00000") && message.contains("return code 5"), "{message}");
    assert!(message.contains("group key"), "{message}");
    assert!(!message.contains(other.to_base64().as_str()), "a message never contains a key");
}

#[test]
fn unknown_certificate_authority_names_the_ca_option() {
    let key = Key::random(&mut rand::rng());
    let message = runtime().block_on(preflight(&key, &key, false)).unwrap_err().to_string();
    assert!(message.contains("--ca FILE"), "{message}");
}

/// A server that accepts TCP and never answers.
#[test]
fn silent_server_is_named_while_and_after_waiting() {
    let runtime = runtime();
    let listener = runtime.block_on(async { listen::bind("127.0.0.1:0".parse().unwrap()) }).unwrap();
    let port = listener.local_addr().unwrap().port();
    let text = format!(
        "[target]\nkind = \"mqtt\"\nhost = \"127.0.0.1\"\nport = {port}\n[fleet.a]\ndevices = 1\n\
         connect_timeout = \"400ms\"\n[[phase]]\nname = \"p\"\nduration = \"1s\"\n"
    );
    let files = &crate::scenario::no_files;
    let input = Input { file: "silent.toml", text: &text, overrides: &[], env: &|_| None, files };
    let plan = crate::plan::load(&input, &mut rand::rng()).unwrap();
    let endpoint = [Endpoint { host: "127.0.0.1".to_owned(), port, ..Endpoint::default() }];
    let mut notes = Vec::new();
    let note = |text: &str| notes.push(text.to_owned());
    let checking = connections_noting(&plan, &endpoint, Duration::from_millis(1), note);
    let message = runtime.block_on(checking).unwrap_err().to_string();
    assert!(message.contains("\n    cause:   no CONNACK within 400 ms (connect_timeout)\n"), "{message}");
    assert_eq!(notes, [format!("waiting for 127.0.0.1:{port} (up to 400 ms)\n")]);
}

/// If this machine lacks a resource, advice about TLS or the server would be wrong.
#[test]
fn shortages_of_this_machine_have_their_own_fixes() {
    for (errno, class, fix) in [
        (Errno::EMFILE, "fd_limit", "raise the limit on open files"),
        (Errno::EADDRNOTAVAIL, "ports_exhausted", "ip_local_port_range"),
        (Errno::ENOMEM, "no_memory", "free memory on this machine"),
    ] {
        for step in [Step::Tcp, Step::Tls] {
            let error = DialError::new(step, Steps::default(), errno.into());
            let advice = dial_fix(&error, &Endpoint::default());
            assert_eq!(error.class, class);
            assert!(advice.contains(fix) && !advice.contains("TLS"), "{class}: {advice}");
        }
    }
}
