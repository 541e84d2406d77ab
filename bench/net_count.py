"""A server of the network's rows as a workload: a request is an operation that count.py can count.

The load is a process beside it and is not counted. To start it costs the same however many requests
it makes, so that cancels in the difference of two runs. It shares the server's CPU and gets it only
when the server sleeps: so there is one message on every connection in each turn, and a server that
asks too early is told so every time.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from typing import Any

import net_serve
import network

CONNECTIONS = 10
MESSAGE_BYTES = 1024


def give_way() -> None:
    """Take the CPU from nobody, from now on."""
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


class Loaded:
    """What measure.py wants of a workload, for one program of ``network/``."""

    MULTIPLE = 1

    def __init__(self, name: str, program: str) -> None:
        self.program: Any = network.load(name)
        self.load = program
        self.port = 0

    def prepare(self, loop: asyncio.AbstractEventLoop) -> object:
        """Start the server; the answer is what must be kept."""
        kept, self.port = net_serve.start(loop, self.program)
        return kept

    async def run(self, count: int) -> None:
        """Serve ``count`` requests."""
        loop = asyncio.get_running_loop()
        # The end of the process is the end of its output. A pipe and add_reader() are what every
        # loop has.
        ours, theirs = os.pipe()
        try:
            process = subprocess.Popen(
                [
                    self.load, self.program.LOAD, "--port", str(self.port), "--count", str(count),
                    "--connections", str(CONNECTIONS), "--size", str(MESSAGE_BYTES),
                ],
                stdout=theirs,
                preexec_fn=give_way,
            )  # fmt: skip
            os.close(theirs)
            ended = loop.create_future()
            loop.add_reader(ours, lambda: ended.done() or ended.set_result(None))
            await ended
            loop.remove_reader(ours)
        finally:
            os.close(ours)
        if process.wait() != 0:
            raise RuntimeError("the load has failed")
