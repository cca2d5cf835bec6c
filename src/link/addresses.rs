//! From where to where a device connects: this machine's source addresses and the target's addresses, shared out evenly. A
//! part of `dial`; `app` counts with it how many local ports there are.

use super::endpoint::Endpoint;
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::net::{TcpSocket, TcpStream, lookup_host};

/// One way to the target: to an address of it, and from one of ours where the plan says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) to: SocketAddr,
    pub(super) from: Option<IpAddr>,
}

/// The routes that the device of that number tries, in this order.
///
/// Devices take turns with the sources, and once around with the target's addresses, so that every pair carries its share.
/// They take turns only among addresses of the family that the resolver has put first: it knows what this machine can reach
/// (RFC 6724). The others come last. Resolvers shuffle their answers: sorted, a device prefers the same address every time.
pub(super) fn routes(found: &[SocketAddr], sources: &[IpAddr], turn: u64) -> Vec<Route> {
    let (mut preferred, others) = by_family(found, sources);
    if let Some(first) = preferred.first() {
        let round = turn / of_family(sources, first).count().max(1) as u64;
        let skipped = usize::try_from(round % preferred.len() as u64).unwrap_or(0);
        preferred.rotate_left(skipped);
    }
    let from = |to: &SocketAddr| {
        let count = of_family(sources, to).count().max(1) as u64;
        of_family(sources, to).nth(usize::try_from(turn % count).unwrap_or(0))
    };
    preferred.iter().chain(&others).map(|to| Route { to: *to, from: from(to) }).collect()
}

/// The target's addresses that can be reached from the sources: those of the first one's family, and the others.
fn by_family(found: &[SocketAddr], sources: &[IpAddr]) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
    let reached = |to: &SocketAddr| sources.is_empty() || of_family(sources, to).next().is_some();
    let usable: Vec<SocketAddr> = found.iter().copied().filter(reached).collect();
    let v4_first = usable.first().is_some_and(SocketAddr::is_ipv4);
    let (mut preferred, mut others): (Vec<_>, Vec<_>) =
        usable.into_iter().partition(|to| to.is_ipv4() == v4_first);
    for group in [&mut preferred, &mut others] {
        group.sort_unstable();
        group.dedup();
    }
    (preferred, others)
}

fn of_family(sources: &[IpAddr], to: &SocketAddr) -> impl Iterator<Item = IpAddr> {
    let v4 = to.is_ipv4();
    sources.iter().copied().filter(move |ip| ip.is_ipv4() == v4)
}

/// How many pairs of a source and a target address devices are shared out over; each has local ports of its own.
///
/// # Errors
/// The name could not be resolved.
pub async fn pairs(endpoint: &Endpoint) -> io::Result<u64> {
    let found: Vec<SocketAddr> = lookup_host((endpoint.host.as_str(), endpoint.port)).await?.collect();
    let (preferred, _) = by_family(&found, &endpoint.sources);
    let sources = preferred.first().map_or(0, |to| of_family(&endpoint.sources, to).count());
    Ok(preferred.len() as u64 * sources.max(1) as u64)
}

/// Connects along one route.
pub(super) async fn connect(route: Route) -> io::Result<TcpStream> {
    match route.from {
        None => TcpStream::connect(route.to).await,
        Some(from) => TcpSocket::from_std_stream(bound_socket(from)?.into()).connect(route.to).await,
    }
}

/// Whether sockets can be bound_socket to that address: whether it is one of this machine's.
///
/// # Errors
/// It is not, or there are no descriptors left.
pub fn check_source(ip: IpAddr) -> io::Result<()> {
    bound_socket(ip).map(drop)
}

/// A socket that will connect from `ip`. A plain one: tokio's would need the driver of a runtime.
fn bound_socket(ip: IpAddr) -> io::Result<Socket> {
    let address = SocketAddr::new(ip, 0);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Chosen at connect, a port may be in use towards another destination: otherwise all of them would share one range.
    #[cfg(target_os = "linux")]
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::IpBindAddressNoPort, &true)?;
    socket.bind(&address.into()).map_err(|error| match error.kind() {
        io::ErrorKind::AddrNotAvailable => {
            source_address_error(format!("{ip} is not an address of this machine"))
        }
        _ => error,
    })?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The error for source addresses that cannot serve. Unlike the system's own, it has no number.
