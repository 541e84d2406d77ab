"""Every callable of asyncio's C module, upon objects of the world, with arguments at random.

Nothing of it need work; nothing of it may crash or hang, nor leave a loop unfit for work.
"""

from __future__ import annotations

from typing import Any

import pytest
from task_tools import passes_apart

FUZZ = """
import _asyncio, itertools, random, contextvars, inspect

seed = random.Random(SEED)
loop = new_event_loop()
loop.set_exception_handler(lambda *_: None)
sys.unraisablehook = lambda *_: None
warnings.simplefilter("ignore")

def turn(count=2):
    global loop
    for _ in range(count):
        if loop.is_closed() or loop.is_running():
            return
        loop.call_soon(loop.stop)
        try: loop.run_forever()
        except Exception: pass

async def waits(future): return await future
async def returns(): return 5
async def fails(): raise ValueError

def fresh():
    future = world.Future(loop=loop)
    watched = world.Future(loop=loop)
    waiter = loop.create_task(waits(watched))
    waiting = loop.create_task(waits(world.Future(loop=loop)))
    chain = loop.create_task(waits(waiter))
    turn(1)
    not_started = loop.create_task(returns())
    done = world.Future(loop=loop)
    done.set_result(1)
    failed = loop.create_task(fails())
    cancelled = world.Future(loop=loop)
    cancelled.cancel("why")
    several = world.Future(loop=loop)
    for _ in range(3):
        several.add_done_callback(print)
    objects = [future, watched, waiter, waiting, chain, not_started, done, failed, cancelled,
               several, world.Future.__new__(world.Future), world.Task.__new__(world.Task)]
    return objects

def callables():
    for name in dir(_asyncio):
        value = getattr(_asyncio, name)
        if callable(value) and not isinstance(value, type):
            yield f"_asyncio.{name}", value, False
    for kind in (_asyncio.Future, _asyncio.Task, world.Future, world.Task):
        for base in kind.__mro__[:-1]:
            for name, value in vars(base).items():
                if name in ("__new__", "__doc__", "__module__", "__init_subclass__"):
                    continue
                if name == "__init__" and not OURS and sys.version_info < (3, 15):
                    continue  # Stock asyncio crashes.
                if hasattr(value, "__set__"):
                    yield f"{base.__name__}.{name}.__get__", value.__get__, True
                    yield f"{base.__name__}.{name}.__set__", value.__set__, True
                    yield f"{base.__name__}.{name}.__delete__", value.__delete__, True
                elif callable(value):
                    yield f"{base.__name__}.{name}", value, True

UNREGISTER = [
    getattr(_asyncio, name) for name in ("_unregister_task", "_unregister_eager_task")
    if hasattr(_asyncio, name)
]

# asyncio's own code for these looks into a task that was never initialised.
CRASHES = {"get_coro", "get_context"}

def others(objects):
    return [loop, None, 5, "text", ValueError("x"), ValueError, print, returns, StopIteration,
            contextvars.copy_context(), *objects]

names = list(callables())
for name, function, is_method in names:
    for _ in range(ROUNDS):
        objects = fresh()
        pool = others(objects)
        for subject in (objects if is_method else [None]):
            if name.rpartition(".")[2] in CRASHES and subject is objects[-1]:
                continue
            for count in (0, 1, 2):
                args = [seed.choice(pool) for _ in range(count)]
                if is_method:
                    args.insert(0, subject)
                coro = None
                if seed.random() < 0.1:
                    coro = returns()
                    args.append(coro)
                try:
                    result = function(*args)
                    repr(result)
                except (Exception, asyncio.CancelledError) as error:
                    pass
                if coro is not None:
                    coro.close()
                args = result = None
            # An object that lost its coroutine or its loop may refuse to show itself.
            try: repr(subject)
            except (RuntimeError, AssertionError): pass
        # Whatever was done to the running loop and the current task is undone.
        running = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        if hasattr(_asyncio, "_swap_current_task"):
            for each in (loop,):
                asyncio._set_running_loop(each)
                try: _asyncio._swap_current_task(each, None)
                except Exception: pass
                asyncio._set_running_loop(None)
        elif loop in _asyncio._current_tasks:
            del _asyncio._current_tasks[loop]
        turn(3)
        del pool, subject
        for each in objects:
            try:
                each._log_destroy_pending = False
                each.cancel()
            except Exception: pass
        for each in (loop, None, 5, "text", ValueError, print, returns, StopIteration):
            for unregister in UNREGISTER:
                try: unregister(each)
                except Exception: pass
        each = objects = None
        turn(3)
        if seed.random() < 0.3:
            gc.collect()
asyncio._set_running_loop(None)

# After all that a loop still does its work.
loop = new_event_loop()
async def main():
    return await asyncio.gather(*(loop.create_task(returns()) for _ in range(3)))
assert loop.run_until_complete(main()) == [5, 5, 5]
loop.close()
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_callable_of_asyncio_s_c_module_upon_our_objects(world: Any, seed: int) -> None:
    passes_apart(world, FUZZ.replace("SEED", str(seed)).replace("ROUNDS", "3"), timeout=90)
