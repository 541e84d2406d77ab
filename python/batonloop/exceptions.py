"""The exceptions: asyncio's own."""

from asyncio.exceptions import *  # noqa: F403

from .names import complete

complete(globals())
