"""A tour of an event loop, live: who has the baton, who waits for whom, and what it costs.

What to see: everything on the page happened while it was printed. Under `python -m batonloop` the
last chapter compares this loop with Python's own, measured in the same run; under plain `python`
the tour shows Python's own loop. Colours appear on a terminal only (NO_COLOR switches them off).
"""

import asyncio
import os
import platform
import signal
import subprocess
import sys
import time
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

WIDTH = 92
COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "36"}
# For terminals that know no more than ASCII.
PLAIN = str.maketrans("●○─▶◀⋮│█━", "@o-><:|#=")


class Paper:
    """Prints lines, with colours where they are wanted and plain characters where they must be."""

    def __init__(self) -> None:
        self.colourful = (
            sys.stdout.isatty()
            and not os.environ.get("NO_COLOR")
            and os.environ.get("TERM") != "dumb"
        )
        self.plain = "utf" not in (sys.stdout.encoding or "").lower()

    def __call__(self, *pieces: tuple[str, str] | str) -> None:
        line = ""
        for piece in pieces:
            text, colour = (piece, "") if isinstance(piece, str) else piece
            dressed = self.colourful and colour and text
            line += f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if dressed else text
        print((line.translate(PLAIN) if self.plain else line).rstrip(), flush=True)

    def chapter(self, title: str, *lines: str) -> None:
        self()
        self((f"  {title} ", "bold"), ("━" * (WIDTH - len(title) - 3), "dim"))
        for line in lines:
            self("  ", (line, "dim"))
        self()


paper = Paper()


class Stage:
    """Draws the loop and its tasks side by side, and the baton as it goes from one to another."""

    LOOP = 4

    def __init__(self, *lanes: str) -> None:
        step = (WIDTH - 12) // (len(lanes) + 1) if len(lanes) > 2 else 30
        self.lanes = {lane: 20 + step * place for place, lane in enumerate(lanes)}
        self.colours = dict(zip(lanes, ("blue", "green", "red"), strict=False))
        self.given_back = 0.0
        head = " " * self.LOOP + "loop"
        for lane, column in self.lanes.items():
            head = head.ljust(column) + lane
        paper((head, "bold"))

    def starts(self, lane: str, word: str) -> None:
        """The loop hands the baton to a lane. If that took a while, the loop has rested."""
        rest = time.perf_counter() - self.given_back if self.given_back else 0
        if rest > 0.002:
            note = f"⋮  nothing is ready: the loop rests for {rest * 1000:.0f} ms"
            paper(" " * self.LOOP, (note, "dim"))
        line = "─" * (self.lanes[lane] - self.LOOP - 3)
        paper(" " * self.LOOP, (f"○{line}▶ ", "dim"), ("●", "yellow"), (f" {word}", "dim"))

    def says(self, lane: str, text: str) -> None:
        paper(" " * self.lanes[lane], (f"│ {text}", self.colours[lane]))

    def stops(self, lane: str, word: str) -> None:
        line = "─" * (self.lanes[lane] - self.LOOP - 3)
        paper(" " * self.LOOP, ("●", "yellow"), (f" ◀{line}○ {word}", "dim"))
        self.given_back = time.perf_counter()


def describe(awaited: object) -> str:
    if awaited is None:
        return "its next turn"
    if isinstance(awaited, asyncio.Task):
        return f"task {awaited.get_name()!r}"
    return "a future"


@types.coroutine
def steps_shown(
    stage: Stage, lane: str, coroutine: Coroutine[Any, Any, Any]
) -> Generator[Any, Any, Any]:
    """Do by hand what `await coroutine` does, and show each step into it and out of it."""
    resume, word, argument = coroutine.send, "starts", None
    while True:
        stage.starts(lane, word)
        try:
            awaited = resume(argument)
        except StopIteration as end:
            stage.stops(lane, f"is over: {end.value!r}")
            return end.value
        except BaseException as error:
            stage.stops(lane, f"is over: {type(error).__name__}")
            raise
        stage.stops(lane, f"waits for {describe(awaited)}")
        try:
            yield awaited
        except BaseException as error:
            resume, argument = coroutine.throw, error
            word = f"goes on: {type(error).__name__} thrown in"
        else:
            resume, word, argument = coroutine.send, "goes on", None


async def shown(stage: Stage, lane: str, coroutine: Coroutine[Any, Any, Any]) -> Any:
    return await steps_shown(stage, lane, coroutine)


