"""What sock_recv and its kin watch: one descriptor, for one wait, whatever became of it since."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from typing import Any

import pytest
from conftest import World
from io_tools import MIB, is_watched, pair, run, turns
from sock_tools import Ends, ends

__all__ = ("ends",)


# --- What the kernel was told ------------------------------------------------------------


def test_a_reader_whose_data_is_stolen_waits_on(world: World, loop: Any, ends: Ends) -> None:
    # Two descriptors of one socket are roused together; who runs first takes what has come.
    stolen = 0

    def steal(fd: int) -> None:
        nonlocal stolen
        loop.remove_reader(fd)
        with contextlib.suppress(BlockingIOError):
            stolen += len(os.read(fd, 1))

    async def main() -> None:
        sent = got = 0
        for number in range(20):
            thief = os.dup(ends[0].fileno())
            if number % 2:
                loop.add_reader(thief, steal, thief)
            receiving = loop.create_task(loop.sock_recv(ends[0], 1))
            await turns()
            if number % 2 == 0:
                loop.add_reader(thief, steal, thief)
            while not receiving.done():
                sent += ends[1].send(b"1")
                await asyncio.wait([receiving], timeout=0.002)
            got += len(receiving.result())
            loop.remove_reader(thief)
            os.close(thief)
            with contextlib.suppress(BlockingIOError):
                got += len(ends[0].recv(100))
            assert not is_watched(loop, ends[0].fileno())
        assert got + stolen == sent
        assert stolen

    run(loop, main())


def test_a_file_put_under_the_number_of_a_socket_is_heard(
    world: World, loop: Any, ends: Ends
) -> None:
    async def main() -> None:
        other, peer = pair()
        with other, peer:
            receiving = loop.create_task(loop.sock_recv(ends[0], 10))
            await turns()
            ends[1].send(b"data")
            assert await receiving == b"data"
            os.dup2(other.fileno(), ends[0].fileno())
            for _ in range(3):
                receiving = loop.create_task(loop.sock_recv(ends[0], 10))
                await turns()
                peer.send(b"by another")
                assert await receiving == b"by another"

    run(loop, main())


def test_a_socket_that_lives_on_under_another_number(world: World, loop: Any) -> None:
    async def main() -> None:
        for _ in range(5):
            left, right = pair()
            receiving = loop.create_task(loop.sock_recv(left, 10))
            await turns()
            right.send(b"data")
            assert await receiving == b"data"
            fd = left.fileno()
            twin = left.dup()
            left.close()
            again, peer = pair()
            with twin, right, again, peer:
                assert again.fileno() == fd
                receiving = [loop.create_task(loop.sock_recv(sock, 10)) for sock in (again, twin)]
                await turns()
                right.send(b"for the twin")
                assert await receiving[1] == b"for the tw"
                assert not receiving[0].done()
                peer.send(b"for it")
                assert await receiving[0] == b"for it"

    run(loop, main())


def test_a_socket_goes_from_loop_to_loop(world: World, ends: Ends) -> None:
    async def receive(loop: Any) -> bytes:
        receiving = loop.create_task(loop.sock_recv(ends[0], 10))
        await turns()
        ends[1].send(b"data")
        result: bytes = await receiving
        return result

    loops = [world.new_event_loop() for _ in range(2)]
    try:
        for loop in loops * 3:
            assert run(loop, receive(loop)) == b"data"
    finally:
        for loop in loops:
            loop.close()


def test_after_a_wait_others_may_watch(world: World, loop: Any, ends: Ends) -> None:
    async def main() -> None:
        heard = []
        for _ in range(3):
            receiving = loop.create_task(loop.sock_recv(ends[0], 10))
            await turns()
            ends[1].send(b"data")
            assert await receiving == b"data"
            loop.add_reader(ends[0], lambda: heard.append(ends[0].recv(10)))
            for text in (b"one", b"two"):
                ends[1].send(text)
                while not heard or heard[-1] != text:
                    await asyncio.sleep(0)
            loop.add_writer(ends[0], loop.remove_writer, ends[0])
            await asyncio.sleep(0.001)
            assert loop.remove_reader(ends[0]) is True
            assert loop.remove_reader(ends[0]) is False
            ends[1].send(b"data")
            assert await loop.sock_recv(ends[0], 10) == b"data"

    run(loop, main())


def test_a_reader_and_a_writer_of_one_socket_wake_each_for_its_own(
    world: World, loop: Any, ends: Ends
) -> None:
    async def main() -> None:
        for first in ("reader", "writer"):
            while True:
                with contextlib.suppress(BlockingIOError):
                    ends[0].send(bytes(MIB))
                    continue
                break
            if first == "reader":
                reading = loop.create_task(loop.sock_recv(ends[0], 10))
                await turns()
            writing = loop.create_task(loop.sock_sendall(ends[0], b"end"))
            await turns()
            if first == "writer":
                reading = loop.create_task(loop.sock_recv(ends[0], 10))
                await turns()
            ends[1].send(b"data")
            assert await reading == b"data"
            assert not writing.done()
            reading = loop.create_task(loop.sock_recv(ends[0], 10))
            await turns()
            while not writing.done():
                await loop.sock_recv(ends[1], MIB)
            assert not reading.done()
            ends[1].send(b"more")
            assert await reading == b"more"
            with contextlib.suppress(BlockingIOError):
                while ends[1].recv(MIB):
                    pass

    run(loop, main())


def test_a_storm_of_numbers_used_again(world: World, loop: Any) -> None:
    async def one(number: int) -> None:
        for count in range(30):
            left, right = pair()
            with left, right:
                for step in range(3):
                    receiving = loop.create_task(loop.sock_recv(left, 100))
                    await turns((number + count + step) % 3)
                    if (number + step) % 5 == 0:
                        receiving.cancel()
                        await asyncio.wait([receiving])
                        receiving = loop.create_task(loop.sock_recv(left, 100))
                    text = b"%d %d %d" % (number, count, step)
                    right.send(text)
                    assert await receiving == text

    async def main() -> None:
        await asyncio.gather(*map(one, range(30)))

    run(loop, main(), 20)


# --- Who is displaced --------------------------------------------------------------------


def change_file(loop: Any, fd: int) -> tuple[Any, Any]:
    """Close what has this number behind the loop's back, and give the number to another."""
    os.close(fd)
    one, other = pair()
    assert one.fileno() == fd
    return one, other


