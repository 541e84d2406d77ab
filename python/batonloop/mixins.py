"""What locks and queues of asyncio's share: asyncio's own."""

from asyncio.mixins import *  # noqa: F403

from .names import complete

complete(globals())
