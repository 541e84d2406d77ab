"""Timeouts: asyncio's own."""

from asyncio.timeouts import *  # noqa: F403

from .names import complete

complete(globals())
