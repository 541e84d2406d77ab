"""StreamReader: what reading gives, when it waits, and what others may do to the buffer."""

from __future__ import annotations

import asyncio
import gc
import inspect
import sys
import weakref
from typing import Any

import pytest
from conftest import World
from io_tools import refusal, turns

READS = (("readline", ()), ("readuntil", (b"\n",)), ("readexactly", (4,)), ("read", (4,)))


class Transport:
    """Pauses and resumes, and counts."""

    def __init__(self, can_pause: bool = True) -> None:
        self.can_pause = can_pause
        self.calls: list[str] = []

    def pause_reading(self) -> None:
        self.calls.append("pause")
        if not self.can_pause:
            raise NotImplementedError

    def resume_reading(self) -> None:
        self.calls.append("resume")

    def __repr__(self) -> str:
        return "<transport>"


def make(world: World, *args: Any, **kwargs: Any) -> Any:
    return world.module.StreamReader(*args, **kwargs)


# --- Reading --------------------------------------------------------------------


@pytest.mark.parametrize(("method", "arguments"), READS)
def test_what_is_there_is_read_without_a_turn(
    world: World, method: str, arguments: tuple[Any, ...]
) -> None:
    async def main() -> None:
        reader = make(world)
        reader.feed_data(b"abc\ndef\n")
        ticks: list[int] = []
        asyncio.get_running_loop().call_soon(ticks.append, 1)
        for expected in (b"abc\n", b"def\n"):
            assert await getattr(reader, method)(*arguments) == expected
        assert ticks == []
        assert reader._buffer == b""

    world.run(main())


@pytest.mark.parametrize(("method", "arguments"), READS)
def test_who_waits_goes_on_two_turns_after_the_data(
    world: World, method: str, arguments: tuple[Any, ...]
) -> None:
    async def main() -> None:
        reader = make(world)
        task = asyncio.ensure_future(getattr(reader, method)(*arguments))
        await turns(2)
        waiter = reader._waiter
        reader.feed_data(b"abc\nde")
        assert waiter.done() and reader._waiter is None and not task.done()
        await asyncio.sleep(0)
        assert task.done() and task.result() == b"abc\n"
        assert reader._buffer == b"de"

    world.run(main())


def test_whole_pieces_are_handed_on_and_halves_are_copied(world: World) -> None:
    async def main() -> None:
        reader = make(world)
        piece = b"some bytes that came together"
        reader.feed_data(piece)
        assert await reader.read(100) == piece
        reader.feed_data(piece)
        assert await reader.readexactly(4) == b"some"
        assert await reader.readuntil(b"that") == b" bytes that"
        reader.feed_data(b"!\n")
        assert await reader.readline() == b" came together!\n"

    world.run(main())


def test_odd_amounts(world: World) -> None:
    async def main() -> None:
        reader = make(world)
        reader.feed_data(b"abcdef")
        assert await reader.read(0) == b""
        assert await reader.readexactly(0) == b""
        assert await reader.read(True) == b"a"
        assert await refusal(reader.readexactly(-1)) == (
            "ValueError: readexactly size can not be less than zero"
        )
        assert str(await refusal(reader.read("x"))).startswith("TypeError: '")
        assert await reader.read(2**100) == b"bcdef"
        assert "readexactly() missing" in str(await refusal(call(reader)))

    async def call(reader: Any) -> None:
        await reader.readexactly()

    world.run(main())


def test_a_wrong_call_is_refused_in_the_words_of_python(world: World) -> None:
    async def main() -> None:
        reader = make(world)
        for method, arguments, keywords, words in (
            ("read", (1, 2), {}, "takes from 1 to 2 positional arguments but 3 were given"),
            ("read", (), {"size": 1}, "got an unexpected keyword argument 'size'"),
            ("read", (1,), {"n": 1}, "got multiple values for argument 'n'"),
            ("readexactly", (), {}, "missing 1 required positional argument: 'n'"),
            ("readexactly", (1, 2), {}, "takes 2 positional arguments but 3 were given"),
            ("readuntil", (), {"n": 1}, "got an unexpected keyword argument 'n'"),
            ("_wait_for_data", (), {}, "missing 1 required positional argument: 'func_name'"),
        ):
            with pytest.raises(TypeError) as caught:
                await getattr(reader, method)(*arguments, **keywords)
            assert str(caught.value) == f"StreamReader.{method}() {words}"

    world.run(main())