def start(stage: Stage, lane: str, coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
    return asyncio.create_task(shown(stage, lane, coroutine), name=lane)


async def the_baton() -> None:
    paper.chapter(
        "The baton",
        "One at a time: whoever has the baton (●) runs, all others wait. A task runs until it",
        "awaits something that is not there yet; then the baton goes back to the loop. What",
        "asyncio.sleep() awaits is a future, and a timer sets it.",
    )
    stage = Stage("cook", "oven")

    async def bake() -> str:
        stage.says("oven", "heat up: await sleep(0.03)")
        await asyncio.sleep(0.03)
        stage.says("oven", "ping!")
        return "bread"

    async def cook() -> str:
        stage.says("cook", "make a task for the oven;")
        oven = start(stage, "oven", bake())
        stage.says("cook", "it has not started yet")
        return f"lunch with {await oven}"

    await start(stage, "cook", cook())


async def coroutine_or_task() -> None:
    paper.chapter(
        "Coroutine or task",
        "To await a coroutine is to call it: the baton stays. To await a task is to wait for it:",
        "whoever was queued before it comes first.",
    )
    stage = Stage("drum", "singer", "beat")

    async def beat(lane: str) -> None:
        stage.says(lane, "boom")

    async def drum() -> str:
        singer = start(stage, "singer", sing())
        for _ in range(2):
            stage.says("drum", "await a beat")
            await beat("drum")
        stage.says("drum", "await a task")
        await start(stage, "beat", beat("beat"))
        await singer
        return "three beats"

    async def sing() -> str:
        stage.says("singer", "at last!")
        return "one note"

    await start(stage, "drum", drum())


async def who_waits_for_whom() -> None:
    paper.chapter(
        "Who waits for whom",
        "A relay: each runner waits for the one before. A task that waits is in no queue at all;",
        "it is a callback on what it waits for. A timer wakes the first, and each the next.",
    )
    loop = asyncio.get_running_loop()
    arrived: list[tuple[str, float]] = []

    async def run(number: int, before: Awaitable[None]) -> None:
        await before
        arrived.append((f"runner {number}", loop.time()))

    runner: Awaitable[None] = asyncio.sleep(0.02)
    for number in range(1, 5):
        runner = asyncio.create_task(run(number, runner), name=f"runner {number}")
    await asyncio.sleep(0.005)
    chain = " ─▶ ".join(f"runner {number}" for number in range(4, 0, -1))
    paper("    tour ─▶ ", (chain, "blue"), " ─▶ ", ("a timer", "yellow"))
    paper("    tasks: ", (str(len(asyncio.all_tasks())), "bold"), ", of which one runs: the tour")
    paper()
    await runner
    began = arrived[0][1]
    paper("    the timer wakes runner 1")
    for name, when in arrived[1:]:
        paper(f"    {(when - began) * 1e6:5.0f} us later {name} is woken")


async def timers() -> None:
    paper.chapter(
        "Timers",
        "Five timers, set in no order. They come by deadline, never early; how late is a matter",
        "of the kernel, the loop, and whoever has the baton at that moment.",
    )
    loop = asyncio.get_running_loop()
    came: list[tuple[float, float]] = []
    began = loop.time()
    for delay in (0.05, 0.02, 0.04, 0.01, 0.03):
        when = began + delay
        loop.call_at(when, lambda when=when: came.append((when, loop.time())))
    await asyncio.sleep(0.06)
    for when, real in came:
        bar = "─" * round((when - began) * 1000)
        late = f"{(real - when) * 1e6:.0f} us late"
        paper(f"    {(when - began) * 1000:3.0f} ms ", (bar, "dim"), ("●", "yellow"), f" {late}")


async def cancelling() -> None:
    paper.chapter(
        "Cancelling",
        "cancel() only asks. At its await, the task finds a CancelledError, may tidy up, and is",
        "over when it lets the error pass.",
    )
    stage = Stage("boss", "sleeper")

    async def sleep_long() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            stage.says("sleeper", "make the bed")

    async def boss() -> str:
        sleeper = start(stage, "sleeper", sleep_long())
        await asyncio.sleep(0.01)
        stage.says("boss", "cancel the sleeper")
        sleeper.cancel()
        await asyncio.wait([sleeper])
        return "cancelled" if sleeper.cancelled() else "not cancelled"

    await start(stage, "boss", boss())


class Pause:
    """An awaitable of our own: anything whose __await__ gives an iterator will do."""

    def __init__(self, turns: int) -> None:
        self.turns = turns

    def __await__(self) -> Generator[None, None, str]:
        for _ in range(self.turns):
            yield  # A bare yield says to the task: queue me again.
        return f"{self.turns} turns later"


async def an_awaitable_of_our_own() -> None:
    paper.chapter(
        "An awaitable of our own",
        "class Pause, with an __await__ that yields twice: each bare yield gives the baton back",
        "for one turn of the loop, and the neighbour, who is in the queue too, gets it.",
    )
    stage = Stage("pausing", "neighbour")

    async def pausing() -> str:
        return await Pause(2)

    async def neighbour() -> str:
        stage.says("neighbour", "thank you")
        await Pause(1)
        return "had two turns"

    await asyncio.gather(start(stage, "pausing", pausing()), start(stage, "neighbour", neighbour()))


async def three_ways_to_wait() -> None:
    paper.chapter(
        "Three ways to wait 0.2 s",
        "Beside each, a neighbour would like to run every 10 ms.",
    )

    async def on_a_timer(seconds: float) -> int:
        await asyncio.sleep(seconds)
        return 1

    async def on_the_clock(seconds: float) -> int:
        looks, until = 0, time.monotonic() + seconds
        while time.monotonic() < until:
            looks += 1
            await Pause(1)
        return looks

    async def on_nobody(seconds: float) -> int:
        time.sleep(seconds)
        return 0

    async def neighbour() -> None:
        nonlocal ran
        while True:
            await asyncio.sleep(0.01)
            ran += 1

    head = f"    {'':34}{'took':>6}{'processor':>13}{'was woken':>16}{'neighbour ran':>17}"
    paper((head, "bold"))
    for title, wait in (
        ("asyncio.sleep: a timer", on_a_timer),
        ("yield, look at the clock, again", on_the_clock),
        ("time.sleep: keep the baton", on_nobody),
    ):
        ran = 0
        guest = asyncio.create_task(neighbour())
        await asyncio.sleep(0)
        wall, cpu = time.perf_counter(), time.thread_time()
        woken = await wait(0.2)
        wall, cpu, seen = time.perf_counter() - wall, time.thread_time() - cpu, ran
        guest.cancel()
        paper(
            f"    {title:<33}",
            f"{wall * 1000:4.0f} ms",
            (f"{cpu * 1000:10.1f} ms", "red" if cpu > wall / 2 else "green"),
            f"{woken:10,} times",
            (f"{seen:11} times", "green" if seen else "red"),
        )


class Till(asyncio.Protocol):
    """Answers every customer, and says what happens to it."""

    def __init__(self, say: Callable[[str, str], None]) -> None:
        self.say = say

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.name = "somebody"

    def data_received(self, data: bytes) -> None:
        self.name = data.decode()
        self.say("server", f"hears {self.name} and answers")
        self.transport.write(b"good day, " + data)

    def eof_received(self) -> None:
        self.say("server", f"{self.name} has nothing more to say")

    def connection_lost(self, exc: Exception | None) -> None:
        self.say("server", f"{self.name} is gone")


async def a_server_and_its_clients() -> None:
    paper.chapter(
        "A server and its clients",
        "A real server and three clients, all on this one loop. Nobody waits for the network: the",
        "loop asks the kernel what has arrived, and gives the baton to whoever it is for.",
    )
    loop = asyncio.get_running_loop()
    began = loop.time()

    def say(who: str, text: str) -> None:
        colour = "yellow" if who == "server" else "blue"
        paper(f"    {(loop.time() - began) * 1e6:6,.0f} us  ", (f"{who:>7}", colour), f"  {text}")

    async def call(name: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        say(name, "is connected, and waits for an answer")
        writer.write(name.encode())
        say(name, f"has got it: {(await reader.read(100)).decode()!r}")
        writer.close()
        await writer.wait_closed()

    server = await loop.create_server(lambda: Till(say), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await asyncio.gather(*(call(name) for name in ("ada", "grace", "alan")))
    await asyncio.sleep(0.01)
    server.close()
    await server.wait_closed()


class Echo(asyncio.Protocol):
    """Sends back what comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Asker(Echo):
    """Sends a message, and the next one when it is back, so many times."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.write(b"a message")

    def data_received(self, data: bytes) -> None:
        self.left -= 1
        if self.left:
            self.transport.write(data)
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.done.set_result(None)


async def there_and_back(count: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    _transport, asker = await loop.create_connection(lambda: Asker(count), "127.0.0.1", port)
    await asker.done
    server.close()
    await server.wait_closed()


async def by_coroutine(depth: int) -> None:
    if depth > 1:
        await by_coroutine(depth - 1)


async def by_task(depth: int) -> None:
    if depth > 1:
        await asyncio.create_task(by_task(depth - 1))


async def chain_of_callbacks(length: int) -> None:
    loop = asyncio.get_running_loop()
    end = loop.create_future()

    def link(left: int) -> None:
        if left:
            loop.call_soon(link, left - 1)
        else:
            end.set_result(None)

    link(length)
    await end


# What is measured, how many runs make a round, how many operations are in a run.
Price = tuple[str, Callable[[], Awaitable[None]], int, int]
PRICES: tuple[Price, ...] = (
    ("await ten nested coroutines", lambda: by_coroutine(10), 2000, 1),
    ("await ten nested tasks", lambda: asyncio.create_task(by_task(10)), 100, 1),
    ("create one task, await it", lambda: asyncio.create_task(by_task(1)), 500, 1),
    ("asyncio.sleep(0)", lambda: asyncio.sleep(0), 1000, 1),
    ("call_soon, one after another", lambda: chain_of_callbacks(1000), 1, 1000),
    ("a message over TCP and back", lambda: there_and_back(300), 1, 300),
)


async def measure(price: Price) -> float:
    """Microseconds of one operation, in one round."""
    _title, make, runs, operations = price
    began = time.perf_counter()
    for _ in range(runs):
        await make()
    return (time.perf_counter() - began) / (runs * operations) * 1e6


def prices(batonloop: types.ModuleType | None) -> None:
    lines = ["Microseconds, the best of twelve rounds."]
    if batonloop:
        lines[0] = "Microseconds, the best of twelve rounds, this loop and Python's own by turns."
    paper.chapter("What it costs", *lines)
    best: dict[tuple[str, str], float] = {}
    for _ in range(12):
        for loop in ("here", "asyncio") if batonloop else ("here",):
            if batonloop and loop == "asyncio":
                batonloop.uninstall()
            for price in PRICES:
                took = asyncio.run(measure(price))
                best[price[0], loop] = min(took, best.get((price[0], loop), took))
            if batonloop and loop == "asyncio":
                batonloop.install()
    paper((f"    {'':30}{'here':>8}{'asyncio' if batonloop else '':>11}", "bold"))
    for title, *_ in PRICES:
        here, there = best[title, "here"], best.get((title, "asyncio"))
        if there is None:
            paper(f"    {title:<30}{here:8.2f}")
            continue
        ratio = there / here
        bar = "█" * min(round(ratio * 1.5), 30)
        paper(f"    {title:<30}{here:8.2f}{there:11.2f}   ", (bar, "green"), f" {ratio:.1f} x")
    paper()
    paper(
        "  ",
        ("A coroutine awaited directly is the interpreter's own work: a function call,", "dim"),
    )
    paper(
        "  ",
        ("the same on every loop. A task is the loop's work: queue, start, finish, wake.", "dim"),
    )
    paper(
        "  ",
        (
            "A message over TCP is the kernel's work for the most part: both its ends are here.",
            "dim",
        ),
    )


def about(batonloop: types.ModuleType | None) -> list[str]:
    """Which Python, which loop, and how it stands."""
    if batonloop is None:
        return [f"Python:   {platform.python_version()}", "loop:     its own, asyncio"]
    command = [sys.executable, "-m", "batonloop", "--version"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return told.splitlines()


def main() -> None:
    # Who has seen enough (`| head`) may go: die of it quietly, as other tools do.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    loop = asyncio.new_event_loop()
    loop.close()
    ours = type(loop).__module__.partition(".")[0]
    batonloop = sys.modules["batonloop"] if ours == "batonloop" else None
    paper()
    paper(("  A tour of the event loop", "bold"))
    for line in about(batonloop):
        paper("  ", (line, "dim"))
    for chapter in (
        the_baton,
        coroutine_or_task,
        who_waits_for_whom,
        timers,
        cancelling,
        an_awaitable_of_our_own,
        three_ways_to_wait,
        a_server_and_its_clients,
    ):
        asyncio.run(chapter())
    prices(batonloop)
    paper()
    paper("  Each chapter is a program of its own in examples/; its README has the reading order.")
    loop_ran = f"batonloop {batonloop.__version__}" if batonloop else "its own loop, asyncio"
    paper("  ", (f"This was Python {platform.python_version()} on {loop_ran}.", "dim"))


if __name__ == "__main__":
    main()
