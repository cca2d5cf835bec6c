//! Tests of the stand-alone emulator.

use super::*;
use clap::Parser as _;
use std::net::SocketAddr;
use std::path::Path;

fn args(options: &[&str]) -> EmulatorArgs {
    let line = ["hubstorm", "emulator"].iter().chain(options);
    match crate::cli::Cli::try_parse_from(line).unwrap().command {
        crate::cli::Command::Emulator(args) => args,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_ready_line_is_one_json_object_and_the_file_goes_with_the_emulator() {
    let args = args(&["--listen", "127.0.0.1:0", "--host", "hub.test", "--shards", "1"]);
    let mut out = Vec::new();
    run(&args, EmulatorOptions::default(), &mut out, std::future::ready(())).await.unwrap();
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
    let args = args(&["--listen", &held.local_addr().unwrap().to_string()]);
    let (options, stop) = (EmulatorOptions::default(), std::future::ready(()));
    let error = run(&args, options, &mut Vec::new(), stop).await.unwrap_err();
    assert!(error.to_string().contains("in use"), "{error}");
}