def test_to_the_end_of_the_file(world: World) -> None:
    async def main() -> None:
        reader = make(world, limit=4)
        reader.feed_data(b"a line\nand no end")
        task = asyncio.ensure_future(reader.read())
        await turns()
        assert not task.done()
        reader.feed_data(b"!")
        await turns()
        assert not reader.at_eof()
        reader.feed_eof()
        assert await task == b"a line\nand no end!"
        assert reader.at_eof()
        assert await reader.read() == await reader.read(5) == await reader.readline() == b""
        assert await refusal(reader.readexactly(3)) == (
            "IncompleteReadError: 0 bytes read on a total of 3 expected bytes"
        )
        assert await refusal(reader.readuntil()) == (
            "IncompleteReadError: 0 bytes read on a total of undefined expected bytes"
        )

    world.run(main())


def test_the_end_of_the_file_in_the_middle(world: World) -> None:
    async def main() -> None:
        for method, argument in (("readexactly", 9), ("readuntil", b";")):
            reader = make(world)
            reader.feed_data(b"abc")
            task = asyncio.ensure_future(getattr(reader, method)(argument))
            await turns()
            reader.feed_eof()
            with pytest.raises(asyncio.IncompleteReadError) as caught:
                await task
            assert caught.value.partial == b"abc"
            assert caught.value.expected == (argument if method == "readexactly" else None)
            assert reader._buffer == b""

    world.run(main())


def test_lines_are_iterated_over(world: World) -> None:
    async def main() -> None:
        reader = make(world)
        reader.feed_data(b"one\ntwo\n\nthree")
        reader.feed_eof()
        assert reader.__aiter__() is reader
        assert [line async for line in reader] == [b"one\n", b"two\n", b"\n", b"three"]

    world.run(main())


@pytest.mark.parametrize("at_once", [True, False])
def test_separators_of_any_length_are_found_where_pieces_meet(world: World, at_once: bool) -> None:
    async def main() -> None:
        for separator in (b"S", b"SEP", b"SESEP"):
            data = b"some SESE" + separator + b"rest"
            reader = make(world)
            task = asyncio.ensure_future(reader.readuntil(separator))
            for start in range(0, len(data), len(data) if at_once else 1):
                reader.feed_data(data[start:] if at_once else data[start : start + 1])
                await turns()
            end = data.index(separator) + len(separator)
            assert await task == data[:end]
            assert reader._buffer == data[end:]
        assert await refusal(reader.readuntil(b"")) == (
            "ValueError: Separator should be at least one-byte string"
        )
        assert await refusal(reader.readuntil("")) == (
            "ValueError: Separator should be at least one-byte string"
        )

    world.run(main())


@pytest.mark.skipif(sys.version_info < (3, 13), reason="several separators came with 3.13")
def test_of_several_separators_the_one_that_ends_first_counts(world: World) -> None:
    async def main() -> None:
        reader = make(world)
        reader.feed_data(b"one\r\ntwo\nthree;four")
        separators = (b"\r\n", b"\n", b";")
        for expected in (b"one\r\n", b"two\n", b"three;"):
            assert await reader.readuntil(separators) == expected
        task = asyncio.ensure_future(reader.readuntil((b"END", b"XXXX")))
        await turns()
        reader.feed_data(b"EN")
        await turns()
        reader.feed_data(b"Dx")
        assert await task == b"fourEND"
        assert await refusal(reader.readuntil(())) == (
            "ValueError: Separator should contain at least one element"
        )

    world.run(main())


# --- The limit ------------------------------------------------------------------


