"""A subscriber with paho-mqtt that counts what a broker delivers, for tests/support/subscriber.rs. It shares no code with hubstorm.

It keeps its session, reconnects by itself, and identifies a message by its topic and payload: further arrivals count as duplicates.
Reads one JSON command per line on stdin, and prints one JSON fact per line:

    {"do": "wait", "messages": 5}                         waits for this many messages; prints the highest sequence number
    {"do": "reach", "prefix": "a/", "topics": 3, "seq": 7}  waits until this many topics have reached this sequence number
    {"do": "leave"}, {"do": "return"}                     disconnects and connects again; the broker keeps the session
    {"do": "report", "messages": 5}                       waits for this many messages; prints everything that has arrived
"""

import argparse
import json
import sys
import threading

import paho.mqtt.client as mqtt

RECONNECT_S = 0.1
# Longer than any broker here takes to resend unacknowledged messages.
WAIT_S = 40


class Counts:
    """What has arrived. Paho's thread adds, the main thread waits and reads."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.arrivals: dict[tuple[str, bytes], int] = {}
        self.marks: set[bytes] = set()
        self.connections: list[bool] = []

    def add(self, topic: str, payload: bytes) -> None:
        with self.changed:
            self.arrivals[topic, payload] = self.arrivals.get((topic, payload), 0) + 1
            self.changed.notify_all()

    def wait(self, is_there) -> bool:
        with self.changed:
            return self.changed.wait_for(is_there, WAIT_S)

    def has(self, messages: int) -> bool:
        return len(self.arrivals) >= messages

    def highest(self) -> int:
        return max((json.loads(payload)["seq"] for _, payload in self.arrivals), default=0)

    def have_reached(self, prefix: str, seq: int) -> int:
        """The number of topics with this prefix that have reached this sequence number."""
        high = (topic for topic, payload in self.arrivals if topic.startswith(prefix) and json.loads(payload)["seq"] >= seq)
        return len(set(high))

    def report(self) -> dict:
        """The sequence numbers that arrived on each topic, and how many messages arrived again."""
        seqs: dict[str, list[int]] = {}
        for topic, payload in self.arrivals:
            seqs.setdefault(topic, []).append(json.loads(payload)["seq"])
        duplicates: dict[str, int] = {}
        for (topic, _), count in self.arrivals.items():
            duplicates[topic] = duplicates.get(topic, 0) + count - 1
        return {
            "topics": {topic: {"seqs": sorted(seqs[topic]), "duplicates": duplicates[topic]} for topic in seqs},
            "sessions": self.connections,
        }


def say(fact: str, **more) -> None:
    print(json.dumps({"fact": fact, **more}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ca", help="the PEM file to trust; without it, plain TCP")
    parser.add_argument("--id", required=True, help="the client id")
    parser.add_argument("--filter", required=True, action="append")
    parser.add_argument("--qos", type=int, required=True)
    args = parser.parse_args()
    counts = Counts()
    marker = f"mark/{args.id}"

    def on_connect(client, userdata, flags, reason_code, properties):
        if reason_code != "Success":
            say("failed", why=str(reason_code))
            return
        with counts.changed:
            counts.connections.append(flags.session_present)
        if not flags.session_present:
            client.subscribe([(filter, args.qos) for filter in args.filter] + [(marker, 1)])

    def on_subscribe(client, userdata, mid, reason_codes, properties):
        say("subscribed", granted=[code.value for code in reason_codes])

    def on_message(client, userdata, message):
        if message.topic == marker:
            with counts.changed:
                counts.marks.add(message.payload)
                counts.changed.notify_all()
        else:
            counts.add(message.topic, message.payload)

    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2, client_id=args.id, clean_session=False, protocol=mqtt.MQTTv311
    )
    client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
    client.reconnect_delay_set(RECONNECT_S, RECONNECT_S)
    if args.ca:
        client.tls_set(args.ca)
    client.connect(args.host, args.port, 60)
    client.loop_start()

    for number, line in enumerate(sys.stdin):
        command = json.loads(line)
        do = command["do"]
        if do == "wait":
            counts.wait(lambda: counts.has(command["messages"]))
            with counts.changed:
                say("waited", messages=len(counts.arrivals), highest=counts.highest())
        elif do == "reach":
            prefix, topics, seq = command["prefix"], command["topics"], command["seq"]
            reached = counts.wait(lambda: counts.have_reached(prefix, seq) >= topics)
            say("reached" if reached else "failed", why=f"not all of {topics} topics {prefix}... have {seq}")
        elif do == "leave":
            client.disconnect()
            client.loop_stop()
            say("left")
        elif do == "return":
            client.reconnect()
            client.loop_start()
            say("returned")
        elif do == "report":
            counts.wait(lambda: counts.has(command["messages"]))
            # Duplicates would arrive before this message.
            mark = str(number).encode()
            client.publish(marker, mark, qos=1)
            counts.wait(lambda: mark in counts.marks)
            with counts.changed:
                say("report", **counts.report())


if __name__ == "__main__":
    main()
