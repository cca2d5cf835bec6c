//! TLS without a socket: rustls's unbuffered connection, either side of it, as bytes in and bytes out. `secure` puts it on a
//! socket and lends the memory to work in.
//!
//! It owns memory of its own only for what has not come whole and for what is to be sent. Between two calls rustls holds no
//! plaintext, and what is partial of the input has no whole record: a write never meets something to be read. An answer to the
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

use super::config::NoClientCertificate;

/// The most input partial during the handshake: its messages may be this large.
const HANDSHAKE_BYTES_MAX: usize = 64 * 1024;

/// The most input partial after the handshake: the largest record, that of TLS 1.2 (RFC 5246 §6.2.3). Handshake messages are smaller by
/// then.
const RECORD_BYTES_MAX: usize = 5 + 16 * 1024 + 2048;

/// One end of a TLS connection.
pub(in crate::link) struct Records {
    /// Gone with its first error: rustls must not see input after that, and its memory serves nobody.
    connection: Result<Connection, Error>,
    /// Ciphertext that waits for its rest: of a record, or of a handshake message of several.
    partial: Vec<u8>,
    /// The server requested a client certificate.
    client_certificate_requested: bool,
    /// Ciphertext to be sent, in its order. Handshake messages and alerts come here; the caller takes it and may add to it.
    pub(in crate::link) unsent: BytesMut,
    peer_closed: bool,
}

enum Connection {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

/// What is to be encrypted.
#[derive(Clone, Copy, Debug)]
pub(in crate::link) enum Outgoing<'a> {
    /// Plaintext: one record as long as it has at most 16 KiB.
    Data(&'a [u8]),
    /// TLS's `close_notify`.
    CloseNotify,
}

/// How rustls goes on.
enum Progress {
    /// It has more to say.
    More,
    /// It has used what there is.
    NeedsInput,
    /// The peer has said goodbye.
    PeerClosed,
}

impl Records {
    /// The client's end, its first message ready to be sent.
    ///
    /// # Errors
    /// rustls cannot speak with that configuration.
    pub(in crate::link) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Records, Error> {
        let connection = UnbufferedClientConnection::new(config, name)?;
        let mut records = Records::new(Connection::Client(connection));
        records.decrypt(&mut [], &mut BytesMut::new())?;
        Ok(records)
    }

    /// The server's end.
    ///
    /// # Errors
    /// rustls cannot speak with that configuration.
    pub(in crate::link) fn server(config: Arc<ServerConfig>) -> Result<Records, Error> {
        Ok(Records::new(Connection::Server(UnbufferedServerConnection::new(config)?)))
    }

    fn new(connection: Connection) -> Records {
        Records {
            connection: Ok(connection),
            partial: Vec::new(),
            client_certificate_requested: false,
            unsent: BytesMut::new(),
            peer_closed: false,
        }
    }

    /// Why TLS is over, once it has failed.
    pub(in crate::link) fn failure(&self) -> Option<&Error> {
        self.connection.as_ref().err()
    }

    /// True if the server has requested a client certificate.
    pub(in crate::link) fn client_certificate_requested(&self) -> bool {
        self.client_certificate_requested
    }

    /// What rustls knows of the connection; `None` once it has failed.
    pub(in crate::link) fn common(&self) -> Option<&CommonState> {
        match self.connection.as_ref().ok()? {
            Connection::Client(connection) => Some(connection),
            Connection::Server(connection) => Some(connection),
        }
    }

    /// The handshake goes on. What `unsent` holds at its end belongs to it.
    pub(in crate::link) fn is_handshaking(&self) -> bool {
        self.common().is_some_and(CommonState::is_handshaking)
    }

    /// The peer has said goodbye: nothing more will be decrypted.
    pub(in crate::link) fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// How much buffer [`Records::decrypt`] wants in front of what has come, in bytes.
    pub(in crate::link) fn partial_bytes(&self) -> usize {
        self.partial.len()
    }

    /// Buffer memory in bytes, without rustls's own state.
    pub(in crate::link) fn owned_bytes(&self) -> usize {
        self.partial.capacity() + self.unsent.capacity()
    }

    /// Decrypts, in place, and appends the plaintext: all that is whole. `input` is buffer for [`Records::partial_bytes`], then
    /// what has come.
    ///
    /// # Errors
    /// TLS is over, perhaps after some plaintext; the alert about it is in `unsent`. From then on it is always this error.
    pub(in crate::link) fn decrypt(
        &mut self,
        input: &mut [u8],
        plaintext: &mut BytesMut,
    ) -> Result<(), Error> {
        let connection = self.connection.as_mut().map_err(|error| error.clone())?;
        input[..self.partial.len()].copy_from_slice(&self.partial);
        let mut rest = input;
        loop {
            let (used, step) = connection.step(rest, plaintext, &mut self.unsent);
            self.client_certificate_requested |= NoClientCertificate::take_request();
            rest = rest.get_mut(used..).unwrap_or_default();
            match step {
                Ok(Progress::More) => {}
                Ok(Progress::NeedsInput) if rest.len() >= connection.partial_bytes_max() => {
                    return Err(self.fail(rustls::InvalidMessage::HandshakePayloadTooLarge.into()));
                }
                Ok(Progress::NeedsInput) => {
                    self.partial = rest.to_vec();
                    return Ok(());
                }
                Ok(Progress::PeerClosed) => {
                    // What follows a goodbye is to be ignored (RFC 8446 §6.1).
                    self.peer_closed = true;
                    self.partial = Vec::new();
                    return Ok(());
                }
                Err(error) => return Err(self.fail(error)),
            }
        }
    }

