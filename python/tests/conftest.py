"""What the tests share: the two worlds, and the watch kept over each test.

Every test runs on stock asyncio first and on batonloop after that, with the same expectations.
A test that takes the `world` fixture says the world's names (`world.Task`, `world.run`, ...);
a test that takes `loop` gets a fresh loop of that world and need not close it. One that takes
`virtual_loop` gets one whose time jumps to the next timer, so that nobody waits: for all that
happens inside a loop. Whatever such a test logs at ERROR on asyncio's logger fails it, and so does
a file descriptor that it leaves open; a test that means to log asks for `logged`, or is marked
`may_log`.

BATONLOOP_TEST_WORLDS=asyncio (or =batonloop) restricts a run to one world.
"""

from __future__ import annotations

import asyncio
import dataclasses
import faulthandler
import gc
import importlib
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clock_tools import new_virtual_loop

# What fails in them is explained as it is in a test.
pytest.register_assert_rewrite(
    "child_tools",
    "faults",
    "io_tools",
    "net_tools",
    "play_tools",
    "scenes",
    "sock_tools",
    "task_tools",
    "tls_tools",
)

WORLDS = ("asyncio", "batonloop")

# The kinds of stream that a transport can stand on.
KINDS = ("tcp", "unix")

# A test that hangs ends the run with every thread's traceback, far above what any test needs.
HANG_SECONDS = 60.0

# What both worlds offer under the same name. The values of asyncio are taken here, at import,
# so that they stay the stock ones whatever a test installs.
NAMES = (
    "Future",
    "Handle",
    "Runner",
    "Task",
    "TimerHandle",
    "all_tasks",
    "create_task",
    "current_task",
    "ensure_future",
    "isfuture",
    "run",
    "sleep",
    "wrap_future",
)
NAMES_SINCE_3_12 = ("create_eager_task_factory", "eager_task_factory")
STOCK = {name: getattr(asyncio, name) for name in NAMES}
STOCK |= {name: getattr(asyncio, name, None) for name in NAMES_SINCE_3_12}
STOCK["EventLoop"] = asyncio.SelectorEventLoop
STOCK["new_event_loop"] = asyncio.SelectorEventLoop


