//! Tests of the resource check.

use super::*;

const NEEDS: Needs =
    Needs { descriptors: 0, ports: 0, ports_closing: 0, memory_bytes: 0, memory_max_bytes: 0 };

fn offer(pairs: u64) -> Offer {
    Offer { first: 32_768, last: 60_999, pairs, sources: pairs, embedded: false }
}

#[test]
fn descriptor_error_has_number_and_command() {
    assert!(descriptors(1_000, 1_024).is_ok());
    let message = descriptors(50_000, 20_000).unwrap_err().to_string();
    assert!(message.contains("50,000 open files") && message.contains("ulimit -n 50000"), "{message}");
    assert!(!message.contains("nr_open"), "{message}");
    // nr_open is about a million by default, and always below 2^31.
    let message = descriptors(1 << 31, 20_000).unwrap_err().to_string();
    assert!(message.contains("sysctl -w fs.nr_open=2147483648"), "{message}");
}

#[test]
fn port_error_has_number_and_command() {
    assert!(ports(28_232, &offer(1)).is_ok());
    let message = ports(28_233, &offer(1)).unwrap_err().to_string();
    assert!(message.contains("28,233 local") && message.contains("ip_local_port_range"), "{message}");
    assert!(message.contains("28,232 (32768 to 60999)") && message.contains("source_ips"), "{message}");
}

#[test]
fn every_address_pair_has_the_whole_range() {
    assert!(ports(3 * 28_232, &offer(3)).is_ok());
    let message = ports(3 * 28_232 + 1, &offer(3)).unwrap_err().to_string();
    assert!(message.contains("offers 84,696 (32768 to 60999, for each of 3 pairs"), "{message}");
}

#[test]
fn advice_is_always_sufficient() {
    let widen = "ip_local_port_range=\"1024 65535\"";
    let advised = |needed, offer: Offer| ports(needed, &offer).unwrap_err().to_string();
    let message = advised(64_512, offer(1));
    assert!(message.contains(widen) && message.contains("at least 3 in target.source_ips:"), "{message}");
    let message = advised(64_513, offer(1));
    assert!(!message.contains(widen), "the widest range is not enough: {message}");
    let wide = Offer { first: 1_024, last: 65_535, ..offer(2) };
    let message = advised(1_000_000, wide);
    assert!(!message.contains(widen) && message.contains("list at least 16 in"), "{message}");
    assert!(message.contains("use at most 129,024 devices"), "{message}");
    // Two target addresses halve the number of source addresses.
    let message = advised(1_000_000, Offer { pairs: 2, sources: 1, ..wide });
    assert!(message.contains("list at least 8 in"), "{message}");
    let message = advised(1_000_000, Offer { embedded: true, ..offer(1) });
    assert!(message.contains("hubstorm emulator") && message.contains("at least 36 source_ips"), "{message}");
    assert!(!message.contains("10.0.0.2"), "the built-in hub has no [target]: {message}");
}

#[tokio::test]
async fn source_addresses_multiply_the_ports() {
    let text = "[target]\nkind = \"mqtt\"\nhost = \"127.0.0.1\"\nsource_ips = [\"127.0.0.2\", \"127.0.0.3\"]\n\
                [fleet.a]\ndevices = 1\n[[phase]]\nname = \"p\"\nduration = \"1s\"\n";
    let plan = |text: &str| {
        let files = &crate::scenario::no_files;
        let input = crate::scenario::Input { file: "x.toml", text, overrides: &[], env: &|_| None, files };
        crate::plan::load(&input, &mut rand::rng()).unwrap_or_else(|errors| panic!("{errors}"))
    };
    let two = offered(&plan(text), u64::MAX).await.unwrap();
    let one = offered(&plan(&text.replace(", \"127.0.0.3\"", "")), u64::MAX).await.unwrap();
    assert_eq!((two.pairs, two.ports()), (2, 2 * one.ports()));
    assert!(resources(&plan(text), 1).await.is_ok());
    // No machine has a documentation address (RFC 5737).
    let foreign = plan(&text.replace("127.0.0.3", "192.0.2.1"));
    let message = resources(&foreign, 1).await.unwrap_err().to_string();
    assert!(message.contains("192.0.2.1") && message.contains("ip address add"), "{message}");
    let found = shortfalls(&foreign, 1).await;
    assert!(found[0].starts_with("devices cannot connect from 192.0.2.1"), "{found:?}");
}

#[test]
fn too_little_memory_gives_a_warning() {
    let warning = |about: u64, most: u64| {
        let [memory_bytes, memory_max_bytes] = [about << 30, most << 30];
        memory(&Needs { memory_bytes, memory_max_bytes, ..NEEDS }, 2 << 30)
    };
    assert_eq!(warning(1, 2), None);
    let at_worst = warning(1, 3).unwrap();
    for part in ["up to 3.0 GiB", "if the hub stops", "only 2.0 GiB is available", "in_flight"] {
        assert!(at_worst.contains(part), "{at_worst}");
    }
    let always = warning(3, 4).unwrap();
    assert!(always.contains("about 3.0 GiB") && !always.contains("if the hub"), "{always}");
}

#[test]
fn ports_of_closed_connections_give_a_warning() {
    let needs = |ports_closing| Needs { ports: 20_000, ports_closing, ..NEEDS };
    assert_eq!(closing_ports(&needs(8_232), &offer(1)), None);
    assert_eq!(closing_ports(&needs(8_233), &offer(2)), None);
    let warning = closing_ports(&needs(8_233), &offer(1)).unwrap();
    assert!(warning.contains("8,233") && warning.contains("ip_local_port_range"), "{warning}");
    let too_many = Needs { ports: 30_000, ..needs(1) };
    assert_eq!(closing_ports(&too_many, &offer(1)), None, "it is an error anyway");
}
