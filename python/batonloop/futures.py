"""Future, which is native, and the helpers of asyncio's that work with it as they are."""

from __future__ import annotations

import sys
from asyncio import isfuture, wrap_future

from ._batonloop import Future
from .names import complete

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__: tuple[str, ...] = ("Future", "wrap_future", "isfuture")

if sys.version_info >= (3, 14):
    from asyncio.futures import future_add_to_awaited_by, future_discard_from_awaited_by

    __all__ += ("future_add_to_awaited_by", "future_discard_from_awaited_by")


def _calling(thing: object) -> Callable[[object], object]:
    """A callback that calls what may not be callable, and fails as that does."""

    def call(future: object) -> object:
        return thing(future)  # type: ignore[operator]

    return call


complete(globals())