def test_a_reader_that_is_displaced_by_a_new_file_does_not_run(world: World, loop: Any) -> None:
    # Its descriptor was roused in the very turn in which it is closed and the number another's.
    heard: list[str] = []
    trigger, pull = pair()
    old, sender = pair()
    fd = old.detach()
    made: list[Any] = []

    def displace() -> None:
        loop.remove_reader(trigger)
        made.extend(change_file(loop, fd))
        loop.add_reader(fd, heard.append, "new")

    loop.add_reader(fd, heard.append, "old")
    loop.add_reader(trigger, displace)
    world.turn(loop)
    pull.send(b"1")
    sender.send(b"1")
    world.turn(loop, 2)
    assert made
    assert heard == []
    loop.remove_reader(fd)
    for sock in (trigger, pull, sender, *made):
        sock.close()


def test_a_displaced_reader_that_watches_as_it_dies(world: World, loop: Any) -> None:
    heard: list[str] = []

    class Phoenix:
        def __call__(self) -> None:
            heard.append("old")

        def __del__(self) -> None:
            loop.add_reader(fd, heard.append, "nested")

    old, sender = pair()
    fd = old.detach()
    loop.add_reader(fd, Phoenix())
    one, other = change_file(loop, fd)
    loop.add_reader(fd, heard.append, "new")
    other.send(b"1")
    world.turn(loop)
    # The last to watch is the one; asyncio has forgotten that the kernel knows of neither.
    assert heard == (["nested"] if world.is_ours else [])
    assert loop.remove_reader(fd)
    for sock in (sender, one, other):
        sock.close()


def test_a_signal_that_ends_the_run_takes_no_event_with_it(
    world: World, loop: Any, ends: Ends
) -> None:
    # The number that the interpreter writes when a signal comes is what the loop waits for: both
    # come in the same sleep, for the signal is another thread's.
    receiving = loop.create_task(loop.sock_recv(ends[0], 10))

    def interrupt() -> None:
        time.sleep(0.02)
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    thread = threading.Thread(target=interrupt)
    loop.call_soon(thread.start)
    before = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    ends[1].setblocking(False)
    wakeup = signal.set_wakeup_fd(ends[1].fileno())
    try:
        with pytest.raises(KeyboardInterrupt):
            loop.run_forever()
        thread.join()
    finally:
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGUSR1, before)
    assert not receiving.done()
    assert run(loop, receiving) == bytes([signal.SIGUSR1])
