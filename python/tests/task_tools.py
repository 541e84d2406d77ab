"""What the tests of Future and Task share: short words for what they do again and again."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Callable, Generator
from typing import Any

from conftest import Outcome, run_command

PY = sys.version_info[:2]


def gather_reports(loop: Any) -> list[dict[str, Any]]:
    """Collect from now on what the loop would have logged, as the handler gets it."""
    reports: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: reports.append(context))
    return reports


def finish(loop: Any, *awaitables: Any) -> None:
    """Cancel what is still pending and let it end, so that a test leaves nothing behind."""
    for each in awaitables:
        each.cancel()
    for each in awaitables:
        if not each.done():
            try:
                loop.run_until_complete(each)
            except BaseException:
                pass
        if not each.cancelled():
            each.exception()


def raised(call: Callable[[], Any]) -> BaseException:
    """The exception that a call raises; a call that raises nothing fails the test."""
    try:
        result = call()
    except BaseException as exc:
        return exc
    raise AssertionError(f"nothing was raised, but returned: {result!r}")


def shares_layout(world: Any) -> bool:
    """Whether the world's futures are real asyncio futures, in CPython's own struct layout."""
    return not world.is_ours or world.module._batonloop.LAYOUT == "shared"


def coro_of(world: Any, task: Any) -> Any:
    """What get_coro() gives; None where stock 3.12 would crash, for a finished eager task."""
    if PY == (3, 12) and not world.is_ours and task.done():
        return None
    return task.get_coro()


def without_addresses(text: str) -> str:
    return re.sub(r"0x[0-9a-fA-F]+", "0x", text)


class Pause:
    """An awaitable that hands control back once, with whatever value the test likes."""

    def __init__(self, value: Any = None) -> None:
        self.value = value

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self.value)


PREAMBLE = '''\
import asyncio, _asyncio, contextlib, faulthandler, gc, importlib, sys, warnings, weakref
faulthandler.enable()
faulthandler.dump_traceback_later(50, exit=True)
world = importlib.import_module({module!r})
new_event_loop = {new_event_loop}
OURS, LAYOUT = {ours}, {layout}
gc.collect()
gc.freeze()  # What the imports brought need not be looked at again and again.

def reinit(each, *args, **kwargs):
    """Call the constructor again, in the middle of things: stock asyncio before 3.15 crashes."""
    if OURS or sys.version_info >= (3, 15):
        each.__init__(*args, **kwargs)
'''


def run_apart(world: Any, source: str, **kwargs: Any) -> Outcome:
    """Run source in a process of its own, with `world` the module of that world.

    For whatever may crash or hang the process: the test that asks for it then fails alone.
    """
    preamble = PREAMBLE.format(
        module=world.name,
        new_event_loop="world.new_event_loop" if world.is_ours else "asyncio.SelectorEventLoop",
        ours=world.is_ours,
        layout="world._batonloop.LAYOUT" if world.is_ours else "'shared'",
    )
    return run_command([sys.executable, "-c", preamble + textwrap.dedent(source)], **kwargs)


def passes_apart(world: Any, source: str, **kwargs: Any) -> None:
    """Run source in a process of its own: it must reach its end and say "ok" there."""
    outcome = run_apart(world, textwrap.dedent(source) + "\nprint('ok')\n", **kwargs)
    assert outcome.status == 0, (outcome.status, outcome.err[:1500])
    assert outcome.out.endswith("ok\n"), (outcome.out[-2000:], outcome.err[:1500])
