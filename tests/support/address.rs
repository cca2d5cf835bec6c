//! Addresses that no other test has.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process;

/// A loopback address of this process's own: what needs a fixed port can have it there. Linux answers on all of
/// 127.0.0.0/8, and its process ids have at most 22 bits.
pub fn own_address() -> IpAddr {
    let [_, high, middle, low] = process::id().to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, 64 + high % 64, middle, low))
}

/// A listener on a port that the kernel picked.
#[expect(clippy::disallowed_methods, reason = "a test's peer; link::listen is for the product's listeners")]
pub fn listen(address: IpAddr) -> TcpListener {
    TcpListener::bind(SocketAddr::new(address, 0)).expect("loopback has free ports")
}
