//! `hubstorm emulator` in its own process, as an external hub for runs and clients.

use super::hubstorm::command;
use hubstorm::emulator::control::Ready;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, ChildStderr, Stdio};

pub struct Emulator {
    child: Child,
    ready: Ready,
    stderr: BufReader<ChildStderr>,
    stderr_read: String,
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
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        Emulator { child, ready, stderr, stderr_read: String::new(), ready_line }
    }

    /// Returns its ready line.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Waits for a line on stderr that contains `part`, and returns it.
    pub fn says(&mut self, part: &str) -> String {
        loop {
            let mut line = String::new();
            let bytes = self.stderr.read_line(&mut line).expect("stderr is UTF-8");
            self.stderr_read += &line;
            assert!(bytes > 0, "no line contains {part:?}: {}", self.stderr_read);
            if line.contains(part) {
                return line;
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id fits");
        kill(Pid::from_raw(pid), signal).expect("it is a child process");
    }

    /// Waits for its end. Returns its exit code and its stderr.
    pub fn wait(mut self) -> (Option<i32>, String) {
        self.stderr.read_to_string(&mut self.stderr_read).expect("stderr is UTF-8");
        let code = self.child.wait().expect("it is a child process").code();
        (code, std::mem::take(&mut self.stderr_read))
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
        self.ready.sample_connection_string.as_ref().expect("it has a group key").expose()
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
    pub fn stop(self) -> String {
        self.signal(Signal::SIGTERM);
        let (code, stderr) = self.wait();
        assert_eq!(code, Some(0), "{stderr}");
        stderr
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // Ends the process after a failed assertion.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
