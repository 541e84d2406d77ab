"""A server made of a plain asyncio.Protocol: it sends every line back in capitals.

What to see: the protocol is told of its connection, of each piece that arrives, and of the end; it
never waits. With a port the server runs until Ctrl-C (`nc 127.0.0.1 PORT` talks to it); without
one it serves itself once and ends.
"""

import asyncio
import sys


class Shout(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.rest = b""

    def data_received(self, data: bytes) -> None:
        # A piece may hold many lines, or half of one.
        *lines, self.rest = (self.rest + data).split(b"\n")
        self.transport.write(b"".join(line.upper() + b"\n" for line in lines))

    def eof_received(self) -> None:
        # What was begun is answered too; that the answer is None closes the connection.
        self.transport.write(self.rest.upper())


async def main(port: int | None) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Shout, "127.0.0.1", port or 0)
    async with server:
        if port:
            print(f"listening on 127.0.0.1:{port}", flush=True)
            await server.serve_forever()
        host, free_port = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(host, free_port)
        writer.write(b"good day\nis anybo")
        print((await reader.readline()).decode(), end="")
        writer.write(b"dy there?")
        writer.write_eof()
        print((await reader.read()).decode())
        writer.close()
        await writer.wait_closed()


if __name__ == "__main__":
    try:
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else None))
    except KeyboardInterrupt:
        print("ended")
