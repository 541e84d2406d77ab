"""One of pyperformance's programs on another loop: `python suite_run.py uvloop program.py ...`.

The program asks asyncio for a new loop, and gets this one. What runs on batonloop needs no help:
`python -m batonloop program.py ...`.
"""

from __future__ import annotations

import asyncio
import importlib
import runpy
import sys


def main() -> None:
    """Put the loop in the place of asyncio's, and run the program."""
    _, name, program, *arguments = sys.argv
    if name != "asyncio":
        module = importlib.import_module(name)
        # In the two places where programs look for it, before they import either.
        asyncio.new_event_loop = asyncio.events.new_event_loop = module.new_event_loop
    sys.argv = [program, *arguments]
    sys.path[0] = program.rpartition("/")[0]
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()
