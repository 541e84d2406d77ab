"""Child processes: asyncio's own."""

from asyncio.subprocess import *  # noqa: F403

from .names import complete

complete(globals())
