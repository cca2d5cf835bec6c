//! The same load as the floor (`benches/side_by_side/floor.rs`), as a Rust programmer would write it with rumqttc: one
//! thread, one task and one event loop per device. `cargo bench --bench side_by_side` runs it and counts at the broker.
//! It prints nothing.
//!
//! Arguments: address, CA file, connections, seconds of ramp, seconds of work, and `idle`, messages per second, or `window`.

use rumqttc::{AsyncClient, Event, MqttOptions, Outgoing, QoS, TlsConfiguration, Transport};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, client::Resumption};

const WINDOW: u16 = 32;
/// The wait for the last acknowledgments before a device disconnects.
const GRACE: Duration = Duration::from_millis(500);

#[derive(Clone, Copy)]
enum Work {
    Idle,
    Open { every: Duration, first: Instant },
    Window,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, ca, connections, ramp_s, work_s, kind] = &arguments[..] else { panic!("six arguments") };
    let address: SocketAddr = address.parse().expect("an address");
    let connections: u32 = connections.parse().expect("a number");
    let seconds = |text: &str| Duration::from_secs(text.parse().expect("seconds"));
    let (tls, runtime) =
        (tls(ca), tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"));
    let start = Instant::now();
    let begin = start + seconds(ramp_s);
    let end = begin + seconds(work_s);
    LocalSet::new().block_on(&runtime, async {
        let devices: Vec<_> = (0..connections)
            .map(|index| {
                let share = f64::from(index) / f64::from(connections);
                let work = match kind.as_str() {
                    "idle" => Work::Idle,
                    "window" => Work::Window,
                    rate => {
                        let rate: f64 = rate.parse().expect("a rate");
                        let every = Duration::from_secs_f64(f64::from(connections) / rate);
                        Work::Open { every, first: begin + every.mul_f64(share) }
                    }
                };
                let id = format!("bench{index:05}");
                let mut options = MqttOptions::new(&id, address.ip().to_string(), address.port());
                options.set_keep_alive(Duration::from_secs(240)).set_inflight(WINDOW);
                options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(&tls))));
                let at = start + seconds(ramp_s).mul_f64(share);
                tokio::task::spawn_local(async move {
                    sleep_until(at).await;
                    device(options, &id, work, begin, end).await;
                })
            })
            .collect();
        for device in devices {
            device.await.expect("no task panics");
        }
    });
}

async fn device(options: MqttOptions, id: &str, work: Work, begin: Instant, end: Instant) {
    let (client, mut events) = AsyncClient::new(options, WINDOW.into());
    events.network_options.set_tcp_nodelay(true);
    let topic = format!("devices/{id}/messages/events/");
    let send =
        async || client.publish(&topic, QoS::AtLeastOnce, false, [b'x'; 256]).await.expect("the loop runs");
    let publisher = async {
        match work {
            Work::Idle => {}
            Work::Open { every, first } => {
                let mut due = first;
                while due < end {
                    sleep_until(due).await;
                    send().await;
                    due += every;
                }
            }
            Work::Window => {
                sleep_until(begin).await;
                while Instant::now() < end {
                    send().await;
                }
            }
        }
        sleep_until(end + GRACE).await;
        client.disconnect().await.expect("the loop runs");
    };
    let pump = async {
        while !matches!(events.poll().await.expect("the connection stays open"), Event::Outgoing(Outgoing::Disconnect))
        {
        }
    };
    tokio::join!(publisher, pump);
}

/// The same configuration as the floor's and hubstorm's.
fn tls(ca: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).expect("a PEM file")).expect("a certificate");
    let kx_groups = vec![aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP256R1];
    let provider = CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .expect("versions are supported")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Arc::new(config)
}
