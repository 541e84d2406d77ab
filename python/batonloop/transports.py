"""The bases of transports: asyncio's own."""

from asyncio.transports import *  # noqa: F403

from .names import complete

complete(globals())
