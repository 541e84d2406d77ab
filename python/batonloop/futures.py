"""Future, which is native, and the helpers of asyncio's that work with it as they are."""

from asyncio import isfuture, wrap_future

from ._batonloop import Future

__all__ = ("Future", "wrap_future", "isfuture")
