"""A pytest plugin: tests on a loop of batonloop's, which must leave no task behind.

- The fixture `batonloop_loop` is a fresh `batonloop.EventLoop`, closed after the test.
- `@pytest.mark.batonloop` on an `async def` test runs it in that loop, as a task.
- A test that ends while tasks of the loop are not done fails, and its report says which tasks
  they are, where they wait, and for what. A task that has been asked to cancel may be as it is.
- `@pytest.mark.batonloop(virtual_time=True)`, or `--batonloop-virtual-time`, or
  `batonloop_virtual_time = true` in the configuration: the loop's time jumps, see
  `batonloop.testing`.
- `@pytest.mark.batonloop(may_leave_tasks=True)`: such tasks are cancelled without a word.

It does nothing else, and so works beside pytest-asyncio and anyio: their tests are theirs. It
stands outside of the package batonloop, so that pytest may import it without that.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import Any

_FIXTURE = "batonloop_loop"
_MARKER = "batonloop"
_ARGUMENTS = {"virtual_time", "may_leave_tasks"}
_OPTION = "batonloop_virtual_time"


def pytest_addoption(parser: pytest.Parser) -> None:
    help = "the time of batonloop_loop jumps to the next timer when nothing is ready"
    parser.getgroup("batonloop").addoption(
        "--batonloop-virtual-time", dest=_OPTION, action="store_true", default=None, help=help
    )
    parser.addini(_OPTION, help, type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "batonloop(*, virtual_time, may_leave_tasks=False): run the test in batonloop_loop; its "
        "time jumps, or not; tasks that are not done at its end fail the test, or do not",
    )


@pytest.fixture
def batonloop_loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    """A fresh loop of batonloop's, closed after the test. It is not made the current one."""
    loop = _new_loop(_has_virtual_time(request))
    try:
        yield loop
    finally:
        _close(loop)


def _has_virtual_time(request: pytest.FixtureRequest) -> bool:
    asked = _marked(request.node, "virtual_time")
    if asked is None:
        asked = request.config.getoption(_OPTION)
    if asked is None:
        asked = request.config.getini(_OPTION)
    return bool(asked)


def _marked(item: Any, name: str) -> Any:
    """What the nearest marker that speaks of this says; None if none does."""
    for marker in item.iter_markers(_MARKER):
        if marker.args or not marker.kwargs.keys() <= _ARGUMENTS:
            pytest.fail(
                f"the marker {_MARKER} takes virtual_time and may_leave_tasks by name, "
                f"not {_said(marker)}",
                pytrace=False,
            )
        if name in marker.kwargs:
            return marker.kwargs[name]
    return None


def _said(marker: pytest.Mark) -> str:
    """The arguments of a marker, as they are written."""
    named = [f"{name}={value!r}" for name, value in marker.kwargs.items()]
    return ", ".join([*map(repr, marker.args), *named])


def _new_loop(has_virtual_time: bool) -> asyncio.AbstractEventLoop:
    if has_virtual_time:
        import batonloop.testing

        return batonloop.testing.new_event_loop()
    import batonloop

    return batonloop.new_event_loop()


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> None:
    if inspect.iscoroutinefunction(obj):
        own: list[pytest.Mark] = getattr(obj, "pytestmark", [])
        if collector.get_closest_marker(_MARKER) or any(mark.name == _MARKER for mark in own):
            pytest.mark.usefixtures(_FIXTURE)(obj)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    loop: Any = pyfuncitem.funcargs.get(_FIXTURE)
    if loop is None:
        return (yield)
    test = pyfuncitem.obj
    if pyfuncitem.get_closest_marker(_MARKER) and inspect.iscoroutinefunction(test):
        pyfuncitem.obj = _in_loop(test, loop)
    try:
        outcome = yield
    finally:
        pyfuncitem.obj = test
    if not _marked(pyfuncitem, "may_leave_tasks"):
        _check_tasks(loop)
    return outcome


def _in_loop(test: Any, loop: asyncio.AbstractEventLoop) -> Any:
    """A plain function that runs an `async def` test to its end."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        loop.run_until_complete(test(*args, **kwargs))

    return run


def _check_tasks(loop: asyncio.AbstractEventLoop) -> None:
    from batonloop.testing import describe_task

    left = [task for task in _pending(loop) if not task.cancelling()]
    if left:
        lines = [f"  {describe_task(task)}" for task in left]
        message = "the test ends, and these tasks are not done:"
        pytest.fail("\n".join([message, *lines]), pytrace=False)


def _pending(loop: asyncio.AbstractEventLoop) -> list[asyncio.Task[Any]]:
    if loop.is_closed():
        return []
    return sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what still runs and close the loop, in the order in which asyncio.run() does."""
    if loop.is_closed():
        return
    try:
        pending = _pending(loop)
        for task in pending:
            task.cancel()
        if pending:
            loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
