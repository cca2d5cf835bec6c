"""A device on Azure's SDK for Python, unmodified. `tests/support/sdk.rs` starts it, tells it what to do in JSON lines on its
stdin, and reads in JSON lines on its stdout what it saw. sdk_device.js is the same device on the SDK for Node.

The connection string comes in the environment variable DEVICE_CONNECTION_STRING, because it holds a key.
"""

import argparse
import json
import os
import signal
import sys
import threading

from azure.iot.device import IoTHubDeviceClient, Message, MethodResponse

# Who started it has given up by then.
LIFETIME_S = 240

output = threading.Lock()


def say(fact: str, **more) -> None:
    with output:
        print(json.dumps({"fact": fact, **more}), flush=True)


def main() -> None:
    signal.alarm(LIFETIME_S)
    parser = argparse.ArgumentParser()
    parser.add_argument("--ca", required=True, help="the PEM file to trust")
    parser.add_argument("--token-lifetime", type=int, help="seconds between two tokens")
    parser.add_argument("--no-retry", action="store_true", help="stay away once disconnected")
    args = parser.parse_args()

    # It comes back at once; what fails then, no test waits for.
    options: dict = {"connection_retry": not args.no_retry, "connection_retry_interval": 3_600}
    if args.token_lifetime:
        # The SDK renews two minutes before a token's end; that margin cannot be set.
        options["sastoken_ttl"] = 120 + args.token_lifetime
    with open(args.ca, encoding="ascii") as ca:
        options["server_verification_cert"] = ca.read()
    client = IoTHubDeviceClient.create_from_connection_string(os.environ["DEVICE_CONNECTION_STRING"], **options)
    # What it is when the SDK gets round to telling: between two changes that follow each other, this may miss the first.
    client.on_connection_state_change = lambda: say("connected" if client.connected else "disconnected")
    client.on_background_exception = lambda error: say("background", why=repr(error))

    def on_message(message: Message) -> None:
        say(
            "message",
            body=message.data.decode(),
            message_id=message.message_id,
            correlation_id=message.correlation_id,
            properties=message.custom_properties,
        )

    def on_method(request) -> None:
        say("method", name=request.name, payload=request.payload)
        client.send_method_response(MethodResponse.create_from_method_request(request, 200, {"echo": request.payload}))
        say("answered")

    def listen(command: dict) -> None:
        # Setting a handler subscribes.
        client.on_message_received = on_message
        client.on_method_request_received = on_method
        client.on_twin_desired_properties_patch_received = lambda patch: say("desired", patch=patch)
        say("listening")

    def send(command: dict) -> None:
        message = Message(
            command["body"],
            message_id=command.get("message_id"),
            content_encoding=command.get("content_encoding"),
            content_type=command.get("content_type"),
        )
        message.correlation_id = command.get("correlation_id")
        message.custom_properties = command.get("properties", {})
        client.send_message(message)
        say("sent")

    def twin(command: dict) -> None:
        say("twin", twin=client.get_twin())

    def report(command: dict) -> None:
        client.patch_twin_reported_properties(command["patch"])
        say("reported")

    # The state handler says "connected" and "disconnected".
    commands = {
        "connect": lambda command: client.connect(),
        "disconnect": lambda command: client.disconnect(),
        "listen": listen,
        "send": send,
        "twin": twin,
        "report": report,
    }
    for line in sys.stdin:
        command = json.loads(line)
        try:
            commands[command["do"]](command)
        except Exception as error:  # Whatever the SDK raises is what the test wants to know.
            say("failed", of=command["do"], why=f"{error!r} from {error.__cause__!r}")
    client.shutdown()


if __name__ == "__main__":
    main()
