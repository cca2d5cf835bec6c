"""A proxy for MQTT with a known capacity: it lets a number of PUBLISH packets per second through, of all clients together, after a burst.
It delays the others, or closes the connections that send them. Usage: rate_limiter.py SOCKET RATE BURST_S delay|close, where SOCKET is the Unix
socket of the broker. It prints its port on 127.0.0.1."""
import asyncio, sys, time

PUBLISH = 3


class Limiter:
    def __init__(self, rate, burst_s):
        self.interval, self.burst_s, self.next = 1 / rate, burst_s, 0.0

    def take(self):
        """Takes a token, and returns the time until it is free."""
        now = time.monotonic()
        due = max(self.next, now - self.burst_s)
        self.next = due + self.interval
        return due - now

    def take_free(self):
        """Takes a token if one is free."""
        free = max(self.next, time.monotonic() - self.burst_s) <= time.monotonic()
        if free:
            self.take()
        return free


async def packet(reader):
    """Reads a packet: its fixed header and the rest."""
    head = await reader.readexactly(1)
    length, shift = 0, 0
    while True:
        byte = await reader.readexactly(1)
        head += byte
        length |= (byte[0] & 0x7F) << shift
        shift += 7
        if byte[0] < 0x80:
            return head + await reader.readexactly(length)


async def forward(reader, writer, limiter, closes):
    """Forwards packets from a client, in order, until it sends one too many."""
    while True:
        data = await packet(reader)
        if data[0] >> 4 == PUBLISH:
            if closes:
                if not limiter.take_free():
                    return
            elif (wait := limiter.take()) > 0:
                await asyncio.sleep(wait)
        writer.write(data)
        await writer.drain()


async def answer(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def main(path, rate, burst_s, kind):
    limiter = Limiter(float(rate), float(burst_s))

    async def connect(reader, writer):
        broker_reader, broker_writer = await asyncio.open_unix_connection(path)
        ways = [forward(reader, broker_writer, limiter, kind == "close"), answer(broker_reader, writer)]
        tasks = [asyncio.ensure_future(way) for way in ways]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        writer.close()
        broker_writer.close()

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
