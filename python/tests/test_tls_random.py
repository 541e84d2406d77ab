"""Random lives of TLS connections, the same ones on asyncio's protocol and on ours, both ways.

A life is a list of small acts: the peer writes, bytes arrive in pieces, the application writes,
pauses, closes, raises; the connection below ends. What the application is told, what is done to
the transport below, what is reported, and what the peer can read must be the same.
"""

from __future__ import annotations

import random
import ssl
from typing import Any

import pytest
from conftest import World, chosen_worlds
from tls_tools import (
    BufferedRecorder,
    Recorder,
    Tls,
    Wire,
    client_context,
    of_version,
    server_context,
)

LIVES = 150
ACTS = [
    ("peer_writes", 8),
    ("deliver_all", 6),
    ("deliver_some", 4),
    ("write", 6),
    ("writelines", 2),
    ("peer_reads", 4),
    ("turn", 4),
    ("pause_reading", 2),
    ("resume_reading", 3),
    ("pause_writing", 1),
    ("resume_writing", 2),
    ("set_protocol", 1),
    ("set_limits", 1),
    ("close", 1),
    ("abort", 0.2),
    ("peer_goodbye", 0.7),
    ("eof", 0.5),
    ("lose", 0.4),
    ("garbage", 0.2),
]
# What a protocol may do when it is told something.
REACTIONS = ["nothing"] * 12 + ["echo", "echo", "pause", "close", "raise", "abort", "swap"]


