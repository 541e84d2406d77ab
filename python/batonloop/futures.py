"""Future, which is native, and the helpers of asyncio's that work with it as they are."""

import sys
from asyncio import isfuture, wrap_future

from ._batonloop import Future
from .names import complete

__all__: tuple[str, ...] = ("Future", "wrap_future", "isfuture")

if sys.version_info >= (3, 14):
    from asyncio.futures import future_add_to_awaited_by, future_discard_from_awaited_by

    __all__ += ("future_add_to_awaited_by", "future_discard_from_awaited_by")

complete(globals())
