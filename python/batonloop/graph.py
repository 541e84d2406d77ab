"""Call graphs of tasks, since Python 3.14: asyncio's own."""

from asyncio.graph import *  # type: ignore[import-not-found, unused-ignore]  # noqa: F403

from .names import complete

complete(globals())
