//! Addresses that no other test uses. Independent of the program under test.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// The number of addresses that `listen_at` tries.
const TRIES_MAX: u32 = 100;
static TRIES: AtomicU32 = AtomicU32::new(0);

/// Returns a loopback address that only this process uses, for servers with a fixed port. Linux accepts all of 127.0.0.0/8, and process
/// ids have at most 22 bits.
pub fn own_address() -> IpAddr {
    let [_, high, middle, low] = process::id().to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, 64 + high % 64, middle, low))
}

/// Returns a listener on a port that the kernel picks.
#[expect(clippy::disallowed_methods, reason = "a test's peer; link::listen is for the product's listeners")]
pub fn listen(address: IpAddr) -> TcpListener {
    TcpListener::bind(SocketAddr::new(address, 0)).expect("loopback has free ports")
}

/// Returns a non-blocking listener on `port` of an address where no other listener, in this or another process, uses it. Tries addresses until
/// one is free.
pub fn listen_at(port: u16) -> TcpListener {
    for _ in 0..TRIES_MAX {
        let number =
            process::id().wrapping_mul(TRIES_MAX).wrapping_add(TRIES.fetch_add(1, Ordering::Relaxed));
        let [_, high, middle, low] = number.to_be_bytes();
        // The half of 127.0.0.0/8 that `own_address` does not use.
        let address = Ipv4Addr::new(127, high | 128, middle, low);
        if let Ok(listener) = hubstorm::link::listen::bind(SocketAddr::new(address.into(), port)) {
            return listener;
        }
    }
    panic!("no address has its port {port} free: does something listen there on all addresses (`ss -ltnp`)?");
}
