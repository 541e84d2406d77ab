"""Queues: Queue is native, the others order their items in Python."""

from __future__ import annotations

import heapq
import sys
from asyncio import QueueEmpty, QueueFull

from ._batonloop import Queue
from .names import complete

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    _T = TypeVar("_T")

__all__: tuple[str, ...] = ("Queue", "PriorityQueue", "LifoQueue", "QueueFull", "QueueEmpty")

if sys.version_info >= (3, 13):
    from asyncio import QueueShutDown

    __all__ += ("QueueShutDown",)


class PriorityQueue(Queue["_T"]):
    """A queue that gives out its least item first, as `heapq` orders them."""

    def _init(self, maxsize: int) -> None:
        self._queue = []

    def _put(self, item: _T) -> None:
        heapq.heappush(self._queue, item)

    def _get(self) -> _T:
        item: _T = heapq.heappop(self._queue)
        return item


class LifoQueue(Queue["_T"]):
    """A queue that gives out last what was put in first."""

    def _init(self, maxsize: int) -> None:
        self._queue = []

    def _put(self, item: _T) -> None:
        self._queue.append(item)

    def _get(self) -> _T:
        item: _T = self._queue.pop()
        return item


complete(globals())