pub(super) fn source_address_error(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::AddrNotAvailable, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Culprit;
    use crate::link::testing::{dial, listener, soon};
    use std::collections::BTreeMap;

    fn to(ips: &[&str]) -> Vec<SocketAddr> {
        ips.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 8883)).collect()
    }

    fn from(ips: &[&str]) -> Vec<IpAddr> {
        ips.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    #[test]
    fn every_pair_of_source_and_target_carries_the_same_share() {
        // As many of both: with one turn for the two, half of the pairs would carry nothing.
        let (targets, sources) = (to(&["10.0.0.1", "10.0.0.2"]), from(&["10.1.0.1", "10.1.0.2"]));
        let mut carried = BTreeMap::new();
        for turn in 0..12 {
            let first = routes(&targets, &sources, turn)[0];
            *carried.entry((first.to, first.from)).or_insert(0) += 1;
        }
        assert_eq!(carried.into_values().collect::<Vec<_>>(), [3, 3, 3, 3]);
    }

    #[test]
    fn a_device_prefers_the_same_address_however_the_answer_is_shuffled() {
        let (one, other) =
            (to(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]), to(&["10.0.0.3", "10.0.0.1", "10.0.0.2"]));
        for turn in 0..4 {
            assert_eq!(routes(&one, &[], turn), routes(&other, &[], turn));
        }
        let firsts: Vec<_> = (0..4).map(|turn| routes(&one, &[], turn)[0].to).collect();
        assert_eq!(firsts, [one[0], one[1], one[2], one[0]]);
    }

    #[test]
    fn the_family_that_the_resolver_prefers_comes_first_and_the_other_last() {
        let targets = to(&["::1", "127.0.0.1", "::2"]);
        for turn in 0..4 {
            let order = routes(&targets, &[], turn);
            assert!(order[0].to.is_ipv6() && order[1].to.is_ipv6() && order[2].to.is_ipv4(), "{order:?}");
        }
    }

    #[test]
    fn what_no_source_can_reach_is_not_tried() {
        let targets = to(&["::1", "127.0.0.1"]);
        let order = routes(&targets, &from(&["127.0.0.2"]), 5);
        assert_eq!(order, [Route { to: targets[1], from: Some("127.0.0.2".parse().unwrap()) }]);
        assert!(routes(&to(&["::1"]), &from(&["127.0.0.2"]), 0).is_empty());
        // Each family with its own sources.
        let both = routes(&targets, &from(&["127.0.0.2", "::3", "::4"]), 1);
        assert_eq!(
            both.iter().map(|route| route.from).collect::<Vec<_>>(),
            [Some("::4".parse().unwrap()), Some("127.0.0.2".parse().unwrap())]
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_bound_socket_has_no_port_until_it_connects() {
        let socket = bound_socket("127.0.0.2".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap().as_socket();
        assert_eq!(address, Some("127.0.0.2:0".parse().unwrap()));
    }

    #[tokio::test]
    async fn devices_come_from_the_source_addresses_in_turn() {
        let (listener, address) = listener();
        let endpoint = Endpoint {
            host: "127.0.0.1".to_owned(),
            port: address.port(),
            sources: from(&["127.0.0.2", "127.0.0.3"]),
            ..Endpoint::default()
        };
        let mut sources_seen = Vec::new();
        for turn in [0, 1, 2] {
            let (dialed, accepted) = tokio::join!(dial(&endpoint, turn, soon()), listener.accept());
            dialed.unwrap();
            sources_seen.push(accepted.unwrap().1.ip());
        }
        assert_eq!(sources_seen, from(&["127.0.0.2", "127.0.0.3", "127.0.0.2"]));
    }

    #[tokio::test]
    async fn sources_that_cannot_serve_are_our_own_fault() {
        // Documentation addresses are nobody's (RFC 5737), and IPv6 does not lead to an IPv4 address.
        for source in ["192.0.2.1", "::1"] {
            let sources = from(&[source]);
            let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port: 1, sources, ..Endpoint::default() };
            let error = dial(&endpoint, 0, soon()).await.unwrap_err();
            assert_eq!((error.class, error.culprit()), ("source_address", Culprit::Us), "{error}");
        }
    }

    #[test]
    fn an_address_of_another_machine_is_told() {
        assert!(check_source("127.0.0.1".parse().unwrap()).is_ok());
        // Documentation addresses are nobody's (RFC 5737).
        let error = check_source("192.0.2.1".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("192.0.2.1 is not an address of this machine"), "{error}");
    }

    #[tokio::test]
    async fn pairs_count_what_devices_are_shared_out_over() {
        let endpoint = |host: &str, sources: &[&str]| Endpoint {
            host: host.to_owned(),
            port: 1,
            sources: from(sources),
            ..Endpoint::default()
        };
        assert_eq!(pairs(&endpoint("127.0.0.1", &[])).await.unwrap(), 1);
        assert_eq!(pairs(&endpoint("127.0.0.1", &["127.0.0.2", "127.0.0.3", "::1"])).await.unwrap(), 2);
        assert_eq!(pairs(&endpoint("::1", &["127.0.0.2"])).await.unwrap(), 0);
    }
}
