"""Put an implementation into asyncio for the test modules that are imported afterwards.

loop   whatever makes a loop in asyncio (new_event_loop, SelectorEventLoop, EventLoop, the
       default policy) makes one of the implementation's; Future, Task, ... stay asyncio's
full   loop, and every name of asyncio that the implementation also has is the
       implementation's in all modules of asyncio, also the names of C-accelerated twins
stock  nothing is changed
probe  nothing is changed, but it is noted which test makes a loop and which looks into it;
       make_list.py finds out by it which tests may be asked of another loop
"""

from __future__ import annotations

import asyncio
import asyncio.base_events
import asyncio.unix_events
import importlib
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

# A name of the implementation -> the twins written in C that asyncio keeps under other names.
# The tests reach for these directly, to run once on each.
TWINS: dict[str, tuple[str, ...]] = {
    "Future": ("futures._CFuture",),
    "Task": ("tasks._CTask",),
    "current_task": ("tasks._c_current_task",),
    "all_tasks": ("tasks._c_all_tasks",),
    "_register_task": ("tasks._c_register_task",),
    "_unregister_task": ("tasks._c_unregister_task",),
    "_register_eager_task": ("tasks._c_register_eager_task",),
    "_unregister_eager_task": ("tasks._c_unregister_eager_task",),
    "_enter_task": ("tasks._c_enter_task",),
    "_leave_task": ("tasks._c_leave_task",),
    "_swap_current_task": ("tasks._c_swap_current_task",),
    "get_event_loop": ("events._c_get_event_loop",),
    "get_running_loop": ("events._c_get_running_loop",),
    "_get_running_loop": ("events._c__get_running_loop",),
    "_set_running_loop": ("events._c__set_running_loop",),
    "future_add_to_awaited_by": ("futures._c_future_add_to_awaited_by",),
    "future_discard_from_awaited_by": ("futures._c_future_discard_from_awaited_by",),
}
# Loops are made by the stand-ins below, which count; policies stay asyncio's, since the tests
# put them back to their default, and so do run() and Runner, which ask the policy.
NOT_REPLACED = {
    "new_event_loop",
    "get_event_loop",
    "BaseEventLoop",
    "BaseSelectorEventLoop",
    "EventLoop",
    "SelectorEventLoop",
    "EventLoopPolicy",
    "DefaultEventLoopPolicy",
    "run",
    "Runner",
}
# Where else the implementation may keep a private name such as _enter_task.
NATIVE_PART = "_batonloop"

_made = 0
_touched: list[str] = []
# What the names stand for in each module of asyncio, once a mode is set up.
_names: list[tuple[ModuleType, str, Any]] = []


def before_test() -> None:
    """Forget what the last test did.

    Some tests put asyncio's twins in each other's place and do not tidy up in full.
    """
    global _made
    _made = 0
    _touched.clear()
    for module, name, value in _names:
        setattr(module, name, value)


def after_test() -> dict[str, Any]:
    """What the test did, as far as a mode watches it."""
    notes: dict[str, Any] = {"loops": _made}
    if _touched:
        notes["touched"] = sorted(set(_touched))
    return notes


def enter(mode: str, module_name: str, *, for_cpython: bool = True) -> None:
    """Set a mode up; not `for_cpython`, CPython's own tests are left as they are."""
    _set_up(mode, module_name, for_cpython)
    for module in _modules():
        _names.extend((module, name, vars(module)[name]) for name in TWINS if name in vars(module))


def _modules() -> list[ModuleType]:
    return [m for name, m in list(sys.modules.items()) if name.partition(".")[0] == "asyncio"]


def _set_up(mode: str, module_name: str, for_cpython: bool) -> None:
    if mode == "stock":
        return
    if mode == "probe":
        _watch_stock_loops()
        return
    module = importlib.import_module(module_name)
    _replace_loops(module.new_event_loop)
    if for_cpython:
        _spare_child_watchers()
    if mode == "full":
        count = _replace_names(module)
        print(f"{count} names of asyncio are {module_name}'s", flush=True)
    if for_cpython:
        _close_loops_publicly(module.new_event_loop)


def _replace_loops(make: Callable[[], Any]) -> None:
    def factory() -> Any:
        global _made
        _made += 1
        return make()

    class AnyLoop(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, asyncio.AbstractEventLoop)

    class SelectorEventLoop(metaclass=AnyLoop):
        """In the place of asyncio's loop classes; a selector that is handed in is not needed."""

        def __new__(cls, selector: Any = None) -> Any:
            if selector is not None:
                selector.close()
            return factory()

    # The names of some tests have the class's in them.
    SelectorEventLoop.__name__ = asyncio.SelectorEventLoop.__name__
    _set_loop_makers(factory, SelectorEventLoop)


