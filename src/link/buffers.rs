//! The scratch buffers that all links of one worker share. Used by `driver`.

use bytes::BytesMut;
use std::cell::RefCell;
use std::rc::Rc;

/// What a worker's shared buffer starts with: a whole TLS record.
const SHARED_BYTES: usize = 16 * 1024;

/// What is left of a buffer moves between the worker's and the link's own while it is no more than this. More stays where it
/// is: a large frame that comes a few bytes at a time must not be copied each time.
const MOVED_BYTES_MAX: usize = 4 * 1024;

/// A shared buffer that one burst made larger than this is given back.
const SHARED_BYTES_KEPT_MAX: usize = 256 * 1024;

/// The scratch memory of a worker: all its links read and write through it, so that one that waits owns none.
#[derive(Debug, Default)]
pub struct Buffers {
    pub(super) input: BytesMut,
    pub(super) output: BytesMut,
}

/// How a worker shares its [`Buffers`] among its links.
pub type SharedBuffers = Rc<RefCell<Buffers>>;

impl Buffers {
    /// For all links of one worker.
    #[must_use]
    pub fn shared() -> SharedBuffers {
        Rc::default()
    }
}

/// The buffer to work in: the worker's, with what the link has of its own in front, unless that is too much to be moved.
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

/// Gives a buffer back to the worker, if it is the worker's, and to the link what is left in it.
pub(super) fn give_back(shared: &mut BytesMut, mut buffer: BytesMut) -> BytesMut {
    // The worker has its own: this one is the link's.
    let is_own = shared.capacity() > 0;
    if is_own && buffer.len() > MOVED_BYTES_MAX {
        return buffer;
    }
    let rest = if buffer.is_empty() { BytesMut::new() } else { BytesMut::from(&buffer[..]) };
    if !is_own {
        buffer.clear();
        buffer.reserve(SHARED_BYTES); // What was consumed is taken back; a buffer without capacity would look lent.
        if buffer.capacity() <= SHARED_BYTES_KEPT_MAX {
            *shared = buffer;
        }
    }
    rest
}
