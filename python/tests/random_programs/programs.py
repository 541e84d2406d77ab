"""Makes random programs: hypothesis draws data, and the data prints as Python text.

A program has coroutine functions (`main`, c1, c2, c3), callbacks (k0, k1) and a few variables
that all of them share: futures f0, f1, tasks t1..t3, outer futures g1..g3 (of gather, shield or a
thread), handles h0, h1, each kind of lock and queue, and the two ends of a stream. What a name such
as `log`, `attempt`, `soon`, `of`, `hold` or `wire` does stands in execution.py, and what a program
draws from beside futures and tasks in themes.py.

Numbers are levels. A coroutine function only calls functions of a higher level than its own,
so every program ends. Task t2 runs c2, and g2 stands for things of level 2 or higher; a
function only awaits tasks and outer futures of a higher level, so no two tasks ever wait for
each other (asyncio lets cancel() recurse without an end in such a circle).

Data: a statement is a string (one line of Python), a tuple of alternating headers and blocks
("try:", [...], "finally:", [...]), or a list of statements. A block is a list of statements.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from .themes import SINCE_3_13, THEMES

Statement = Any  # str | tuple[str, Block, str, Block, ...]; hypothesis knows no recursion.
Block = list[Statement]

LEVELS = (1, 2, 3)
CALLBACKS = ("k0", "k1")
FUTURES = ("f0", "f1")
HANDLES = ("h0", "h1")
VARIABLES = re.compile(r"\b[ftgh]\d\b")
PLACE = re.compile(r"(?<!\{)\{([\w:]+)\}")
EAGER = sys.version_info >= (3, 12)
# What executes `main`.
WAYS = ("run_until_complete", "run_forever", "run_in_runner")


@dataclass(frozen=True)
class Program:
    """The data of a program."""

    bodies: list[Block]
    callbacks: list[Block]
    eager: bool = False
    way: str = WAYS[0]
    debug: bool = False
    _text: list[str] = field(default_factory=list, compare=False, repr=False)

    def __str__(self) -> str:
        """The program as Python text; what no one can reach is not printed."""
        if not self._text:
            self._text.append("\n".join(_program_lines(self)) + "\n")
        return self._text[0]

    def __repr__(self) -> str:
        return f"\n{self}"


# ---------------------------------------------------------------------- text


def _block_lines(block: Block, indent: int) -> Iterator[str]:
    space = "    " * indent
    if not block:
        yield f"{space}pass"
    for statement in block:
        if isinstance(statement, str):
            yield space + statement
            continue
        if isinstance(statement, list):
            yield from _block_lines(statement, indent)
            continue
        for header, inner in zip(statement[::2], statement[1::2], strict=True):
            yield space + header
            yield from _block_lines(inner, indent + 1)


def _function_lines(head: str, block: Block) -> list[str]:
    lines = list(_block_lines(block, 1))
    assigned = sorted({m for line in lines for m in re.findall(r"^\s*([ftgh]\d) = ", line)})
    if assigned:
        lines.insert(0, f"    global {', '.join(assigned)}")
    return [head, *lines]


def _program_lines(program: Program) -> Iterator[str]:
    functions = {"main": _function_lines("async def main():", program.bodies[0])}
    for number, block in enumerate(program.bodies[1:], 1):
        functions[f"c{number}"] = ["@body", *_function_lines(f"async def c{number}():", block)]
    for number, block in enumerate(program.callbacks):
        functions[f"k{number}"] = ["@callback", *_function_lines(f"def k{number}(*args):", block)]
    functions["main"].insert(0, "@body")
    reached = ["main"]
    for name in reached:
        text = "\n".join(functions[name])
        reached += [n for n in functions if n not in reached and re.search(rf"\b{n}\b", text)]
    lines = [line for name in functions if name in reached for line in ["", *functions[name]]]
    used = set(VARIABLES.findall("\n".join(lines)))
    if program.debug:
        yield "loop.set_debug(True)"
    if program.eager:
        yield "loop.set_task_factory(asyncio.eager_task_factory)"
    for name in sorted(used):
        yield f"{name} = {_FIRST_VALUES[name[0]]}"
    yield from lines
    yield ""
    yield f"{program.way}(main())"


_FIRST_VALUES = {
    "f": "loop.create_future()",
    "t": "loop.create_task(nothing())",
    "g": "loop.create_future()",
    "h": "loop.call_soon(int)",
}


# ---------------------------------------------------------------------- grammar

# What may stand for {x} in a line below. Simple things first: hypothesis shrinks that way.
PLACES: dict[str, tuple[str, ...]] = {
    "f": FUTURES,
    "t": ("t1", "t2", "t3"),
    "x": (*FUTURES, "t1", "t2", "t3", "g1", "g2", "g3"),
    "h": HANDLES,
    "k": CALLBACKS,
    "n": ("0", "1", "2", "3"),
    "flag": ("False", "True"),
    "d": ("soon(1)", "soon(2)", "soon(0)", "soon(3)", "soon(5)"),
    "limit": ("soon(1)", "soon(2)", "soon(0)", "soon(4)", "0", "-1", "None"),
    # For a timer that is set whatever the number: 0 twice would be the same deadline twice.
    "timer": ("soon(1)", "soon(2)", "soon(0)", "None"),
    "msg": ("", "'one'", "'two'", "None", "5"),
    "e": ("ValueError(1)", "KeyError('k')", "Oops(2)", "asyncio.CancelledError('mine')"),
    "raised": (
        "ValueError(3)",
        "asyncio.CancelledError()",
        "asyncio.CancelledError('raised')",
        "Oops(4)",
        "StopIteration(5)",
        "GeneratorExit(6)",
        "SystemExit(7)",
        "KeyboardInterrupt(8)",
    ),
    "set": ("ValueError(1)", "ValueError", "Oops(2)", "asyncio.CancelledError('set')",
            "StopIteration(1)"),
    # A task that may start eagerly needs a context that nobody is in; where it is not so,
    # asyncio's own Task in C loses its account of the current task.
    "context": ("", "", ", context=fresh()", ", name='n'"),
    "only_context": ("", "", ", context=ctx0", ", context=ctx1"),
    "sem": ("sem", "permits"),
    "cond": ("cond", "shared"),
    "bar": ("bar", "trio"),
    "q": ("queue", "heap", "stack"),
    "size": ("2", "1", "4", "-1", "0", "9"),
    "bytes": ("b'a'", "b'bc;'", "b'd\\n'", "b'efghi'", "b''", "b'j;k\\nlmnop'"),
    "separator": ("b';'", "b'\\n'", "b'hi'", *(["(b';', b'fg')"] if SINCE_3_13 else [])),
    "lost": ("None", "ConnectionResetError('lost')"),
    "deadline": ("loop.time() + {d}", "loop.time()", "loop.time() - 1", "None"),
    # What a thread does.
    "work": ("int, {n}", "int, 'x'", "var.get", "var.set, {n}", "loop.call_soon_threadsafe, {k}",
             "loop.call_soon_threadsafe, attempt, {f}.set_result, {n}"),
    "when": ("ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"),
    "caught": ("asyncio.CancelledError", "Exception", "BaseException", "ValueError",
               "TimeoutError"),
    "question": ("{x}.done()", "{x}.cancelled()", "{h}.cancelled()", "{t}.cancelling()",
                 "var.get() == {n}"),
}  # fmt: skip

# Lines for any function. {c} is a call of a coroutine function and {t:c} the task variable of
# its level; {g} is an outer future and {many:g} what it may be made of; {w} may be awaited.
# What ends a function, or hangs it, stands among the rare lines: programs shall live long.
PLAIN = (
    "log({n})",
    "attempt({f}.set_result, {n})",
    "attempt({f}.set_result, {n})",
    "attempt({f}.set_exception, {set})",
    "attempt({x}.add_done_callback, {k})",
    "attempt({x}.add_done_callback, {k})",
    "attempt({f}.add_done_callback, {k})",
    "attempt({f}.remove_done_callback, {k})",
    "attempt({x}.cancel, {msg})",
    "attempt({t}.cancel, {msg})",
    "attempt({t}.cancel, {msg})",
    "{t:c} = asyncio.create_task({c}{context})",
    "{t:c} = loop.create_task({c}{context})",
    "{f} = loop.create_future()",
    "{h} = loop.call_soon({k}{only_context})",
    "{h} = loop.call_later({d}, {k}, {n})",
    "{h} = loop.call_at(loop.time() + {d}, {k}{only_context})",
    "loop.call_soon(attempt, {f}.set_result, {n})",
    "loop.call_later({d}, attempt, {f}.set_result, {n})",
    "loop.call_later({d}, {t}.cancel, {msg})",
    "attempt({h}.cancel)",
    "{g} = asyncio.gather({many:g}return_exceptions={flag})",
    "{g} = asyncio.shield({one:g})",
    "var.set({n})",
    "log(var.get())",
)
RARE = (
    "log({h}.cancelled())",
    "log({x}.done())",
    "log({x}.cancelled())",
    "attempt({x}.result)",
    "attempt({x}.exception)",
    "attempt({x}.remove_done_callback, {k})",
    "attempt({t}.uncancel)",
    "log({t}.cancelling())",
    "log(len(asyncio.all_tasks()))",
    "log(asyncio.current_task())",
    "loop.call_soon_threadsafe({k})",
    "loop.call_soon({f}.cancel)",
    "attempt(loop.call_exception_handler, {{'message': 'called'}})",
    "attempt(loop.stop)",
    "attempt({t}.set_result, {n})",
    "attempt({t}.set_name, 'renamed')",
    "attempt(asyncio.Task, {n}, loop=loop)",
    "{f} = SubFuture(loop=loop)",
    "{f} = StockFuture(loop=loop)",
    "{f} = PlainFuture(loop=loop)",
    "{t:c} = SubTask({c}, loop=loop)",
    "{t:c} = StockTask({c}, loop=loop)",
    "{t:c} = PlainTask({c}, loop=loop)",
    "{t:c} = asyncio.Task({c}, loop=loop{only_context})",
    "{t:c} = asyncio.ensure_future({c})",
    "raise {raised}",
)
# Lines for coroutines only. Half of them stand in a try statement of their own.
AWAITING = (
    "await asyncio.sleep(0)",
    "log(await {w})",
    "log(await {w})",
    "await asyncio.sleep({d})",
    "await Yield(None)",
    "log(await {c})",
    "log(await asyncio.sleep({d}, {n}))",
    "log(await asyncio.gather({many}))",
    "log(await asyncio.gather({many}return_exceptions=True))",
    "log(await asyncio.shield({w}))",
    "log(await asyncio.wait_for({w}, {limit}))",
    "log(await asyncio.wait_for({c}, {limit}))",
    "log(await asyncio.wait([{some}], timeout={timer}, return_when=asyncio.{when}))",
)
RARE_AWAITING = (
    "log(await asyncio.shield({c}))",
    "log(await Drive({w}))",
    "log(await Duck({w}))",
    "asyncio.current_task().cancel({msg})",
    "log(asyncio.current_task().uncancel())",
    "log(asyncio.current_task().cancelling())",
    "await Yield({f})",
    "await Yield(42)",
    "await Yield(asyncio.current_task())",
    "await Yield(foreign())",
    "log(await foreign())",
    "log(await itself())",
    "return {n}",
)
if EAGER:
    RARE += (
        "{t:c} = asyncio.Task({c}, loop=loop, eager_start=True)",
        "{t:c} = asyncio.Task({c}, loop=loop, eager_start=True, context=fresh())",
        "{t:c} = SubTask({c}, loop=loop, eager_start=True)",
    )
if sys.version_info >= (3, 14):
    RARE += (
        "{t:c} = asyncio.create_task({c}, eager_start=True)",
        "{t:c} = loop.create_task({c}, eager_start=True{context})",
    )
# Where the theme has coroutines.
THEMED = ("t3 = asyncio.create_task({p}{context})",)
THEMED_AWAITING = (
    "log(await {p})",
    "log(await {p})",
    "log(await {p})",
    "log(await asyncio.wait_for({p}, {limit}))",
    "log(await asyncio.wait_for({p}, {limit}))",
    "log(await asyncio.gather({p}, {p}, return_exceptions={flag}))",
    "log(await asyncio.shield({p}))",
)
TIMED = (
    "attempt(limit.reschedule, {deadline})",
    "attempt(limit.reschedule, None), log(limit.when() is None)",
    "log([limit.expired(), limit.when() is None])",
)
GROUPED = ("{t:c} = tg.create_task({c}{context})",)
# Several of these follow each other, all with one {x}; where it is a task, also the second ones.
BURST = (
    "attempt({x}.add_done_callback, {k})",
    "attempt({x}.add_done_callback, k0)",
    "attempt({x}.remove_done_callback, {k})",
    "attempt({x}.cancel, {msg})",
    "attempt({x}.result)",
    "log({x}.done())",
)
BURST_FUTURE = (*BURST, "attempt({x}.set_result, {n})", "attempt({x}.set_exception, {set})")
BURST_TASK = (
    *BURST,
    "attempt({x}.uncancel)",
    "attempt({x}.cancel, {msg})",
    "log({x}.cancelling())",
)
# What ends a handler: swallow, raise again, raise another, return.
AFTER_EXCEPT: tuple[Block, ...] = (
    [],
    ["raise"],
    ["raise ValueError('from') from error"],
    ["raise Oops('in place of it')"],
    ["return 9"],
)


# Names that stand for several things.
LISTS = ("many", "many:g", "some", "functions")


@dataclass(frozen=True)
class Place:
    """Where a statement stands, as far as that limits what it may be."""

    level: int
    awaits: bool
    theme: str = "tasks"
    grouped: bool = False
    timed: bool = False
    depth: int = 0


def _callees(place: Place, least: int = 1) -> tuple[str, ...]:
    """The calls that may stand here; where no function is left, a trivial coroutine stands in."""
    return tuple(f"c{n}()" for n in LEVELS if n > place.level and n >= least) or ("nothing()",)


def _outer(least: int) -> tuple[str, ...]:
    """The variables of this level and above."""
    return tuple(f"{kind}{n}" for kind in "tg" for n in LEVELS if n >= least)


def _choices(name: str, place: Place, level: int) -> tuple[str, ...]:
    """What may stand for a name that depends on the place."""
    if name == "c":
        return _callees(place)
    if name == "w":
        return FUTURES + _outer(place.level + 1)
    if name == "g":
        return ("g1", "g2", "g3")
    if name == "one:g":
        # An outer future holds none of its own level: it would hold itself in the end.
        return (*FUTURES, f"t{level}", *_outer(level + 1), *_callees(place, level))
    if name == "many":
        return FUTURES + _outer(place.level + 1) + _callees(place)
    if name == "some":
        return FUTURES + _outer(place.level + 1)
    if name == "functions":
        return tuple(call.removesuffix("()") for call in _callees(place))
    if name == "call:g":
        return _callees(place, level)
    if name == "p":
        return THEMES[place.theme].coroutines
    return PLACES[name]


def _fill(draw: st.DrawFn, line: str, place: Place) -> str:
    """Draw something for each {x} of a line, as long as there is one."""
    level = 0
    if "{t:c}" in line:
        call = draw(_one_of(_callees(place)))
        level = int(call[1]) if call[1].isdigit() else LEVELS[-1]
        line = line.replace("{t:c}", f"t{level}").replace("{c}", call)
    elif "{g}" in line:
        outer = draw(_one_of(_choices("g", place, 0)))
        level = int(outer[1])
        line = line.replace("{g}", outer)
    while found := PLACE.search(line):
        name = found[1]
        if name in LISTS:
            one = "one:g" if name == "many:g" else name
            drawn = draw(_list_of(_choices(one, place, level), least=int(name == "some")))
            text = "".join(f"{item}, " for item in drawn)
            text = text if line[found.end()].isalpha() else text.rstrip(", ")
        else:
            text = draw(_one_of(_choices(name, place, level)))
        line = line[: found.start()] + text + line[found.end() :]
    return line.replace(", )", ")").replace("{{", "{").replace("}}", "}")


@functools.cache
def _list_of(choices: tuple[str, ...], least: int) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(choices), min_size=least, max_size=3)


@functools.cache
def _one_of(choices: tuple[str, ...]) -> st.SearchStrategy[str]:
    return st.sampled_from(choices)


_COMPOUND = ("except", "finally", "if", "for")
_COMPOUND_AWAITING = ("except", "timeout", "group", "timeout", "group")
_COMPOUND_THEMED = ("themed", "themed", "themed")


@functools.cache
def statements(place: Place) -> st.SearchStrategy[Statement]:
    """One statement that may stand in this place."""

    @st.composite
    def plain(draw: st.DrawFn, lines: tuple[str, ...] = PLAIN) -> Statement:
        return _fill(draw, draw(_one_of(lines)), place)

    @st.composite
    def awaiting(draw: st.DrawFn, lines: tuple[str, ...]) -> Statement:
        line = _fill(draw, draw(_one_of(lines)), place)
        if draw(st.booleans()):
            caught = "except (Exception, asyncio.CancelledError) as error:"
            return ("try:", [line], caught, ["log(error)"])
        return line

    @st.composite
    def burst(draw: st.DrawFn) -> Statement:
        x = draw(_one_of(PLACES["x"]))
        lines = {"f": BURST_FUTURE, "t": BURST_TASK, "g": BURST}[x[0]]
        drawn = draw(st.lists(_one_of(lines), min_size=1, max_size=5))
        return [_fill(draw, line.replace("{x}", x), place) for line in drawn]

    theme = THEMES[place.theme]
    # As often as they stand here: what is common, what only a coroutine does, what is rare.
    kinds = [plain(), plain(), plain(RARE), burst()]
    if place.awaits:
        kinds += [awaiting(AWAITING), awaiting(AWAITING), awaiting(RARE_AWAITING)]
    if lines := theme.plain + THEMED * bool(theme.coroutines):
        kinds += [plain(lines), plain(lines)]
    lines = theme.awaiting + THEMED_AWAITING * bool(theme.coroutines)
    if place.awaits and lines:
        kinds += [awaiting(lines), awaiting(lines)]
    if place.timed:
        kinds += [plain(TIMED)] * 3
    if place.grouped:
        kinds += [plain(GROUPED), plain(GROUPED)]
    if place.depth >= 2:
        return st.one_of(kinds)
    below = dataclasses.replace(place, depth=place.depth + 1)
    inner = blocks(below)
    in_group = blocks(dataclasses.replace(below, grouped=True))
    in_time = blocks(dataclasses.replace(below, timed=True))
    compounds = _COMPOUND + _COMPOUND_AWAITING * place.awaits
    compounds += _COMPOUND_THEMED * (place.awaits and bool(theme.blocks))

    @st.composite
    def compound(draw: st.DrawFn) -> Statement:
        kind = draw(_one_of(compounds))
        if kind == "except":
            header = _fill(draw, "except {caught} as error:", place)
            after = draw(st.sampled_from(AFTER_EXCEPT))
            return ("try:", draw(inner), header, ["log(error)", *draw(inner), *after])
        if kind == "finally":
            return ("try:", draw(inner), "finally:", draw(inner))
        if kind == "timeout":
            header = _fill(draw, "async with asyncio.timeout({limit}):", place)
            return (header, draw(inner))
        if kind == "themed":
            header, *first = draw(st.sampled_from(theme.blocks))
            rest = draw(in_time if header.endswith("as limit:") else inner)
            return (_fill(draw, header, place), [*first, *rest])
        if kind == "group":
            return ("async with asyncio.TaskGroup() as tg:", draw(in_group))
        if kind == "for":
            return ("for _ in range(2):", draw(inner))
        return (_fill(draw, "if {question}:", place), draw(inner))

    return st.one_of(*kinds, compound())


@functools.cache
def blocks(place: Place) -> st.SearchStrategy[Block]:
    """Some statements; deeper blocks are shorter."""
    return st.lists(statements(place), min_size=1, max_size=(12, 4, 2)[place.depth])


def programs(*themes: str) -> st.SearchStrategy[Program]:
    """Whole programs, of these themes or of all."""
    return st.sampled_from(themes or tuple(THEMES)).flatmap(_programs_of)


@functools.cache
def _programs_of(theme: str) -> st.SearchStrategy[Program]:
    bodies = [blocks(Place(level, True, theme)) for level in (0, *LEVELS)]
    # Callbacks start nothing but the last function: they may be called very often.
    callbacks = [blocks(Place(LEVELS[-1] - 1, False, theme)) for _ in CALLBACKS]
    parts = st.tuples(
        st.tuples(*bodies).map(list),
        st.tuples(*callbacks).map(list),
        st.sampled_from([False, False, False, True]) if EAGER else st.just(False),
        st.sampled_from(WAYS),
        st.sampled_from([False] * 7 + [True]),
    )
    return parts.map(lambda drawn: Program(*drawn))
