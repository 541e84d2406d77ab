"""Start /bin/true and wait for its end, one after the other: CPU time of parent and child.

The child's share is in the cost, for a fork is paid for by both. The bound is what the same Python
can do without a loop: posix_spawn, and a pidfd that becomes readable at the end.
"""

from __future__ import annotations

import asyncio
import os
import resource
import select

TITLE = "spawn /bin/true and wait"
LOAD = None
CELLS = ((None, None),)
PROGRAM = "/bin/true"


async def run(count: int) -> None:
    """Spawn ``count`` times."""
    for _ in range(count):
        process = await asyncio.create_subprocess_exec(PROGRAM)
        status = await process.wait()
        assert status == 0, f"{PROGRAM} ended with {status}"


def run_bound(count: int) -> None:
    """The same without a loop."""
    for _ in range(count):
        pid = os.posix_spawn(PROGRAM, [PROGRAM], os.environ)
        descriptor = os.pidfd_open(pid)
        poll = select.epoll()
        poll.register(descriptor, select.EPOLLIN)
        poll.poll()
        poll.close()
        os.close(descriptor)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert status == 0, f"{PROGRAM} ended with {status}"


def clock_ns() -> float:
    """CPU time of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages) * 1e9
