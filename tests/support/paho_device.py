"""A device with paho-mqtt, written as its users write one for an IoT hub. `tests/it/paho.rs` runs it against the emulator. It shares no
code with hubstorm, neither for MQTT nor for TLS nor for tokens.

The environment variable DEVICE_KEY contains the key of the token. Prints one JSON object as its report.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import threading
import time
import urllib.parse

import paho.mqtt.client as mqtt

WAIT_S = 20


def sas_token(resource: str, key: str, expiry: int) -> str:
    resource = urllib.parse.quote(resource, safe="")
    digest = hmac.new(base64.b64decode(key), f"{resource}\n{expiry}".encode(), hashlib.sha256).digest()
    signature = urllib.parse.quote(base64.b64encode(digest), safe="")
    return f"SharedAccessSignature sr={resource}&sig={signature}&se={expiry}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True, help="the hub's name")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ca", required=True, help="the PEM file to trust")
    parser.add_argument("--device", required=True)
    parser.add_argument("--token-for", help="the device in the token, if it differs")
    parser.add_argument("--ttl", type=int, default=3600, help="seconds until the token expires")
    parser.add_argument("--messages", type=int, default=3)
    args = parser.parse_args()

    resource = f"{args.host}/devices/{args.token_for or args.device}"
    sas = sas_token(resource, os.environ["DEVICE_KEY"], int(time.time()) + args.ttl)

    seen: dict = {"connack": None, "granted": None, "published": 0, "disconnected": None}
    connacked, subscribed, published, disconnected = (threading.Event() for _ in range(4))

    def on_connect(client, userdata, flags, reason_code, properties):
        seen["connack"] = str(reason_code)
        seen["session_present"] = flags.session_present
        connacked.set()

    def on_subscribe(client, userdata, mid, reason_codes, properties):
        seen["granted"] = [code.value for code in reason_codes]
        subscribed.set()

    def on_publish(client, userdata, mid, reason_code, properties):
        seen["published"] += 1
        if seen["published"] == args.messages:
            published.set()

    def on_disconnect(client, userdata, flags, reason_code, properties):
        seen["disconnected"] = str(reason_code)
        disconnected.set()

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=args.device, protocol=mqtt.MQTTv311)
    client.on_connect = on_connect
    client.on_subscribe = on_subscribe
    client.on_publish = on_publish
    client.on_disconnect = on_disconnect
    client.tls_set(args.ca)
    client.username_pw_set(f"{args.host}/{args.device}", sas)
    client.connect(args.host, args.port, 60)
    client.loop_start()
    if connacked.wait(WAIT_S) and seen["connack"] == "Success":
        client.subscribe(f"devices/{args.device}/messages/devicebound/#", qos=1)
        subscribed.wait(WAIT_S)
        for number in range(args.messages):
            client.publish(f"devices/{args.device}/messages/events/", json.dumps({"n": number}), qos=1)
        published.wait(WAIT_S)
        client.disconnect()
    disconnected.wait(WAIT_S)
    client.loop_stop()
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
