#!/usr/bin/env python3
"""Makes metrics.json for a result: the metrics that a hub would publish about its run, on stdout.

No hub printed this file. Its structure is made from Azure's documentation and from the source of Azure's command line: "Metrics - List" of
the REST API of Azure Monitor, and `az monitor metrics list` of azure-cli (missing values are null). The names of the metrics are those of
the page "Azure IoT Hub monitoring data reference". The values are computed from the result, with these differences, which a report must
name: in the first whole minute of the load, the hub counts 12 throttling errors and 900 more accepted messages than the run had
acknowledged; in each interval after it, 30 more devices are connected. Usage: make.py RESULT.json > metrics.json
"""

import json
import sys
from datetime import datetime, timedelta, timezone

HUB = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/load-tests/providers/Microsoft.Devices/IotHubs/meters"
MINUTE = timedelta(minutes=1)


def main(path):
    result = json.load(open(path, encoding="utf-8"))
    start = datetime.fromisoformat(result["run"]["started"].replace("Z", "+00:00"))
    end = start + timedelta(microseconds=result["run"]["duration_us"])
    first = start.replace(second=0, microsecond=0) - MINUTE
    minutes = [first + n * MINUTE for n in range(int((end - first) / MINUTE) + 2)]
    whole = [minute for minute in minutes if minute >= start and minute + MINUTE <= end]
    rows = []
    for row in result["series"]["rows"]:
        acked = row["response"].get("telemetry", {}).get("count", 0)
        rows.append((start + timedelta(microseconds=row["t_us"]), row["online"], acked))

    accepted, online = {}, {}
    for minute in minutes:
        inside = [row for row in rows if minute <= row[0] < minute + MINUTE]
        accepted[minute] = sum(acked for _, _, acked in inside) + (900 if minute == whole[0] else 0)
        online[minute] = [devices + (30 if minute > whole[0] else 0) for _, devices, _ in inside] or [0]
    # The hub refuses once its queue is long, and also once without a reason that the run could see.
    errors = {minute: 0 for minute in minutes} | {whole[0]: 12, whole[1]: 412}
    used, sum_of_messages = {}, 52_000
    for minute in minutes:
        before, sum_of_messages = sum_of_messages, sum_of_messages + accepted[minute]
        used[minute] = (before, sum_of_messages)

    def total(values):
        return lambda minute: {"total": float(values[minute])}

    def readings(minute):
        return {"average": sum(online[minute]) / len(online[minute]), "minimum": min(online[minute]), "maximum": max(online[minute])}

    def counter(minute):
        low, high = used[minute]
        return {"average": (low + high) / 2, "minimum": low, "maximum": high}

    def metric(name, title, values):
        def point(minute):
            # The last minute is not published yet.
            found = values(minute) if minute != minutes[-1] else {}
            keys = ("average", "count", "maximum", "minimum")
            numbers = {key: float(found[key]) if key in found else None for key in keys}
            time = minute.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
            return numbers | {"timeStamp": time, "total": found.get("total")}

        return {
            "displayDescription": title,
            "errorCode": "Success",
            "id": f"{HUB}/providers/Microsoft.Insights/metrics/{name}",
            "name": {"localizedValue": title, "value": name},
            "resourceGroup": "load-tests",
            "timeseries": [{"data": [point(minute) for minute in minutes], "metadatavalues": []}],
            "type": "Microsoft.Insights/metrics",
            "unit": "Count",
        }

    attempts = {minute: accepted[minute] + errors[minute] for minute in minutes}
    output = {
        "//": "made by make.py from Azure's documentation; no hub printed it",
        "cost": 59,
        "interval": "PT1M",
        "namespace": "Microsoft.Devices/IotHubs",
        "resourceregion": "westeurope",
        "timespan": f"{minutes[0]:%Y-%m-%dT%H:%M:%SZ}/{minutes[-1] + MINUTE:%Y-%m-%dT%H:%M:%SZ}",
        "value": [
            metric("d2c.telemetry.ingress.allProtocol", "Telemetry message send attempts", total(attempts)),
            metric("d2c.telemetry.ingress.success", "Telemetry messages sent", total(accepted)),
            metric("d2c.telemetry.ingress.sendThrottle", "Number of throttling errors", total(errors)),
            metric("connectedDeviceCount", "Connected devices", readings),
            metric("totalDeviceCount", "Total devices", lambda _: {"average": 230, "minimum": 230, "maximum": 230}),
            metric("dailyMessageQuotaUsed", "Total number of messages used", counter),
            metric("RoutingDeliveries", "Routing Deliveries (preview)", total(accepted)),
        ],
    }
    json.dump(output, sys.stdout, indent=2)
    print()


main(sys.argv[1])