class World:
    """One implementation of asyncio: the same names, whichever it is."""

    name: str
    is_ours: bool
    module: Any
    EventLoop: Any
    Future: Any
    Handle: Any
    Runner: Any
    Task: Any
    TimerHandle: Any
    all_tasks: Any
    create_eager_task_factory: Any
    create_task: Any
    current_task: Any
    eager_task_factory: Any
    ensure_future: Any
    isfuture: Any
    new_event_loop: Any
    run: Any
    sleep: Any
    wrap_future: Any

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_ours = name == "batonloop"
        self.module = importlib.import_module(name)
        if not self.is_ours:
            self.__dict__.update(STOCK)
            return
        for each in ("EventLoop", "new_event_loop", *NAMES):
            setattr(self, each, getattr(self.module, each))
        for each in NAMES_SINCE_3_12:
            needed = sys.version_info >= (3, 12)
            setattr(self, each, getattr(self.module, each) if needed else None)

    def __repr__(self) -> str:
        return f"<world {self.name}>"

    @property
    def shares_layout(self) -> bool:
        """Whether futures and tasks are asyncio's by type, and not only by behaviour."""
        return not self.is_ours or self.module._batonloop.LAYOUT == "shared"

    @staticmethod
    def turn(loop: Any, count: int = 1) -> None:
        """Run exactly `count` turns of the loop, without waiting for anything."""
        for _ in range(count):
            loop.stop()
            loop.run_forever()

    @staticmethod
    def run_until(loop: Any, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        """Run the loop until the condition holds, looking every millisecond."""
        deadline = time.monotonic() + seconds

        def look() -> None:
            if condition() or time.monotonic() > deadline:
                loop.stop()
            else:
                loop.call_later(0.001, look)

        look()
        loop.run_forever()
        assert condition(), f"still not so after {seconds} seconds"

    def command(self, *args: str, options: tuple[str, ...] = ()) -> list[str]:
        """The command line that runs a Python program in this world."""
        launcher = ["-m", "batonloop"] if self.is_ours else []
        return [sys.executable, *options, *launcher, *args]


class Log(logging.Handler):
    """Collects what is logged on asyncio's logger."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        record.getMessage()
        self.records.append(record)

    def texts(self, level: int = logging.NOTSET) -> list[str]:
        """The messages logged at this level or above, oldest first."""
        return [r.getMessage() for r in self.records if r.levelno >= level]

    def clear(self) -> None:
        self.records.clear()


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a program ended, and what it wrote."""

    status: int
    out: str
    err: str


def program_environment(env: dict[str, str] | None = None) -> dict[str, str]:
    """The environment for a program: no debug switch unless asked, batonloop importable."""
    result = dict(os.environ)
    for name in ("PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONWARNINGS", "COLUMNS"):
        result.pop(name, None)
    spec = importlib.util.find_spec("batonloop")
    places = [str(Path(place).parent) for place in (spec and spec.submodule_search_locations) or ()]
    places += filter(None, [result.get("PYTHONPATH")])
    if places:
        result["PYTHONPATH"] = os.pathsep.join(places)
    # Colours in tracebacks (3.13 on) would make every expected text version-dependent.
    result["NO_COLOR"] = "1"
    result.update(env or {})
    return result


def open_fds() -> dict[int, str]:
    """Every open file descriptor of this process, with what it stands for."""
    result = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            result[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            pass  # The descriptor of the listing itself.
    return result


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("random programs")
    group.addoption(
        "--programs",
        type=int,
        default=os.environ.get("BATONLOOP_PROGRAMS") or "2000",
        metavar="N",
        help="compare N random programs; without it as many as BATONLOOP_PROGRAMS says, or 2000",
    )
    group.addoption(
        "--seed",
        type=int,
        default=os.environ.get("BATONLOOP_SEED") or None,
        metavar="S",
        help="draw those of seed S; without it those of BATONLOOP_SEED, or the same in every run",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the random programs last: what they leave in memory slows every collection after."""
    items.sort(key=lambda item: "random" in item.path.name)


def pytest_configure(config: pytest.Config) -> None:
    for line in (
        "slow: takes more than a quarter of a second",
        "may_log: the test may log errors on asyncio's logger",
        "may_leave_fds: the test may leave file descriptors open",
    ):
        config.addinivalue_line("markers", line)
    # A warning is an error until a test says that it expects it, in destructors and threads too.
    config.addinivalue_line("filterwarnings", "error")
    # The real stderr: while a test runs, descriptor 2 is a file that a hang would lose.
    config.stash[REAL_STDERR] = os.dup(2)


REAL_STDERR = pytest.StashKey[int]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[Any]:
    faulthandler.dump_traceback_later(HANG_SECONDS, exit=True, file=item.config.stash[REAL_STDERR])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    # What exists by now stays: the collection after each test need not look at it again.
    gc.collect()
    gc.freeze()


def chosen_worlds() -> list[str]:
    chosen = os.environ.get("BATONLOOP_TEST_WORLDS", "").split(",")
    return [name for name in WORLDS if name in chosen] or list(WORLDS)


@pytest.fixture
def logged() -> Iterator[Log]:
    """What the test logs on asyncio's logger; a test that asks for it may log errors."""
    logger = logging.getLogger("asyncio")
    log = Log()
    logger.addHandler(log)
    yield log
    logger.removeHandler(log)


@pytest.fixture(params=chosen_worlds())
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Stock asyncio, then batonloop; the test must leave nothing behind in either."""
    result = World(request.param)
    gc.collect()
    # What the tests before have left to pytest need not be looked at again either.
    gc.freeze()
    fds_before = open_fds()
    logger = logging.getLogger("asyncio")
    log = Log()
    logger.addHandler(log)
    try:
        yield result
        gc.collect()
    finally:
        logger.removeHandler(log)
    running = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    assert running is None, "the test left a loop running"
    may_log = request.node.get_closest_marker("may_log") or "logged" in request.fixturenames
    if not may_log:
        assert log.texts(logging.ERROR) == []
    if not request.node.get_closest_marker("may_leave_fds"):
        left = {fd: what for fd, what in open_fds().items() if fd not in fds_before}
        assert left == {}, "the test left file descriptors open"


@pytest.fixture
def ours() -> World:
    """batonloop alone, for what stock asyncio has no counterpart of."""
    if "batonloop" not in chosen_worlds():
        pytest.skip("this run is restricted to stock asyncio")
    return World("batonloop")


@pytest.fixture
def loop(world: World) -> Iterator[Any]:
    """A fresh loop of this world, not running and not the thread's current one."""
    result = world.new_event_loop()
    yield result
    result.close()


@pytest.fixture
def virtual_loop(world: World) -> Iterator[Any]:
    """As `loop`, but its time is virtual: it begins at 0 and jumps to the next timer."""
    result = new_virtual_loop(world)
    yield result
    result.close()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of stream, for what all of them do alike."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def run_program(world: World, tmp_path: Path) -> Callable[..., Outcome]:
    """Runs a program, given as source text or a path, in a process of its own.

    In asyncio's world that is `python program.py`, in ours `python -m batonloop program.py`;
    `launcher=` names another world's. `options` go to Python itself, before the launcher.
    """

    def run(
        program: str | Path,
        *args: str,
        launcher: World = world,
        timeout: float = 60.0,
        env: dict[str, str] | None = None,
        options: tuple[str, ...] = (),
        stdin: str = "",
        cwd: Path | None = None,
    ) -> Outcome:
        if isinstance(program, str):
            path = tmp_path / "program.py"
            path.write_text(textwrap.dedent(program))
        else:
            path = program
        return run_command(
            launcher.command(str(path), *args, options=options),
            timeout=timeout,
            env=env,
            stdin=stdin,
            cwd=cwd,
        )

    return run


def run_command(
    command: list[str],
    *,
    timeout: float = 60.0,
    env: dict[str, str] | None = None,
    stdin: str = "",
    cwd: Path | None = None,
) -> Outcome:
    """Run a command to its end; one that does not end in time is ended, and fails the test."""
    done = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        env=program_environment(env),
        cwd=cwd,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def in_time() -> Iterator[None]:
    """Interrupts a test that blocks for ten seconds, so that it fails instead of hanging."""
    assert threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGALRM, _too_late)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def _too_late(signum: int, frame: object) -> None:
    raise TimeoutError("the test blocked for ten seconds")
