"""One server process: a program of ``network/`` on a loop; says its port in a line of JSON.

Started by net.py, which then puts a load on it and ends it. A program that needs no load is
measured here, for so many seconds, and its cost is what is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import socket
import sys
from collections.abc import Callable
from typing import Any

import loops
import network

RAW = "raw"
"""In place of a loop's name: the program's own bound."""
AT_A_TIME = 10
"""So many operations of a program without load lie between two looks at the clock."""


def main() -> int:
    """Serve until killed, or measure and end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("loop", choices=[*loops.CONTESTANTS, RAW])
    parser.add_argument("program", choices=network.NAMES)
    parser.add_argument("--seconds", type=float, default=0.2, help="for a program without load")
    options = parser.parse_args()
    program: Any = network.load(options.program)
    try:
        if options.loop == RAW:
            answer = cost(program, program.run_bound, options.seconds)
        else:
            loop = loops.open_loop(options.loop)
            if program.LOAD is None:
                run = lambda count: loop.run_until_complete(program.run(count))  # noqa: E731
                answer = cost(program, run, options.seconds)
            else:
                # What it returns must stay alive until the end, hence the name.
                kept, port = start(loop, program)
                print(json.dumps({"port": port}), flush=True)
                loop.run_forever()
                del kept
                return 1
    except loops.MISSING as error:
        answer = {"missing": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
    os._exit(0)


def start(loop: Any, program: Any) -> tuple[object, int]:
    """Start a server; the answer is what must be kept, and the port."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    # asyncio switches TCP_NODELAY on where a socket says of itself that it is TCP, and hands that
    # on to what is accepted. Whoever writes an answer in two parts would wait for it otherwise.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(network.BACKLOG)
    listener.setblocking(False)
    port: int = listener.getsockname()[1]
    return (loop.run_until_complete(program.serve(listener)), listener), port


def cost(program: Any, run: Callable[[int], object], seconds: float) -> dict[str, float]:
    """What a program without load costs, by its own clock."""
    run(AT_A_TIME)
    count = 0
    start = now = program.clock_ns()
    while now - start < seconds * 1e9:
        run(AT_A_TIME)
        count += AT_A_TIME
        now = program.clock_ns()
    return {"requests": count, "server_ns": now - start}


if __name__ == "__main__":
    sys.exit(main())
