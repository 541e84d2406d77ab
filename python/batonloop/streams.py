"""Streams: asyncio's own."""

from asyncio.streams import *  # noqa: F403

from .names import complete

complete(globals())
