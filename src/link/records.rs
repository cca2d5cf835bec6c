//! TLS without a socket: rustls's unbuffered connection, either side of it, as bytes in and bytes out. `secure` puts it on a
//! socket and lends the memory to work in.
//!
//! It owns memory of its own only for what has not come whole and for what is to be sent. Between two calls rustls holds no
//! plaintext, and what is kept of the input has no whole record: a write never meets something to be read. An answer to the
//! peer's new keys goes out in front of the next record.

use bytes::BytesMut;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{ClientConfig, CommonState, Error, ServerConfig};
use std::sync::Arc;

use super::tls::NoCertificate;

/// The most input kept during the handshake: its messages may be this large.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// The most input kept after the handshake: the largest record, that of TLS 1.2 (RFC 5246 §6.2.3). Handshake messages are smaller by
/// then.
const RECORD_BYTES_MAX: usize = 5 + 16 * 1024 + 2048;

/// One end of a TLS connection.
pub(super) struct Records {
    /// Gone with its first error: rustls must not see input after that, and its memory serves nobody.
    session: Result<Session, Error>,
    /// Ciphertext that waits for its rest: of a record, or of a handshake message of several.
    kept: Vec<u8>,
    /// The server requested a client certificate.
    certificate_asked: bool,
    /// Ciphertext to be sent, in its order. Handshake messages and alerts come here; the caller takes it and may add to it.
    pub(super) unsent: BytesMut,
    ended: bool,
}

enum Session {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

/// What is to be encrypted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outgoing<'a> {
    /// Plaintext: one record as long as it has at most 16 KiB.
    Data(&'a [u8]),
    /// TLS's `close_notify`.
    Goodbye,
}

/// How rustls goes on.
enum Step {
    /// It has more to say.
    More,
    /// It has used what there is.
    Starved,
    /// The peer has said goodbye.
    Ended,
}

impl Records {
    /// The client's end, its first message ready to be sent.
    ///
    /// # Errors
    /// rustls cannot speak with that configuration.
    pub(super) fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Records, Error> {
        let session = UnbufferedClientConnection::new(config, name)?;
        let mut records = Records::new(Session::Client(session));
        records.open(&mut [], &mut BytesMut::new())?;
        Ok(records)
    }

    /// The server's end.
    ///
    /// # Errors
    /// rustls cannot speak with that configuration.
    pub(super) fn server(config: Arc<ServerConfig>) -> Result<Records, Error> {
        Ok(Records::new(Session::Server(UnbufferedServerConnection::new(config)?)))
    }

    fn new(session: Session) -> Records {
        Records {
            session: Ok(session),
            kept: Vec::new(),
            certificate_asked: false,
            unsent: BytesMut::new(),
            ended: false,
        }
    }

    /// Why TLS is over, once it has failed.
    pub(super) fn failure(&self) -> Option<&Error> {
        self.session.as_ref().err()
    }

    /// True if the server has requested a client certificate.
    pub(super) fn certificate_asked(&self) -> bool {
        self.certificate_asked
    }

    /// What rustls knows of the connection; `None` once it has failed.
    pub(super) fn common(&self) -> Option<&CommonState> {
        match self.session.as_ref().ok()? {
            Session::Client(session) => Some(session),
            Session::Server(session) => Some(session),
        }
    }

    /// The handshake goes on. What `unsent` holds at its end belongs to it.
    pub(super) fn is_handshaking(&self) -> bool {
        self.common().is_some_and(CommonState::is_handshaking)
    }

    /// The peer has said goodbye: nothing more will be decrypted.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// How much room [`Records::open`] wants in front of what has come, in bytes.
    pub(super) fn kept_bytes(&self) -> usize {
        self.kept.len()
    }

    /// Buffer memory in bytes, without rustls's own state.
    pub(super) fn owned_bytes(&self) -> usize {
        self.kept.capacity() + self.unsent.capacity()
    }

    /// Decrypts, in place, and appends the plaintext: all that is whole. `input` is room for [`Records::kept_bytes`], then
    /// what has come.
    ///
    /// # Errors
    /// TLS is over, perhaps after some plaintext; the alert about it is in `unsent`. From then on it is always this error.
    pub(super) fn open(&mut self, input: &mut [u8], plaintext: &mut BytesMut) -> Result<(), Error> {
        let session = self.session.as_mut().map_err(|error| error.clone())?;
        input[..self.kept.len()].copy_from_slice(&self.kept);
        let mut rest = input;
        loop {
            let (used, step) = session.step(rest, plaintext, &mut self.unsent);
            self.certificate_asked |= NoCertificate::was_asked();
            rest = rest.get_mut(used..).unwrap_or_default();
            match step {
                Ok(Step::More) => {}
                Ok(Step::Starved) if rest.len() >= session.kept_bytes_max() => {
                    return Err(self.fail(rustls::InvalidMessage::HandshakePayloadTooLarge.into()));
                }
                Ok(Step::Starved) => {
                    self.kept = rest.to_vec();
                    return Ok(());
                }
                Ok(Step::Ended) => {
                    // What follows a goodbye is to be ignored (RFC 8446 §6.1).
                    self.ended = true;
                    self.kept = Vec::new();
                    return Ok(());
                }
                Err(error) => return Err(self.fail(error)),
            }
        }
    }