def test_more_than_the_limit_is_left_for_readuntil_and_dropped_by_readline(world: World) -> None:
    async def main() -> None:
        reader = make(world, limit=5)
        reader.feed_data(b"too long\nshort\n")
        with pytest.raises(asyncio.LimitOverrunError) as caught:
            await reader.readuntil()
        assert str(caught.value) == "Separator is found, but chunk is longer than limit"
        assert caught.value.consumed == 8
        assert reader._buffer == b"too long\nshort\n"
        with pytest.raises(ValueError, match="Separator is found") as dropped:
            await reader.readline()
        assert type(dropped.value.__context__) is asyncio.LimitOverrunError
        assert await reader.readline() == b"short\n"
        reader.feed_data(b"no end in sight")
        with pytest.raises(asyncio.LimitOverrunError, match="is not found") as caught:
            await reader.readuntil(b"---")
        assert caught.value.consumed == 13
        with pytest.raises(ValueError, match="Separator is not found"):
            await reader.readline()
        assert reader._buffer == b""
        # What is no line has no limit.
        reader.feed_data(b"123456789")
        assert await reader.readexactly(9) == b"123456789"

    world.run(main())


def test_the_transport_pauses_with_twice_the_limit_and_goes_on_below_it(world: World) -> None:
    async def main() -> None:
        reader = make(world, limit=4)
        transport = Transport()
        reader.set_transport(transport)
        reader.feed_data(b"12345678")
        assert transport.calls == [] and not reader._paused
        reader.feed_data(b"9")
        reader.feed_data(b"0")
        assert transport.calls == ["pause"] and reader._paused
        assert await reader.read(5) == b"12345"
        assert transport.calls == ["pause"]
        assert await reader.read(1) == b"6"
        assert transport.calls == ["pause", "resume"] and not reader._paused
        reader.feed_data(b"x" * 10)
        # Who waits for more than ever comes while it pauses lets it go on.
        task = asyncio.ensure_future(reader.readexactly(20))
        await turns()
        assert transport.calls == ["pause", "resume"] * 2
        reader.feed_data(b"y" * 6)
        assert await task == b"7890" + b"x" * 10 + b"y" * 6

    world.run(main())


def test_a_transport_that_cannot_pause_is_asked_once(world: World) -> None:
    async def main() -> None:
        reader = make(world, limit=1)
        transport = Transport(can_pause=False)
        reader.set_transport(transport)
        with pytest.raises(AssertionError, match="Transport already set"):
            reader.set_transport(transport)
        reader.feed_data(b"12345678")
        reader.feed_data(b"12345678")
        assert transport.calls == ["pause"] and reader._transport is None

    world.run(main())


@pytest.mark.parametrize("limit", [0, -1, -0.5])
def test_the_limit_is_positive(world: World, loop: Any, limit: Any) -> None:
    with pytest.raises(ValueError, match="Limit cannot be <= 0"):
        make(world, limit, loop)
    with pytest.raises(TypeError, match="'<=' not supported"):
        make(world, limit=None, loop=loop)
    assert make(world, 2**90, loop)._limit == 2**90
    assert make(world, float("inf"), loop)._limit == float("inf")
    assert make(world, loop=loop)._limit == 2**16


# --- Waiting --------------------------------------------------------------------


@pytest.mark.parametrize(("method", "arguments"), READS)
def test_two_cannot_wait(world: World, method: str, arguments: tuple[Any, ...]) -> None:
    async def main() -> None:
        reader = make(world)
        first = asyncio.ensure_future(reader.read(10))
        await turns()
        name = "readuntil" if method == "readline" else method
        assert await refusal(getattr(reader, method)(*arguments)) == (
            f"RuntimeError: {name}() called while another coroutine is already waiting for "
            "incoming data"
        )
        reader.feed_data(b"x")
        assert await first == b"x"

    world.run(main())


def test_an_exception_reaches_who_waits_and_who_reads_later(world: World) -> None:
    async def main() -> None:
        reader = make(world)
        reader.feed_data(b"a")
        task = asyncio.ensure_future(reader.readexactly(2))
        await turns()
        error = ConnectionError("gone")
        reader.set_exception(error)
        for reading in (task, reader.read(), reader.readline(), reader.readuntil(b"a")):
            with pytest.raises(ConnectionError) as caught:
                await reading
            assert caught.value is error
        assert reader.exception() is error
        # Zero bytes are no reason not to fail.
        assert await refusal(reader.read(0)) == "ConnectionError: gone"

    world.run(main())


def test_a_cancelled_waiter_is_not_settled(world: World) -> None:
    async def main() -> None:
        reader = make(world)
        task = asyncio.ensure_future(reader.readline())
        await turns()
        task.cancel()
        reader.feed_data(b"ab")
        assert reader._waiter is None
        with pytest.raises(asyncio.CancelledError):
            await task
        task = asyncio.ensure_future(reader.readline())
        await turns()
        task.cancel()
        reader.set_exception(ValueError())
        with pytest.raises(asyncio.CancelledError):
            await task
        assert reader._waiter is None

    world.run(main())


