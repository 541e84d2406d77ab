"""What a stream transport hands over: the pieces as they came, and the memory they are in."""

from __future__ import annotations

import random
import textwrap
from pathlib import Path
from typing import Any

import pytest
from conftest import World, run_command
from net_tools import Recorder, pattern, wired

SMALL, COPIED, LARGE, HUGE = 100, 4096, 16384, 65536
RUNS = [
    [SMALL] * 4,
    [LARGE] * 5,
    [LARGE, LARGE, LARGE + 1, LARGE + 1, LARGE + 1, LARGE, LARGE, LARGE - 1],
    [COPIED, COPIED + 1] * 4,
    [HUGE, HUGE, HUGE, SMALL, LARGE, LARGE, LARGE, HUGE],
    [1, LARGE, LARGE, LARGE, 1, 1, LARGE, LARGE, 2],
]


@pytest.mark.parametrize("every", [1, 2, 3], ids="keep every {}".format)
@pytest.mark.parametrize("run", range(len(RUNS)))
def test_what_a_protocol_keeps_stays_as_it_was(
    world: World, loop: Any, kind: str, every: int, run: int
) -> None:
    kept: list[tuple[bytes, int, bytes]] = []

    def keep(protocol: Any, data: bytes) -> None:
        pieces.append(len(data))
        if len(pieces) % every == 0:
            kept.append((data, hash(data), bytes(bytearray(data))))

    pieces: list[int] = []
    protocol = Recorder(data_received=keep)
    with wired(world, loop, protocol, kind) as (_, peer):
        for number, size in enumerate(RUNS[run]):
            piece = pattern(size, number + 1)
            before = len(protocol.received)
            peer.sendall(piece)
            world.run_until(loop, lambda want=before + size: len(protocol.received) >= want)  # type: ignore[misc]
            assert protocol.received[before:] == piece
    for data, number, copy in kept:
        assert data == copy
        assert hash(data) == number == hash(copy)
        assert data + b"." == copy + b"."


def test_a_number_ends_where_its_bytes_end(world: World, loop: Any) -> None:
    """int() reads up to the zero behind the last byte, also where something longer stood."""
    seen: list[int] = []
    protocol = Recorder(data_received=lambda _, data: seen.append(int(data)))
    with wired(world, loop, protocol, "unix") as (_, peer):
        for length in [4000, 4000, 3999, 3990, 3900, 4000]:
            peer.sendall(b"7" * length)
            want = len(seen) + 1
            world.run_until(loop, lambda want=want: len(seen) == want)  # type: ignore[misc]
            assert seen[-1] == int("7" * length)


def test_random_runs_of_sizes_come_whole(world: World, loop: Any) -> None:
    draw = random.Random(5)
    protocol = Recorder()
    with wired(world, loop, protocol, "unix") as (_, peer):
        sent = bytearray()
        for number in range(120):
            size = draw.choice([1, 50, 4096, 4097, 5000, 16384, 20000, 60000])
            for _ in range(draw.randrange(1, 5)):
                piece = pattern(size, number)
                peer.sendall(piece)
                sent += piece
                world.run_until(loop, lambda: len(protocol.received) == len(sent))
        assert protocol.received == sent


@pytest.mark.parametrize("size", [SMALL, COPIED, LARGE, HUGE])
def test_memory_that_nobody_keeps_serves_again(ours: World, size: int) -> None:
    """What costs most about a piece is its memory: the next one of its size has the same."""
    if not ours.shares_layout:
        pytest.skip("without a known layout no memory serves again")
    places: list[int] = []
    loop = ours.new_event_loop()
    protocol = Recorder(data_received=lambda _, data: places.append(id(data)))
    with wired(ours, loop, protocol, "unix") as (_, peer):
        for number in range(12):
            peer.sendall(bytes(size))
            ours.run_until(loop, lambda want=number + 1: len(protocol.received) == want * size)  # type: ignore[misc]
    loop.close()
    # The first pieces tell how large the others will be.
    assert len(set(places[3:])) == 1


@pytest.mark.slow
def test_memory_of_many_large_pieces_is_not_faulted_anew(ours: World, tmp_path: Path) -> None:
    """Held all at once and then freed, it must not go back to the kernel and come again."""
    program = """
        import asyncio, resource, socket

        SIZE, CONNECTIONS, PAGES = 100_000, 150, 24

        class Keeper(asyncio.Protocol):
            def data_received(self, data):
                kept.append(data)
                if sum(map(len, kept)) == SIZE * CONNECTIONS:
                    complete.set_result(None)

        async def main():
            global complete
            loop = asyncio.get_running_loop()
            peers = []
            for _ in range(CONNECTIONS):
                mine, peer = socket.socketpair()
                peers.append(peer)
                await loop.create_connection(Keeper, sock=mine)
            for _ in range(10):
                complete = loop.create_future()
                for peer in peers:
                    assert peer.send(bytes(SIZE)) == SIZE
                before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
                await complete
                kept.clear()
                after = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            assert after - before < PAGES * CONNECTIONS / 10, (before, after)
            print("kept")

        kept = []
        asyncio.run(main())
        """
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(program))
    outcome = run_command(ours.command(str(path)))
    assert outcome.out == "kept\n", outcome.err