class Life:
    """One life, drawn from a seed; the same acts for whoever lives it."""

    def __init__(self, tls: Tls, loop: Any, seed: int) -> None:
        self.draw = random.Random(seed)
        self.reactions = random.Random(seed + 1)
        version = self.draw.choice([ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
        server_side = self.draw.random() < 0.7
        context = server_context() if server_side else client_context()
        self.told: list[Any] = []
        self.loop = loop
        self.turn = lambda: tls.world.turn(loop)
        loop.set_exception_handler(
            lambda loop, context: self.tell(
                context["message"].split(" SSL")[0], type(context["exception"])
            )
        )
        self.wire = Wire(
            tls,
            loop,
            server_side=server_side,
            context=of_version(context, version),
            protocol=self.new_protocol(quiet=True),
        ).shake_hands()
        self.wire.protocol.quiet = False
        self.transport = self.wire.protocol.transport
        self.on_the_way = b""
        self.is_over = False
        self.calls_seen = 0

    def tell(self, *what: Any) -> None:
        self.told.append(what)

    def new_protocol(self, *, quiet: bool = False) -> Any:
        life = self
        base = BufferedRecorder if self.draw.random() < 0.3 else Recorder
        size = self.draw.choice([1000, 100_000])

        class Protocol(base):  # type: ignore[misc, valid-type]
            def data_received(self, data: bytes) -> None:
                life.react("data", bytes(data))

            def buffer_updated(self, nbytes: int) -> None:
                life.react("data", bytes(self.buffer[:nbytes]))

            def eof_received(self) -> None:
                life.react("eof", b"")

            def connection_lost(self, exc: BaseException | None) -> None:
                life.tell("lost", type(exc))

            def pause_writing(self) -> None:
                life.tell("pause_writing")

            def resume_writing(self) -> None:
                life.tell("resume_writing")

        return Protocol(size) if base is BufferedRecorder else Protocol()

    def react(self, what: str, data: bytes) -> None:
        self.tell(what, data)
        match self.reactions.choice(REACTIONS):
            case "echo" if data:
                self.transport.write(data)
            case "pause":
                self.transport.pause_reading()
            case "close":
                self.transport.close()
            case "abort":
                self.transport.abort()
            case "swap":
                self.transport.set_protocol(self.new_protocol())
            case "raise":
                raise ZeroDivisionError

    def data(self) -> bytes:
        size = self.draw.choice([1, 10, 1000, 16384, 16385, 50_000, 200_000])
        return self.draw.randbytes(64) * (size // 64 + 1)

    def act(self) -> None:
        names, weights = zip(*ACTS, strict=True)
        (name,) = self.draw.choices(names, weights)
        # What is drawn must not depend on what has happened.
        data, number = self.data(), self.draw.random()
        try:
            getattr(self, name)(data, number)
        except Exception as error:
            self.tell(name, "raised", type(error), str(error))
        calls = self.wire.below.calls
        for call in calls[self.calls_seen :]:
            self.tell("below", call if isinstance(call, str) else type(call))
        self.calls_seen = len(calls)

    def peer_writes(self, data: bytes, number: float) -> None:
        try:
            self.on_the_way += self.wire.peer_writes(data)
        except ssl.SSLError:
            pass

    def deliver(self, data: bytes) -> None:
        if not self.is_over:
            self.wire.deliver(data)

    def deliver_all(self, data: bytes, number: float) -> None:
        data, self.on_the_way = self.on_the_way, b""
        self.deliver(data)

    def deliver_some(self, data: bytes, number: float) -> None:
        count = int(len(self.on_the_way) * number)
        data, self.on_the_way = self.on_the_way[:count], self.on_the_way[count:]
        self.deliver(data)

    def write(self, data: bytes, number: float) -> None:
        self.transport.write(data)
        self.tell("size", self.transport.get_write_buffer_size() > 0)

    def writelines(self, data: bytes, number: float) -> None:
        # One piece: of several ours makes fewer records, so that other sums wait.
        self.transport.writelines([data + b"."])

    def peer_reads(self, data: bytes, number: float) -> None:
        try:
            self.tell("peer", self.wire.peer_reads())
        except ssl.SSLError as error:
            self.tell("peer", type(error))

    def turn_loop(self, data: bytes, number: float) -> None:
        self.turn()

    def pause_reading(self, data: bytes, number: float) -> None:
        self.transport.pause_reading()

    def resume_reading(self, data: bytes, number: float) -> None:
        self.transport.resume_reading()

    def pause_writing(self, data: bytes, number: float) -> None:
        if not self.is_over and not self.wire.ssl._ssl_writing_paused:
            self.wire.ssl.pause_writing()

    def resume_writing(self, data: bytes, number: float) -> None:
        if not self.is_over and self.wire.ssl._ssl_writing_paused:
            self.wire.ssl.resume_writing()

    def set_protocol(self, data: bytes, number: float) -> None:
        self.transport.set_protocol(self.new_protocol())

    def set_limits(self, data: bytes, number: float) -> None:
        self.transport.set_write_buffer_limits(int(number * 100_000))
        self.transport.set_read_buffer_limits(int(number * 100_000))

    def close(self, data: bytes, number: float) -> None:
        self.transport.close()

    def abort(self, data: bytes, number: float) -> None:
        self.transport.abort()

    def peer_goodbye(self, data: bytes, number: float) -> None:
        try:
            self.on_the_way += self.wire.peer_says_goodbye()
        except ssl.SSLError:
            pass

    def eof(self, data: bytes, number: float) -> None:
        if not self.is_over:
            self.is_over = True
            self.tell("eof", self.wire.ssl.eof_received())

    def lose(self, data: bytes, number: float) -> None:
        self.is_over = True
        self.wire.ssl.connection_lost(None)

    def garbage(self, data: bytes, number: float) -> None:
        # Alone: what is read before an error is handed on by ours, and lost by asyncio's.
        self.deliver_all(data, number)
        protocol = self.wire.ssl
        if protocol._incoming.pending or protocol._sslobj.pending():
            return
        self.deliver(b"\x17\x03\x03\x00\x20" + data[:32])

    def story(self) -> list[Any]:
        for _ in range(self.draw.randrange(5, 60)):
            self.act()
        self.turn()
        self.turn()
        self.tell("state", str(self.wire.ssl._state), str(self.wire.ssl._app_state))
        self.tell("paused", self.wire.ssl._app_writing_paused, self.wire.ssl._ssl_reading_paused)
        self.tell("closing", self.transport.is_closing())
        self.lose(b"", 0)
        self.turn()
        return self.told


setattr(Life, "turn_act", Life.turn_loop)
ACTS = [("turn_act" if name == "turn" else name, weight) for name, weight in ACTS]


def live(world: str, way: str, patch: pytest.MonkeyPatch, seed: int) -> list[Any]:
    tls = Tls(World(world), way, patch)
    loop = tls.new_event_loop()
    try:
        return Life(tls, loop, seed).story()
    finally:
        # Timers of shutdowns that nobody waits for.
        loop.close()
        tls.close()


def shorten(story: list[Any]) -> list[Any]:
    """Bytes by their number and a hash: a difference should be readable."""
    return [
        (*entry[:-1], len(entry[-1]), hash(entry[-1])) if isinstance(entry[-1], bytes) else entry
        for entry in story
    ]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["direct", "methods"])
@pytest.mark.filterwarnings("ignore:unclosed transport")
@pytest.mark.skipif("batonloop" not in chosen_worlds(), reason="compares the two worlds")
def test_a_random_life_is_the_same_as_on_asyncio(
    way: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    first: int = request.config.getoption("--seed") or 1
    for seed in range(first, first + LIVES):
        expected = shorten(live("asyncio", "stock", monkeypatch, seed))
        found = shorten(live("batonloop", way, monkeypatch, seed))
        assert found == expected, f"seed {seed}"
