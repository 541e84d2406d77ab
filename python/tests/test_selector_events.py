"""add_reader and add_writer, and a socket program made of nothing else."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import gc
import os
import resource
import socket
import tempfile
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import World


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two sockets, connected, not blocking."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


Pair = tuple[socket.socket, socket.socket]


# --- Readers ------------------------------------------------------------------


def test_a_reader_is_called_for_as_long_as_there_is_something(
    world: World, loop: Any, pair: Pair
) -> None:
    ours, theirs = pair
    seen: list[bytes] = []
    assert loop.add_reader(ours, lambda: seen.append(ours.recv(2))) is None
    world.turn(loop)
    assert seen == []
    theirs.send(b"abcdef")
    world.turn(loop, 3)
    assert seen == [b"ab", b"cd", b"ef"]
    world.turn(loop)
    assert len(seen) == 3
    assert loop.remove_reader(ours) is True


def test_a_reader_that_does_not_read_is_called_at_every_turn(
    world: World, loop: Any, pair: Pair
) -> None:
    # The readiness is a level, not an edge.
    ours, theirs = pair
    seen: list[str] = []
    theirs.send(b"x")
    loop.add_reader(ours, seen.append, "readable")
    world.turn(loop, 5)
    assert seen == ["readable"] * 5
    loop.remove_reader(ours)
    world.turn(loop)
    assert len(seen) == 5


def test_a_reader_takes_arguments_and_a_context(world: World, loop: Any, pair: Pair) -> None:
    ours, theirs = pair
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    seen: list[object] = []
    context = contextvars.copy_context()
    context.run(variable.set, "mine")
    context.run(loop.add_reader, ours, lambda *args: seen.append((args, variable.get())), 1, "two")
    theirs.send(b"x")
    world.turn(loop)
    assert seen == [((1, "two"), "mine")]
    loop.remove_reader(ours)


def test_a_reader_hears_of_the_end(world: World, loop: Any, pair: Pair) -> None:
    ours, theirs = pair
    seen: list[bytes] = []
    loop.add_reader(ours, lambda: (seen.append(ours.recv(10)), loop.remove_reader(ours)))
    theirs.close()
    world.turn(loop, 2)
    assert seen == [b""]


def test_a_new_reader_takes_the_old_ones_place(world: World, loop: Any, pair: Pair) -> None:
    ours, theirs = pair
    seen: list[str] = []
    loop.add_reader(ours, seen.append, "old")
    loop.add_reader(ours, seen.append, "new")
    theirs.send(b"x")
    world.turn(loop)
    assert seen == ["new"]
    assert loop.remove_reader(ours) is True
    assert loop.remove_reader(ours) is False


def test_a_replaced_reader_lets_go_of_what_it_held(world: World, loop: Any, pair: Pair) -> None:
    class Token:
        pass

    ours, _ = pair
    tokens = [Token(), Token()]
    gone = [weakref.ref(token) for token in tokens]
    for token in tokens:
        loop.add_reader(ours, print, token)
    del token, tokens
    gc.collect()
    assert gone[0]() is None and gone[1]() is not None
    loop.remove_reader(ours)
    gc.collect()
    assert gone[1]() is None


def test_a_reader_may_be_removed_in_the_turn_that_found_it_ready(
    world: World, loop: Any, pair: Pair
) -> None:
    ours, theirs = pair
    other, other_end = socket.socketpair()
    seen: list[str] = []

    def first(name: str, victim: socket.socket) -> None:
        seen.append(name)
        loop.remove_reader(victim)

    # Whichever comes first removes the other, which then may not run.
    loop.add_reader(ours, first, "ours", other)
    loop.add_reader(other, first, "other", ours)
    theirs.send(b"x")
    other_end.send(b"x")
    world.turn(loop, 3)
    assert len(set(seen)) == 1
    loop.remove_reader(ours)
    loop.remove_reader(other)
    other.close()
    other_end.close()


def test_a_reader_may_replace_itself(world: World, loop: Any, pair: Pair) -> None:
    ours, theirs = pair
    seen: list[str] = []

    def first() -> None:
        seen.append("first")
        loop.add_reader(ours, second)

    def second() -> None:
        seen.append("second")
        loop.remove_reader(ours)

    theirs.send(b"x")
    loop.add_reader(ours, first)
    world.turn(loop, 3)
    assert seen == ["first", "second"]


def test_a_failing_reader_is_reported_and_stays(world: World, loop: Any, pair: Pair) -> None:
    ours, theirs = pair
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))
    theirs.send(b"x")
    loop.add_reader(ours, lambda: 1 / 0)
    world.turn(loop, 2)
    assert [type(context["exception"]) for context in contexts] == [ZeroDivisionError] * 2
    assert loop.remove_reader(ours) is True


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_out_of_a_reader_loses_nothing(
    world: World, loop: Any, pair: Pair, kind: type[BaseException]
) -> None:
    ours, theirs = pair
    seen: list[str] = []

    def interrupt() -> None:
        ours.recv(1)
        raise kind

    theirs.send(b"x")
    loop.add_reader(ours, interrupt)
    loop.call_at(0, seen.append, "timer")
    with pytest.raises(kind):
        loop.run_forever()
    world.turn(loop)
    assert seen == ["timer"]
    assert loop.remove_reader(ours) is True


# --- Writers ------------------------------------------------------------------


def test_a_writer_is_called_while_there_is_room(world: World, loop: Any, pair: Pair) -> None:
    ours, theirs = pair
    calls = 0

    def fill() -> None:
        nonlocal calls
        calls += 1
        try:
            while True:
                ours.send(b"x" * 65536)
        except BlockingIOError:
            pass

    loop.add_writer(ours, fill)
    world.turn(loop)
    assert calls == 1
    world.turn(loop, 3)
    assert calls == 1
    while True:
        try:
            theirs.recv(1 << 20)
        except BlockingIOError:
            break
    world.turn(loop)
    assert calls == 2
    assert loop.remove_writer(ours) is True
    assert loop.remove_writer(ours) is False


def test_a_descriptor_may_have_both(world: World, loop: Any, pair: Pair) -> None:
    ours, theirs = pair
    seen: list[str] = []
    loop.add_reader(ours, seen.append, "reader")
    loop.add_writer(ours, seen.append, "writer")
    world.turn(loop)
    assert seen == ["writer"]
    theirs.send(b"x")
    seen.clear()
    world.turn(loop)
    # Both are ready: asyncio asks the reader first.
    assert seen == ["reader", "writer"]
    assert loop.remove_writer(ours) is True
    seen.clear()
    world.turn(loop)
    assert seen == ["reader"]
    assert loop.remove_writer(ours) is False
    assert loop.remove_reader(ours) is True
    seen.clear()
    world.turn(loop)
    assert seen == []
    # The other way round.
    loop.add_writer(ours, seen.append, "writer")
    loop.add_reader(ours, seen.append, "reader")
    assert loop.remove_reader(ours) is True
    world.turn(loop)
    assert seen == ["writer"]
    assert loop.remove_writer(ours) is True


def test_replacing_one_side_leaves_the_other(world: World, loop: Any, pair: Pair) -> None:
    ours, theirs = pair
    seen: list[str] = []
    theirs.send(b"x")
    loop.add_reader(ours, seen.append, "reader")
    loop.add_writer(ours, seen.append, "old writer")
    loop.add_writer(ours, seen.append, "new writer")
    world.turn(loop)
    assert seen == ["reader", "new writer"]
    loop.remove_reader(ours)
    loop.remove_writer(ours)


def test_a_broken_connection_is_told_to_both(world: World, loop: Any) -> None:
    # An error or a hang-up of the descriptor is for whoever watches it.
    reading, writing = os.pipe()
    seen: list[str] = []
    loop.add_writer(writing, lambda: (seen.append("writer"), loop.remove_writer(writing)))
    os.close(reading)
    world.turn(loop)
    assert seen == ["writer"]
    with pytest.raises(BrokenPipeError):
        os.write(writing, b"x")
    os.close(writing)


def test_a_hang_up_reaches_a_reader(world: World, loop: Any) -> None:
    reading, writing = os.pipe()
    seen: list[bytes] = []
    loop.add_reader(reading, lambda: (seen.append(os.read(reading, 1)), loop.stop()))
    os.close(writing)
    loop.run_forever()
    assert seen == [b""]
    loop.remove_reader(reading)
    os.close(reading)


# --- What may be watched ------------------------------------------------------


def test_a_descriptor_is_a_number_or_has_one(world: World, loop: Any, pair: Pair) -> None:
    class HasFileno:
        def fileno(self) -> int:
            return ours.fileno()

    ours, theirs = pair
    theirs.send(b"x")
    seen: list[str] = []
    for fd in (ours, ours.fileno(), HasFileno()):
        loop.add_reader(fd, seen.append, "reader")
        world.turn(loop)
        # They are all one: what one added, another removes.
        assert loop.remove_reader(ours.fileno()) is True
    assert seen == ["reader"] * 3


@pytest.mark.parametrize("thing", ["0", None, 1.5, object(), b"1", [0]])
def test_what_is_no_descriptor_is_refused(world: World, loop: Any, thing: object) -> None:
    for attempt in (
        lambda: loop.add_reader(thing, print),
        lambda: loop.add_writer(thing, print),
        lambda: loop.remove_reader(thing),
        lambda: loop.remove_writer(thing),
    ):
        with pytest.raises(ValueError) as caught:
            attempt()
        assert str(caught.value) == f"Invalid file object: {thing!r}"


@pytest.mark.parametrize("fd", [-1, -100])
def test_a_negative_descriptor_is_refused(world: World, loop: Any, fd: int) -> None:
    for attempt in (
        lambda: loop.add_reader(fd, print),
        lambda: loop.add_writer(fd, print),
        lambda: loop.remove_reader(fd),
        lambda: loop.remove_writer(fd),
    ):
        with pytest.raises(ValueError, match=rf"^Invalid file descriptor: {fd}$"):
            attempt()


def test_a_closed_sockets_descriptor_is_refused(world: World, loop: Any, pair: Pair) -> None:
    ours, _ = pair
    ours.close()
    with pytest.raises(ValueError, match=r"^Invalid file descriptor: -1$"):
        loop.add_reader(ours, print)


def test_a_descriptor_that_is_not_open_is_refused(world: World, loop: Any) -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    for fd in (min(limit, 2**20) - 1, 2**30, 2**31 - 1):
        for add in (loop.add_reader, loop.add_writer):
            with pytest.raises(OSError) as caught:
                add(fd, print)
            assert caught.value.errno == errno.EBADF
        assert loop.remove_reader(fd) is False
        assert loop.remove_writer(fd) is False


@pytest.mark.parametrize("fd", [2**31, 2**32, 2**63, 2**64, 2**100])
def test_a_number_beyond_every_descriptor_overflows(world: World, loop: Any, fd: int) -> None:
    # Never taken for the descriptor of its lower bits, and never a crash.
    for add in (loop.add_reader, loop.add_writer):
        with pytest.raises(OverflowError):
            add(fd, print)
    assert loop.remove_reader(fd) is False


def test_a_number_that_is_no_int_by_type_but_by_birth(world: World, loop: Any, pair: Pair) -> None:
    class Number(int):
        pass

    ours, _ = pair
    fd = Number(ours.fileno())
    loop.add_reader(fd, print)
    assert loop.remove_reader(int(fd)) is True


def test_a_plain_file_cannot_be_watched(world: World, loop: Any) -> None:
    with tempfile.TemporaryFile() as file:
        for add in (loop.add_reader, loop.add_writer):
            with pytest.raises(PermissionError) as caught:
                add(file, print)
            assert caught.value.errno == errno.EPERM
        # A refused descriptor leaves nothing behind.
        assert loop.remove_reader(file) is False
        assert loop.remove_writer(file) is False


def test_what_cannot_be_called_is_reported_when_it_is_due(
    world: World, loop: Any, pair: Pair
) -> None:
    ours, theirs = pair
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))
    theirs.send(b"x")
    loop.add_reader(ours, None)
    world.turn(loop)
    loop.remove_reader(ours)
    assert [type(context["exception"]) for context in contexts] == [TypeError]


def test_removing_what_was_never_added_is_no_mistake(world: World, loop: Any, pair: Pair) -> None:
    ours, _ = pair
    assert loop.remove_reader(ours) is False
    assert loop.remove_writer(ours) is False
    loop.add_reader(ours, print)
    assert loop.remove_writer(ours) is False
    assert loop.remove_reader(ours) is True


def test_watching_does_not_change_the_descriptor(world: World, loop: Any) -> None:
    # The program's descriptor stays blocking if it was.
    reading, writing = os.pipe()
    loop.add_reader(reading, print)
    loop.add_writer(writing, int)
    world.turn(loop)
    assert os.get_blocking(reading) and os.get_blocking(writing)
    loop.remove_reader(reading)
    loop.remove_writer(writing)
    assert os.get_blocking(reading) and os.get_blocking(writing)
    os.close(reading)
    os.close(writing)


# --- Descriptors that come and go ---------------------------------------------


def test_a_descriptor_closed_while_watched_is_removed_quietly(world: World, loop: Any) -> None:
    reading, writing = os.pipe()
    loop.add_reader(reading, print)
    os.close(reading)
    os.close(writing)
    world.turn(loop)
    assert loop.remove_reader(reading) is True
    assert loop.remove_reader(reading) is False


def test_a_number_that_is_given_out_again_can_be_watched_again(world: World, loop: Any) -> None:
    seen: list[str] = []
    for round_ in range(3):
        reading, writing = os.pipe()
        loop.add_reader(reading, seen.append, f"round {round_}")
        os.write(writing, b"x")
        world.turn(loop)
        loop.remove_reader(reading)
        os.close(reading)
        os.close(writing)
    assert seen == ["round 0", "round 1", "round 2"]


def test_a_number_reused_before_its_removal_does_not_crash(world: World, loop: Any) -> None:
    # The kernel forgot the closed one; the loop has not been told. asyncio then gives ENOENT
    # from its attempt to modify; a loop that copes may also take it.
    reading, writing = os.pipe()
    loop.add_reader(reading, print)
    os.close(reading)
    again = os.dup(writing)
    assert again == reading
    try:
        loop.add_writer(again, int)
    except OSError as error:
        assert error.errno == errno.ENOENT
    finally:
        loop.remove_reader(again)
        loop.remove_writer(again)
        os.close(again)
        os.close(writing)
    world.turn(loop)


def test_watched_descriptors_do_not_outlive_the_loop(world: World) -> None:
    class Token:
        pass

    loop = world.new_event_loop()
    reading, writing = os.pipe()
    token = Token()
    gone = weakref.ref(token)
    loop.add_reader(reading, print, token)
    loop.add_writer(writing, print, token)
    del token
    loop.close()
    gc.collect()
    assert gone() is None
    # The descriptors are the program's: still open.
    assert os.write(writing, b"x") == 1
    os.close(reading)
    os.close(writing)
    assert loop.remove_reader(reading) is False


def test_many_descriptors_ready_at_once_are_all_served(world: World, loop: Any) -> None:
    # More than a kernel call may give back at a time.
    count = 300
    pairs = [os.pipe() for _ in range(count)]
    seen: list[int] = []
    for number, (reading, writing) in enumerate(pairs):
        os.write(writing, b"x")
        loop.add_reader(
            reading,
            lambda fd=reading, n=number: (os.read(fd, 1), seen.append(n)),
        )
    world.turn(loop, 10)
    assert sorted(seen) == list(range(count))
    for reading, writing in pairs:
        assert loop.remove_reader(reading) is True
        os.close(reading)
        os.close(writing)


def test_a_reader_added_by_another_thread_works_after_a_wake(
    world: World, loop: Any, pair: Pair, in_time: None
) -> None:
    ours, theirs = pair
    theirs.send(b"x")
    thread = threading.Timer(0.01, loop.call_soon_threadsafe, (loop.add_reader, ours, loop.stop))
    thread.start()
    loop.run_forever()
    thread.join()
    assert loop.remove_reader(ours) is True


# --- A program made of nothing else -------------------------------------------


async def ready(loop: Any, sock: socket.socket, writing: bool = False) -> None:
    """Wait until the socket can be read from, or written to."""
    future = loop.create_future()
    add, remove = (
        (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
    )
    add(sock, lambda: future.done() or future.set_result(None))
    try:
        await future
    finally:
        remove(sock)


async def accept(loop: Any, server: socket.socket) -> socket.socket:
    while True:
        try:
            client, _ = server.accept()
        except BlockingIOError:
            await ready(loop, server)
        else:
            client.setblocking(False)
            return client


async def receive(loop: Any, sock: socket.socket) -> bytes:
    while True:
        try:
            return sock.recv(65536)
        except BlockingIOError:
            await ready(loop, sock)


async def send_all(loop: Any, sock: socket.socket, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[sock.send(view) :]
        except BlockingIOError:
            await ready(loop, sock, writing=True)


async def connect(loop: Any, address: Any) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    try:
        sock.connect(address)
    except BlockingIOError:
        await ready(loop, sock, writing=True)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    return sock


async def echo(loop: Any, client: socket.socket) -> None:
    with client:
        while data := await receive(loop, client):
            await send_all(loop, client, data)


async def serve(loop: Any, server: socket.socket, clients: int) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(echo(loop, await accept(loop, server)))


async def talk(loop: Any, address: Any, data: bytes) -> bytes:
    async def listen() -> bytes:
        received = bytearray()
        while chunk := await receive(loop, sock):
            received += chunk
        return bytes(received)

    with await connect(loop, address) as sock:
        listening = loop.create_task(listen())
        await send_all(loop, sock, data)
        sock.shutdown(socket.SHUT_WR)
        return await listening  # type: ignore[no-any-return]


@pytest.mark.parametrize("debug", [False, True])
def test_an_echo_server_and_its_clients(world: World, debug: bool) -> None:
    words = [bytes([n]) * (n * n * 1000 + 1) for n in range(20)]

    async def main() -> list[bytes]:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)
            async with asyncio.TaskGroup() as group:
                group.create_task(serve(loop, server, len(words)))
                talks = [group.create_task(talk(loop, server.getsockname(), w)) for w in words]
        return [await each for each in talks]

    assert world.run(main(), debug=debug) == words


def test_cancelling_a_waiting_client_takes_its_watch_away(
    world: World, loop: Any, pair: Pair
) -> None:
    ours, _ = pair
    task = loop.create_task(receive(loop, ours))
    world.turn(loop)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    assert loop.remove_reader(ours) is False


def test_a_number_that_another_file_has_got_is_watched_anew(
    world: World, loop: Any, in_time: None
) -> None:
    seen: list[str] = []
    old, old_peer = socket.socketpair()
    number = old.fileno()
    loop.add_reader(number, seen.append, "old")
    os.close(old.detach())
    new, new_peer = socket.socketpair()
    with old_peer, new, new_peer:
        assert new.fileno() == number
        loop.add_reader(number, seen.append, "new")
        new_peer.send(b"x")
        world.turn(loop)
        # asyncio does not ask the kernel again, and never hears of it.
        assert seen == (["new"] if world.is_ours else [])
        assert loop.remove_reader(number)
