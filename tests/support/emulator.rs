//! `hubstorm emulator` as a process of its own, as a hub that a run is pointed at.

use super::hubstorm::command;
use hubstorm::emulator::control::Ready;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Stdio};

pub struct Emulator {
    child: Child,
    ready: Ready,
    /// Its first line on stdout.
    pub ready_line: String,
}

impl Emulator {
    /// Starts one on a port that the kernel picks. `arguments` say where its key is, `environment` what may hold it.
    pub fn start(address: IpAddr, arguments: &[&str], environment: &[(&str, &str)]) -> Emulator {
        Emulator::start_at(SocketAddr::new(address, 0), arguments, environment)
    }

    /// Starts one where it is told to listen.
    pub fn start_at(listen: SocketAddr, arguments: &[&str], environment: &[(&str, &str)]) -> Emulator {
        let listen = listen.to_string();
        let mut command = command(["emulator", "--listen", &listen].iter().chain(arguments));
        command.envs(environment.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program was built");
        let mut ready_line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        stdout.read_line(&mut ready_line).expect("its ready line is UTF-8");
        let ready = serde_json::from_str(&ready_line).expect("its first line says how to connect");
        Emulator { child, ready, ready_line }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn port(&self) -> u16 {
        let port = self.ready.mqtt.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        port.expect("the ready line has an address with its port")
    }

    /// For a device SDK. It holds the sample device's key.
    pub fn sample_connection_string(&self) -> &str {
        self.ready.sample_connection_string.expose()
    }

    /// For `ca = ".."`.
    pub fn ca(&self) -> &str {
        self.ready.ca_file.as_deref().expect("alone, it writes one")
    }

    /// What a scenario starts with to point 50 devices at it. It was started with `--group-key env:HUB_KEY`.
    pub fn meters(&self) -> String {
        format!(
            "[target]\nkind = \"iot-hub\"\nhost = \"localhost\"\nport = {}\nca = \"{}\"\n[fleet.meter]\ndevices = 50\n\
             auth = {{ kind = \"sas\", group_key = \"${{env.HUB_KEY}}\" }}",
            self.port(),
            self.ca()
        )
    }

    /// Ends it; what it said on stderr.
    pub fn stop(mut self) -> String {
        let pid = i32::try_from(self.child.id()).expect("a process id fits");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM)
            .expect("it is ours");
        let mut said = String::new();
        let mut stderr = self.child.stderr.take().expect("piped");
        stderr.read_to_string(&mut said).expect("stderr is UTF-8");
        assert!(self.child.wait().expect("it is our child").success(), "{said}");
        said
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // After a failed assertion; one that was stopped is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
