"""What a program draws from beside futures and tasks: its theme.

With few things to draw from, the tasks of one program meet more often at the same. Lines are
written as in programs.py; {p} is one of the theme's coroutines, made but not yet awaited.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

SINCE_3_13 = sys.version_info >= (3, 13)


@dataclass(frozen=True)
class Theme:
    """The lines of a theme."""

    # For any function.
    plain: tuple[str, ...] = ()
    # Coroutines that stand for {p}.
    coroutines: tuple[str, ...] = ()
    # For coroutine functions only.
    awaiting: tuple[str, ...] = ()
    # Headers of blocks, each with the statements that the block begins with.
    blocks: tuple[tuple[Any, ...], ...] = ()

    def __add__(self, other: Theme) -> Theme:
        return Theme(
            self.plain + other.plain,
            self.coroutines + other.coroutines,
            self.awaiting + other.awaiting,
            self.blocks + other.blocks,
        )


# So many at once that most of them have to wait.
_CROWD = "{g} = asyncio.gather({p}, {p}, {p}, return_exceptions={flag})"

LOCKS = Theme(
    plain=(
        _CROWD,
        "{g} = asyncio.gather(of(hold, lock), of(hold, lock), {p}, return_exceptions={flag})",
        "attempt(lock.release)",
        "attempt({sem}.release)",
        "loop.call_later({d}, attempt, lock.release)",
        "loop.call_later({d}, attempt, {sem}.release)",
        "event.set()",
        "event.set(), event.clear()",
        "event.clear()",
        "loop.call_later({d}, event.set)",
        "log([lock.locked(), sem.locked(), permits.locked(), event.is_set()])",
    ),
    coroutines=(
        "of(hold, lock)",
        "of(hold, {sem})",
        "of(asyncio.wait_for, of(hold, lock), {d})",
        "of(asyncio.wait_for, of(hold, {sem}), {d})",
        "of(event.wait)",
        "of(lock.acquire)",
        "of({sem}.acquire)",
    ),
    blocks=(("async with lock:",), ("async with {sem}:",)),
)

# One condition has a lock of its own; the other shares one that its users may take without it.
CONDITIONS = Theme(
    plain=(
        _CROWD,
        "{g} = asyncio.gather(of(hold, cond, 'wait'), of(hold, cond, 'wait'), {p}, {p})",
        "attempt({cond}.notify, {n})",
        "attempt({cond}.notify_all)",
        "attempt({cond}.release)",
        "loop.call_later({d}, attempt, {cond}.notify)",
        "event.set(), attempt({cond}.notify_all)",
        "event.clear()",
        "log([cond.locked(), lock.locked(), shared.locked(), event.is_set()])",
    ),
    coroutines=(
        "of(hold, {cond}, 'wait')",
        "of(asyncio.wait_for, of(hold, {cond}, 'wait'), {d})",
        "of(hold, {cond}, 'wait_for', event.is_set)",
        "of(hold, {cond}, 'notify', {n})",
        "of(hold, {cond}, 'notify_all')",
        "of({cond}.wait)",
        "of({cond}.acquire)",
    ),
    blocks=(("async with {cond}:",),),
)

BARRIERS = Theme(
    plain=(
        _CROWD,
        "log([bar.parties, bar.n_waiting, bar.broken])",
        "log([trio.parties, trio.n_waiting, trio.broken])",
    ),
    coroutines=(
        "of({bar}.wait)",
        "of({bar}.wait)",
        "of({bar}.wait)",
        "of(asyncio.wait_for, of({bar}.wait), {d})",
        "of({bar}.reset)",
        "of({bar}.abort)",
    ),
    blocks=(("async with {bar} as place:", "log(place)"),),
)

QUEUES = Theme(
    plain=(
        "attempt({q}.put_nowait, {n})",
        "attempt({q}.put_nowait, {n})",
        "attempt({q}.get_nowait)",
        "attempt({q}.task_done)",
        "loop.call_later({d}, attempt, {q}.put_nowait, {n})",
        "loop.call_later({d}, attempt, {q}.get_nowait)",
        "log([queue.qsize(), heap.full(), stack.empty()])",
        *(["attempt({q}.shutdown, {flag})"] if SINCE_3_13 else []),
    ),
    coroutines=(
        "of({q}.get)",
        "of({q}.put, {n})",
        "of({q}.get)",
        "of({q}.put, {n})",
        "of({q}.join)",
    ),
)

STREAMS = Theme(
    plain=(
        "attempt(protocol.data_received, {bytes})",
        "attempt(protocol.data_received, {bytes})",
        "attempt(reader.feed_data, {bytes})",
        "loop.call_soon(attempt, reader.feed_data, {bytes})",
        "loop.call_later({d}, attempt, protocol.data_received, {bytes})",
        "loop.call_later({d}, attempt, protocol.eof_received)",
        "attempt(writer.write, {bytes})",
        "attempt(writer.write, {bytes})",
        "attempt(writer.writelines, [{bytes}, {bytes}])",
        "attempt(protocol.pause_writing)",
        "attempt(protocol.resume_writing)",
        "loop.call_later({d}, attempt, protocol.resume_writing)",
        "loop.call_later({d}, wire.lose, {lost})",
        "attempt(reader.set_exception, ValueError(1))",
        "attempt(writer.write_eof)",
        "attempt(writer.close)",
        "log([reader.at_eof(), reader.exception(), writer.is_closing()])",
    ),
    coroutines=(
        "of(reader.read, {size})",
        "of(reader.read, {size})",
        "of(reader.readexactly, {size})",
        "of(reader.readline)",
        "of(reader.readuntil, {separator})",
        "of(reader.__anext__)",
        "of(writer.drain)",
        "of(writer.drain)",
        "of(writer.wait_closed)",
    ),
    blocks=(("async for line in reader:", "log(line)"),),
)

THREADS = Theme(
    plain=(
        "{g} = loop.run_in_executor(None, {work})",
        "{g} = asyncio.wrap_future(asyncio.run_coroutine_threadsafe({call:g}, loop))",
        "asyncio.run_coroutine_threadsafe({c}, loop).add_done_callback({k})",
        "loop.call_later({d}, asyncio.run_coroutine_threadsafe({c}, loop).cancel)",
    ),
    coroutines=("of(asyncio.to_thread, {work})",),
)

_COMPLETED = "for each in asyncio.as_completed([{many}], timeout={timer}):"
_GUARDED = (
    "try:",
    ["log(await each)"],
    "except (Exception, asyncio.CancelledError) as error:",
    ["log(error)"],
)
LIMITS = Theme(
    awaiting=(
        "log(await asyncio.staggered_race([{functions}], {timer}))",
        "log(await asyncio.staggered_race([{functions}], {timer}))",
        "log(await asyncio.wait([{some}], timeout={timer}, return_when=asyncio.{when}))",
        "log(await asyncio.wait_for({w}, {limit}))",
    ),
    blocks=(
        ("async with asyncio.timeout_at({deadline}) as limit:",),
        ("async with asyncio.timeout({limit}) as limit:",),
        (_COMPLETED, "log(await each)"),
        (_COMPLETED, _GUARDED),
        *([(f"async {_COMPLETED}", "log(each)", _GUARDED)] if SINCE_3_13 else []),
    ),
)

THEMES = {
    "tasks": Theme(),
    "locks": LOCKS,
    "conditions": CONDITIONS,
    "barriers": BARRIERS,
    "queues": QUEUES,
    "streams": STREAMS,
    "threads": THREADS,
    "limits": LIMITS,
    "all": LOCKS + CONDITIONS + BARRIERS + QUEUES + STREAMS + THREADS + LIMITS,
}
