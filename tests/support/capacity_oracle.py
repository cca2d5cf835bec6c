"""Computes the units of an IoT hub for tests/it/capacity_plan.rs. Has no code in common with hubstorm.

The tables are from Azure's pages "IoT Hub quotas and throttling" and "Choose the right IoT Hub tier and size for your solution"; how
messages are counted is from "Azure IoT Hub billing information". All arithmetic is with fractions, so nothing is rounded before the end.

Reads a JSON array of cases from stdin, and prints a JSON array with the answer to each.
"""

import json
import sys
from fractions import Fraction as F
from math import ceil

# Per unit, with a minimum per hub where the page says "higher of"; per second, or per minute where marked. None: not in Basic tiers.
SIZE = {"F1": 1, "B1": 1, "S1": 1, "B2": 2, "S2": 2, "B3": 3, "S3": 3}
QUOTA = {"F1": 8_000, "B1": 400_000, "S1": 400_000, "B2": 6_000_000, "S2": 6_000_000, "B3": 300_000_000, "S3": 300_000_000}
MOST_UNITS = {"F1": 1, "B1": 200, "B2": 200, "S1": 200, "S2": 200, "B3": 10, "S3": 10}
PRICE = {"F1": 0, "B1": 10, "B2": 50, "B3": 500, "S1": 25, "S2": 250, "S3": 2500}


def hub_limit(tier, units, operation):
    size = SIZE[tier]
    if operation in ("connections", "d2c"):
        return max(100, 12 * units) if size == 1 else (120, 6000)[size - 2] * units
    if tier.startswith("B"):
        return None
    return {
        "c2d": (F(100, 60), F(100, 60), F(5000, 60))[size - 1] * units,
        "twin_reads": (100, max(100, 10 * units), 500 * units)[size - 1],
        "twin_updates": (50, max(50, 5 * units), 250 * units)[size - 1],
        "methods": (160, 480, 24 * 1024)[size - 1] * units,
    }[operation]


def blocks(size, tier):
    block = 512 if tier == "F1" else 4096
    return max(1, -(-size // block))


def load_of(case, phase, tier):
    """Returns rates per second, billed messages per second, and billed messages that occur once in the phase."""
    rates, billed, once = {}, F(0), F(0)

    def add(operation, rate, messages, counts=1):
        nonlocal billed
        rates[operation] = rates.get(operation, F(0)) + rate * counts
        billed += rate * messages

    factor, online = F(phase.get("load", "1")), F(phase.get("online", "1"))
    for fleet in case["fleets"]:
        devices = fleet["devices"] * online
        for stream in fleet.get("streams", []):
            rate = devices / F(stream["every_s"]) * factor
            size, operation = stream.get("bytes", 0), stream["operation"]
            if operation == "method":
                # Counted in 4 KB of the request; the request and the response are billed.
                kib = 4 * max(1, -(-size // 4096))
                add("methods", rate, blocks(size, tier) + blocks(stream["answer_bytes"], tier), kib)
            elif operation == "desired":
                # The update and the notification of the device.
                add("twin_updates", rate, 2 * blocks(size, tier))
            elif operation == "twin_read":
                add("twin_reads", rate, 1)
            elif operation == "report":
                add("twin_updates", rate, blocks(size, tier))
            else:
                add(operation, rate, blocks(size, tier))
        connects = devices / F(fleet["renew_s"]) if fleet.get("renew_s") else F(0)
        add("connections", connects, 0)
        if fleet.get("reads_twin_on_connect"):
            add("twin_reads", connects, 1)
            if phase.get("reconnects"):
                once += devices
    return rates, billed, once


def answer(case):
    devices = sum(fleet["devices"] for fleet in case["fleets"])
    readers = sum(fleet["devices"] for fleet in case["fleets"] if fleet.get("reads_twin_on_connect"))
    headroom = F(case.get("headroom", "1"))
    options = {}
    for tier in SIZE:
        phases = {phase["name"]: load_of(case, phase, tier) for phase in case["phases"]}
        day = case.get("day")
        if not day:
            name = max(phases, key=lambda name: phases[name][1])
            day = [{"phase": name, "hours": 24}]
        messages = round(sum(phases[part["phase"]][1] * F(str(part["hours"])) * 3600 + phases[part["phase"]][2] for part in day))
        operations = sorted({operation for rates, _, _ in phases.values() for operation in rates})
        peaks = {operation: max(rates.get(operation, F(0)) for rates, _, _ in phases.values()) for operation in operations}
        within = case.get("reconnect_within_s")
        if within:
            peaks["connections"] = max(peaks["connections"], F(devices, within))
            if readers:
                peaks["twin_reads"] = max(peaks.get("twin_reads", F(0)), F(readers, within))
        peaks = {operation: rate for operation, rate in peaks.items() if rate > 0}
        options[tier] = option(tier, devices, readers, peaks, messages, headroom)
        if options[tier]["fits"]:
            fastest = max(billed for _, billed, _ in phases.values()) * 3600
            hours = QUOTA[tier] * options[tier]["units"] / fastest if fastest else 24
            options[tier]["quota_hours"] = float(hours) if hours < 24 else None
    return options


def option(tier, devices, readers, peaks, messages, headroom):
    if None in [hub_limit(tier, 1, operation) for operation in peaks]:
        return {"fits": False}
    units = max(1, ceil(messages / headroom / QUOTA[tier]))
    hubs = max(1, ceil(F(devices, 500 if tier == "F1" else 1_000_000)))
    for operation, rate in peaks.items():
        needed = rate / headroom
        grows = hub_limit(tier, 10**6, operation) > hub_limit(tier, 1, operation)
        if not grows:
            hubs = max(hubs, ceil(needed / hub_limit(tier, 1, operation)))
            continue
        if needed > hub_limit(tier, 1, operation):
            each = F(hub_limit(tier, 10**6, operation), 10**6)
            units = max(units, ceil(needed / each))
    hubs = max(hubs, ceil(F(units, MOST_UNITS[tier])))
    units = max(units, hubs)
    if tier == "F1" and hubs > 1:
        return {"fits": False}
    sizes = [units // hubs + (1 if n < units % hubs else 0) for n in range(hubs)]
    limit = lambda operation: sum(F(hub_limit(tier, size, operation)) for size in sizes)
    online = devices / limit("connections")
    if readers:
        online = max(online, readers / limit("twin_reads"))
    shares = {operation: float(rate / limit(operation)) for operation, rate in peaks.items()}
    shares["messages_per_day"] = float(F(messages, QUOTA[tier] * units))
    return {
        "fits": True,
        "units": units,
        "hubs": hubs,
        "messages": messages,
        "price": PRICE[tier] * units,
        "online_seconds": float(online),
        "shares": shares,
    }


print(json.dumps([answer(case) for case in json.load(sys.stdin)]))
