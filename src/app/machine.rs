//! The resources of this machine: file descriptors, ports, memory, processor, clock. Each function reads a file in Linux's /proc or /sys and
//! returns `None` if the file is missing. `preflight` compares a plan with these resources, and `doctor` prints them.

use std::fs::read_to_string;

/// Returns the first and the last ephemeral port.
pub(super) fn ephemeral_ports() -> Option<(u64, u64)> {
    let text = read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut numbers = text.split_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Returns the maximum open-files limit that can be set for a process.
pub(super) fn descriptors_max() -> Option<u64> {
    read_to_string("/proc/sys/fs/nr_open").ok()?.trim().parse().ok()
}

/// Returns the available memory of the machine or the container, whichever is less, in bytes.
pub(super) fn memory_available() -> Option<u64> {
    let machine = available(&read_to_string("/proc/meminfo").ok()?)?;
    Some(container_available().map_or(machine, |container| container.min(machine)))
}

/// Returns `MemAvailable` from /proc/meminfo, in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Returns the available memory of this container (cgroup v2), or `None` without a limit.
fn container_available() -> Option<u64> {
    let number =
        |name: &str| read_to_string(format!("/sys/fs/cgroup/{name}")).ok()?.trim().parse::<u64>().ok();
    Some(number("memory.max")?.saturating_sub(number("memory.current")?))
}

/// Returns the name of the processor.
pub(super) fn processor() -> Option<String> {
    let text = read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Returns the clock source, such as `tsc`.
pub(super) fn clock_source() -> Option<String> {
    let text = read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource").ok()?;
    Some(text.trim().to_owned())
}

/// Returns true if the processor has AES instructions, which matter most for the speed of TLS.
pub(super) fn has_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    let has = std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    let has = std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let has = false;
    has
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_parsed() {
        assert_eq!(available("MemTotal: 100 kB\nMemAvailable:    2048 kB\nX: 1\n"), Some(2 << 20));
        assert_eq!(available("MemTotal: 100 kB\n"), None);
    }
}
