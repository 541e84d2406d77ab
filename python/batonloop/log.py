"""The logger: asyncio's own."""

from asyncio.log import *  # noqa: F403

from .names import complete

complete(globals())
