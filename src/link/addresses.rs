//! Chooses the local address and the target address of each connection, so that connections spread evenly over all
//! pairs. Used by `dial`; `app` counts the pairs to find out how many local ports a run can use.

use super::endpoint::Endpoint;
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::net::{TcpSocket, TcpStream, lookup_host};

/// A target address and, if the plan names source addresses, a local address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) to: SocketAddr,
    pub(super) from: Option<IpAddr>,
}

/// Returns the routes that device number `turn` tries, in order.
///
/// Each device uses the next source address; after each round of sources, devices move on to the next target address.
/// So every pair carries the same share. Only addresses of one family rotate: the family of the resolver's first
/// answer, because the resolver knows what this machine can reach (RFC 6724). Addresses of the other family come last.
/// Resolvers shuffle their answers, so the addresses are sorted: a device then prefers the same one every time.
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

/// Returns the target's addresses that a source can reach: first those of the same family as the first address, then
/// the others.
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

/// Returns the number of pairs of a source and a target address that connections are spread over. Each pair has its own
/// local ports.
///
/// # Errors
/// The name could not be resolved.
pub async fn address_pairs(endpoint: &Endpoint) -> io::Result<u64> {
    let found: Vec<SocketAddr> = lookup_host((endpoint.host.as_str(), endpoint.port)).await?.collect();
    let (preferred, _) = by_family(&found, &endpoint.sources);
    let sources = preferred.first().map_or(0, |to| of_family(&endpoint.sources, to).count());
    Ok(preferred.len() as u64 * sources.max(1) as u64)
}

/// Opens a TCP connection along one route.
pub(super) async fn connect(route: Route) -> io::Result<TcpStream> {
    match route.from {
        None => TcpStream::connect(route.to).await,
        Some(from) => TcpSocket::from_std_stream(bound_socket(from)?.into()).connect(route.to).await,
    }
}

/// Checks that sockets can be bound to `ip`, which must be an address of this machine.
///
/// # Errors
/// `ip` is not an address of this machine, or this process has no file descriptors left.
pub fn check_source_address(ip: IpAddr) -> io::Result<()> {
    bound_socket(ip).map(drop)
}

/// Returns a socket that will connect from `ip`. Not a tokio socket, because creating one requires a running runtime.
fn bound_socket(ip: IpAddr) -> io::Result<Socket> {
    let address = SocketAddr::new(ip, 0);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // With this option, the kernel chooses the port at `connect`, and may choose one that is already in use for another
    // destination. Without the option, all destinations share one range of ports.
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

/// Returns the error for unusable source addresses. Unlike the system's error, it has no error number.
pub(super) fn source_address_error(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::AddrNotAvailable, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Culprit;
    use crate::link::testing::{dial, listener, test_deadline};
    use std::collections::BTreeMap;

    fn to(ips: &[&str]) -> Vec<SocketAddr> {
        ips.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 8883)).collect()
    }

    fn from(ips: &[&str]) -> Vec<IpAddr> {
        ips.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    #[test]
    fn every_source_and_target_pair_gets_the_same_share() {
        // As many sources as targets: if both advanced together, half of the pairs would stay unused.
        let (targets, sources) = (to(&["10.0.0.1", "10.0.0.2"]), from(&["10.1.0.1", "10.1.0.2"]));
        let mut carried = BTreeMap::new();
        for turn in 0..12 {
            let first = routes(&targets, &sources, turn)[0];
            *carried.entry((first.to, first.from)).or_insert(0) += 1;
        }
        assert_eq!(carried.into_values().collect::<Vec<_>>(), [3, 3, 3, 3]);
    }

    #[test]
    fn shuffled_resolver_answers_give_the_same_order() {
        let (one, other) =
            (to(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]), to(&["10.0.0.3", "10.0.0.1", "10.0.0.2"]));
        for turn in 0..4 {
            assert_eq!(routes(&one, &[], turn), routes(&other, &[], turn));
        }
        let firsts: Vec<_> = (0..4).map(|turn| routes(&one, &[], turn)[0].to).collect();
        assert_eq!(firsts, [one[0], one[1], one[2], one[0]]);
    }

    #[test]
    fn the_resolvers_preferred_family_comes_first() {
        let targets = to(&["::1", "127.0.0.1", "::2"]);
        for turn in 0..4 {
            let order = routes(&targets, &[], turn);
            assert!(order[0].to.is_ipv6() && order[1].to.is_ipv6() && order[2].to.is_ipv4(), "{order:?}");
        }
    }

    #[test]
    fn unreachable_families_are_not_tried() {
        let targets = to(&["::1", "127.0.0.1"]);
        let order = routes(&targets, &from(&["127.0.0.2"]), 5);
        assert_eq!(order, [Route { to: targets[1], from: Some("127.0.0.2".parse().unwrap()) }]);
        assert!(routes(&to(&["::1"]), &from(&["127.0.0.2"]), 0).is_empty());
        // Each family uses its own sources.
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
    async fn connections_use_the_source_addresses_in_turn() {
        let (listener, address) = listener();
        let endpoint = Endpoint {
            host: "127.0.0.1".to_owned(),
            port: address.port(),
            sources: from(&["127.0.0.2", "127.0.0.3"]),
            ..Endpoint::default()
        };
        let mut sources_seen = Vec::new();
        for turn in [0, 1, 2] {
            let (dialed, accepted) = tokio::join!(dial(&endpoint, turn, test_deadline()), listener.accept());
            dialed.unwrap();
            sources_seen.push(accepted.unwrap().1.ip());
        }
        assert_eq!(sources_seen, from(&["127.0.0.2", "127.0.0.3", "127.0.0.2"]));
    }

    #[tokio::test]
    async fn unusable_sources_are_the_generators_fault() {
        // No machine has a documentation address (RFC 5737), and an IPv6 source cannot reach an IPv4 address.
        for source in ["192.0.2.1", "::1"] {
            let sources = from(&[source]);
            let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port: 1, sources, ..Endpoint::default() };
            let error = dial(&endpoint, 0, test_deadline()).await.unwrap_err();
            assert_eq!((error.class, error.culprit()), ("source_address", Culprit::Generator), "{error}");
        }
    }

    #[test]
    fn a_source_address_of_another_machine_is_reported() {
        assert!(check_source_address("127.0.0.1".parse().unwrap()).is_ok());
        // No machine has a documentation address (RFC 5737).
        let error = check_source_address("192.0.2.1".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("192.0.2.1 is not an address of this machine"), "{error}");
    }

    #[tokio::test]
    async fn address_pairs_counts_source_and_target_pairs() {
        let endpoint = |host: &str, sources: &[&str]| Endpoint {
            host: host.to_owned(),
            port: 1,
            sources: from(sources),
            ..Endpoint::default()
        };
        assert_eq!(address_pairs(&endpoint("127.0.0.1", &[])).await.unwrap(), 1);
        assert_eq!(
            address_pairs(&endpoint("127.0.0.1", &["127.0.0.2", "127.0.0.3", "::1"])).await.unwrap(),
            2
        );
        assert_eq!(address_pairs(&endpoint("::1", &["127.0.0.2"])).await.unwrap(), 0);
    }
}
