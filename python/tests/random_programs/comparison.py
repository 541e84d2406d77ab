"""Executes one program in two worlds and tells the first difference."""

from __future__ import annotations

import gc
import warnings

from .execution import FILE, Event, Execution, shuffled_sets
from .worlds import Ordered, World

# How often a program is tried again to find out whether its record is always the same.
AGAIN = 40


class Difference(AssertionError):
    """Two worlds disagree about a program."""


def record(text: str, *worlds: World, sets: type[Ordered] = Ordered) -> list[list[Event]]:
    """All that happens when the program is executed in each of these worlds."""
    with warnings.catch_warnings(action="ignore"):
        code = compile(text, FILE, "exec", dont_inherit=True)
    # What exists now need not be looked at by the collection that ends each execution.
    gc.freeze()
    gc.disable()
    try:
        return [Execution(world, *worlds).run(code, sets) for world in worlds]
    finally:
        gc.enable()
        gc.unfreeze()


def compare(text: str, right: World, other: World) -> None:
    """Raise Difference unless both worlds give the same record of the program."""
    expected, got = record(text, right, other)
    if expected != got and got not in _all_records(text, right):
        raise Difference(tell(text, right, expected, other, got))


def _all_records(text: str, world: World) -> list[list[Event]]:
    """What a world does with a program, again and again: a set's order depends on addresses.

    So it is with the futures of wait(), of which some may be done when it is called.
    """
    kept: list[object] = []
    found = []
    for number in range(AGAIN if "asyncio.wait(" in text else 0):
        # Memory is another one each time.
        kept.append([object() for _ in range(number * 7)])
        found += record(text, world, sets=shuffled_sets(number))
    return found


def tell(text: str, right: World, expected: list[Event], other: World, got: list[Event]) -> str:
    """The program, the events up to the first that differs, and both versions of that."""
    same = 0
    while same < min(len(expected), len(got)) and expected[same] == got[same]:
        same += 1
    numbered = [f"{number:3}  {line}" for number, line in enumerate(text.splitlines(), 1)]
    lines = ["the program", *numbered, "", "happens alike until"]
    lines += [f"     {_show(event)}" for event in expected[max(0, same - 12) : same]]
    for world, events in ((right, expected), (other, got)):
        lines += ["", f"and then in {world.name}"]
        lines += [f"     {_show(event)}" for event in events[same : same + 5]] or ["     nothing"]
    return "\n".join(lines)


def _show(event: Event) -> str:
    return "  ".join(str(part) for part in event if part != "")
