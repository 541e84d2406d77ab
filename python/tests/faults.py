"""Injected errors: a program whose system calls fail when and as a test says, under strace.

One program for each world plays all scenarios (`fault_scenarios.py`), one after another. It sets
a scene, stops, and goes on once strace has got hold of it, so that a fault can be given by its
number, counted from there. What it then sees and does is its story.
"""

from __future__ import annotations

import json
import mmap
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from conftest import World, program_environment

# What the two sides tell each other through the first byte of a shared file.
READY, GO, DONE, REPORT = 1, 2, 3, 4

# All calls that do one thing, whichever of them a world prefers.
ACCEPT = "accept,accept4"
RECEIVE = "recvfrom,recvmsg,read,readv"
SEND = "sendto,sendmsg,write,writev"


def why_not() -> str | None:
    """Why no fault can be injected here; None if it can."""
    strace = shutil.which("strace")
    if strace is None:
        return "strace is not installed"
    # A victim that we have not started ourselves: strace attaches to it, as it will to ours.
    victim = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE)
    try:
        tracer = attach(victim.pid, ["getppid:error=EPERM"], "/dev/null")
        release(tracer)
    except OSError as error:
        return f"strace cannot attach to a process here: {error}"
    finally:
        assert victim.stdin is not None
        victim.stdin.close()
        victim.wait()
    return None


def attach(pid: int, faults: list[str], log: str) -> subprocess.Popen[str]:
    calls = ",".join(fault.split(":")[0] for fault in faults)
    command = ["strace", "-o", log, "-e", f"trace={calls}", "-e", "signal=none"]
    for fault in faults:
        command += ["-e", f"inject={fault}"]
    tracer = subprocess.Popen(
        [*command, "-p", str(pid)], stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
    )
    assert tracer.stderr is not None
    line = tracer.stderr.readline()
    if "attached" not in line:
        tracer.wait()
        tracer.stderr.close()
        raise OSError(line.strip())
    return tracer


def release(tracer: subprocess.Popen[str]) -> None:
    tracer.terminate()
    tracer.wait()
    assert tracer.stderr is not None
    tracer.stderr.close()


class Victim:
    """The program of one world."""

    def __init__(self, world: World, directory: Path) -> None:
        self.log = directory / "log"
        shared = directory / "shared"
        shared.write_bytes(bytes(16))
        with shared.open("r+b") as file:
            self.flags = mmap.mmap(file.fileno(), 16)
        self.process = subprocess.Popen(
            world.command(str(Path(__file__).parent / "fault_scenarios.py"), str(shared)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=program_environment(),
        )

    def close(self) -> None:
        self.process.communicate()
        self.flags.close()

    def wait_for(self, *flags: int) -> None:
        deadline = time.monotonic() + 20
        while self.flags[0] not in flags:
            assert self.process.poll() is None, f"it died: {self.process.returncode}"
            assert time.monotonic() < deadline, "it hangs"
            time.sleep(0.0005)

    def play(self, scenario: str, *faults: str, surely: bool = True) -> list[Any]:
        """The story of a scenario in which these calls fail; `surely` at least one of them."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(scenario + "\n")
        stdin.flush()
        # A scene that cannot even be set is over at once, and its story says why.
        self.wait_for(READY, DONE)
        tracer = None
        try:
            if self.flags[0] == READY:
                tracer = attach(self.process.pid, list(faults), str(self.log)) if faults else None
                self.flags[0] = GO
                self.wait_for(DONE)
        finally:
            if tracer is not None:
                release(tracer)
        self.flags[0] = REPORT
        assert select.select([stdout], [], [], 20)[0], "it does not report"
        story: list[Any] = json.loads(stdout.readline())
        if tracer is not None and surely:
            assert "(INJECTED)" in self.log.read_text(), f"no call failed, and yet: {story}"
        return story
