"""What the figures were measured on: the machine, and each Python with how it was built."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

PROBE = """
import json, platform, sys, sysconfig
flags = {
    name: str(sysconfig.get_config_var(name))
    for name in (
        "CONFIG_ARGS", "PY_CFLAGS", "PY_CFLAGS_NODIST", "PY_LDFLAGS_NODIST", "CC", "Py_DEBUG",
        "Py_GIL_DISABLED",
    )
}
try:
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        flags["shared"] = str("libpython" in maps.read())
except OSError:
    pass
try:
    from batonloop import EventLoop, __version__
except ImportError as error:
    ours = {"error": str(error)}
else:
    ours = {"version": __version__}
print(json.dumps({
    "version": sys.version, "short": platform.python_version(), "info": sys.version_info[:2],
    "flags": flags, "machine": platform.machine(), "ours": ours,
}))
"""


@dataclass(frozen=True)
class Python:
    """One interpreter to measure with."""

    path: str
    version: str
    """sys.version: it names the very build, with its date."""
    short: str
    info: tuple[int, int]
    machine: str
    flags: dict[str, str]
    ours: str | None
    """The version of batonloop that it imports, None where it cannot."""
    search: str | None
    """The directory that must be on PYTHONPATH for batonloop, None where it is installed."""
    problem: str | None
    """Why batonloop cannot be imported."""

    @property
    def tag(self) -> str:
        """The part of a wheel's name that says which Python: cp312."""
        return f"cp{self.info[0]}{self.info[1]}"

    @property
    def key(self) -> str:
        """Pythons with one key run the same instructions: version, machine, hash of the build."""
        text = self.version + json.dumps(self.flags, sort_keys=True)
        return f"{self.short} {self.machine} {hashlib.sha256(text.encode()).hexdigest()[:12]}"

    @property
    def build(self) -> str:
        """The flags that matter for speed, in words."""
        configured = self.flags["CONFIG_ARGS"] + self.flags["PY_CFLAGS_NODIST"]
        optimised = "--enable-optimizations" in configured or "-fprofile-use" in configured
        lto = "-flto" in configured + self.flags["PY_LDFLAGS_NODIST"] or "--with-lto" in configured
        level = [word for word in self.flags["PY_CFLAGS"].split() if word.startswith("-O")]
        words = [
            level[-1] if level else "-O?",
            "PGO" if optimised else "no PGO on record",
            "LTO" if lto else "no LTO on record",
        ]
        if self.flags.get("shared") == "True":
            words.append("shared libpython")
        if self.flags["Py_DEBUG"] == "1":
            words.append("DEBUG BUILD")
        if self.flags["Py_GIL_DISABLED"] == "1":
            words.append("free-threaded")
        return ", ".join(words)


def examine(path: str) -> Python:
    """Ask the interpreter at ``path`` what it is, and find the batonloop that it imports.

    One that is installed comes first; else this tree's python/ directory, where a development
    build leaves the extension.
    """
    found = probe(path, None)
    search = None
    if "error" in found["ours"]:
        tree = str(ROOT / "python")
        again = probe(path, tree)
        if "error" not in again["ours"]:
            found, search = again, tree
        else:
            found["ours"] = again["ours"]
    return Python(
        path=path,
        version=found["version"],
        short=found["short"],
        info=(found["info"][0], found["info"][1]),
        machine=found["machine"],
        flags=found["flags"],
        ours=found["ours"].get("version"),
        search=search,
        problem=found["ours"].get("error"),
    )


def probe(path: str, search: str | None) -> dict:  # type: ignore[type-arg]
    """Run PROBE in the interpreter at ``path``."""
    done = subprocess.run(
        [path, "-c", PROBE], env=environment(search), capture_output=True, text=True, check=True
    )
    answer: dict = json.loads(done.stdout)  # type: ignore[type-arg]
    return answer


def environment(search: str | None, **more: str) -> dict[str, str]:
    """A small environment for a measured process: nothing of the caller's may change a figure."""
    clean = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    if search is not None:
        clean["PYTHONPATH"] = search
    return clean | more


@functools.cache
def machine() -> dict[str, str]:
    """The machine in a few words."""
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    load = os.getloadavg()
    return {
        "cpu": f"{model}, {os.cpu_count()} CPUs, {platform.machine()}",
        "kernel": f"{platform.system()} {platform.release()}",
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "load": f"{load[0]:.1f} {load[1]:.1f} {load[2]:.1f} at the start",
    }


def default_cpu() -> int | None:
    """The CPU to pin to: the last one allowed, since the first one serves most interrupts."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    return max(os.sched_getaffinity(0))
