"""install() and uninstall(): whose names asyncio's names stand for, and what becomes of old ones.

Each program runs in a process of its own: what install() changes is the whole process's. They
have no counterpart in stock asyncio; that a program does the same with and without install() is
what the tests of the launcher and of the examples show.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest
from conftest import World, run_command

# The names that install() replaces, and the modules besides asyncio that have them.
PRELUDE = """
import asyncio, asyncio.base_events, asyncio.events, asyncio.futures, asyncio.runners
import asyncio.tasks, asyncio.taskgroups, asyncio.timeouts, asyncio.staggered
import sys

def names():
    return {
        (module, name): value
        for module, namespace in sorted(sys.modules.items())
        if module == "asyncio" or module.startswith("asyncio.")
        for name, value in sorted(vars(namespace).items())
        if not name.startswith("__")
    }

before = names()
import batonloop
SHARED = batonloop._batonloop.LAYOUT == "shared"
assert names() == before, "the import alone changed asyncio"

"""


def check(program: str, tmp_path: Path, expected: str = "", **options: object) -> None:
    path = tmp_path / "program.py"
    path.write_text(PRELUDE + textwrap.dedent(program))
    done = run_command([sys.executable, "-W", "error", str(path)])
    assert (done.out, done.err, done.status) == (expected, "", 0)


def test_importing_changes_nothing(ours: World, tmp_path: Path) -> None:
    check("", tmp_path)


def test_installing_puts_our_names_into_asyncio(ours: World, tmp_path: Path) -> None:
    check(
        """
        batonloop.install()
        assert asyncio.Task is asyncio.tasks.Task is batonloop.Task
        assert asyncio.Future is asyncio.futures.Future is batonloop.Future
        # asyncio.events keeps its own two: what asyncio makes there compares itself by them.
        assert asyncio.Handle is batonloop.Handle
        assert asyncio.TimerHandle is batonloop.TimerHandle
        assert asyncio.run is asyncio.runners.run is batonloop.run
        assert asyncio.Runner is asyncio.runners.Runner is batonloop.Runner
        for name in ("create_task", "current_task", "all_tasks", "sleep"):
            ours = getattr(batonloop, name)
            assert getattr(asyncio, name) is getattr(asyncio.tasks, name) is ours, name
        for name in batonloop.streams.__all__:
            ours = getattr(batonloop, name)
            assert getattr(asyncio, name) is getattr(asyncio.streams, name) is ours, name
        for name in batonloop.subprocess.__all__:
            ours = getattr(batonloop, name)
            assert getattr(asyncio, name) is getattr(asyncio.subprocess, name) is ours, name
        if sys.version_info >= (3, 12):
            assert asyncio.eager_task_factory is batonloop.eager_task_factory
            assert asyncio.create_eager_task_factory is batonloop.create_eager_task_factory
        """,
        tmp_path,
    )


def test_uninstalling_puts_every_name_back(ours: World, tmp_path: Path) -> None:
    check(
        """
        batonloop.install()
        assert names() != before
        batonloop.uninstall()
        after = names()
        changed = {key for key in before if after.get(key, None) is not before[key]}
        # The policy's slot was empty and may be filled.
        changed -= {("asyncio.events", "_event_loop_policy")}
        assert changed == set(), changed
        assert set(after) == set(before), set(after) ^ set(before)
        loop = asyncio.new_event_loop()
        assert not isinstance(loop, batonloop.EventLoop)
        loop.close()
        """,
        tmp_path,
    )


def test_installing_twice_is_installing_once(ours: World, tmp_path: Path) -> None:
    check(
        """
        stock = asyncio.Task
        batonloop.install()
        batonloop.install()
        assert asyncio.Task is batonloop.Task
        batonloop.uninstall()
        assert asyncio.Task is stock
        batonloop.uninstall()
        assert asyncio.Task is stock
        batonloop.install()
        assert asyncio.Task is batonloop.Task
        """,
        tmp_path,
    )


def test_every_way_to_a_loop_gives_ours(ours: World, tmp_path: Path) -> None:
    check(
        """
        import warnings
        batonloop.install()
        loop = asyncio.new_event_loop()
        assert type(loop) is batonloop.EventLoop
        loop.close()

        async def main():
            return type(asyncio.get_running_loop())

        assert asyncio.run(main()) is batonloop.EventLoop
        with asyncio.Runner() as runner:
            assert runner.run(main()) is batonloop.EventLoop
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if hasattr(asyncio, "get_event_loop_policy"):
                loop = asyncio.get_event_loop_policy().new_event_loop()
                assert type(loop) is batonloop.EventLoop
                loop.close()
        """,
        tmp_path,
    )


def test_a_loop_class_called_by_name_gives_ours(ours: World, tmp_path: Path) -> None:
    """Servers do that: uvicorn hands asyncio.SelectorEventLoop to asyncio.Runner."""
    check(
        """
        import selectors
        from asyncio import SelectorEventLoop as Stock
        batonloop.install()

        async def main():
            return asyncio.get_running_loop()

        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            loop = runner.run(main())
        assert type(loop) is batonloop.EventLoop
        assert isinstance(loop, asyncio.SelectorEventLoop)
        assert issubclass(batonloop.EventLoop, asyncio.SelectorEventLoop)
        assert issubclass(Stock, asyncio.SelectorEventLoop)
        assert not issubclass(int, asyncio.SelectorEventLoop)
        assert issubclass(asyncio.SelectorEventLoop, asyncio.AbstractEventLoop)
        assert "call_soon" in dir(asyncio.SelectorEventLoop)
        assert asyncio.SelectorEventLoop.sock_recv is batonloop.EventLoop.sock_recv
        batonloop.uninstall()
        assert asyncio.SelectorEventLoop is Stock
        """,
        tmp_path,
    )


def test_what_is_put_on_the_stand_in_is_put_on_its_loops(ours: World, tmp_path: Path) -> None:
    check(
        """
        from unittest import mock
        batonloop.install()
        with mock.patch.object(asyncio.SelectorEventLoop, "time", lambda self: 7.0):
            loop = asyncio.SelectorEventLoop()
            assert loop.time() == 7.0
            loop.close()
        loop = asyncio.SelectorEventLoop()
        assert loop.time() != 7.0
        asyncio.SelectorEventLoop.colour = "blue"
        assert loop.colour == "blue"
        del asyncio.SelectorEventLoop.colour
        assert not hasattr(loop, "colour")
        loop.close()
        """,
        tmp_path,
    )


def test_who_wants_a_selector_gets_asyncios_loop(ours: World, tmp_path: Path) -> None:
    check(
        """
        import selectors
        from asyncio import SelectorEventLoop as Stock
        batonloop.install()
        selector = selectors.SelectSelector()
        loop = asyncio.SelectorEventLoop(selector)
        assert type(loop) is Stock and loop._selector is selector
        assert loop.run_until_complete(asyncio.sleep(0, "slept")) == "slept"
        assert isinstance(loop, asyncio.SelectorEventLoop)
        loop.close()
        """,
        tmp_path,
    )


def test_a_class_derived_from_asyncios_loop_stays_so(ours: World, tmp_path: Path) -> None:
    check(
        """
        import selectors
        from asyncio import SelectorEventLoop as Stock
        batonloop.install()

        class Mixin:
            def __init_subclass__(cls, *, colour, **keywords):
                super().__init_subclass__(**keywords)
                cls.colour = colour

        class Loop(Mixin, asyncio.SelectorEventLoop, colour="blue"):
            "Counts."
            steps = 0

            def __init__(self):
                super().__init__(selectors.SelectSelector())

            def _run_once(self):
                self.steps += 1
                super()._run_once()

        assert Loop.__mro__[2] is Stock and Loop.colour == "blue" and Loop.__doc__ == "Counts."
        assert issubclass(Loop, asyncio.SelectorEventLoop)
        loop = Loop()
        loop.run_until_complete(asyncio.sleep(0))
        assert loop.steps >= 2 and type(loop._selector) is selectors.SelectSelector
        loop.close()
        """,
        tmp_path,
    )


def test_what_asyncio_makes_inside_is_ours(ours: World, tmp_path: Path) -> None:
    check(
        """
        batonloop.install()

        async def work():
            await asyncio.sleep(0)
            return type(asyncio.current_task())

        async def main():
            kinds = {await asyncio.create_task(work())}
            kinds.update(await asyncio.gather(work(), asyncio.ensure_future(work())))
            kinds.add(await asyncio.wait_for(work(), 5))
            kinds.add(await asyncio.shield(work()))
            async with asyncio.TaskGroup() as group, asyncio.timeout(5):
                task = group.create_task(work())
            kinds.add(task.result())
            async for each in as_completed([work(), work()]):
                kinds.add(await each)
            done, _ = await asyncio.wait([asyncio.create_task(work())])
            kinds.update(task.result() for task in done)
            assert asyncio.current_task() in asyncio.all_tasks()
            return kinds

        async def as_completed(works):
            for each in asyncio.as_completed(works):
                yield each

        assert asyncio.run(main()) == {batonloop.Task}
        """,
        tmp_path,
    )


def test_names_taken_earlier_stay_asyncios_and_right(ours: World, tmp_path: Path) -> None:
    check(
        """
        from asyncio import (
            Future, Task, all_tasks, create_task, current_task, gather, get_running_loop, sleep,
        )
        batonloop.install()
        assert Task is not asyncio.Task and Future is not asyncio.Future
        assert issubclass(asyncio.Task, Task) or not SHARED
        assert issubclass(asyncio.Future, Future) or not SHARED

        async def work(n):
            task = current_task()
            assert task is asyncio.current_task() and task in all_tasks()
            assert all_tasks() == asyncio.all_tasks()
            assert isinstance(task, Task) or not SHARED
            await sleep(0.001)
            return n

        async def main():
            stock = Task(work(1), loop=get_running_loop())
            assert type(stock) is Task
            mine = create_task(work(2))
            both = await gather(stock, mine, asyncio.create_task(work(3)))
            future = Future(loop=get_running_loop())
            get_running_loop().call_soon(future.set_result, 4)
            return both + [await future]

        print(asyncio.run(main()))
        """,
        tmp_path,
        "[1, 2, 3, 4]\n",
    )


def test_rebinding_reaches_names_taken_earlier(ours: World, tmp_path: Path) -> None:
    (tmp_path / "early.py").write_text(
        "from asyncio import Task, create_task, sleep as doze, gather\nnot_theirs = object()\n"
    )
    check(
        """
        import early
        stock = early.Task, early.create_task, early.doze, early.gather, early.not_theirs
        batonloop.install()
        assert early.Task is stock[0]
        batonloop.install(rebind=True)
        assert early.Task is batonloop.Task
        assert early.create_task is batonloop.create_task
        assert early.doze is batonloop.sleep
        assert early.gather is batonloop.gather
        batonloop.uninstall()
        now = early.Task, early.create_task, early.doze, early.gather, early.not_theirs
        assert all(a is b for a, b in zip(now, stock, strict=True))
        """,
        tmp_path,
    )


def test_rebinding_spares_what_must_stay_asyncios(ours: World, tmp_path: Path) -> None:
    (tmp_path / "early.py").write_text(
        "from asyncio import SelectorEventLoop as Selectors\n"
        "from asyncio.unix_events import _UnixSelectorEventLoop\n"
    )
    check(
        """
        import _asyncio, early
        from asyncio import unix_events
        stock = _asyncio.Task, _asyncio.Future
        kept = [unix_events._UnixSelectorEventLoop]
        batonloop.install(rebind=True)
        assert (_asyncio.Task, _asyncio.Future) == stock
        assert early._UnixSelectorEventLoop is unix_events._UnixSelectorEventLoop is kept[0]
        assert early.Selectors is asyncio.SelectorEventLoop is not kept[0]
        assert batonloop.Task is asyncio.Task is not stock[0]
        batonloop.uninstall()
        """,
        tmp_path,
    )


def test_what_somebody_else_changed_since_stays(ours: World, tmp_path: Path) -> None:
    check(
        """
        batonloop.install()
        asyncio.sleep = mine = object()
        batonloop.uninstall()
        assert asyncio.sleep is mine
        assert asyncio.tasks.sleep is not batonloop.sleep
        """,
        tmp_path,
    )


def test_objects_made_while_installed_live_on(ours: World, tmp_path: Path) -> None:
    check(
        """
        async def work():
            await asyncio.sleep(0.001)
            assert asyncio.current_task() is not None
            return 5

        batonloop.install()
        loop = asyncio.new_event_loop()
        task = loop.create_task(work())
        batonloop.uninstall()
        assert loop.run_until_complete(task) == 5
        assert loop.run_until_complete(work()) == 5
        loop.close()
        assert asyncio.run(work()) == 5
        assert batonloop.run(work()) == 5
        """,
        tmp_path,
    )


def test_installing_in_a_running_loop_of_asyncio_is_survived(ours: World, tmp_path: Path) -> None:
    check(
        """
        async def work():
            await asyncio.sleep(0.001)
            assert asyncio.current_task() in asyncio.all_tasks()
            return type(asyncio.current_task()) is batonloop.Task

        async def main():
            loop = asyncio.get_running_loop()
            before = asyncio.create_task(work())
            batonloop.install()
            after = asyncio.create_task(work())
            assert asyncio.get_running_loop() is loop
            assert len(asyncio.all_tasks()) == 3
            results = await asyncio.gather(before, after)
            batonloop.uninstall()
            await asyncio.sleep(0.001)
            return results

        print(asyncio.run(main()))
        """,
        tmp_path,
        "[False, True]\n",
    )


def test_without_installing_run_uses_ours_alone(ours: World, tmp_path: Path) -> None:
    check(
        """
        async def main():
            loop = asyncio.get_running_loop()
            assert type(loop) is batonloop.EventLoop
            task = asyncio.current_task()
            assert type(task) is batonloop.Task and batonloop.current_task() is task
            assert asyncio.all_tasks() == batonloop.all_tasks() == {task}
            assert type(asyncio.create_task(asyncio.sleep(0))) is batonloop.Task
            async with asyncio.timeout(5), asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(0.001))
            await asyncio.sleep(0.001)

        batonloop.run(main())
        after = names()
        changed = {key for key in before if after[key] is not before[key]}
        assert set(after) == set(before)
        # The policy's slot was empty, and is filled by whoever asks for the current loop. The
        # registry of tasks has learned of ours: asyncio's all_tasks() must see them.
        assert changed <= {
            ("asyncio.events", "_event_loop_policy"),
            ("asyncio.tasks", "_all_tasks"),
            ("asyncio.tasks", "_scheduled_tasks"),
            ("asyncio.tasks", "_eager_tasks"),
        }, changed
        """,
        tmp_path,
    )


@pytest.mark.skipif(sys.version_info >= (3, 16), reason="there are no policies")
def test_our_policy_makes_our_loops(ours: World, tmp_path: Path) -> None:
    check(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        asyncio.set_event_loop_policy(batonloop.EventLoopPolicy())
        loop = asyncio.new_event_loop()
        assert type(loop) is batonloop.EventLoop
        asyncio.set_event_loop(loop)
        assert asyncio.get_event_loop() is loop
        loop.close()
        asyncio.set_event_loop(None)

        async def main():
            return type(asyncio.get_running_loop())

        assert asyncio.run(main()) is batonloop.EventLoop
        """,
        tmp_path,
    )


