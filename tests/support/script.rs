//! A scripted peer: a broker that says exactly what a test tells it to, for misbehaviour that the built-in hub must
//! never imitate. A step that was not reached fails the test.

use super::PATIENCE;
use super::address::{listen, own_address};
use super::mqtt::{self, read_frame};
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

/// One step of a conversation.
#[derive(Clone, Debug)]
pub enum Step {
    /// A packet of this type comes.
    Receives(u8),
    /// A PUBLISH with QoS 1 comes; its PUBACK is written in pieces of this many bytes.
    Acks {
        piece: usize,
    },
    Sends(Vec<u8>),
    Closes,
}

pub fn receives(kind: u8) -> Step {
    Step::Receives(kind)
}

pub fn acks(piece: usize) -> Step {
    Step::Acks { piece }
}

pub fn sends(bytes: impl Into<Vec<u8>>) -> Step {
    Step::Sends(bytes.into())
}

pub fn closes() -> Step {
    Step::Closes
}

/// A listener that plays one script to one connection.
pub struct Script {
    address: SocketAddr,
    player: JoinHandle<Result<(), String>>,
}

impl Script {
    pub fn connection(steps: impl IntoIterator<Item = Step>) -> Script {
        let listener = listen(own_address());
        let address = listener.local_addr().expect("it is bound");
        let steps: Vec<Step> = steps.into_iter().collect();
        Script { address, player: thread::spawn(move || play(&listener, &steps)) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Fails if any step is unused. Called when the program under test has ended.
    #[track_caller]
    pub fn finish(self) {
        if !self.player.is_finished() {
            // If nobody ever came, this ends the wait; the script then misses its first packet.
            drop(TcpStream::connect(self.address));
        }
        if let Err(why) = self.player.join().expect("the player does not panic") {
            panic!("{why}");
        }
    }
}

fn play(listener: &TcpListener, steps: &[Step]) -> Result<(), String> {
    let (mut stream, _) = listener.accept().map_err(|error| format!("accept: {error}"))?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    for (index, step) in steps.iter().enumerate() {
        perform(&mut stream, step).map_err(|why| {
            format!("step {} of {}, {step:?}: {why}; unused: {:?}", index + 1, steps.len(), &steps[index..])
        })?;
        if matches!(step, Step::Closes) {
            return Ok(());
        }
    }
    Ok(())
}

fn perform(stream: &mut TcpStream, step: &Step) -> Result<(), String> {
    let mut receive = |kind: u8| match read_frame(stream) {
        Ok(Some(frame)) if frame.kind() == kind => Ok(frame),
        other => Err(format!("wanted a packet of type {kind}, got {other:?}")),
    };
    match step {
        Step::Receives(kind) => receive(*kind).map(drop),
        Step::Acks { piece } => {
            let frame = receive(mqtt::PUBLISH)?;
            let (_, Some(id), _) = frame.publish() else { return Err("a PUBLISH with QoS 0".to_owned()) };
            let puback = [&[0x40, 0x02][..], &id.to_be_bytes()].concat();
            puback
                .chunks(*piece)
                .try_for_each(|piece| stream.write_all(piece))
                .map_err(|error| error.to_string())
        }
        Step::Sends(bytes) => stream.write_all(bytes).map_err(|error| error.to_string()),
        Step::Closes => Ok(()),
    }
}
