"""Queues: Queue is native, the others order their items in Python."""

from __future__ import annotations

import heapq
import sys
from asyncio import QueueEmpty, QueueFull

from ._batonloop import Queue
from .names import complete

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import LifoQueue as _LifoQueue
    from asyncio import PriorityQueue as _PriorityQueue
    from typing import TypeVar

    from _typeshed import SupportsRichComparisonT

    _T = TypeVar("_T")
else:
    _PriorityQueue = _LifoQueue = Queue

__all__: tuple[str, ...] = ("Queue", "PriorityQueue", "LifoQueue", "QueueFull", "QueueEmpty")

if sys.version_info >= (3, 13):
    from asyncio import QueueShutDown

    __all__ += ("QueueShutDown",)


class PriorityQueue(_PriorityQueue["SupportsRichComparisonT"]):
    """A queue that gives out its least item first, as `heapq` orders them."""

    def _init(self, maxsize: int) -> None:
        self._queue: list[SupportsRichComparisonT] = []

    def _put(self, item: SupportsRichComparisonT) -> None:
        heapq.heappush(self._queue, item)

    def _get(self) -> SupportsRichComparisonT:
        return heapq.heappop(self._queue)


class LifoQueue(_LifoQueue["_T"]):
    """A queue that gives out last what was put in first."""

    def _init(self, maxsize: int) -> None:
        self._queue: list[_T] = []

    def _put(self, item: _T) -> None:
        self._queue.append(item)

    def _get(self) -> _T:
        return self._queue.pop()


complete(globals())