@pytest.mark.skipif(sys.version_info >= (3, 16), reason="there are no policies")
def test_a_programs_own_policy_decides(ours: World, tmp_path: Path) -> None:
    check(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        batonloop.install()

        class Mine(batonloop.EventLoop):
            pass

        class Policy(asyncio.DefaultEventLoopPolicy):
            def new_event_loop(self):
                return Mine()

        asyncio.set_event_loop_policy(Policy())

        async def main():
            return type(asyncio.get_running_loop())

        assert asyncio.run(main()) is Mine
        loop = asyncio.new_event_loop()
        assert type(loop) is Mine
        loop.close()
        """,
        tmp_path,
    )


def test_user_classes_made_after_installing_are_ours(ours: World, tmp_path: Path) -> None:
    check(
        """
        stock = asyncio.Task
        batonloop.install()

        class Traced(asyncio.Task):
            made = 0
            def __init__(self, *args, **kwargs):
                super().__init__(*args, **kwargs)
                type(self).made += 1
                self.extra = "extra"

        assert issubclass(Traced, batonloop.Task)
        assert issubclass(Traced, stock) or not SHARED

        async def main():
            loop = asyncio.get_running_loop()
            loop.set_task_factory(lambda loop, coro, **kwargs: Traced(coro, loop=loop, **kwargs))
            await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))
            task = asyncio.create_task(asyncio.sleep(0))
            assert type(task) is Traced and task.extra == "extra"
            await task
            assert Traced.made == 3

        asyncio.run(main())
        """,
        tmp_path,
    )


def test_asyncios_writer_takes_asyncios_reader(ours: World, tmp_path: Path) -> None:
    check(
        """
        from asyncio import StreamReader, StreamReaderProtocol, StreamWriter

        class Reader(StreamReader):
            pass

        batonloop.install(rebind=True)

        class Transport(asyncio.Transport):
            def is_closing(self):
                return True

        async def main():
            loop = asyncio.get_running_loop()
            for kind in (before["asyncio", "StreamReader"], StreamReader, Reader):
                for writer in (before["asyncio", "StreamWriter"], StreamWriter):
                    reader = kind(loop=loop)
                    protocol = StreamReaderProtocol(reader, loop=loop)
                    assert writer(Transport(), protocol, reader, loop)._reader is reader

        asyncio.run(main())
        batonloop.uninstall()
        assert names() == before
        assert before["asyncio", "StreamWriter"].__init__.__globals__ is vars(asyncio.streams)
        """,
        tmp_path,
    )
