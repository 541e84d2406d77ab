"""Look-ups that take their time: in which threads, how many at once, and what becomes of them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import inspect
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import Outcome, World
from io_tools import run, turns, until

# As many look-ups as keep every thread busy that either world has for them.
MANY = 64


class Slow:
    """A `socket.getaddrinfo` that waits until the test lets it go."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.lock = threading.Lock()
        self.asked: list[Any] = []
        self.threads: set[threading.Thread] = set()
        self.running = self.most = 0

    def __call__(self, host: Any, port: Any, *args: Any) -> Any:
        with self.lock:
            self.asked.append(host)
            self.threads.add(threading.current_thread())
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            assert self.gate.wait(20)
        finally:
            with self.lock:
                self.running -= 1
        if host == "name.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    result = Slow()
    monkeypatch.setattr(socket, "getaddrinfo", result)
    monkeypatch.setattr(socket, "getnameinfo", result)
    yield result
    result.gate.set()


def test_what_the_program_has_put_in_place_of_the_function_is_asked(
    world: World, loop: Any, slow: Slow
) -> None:
    slow.gate.set()

    async def main() -> None:
        for host in ("127.0.0.1", "::1", "name", None):
            found = await loop.getaddrinfo(host, 80, type=socket.SOCK_STREAM)
            assert found == [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 80))]
        numbers = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
        assert (await loop.getnameinfo(("::1", 80), numbers))[0][4] == (("::1", 80), numbers)
        assert threading.main_thread() not in slow.threads

    run(loop, main())


def test_what_a_look_up_raises_is_raised(world: World, loop: Any, slow: Slow) -> None:
    slow.gate.set()

    async def main() -> None:
        for _ in range(3):
            with pytest.raises(socket.gaierror, match="not known"):
                await loop.getaddrinfo("name.invalid", 80)
        for debug in (False, True):
            loop.set_debug(debug)
            with pytest.raises(TypeError, match="positional"):
                await loop.getaddrinfo("127.0.0.1", 80, 0)

    run(loop, main())


def test_an_error_is_held_by_nobody(world: World, loop: Any, slow: Slow) -> None:
    slow.gate.set()

    async def main() -> Any:
        try:
            await loop.getaddrinfo("name.invalid", 80)
        except socket.gaierror as error:
            return weakref.ref(error)

    gc.disable()
    try:
        told = run(loop, main())
        # The thread may still be about to let go of it.
        deadline = time.monotonic() + 10
        while told() is not None and time.monotonic() < deadline:
            time.sleep(0.001)
        assert told() is None
    finally:
        gc.enable()


def test_nothing_is_asked_before_it_is_awaited(world: World, loop: Any, slow: Slow) -> None:
    assert inspect.iscoroutinefunction(loop.getaddrinfo)
    assert inspect.iscoroutinefunction(loop.getnameinfo)
    slow.gate.set()
    asking = loop.getaddrinfo("name", 80)
    run(loop, turns(5))
    assert slow.asked == []
    assert run(loop, asking)[0][4] == ("name", 80)


def test_an_address_is_told_within_the_turn(ours: World) -> None:
    loop = ours.new_event_loop()
    addresses = [("127.0.0.1", 80), ("::1", 0), ("127.1", "80"), ("fe80::1%lo", None), (None, 1)]
    for host, port in addresses:
        with pytest.raises(StopIteration) as caught:
            loop.getaddrinfo(host, port, type=socket.SOCK_STREAM).send(None)
        assert caught.value.value == socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # An answer belongs to who has got it.
    for _ in range(2):
        with pytest.raises(StopIteration) as caught:
            loop.getaddrinfo("127.0.0.1", 80).send(None)
        caught.value.value.clear()
    loop.close()


def test_a_closed_loop_answers_nothing_at_all(world: World) -> None:
    loop = world.new_event_loop()
    loop.close()
    numbers = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    for asking in (
        loop.getaddrinfo("127.0.0.1", 80),
        loop.getnameinfo(("127.0.0.1", 80), numbers),
    ):
        with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
            asking.send(None)


@pytest.mark.slow
def test_a_thousand_at_once_share_a_few_threads(world: World, loop: Any, slow: Slow) -> None:
    async def main() -> None:
        asking = [loop.getaddrinfo(f"name{n}", n) for n in range(1000)]
        together = asyncio.gather(*asking)
        await until(lambda: slow.running)
        slow.gate.set()
        found = await together
        assert [each[0][4] for each in found] == [(f"name{n}", n) for n in range(1000)]
        assert sorted(slow.asked) == sorted(f"name{n}" for n in range(1000))
        assert slow.most <= 32
        assert threading.main_thread() not in slow.threads

    run(loop, main(), 30)


def test_names_are_found_while_the_executor_is_busy(world: World, loop: Any) -> None:
    gate = threading.Event()
    executor = concurrent.futures.ThreadPoolExecutor(1)
    loop.set_default_executor(executor)

    async def main() -> None:
        busy = loop.run_in_executor(None, gate.wait, 20)
        asking = asyncio.ensure_future(loop.getaddrinfo("localhost", 80))
        if world.is_ours:
            assert await asking == socket.getaddrinfo("localhost", 80)
        else:
            await asyncio.sleep(0.01)
            assert not asking.done()
        assert not busy.done()
        gate.set()
        assert await busy and await asking

    run(loop, main())


def test_names_are_found_after_the_executor_has_ended(ours: World) -> None:
    loop = ours.new_event_loop()

    async def main() -> None:
        await loop.shutdown_default_executor()
        assert await loop.getaddrinfo("localhost", 80) == socket.getaddrinfo("localhost", 80)

    run(loop, main())
    loop.close()


