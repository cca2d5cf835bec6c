//! The scratch buffers that all links of one worker share, so that an idle link owns no memory. Used by `driver`.
//! Independent of sockets and machines.

use bytes::BytesMut;
use std::cell::RefCell;
use std::rc::Rc;

/// Initial size of a shared buffer: a whole TLS record.
const SHARED_BYTES: usize = 16 * 1024;

/// Up to this many unconsumed bytes are copied between the shared buffer and the link's own buffer. More than that stay
/// where they are, because a large frame that arrives in small pieces must not be copied for each piece.
const MOVED_BYTES_MAX: usize = 4 * 1024;

/// The maximum size of one read from a socket without TLS, as under TLS. Without this limit, a flooding peer would make the
/// buffer grow with every read.
pub(super) const READ_BYTES_MAX: usize = 16 * 1024;

/// A shared buffer that has grown beyond this size is freed.
const SHARED_BYTES_KEPT_MAX: usize = 256 * 1024;

/// The scratch buffers of a worker. All its links read and write through them.
#[derive(Debug, Default)]
pub struct Buffers {
    pub(super) input: BytesMut,
    pub(super) output: BytesMut,
}

/// A handle to a worker's [`Buffers`].
pub type SharedBuffers = Rc<RefCell<Buffers>>;

impl Buffers {
    /// Creates the buffers for all links of one worker.
    #[must_use]
    pub fn shared() -> SharedBuffers {
        Rc::default()
    }
}

/// Returns the buffer to work in: the shared one, beginning with the link's own bytes, or the link's own buffer if that
/// is too large to copy.
pub(super) fn lend(shared: &mut BytesMut, own: &mut BytesMut) -> BytesMut {
    if own.len() > MOVED_BYTES_MAX {
        return std::mem::take(own);
    }
    let mut buffer = std::mem::take(shared);
    if buffer.capacity() == 0 {
        buffer.reserve(SHARED_BYTES);
    }
    buffer.extend_from_slice(own);
    buffer
}

/// Gives a lent buffer back to the worker. Returns the link's own buffer, which holds the remaining bytes.
pub(super) fn give_back(shared: &mut BytesMut, mut buffer: BytesMut) -> BytesMut {
    // If the worker's buffer is not lent out, this buffer is the link's own.
    let is_own = shared.capacity() > 0;
    if is_own && buffer.len() > MOVED_BYTES_MAX {
        return buffer;
    }
    let rest = if buffer.is_empty() { BytesMut::new() } else { BytesMut::from(&buffer[..]) };
    if !is_own {
        buffer.clear();
        // A buffer that has grown too large is freed.
        if buffer.capacity() <= SHARED_BYTES_KEPT_MAX {
            *shared = buffer;
        }
    }
    rest
}
