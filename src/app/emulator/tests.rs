//! Tests of `hubstorm emulator` in this process.

use super::*;
use clap::Parser as _;
use std::path::Path;

fn args(options: &[&str]) -> EmulatorArgs {
    let words = ["hubstorm", "emulator"].iter().chain(options);
    match crate::cli::Cli::try_parse_from(words).unwrap().command {
        crate::cli::Command::Emulator(args) => args,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn ready_line_is_json_and_the_ca_file_is_removed_at_the_end() {
    let args = args(&["--listen", "127.0.0.1:0", "--host", "hub.test", "--shards", "1"]);
    let mut out = Vec::new();
    let options = Options::read(&args).unwrap();
    serve(&args, &options, &mut out, watch::channel(1).1).await.unwrap();
    assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), 1);
    let ready: Ready = serde_json::from_slice(&out).unwrap();
    assert!(ready.mqtt.starts_with("127.0.0.1:") && !ready.mqtt.ends_with(":0"), "{ready:?}");
    assert_eq!(ready.host, "hub.test");
    let sample = ready.sample_connection_string.as_ref().unwrap().expose();
    assert!(sample.starts_with("HostName=hub.test;DeviceId=sample-device;SharedAccessKey="), "{sample}");
    assert!(!Path::new(&ready.ca_file.unwrap()).exists());
}

#[tokio::test]
async fn address_in_use_is_reported() {
    let listener = listen::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let args = args(&["--listen", &listener.local_addr().unwrap().to_string()]);
    let options = Options::read(&args).unwrap();
    let error = serve(&args, &options, &mut Vec::new(), watch::channel(1).1).await.unwrap_err();
    assert!(error.to_string().contains("in use"), "{error}");
}
