"""A device with Azure's SDK for Python, unmodified. `tests/support/sdk.rs` starts it, sends commands as JSON lines to its stdin, and reads
facts as JSON lines from its stdout. sdk_device.js is the same device with the SDK for Node.

The environment variable DEVICE_CONNECTION_STRING contains the connection string, because it has a key.
"""

import argparse
import json
import os
import signal
import sys
import threading

from azure.iot.device import IoTHubDeviceClient, Message, MethodResponse

# Longer than the timeout of the tests.
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
    parser.add_argument("--no-retry", action="store_true", help="do not reconnect")
    args = parser.parse_args()

    # The first reconnect is immediate. No test waits for the next one.
    options: dict = {"connection_retry": not args.no_retry, "connection_retry_interval": 3_600}
    if args.token_lifetime:
        # The SDK renews a token two minutes before its expiry. This margin cannot be changed.
        options["sastoken_ttl"] = 120 + args.token_lifetime
    with open(args.ca, encoding="ascii") as ca:
        options["server_verification_cert"] = ca.read()
    client = IoTHubDeviceClient.create_from_connection_string(os.environ["DEVICE_CONNECTION_STRING"], **options)
    # Reports the state at the time of the callback, so it may miss the first of two quick changes.
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

    def together(command: dict) -> None:
        # Executes a command several times at once, in threads, and reports the errors.
        failed = []

        def once() -> None:
            try:
                commands[command["command"]["do"]](command["command"])
            except Exception as error:
                failed.append(f"{error!r} from {error.__cause__!r}")

        threads = [threading.Thread(target=once) for _ in range(command["times"])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        say("together", failed=failed)

    # The state handler reports "connected" and "disconnected".
    commands = {
        "connect": lambda command: client.connect(),
        "disconnect": lambda command: client.disconnect(),
        "listen": listen,
        "send": send,
        "twin": twin,
        "report": report,
        "together": together,
    }
    for line in sys.stdin:
        command = json.loads(line)
        try:
            commands[command["do"]](command)
        except Exception as error:  # The test needs every error of the SDK.
            say("failed", of=command["do"], why=f"{error!r} from {error.__cause__!r}")
    client.shutdown()


if __name__ == "__main__":
    main()
