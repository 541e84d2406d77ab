"""Measure servers on every loop, under load and interleaved, and print what a request costs them.

Each server is a process; the servers of a row stay while windows of a fifth of a second go round
them in random order, each with a load of its own. Load and server share one CPU, and what counts
is the server's CPU time: so neither neighbours nor the price of waking another CPU matter much.
Beside the loops runs a raw server of the same job, the bound. Speed never makes this program fail:
its exit status tells of errors only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import front
import loops
import net_load
import net_report
import net_tls
import network
import peers
import pythons
from net_count import give_way
from net_report import RAW, Results
from network import KIB, Cell
from run import Failed, prepare, show_progress, what_went_wrong

SERVE = Path(__file__).with_name("net_serve.py")
PATIENCE_SECONDS = 60
"""A start or a window that takes longer hangs: the loop gets a dash."""
QUICK_SIZES = (KIB, 16 * KIB)
QUICK_CONNECTIONS = (1, 50)


class Server:
    """A server process, from its first word to its end."""

    def __init__(
        self, command: list[str], environment: dict[str, str], place: Callable[[], None]
    ) -> None:
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=self.errors, text=True, preexec_fn=place,
        )  # fmt: skip
        assert self.process.stdout is not None, "it was asked for"
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE_SECONDS)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            self.stop()
            raise Failed(self.complaint() or "it does not start")
        self.answer: dict[str, Any] = json.loads(line)
        if "missing" in self.answer:
            self.stop()
            raise Failed(self.answer["missing"])

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self.process.pid

    def has_ended(self) -> bool:
        """Whether it has gone by itself."""
        return self.process.poll() is not None

    def complaint(self) -> str:
        """The last error that it has printed."""
        self.errors.seek(0)
        return what_went_wrong(self.errors.read())

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


class Servers:
    """The servers of one row, a contestant each, started when they are needed."""

    def __init__(self, results: Results, name: str, options: argparse.Namespace) -> None:
        self.results = results
        self.name = name
        self.options = options
        self.running: dict[str, Server] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        for contestant in list(self.running):
            self.stop(contestant)

    def contestants(self) -> list[str]:
        """Whoever may be able to do it: the raw server first."""
        present = [
            loop
            for loop in self.options.loops
            if loop in self.results.versions or loop == "asyncio"
        ]
        return [RAW, *present] if self.has_bound() else present

    def has_bound(self) -> bool:
        """Whether there is something to compare the loops with."""
        program = network.load(self.name)
        return network.bound(self.name) is not None or program.LOAD is None

    def window(self, cell: Cell, contestant: str) -> float:
        """One value: microseconds a request, or KiB a connection; Failed where there is none."""
        load = network.load(self.name).LOAD
        if load is None or load == "idle":
            # Its process begins anew each time: memory that was given back is no measure.
            self.stop(contestant)
        server = self.start(contestant)
        if load is None:
            answer = server.answer
            self.stop(contestant)
        else:
            try:
                command = net_load.command(
                    cell, server.answer["port"], server.pid, self.options.milliseconds
                )
                answer = loaded(command, placed(self.options.client_cpu, self.options.preempt))
            except Failed as failure:
                complaint = server.complaint()
                self.stop(contestant)
                raise Failed(
                    "; ".join(filter(None, [cell.title, str(failure), complaint]))
                ) from None
        if "bytes" in answer:
            return float(answer["bytes"]) / KIB
        if not answer["requests"]:
            raise Failed("no request was answered")
        return float(answer["server_ns"]) / float(answer["requests"]) / 1e3

    def start(self, contestant: str) -> Server:
        """The server of the contestant, started if it is not there."""
        server = self.running.get(contestant)
        if server is not None and server.has_ended():
            self.stop(contestant)
            server = None
        if server is None:
            command, environment = self.command(contestant)
            place = placed(self.options.cpu, self.options.preempt)
            server = self.running[contestant] = Server(command, environment, place)
        return server

    def command(self, contestant: str) -> tuple[list[str], dict[str, str]]:
        """What starts the server, and its environment."""
        python = self.results.python
        bound = network.bound(self.name)
        if contestant == RAW and bound is not None:
            return [net_load.program(), bound], pythons.environment(None)
        seconds = str(self.options.milliseconds / 1e3)
        command = [python.path, str(SERVE), contestant, self.name, "--seconds", seconds]
        if contestant == RAW:
            return command, pythons.environment(None)
        loop = loops.CONTESTANTS[contestant]
        search = [python.search] if loop.is_ours and python.search else []
        if loop.package is not None:
            search.append(str(peers.directory(loop, python)))
        if network.load(self.name).LOAD == "http":
            search.append(str(peers.programs(python)))
        path = os.pathsep.join(search) or None
        return command, pythons.environment(path, **loop.environment)

    def stop(self, contestant: str) -> None:
        """End a server, if there is one."""
        server = self.running.pop(contestant, None)
        if server is not None:
            server.stop()


def main() -> int:
    """Measure and report."""
    options = parse(sys.argv[1:])
    machine = pythons.machine()
    runs = [Results(pythons.examine(path)) for path in options.python]
    try:
        net_load.program()
        net_tls.make_certificate()
    except (net_load.NotBuilt, OSError) as reason:
        print(reason, file=sys.stderr)
        return 2
    errors = prepare(runs, options.loops)
    chosen = {name: cells(name, options) for name in options.only}
    progress = Progress(len(runs) * options.rounds * sum(map(len, chosen.values())))
    for results in runs:
        for name in options.only:
            with Servers(results, name, options) as servers:
                for cell in chosen[name]:
                    errors += measure(servers, cell, options, progress)
    show_progress(progress.total, progress.total)
    front.publish("net.py", options, machine, runs, manner(options), net_report.tables, samples)
    return 1 if errors else 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = front.command_line(
        __doc__, network.NAMES, rounds="windows of each cell; default 5",
        quick="2 rounds, short windows, fewer cells",
        only="these rows: " + ", ".join(network.NAMES),
    )  # fmt: skip
    parser.add_argument("--sizes", nargs="+", type=int, metavar="BYTES", help="of a message")
    parser.add_argument("--connections", nargs="+", type=int, metavar="N", help="at a time")
    parser.add_argument("--milliseconds", type=int, help="length of a window; default 200")
    parser.add_argument(
        "--client-cpu", type=int, help="the load's CPU, if not the same: that measures wake-ups too"
    )
    parser.add_argument(
        "--preempt", action="store_true",
        help="let whoever wakes take the CPU from the other side, as the scheduler does by default",
    )  # fmt: skip
    options = front.read(parser, arguments, quick_rounds=2)
    options.milliseconds = options.milliseconds or (100 if options.quick else 200)
    if options.client_cpu is None:
        options.client_cpu = options.cpu
    return options


def cells(name: str, options: argparse.Namespace) -> list[Cell]:
    """The lines of a row that are asked for; what a row has one line of cannot be restricted."""
    every = network.cells(name)
    if all(cell.size is None for cell in every):
        return every
    sizes = options.sizes or (QUICK_SIZES if options.quick else None)
    connections = options.connections or (QUICK_CONNECTIONS if options.quick else None)
    return [
        cell
        for cell in every
        if (sizes is None or cell.size in sizes)
        and (connections is None or cell.connections in connections)
    ]


class Progress:
    """How many rounds of how many."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.number = 0

    def step(self, cell: Cell, number: int, results: Results) -> None:
        """Show the next round."""
        self.number += 1
        text = f"round {number}: {cell.name} {cell.title}"
        show_progress(self.number, self.total, text, results)


