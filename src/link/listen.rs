//! Binds listeners; no other code does. The caller binds first and starts its threads later, so that it knows the port
//! before anything runs. Used by the emulator and by tests.

use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};

/// The maximum number of connections that wait to be accepted. The kernel caps it at net.core.somaxconn (4,096 on
/// Linux).
const BACKLOG: i32 = 4096;

/// The reason why this process cannot listen on an address, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The address is in use.
    #[error(
        "cannot listen on {0}: the address is in use. Stop the program that uses it (`ss -ltnp` lists it), or choose another port"
    )]
    InUse(SocketAddr),
    /// The port is below 1,024, and this process may not use it.
    #[error("cannot listen on {0}: permission denied. Choose port 1024 or higher")]
    Denied(SocketAddr),
    /// The address belongs to another machine.
    #[error("cannot listen on {0}: it is not an address of this machine. Choose one that `ip addr` lists")]
    NotLocal(SocketAddr),
    /// Any other error.
    #[error("cannot listen on {address}: {source}")]
    Other {
        /// Address.
        address: SocketAddr,
        /// Cause.
        source: io::Error,
    },
}

/// Listens on `address` in non-blocking mode. With port 0, the system chooses a port. A port with old connections in
/// `TIME_WAIT` can be bound immediately.
///
/// # Errors
/// The address cannot be used. The message says what to do.
pub fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    listener(address).map_err(|source| match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EADDRINUSE) => ListenError::InUse(address),
        Some(Errno::EACCES) => ListenError::Denied(address),
        Some(Errno::EADDRNOTAVAIL) => ListenError::NotLocal(address),
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
    fn an_address_in_use_is_reported_with_the_fix() {
        let listener = bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let error = bind(address).expect_err("in use");
        assert!(matches!(error, ListenError::InUse(at) if at == address));
        assert!(error.to_string().contains("another port"), "{error}");
        drop(listener);
        bind(address).expect("free again");
    }

    #[test]
    fn another_machines_address_is_not_reported_as_in_use() {
        // No machine has an address of TEST-NET-1 (RFC 5737).
        let error = bind(([192, 0, 2, 1], 0).into()).expect_err("the address of another machine");
        assert!(matches!(error, ListenError::NotLocal(_)), "{error}");
    }
}
