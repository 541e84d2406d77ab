"""The numbers that asyncio's modules agree on: asyncio's own."""

from asyncio.constants import *  # noqa: F403

from .names import complete

complete(globals())
