"""Attempts that start one after another, of which the first to succeed wins: asyncio's own."""

from asyncio.staggered import *  # noqa: F403

from .names import complete

complete(globals())