def test_nothing_is_fed_after_the_end(world: World, loop: Any) -> None:
    reader = make(world, loop=loop)
    reader.feed_eof()
    with pytest.raises(AssertionError, match="feed_data after feed_eof"):
        reader.feed_data(b"x")
    with pytest.raises(AssertionError, match="feed_data after feed_eof"):
        reader.feed_data(b"")


# --- The buffer -----------------------------------------------------------------


def test_the_buffer_is_a_bytearray_that_anybody_may_change(world: World) -> None:
    async def main() -> None:
        reader = make(world)
        assert type(reader._buffer) is bytearray
        held = reader._buffer
        reader.feed_data(b"abc\n")
        assert held == b"abc\n" and reader._buffer is held
        held.extend(b"def\nrest")
        assert await reader.readline() == b"abc\n"
        assert held == b"def\nrest"
        del held[:2]
        assert await reader.readexactly(4) == b"f\nre"
        held.clear()
        assert not reader.at_eof() and not reader._buffer
        reader.feed_data(b"x")
        assert held == b"x" and await reader.read(5) == b"x" and held == b""

    world.run(main())


@pytest.mark.parametrize("held", [False, True], ids=["given", "held"])
@pytest.mark.parametrize("method", ["read", "readexactly", "readuntil"])
@pytest.mark.parametrize(
    ("size", "count"),
    [
        (16_384, 16_383),
        (16_385, 16_384),
        (20_000, 16_384),
        (32_768, 16_384),
        (32_769, 16_385),
        (100_000, 50_000),
        (100_000, 50_001),
        (100_000, 65_536),
        (100_000, 99_999),
        (262_144, 131_073),
    ],
)
def test_a_large_piece_is_read_in_parts_and_stays_as_it_was(
    world: World, size: int, count: int, method: str, held: bool
) -> None:
    content = bytes(bytearray(range(1, 251)) * (size // 250 + 1))[:size]
    content = content[: count - 2] + b"\r\n" + content[count:]
    front, back = content[:count], content[count:]

    async def main() -> None:
        reader = make(world, limit=size)
        transport = Transport()
        reader.set_transport(transport)
        piece = bytes(bytearray(content))
        number = hash(piece)
        reader.feed_data(piece)
        if not held:
            del piece
        argument = b"\r\n" if method == "readuntil" else count
        taken = await getattr(reader, method)(argument)
        assert type(taken) is bytes and taken == front and len(taken) == count
        # What was known of the whole is forgotten; where it ends there is a zero.
        assert hash(taken) == hash(front) != number
        assert (taken + b".")[-2:] == front[-1:] + b"."
        reader.feed_data(b"more")
        assert await reader.readexactly(1) == back[:1]
        assert reader._buffer == back[1:] + b"more"
        assert await reader.read(size) == back[1:] + b"more"
        assert taken == front and transport.calls == []
        if held:
            assert piece == content and hash(piece) == number

    world.run(main())


def test_a_buffer_that_somebody_looks_into_keeps_its_size(world: World) -> None:
    async def main() -> None:
        reader = make(world)
        reader.feed_data(b"abcdef")
        view = memoryview(reader._buffer)
        with pytest.raises(BufferError):
            await reader.read(2)
        with pytest.raises(BufferError):
            reader.feed_data(b"g")
        assert view == b"abcdef"
        view.release()
        assert await reader.read(2) == b"ab"
        reader.feed_data(b"gh")
        assert await reader.read(9) == b"cdefgh"

    world.run(main())


class Noted(bytearray):
    """A bytearray that notes what it is asked to do."""

    notes: list[str]

    def extend(self, data: Any) -> None:
        self.notes.append("extend")
        super().extend(data)


def test_a_buffer_of_somebody_elses_is_used(world: World) -> None:
    async def main() -> None:
        reader = make(world)
        reader.feed_data(b"lost")
        reader._buffer = mine = Noted(b"mine ")
        mine.notes = []
        reader.feed_data(b"and yours\nrest")
        assert mine.notes == ["extend"] and reader._buffer is mine
        assert await reader.readline() == b"mine and yours\n"
        assert await reader.readexactly(2) == b"re"
        assert mine == b"st"
        reader.feed_eof()
        assert await reader.read() == b"st" and reader.at_eof()
        reader._buffer = bytearray(b"another")
        assert await reader.readuntil(b"o") == b"ano"
        assert reader._buffer == b"ther"

    world.run(main())


# --- Subclasses and patches -----------------------------------------------------


def test_what_a_subclass_overrides_is_called(world: World) -> None:
    calls: list[str] = []

    class Reader(world.module.StreamReader):  # type: ignore[misc, name-defined]
        def _wakeup_waiter(self) -> None:
            calls.append("wakeup")
            super()._wakeup_waiter()

        def _maybe_resume_transport(self) -> None:
            calls.append("resume")
            super()._maybe_resume_transport()

        async def _wait_for_data(self, func_name: str) -> None:
            calls.append(func_name)
            await super()._wait_for_data(func_name)

    async def main() -> None:
        reader = Reader()
        for method, arguments in READS:
            calls.clear()
            task = asyncio.ensure_future(getattr(reader, method)(*arguments))
            await turns()
            reader.feed_data(b"abc\n")
            assert await task == b"abc\n"
            name = "readuntil" if method == "readline" else method
            assert calls == [name, "wakeup", "resume"]

    world.run(main())


def test_a_subclass_may_read_otherwise(world: World) -> None:
    class Reader(world.module.StreamReader):  # type: ignore[misc, name-defined]
        async def readuntil(self, separator: bytes = b"\n") -> Any:
            return (await super().readuntil(separator)).upper()

        async def read(self, n: int = -1) -> Any:
            return b"" if n > 0 else await super().read(n)

    async def main() -> None:
        reader = Reader(limit=5)
        reader.feed_data(b"ab\nfar too long\ncd\nrest")
        assert await reader.readline() == b"AB\n"
        with pytest.raises(ValueError, match="longer than limit"):
            await reader.readline()
        assert await reader.__anext__() == b"CD\n"
        reader.feed_eof()
        assert await reader.readline() == b"rest"
        assert await reader.read() == b""

    world.run(main())


def test_a_method_set_on_the_reader_is_called(world: World) -> None:
    async def main() -> None:
        reader = make(world)
        waited: list[str] = []

        async def wait(name: str) -> None:
            waited.append(name)
            reader.feed_data(b"abcd")

        reader._wait_for_data = wait
        assert await reader.readexactly(4) == b"abcd"
        assert waited == ["readexactly"]
        reader.anything = 1
        assert vars(reader)["anything"] == 1

    world.run(main())


@pytest.mark.parametrize("way", ["object", "class"])
def test_what_a_protocol_tells_its_reader_may_be_somebody_elses(world: World, way: str) -> None:
    told: list[Any] = []

    class Listening(world.module.StreamReader):  # type: ignore[misc, name-defined]
        def feed_data(self, data: bytes) -> None:
            told.append(data)

        def feed_eof(self) -> None:
            told.append("eof")

        def set_exception(self, exc: BaseException) -> None:
            told.append(exc)

    async def main() -> None:
        reader = world.module.StreamReader()
        protocol = world.module.StreamReaderProtocol(reader)
        protocol.data_received(b"before")
        if way == "class":
            reader.__class__ = Listening
        else:
            for name in ("feed_data", "feed_eof", "set_exception"):
                setattr(reader, name, getattr(Listening, name).__get__(reader))
        error = OSError("lost")
        protocol.data_received(b"after")
        protocol.eof_received()
        protocol.connection_lost(error)
        assert told == [b"after", "eof", error]
        assert reader.exception() is None
        assert await reader.read(10) == b"before"

    world.run(main())


# --- As an object ---------------------------------------------------------------


def test_the_repr_says_what_there_is(world: World, loop: Any) -> None:
    reader = make(world, loop=loop)
    assert repr(reader) == "<StreamReader>"
    reader.feed_data(b"abc")
    reader._waiter = 5
    reader._exception = KeyError(1)
    reader._transport = Transport()
    reader._paused = True
    reader._limit = 7
    reader._eof = True
    assert repr(reader) == (
        "<StreamReader 3 bytes eof limit=7 waiter=5 exception=KeyError(1) "
        "transport=<transport> paused>"
    )


def test_a_reader_is_freed_and_known_weakly(world: World, loop: Any) -> None:
    reader = make(world, loop=loop)
    reader.itself = reader
    reader.feed_data(b"x" * 100)
    reference = weakref.ref(reader)
    del reader
    gc.collect()
    assert reference() is None


def test_in_debug_mode_it_knows_where_it_was_made(world: World, loop: Any) -> None:
    assert make(world, loop=loop)._source_traceback is None
    loop.set_debug(True)
    frame = world.module.StreamReader(loop=loop)._source_traceback[-1]
    assert frame.name == "test_in_debug_mode_it_knows_where_it_was_made"


def test_a_reading_that_nobody_awaits_warns(world: World, loop: Any) -> None:
    reader = make(world, loop=loop)
    with pytest.warns(RuntimeWarning, match="'StreamReader.readline' was never awaited"):
        reader.readline()
        gc.collect()
    reading = reader.read(5)
    assert inspect.isawaitable(reading) and asyncio.iscoroutine(reading)
    reading.close()


def test_a_reading_is_driven_by_hand(world: World, loop: Any) -> None:
    reader = make(world, loop=loop)
    reading = reader.readexactly(3)
    waiter = reading.send(None)
    assert waiter is reader._waiter
    reading.close()
    assert reader._waiter is None
    reading = reader.readexactly(3)
    reading.send(None)
    with pytest.raises(ZeroDivisionError):
        reading.throw(ZeroDivisionError())
    assert reader._waiter is None
    reader.feed_data(b"abc")
    with pytest.raises(StopIteration) as caught:
        reader.readexactly(3).send(None)
    assert caught.value.value == b"abc"


RESET, SHORT = "ConnectionResetError: ", "3 bytes read on a total of 5 expected bytes"
NONE = "TypeError: exceptions must derive from BaseException"


@pytest.mark.parametrize(
    ("method", "exception", "at_once", "left", "later"),
    [
        ("read", ConnectionResetError, RESET, "buffer", RESET),
        ("readline", ConnectionResetError, RESET, "buffer", RESET),
        ("read", 17, NONE, "buffer", "b''"),
        ("readline", 17, NONE, "buffer", "b''"),
        ("read", asyncio.IncompleteReadError(b"par", 5), SHORT, "buffer", SHORT),
        ("readline", asyncio.IncompleteReadError(b"par", 5), "b'par'", "buffer", "b'par'"),
        ("read", asyncio.LimitOverrunError("long", 2), "long", "buffer", "long"),
        ("readline", asyncio.LimitOverrunError("long", 2), "ValueError: long", "", "long"),
    ],
)
def test_an_exception_of_any_kind_is_raised_as_by_a_statement(
    world: World, method: str, exception: Any, at_once: str, left: str, later: str
) -> None:
    async def outcome(reading: Any) -> str:
        try:
            return repr(await reading)
        except (Exception, asyncio.CancelledError) as error:
            return f"{type(error).__name__}: {error}"

    async def main() -> None:
        reader = make(world)
        reader.feed_data(b"buffer")
        reader.set_exception(exception)
        assert (await outcome(getattr(reader, method)())).endswith(at_once)
        assert reader._buffer == left.encode()
        # The same for one who waits already.
        reader = make(world)
        waiting = asyncio.ensure_future(outcome(getattr(reader, method)()))
        await asyncio.sleep(0)
        if isinstance(exception, int):
            reader.feed_eof()
        else:
            reader.set_exception(exception)
        assert (await waiting).endswith(later)

    world.run(main())


def test_arguments_may_be_given_by_name(world: World) -> None:
    async def main() -> None:
        reader = make(world)
        transport = Transport()
        reader.set_transport(transport=transport)
        reader.feed_data(data=b"abc")
        assert await reader.readexactly(n=3) == b"abc"
        protocol = world.module.StreamReaderProtocol(reader)
        protocol.data_received(data=b"def")
        assert await reader.read(n=10) == b"def"
        protocol.connection_lost(exc=None)
        assert reader.at_eof()
        reader.set_exception(exc=ValueError("late"))
        with pytest.raises(ValueError, match="late"):
            await reader.read()

    world.run(main())
