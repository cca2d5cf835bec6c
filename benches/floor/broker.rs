//! A mosquitto of our own: TLS 1.3, a certificate on P-256, anonymous clients, nothing persistent.

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::Failure;

/// Stopped when dropped.
pub(crate) struct Broker {
    pub(crate) address: SocketAddr,
    pub(crate) ca: PathBuf,
    pub(crate) folder: tempfile::TempDir,
    process: Child,
}

impl Broker {
    /// On an address of this process's own, so that the port can be fixed.
    pub(crate) fn start() -> Result<Broker, Failure> {
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let address = SocketAddr::from((Ipv4Addr::new(127, 91, high, low), 8883));
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);

        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = CertificateParams::new(vec![address.ip().to_string()])?.self_signed(&key)?;
        std::fs::write(path("certificate.pem"), certificate.pem())?;
        std::fs::write(path("key.pem"), key.serialize_pem())?;
        let settings = format!(
            "user root\npersistence false\nlog_type error\nallow_anonymous true\n\
             listener {} {}\ntls_version tlsv1.3\ncertfile {}\nkeyfile {}\n",
            address.port(),
            address.ip(),
            path("certificate.pem").display(),
            path("key.pem").display(),
        );
        std::fs::write(path("mosquitto.conf"), settings)?;
        let program = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"]
            .into_iter()
            .find(|program| PathBuf::from(program).exists())
            .unwrap_or("mosquitto");
        let process = Command::new(program)
            .arg("-c")
            .arg(path("mosquitto.conf"))
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start mosquitto ({error}): apt-get install mosquitto"))?;
        let mut broker = Broker { address, ca: path("certificate.pem"), folder, process };
        broker.wait_until_it_listens()?;
        Ok(broker)
    }

    fn wait_until_it_listens(&mut self) -> Result<(), Failure> {
        for _ in 0..500 {
            if let Some(status) = self.process.try_wait()? {
                return Err(format!("mosquitto ended: {status}").into());
            }
            if TcpStream::connect(self.address).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err("mosquitto does not listen".into())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
