//! The one place that binds listeners. The caller binds, so that it knows the port before anything runs.

use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};

/// Connections that may wait to be accepted; the kernel caps it at net.core.somaxconn (4,096 on Linux).
const BACKLOG: i32 = 4096;

/// A listener that cannot be had, with what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Another program listens there.
    #[error(
        "cannot listen on {0}: the address is in use; stop the program that has it (`ss -ltnp` names it) or choose another port"
    )]
    InUse(SocketAddr),
    /// A port below 1,024 without the right to it.
    #[error("cannot listen on {0}: permission denied; choose a port from 1024 up")]
    Denied(SocketAddr),
    /// Not an address of this machine.
    #[error("cannot listen on {0}: this machine does not have that address (`ip addr` lists them)")]
    NotOurs(SocketAddr),
    /// Anything else.
    #[error("cannot listen on {address}: {source}")]
    Other {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// Listens on `address`, not blocking; port 0 lets the system choose. A port whose old connections still linger in
/// `TIME_WAIT` can be bound again at once.
///
/// # Errors
/// Says what stands in the way and what to do.
pub fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    listener(address).map_err(|source| match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EADDRINUSE) => ListenError::InUse(address),
        Some(Errno::EACCES) => ListenError::Denied(address),
        Some(Errno::EADDRNOTAVAIL) => ListenError::NotOurs(address),
        _ => ListenError::Other { address, source },
    })
}

fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_use_is_said_with_what_to_do() {
        let held = bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = held.local_addr().expect("bound");
        let error = bind(address).expect_err("it is held");
        assert!(matches!(error, ListenError::InUse(at) if at == address));
        assert!(error.to_string().contains("another port"), "{error}");
        drop(held);
        bind(address).expect("free again");
    }

    #[test]
    fn a_foreign_address_is_told_from_one_in_use() {
        // TEST-NET-1 (RFC 5737) belongs to no machine.
        let error = bind(([192, 0, 2, 1], 0).into()).expect_err("not ours");
        assert!(matches!(error, ListenError::NotOurs(_)), "{error}");
    }
}
