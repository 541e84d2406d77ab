"""Calls in threads: asyncio's own."""

from asyncio.threads import *  # noqa: F403

from .names import complete

complete(globals())
