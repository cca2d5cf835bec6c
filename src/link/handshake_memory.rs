//! A bound on the memory of a connection during its TLS handshake. Used by `tls::stream`; the emulator implements it.

use std::task::{Context, Poll};

/// Bounds the memory of a connection during its handshake.
pub trait HandshakeMemory {
    /// Ready once the connection may read, by which it grows by at most `bytes`. To be called when there is something to read.
    fn poll_room(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<()>;

    /// It has read, or `received` nothing, and its buffers hold so much now. TLS's own state is not in it.
    fn after_read(&mut self, received: bool, buffers_bytes: usize);
}

/// No bound.
impl HandshakeMemory for () {
    fn poll_room(&mut self, _cx: &mut Context<'_>, _bytes: usize) -> Poll<()> {
        Poll::Ready(())
    }

    fn after_read(&mut self, _received: bool, _buffers_bytes: usize) {}
}