def test_who_overrides_run_in_executor_is_asked(world: World) -> None:
    asked: list[Any] = []

    def record(loop: Any, executor: Any, function: Any, *args: Any) -> Any:
        asked.append((executor, args))
        future = loop.create_future()
        future.set_result(function(*args))
        return future

    class Loop(world.EventLoop):  # type: ignore[name-defined,misc]
        run_in_executor = record

    first, second = Loop(), world.new_event_loop()
    second.run_in_executor = lambda *args: record(second, *args)
    expected = socket.getaddrinfo("localhost", 80)
    for loop in (first, second):
        asked.clear()
        assert run(loop, loop.getaddrinfo("localhost", 80)) == expected
        assert asked == [(None, ("localhost", 80, 0, 0, 0, 0))]
        loop.close()


def test_what_is_cancelled_before_its_turn_is_never_asked(
    world: World, loop: Any, slow: Slow
) -> None:
    async def main() -> None:
        first = [asyncio.ensure_future(loop.getaddrinfo("first", n)) for n in range(MANY)]
        await turns(2)
        late = [asyncio.ensure_future(loop.getaddrinfo("late", n)) for n in range(MANY)]
        await turns(2)
        for each in (*late, first[0]):
            each.cancel()
        # asyncio tells its executor in the next turn.
        await turns(2)
        slow.gate.set()
        found = await asyncio.gather(*first, *late, return_exceptions=True)
        assert {type(each) for each in (found[0], *found[MANY:])} == {asyncio.CancelledError}
        assert all(isinstance(each, list) for each in found[1:MANY])
        assert set(slow.asked) == {"first"}

    run(loop, main())


def test_a_loop_closes_under_its_look_ups(world: World, slow: Slow) -> None:
    loop = world.new_event_loop()
    asking: list[Any] = []

    async def main() -> None:
        asking.extend(asyncio.ensure_future(loop.getaddrinfo("name", n)) for n in range(MANY))
        await until(lambda: slow.running)
        for each in asking[1:]:
            each.cancel()
        # asyncio tells its executor in the next turn.
        await turns(2)
        # It is the loop that goes.
        asking[0]._log_destroy_pending = False

    run(loop, main())
    assert slow.running
    began = len(slow.asked)
    loop.close()
    slow.gate.set()
    for thread in slow.threads:
        thread.join(10)
        assert not thread.is_alive()
    assert len(slow.asked) == began
    assert not asking[0].done()


def test_threads_end_with_their_loop(ours: World) -> None:
    before = set(threading.enumerate())
    loop = ours.new_event_loop()

    async def main() -> None:
        await asyncio.gather(*[loop.getaddrinfo("localhost", n) for n in range(10)])

    run(loop, main())
    threads = set(threading.enumerate()) - before
    names = {thread.name for thread in threads}
    assert names and all(name.startswith("batonloop-resolver_") for name in names)
    assert all(thread.daemon for thread in threads)
    loop.close()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_no_thread_can_be_started(world: World, loop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    async def main() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(threading, "Thread", Refused)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                await loop.getaddrinfo("localhost", 80)
            assert await loop.getaddrinfo("127.0.0.1", 80) if world.is_ours else True
        if world.is_ours:
            expected = socket.getaddrinfo("localhost", 80)
            assert await loop.getaddrinfo("localhost", 80) == expected
            with monkeypatch.context() as patch:
                # One thread is enough.
                patch.setattr(threading, "Thread", Refused)
                asking = [loop.getaddrinfo("localhost", 80) for _ in range(5)]
                assert await asyncio.gather(*asking) == [expected] * 5

    run(loop, main())


def test_loops_of_many_threads_look_up_at_once(world: World) -> None:
    outcomes: list[Any] = []

    def work() -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            asking = [loop.getaddrinfo("localhost", n) for n in range(20)]
            outcomes.extend(await asyncio.gather(*asking))

        world.run(main())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = [socket.getaddrinfo("localhost", n) for n in range(20)]
    assert sorted(outcomes) == sorted(expected * 4)


@pytest.mark.slow
@pytest.mark.parametrize("end", ["loop.close()", "pass", "sys.exit(0)", "raise KeyError('last')"])
def test_a_program_ends_while_a_look_up_hangs(
    world: World, run_program: Callable[..., Outcome], end: str
) -> None:
    if not world.is_ours:
        pytest.skip("asyncio waits for its threads")
    started = time.monotonic()
    done = run_program(
        f"""
        import asyncio, socket, sys, time, warnings
        import batonloop
        warnings.simplefilter("ignore")
        socket.getaddrinfo = lambda *args: time.sleep(1000)

        async def main():
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.gather(*[loop.getaddrinfo("name", n) for n in range(50)])
            except TimeoutError:
                print("too late")

        loop = batonloop.new_event_loop()
        loop.run_until_complete(main())
        {end}
        """
    )
    assert done.out == "too late\n"
    assert done.status == (1 if "raise" in end else 0)
    assert "KeyError" in done.err if "raise" in end else done.err == ""
    assert time.monotonic() - started < 50


@pytest.mark.slow
def test_auditors_hear_of_every_question(world: World, run_program: Callable[..., Outcome]) -> None:
    done = run_program(
        """
        import asyncio, socket, sys
        heard = []
        sys.addaudithook(
            lambda name, args: heard.append(args) if name == "socket.getaddrinfo" else None
        )

        async def main():
            loop = asyncio.get_running_loop()
            for host in ("127.0.0.1", "::1", "127.1", "localhost"):
                for _ in range(2):
                    await loop.getaddrinfo(host, 80, type=socket.SOCK_STREAM)
                assert heard == [(host, 80, 0, 1, 0)] * 2, heard
                heard.clear()

        asyncio.run(main())
        """
    )
    assert (done.out, done.err, done.status) == ("", "", 0)
