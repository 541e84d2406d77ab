"""The socket that a transport shows: asyncio's own."""

from asyncio.trsock import *  # noqa: F403

from .names import complete

complete(globals())