    /// Encrypts into `room`, which grows if it must. How many bytes that made.
    ///
    /// # Errors
    /// As [`Records::open`]. TLS 1.2 also ends when its keys have encrypted all that they may.
    pub(super) fn seal(&mut self, outgoing: Outgoing<'_>, room: &mut Vec<u8>) -> Result<usize, Error> {
        let session = self.session.as_mut().map_err(|error| error.clone())?;
        session.seal(&mut self.kept, outgoing, room).map_err(|error| self.fail(error))
    }

    fn fail(&mut self, error: Error) -> Error {
        if let Ok(mut session) = std::mem::replace(&mut self.session, Err(error.clone())) {
            session.last_words(&mut self.unsent);
        }
        self.kept = Vec::new();
        error
    }
}

impl Session {
    /// One step of rustls: how many bytes of `input` are used up, also by an error, and how it goes on.
    fn step(
        &mut self,
        input: &mut [u8],
        plaintext: &mut BytesMut,
        unsent: &mut BytesMut,
    ) -> (usize, Result<Step, Error>) {
        match self {
            Session::Client(session) => step(session.process_tls_records(input), plaintext, unsent),
            Session::Server(session) => step(session.process_tls_records(input), plaintext, unsent),
        }
    }

    /// Whatever rustls is asked for, it must be shown what is kept: it remembers places in it.
    fn seal(&mut self, kept: &mut [u8], outgoing: Outgoing<'_>, room: &mut Vec<u8>) -> Result<usize, Error> {
        match self {
            Session::Client(session) => seal(session.process_tls_records(kept), outgoing, room),
            Session::Server(session) => seal(session.process_tls_records(kept), outgoing, room),
        }
    }

    fn kept_bytes_max(&self) -> usize {
        let common: &CommonState = match self {
            Session::Client(session) => session,
            Session::Server(session) => session,
        };
        if common.is_handshaking() { KEPT_BYTES_MAX } else { RECORD_BYTES_MAX }
    }

    fn wants_write(&self) -> bool {
        match self {
            Session::Client(session) => session.wants_write(),
            Session::Server(session) => session.wants_write(),
        }
    }

    /// Takes the alert that an error has queued. While something is queued rustls does not look at its input, which
    /// after an error it must not do: it would fail on it a second time.
    fn last_words(&mut self, unsent: &mut BytesMut) {
        let mut unread = BytesMut::new();
        while self.wants_write() && self.step(&mut [], &mut unread, unsent).1.is_ok() {}
    }
}

fn step<D>(
    status: UnbufferedStatus<'_, '_, D>,
    plaintext: &mut BytesMut,
    unsent: &mut BytesMut,
) -> (usize, Result<Step, Error>) {
    let mut used = status.discard;
    let step = match status.state {
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                Some(Ok(record)) => {
                    used += record.discard;
                    plaintext.extend_from_slice(record.payload);
                }
                Some(Err(error)) => break Err(error),
                None => break Ok(Step::More),
            }
        },
        Ok(ConnectionState::EncodeTlsData(message)) => encode(message, unsent).map(|()| Step::More),
        Ok(ConnectionState::TransmitTlsData(transmission)) => {
            // It is in `unsent`, and nothing overtakes that.
            transmission.done();
            Ok(Step::More)
        }
        Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => Ok(Step::Starved),
        Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Ok(Step::Ended),
        // Early data in TLS's sense, which no configuration of ours offers.
        Ok(state) => Err(Error::General(format!("TLS is in an unexpected state: {state:?}"))),
        Err(error) => Err(error),
    };
    (used, step)
}

/// Appends a message of rustls's own.
fn encode<D>(mut message: EncodeTlsData<'_, D>, unsent: &mut BytesMut) -> Result<(), Error> {
    let before = unsent.len();
    loop {
        match message.encode(&mut unsent[before..]) {
            Ok(_) => return Ok(()),
            Err(EncodeError::InsufficientSize(error)) => unsent.resize(before + error.required_size, 0),
            Err(error) => return Err(Error::General(error.to_string())),
        }
    }
}

fn seal<D>(
    status: UnbufferedStatus<'_, '_, D>,
    outgoing: Outgoing<'_>,
    room: &mut Vec<u8>,
) -> Result<usize, Error> {
    match status.state? {
        ConnectionState::WriteTraffic(mut traffic) => loop {
            match outgoing.seal(&mut traffic, room) {
                Ok(n) => return Ok(n),
                Err(EncryptError::InsufficientSize(error)) => room.resize(error.required_size, 0),
                Err(EncryptError::EncryptExhausted) => return Err(Error::EncryptError),
            }
        },
        // Both ends have said goodbye.
        state => Err(Error::General(format!("TLS takes no data: {state:?}"))),
    }
}

impl Outgoing<'_> {
    fn seal<D>(self, traffic: &mut WriteTraffic<'_, D>, room: &mut [u8]) -> Result<usize, EncryptError> {
        match self {
            Outgoing::Data(plaintext) => traffic.encrypt(plaintext, room),
            Outgoing::Goodbye => traffic.queue_close_notify(room),
        }
    }
}
