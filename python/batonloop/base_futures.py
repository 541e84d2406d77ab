"""What futures of every kind share: asyncio's own."""

from asyncio.base_futures import *  # noqa: F403

from .names import complete

complete(globals())