    /// Encrypts into `buffer`, which grows if it must. How many bytes that made.
    ///
    /// # Errors
    /// As [`Records::decrypt`]. TLS 1.2 also ends when its keys have encrypted all that they may.
    pub(in crate::link) fn encrypt(
        &mut self,
        outgoing: Outgoing<'_>,
        buffer: &mut Vec<u8>,
    ) -> Result<usize, Error> {
        let connection = self.connection.as_mut().map_err(|error| error.clone())?;
        connection.encrypt(&mut self.partial, outgoing, buffer).map_err(|error| self.fail(error))
    }

    fn fail(&mut self, error: Error) -> Error {
        if let Ok(mut connection) = std::mem::replace(&mut self.connection, Err(error.clone())) {
            connection.take_alert(&mut self.unsent);
        }
        self.partial = Vec::new();
        error
    }
}

impl Connection {
    /// One step of rustls: how many bytes of `input` are used up, also by an error, and how it goes on.
    fn step(
        &mut self,
        input: &mut [u8],
        plaintext: &mut BytesMut,
        unsent: &mut BytesMut,
    ) -> (usize, Result<Progress, Error>) {
        match self {
            Connection::Client(connection) => step(connection.process_tls_records(input), plaintext, unsent),
            Connection::Server(connection) => step(connection.process_tls_records(input), plaintext, unsent),
        }
    }

    /// Whatever rustls is asked for, it must be shown what is partial: it remembers places in it.
    fn encrypt(
        &mut self,
        partial: &mut [u8],
        outgoing: Outgoing<'_>,
        buffer: &mut Vec<u8>,
    ) -> Result<usize, Error> {
        match self {
            Connection::Client(connection) => {
                encrypt(connection.process_tls_records(partial), outgoing, buffer)
            }
            Connection::Server(connection) => {
                encrypt(connection.process_tls_records(partial), outgoing, buffer)
            }
        }
    }

    fn partial_bytes_max(&self) -> usize {
        let common: &CommonState = match self {
            Connection::Client(connection) => connection,
            Connection::Server(connection) => connection,
        };
        if common.is_handshaking() { HANDSHAKE_BYTES_MAX } else { RECORD_BYTES_MAX }
    }

    fn wants_write(&self) -> bool {
        match self {
            Connection::Client(connection) => connection.wants_write(),
            Connection::Server(connection) => connection.wants_write(),
        }
    }

    /// Takes the alert that an error has queued. While something is queued rustls does not look at its input, which
    /// after an error it must not do: it would fail on it a second time.
    fn take_alert(&mut self, unsent: &mut BytesMut) {
        let mut unread = BytesMut::new();
        while self.wants_write() && self.step(&mut [], &mut unread, unsent).1.is_ok() {}
    }
}

fn step<D>(
    status: UnbufferedStatus<'_, '_, D>,
    plaintext: &mut BytesMut,
    unsent: &mut BytesMut,
) -> (usize, Result<Progress, Error>) {
    let mut used = status.discard;
    let step = match status.state {
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                Some(Ok(record)) => {
                    used += record.discard;
                    plaintext.extend_from_slice(record.payload);
                }
                Some(Err(error)) => break Err(error),
                None => break Ok(Progress::More),
            }
        },
        Ok(ConnectionState::EncodeTlsData(message)) => encode(message, unsent).map(|()| Progress::More),
        Ok(ConnectionState::TransmitTlsData(transmission)) => {
            // It is in `unsent`, and nothing overtakes that.
            transmission.done();
            Ok(Progress::More)
        }
        Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => Ok(Progress::NeedsInput),
        Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Ok(Progress::PeerClosed),
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

fn encrypt<D>(
    status: UnbufferedStatus<'_, '_, D>,
    outgoing: Outgoing<'_>,
    buffer: &mut Vec<u8>,
) -> Result<usize, Error> {
    match status.state? {
        ConnectionState::WriteTraffic(mut traffic) => loop {
            match outgoing.encrypt(&mut traffic, buffer) {
                Ok(n) => return Ok(n),
                Err(EncryptError::InsufficientSize(error)) => buffer.resize(error.required_size, 0),
                Err(EncryptError::EncryptExhausted) => return Err(Error::EncryptError),
            }
        },
        // Both ends have said goodbye.
        state => Err(Error::General(format!("TLS takes no data: {state:?}"))),
    }
}

impl Outgoing<'_> {
    fn encrypt<D>(self, traffic: &mut WriteTraffic<'_, D>, buffer: &mut [u8]) -> Result<usize, EncryptError> {
        match self {
            Outgoing::Data(plaintext) => traffic.encrypt(plaintext, buffer),
            Outgoing::CloseNotify => traffic.queue_close_notify(buffer),
        }
    }
}
