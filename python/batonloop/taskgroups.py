"""Task groups: asyncio's own."""

from asyncio.taskgroups import *  # noqa: F403

from .names import complete

complete(globals())
