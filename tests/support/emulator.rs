//! `hubstorm emulator` in its own process, as an external hub for runs and clients.

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
    /// Starts an emulator on a port that the kernel picks. `arguments` and `environment` contain its key.
    pub fn start(address: IpAddr, arguments: &[&str], environment: &[(&str, &str)]) -> Emulator {
        Emulator::start_at(SocketAddr::new(address, 0), arguments, environment)
    }

    /// Starts an emulator that listens at this address.
    pub fn start_at(listen: SocketAddr, arguments: &[&str], environment: &[(&str, &str)]) -> Emulator {
        let listen = listen.to_string();
        let mut command = command(["emulator", "--listen", &listen].iter().chain(arguments));
        command.envs(environment.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program was built");
        let mut ready_line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        stdout.read_line(&mut ready_line).expect("its ready line is UTF-8");
        let ready = serde_json::from_str(&ready_line).expect("the first line is its ready line");
        Emulator { child, ready, ready_line }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn port(&self) -> u16 {
        let port = self.ready.mqtt.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        port.expect("the ready line has an address with its port")
    }

    /// Returns the sample connection string, which contains a device key.
    pub fn sample_connection_string(&self) -> &str {
        self.ready.sample_connection_string.expose()
    }

    /// Returns the path for `ca = ".."`.
    pub fn ca(&self) -> &str {
        self.ready.ca_file.as_deref().expect("without --control it writes one")
    }

    /// Returns the start of a scenario with 50 devices for this emulator, which must run with `--group-key env:HUB_KEY`.
    pub fn meters(&self) -> String {
        format!(
            "[target]\nkind = \"iot-hub\"\nhost = \"localhost\"\nport = {}\nca = \"{}\"\n[fleet.meter]\ndevices = 50\n\
             auth = {{ kind = \"sas\", group_key = \"${{env.HUB_KEY}}\" }}",
            self.port(),
            self.ca()
        )
    }

    /// Stops the emulator and returns its stderr.
    pub fn stop(mut self) -> String {
        let pid = i32::try_from(self.child.id()).expect("a process id fits");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM)
            .expect("it is a child process");
        let mut text = String::new();
        let mut stderr = self.child.stderr.take().expect("piped");
        stderr.read_to_string(&mut text).expect("stderr is UTF-8");
        assert!(self.child.wait().expect("it is a child process").success(), "{text}");
        text
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // Ends the process after a failed assertion.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
