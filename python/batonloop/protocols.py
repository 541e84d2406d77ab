"""The bases of protocols: asyncio's own."""

from asyncio.protocols import *  # noqa: F403

from .names import complete

complete(globals())
