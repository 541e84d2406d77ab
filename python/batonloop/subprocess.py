"""Child processes with streams of ours on their pipes; a Process is asyncio's."""

from __future__ import annotations

from asyncio import events
from asyncio import subprocess as _asyncio_subprocess
from asyncio.subprocess import DEVNULL as DEVNULL
from asyncio.subprocess import PIPE as PIPE
from asyncio.subprocess import STDOUT as STDOUT
from asyncio.subprocess import Process as Process

from . import streams
from .names import complete, with_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from os import PathLike
    from typing import Any

__all__ = ("create_subprocess_exec", "create_subprocess_shell")


class SubprocessStreamProtocol(_asyncio_subprocess.SubprocessStreamProtocol):
    """Feeds the readers of a child's pipes, and lets the writer wait."""

    connection_made = with_names(
        _asyncio_subprocess.SubprocessStreamProtocol.connection_made, {"streams": streams}
    )


async def create_subprocess_shell(
    cmd: str | bytes,
    stdin: int | Any = None,
    stdout: int | Any = None,
    stderr: int | Any = None,
    limit: int = streams._DEFAULT_LIMIT,
    **kwds: Any,
) -> Process:
    """Start a command of the shell; all further arguments are those of loop.subprocess_shell()."""
    loop = events.get_running_loop()
    transport, protocol = await loop.subprocess_shell(
        lambda: SubprocessStreamProtocol(limit=limit, loop=loop),
        cmd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        **kwds,
    )
    return Process(transport, protocol, loop)


async def create_subprocess_exec(
    program: str | bytes | PathLike[str] | PathLike[bytes],
    *args: str | bytes | PathLike[str] | PathLike[bytes],
    stdin: int | Any = None,
    stdout: int | Any = None,
    stderr: int | Any = None,
    limit: int = streams._DEFAULT_LIMIT,
    **kwds: Any,
) -> Process:
    """Start a program; all further arguments are those of loop.subprocess_exec()."""
    loop = events.get_running_loop()
    transport, protocol = await loop.subprocess_exec(
        lambda: SubprocessStreamProtocol(limit=limit, loop=loop),
        program,
        *args,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        **kwds,
    )
    return Process(transport, protocol, loop)


complete(globals())
