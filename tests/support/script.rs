//! A scripted broker, for misbehavior that the built-in hub must never show. A test gives it a list of steps. A step that was not played
//! fails the test. Used by `hostile`, `preflight` and `regression`.

use super::TEST_TIMEOUT;
use super::address::{listen, own_address};
use super::mqtt::{self, Frame, read_frame};
use super::tls::Identity;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// One step of a conversation.
#[derive(Clone, Debug)]
pub enum Step {
    /// Waits for a packet of this type.
    Receives(u8),
    /// Waits for any bytes.
    ReceivesBytes,
    /// Waits for a PUBLISH with QoS 1 and sends its PUBACK in pieces of this size.
    Acks {
        piece: usize,
    },
    Sends(Vec<u8>),
    /// Sends bytes one at a time.
    Dribbles(Vec<u8>),
    /// Sends bytes on the socket below TLS.
    SendsRaw(Vec<u8>),
    /// Sends these bytes repeatedly, without reading, until the client closes the connection.
    Floods(Vec<u8>),
    /// Sends these bytes repeatedly and reads everything. Only without TLS.
    FloodsAndReads(Vec<u8>),
    /// Behaves like a correct broker until the end, with acknowledgments in pieces of this size.
    Serves {
        piece: usize,
    },
    /// Sends nothing more and waits until the client ends the connection.
    Holds,
    /// Keeps the connection open and never reads again.
    Ignores,
    /// Sends a fatal, correctly encrypted alert. Then the client ends the connection.
    Alerts,
    /// Sends FIN. Then the client ends the connection.
    Ends,
    /// Sends RST.
    Resets,
    Closes,
}

pub fn receives(kind: u8) -> Step {
    Step::Receives(kind)
}

pub fn receives_bytes() -> Step {
    Step::ReceivesBytes
}

pub fn acks(piece: usize) -> Step {
    Step::Acks { piece }
}

pub fn sends(bytes: impl Into<Vec<u8>>) -> Step {
    Step::Sends(bytes.into())
}

pub fn dribbles(bytes: impl Into<Vec<u8>>) -> Step {
    Step::Dribbles(bytes.into())
}

pub fn sends_raw(bytes: impl Into<Vec<u8>>) -> Step {
    Step::SendsRaw(bytes.into())
}

pub fn floods(bytes: impl Into<Vec<u8>>) -> Step {
    Step::Floods(bytes.into())
}

pub fn floods_and_reads(bytes: impl Into<Vec<u8>>) -> Step {
    Step::FloodsAndReads(bytes.into())
}

pub fn serves(piece: usize) -> Step {
    Step::Serves { piece }
}

pub fn closes() -> Step {
    Step::Closes
}

/// A listener that plays one script, to one connection or to each in turn.
pub struct Script {
    address: SocketAddr,
    identity: Option<Identity>,
    over: Arc<AtomicBool>,
    player: JoinHandle<Result<usize, String>>,
}

impl Script {
    /// Plays the script for one connection.
    pub fn connection(steps: impl IntoIterator<Item = Step>) -> Script {
        Script::start(steps, None, 1)
    }

    /// Plays the script for every connection, one after the other.
    pub fn connections(steps: impl IntoIterator<Item = Step>) -> Script {
        Script::start(steps, None, usize::MAX)
    }

    /// Like `connections`, over TLS.
    pub fn connections_over_tls(identity: Identity, steps: impl IntoIterator<Item = Step>) -> Script {
        Script::start(steps, Some(identity), usize::MAX)
    }

    fn start(
        steps: impl IntoIterator<Item = Step>,
        identity: Option<Identity>,
        connections_max: usize,
    ) -> Script {
        let listener = listen(own_address());
        let address = listener.local_addr().expect("it is bound");
        let over = Arc::new(AtomicBool::new(false));
        let player = Player {
            listener,
            tls: identity.as_ref().map(|identity| identity.config.clone()),
            steps: steps.into_iter().collect(),
            connections_max,
            over: Arc::clone(&over),
        };
        Script { address, identity, over, player: thread::spawn(move || player.play_all()) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the path of the roots for clients, if the script uses TLS.
    pub fn ca(&self) -> Option<PathBuf> {
        self.identity.as_ref().map(|identity| identity.ca.path().to_owned())
    }

    /// Returns the number of played connections. Fails if a step is unused. Call it after the program under test has ended.
    #[track_caller]
    pub fn finish(self) -> usize {
        self.over.store(true, Ordering::SeqCst);
        if !self.player.is_finished() {
            // Ends the wait for a connection. A script that has not played yet then fails at its first packet.
            drop(TcpStream::connect(self.address));
        }
        match self.player.join().expect("the player does not panic") {
            Ok(played) => played,
            Err(why) => panic!("{why}"),
        }
    }
}

/// The state of the thread that plays a script.
struct Player {
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    steps: Vec<Step>,
    connections_max: usize,
    over: Arc<AtomicBool>,
}

impl Player {
    fn play_all(&self) -> Result<usize, String> {
        let mut ignored = Vec::new();
        let mut played = 0;
        while played < self.connections_max {
            let (stream, _) = self.listener.accept().map_err(|error| format!("accept: {error}"))?;
            if self.connections_max > 1 && self.over.load(Ordering::SeqCst) {
                break;
            }
            ignored.extend(self.play(stream)?);
            played += 1;
        }
        Ok(played)
    }

    /// Plays the script once. Returns the connection if the script ignores it.
    fn play(&self, stream: TcpStream) -> Result<Option<Line>, String> {
        let mut line = Line::new(stream, self.tls.clone()).map_err(|error| error.to_string())?;
        for (index, step) in self.steps.iter().enumerate() {
            perform(&mut line, step).map_err(|why| {
                let (step_number, steps) = (index + 1, self.steps.len());
                format!("step {step_number} of {steps}, {step:?}: {why}; unused: {:?}", &self.steps[index..])
            })?;
        }
        Ok(matches!(self.steps.last(), Some(Step::Ignores)).then_some(line))
    }
}

/// A connection, with or without TLS.
enum Line {
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Line {
    fn new(stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> io::Result<Line> {
        stream.set_read_timeout(Some(TEST_TIMEOUT))?;
        stream.set_write_timeout(Some(TEST_TIMEOUT))?;
        stream.set_nodelay(true)?;
        let Some(config) = tls else { return Ok(Line::Tcp(stream)) };
        let connection = ServerConnection::new(config).map_err(io::Error::other)?;
        Ok(Line::Tls(Box::new(StreamOwned::new(connection, stream))))
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Line::Tcp(stream) => stream,
            Line::Tls(stream) => &stream.sock,
        }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.write_all(bytes).and_then(|()| self.flush()).map_err(|error| error.to_string())
    }

    /// Reads until the client has ended the connection in any way.
    fn read_to_the_end(&mut self) -> Result<(), String> {
        let mut some = [0; 4096];
        loop {
            match self.read(&mut some) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                        return Err("the connection did not end".to_owned());
                    }
                    io::ErrorKind::Interrupted => {}
                    _ => return Ok(()),
                },
            }
        }
    }

