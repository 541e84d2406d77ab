"""What tasks of every kind share: asyncio's own."""

from asyncio.base_tasks import *  # noqa: F403

from .names import complete

complete(globals())
