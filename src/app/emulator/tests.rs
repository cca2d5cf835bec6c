//! Tests of `hubstorm emulator` in this process.

use super::*;
use std::path::Path;

#[tokio::test]
async fn ready_line_is_json_and_the_ca_file_is_removed_at_the_end() {
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
async fn address_in_use_is_reported() {
    let held = listen::bind(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0)).unwrap();
    let args = EmulatorArgs { listen: held.local_addr().unwrap(), ..EmulatorArgs::default() };
    let error = run(args, &mut Vec::new(), std::future::ready(())).await.unwrap_err();
    assert!(error.to_string().contains("in use"), "{error}");
}
