//! A limit on the memory of a connection during its TLS handshake. `tls::stream` consults it before each read; the
//! emulator implements it, so that unknown clients cannot exhaust the emulator's memory.

use std::task::{Context, Poll};

/// Limits the memory of a connection during its handshake.
pub trait HandshakeMemory {
    /// Returns `Ready` when the connection may read, which adds at most `bytes` to its buffers. Call this when the
    /// socket is readable.
    fn poll_room(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<()>;

    /// Reports that a read has finished: whether it `received` anything, and the current size of the connection's
    /// buffers, not counting rustls's own state.
    fn after_read(&mut self, received: bool, buffers_bytes: usize);
}

/// Imposes no limit.
impl HandshakeMemory for () {
    fn poll_room(&mut self, _cx: &mut Context<'_>, _bytes: usize) -> Poll<()> {
        Poll::Ready(())
    }

    fn after_read(&mut self, _received: bool, _buffers_bytes: usize) {}
}