def measure(servers: Servers, cell: Cell, options: argparse.Namespace, progress: Progress) -> int:
    """All rounds of one line; the answer is the number of errors."""
    results = servers.results
    contestants = servers.contestants()
    samples = results.samples[cell] = {contestant: [] for contestant in contestants}
    errors = 0
    for number in range(options.rounds):
        progress.step(cell, number + 1, results)
        for contestant in random.sample(contestants, len(contestants)):
            value = None
            # Who has failed once fails again, and takes a minute for it.
            if None not in samples[contestant]:
                try:
                    value = servers.window(cell, contestant)
                except (Failed, peers.NotToBeHad) as failure:
                    note = f"{contestant} cannot do {cell.name}: {failure}"
                    if note not in results.notes:
                        results.notes.append(note)
                    # A rival may lack what it likes; asyncio and we must do everything.
                    errors += contestant not in loops.CONTESTANTS or contestant == "asyncio"
                    errors += contestant == options.loops[-1]
            samples[contestant].append(value)
    return errors


def loaded(command: list[str], place: Callable[[], None]) -> dict[str, Any]:
    """Run one load to its end."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
            preexec_fn=place,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Failed(f"no answer within {PATIENCE_SECONDS} s") from None
    if done.returncode != 0:
        raise Failed(what_went_wrong(done.stderr) or f"exit status {done.returncode}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def placed(cpu: int | None, preempt: bool) -> Callable[[], None]:
    """What a child does first: stay on one CPU, and wait there till the other side leaves it.

    Otherwise Linux runs a server that has had less of the CPU than its load the moment anything
    comes in. A cheap server then sleeps and wakes once a message and a dear one once in fifty, so
    what is measured is half of what the load costs, whatever the server does.
    """

    def place() -> None:
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})
        if not preempt:
            give_way()

    return place


def manner(options: argparse.Namespace) -> str:
    """How it was measured."""
    place = "one CPU" if options.client_cpu == options.cpu else "two CPUs"
    scheduling = "" if options.preempt else ", both as SCHED_BATCH"
    return (
        f"server and load on {place}{scheduling}, {options.rounds} windows of "
        f"{options.milliseconds} ms each"
    )


def samples(results: Results) -> dict[str, Any]:
    """Every single one, a cell each."""
    return {
        "python": results.python.version,
        "versions": results.versions,
        "notes": results.notes,
        "samples": [
            {"name": cell.name, "size": cell.size, "connections": cell.connections} | values
            for cell, values in results.samples.items()
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
