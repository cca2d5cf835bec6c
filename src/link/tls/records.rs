//! One end of a TLS connection without a socket: rustls's unbuffered connection, as bytes in and bytes out. `stream`
//! connects it to a socket and lends it the memory to work in.
//!
//! It owns memory only for incomplete input and for unsent output. Between two calls rustls holds no plaintext, and the
//! kept input holds no complete record, so there is never unread input when a write begins. A reply to the peer's key
//! update is sent before the next record.

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

/// The limit on kept input during the handshake, in which messages may be this large.
const HANDSHAKE_BYTES_MAX: usize = 64 * 1024;

/// The limit on kept input after the handshake: the size of the largest record, which TLS 1.2 allows (RFC 5246 §6.2.3).
/// Handshake messages that follow the handshake are smaller.
const RECORD_BYTES_MAX: usize = 5 + 16 * 1024 + 2048;

/// One end of a TLS connection.
pub(in crate::link) struct Records {
    /// The connection, or the first error, which replaces it: rustls must not see any input after an error, and the
    /// connection's memory is freed.
    connection: Result<Connection, Error>,
    /// Incomplete input: a part of a record, or records that hold a part of a handshake message.
    partial: Vec<u8>,
    /// True if the server has requested a client certificate.
    client_certificate_requested: bool,
    /// Ciphertext to send, in order. Handshake messages and alerts are added here; the caller takes the data and may
    /// append more.
    pub(in crate::link) unsent: BytesMut,
    peer_closed: bool,
}

enum Connection {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

/// Data to encrypt.
#[derive(Clone, Copy, Debug)]
pub(in crate::link) enum Outgoing<'a> {
    /// Plaintext. It becomes one record if it is at most 16 KiB long.
    Data(&'a [u8]),
    /// TLS's `close_notify`.
    CloseNotify,
}

/// The result of one rustls step.
enum Progress {
    /// rustls has more to process.
    More,
    /// rustls has processed all complete input.
    NeedsInput,
    /// The peer has sent close_notify.
    PeerClosed,
}

impl Records {
    /// Creates the client's end, with its first message ready to send.
    ///
    /// # Errors
    /// rustls rejects the configuration.
    pub(in crate::link) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Records, Error> {
        let connection = UnbufferedClientConnection::new(config, name)?;
        let mut records = Records::new(Connection::Client(connection));
        records.decrypt(&mut [], &mut BytesMut::new())?;
        Ok(records)
    }

    /// Creates the server's end.
    ///
    /// # Errors
    /// rustls rejects the configuration.
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

    /// Returns the error that ended TLS, if any.
    pub(in crate::link) fn failure(&self) -> Option<&Error> {
        self.connection.as_ref().err()
    }

    /// Returns true if the server has requested a client certificate.
    pub(in crate::link) fn client_certificate_requested(&self) -> bool {
        self.client_certificate_requested
    }

    /// Returns rustls's connection state; `None` once the connection has failed.
    pub(in crate::link) fn common(&self) -> Option<&CommonState> {
        match self.connection.as_ref().ok()? {
            Connection::Client(connection) => Some(connection),
            Connection::Server(connection) => Some(connection),
        }
    }

    /// Returns true until the handshake is over. When it is over, its last messages may still be in `unsent`.
    pub(in crate::link) fn is_handshaking(&self) -> bool {
        self.common().is_some_and(CommonState::is_handshaking)
    }

    /// Returns true once the peer has sent close_notify. Nothing more is decrypted after that.
    pub(in crate::link) fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Returns the space that [`Records::decrypt`] needs in front of new input, in bytes.
    pub(in crate::link) fn partial_bytes(&self) -> usize {
        self.partial.len()
    }

    /// Returns the size of the buffers in bytes, not counting rustls's own state.
    pub(in crate::link) fn owned_bytes(&self) -> usize {
        self.partial.capacity() + self.unsent.capacity()
    }

    /// Decrypts all complete records in place, and appends the plaintext. `input` begins with [`Records::partial_bytes`] of
    /// free space, followed by the new input.
    ///
    /// # Errors
    /// TLS failed, possibly after some plaintext was appended. The alert for the peer is in `unsent`. Every later call
    /// returns the same error.
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
                    // Data after close_notify is ignored (RFC 8446 §6.1).
                    self.peer_closed = true;
                    self.partial = Vec::new();
                    return Ok(());
                }
                Err(error) => return Err(self.fail(error)),
            }
        }
    }

    /// Encrypts into `buffer`, which grows if necessary, and returns the length of the ciphertext.
    ///
    /// # Errors
    /// Returns the same errors as [`Records::decrypt`]. In addition, TLS 1.2 fails when its keys have reached their usage limit.
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
    /// Performs one rustls step. Returns the number of consumed bytes of `input`, which is valid even after an error,
    /// and how to proceed.
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

    /// Encrypts `outgoing`. Every call must pass the partial input to rustls, because rustls remembers offsets into it.
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

    /// Takes the alert that an error has queued. While output is queued, rustls does not process input. After an error,
    /// it must not, because processing would fail again.
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
            // The data is in `unsent`, which is sent in order.
            transmission.done();
            Ok(Progress::More)
        }
        Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => Ok(Progress::NeedsInput),
        Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Ok(Progress::PeerClosed),
        // TLS early data, which no configuration here offers.
        Ok(state) => Err(Error::General(format!("TLS is in an unexpected state: {state:?}"))),
        Err(error) => Err(error),
    };
    (used, step)
}

/// Appends a handshake message or an alert.
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
        // Both ends have sent close_notify.
        state => Err(Error::General(format!("TLS cannot send data in this state: {state:?}"))),
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