    /// Makes rustls send an alert: it appears to have received a record that cannot be decrypted.
    fn alert(&mut self) -> Result<(), String> {
        let Line::Tls(stream) = self else { return Err("there is no TLS".to_owned()) };
        let garbage = [&[0x17, 3, 3, 0, 32][..], &[0; 32]].concat();
        stream.conn.read_tls(&mut &garbage[..]).map_err(|error| error.to_string())?;
        stream.conn.process_new_packets().map(drop).expect_err("it cannot be decrypted");
        stream.conn.write_tls(&mut stream.sock).map(drop).map_err(|error| error.to_string())
    }
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Line::Tcp(stream) => stream.read(buffer),
            Line::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Line::Tcp(stream) => stream.write(bytes),
            Line::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Line::Tcp(stream) => stream.flush(),
            Line::Tls(stream) => stream.flush(),
        }
    }
}

fn perform(line: &mut Line, step: &Step) -> Result<(), String> {
    match step {
        Step::Receives(kind) => receive(line, *kind).map(drop),
        Step::ReceivesBytes => match line.read(&mut [0; 4096]) {
            Ok(0) | Err(_) => Err("no bytes arrived".to_owned()),
            Ok(_) => Ok(()),
        },
        Step::Acks { piece } => {
            let frame = receive(line, mqtt::PUBLISH)?;
            answer(line, &frame, *piece)
        }
        Step::Sends(bytes) => line.send(bytes),
        Step::Dribbles(bytes) => bytes.chunks(1).try_for_each(|byte| line.send(byte)),
        Step::SendsRaw(bytes) => line.socket().write_all(bytes).map_err(|error| error.to_string()),
        Step::Floods(bytes) => {
            while line.send(bytes).is_ok() {}
            Ok(())
        }
        Step::FloodsAndReads(bytes) => {
            let socket = line.socket().try_clone().map_err(|error| error.to_string())?;
            let reading = thread::spawn(move || Line::Tcp(socket).read_to_the_end());
            while line.send(bytes).is_ok() {}
            reading.join().expect("the reader does not panic")
        }
        Step::Serves { piece } => {
            // The end may be a FIN, or a reset with unread data.
            while let Ok(Some(frame)) = read_frame(line) {
                answer(line, &frame, *piece)?;
            }
            Ok(())
        }
        Step::Holds => line.read_to_the_end(),
        Step::Alerts => line.alert().and_then(|()| line.read_to_the_end()),
        Step::Ends => {
            line.socket().shutdown(Shutdown::Write).map_err(|error| error.to_string())?;
            line.read_to_the_end()
        }
        Step::Resets => {
            let linger = Some(Duration::ZERO);
            socket2::SockRef::from(line.socket()).set_linger(linger).map_err(|error| error.to_string())
        }
        Step::Ignores | Step::Closes => Ok(()),
    }
}

fn receive(line: &mut Line, kind: u8) -> Result<Frame, String> {
    match read_frame(line) {
        Ok(Some(frame)) if frame.kind() == kind => Ok(frame),
        other => Err(format!("expected a packet of type {kind}, got {other:?}")),
    }
}

/// Sends the answer to a packet, in pieces.
fn answer(line: &mut Line, frame: &Frame, piece: usize) -> Result<(), String> {
    let reply = match frame.kind() {
        mqtt::PUBLISH => match frame.publish() {
            (_, Some(id), _) => [&[0x40, 2][..], &id.to_be_bytes()].concat(),
            _ => return Err("a PUBLISH with QoS 0".to_owned()),
        },
        mqtt::PINGREQ => vec![0xd0, 0],
        _ => return Ok(()),
    };
    reply.chunks(piece).try_for_each(|piece| line.send(piece))
}
