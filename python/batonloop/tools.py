"""What looks into the tasks of another process, since Python 3.14: asyncio's own."""

from asyncio.tools import *  # type: ignore[import-not-found, unused-ignore]  # noqa: F403

from .names import complete

complete(globals())
