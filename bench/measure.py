"""One measurement in a process of its own: a workload on a loop; the answer is one line of JSON.

Started by run.py (how long does it take) and by count.py (between which marks lie how many
operations). It pins itself to one CPU first, so that no measurement is split over two caches and
what other processes do on the other CPUs matters little.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import sys
import time
from typing import Any

import loops
import workloads


def main() -> int:
    """Measure, print the answer, leave without tidying up a million timers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("loop", choices=loops.CONTESTANTS)
    parser.add_argument("workload")
    parser.add_argument("--cpu", type=int, help="the CPU to be pinned to")
    parser.add_argument("--seconds", type=float, default=0.1, help="CPU time to aim at per repeat")
    parser.add_argument("--repeats", type=int, default=3, help="the best of so many counts")
    parser.add_argument("--count", type=int, help="exactly so many operations, between marks")
    parser.add_argument("--load", help="the program that loads, for a program of the network")
    options = parser.parse_args()
    if options.cpu is not None:
        os.sched_setaffinity(0, {options.cpu})
    try:
        loop = loops.open_loop(options.loop)
        workload: Any
        if options.load is None:
            workload = workloads.load(options.workload)
        else:
            # Only here: a process knows no more than what it measures.
            import net_count

            workload = net_count.Loaded(options.workload, options.load)
        # Whatever prepare() makes must stay alive until the end, hence the name.
        kept = getattr(workload, "prepare", lambda loop: None)(loop)
        if options.count is not None:
            if hasattr(loop, "_poll_interval"):
                # A loop that looks at its descriptors now and then would do so more often under
                # valgrind, where everything takes fifty times as long.
                loop._poll_interval = 2**63
            answer = count_between_marks(loop, workload, options.count)
        elif options.workload == "timer_lateness":
            answer = {"lateness_ns": loop.run_until_complete(workload.run(options.repeats))}
        else:
            answer = time_per_operation(loop, workload, options.seconds, options.repeats)
        del kept
    except loops.MISSING as error:
        answer = {"missing": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
    os._exit(0)


def time_per_operation(
    loop: asyncio.AbstractEventLoop, workload: Any, seconds: float, repeats: int
) -> dict[str, Any]:
    """CPU nanoseconds per operation: the least of some repeats of about ``seconds`` each."""
    multiple = getattr(workload, "MULTIPLE", 1)

    def spend(count: int) -> float:
        before = time.process_time()
        loop.run_until_complete(workload.run(count))
        return time.process_time() - before

    # Grow until the clock can be trusted; that is the warm-up too.
    count = multiple
    spent = spend(count)
    while spent < seconds / 8:
        count *= 2
        spent = spend(count)
    count = round_up(count * seconds / max(spent, 1e-9), multiple)
    gc.collect()
    best = min(spend(count) for _ in range(repeats))
    return {"ns": best / count * 1e9, "count": count}


def count_between_marks(
    loop: asyncio.AbstractEventLoop, workload: Any, count: int
) -> dict[str, Any]:
    """Run ``count`` operations, then twice as many, with a mark before, between and after.

    The mark is a call of getloadavg(3), which nothing else here calls: callgrind is told to write
    down its counts on entering that function. What lies outside the marks, start-up and warm-up,
    is thereby left out; what does not grow with the count cancels in the difference.
    """
    count = round_up(count, getattr(workload, "MULTIPLE", 1))
    gc.disable()
    loop.run_until_complete(workload.run(count))
    os.getloadavg()
    loop.run_until_complete(workload.run(count))
    os.getloadavg()
    loop.run_until_complete(workload.run(2 * count))
    os.getloadavg()
    return {"count": count}


def round_up(count: float, multiple: int) -> int:
    """The least multiple that is not below ``count``."""
    return max(1, -int(-count // multiple)) * multiple


if __name__ == "__main__":
    sys.exit(main())
