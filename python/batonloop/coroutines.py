"""What is a coroutine: asyncio's own."""

from asyncio.coroutines import *  # noqa: F403

from .names import complete

complete(globals())