def _set_loop_makers(factory: Callable[[], Any], loop_class: Any) -> None:
    # The tests often reset the policy, so its class has to be changed, not an instance.
    policy_found = False
    for name in ("_UnixDefaultEventLoopPolicy", "_DefaultEventLoopPolicy"):
        policy = getattr(asyncio.unix_events, name, None)
        if policy is not None:
            policy._loop_factory = staticmethod(factory)
            policy_found = True
    if not policy_found:
        asyncio.new_event_loop = asyncio.events.new_event_loop = factory
    for module in (asyncio, asyncio.unix_events):
        for name in ("SelectorEventLoop", "EventLoop"):
            if hasattr(module, name):
                setattr(module, name, loop_class)


def _replace_names(module: ModuleType) -> int:
    """Put the module's names into asyncio and its submodules; give how many."""
    native = getattr(module, NATIVE_PART, None)
    homes = _modules()
    names = set(TWINS)
    for home in homes:
        names.update(getattr(home, "__all__", ()))
    count = 0
    for name in sorted(names - NOT_REPLACED):
        new = getattr(module, name, getattr(native, name, None))
        if new is None or isinstance(new, ModuleType):
            continue
        for home in homes:
            old = home.__dict__.get(name)
            if old is not None and old is not new and not isinstance(old, ModuleType):
                setattr(home, name, new)
                count += 1
        for twin in TWINS.get(name, ()):
            home_name, _, attribute = twin.partition(".")
            home = sys.modules[f"asyncio.{home_name}"]
            if hasattr(home, attribute):
                setattr(home, attribute, new)
                count += 1
    return count


def _spare_child_watchers() -> None:
    # Up to 3.13 some tests attach a watcher that needs asyncio's own signal handling. The one
    # with threads does nothing when it is attached, and is the default anyhow.
    if sys.version_info < (3, 14):
        asyncio.SafeChildWatcher = asyncio.ThreadedChildWatcher  # type: ignore[attr-defined]


def _close_loops_publicly(make: Callable[[], Any]) -> None:
    # The shared tearDown looks at loop._default_executor, which is no public name.
    loop = make()
    has_attribute = hasattr(loop, "_default_executor")
    loop.close()
    if has_attribute:
        return
    utils = importlib.import_module("test.test_asyncio.utils")
    stock_close = utils.TestCase.close_loop

    def close_loop(loop: Any) -> None:
        if hasattr(loop, "_default_executor"):
            stock_close(loop)
            return
        if not loop.is_closed():
            loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    utils.TestCase.close_loop = staticmethod(close_loop)


def _watch_stock_loops() -> None:
    stock = asyncio.SelectorEventLoop

    def test_line(depth: int) -> str | None:
        frame = sys._getframe(depth)
        if "/test_asyncio/" not in frame.f_code.co_filename:
            return None
        return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"

    class Watched(stock):  # type: ignore[misc, valid-type]
        def __init__(self, selector: Any = None) -> None:
            global _made
            _made += 1
            super().__init__(selector)

        def __getattribute__(self, name: str) -> Any:
            # The executor is part of the shared tearDown, see _close_loops_publicly.
            if name.startswith("_") and not name.startswith("__") and name != "_default_executor":
                if test_line(2):
                    _touched.append(f"reads loop.{name}")
            return super().__getattribute__(name)

        def __setattr__(self, name: str, value: Any) -> None:
            if test_line(2):
                _touched.append(f"sets loop.{name}")
            super().__setattr__(name, value)

    Watched.__name__ = Watched.__qualname__ = stock.__name__
    _set_loop_makers(Watched, Watched)

    from unittest import mock

    enter_patch = mock._patch.__enter__  # type: ignore[attr-defined]

    def note_patch(self: Any) -> Any:
        target = self.getter()
        owner = getattr(target, "__name__", type(target).__name__)
        if owner.startswith("asyncio") or isinstance(target, stock):
            _touched.append(f"patches {owner}.{self.attribute}")
        elif getattr(target, "__module__", "").startswith("asyncio"):
            _touched.append(f"patches {owner}.{self.attribute}")
        return enter_patch(self)

    mock._patch.__enter__ = note_patch  # type: ignore[attr-defined]
