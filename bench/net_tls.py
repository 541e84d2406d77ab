"""The load over TLS, and the certificate for both sides; as a program it prints a line of JSON.

The program in ``load/`` knows no TLS: that would be the one reason to build a second library for
it. The client's own cost is not measured, so Python's will do.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

CERTIFICATE = Path(__file__).resolve().parent.parent / "build" / "bench" / "certificate.pem"
"""The certificate and its key, in one file."""
PATIENCE_SECONDS = 5
WARM_UP = 8
"""This part of a window comes before it, unmeasured."""
RECORD_BYTES = 16 * 1024


def main() -> int:
    """One window."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("load", choices=LOADS)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--size", type=int, default=64, help="bytes of a message")
    parser.add_argument("--milliseconds", type=int, required=True, help="length of the window")
    parser.add_argument("--server", type=int, required=True, help="the process under the load")
    options = parser.parse_args()
    try:
        print(json.dumps(LOADS[options.load](options)))
    except (OSError, ValueError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def make_certificate() -> None:
    """Make one for 127.0.0.1 where there is none; OSError where openssl is not installed."""
    if CERTIFICATE.exists():
        return
    CERTIFICATE.parent.mkdir(parents=True, exist_ok=True)
    part = CERTIFICATE.with_suffix(".part")
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
        "-nodes", "-days", "36500", "-subj", "/CN=127.0.0.1",
        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(part), "-out", "-",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"openssl makes no certificate: {done.stderr.strip()[-200:]}")
    with part.open("a", encoding="ascii") as file:
        file.write(done.stdout)
    part.rename(CERTIFICATE)


def server_context() -> ssl.SSLContext:
    """What a server of ours is given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(CERTIFICATE)
    return context


def client_context() -> ssl.SSLContext:
    """One that trusts our certificate and nobody else's."""
    return ssl.create_default_context(cafile=str(CERTIFICATE))


def connect(context: ssl.SSLContext, port: int) -> ssl.SSLSocket:
    """A connection, the handshake done."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname="127.0.0.1")


def handshake(options: argparse.Namespace) -> dict[str, int]:
    """Connect, shake hands, read the end, close: again and again."""
    context = client_context()

    def until(end: int) -> int:
        count = 0
        while time.monotonic_ns() < end:
            with connect(context, options.port) as connection:
                if connection.recv(1):
                    raise ValueError("the server has something to say")
            count += 1
        return count

    return window(options, until)


def echo(options: argparse.Namespace) -> dict[str, int]:
    """Messages there and back on all connections at a time, compared once on each."""
    context = client_context()
    selector = selectors.DefaultSelector()
    exchanges = []
    for number in range(options.connections):
        connection = connect(context, options.port)
        compare(connection, bytes((number + at * 31) % 251 for at in range(options.size)))
        connection.setblocking(False)
        exchanges.append(Exchange(connection, selector, bytes(options.size)))

    def until(end: int) -> int:
        count = 0
        busy = len(exchanges)
        for exchange in exchanges:
            exchange.ask()
        while busy:
            for key, _ in selector.select():
                if not key.data.go_on():
                    continue
                count += 1
                if time.monotonic_ns() < end:
                    key.data.ask()
                else:
                    busy -= 1
        return count

    return window(options, until)


class Exchange:
    """A message on its way there and back on one connection."""

    def __init__(
        self, connection: ssl.SSLSocket, selector: selectors.BaseSelector, message: bytes
    ) -> None:
        self.connection = connection
        self.selector = selector
        self.message = memoryview(message)
        self.unsent = self.message[:0]
        self.missing = 0
        selector.register(connection, selectors.EVENT_READ, self)

    def ask(self) -> None:
        """Begin."""
        self.unsent = self.message
        self.missing = len(self.message)
        self.send_more()

    def go_on(self) -> bool:
        """Something is ready; whether all has come back now."""
        if self.unsent:
            self.send_more()
        try:
            while self.missing:
                got = len(self.connection.recv(RECORD_BYTES))
                if got == 0 or got > self.missing:
                    raise ValueError("the server closes, or sends more than it was asked for")
                self.missing -= got
        except ssl.SSLWantReadError:
            return False
        return True

    def send_more(self) -> None:
        """Send what can be sent now; what is left waits for the socket to be writable."""
        try:
            while self.unsent:
                self.unsent = self.unsent[self.connection.send(self.unsent) :]
        except ssl.SSLWantWriteError:
            pass
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.unsent else 0)
        if self.selector.get_key(self.connection).events != events:
            self.selector.modify(self.connection, events, self)


def compare(connection: ssl.SSLSocket, message: bytes) -> None:
    """Send a message and compare what comes back."""
    connection.sendall(message)
    back = bytearray()
    while len(back) < len(message):
        part = connection.recv(RECORD_BYTES)
        if not part:
            raise ValueError("the server closes")
        back += part
    if back != message:
        raise ValueError(f"the echo of {len(message)} bytes differs")


def window(options: argparse.Namespace, until) -> dict[str, int]:  # type: ignore[no-untyped-def]
    """Some warm-up, then a window and what it costs the server."""
    length = options.milliseconds * 1_000_000
    until(time.monotonic_ns() + length // WARM_UP)
    before = cpu_at_rest(options.server)
    start = time.monotonic_ns()
    requests = until(start + length)
    wall = time.monotonic_ns() - start
    cost = cpu_at_rest(options.server) - before
    return {"requests": requests, "server_ns": cost, "wall_ns": wall}


def cpu_at_rest(process: int) -> int:
    """CPU nanoseconds of a process, read when it has nothing to do; see load/src/meter.rs."""
    before = sum(cpu_of_threads(process))
    for _ in range(50):
        time.sleep(0.001)
        now = sum(cpu_of_threads(process))
        if now == before:
            break
        before = now
    return before


def cpu_of_threads(process: int) -> Iterator[int]:
    """CPU time of each thread of a process."""
    for thread in Path(f"/proc/{process}/task").iterdir():
        try:
            yield int((thread / "schedstat").read_text(encoding="ascii").split()[0])
        except FileNotFoundError:
            pass


LOADS = {"tls-echo": echo, "tls-handshake": handshake}

if __name__ == "__main__":
    sys.exit(main())
